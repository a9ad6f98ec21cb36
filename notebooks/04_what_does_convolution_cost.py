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
# # 4 · What does convolution cost?
#
# Nine tenths of the time of a convolutional network go into convolutions, and a convolution is nothing but
# multiplications and additions, of which a processor does many thousand millions in a second. The same sums can be done
# at a thousand different speeds. Here are six, on one and the same layer: GoogLeNet's `conv2`, 3 × 3 weights from 64 to
# 192 channels, on a map of 55 × 55 places.
#
# **Notation.** N images · H, W height and width · C channels · F filters · a *product* is one multiplication and the
# addition that goes with it. The times are of one core, the best of several tries. On your machine they are others, and
# the order is the same; those that are stored here were taken beside other work, and say no more than the orders of
# magnitude that the text talks about (`docs/performance.md` has times from a quiet machine).

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from walk import bet, mark, mark_same, prepare

from snippets.layers.conv import Conv2D, conv_forward, conv_plain, direct_sums
from snippets.nets.googlenet import googlenet
from snippets.nets.inspect.summary import layer_rows

prepare()

# %% [markdown]
# ## 4.1 Your bet
#
# Six loops in plain Python, over places, filters, and the 3 × 3 × 64 numbers that each output reads. How many times
# slower are they than the library?

# %%
MY_BET = 100  # times; put your own number here before you run the next cells

# %% [markdown]
# ## 4.2 The same sums, six times
#
# $$y_{pqf} = b_f + \sum_{i,j,c} x_{p+i,\, q+j,\, c}\, W_{ijcf}$$


# %%
def best(work, least=0.4):
    """Seconds that work() takes: the fastest of the calls that fit into `least` seconds, ten at least."""
    found = []
    while len(found) < 10 or sum(found) < least:
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


H, C, F, k = 55, 64, 192, 3
rng = np.random.default_rng(0)
x = np.maximum(rng.standard_normal((1, H, H, C)), 0).astype(np.float32)
layer = Conv2D(C, F, k, rng=rng)
W, b = layer.params["W"], layer.params["b"]
products = H * H * F * k * k * C
print(f"{products / 1e6:.0f} million products for one image")


def six_loops(x, W, b, places):
    """The outputs of the first few places, product by product."""
    x = np.pad(x[0], [(1, 1), (1, 1), (0, 0)]).tolist()
    weights, y = W.tolist(), []
    for p, q in places:
        row = []
        for f in range(F):
            total = float(b[f])
            for i in range(k):
                for j in range(k):
                    pixel, weight = x[p + i][q + j], weights[i][j]
                    for c in range(C):
                        total += pixel[c] * weight[c][f]
            row.append(total)
        y.append(row)
    return np.array(y)


exact = conv_plain(*(a.astype(np.float64) for a in (x, W, b)))  # (1, 55, 55, 192)
places = [(0, 0), (17, 30)]
started = time.perf_counter()
few = six_loops(x, W, b, places)
seconds = {"six loops in Python": (time.perf_counter() - started) * H * H / len(places)}
assert np.allclose(few, [exact[0, p, q] for p, q in places], atol=1e-4)

with direct_sums():  # no other algorithm than im2col
    assert np.allclose(conv_forward(x, W, b)[0], exact, atol=1e-3)
    seconds["a matrix product per place"] = best(lambda: conv_plain(x, W, b))
    seconds["im2col: one product"] = best(lambda: conv_forward(x, W, b))
seconds["interpolation (Winograd)"] = best(lambda: conv_forward(x, W, b))

a, w = rng.standard_normal((1024, 1024)).astype(np.float32), rng.standard_normal((1024, 1024)).astype(np.float32)
out = np.empty_like(a)
rate = 1024**3 / best(lambda: np.matmul(a, w, out=out))  # products per second
seconds["floor: its products at full speed"] = products / rate
print(f"one core does {rate / 1e9:.0f} thousand million products a second in a large matrix product")
for name, s in seconds.items():
    print(f"{name:35s} {1e3 * s:12.2f} ms   {s / seconds['interpolation (Winograd)']:10.1f}")
times = seconds["six loops in Python"] / seconds["interpolation (Winograd)"]
bet("how many times slower six loops are", MY_BET, times, "times")
assert times > 100 and seconds["a matrix product per place"] > seconds["im2col: one product"]

# %% [markdown]
# ## 4.3 The figure

# %%
names = list(seconds)
plt.figure(figsize=(8.5, 3.2))
colours = ["C6", "C5", "C0", "C2", "w"]
plt.barh(names, [1e3 * seconds[name] for name in names], color=colours, edgecolor="k", lw=0.8)
for row, name in enumerate(names):
    ms = 1e3 * seconds[name]
    plt.text(ms * 1.2, row, f"{ms / 1e3:.0f} s" if ms > 1e3 else f"{ms:.1f} ms", va="center")
plt.xscale("log")
plt.xlim(1, 3e6)
plt.gca().invert_yaxis()
plt.xlabel("time of one image (milliseconds)")
plt.show()

# %% [markdown]
# **What to see:** the axis is logarithmic; from the first bar to the last it is a factor of some ten thousand, for the
# same numbers. Python itself is the first thousand. The second step is *layout*: im2col copies every window into a row,
# nine times as much memory as the image, so that one large matrix product does everything: copying is cheap, a
# processor that waits is not.
#
# And the third step goes **below the floor**. The floor counts the products of the formula. Interpolation needs fewer:
# a square of 4 × 4 outputs takes 36 products per channel and filter where the formula has 144
# (`layers/fast/winograd.py`).
#
# ## 4.4 The bill
#
# Nothing is free. Interpolation adds numbers of different size before it multiplies, and that costs digits.

# %%
y = conv_forward(x, W, b)[0]
with direct_sums():
    direct = conv_forward(x, W, b)[0]
deviation = exact.std()
off = {name: np.sqrt(((a - exact) ** 2).mean()) / deviation for name, a in (("im2col", direct), ("interpolation", y))}
loud = x.copy()
loud[0, 20, 20, 0] = 1e5  # one pixel that is far louder than the others
exact_loud = conv_plain(*(a.astype(np.float64) for a in (loud, W, b)))
far = np.ones((H, H), bool)
far[19:22, 19:22] = False  # the outputs that read it
with direct_sums():
    direct_loud = conv_forward(loud, W, b)[0]
y_loud = conv_forward(loud, W, b)[0]
worst = {
    name: abs(a - exact_loud)[0][far].max() / deviation
    for name, a in (("im2col", direct_loud), ("interpolation", y_loud))
}
print("error, relative to the outputs' deviation:  typical    beside one pixel of 100,000")
for name in off:
    print(f"    {name:37s} {off[name]:8.1e}   {worst[name]:8.1e}")
assert off["interpolation"] < 1e-5 and worst["interpolation"] > 30 * worst["im2col"]

# %% [markdown]
# In ordinary maps it is the seventh digit instead of the eighth, and no training notices. Where one pixel is a hundred
# thousand times louder than its neighbours, they lose nearly all of theirs. `direct_sums()` is there for such a case.
#
# ## 4.5 Dozens of products for one question
#
# If products are this cheap, what is dear? Everything that touches memory once and does nothing with it. The backward
# pass of a ReLU asks, of every element, a question: was y positive?

# %%
n = H * H * F
dy, y_flat = rng.standard_normal(n).astype(np.float32), np.ascontiguousarray(y).reshape(-1)
out, mask, in_order = np.empty_like(dy), np.empty(n, bool), np.sort(y_flat)
one_product = 1 / rate
WAYS = {
    "np.where(y > 0, dy, 0)": lambda: np.where(y_flat > 0, dy, np.float32(0)),
    "the same where, y in order of size": lambda: np.where(in_order > 0, dy, np.float32(0)),
    "dy * (y > 0)": lambda: dy * (y_flat > 0),
    "the product, into arrays that are there": lambda: np.multiply(dy, np.greater(y_flat, 0, out=mask), out=out),
    "dy + dy": lambda: dy + dy,
    "dy.copy()": lambda: dy.copy(),
}
costs = {name: best(work) / n / one_product for name, work in WAYS.items()}
plt.figure(figsize=(8.5, 2.8))
plt.barh(list(costs), list(costs.values()), color="C1")
for row, cost in enumerate(costs.values()):
    plt.text(cost + 1, row, f"{cost:.0f}", va="center")
plt.gca().invert_yaxis()
plt.xlabel("price of one element, in products of a matrix product")
plt.show()
print(f"a where costs as much as {costs['np.where(y > 0, dy, 0)']:.0f} products")
assert costs["np.where(y > 0, dy, 0)"] > 8

# %% [markdown]
# **What to see:** asking one question per element costs as much as dozens of products, and a bare copy as much as a
# dozen. A layer that "computes nothing", a ReLU, a bias, is as dear as a thin convolution. Hence a habit of this
# project: bias and ReLU are applied while the block of y is still in the processor's cache (`layers.conv`).
#
# And `where` is not a cheap way to write the product. Compare the first two bars: the same work on the same number of
# elements, but in the second the answers come in order. A processor guesses which way a decision will go, and where yes
# and no are mixed it guesses wrong; a product has nothing to guess. In the library the mask is multiplied
# (`layers/relu.py`).
#
# ## 4.6 Where the time of GoogLeNet goes

# %%
rows = [row for row in layer_rows(googlenet(None), (1, 220, 220, 3)) if row.madds]
by_kernel = {"1 x 1": 0, "3 x 3": 0, "5 x 5": 0, "7 x 7": 0}
for row in rows:
    last = row.name.split("/")[-1]
    kernel = {"conv": "3 x 3" if "conv3" in row.name else "5 x 5", "conv2": "3 x 3"}.get(last, "1 x 1")
    by_kernel["7 x 7" if row.name == "conv1" else kernel] += row.madds
total = sum(by_kernel.values())
for kernel, madds in by_kernel.items():
    print(f"{kernel}: {madds / 1e6:5.0f} million products, {madds / total:.0%}")
print(f"all: {total / 1e9:.2f} thousand million, at full speed {1e3 * total / rate:.0f} ms a frame on this core")

# %% [markdown]
# Three fifths of it are 3 × 3, the kernel for which interpolation saves most. That is how a forward pass can take less
# time than its own products at full speed would (`docs/performance.md` has the times, taken on a quiet machine).
#
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise checks your answer.
#
# **1.** *im2col and back.* In one dimension, x (L,) and windows of 3: `cols` (L - 2, 3). The backward pass of the copy
# is a sum: each x hears from every window that it was copied into.


# %%
def cols_forward(x):
    """x (L,) -> cols (L - 2, 3)."""
    return np.stack([x[i : len(x) - 2 + i] for i in range(3)], axis=1)


def cols_backward(dy, x):
    """dy (L - 2, 3), x (L,) -> dx (L,)."""
    ...


# %% jupyter={"source_hidden": true}
mark(1, cols_forward, cols_backward, np.random.default_rng(1).standard_normal(8))

# %% [markdown]
# **2.** *Fewer products.* Squares of t × t outputs, k × k weights: interpolation takes $(t + k - 1)^2$ products per
# channel and filter and square. How many times fewer than the formula's $t^2 k^2$?


# %%
def saving(t, k):
    """-> ratio, at least 1."""
    ...


# %% jupyter={"source_hidden": true}
mark_same(2, saving, lambda t, k: t**2 * k**2 / (t + k - 1) ** 2, (4, 3), (4, 5), (1, 3), (6, 3))

# %% [markdown]
# **3.** Why not t = 16, then? (`layers/fast/winograd.py` says which numbers the matrices are made of: powers of the
# points. Try `np.vander`, and look at its condition.)
#
# **4.** Time the backward pass, `conv_backward`, with and without `direct_sums()`. How many forward passes is it worth?
#
# **Next:** `05_where_bugs_hide`.
