# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 12 · Do 50 machines agree?
#
# The paper trains with *Downpour SGD*: 10 to 50 replicas of the network, each on a machine of its own, and servers that
# hold the parameters. A replica fetches the parameters, computes a gradient, pushes it, fetches again, and **waits for
# nobody**. So when its gradient arrives, the parameters are no longer those at which it was computed. How old is it,
# and what does that do to the training?
#
# Nobody here has 50 machines. The project's simulator runs the real replicas and the real servers, every gradient
# computed, on a clock that only counts (`training/distributed/simulate.py`). From one seed, one run.
#
# **Notation.** R replicas · *staleness*: how many updates others have made between the fetch and the push of a gradient
# · m momentum, $v \leftarrow m v - \eta g$, $w \leftarrow w + v$.

# %%
from copy import deepcopy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from walk import bet, mark_same, prepare

from snippets.data.features import FeatureSet, StoredFeatures
from snippets.nets.zoo import NetConfig, build
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.machines import Cluster
from snippets.training.distributed.simulate import Simulation
from snippets.training.distributed.simulate_synchronous import synchronous
from snippets.training.evaluate import evaluate
from snippets.training.settings import Settings

prepare()

# %% [markdown]
# ## 12.1 Your bet
#
# Fifty replicas, whose gradients take 0.1 s each, more or less (10 % standard deviation). What is the mean staleness of
# a gradient?

# %%
MY_BET = 10  # updates; put your own number here before you run the next cells

# %% [markdown]
# ## 12.2 A task, a network, a cluster
#
# Features of clips of four classes that overlap; a Conv Pooling head on them. A training is always 600 batches of 8
# clips, whoever computes them: with 50 replicas, 12 batches each.

# %%
SEED, CLASSES, T, D = 0, 4, 5, 16
rng = np.random.default_rng([SEED, 1])
centres = rng.standard_normal((CLASSES, 1, D))


def features(V, seed):
    """A data set of V clips (T, D): the class's centre in noise three times as loud."""
    rng, labels = np.random.default_rng([SEED, seed]), np.arange(V) % CLASSES
    feat = (centres[labels] + 3 * rng.standard_normal((V, T, D))).astype(np.float32)
    names = [f"clip{i}" for i in range(V)]
    return FeatureSet(StoredFeatures(feat, np.ones(1)), np.arange(V), labels, list("abcd"), names)


clips, test_clips = features(960, 2), features(400, 3)
net = build(NetConfig(CLASSES, "features", "average", T, fc=32, dropout=0.0, features=D), SEED)
settings = Settings(epochs=5, batch=8, lr=0.03, momentum=0.0, clip_norm=5.0, weight_decay=0.0)
cluster = Cluster(compute=0.1, std=0.1, latency=0.0005, bandwidth=1e9)


class Watched(Simulation):
    """A simulation that keeps when each replica computes, and how stale each gradient is when it arrives."""

    def __init__(self, *args):
        self.lanes, self.arrivals = [], []
        super().__init__(*args)

    def computed(self, worker, life, since):
        self.lanes.append((worker.me, since, self.now))
        super().computed(worker, life, since)

    def pushed(self, i, worker, push):
        if i == 0:
            self.arrivals.append((worker.me, self.now, self.shards[0].opt.steps - push.versions[0]))
        super().pushed(i, worker, push)


def downpour(R, momentum=0.0, where=cluster):
    """A simulated training: (the simulation, test accuracy, training loss at the end); NaN where it diverges."""
    job = Job(
        deepcopy(net), clips, replace(settings, momentum=momentum), Downpour(replicas=R, shards=2, fetch=1, push=1)
    )
    simulation = Watched(job, where)
    try:
        trace = simulation.run()
    except FloatingPointError:
        return simulation, np.nan, np.nan
    return simulation, evaluate(job.net, test_clips).hit1, float(np.mean(trace.loss[-100:]))


fifty, accuracy, loss = downpour(50)
stale = np.array([s for _, _, s in fifty.arrivals])
bet("mean staleness of a gradient among 50 replicas", MY_BET, stale[100:].mean(), "updates")
assert abs(stale[100:].mean() - 49) < 3

# %% [markdown]
# It is 49, and no accident: while one replica computes one gradient, each of the 49 others finishes one, more or less.
# Faster machines, a faster network, more servers: nothing of it changes the mean, as long as all are alike. What speeds
# and luck do change is the spread.
#
# ## 12.3 The figure: swimlanes
#
# Six replicas, the first second and a half. Above they wait for nobody, below they are synchronous: the same six, each
# step as long as the slowest of them.

# %%
uneven = Cluster(compute=0.1, std=0.35, latency=0.0005, bandwidth=1e9)
six, _, _ = downpour(6, where=uneven)
end = 1.5
fig, (above, below) = plt.subplots(2, 1, figsize=(10, 5), sharex=True)
for me, start, stop in six.lanes:
    if start < end:
        above.barh(me, stop - start, 0.6, start, color="C5", edgecolor="w", lw=1)
shades = plt.get_cmap("YlOrRd")
for me, when, s in six.arrivals:
    if when < end:
        above.plot(when, me, "o", ms=11, color=shades(0.15 + 0.08 * s), mec="0.3")
        above.text(when, me, s, ha="center", va="center", fontsize=9, color="w" if s > 7 else "k")
rng, start = np.random.default_rng(1), 0.0
while start < end:
    took = 0.1 * np.exp(0.35 * rng.standard_normal(6))
    below.barh(range(6), took, 0.6, start, color="C5", edgecolor="w", lw=1)
    below.barh(range(6), took.max() - took, 0.6, start + took, color="0.88")
    start += took.max()
    below.axvline(start, color="k", lw=1)
for ax, title in ((above, "Downpour: the number is a gradient's staleness as it arrives"),
                  (below, "synchronous: grey is waiting, at a line all have the same parameters")):  # fmt: skip
    ax.set(yticks=range(6), yticklabels=[f"replica {n}" for n in range(6)], xlim=(0, end), title=title)
    ax.invert_yaxis()
below.set_xlabel("simulated seconds")
plt.show()

parallel = {}
for name, where in (("alike", cluster), ("uneven", uneven)):
    simulation, _, _ = downpour(16, where=where)
    trace = synchronous(Job(deepcopy(net), clips, settings, Downpour(replicas=16, shards=2, fetch=1, push=1)), where)
    parallel[name] = trace.seconds / simulation.trace.seconds
    print(f"16 machines, {name}: synchronous takes {parallel[name]:.2f} times as long as Downpour")
assert parallel["uneven"] > parallel["alike"]

# %% [markdown]
# **What to see:** above no grey at all, and numbers on every dot; below the other way round. That is the bargain:
# Downpour buys time with *old gradients*. The more unequal the machines, the better the price.
#
# ## 12.4 What does it cost? Staleness against loss
#
# The same 600 batches for 1, 4, 16 and 50 replicas, each with four values of momentum. The learning rate is the same in
# all.

# %%
COUNTS, MOMENTA = (1, 4, 16, 50), (0.0, 0.3, 0.6, 0.9)
table = {(R, m): downpour(R, m)[1:] for R in COUNTS for m in MOMENTA}
print("test accuracy    " + "".join(f"   m = {m:.1f}" for m in MOMENTA))
for R in COUNTS:
    print(f"{R:3d} replicas     " + "".join(f"{table[R, m][0]:10.1%}" for m in MOMENTA))

guess = np.log(CLASSES)
plt.figure(figsize=(7.5, 4))
for R, style in zip(COUNTS, ["C6o-", "C5s-", "C1^-", "C3D-"], strict=True):
    losses = np.array([table[R, m][1] for m in MOMENTA])
    shown = np.minimum(np.nan_to_num(losses, nan=np.inf), 1.6 * guess)
    plt.plot(MOMENTA, shown, style, label=f"{R} replica{'s' * (R > 1)}, staleness {R - 1}")
plt.axhline(guess, color="k", ls=":", lw=1)
plt.text(0.02, guess + 0.03, "guessing", fontsize=9)
plt.xlabel("momentum m")
plt.ylabel(f"training loss at the end (nats, cut at {1.6 * guess:.1f})")
plt.xticks(MOMENTA)
plt.ylim(0, 1.65 * guess)
plt.legend(loc="upper left", bbox_to_anchor=(0, 0.62))
plt.show()

best = {R: min(MOMENTA, key=lambda m: np.nan_to_num(table[R, m][1], nan=np.inf)) for R in COUNTS}
print("the best of these momenta: " + ", ".join(f"{best[R]} for {R}" for R in COUNTS))
assert np.nan_to_num(table[50, 0.9][1], nan=np.inf) > table[1, 0.9][1]

# %% [markdown]
# **What to see:** the more replicas, the earlier a curve leaves the bottom. With one replica momentum 0.9 is harmless;
# with sixteen and with fifty it ruins a training that went well without, to the point where the network knows less than
# nothing.
#
# Why? An update that arrives 49 updates late is felt by the 49 that follow: asynchrony *is* a kind of momentum, of
# about 1 - 1/R (Mitliagkas et al., 2016). What you set comes on top. The paper says that it trains with momentum 0.9,
# and with 10 to 50 replicas; it does not say where the momentum is applied, and nobody who reads these two sentences
# beside each other would guess that they are enemies.
#
# **Rule of thumb:** keep the rate of plain SGD and lower the momentum as machines are added; or wait for each other,
# where the machines are alike (`docs/scale-out.md` has the numbers of a larger network).
#
# (One seed, one run each: the ends of the curves are far apart, neighbouring points near the bottom are luck.
# `python -m tests.outcomes --only "notebook 12"` repeats it from other seeds.)
#
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise checks your answer.
#
# **1.** *A late gradient.* Minimise $f(w) = w^2 / 2$ with gradients that are `delay` steps old:
# $w_{t+1} = w_t - \eta\, w_{t - delay}$, where $w_t = 1$ for all t ≤ 0. Return $w_1 \ldots w_{steps}$.


# %%
def late(rate, delay, steps):
    """-> list of w_1 ... w_steps."""
    ...


# %% jupyter={"source_hidden": true}
def known_late(rate, delay, steps):
    w = [1.0] * (delay + 1)
    for _ in range(steps):
        w.append(w[-1] - rate * w[-1 - delay])
    return w[delay + 1 :]


mark_same(1, late, known_late, (0.1, 0, 5), (0.1, 3, 8), (0.5, 2, 10))

# %% [markdown]
# **2.** *How large a rate?* Without delay the iteration above converges for every rate below 2. With a delay of 49: try
# rates with your function. (The limit is $2 \sin(\pi / (2 (2 \cdot 49 + 1)))$, about 0.03; can you see where it comes
# from?)
#
# **3.** *The slowest of R.* R machines take independent times, each evenly spread over 1 to 2 seconds. How long does a
# synchronous step take on average?


# %%
def synchronous_step(R):
    """-> mean of the largest of R times."""
    ...


# %% jupyter={"source_hidden": true}
mark_same(3, synchronous_step, lambda R: 1 + R / (R + 1), (1,), (2,), (50,))

# %% [markdown]
# **4.** Give `downpour` a cluster in which processes die (`mtbf=20`). What happens to the staleness, and what to the
# loss?
#
# **Next:** `13_a_kernel_without_a_gpu`.
