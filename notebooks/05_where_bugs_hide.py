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
# # 5 · Which layer hides bugs?
#
# Local response normalisation stands twice in GoogLeNet and in AlexNet. It has no parameters and four constants, and
# one of them, $\alpha = 10^{-4}$, is small. Its backward pass has two terms, and the second is proportional to
# $\alpha$.
#
# So: take a backward pass whose second term has the **wrong sign**. How wrong is it? Would a test notice? Would you?
#
# **Notation.** x of shape (..., C), C channels · n channels in a window, clipped at the first and the last ·
# $a$ is $\alpha$ (AlexNet) or $\alpha / n$ (Caffe, and with it GoogLeNet) · `dx` means $\partial L / \partial x$.
#
# $$s_c = k + a \sum_{|j-c| \le n/2} x_j^2, \qquad y_c = x_c\, s_c^{-\beta}, \qquad
# dx_c = dy_c\, s_c^{-\beta} - 2 a \beta\, x_c \sum_{|j-c| \le n/2} \frac{dy_j\, y_j}{s_j} .$$

# %%
import matplotlib.pyplot as plt
import numpy as np
from walk import as_caffe, bet, imagenet, mark, planted, prepare, real

from snippets.data.mini.make import look_of, paint_clip
from snippets.data.video import read_frames
from snippets.layers.core.base import Sequential
from snippets.layers.core.check import GradientError, check_layer
from snippets.layers.device.xp import to_numpy
from snippets.layers.lrn import LRN, lrn_backward, lrn_forward
from snippets.training.assignments.bugs import Bug

prepare()

# %% [markdown]
# ## 5.1 Your bet
#
# The test data are what most test data are: numbers between -1 and 1. The constants are AlexNet's: n = 5, k = 2,
# $\alpha = 10^{-4}$, $\beta = 0.75$. The second term of the backward pass gets the wrong sign. What is the largest
# error of `dx`, in per cent of the largest entry of `dx`?

# %%
MY_BET = 10  # per cent; put your own number here before you run the next cell

# %% [markdown]
# ## 5.2 Four wrong backward passes
#
# Each of these has been written by somebody in earnest. `planted` puts one of them into the running library: in its
# block, `lrn_backward` *is* wrong, for everybody who calls it. Three have a name in the list of planted bugs that the
# tests must notice (`tests/kit/planted_bugs.txt`); the fourth shows what a planted bug is: a file, a text in it,
# another text.

# %%
BUGS = {
    "second term missing": "the second term of dx is missing",
    "second term, wrong sign": Bug("wrong sign", "layers/lrn.py", [("-2 * a * beta", "2 * a * beta")]),
    "factor 2 missing": "the factor 2 is missing",
    "own channel only": "the cross-channel term of dx is dropped",
}


def gradients(x, dy, **options):
    """dx of the library, and of the library with each of the bugs."""
    _, cache = lrn_forward(x, **options)
    right, wrong = lrn_backward(dy, cache), {}
    for name, bug in BUGS.items():
        with planted(bug):
            wrong[name] = lrn_backward(dy, cache)
    assert (lrn_backward(dy, cache) == right).all()  # what is planted is gone again
    return right, wrong


def error(wrong, right):
    """The largest error in parts of the largest entry."""
    return float(abs(wrong - right).max() / abs(right).max())


rng = np.random.default_rng(0)
x, dy = (rng.uniform(-1, 1, (2, 3, 2, 32)) for _ in "xy")  # float64
right, wrong = gradients(x, dy)
for name, dx in wrong.items():
    print(f"{name:25s} {error(dx, right):.2e}")
bet("the error of a wrong sign", MY_BET, 100 * error(wrong["second term, wrong sign"], right), "% of the largest entry")
assert error(wrong["second term, wrong sign"], right) < 1e-3

# %% [markdown]
# Nothing is wrong that you would see. The second term has a factor of $2 a \beta x_c \, y_j / s_j$, about
# $10^{-4}$ here, and a sign is worth twice that.
#
# ## 5.3 The figure
#
# Now turn the one knob that decides how much there is to see.

# %%
alphas = np.logspace(-6, 0.5, 40)
curves = {name: [] for name in BUGS}
for alpha in alphas:
    right, wrong = gradients(x, dy, alpha=alpha)
    for name, dx in wrong.items():
        curves[name].append(error(dx, right))

LIMITS = {  # of tests, as they stand in public: relative, or of gradients of order one
    "Chainer, float16: 5e-3": 5e-3,
    "Chainer, float32, float64: 3e-3": 3e-3,
    "TensorFlow, float32: 1e-4": 1e-4,
    "this project, float64: 1e-6": 1e-6,
}

plt.figure(figsize=(7.5, 4.4))
for (name, curve), style in zip(curves.items(), ["C0-", "C3--", "C2-.", "C1:"], strict=True):
    plt.loglog(alphas, curve, style, lw=2, label=name)
for (name, limit), below in zip(LIMITS.items(), [False, True, False, False], strict=True):
    plt.axhline(limit, color="0.45", lw=0.8)
    plt.text(3.6, limit * (0.85 if below else 1.12), name, ha="right", va="top" if below else "bottom", fontsize=9)
plt.axvline(1e-4, color="k", lw=0.8)
plt.text(1.1e-4, 2.2, "AlexNet, GoogLeNet", fontsize=9)
plt.ylim(1e-7, 6)
plt.xlim(alphas[0], 4)
plt.xlabel("α")
plt.ylabel("largest error of dx, relative")
plt.legend(loc="upper left", bbox_to_anchor=(0, 0.93))
plt.show()
at = abs(np.log(alphas / 1e-4)).argmin()
assert all(curve[at] < 3e-3 for curve in curves.values())  # at the networks' alpha none reaches Chainer's limit
assert all(curve[-1] > 3e-3 for curve in curves.values())  # at alpha = 3 all do

# %% [markdown]
# **What to see:** the error is proportional to α, so what a test can find depends on the constants that it happens to
# use. At the networks' own α (the vertical line) all four wrong backward passes lie below the limits that Chainer's
# test has for this layer, and hardly above TensorFlow's. (TensorFlow's test draws α between 0 and 1, which saves it; in
# half precision it allows an error of 1.0.) A limit of $10^{-6}$ in double precision sees all of them everywhere.
#
# ## 5.4 A famous test, passed by a wrong sign
#
# Chainer is no more, but it was one of the best-tested libraries of its time. Its test of this layer
# (`test_local_response_normalization.py`) takes numbers between -1 and 1, α = 1e-4, and compares a difference quotient
# of **step 1** along a random direction with the backward pass, to `atol=3e-4, rtol=3e-3`. Written anew:


# %%
def like_chainers(x, dy, alpha, rng):
    """Whether lrn_backward passes a check of that kind."""
    u = rng.standard_normal(x.shape)
    u /= np.sqrt((u * u).sum())
    y, cache = lrn_forward(x, alpha=alpha)
    ahead, behind = (lrn_forward(x + step * u, alpha=alpha)[0] for step in (1, -1))
    numerical = float((dy * (ahead - behind)).sum() / 2)
    return abs(float((u * lrn_backward(dy, cache)).sum()) - numerical) <= 3e-4 + 3e-3 * abs(numerical)


def passed(bug, alpha, trials=200):
    """How many of so many draws of the test data pass with the bug."""
    rng, count = np.random.default_rng(1), 0
    with planted(bug):
        for _ in range(trials):
            x, dy = (rng.uniform(-1, 1, (2, 3, 2, 7)) for _ in "xy")
            count += like_chainers(x, dy, alpha, rng)
    return count


print("                         passes of 200: alpha = 1e-4   alpha = 1")
table = {name: (passed(bug, 1e-4), passed(bug, 1.0)) for name, bug in BUGS.items()}
for name, (small, large) in table.items():
    print(f"{name:25s} {small:26d} {large:11d}")
assert all(small == 200 and large < 100 for small, large in table.values())


# %% [markdown]
# All 800 checks pass. With α = 1 the same test would have found every one of them at the first or second try.
#
# The *forward* test of the same file has a surprise of its own. It compares with a slow plain version, which is the
# right idea; but that version sums over channels `max(0, c - 2)` to `min(7, c + 2)`, and in Python the last one is left
# out. The reference is wrong, for every channel but the last ones, and no one could see it:


# %%
def plain(x, last, alpha):
    """y, one channel after the other; last = 3: the window c-2 ... c+2, last = 2: the channel c+2 is left out."""
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        y[..., c] = x[..., c] / (2 + alpha * (x[..., max(0, c - 2) : c + last] ** 2).sum(axis=-1)) ** 0.75
    return y


for alpha in (1e-4, 1.0):
    y = lrn_forward(x, alpha=alpha)[0]
    for last in (3, 2):
        found = np.allclose(plain(x, last, alpha), y, rtol=1e-4, atol=1e-5)
        print(f"alpha = {alpha:<7g} reference with {2 + last} channels: {'agrees' if found else 'is found out'}")
        assert found == (last == 3 or alpha == 1e-4)

# %% [markdown]
# Others met the same thing from the other side. Deeplearning4j shipped an LRN whose backward pass was wrong, and the
# report (deeplearning4j/deeplearning4j#7272) says how it stayed unseen: "Smaller values of alpha (<=1e-4) pass gradient
# checks." Deeppy shipped one whose backward pass was that of another layer (andersbll/deeppy#15).
#
# What finds them is not a cleverer test but an honest one: constants of order one, double precision, a limit of
# $10^{-6}$.

# %%
for alpha in (1e-4, 1.0):
    layer, found = LRN(alpha=alpha), []
    for bug in BUGS.values():
        with planted(bug):
            try:
                check_layer(layer, rng.uniform(-1, 1, (2, 3, 7)))
            except GradientError as complaint:
                found.append(str(complaint))
    print(f"alpha = {alpha:<7g} check_layer finds {len(found)} of {len(BUGS)}")
    assert len(found) == len(BUGS)
print(found[1])

# %% [markdown]
# ## 5.5 Then it does not matter?
#
# An error of a ten-thousandth does no harm to a training. If it stayed one. But the second term grows with $x^2$, and
# networks do not see numbers between -1 and 1: Caffe's GoogLeNet reads pixels, less their mean, between -123 and 151.
# Let us look at what arrives at its first LRN. With the weights that the network was published with, where they are
# there (the folder in the environment variable `SNIPPETS_SHARED`, else `../shared/data` beside the checkout); else with
# random weights of the usual size; on a real clip or on a rendered one. (On a GPU, too, what arrives goes on in NumPy:
# the planted bugs are in NumPy's backward pass.)

# %%
net, names = imagenet()
clip = real("clips/v_Basketball_g01_c01.avi", "a rendered clip")
if clip:
    frames = [f for f, _ in zip(read_frames(clip, fps=2, size=(224, 224)), range(4), strict=False)]
else:
    frames = paint_clip("StarDance", look_of("StarDance", 0, 1), np.random.default_rng(0), 16, 224)[::4]

stem = Sequential(conv1=net.layers["conv1"], pool1=net.layers["pool1"])
arriving = to_numpy(stem.predict(as_caffe(frames))).astype(np.float64)  # (frames, 56, 56, 64)
caffe = dict(k=1.0, divide_by_n=True)  # alpha = 1e-4 as before, a = 2e-5
upstream = rng.standard_normal(arriving.shape)
right, wrong = gradients(arriving, upstream, **caffe)
s = lrn_forward(arriving, **caffe)[1][1]
size = np.sqrt((arriving**2).mean())
print(f"what arrives: root mean square {size:.0f}; s - k: median {np.median(s - 1):.2g}, largest {s.max() - 1:.2g}")


def typical(dx):
    """The error of a gradient as a whole: |wrong - right| / |right|."""
    return float(np.sqrt(((dx - right) ** 2).sum() / (right**2).sum()))


real_errors = {name: typical(dx) for name, dx in wrong.items()}
small_right, small_wrong = gradients(x, dy, **caffe)
small_errors = {
    name: float(np.sqrt(((dx - small_right) ** 2).sum() / (small_right**2).sum())) for name, dx in small_wrong.items()
}

fig, (left, middle) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=[1, 1.25])
left.hist(s.ravel() - 1, np.logspace(-4, 2, 60), color="C0")
left.axvline(1, color="k", lw=0.8)
left.text(1.15, 0.93, "k", transform=left.get_xaxis_transform())
left.set(xscale="log", xlabel="s − k, at every pixel and channel", ylabel="how often", yticks=[])
rows = np.arange(len(BUGS))
middle.barh(rows - 0.2, [100 * small_errors[name] for name in BUGS], 0.38, color="C5", label="numbers from −1 to 1")
middle.barh(rows + 0.2, [100 * real_errors[name] for name in BUGS], 0.38, color="C3", label="what really arrives")
for row, name in zip(rows, BUGS, strict=True):
    middle.text(100 * real_errors[name] * 1.15, row + 0.2, f"{100 * real_errors[name]:.0f} %", va="center", fontsize=9)
    middle.text(
        100 * small_errors[name] * 1.15, row - 0.2, f"{100 * small_errors[name]:.4f} %", va="center", fontsize=9
    )
middle.set(
    xscale="log", xlim=(1e-4, 3e3), yticks=rows, yticklabels=list(BUGS), xlabel="error of the gradient, per cent"
)
middle.invert_yaxis()
middle.legend(loc="upper right", bbox_to_anchor=(1, 1.17), ncols=2)
plt.show()
factor = real_errors["second term, wrong sign"] / small_errors["second term, wrong sign"]
print(
    f"the wrong sign: {100 * real_errors['second term, wrong sign']:.0f} % of the gradient, {factor:.0f} times as much"
)
assert real_errors["second term, wrong sign"] > 0.05 and factor > 100

# %% [markdown]
# **What to see:** the left half shows what α = 1e-4 is for. On real pixels the sum of squares, times $a$, is of the
# order of k and above (right of the line it is larger), so the layer does normalise. And there the wrong sign, a matter
# of the fifth digit in the test, spoils a good part of the gradient of everything below: of `conv1`, the filters that
# see.
#
# The test looked at a corner of the layer where it is nearly the identity. *Choose test data that the layer does
# something to*: for every term of your equations, ask which input would make it the largest one.
#
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise checks your backward pass against numerical derivatives,
# under a random upstream gradient, with constants of order one.
#
# **1.** *Divisive normalisation over all channels*: $y_c = x_c / s$ with $s = 1 + \sum_j x_j^2$. One $s$ for all
# channels of a row; which outputs does $x_c$ touch?


# %%
def divisive_forward(x):
    """x (N, C) -> y (N, C)."""
    return x / (1 + (x**2).sum(axis=1, keepdims=True))


def divisive_backward(dy, x):
    """dy, x (N, C) -> dx (N, C)."""
    ...


# %% jupyter={"source_hidden": true}
mark(1, divisive_forward, divisive_backward, np.random.default_rng(1).standard_normal((3, 5)))

# %% [markdown]
# **2.** *A one-sided window*: $y_c = x_c / (1 + x_{c-1}^2)$, with $x_{-1} = 0$. In the backward pass the window looks
# to the other side. Why?


# %%
def one_sided_forward(x):
    """x (N, C) -> y (N, C)."""
    before = np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
    return x / (1 + before**2)


def one_sided_backward(dy, x):
    """dy, x (N, C) -> dx (N, C)."""
    ...


# %% jupyter={"source_hidden": true}
mark(2, one_sided_forward, one_sided_backward, np.random.default_rng(2).standard_normal((3, 5)))

# %% [markdown]
# **3.** Keep α = 1e-4 and multiply the test data of 5.4 by 100 instead. Does that test find the bugs? Why does its step
# of 1 not disturb it then?
#
# **4.** Which of the planted bugs of `layers/lrn.py` (`walk.BUGS` has them all) change the *forward* pass? Does
# `check_layer` find those? What would?
#
# **Next:** `03_wrong_gradients_learn_too`.
