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
# # 14 · Museum of bugs
#
# The tests of this project keep a list of wrong lines, each realistic, each planted alone into a layer
# (`tests/kit/planted_bugs.txt`). And they keep seven *kinds of tests*, as people write them for layers: a gradient
# check, the same with a loss that is a plain sum, one in single precision, a look at shapes, promises that need no
# right answer, "does it still learn?", and an oracle, the formula written a second time in slow plain loops
# (`tests/kit/kinds_of_tests.py`).
#
# Every bug was held against every kind, once (`snippets museum`, some minutes; the result is kept in
# `docs/museum/matrix.csv`). Here we look at the matrix, and into three of its cells.

# %%
import csv

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from walk import HERE, bet, mark_same, planted, prepare

import snippets.layers.loss
from snippets.layers.core.check import GradientError, check_layer
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.temporal import TemporalMaxPool

prepare()
KINDS = ["gradient check", "ones upstream", "float32", "shapes", "invariants", "it still learns", "oracle"]
with (HERE.parent / "docs" / "museum" / "matrix.csv").open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))
print(f"{len(ROWS)} planted bugs in {len({row['file'] for row in ROWS})} files")

# %% [markdown]
# ## 14.1 Your bet
#
# A gradient check in double precision, of every entry, to six digits, under a random upstream gradient, is the best
# test that most people write. Of every hundred of these bugs, how many does it **miss**?

# %%
MY_BET = 10  # of a hundred; put your own number here before you run the next cell

# %% [markdown]
# ## 14.2 The figure

# %%
CODE = {"seen": 2, "missed": 1, "": 0}
matrix = np.array([[CODE[row[kind]] for kind in KINDS] for row in ROWS])  # (bugs, kinds)
tried, seen = (matrix > 0).sum(axis=0), (matrix == 2).sum(axis=0)
order = np.lexsort([*(matrix == 2).T[::-1], -(matrix == 2).sum(axis=1)])
by_power = np.argsort(seen / tried)

fig, ax = plt.subplots(figsize=(10, 3.6))
ax.imshow(matrix[order][:, by_power].T, cmap=ListedColormap(["white", "C1", "C0"]), vmin=0, vmax=2, aspect="auto",
          interpolation="none")  # fmt: skip
ax.set_yticks(range(len(KINDS)), [KINDS[k] for k in by_power])
for place, k in enumerate(by_power):
    ax.text(len(ROWS) + 1, place, f"{seen[k]} of {tried[k]}", va="center", fontsize=9, clip_on=False)
    if place:
        ax.axhline(place - 0.5, color="w", lw=3)
ax.set(xlabel="planted bugs", xticks=[])
for spine in ax.spines.values():
    spine.set_visible(False)
ax.tick_params(length=0)
ax.set_title("seen (blue) or missed (orange)", loc="left")
plt.show()
gradient = KINDS.index("gradient check")
missed = tried[gradient] - seen[gradient]
bet("bugs that a gradient check alone misses", MY_BET, 100 * missed / tried[gradient], "of 100")
print(f"it was tried on {tried[gradient]} and missed {missed}")
assert 0 < missed < tried[gradient]

# %% [markdown]
# **What to see:** the row of the gradient check has a long orange stretch, and it is not noise. What lies there are
# layers that compute *something else*, with a backward pass that is the exact derivative of it. The check asks whether
# the backward pass belongs to this forward pass. It has no opinion on what should be computed.
#
# And near the top is what many projects rely on: "it still learns". Four of five wrong layers do.
#
# ## 14.3 Which kinds do you need?
#
# Take the kind that sees most; then the one that sees most of the rest; and so on.

# %%
left, chosen, curve = np.ones(len(ROWS), bool), [], [0]
while left.any():
    gain = ((matrix == 2) & left[:, None]).sum(axis=0)
    if not gain.max():
        break
    chosen.append(int(gain.argmax()))
    left &= matrix[:, chosen[-1]] != 2
    curve.append(int((~left).sum()))
    print(f"{KINDS[chosen[-1]]:16s} sees {gain.max():3d} more: {curve[-1]} of {len(ROWS)}")
if left.any():
    print(f"{left.sum()} are seen by none of these kinds, but by a test of their own")

# %% [markdown]
# ## 14.4 Three exhibits, live
#
# **The maximum that was the last frame.** A pooling layer that returns the last frame of a clip, whatever it holds, and
# sends its gradient there.

# %%
x = np.random.default_rng(0).permutation(2 * 5 * 3).reshape(2, 5, 3).astype(float)
with planted("the maximum is the last frame", "layers/temporal.py"):
    layer = TemporalMaxPool()
    errors = check_layer(layer, x)
    wrong = layer.predict(x)
print(f"gradient check: passes, worst error {max(errors.values()):.0e}")
print(f"oracle, x.max(axis=1): {'agrees' if np.array_equal(wrong, x.max(axis=1)) else 'is found out'}")
assert not np.array_equal(wrong, x.max(axis=1))

# %% [markdown]
# **The loss without a gradient.** With ones as upstream gradient, a softmax whose backward pass returns nothing but
# zeros is right (walkthrough 1.6 says why).

# %%
scores, labels = np.random.default_rng(1).standard_normal((3, 4)), np.array([0, 3, 1])
with planted("the gradient is zero", "layers/loss.py"):
    loss, dscores = snippets.layers.loss.softmax_loss(scores, labels)
print(f"the loss is {loss:.3f}, as it should be; the largest entry of its gradient is {abs(dscores).max():.1f}")
assert abs(dscores).max() == 0

# %% [markdown]
# **The peephole that a new network does not have.** The cell is read three ways, and one of them is dropped from the
# backward pass: the one through the output gate's peephole. Peepholes are zero in a new network, so a check of a new
# network finds nothing to complain about. TensorFlow shipped a wrong gradient of peepholes, on GPUs only
# (tensorflow/tensorflow#34171).

# %%
for peepholes in (0.0, 1.0):
    rng = np.random.default_rng(2)
    layer = PeepholeLSTM(3, 4, rng).convert(lambda a: a.astype(np.float64))
    layer.params["W_c"][...] = peepholes * rng.standard_normal((3, 4))
    with planted("dc through the output gate's peephole is dropped", "layers/lstm.py"):
        try:
            check_layer(layer, rng.standard_normal((2, 4, 3)))
            print(f"peepholes times {peepholes:.0f}: passes")
            assert peepholes == 0
        except GradientError as error:
            print(f"peepholes times {peepholes:.0f}: {error}")
            assert peepholes == 1

# %% [markdown]
# Each exhibit passes a test that looks thorough. What they have in common is the reason: the *input* of the test could
# not tell right from wrong. (A page per family of bugs, with symptoms and the public threads where libraries shipped
# them, is in `docs/museum`.)
#
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise plants bugs and sees whether your check tells them from the
# right layer.
#
# **1.** *Tell the maximum.* Given a function that pools x (N, T, D) over time, is it the maximum? Return True or False,
# from inputs of your own. You may not call `max` on all of x and compare (that would be an oracle): use *invariants*.
# What may be done to the frames without changing their maximum? What must change it?


# %%
def looks_like_a_maximum(pool):
    """pool: x (N, T, D) float64 -> y (N, D). -> True or False."""
    ...


# %% jupyter={"source_hidden": true}
def maximum(x):
    return TemporalMaxPool().predict(x)


def last_frame(x):
    return x[:, -1].copy()


def from_zero(x):
    return np.maximum(x.max(axis=1), 0)


def mean(x):
    return x.mean(axis=1)


cases = [(maximum,), (last_frame,), (from_zero,), (mean,)]
mark_same(1, looks_like_a_maximum, lambda pool: pool is maximum, *cases)

# %% [markdown]
# **2.** *Tell the gradient.* Given backward(dy, y) of a softmax, and a way to compute y: is it right? You get one
# chance to choose dy.


# %%
def upstream_that_tells(y):
    """y (N, K), a softmax's output -> dy (N, K), under which a backward pass of zeros is wrong in every row."""
    ...


# %% jupyter={"source_hidden": true}
def least_row(dy, y):
    return abs(y * (dy - (dy * y).sum(axis=1, keepdims=True))).max(axis=1).min() > 1e-3


def tells(y):
    dy = upstream_that_tells(y)
    return None if dy is None else least_row(np.asarray(dy, float), y)


y = np.exp(np.random.default_rng(3).standard_normal((4, 5)))
mark_same(2, tells, lambda y: True, (y / y.sum(axis=1, keepdims=True),))

# %% [markdown]
# **3.** In 14.3 leave the oracle out. Which bugs are left, and what would find them?
#
# **4.** Plant a bug of your own (`05_where_bugs_hide` shows how) that none of the seven kinds sees. Is it one?
#
# **Next:** what the library itself looks like: `layers/core/base.py`.
