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
# # A7 · Scale-out
#
# *Beyond Short Snippets*, section 3.3: each network was trained by ten to fifty replicas and parameters in four parts,
# with Downpour SGD (Dean et al. 2012). You write the optimiser, the sum of gradients over ranks that work in step, and
# then both sides of training out of step: the parameter shard, and the replica. At the end a simulated cluster runs
# your code and tells what asynchrony costs.
#
# **Where.** You write in the library's own files, never in this notebook: replace each `raise NotImplementedError` by
# your code. The docstring of a function says what it takes and returns; the docstring at the top of its file has the
# equations and the protocol. Read that first, every time.
#
# **How to check.** In a terminal in this folder, as often as you like:
#
#     snippets assignment check sgd
#
# It runs your file in a process of its own and names the worst difference: array, index, both numbers, shapes, and the
# mistake if it is a known one. The cell below does the same from here; there is no need to restart the kernel.
#
# **Notation.** w parameters · g gradient · v velocity · m momentum · lr learning rate · wd weight decay · R ranks or
# replicas · S shards. All parameters of a net are one vector, and every array is a view of a part of it:
# `training/parameters.py` has `flatten`, `views` and `slices`, and says so on one page.

# %%
import numpy as np
from check import check

# %% [markdown]
# ## 7.1 `SGD.step`, `SGD.change` (20 points), `training/sgd.py`
#
# `change` is the three equations for one array, in place. `step` looks at all arrays together: which gradients are used
# (`trained`), their norm and the limit on it, the learning rate of each parameter (`lr`, `factors`), its weight decay
# (`decays`), and the count of updates. In place means that `self.params[key]` and `self.velocity[key]` stay the same
# arrays. `pieces` cuts arrays into parts that fit the cache; you may do without. (There is no GPU here: leave it out.)

# %%
check("sgd")

# %% [markdown]
# ## 7.2 `Reducer.__call__`, `backward_in_parts` (15 points), `training/distributed/ranks.py`
#
# Each of R ranks has its own clips of a batch and the same parameters. The loss is a sum over clips: what is the
# gradient of the whole batch? The backward pass begins with the last layer, so the vector of gradients fills from its
# end, and what is complete can travel while the rest is computed. `self.ranks.start(part)` begins to add a contiguous
# part over all ranks and returns what to wait for; `self.ranks.finish(list)` waits, and then every rank has the sums.
# Two things must be the same on every rank, or all wait for ever: how many parts, and where they are cut.

# %%
check("all_reduce")

# %% [markdown]
# ## 7.3 `Shard.push` (20 points), `training/distributed/shard.py`
#
# A shard owns a range of the vector and its optimiser. Pushes come from many replicas, in any order: some twice,
# because a replica died and began again, and some never. Each step of each replica must count at most once. The
# optimiser knows its parameters by name: `views` cuts a gradient into them. `lost` is given.

# %%
check("push")

# %% [markdown]
# ## 7.4 `fetch`, `replica` (25 points), `training/distributed/downpour.py`
#
# A replica is a generator. It never sends anything itself: it yields what it wants, and whoever runs it carries that
# out and goes on. One step is
#
#     fetch if it is time:  yield Ask(step); answers = yield Take()
#     found, record = checked_gradient(job, run, me, number of the batch); yield Compute()
#     a step of its own, between fetches
#     push if it is time:   yield Push(first, end, the sum of gradients, its norm, versions, records)
#
# `yield from fetch(...)` in `replica` hands its requests on and returns what it returns. `copy_of`, `checked_gradient`,
# `job.batches_of` and `job.range` are given. The check compares the whole list of requests with what it should be.

# %%
check("replica")

# %% [markdown]
# ## 7.5 The twist (10 points), `training/twist.py`
#
# Another update, which the library does not have. Its equations are in the file.

# %%
check("twist")

# %% [markdown]
# ## 7.6 The bug hunt (10 points), `hunt.py`
#
# Now you are the examiner: the file says what your check sees. Run `snippets assignment hunt` in the terminal.

# %%
check("hunt")

# %% [markdown]
# ## Milestone: the simulator agrees
#
# A cluster on a clock that only counts: every gradient is really computed, by your replicas and shards, and how long it
# takes is drawn. One replica that fetches and pushes at every step must be plain SGD, bit for bit: any difference is a
# mistake. Then the same number of steps is shared by 4 and by 16 replicas. (If you have changed a file since you
# started the kernel, restart it first.)

# %%
from snippets.data.features import FeatureSet, StoredFeatures  # noqa: E402
from snippets.nets.zoo import NetConfig, build  # noqa: E402
from snippets.training.distributed.downpour import Downpour, Job  # noqa: E402
from snippets.training.distributed.machines import Cluster  # noqa: E402
from snippets.training.distributed.simulate import Simulation  # noqa: E402
from snippets.training.loop import train  # noqa: E402
from snippets.training.parameters import flatten  # noqa: E402
from snippets.training.settings import Settings  # noqa: E402

V, T, D, classes = 96, 6, 8, ["run", "jump", "throw"]
rng = np.random.default_rng(7)
labels = np.arange(V) % 3
features = 2 * rng.standard_normal((3, T, D))[labels] + 2 * rng.standard_normal((V, T, D))
names = [f"video {i}" for i in range(V)]
clips = FeatureSet(StoredFeatures(features.astype(np.float32), np.ones(1)), np.arange(V), labels, classes, names)
config = NetConfig(3, "features", "conv", T, fc=16, features=D, dropout=0.0)
settings = Settings(epochs=20, batch=8, lr=0.01, clip_norm=1.0)


def cluster(replicas):
    """Trains on that many simulated replicas and three shards; returns the parameters and what has happened."""
    job = Job(build(config, 1), clips, settings, Downpour(replicas, 3, fetch=1, push=1))
    trace = Simulation(job, Cluster()).run()
    return flatten(job.net.params), trace


try:
    net = build(config, 1)
    plain = train(net, clips, settings, progress=False)[-1]
    print(f"plain SGD     loss {plain['loss']:.3f}")
    for R in (1, 4, 16):
        w, trace = cluster(R)
        stale = sum(k * n for k, n in trace.staleness.items()) / sum(trace.staleness.values())
        off = abs(w - flatten(net.params)).max()
        print(f"{R:2} replicas   loss {np.mean(trace.loss[-12:]):.3f}, {trace.seconds:4.1f} seconds on paper, "
              f"staleness {stale:4.1f}, largest difference from plain SGD {off:.2g}")  # fmt: skip
except NotImplementedError as missing:
    print(f"{missing} is not written yet")

# %% [markdown]
# **What to see:** one replica differs from plain SGD by exactly 0. With R replicas R - 1 updates come between a fetch
# and its push: the run is R times as short, and the loss after the same number of clips is higher, because each
# gradient belongs to parameters that others have changed since. What happens with less momentum in `settings`?
# `snippets simulate --help` runs the same on your data, with machines that die and come back.
