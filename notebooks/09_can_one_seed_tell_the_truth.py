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
# # 9 · Can one seed tell the truth?
#
# "Our head has 94.3 %, the baseline 91.4 %." Papers are full of such sentences, and mostly each number is one training
# from one seed. Train both again, from another seed: does the sentence hold?
#
# Here five ways to join the frames of a clip (`nets.zoo`) are trained on real features of UCF-101 videos, sixteen times
# each, everything alike but the seed: the weights at the start, the order of the clips, the masks of dropout.
#
# **Notation.** Hit@1: the share of test videos whose most probable class is the true one.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from walk import bet, mark_same, prepare, real

from snippets.data.features import FeatureSet, StoredFeatures, load_features
from snippets.nets.zoo import NetConfig, build
from snippets.training.evaluate import evaluate
from snippets.training.experiments.statistics import bootstrap, wilson
from snippets.training.loop import train
from snippets.training.settings import Settings

prepare()

# %% [markdown]
# ## 9.1 Your bet
#
# There are five heads. Sixteen seeds make sixteen small "papers", each of which trains every head once and puts the
# best of them into its abstract. How many different heads are the winner of at least one paper?

# %%
MY_BET = 2  # of five; put your own number here before you run the next cells

# %% [markdown]
# ## 9.2 Eighty trainings
#
# The features are of VGG-16, 25 frames a video, reduced to 128 numbers by principal components: 105 videos of five
# classes of UCF-101, 35 of them for the test (official split 1; `ucf101_features/fixture_5cls_pca128_f16.npz` in the
# folder that `SNIPPETS_SHARED` names, else in `../shared/data` beside the checkout). Where the file is not, features
# are drawn that are as many and as hard.

# %%
SEED, SEEDS, HEADS = 0, 16, ("average", "conv", "slow", "rnn", "lstm")


def drawn():
    """A training and a test set of the same sizes: frames that differ little, of videos that differ much."""
    rng = np.random.default_rng(0)
    centres, labels = rng.standard_normal((5, 128)), np.arange(105) % 5
    group, video = rng.standard_normal((21, 128))[np.arange(105) // 5], rng.standard_normal((105, 128))
    own = 0.55 * centres[labels] + 0.5 * group + video  # what videos of a class, of a group share, and what they do not
    feat = (own[:, None] + 0.4 * rng.standard_normal((105, 25, 128))).astype("f")
    names = [f"{'abcde'[k]}/v_{'abcde'[k]}_g{i // 5:02d}_c01.avi" for i, k in enumerate(labels)]
    stored = StoredFeatures(feat, np.ones(1), unit=True)
    return [
        FeatureSet(stored, rows, labels[rows], list("abcde"), [names[i] for i in rows])
        for rows in (np.arange(70), np.arange(70, 105))
    ]


path = real("ucf101_features/fixture_5cls_pca128_f16.npz", "features that are drawn")
train_set, test_set = load_features(path, unit=True) if path else drawn()
print(f"{len(train_set)} videos to train on, {len(test_set)} to test, of {len(train_set.classes)} classes")


def hits(head, seed):
    """Which of the test videos are right, (V,) of 0 and 1, after a training from that seed."""
    config = NetConfig(5, "features", head, 25, fc=64, units=32, depth=1, dropout=0.3, features=train_set.dim)
    net = build(config, seed)
    settings = Settings(epochs=8, batch=10, lr=0.05, decay=0.8, clip_norm=5.0, seed=seed)
    train(net, train_set, settings, progress=False)
    result = evaluate(net, test_set)
    return result.probabilities.argmax(axis=1) == result.labels


right = {head: np.array([hits(head, 100 * SEED + n) for n in range(SEEDS)], float) for head in HEADS}  # (seeds, V)
percent = {head: 100 * right[head].mean(axis=1) for head in HEADS}  # (seeds,)

# %% [markdown]
# ## 9.3 The figure: dots and intervals

# %%
V = len(test_set)
fig, ax = plt.subplots(figsize=(8.5, 4.2))
jitter = np.linspace(-0.22, 0.22, SEEDS)
for place, head in enumerate(HEADS):
    mean = percent[head].mean()
    low, high = (100 * p for p in wilson(mean / 100, V))
    ax.fill_between([place - 0.36, place + 0.36], low, high, color="C5", alpha=0.25, lw=0)
    ax.plot(place + jitter, percent[head], "o", color="C0", ms=5, alpha=0.8)
    ax.plot([place - 0.36, place + 0.36], [mean, mean], "C3", lw=2)
ax.plot([], [], "o", color="C0", label="a seed")
ax.plot([], [], "C3", lw=2, label="mean of all seeds")
ax.fill_between([], [], color="C5", alpha=0.25, label=f"95 % interval for {V} test videos (Wilson)")
ax.set_xticks(range(len(HEADS)), HEADS)
ax.set(ylabel="Hit@1, per cent")
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
plt.show()

ranks = np.array([percent[head] for head in HEADS])  # (heads, seeds)
winners = ranks == ranks.max(axis=0)
print("head      mean   std of seeds   from      to   papers that it wins, alone or with others")
for place, head in enumerate(HEADS):
    p = percent[head]
    print(f"{head:8s} {p.mean():5.1f} {p.std(ddof=1):14.1f} {p.min():6.1f} {p.max():7.1f} {winners[place].sum():8d}")
bet("heads that win a paper", MY_BET, int(winners.any(axis=1).sum()), "of 5")
spread = {head: percent[head].max() - percent[head].min() for head in HEADS}
assert max(spread.values()) > 100 / V  # at least one head differs by more than one video between its seeds

# %% [markdown]
# **What to see:** a column of dots is *one* method. It is as tall as, or taller than, the distances between the red
# lines, which are what papers write about. And the pale boxes say how much 35 test videos can know at all: even a mean
# over infinitely many seeds would lie in a box of that height, because other test videos would have given another
# number.
#
# ## 9.4 The ranking turns
#
# Each column is a paper; in it the heads are ranked, from the best (dark) to the worst.

# %%
place_of = (-ranks).argsort(axis=0, kind="stable").argsort(axis=0)  # (heads, seeds): 0 is the best
fig, ax = plt.subplots(figsize=(8.5, 2.8))
ax.imshow(place_of, cmap="Blues_r", vmin=-0.5, vmax=5, aspect="auto")
for (row, column), place in np.ndenumerate(place_of):
    ax.text(column, row, place + 1, ha="center", va="center", color="w" if place < 2 else "k", fontsize=9)
ax.set_xticks(range(SEEDS))
ax.set_yticks(range(len(HEADS)), HEADS)
ax.set_xlabel("paper (seed)")
plt.show()
orders = {tuple(column) for column in place_of.T}
print(f"{len(orders)} different rankings in {SEEDS} papers (of equal accuracies the first in the list comes first)")

turned = np.zeros((len(HEADS), len(HEADS)))
for a in range(len(HEADS)):
    for b in range(len(HEADS)):
        sign = np.sign(ranks[a].mean() - ranks[b].mean())
        turned[a, b] = (np.sign(ranks[a] - ranks[b]) == -sign).mean() if sign else 0
pairs = turned[np.triu_indices(len(HEADS), 1)]
print(
    f"of two heads, the one that is worse on average is ahead in {pairs.min():.0%} to {pairs.max():.0%} of the papers"
)
assert len(orders) > 1

# %% [markdown]
# **What to see:** no row has one colour. Read any single column and you could write a story about it.
#
# ## 9.5 What may be said, then?
#
# Compare two heads on the *same* videos and the *same* seeds, and ask for an interval of the difference. Videos of one
# group (one actor, one place) are alike and must be drawn together; and so must all that belongs to a seed. That is
# what `snippets compare` prints.

# %%
first = HEADS[0]
fig, ax = plt.subplots(figsize=(7.5, 2.6))
for place, head in enumerate(HEADS[1:]):
    mean, low, high = (100 * x for x in bootstrap(right[head] - right[first], test_set.groups))
    one = 100 * (right[head] - right[first]).mean(axis=1)
    ax.plot(one, np.full(SEEDS, place) + 0.22, "|", color="C6", ms=9)
    ax.plot([low, high], [place, place], "C0", lw=3)
    ax.plot(mean, place, "o", color="C3")
    print(f"{head:6s} less {first}: {mean:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}; "
          f"of single seeds {one.min():+.1f} to {one.max():+.1f}")  # fmt: skip
ax.axvline(0, color="k", lw=0.8)
ax.set_yticks(range(len(HEADS) - 1), HEADS[1:])
ax.set(xlabel=f"points more than {first}", ylim=(-0.5, len(HEADS) - 1.4))
ax.invert_yaxis()
plt.show()

# %% [markdown]
# **What to see:** (grey: single seeds; blue: the interval) where a blue bar holds zero, this test set cannot say which
# of the two is better, however many seeds you add: what is missing are videos. Where it does not, the sign can be
# trusted, and the size is somewhere in the bar.
#
# How many videos would it take? The interval shrinks with the square root of their number. A difference of two points
# on a level of 90 % is two standard errors wide at about 1,800 independent videos; with UCF-101's whole test list,
# 3,783 videos of about 700 groups, one can just about talk of two points.
#
# ## Exercises
#
# Replace each `...`; the collapsed cell below each exercise compares with the library.
#
# **1.** *Wilson's interval* of a share p of n, at z = 1.96. (The formula stands in
# `training/experiments/statistics.py`; try to get it from $|p - q| \le z \sqrt{q (1 - q) / n}$, solved for q.)


# %%
def my_wilson(p, n):
    """-> (low, high)."""
    ...


# %% jupyter={"source_hidden": true}
mark_same(1, my_wilson, wilson, (0.9, 35), (0.5, 100), (1.0, 35), (0.03, 3783))

# %% [markdown]
# **2.** *How often does the worse one win?* Two methods have the true accuracies a > b, and a paper's numbers scatter
# around them with standard deviation s each, normally and independently. In which share of papers is b ahead?
# (`scipy.stats.norm.cdf`)


# %%
def upset(a, b, s):
    """-> probability that the worse one is ahead."""
    ...


# %% jupyter={"source_hidden": true}
mark_same(2, upset, lambda a, b, s: norm.sf((a - b) / (s * np.sqrt(2))), (94, 92, 1.5), (90, 89.5, 2), (80, 70, 1))

# %% [markdown]
# **3.** Choose, for each head, the best of its 16 seeds, and report that. By how many points does every head become
# better? (This is done.)
#
# **4.** In `Settings` take `lr=0.005` and 40 epochs. Do the dots come closer together? Do the boxes?
#
# **Next:** `10_can_one_frame_become_120`.
