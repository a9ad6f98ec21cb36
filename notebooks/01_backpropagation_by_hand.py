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
# # 1 · Back-propagation by hand
#
# A network is a function of its input and of many parameters, and a loss $L$ says in one number how wrong its answer
# is. To train it we need the derivative of $L$ with respect to *every* parameter. Back-propagation gets them all in one
# sweep from the loss back to the input, for about the price of two forward passes. It is the chain rule and nothing
# else.
#
# Here we work it out on paper, write it down in NumPy, and believe nothing that a numerical derivative does not
# confirm. We start with one number and end with a convolutional network that trains in twenty lines.
#
# **Notation.** N samples · D features · M units · K classes · H, W height and width · C channels · F filters.
# For any array `x`, `dx` means $\partial L / \partial x$: an array of the same shape as `x`, one derivative for each
# entry. Every shape in this notebook can be checked with this rule alone.

# %%

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import convolve2d, correlate2d
from walk import mark, prepare

import snippets.layers.linear
import snippets.layers.loss
import snippets.layers.relu
from snippets.layers.conv import Conv2D, conv_backward, conv_forward
from snippets.layers.core.base import Sequential
from snippets.layers.core.check import GradientError, check_gradient, check_layer
from snippets.layers.linear import Linear
from snippets.layers.pool import GlobalAvgPool, MaxPool2D

prepare()  # figures; one thread for matrices this small
plt.rcParams["image.cmap"] = "gray"

# %% [markdown]
# ## 1.1 One number
#
# The smallest network has one weight, one bias and one input. Cut the computation into steps so small that each has a
# derivative you know:
#
# $$a = wx + b, \qquad y = \sigma(a) = \frac{1}{1 + e^{-a}}, \qquad L = \tfrac12 (y - t)^2 .$$
#
# Now walk back. Each line takes the derivative already found and multiplies it by the derivative of one step:
#
# $$dy = \frac{\partial L}{\partial y} = y - t, \qquad da = dy \cdot \sigma'(a) = dy \cdot y(1 - y), \qquad
# dw = da \cdot x, \quad db = da, \quad dx = da \cdot w .$$
#
# Two things are already visible. The backward pass needs numbers from the forward pass ($y$, $x$, $w$): these are the
# **cache**. And each step needs only its own derivative and the number that arrives from above, the **upstream
# gradient**. A step need not know which network it is in.


# %%
def forward(w, b, x, t):
    a = w * x + b
    y = 1 / (1 + np.exp(-a))
    return 0.5 * (y - t) ** 2, (w, x, y, t)  # the loss, and what the backward pass will need


def backward(cache):
    w, x, y, t = cache
    dy = y - t
    da = dy * y * (1 - y)
    return da * x, da, da * w  # dw, db, dx


w, b, x, t = 1.5, -0.5, 2.0, 0.0
L, cache = forward(w, b, x, t)
dw, db, dx = backward(cache)

h = 1e-5  # a small step: what does the loss really do?
numerical = (forward(w + h, b, x, t)[0] - forward(w - h, b, x, t)[0]) / (2 * h)
print(f"L = {L:.6f}    dw = {dw:.8f} by hand, {numerical:.8f} by trying it")
assert abs(dw - numerical) < 1e-9

rate = 0.1  # a step against the gradient changes L by about -rate (dw^2 + db^2)
change = forward(w - rate * dw, b - rate * db, x, t)[0] - L
print(f"one step downhill changes L by {change:.6f}, predicted {-rate * (dw**2 + db**2):.6f}")
assert change < 0 and abs(change / (rate * (dw**2 + db**2)) + 1) < 0.05

# %% [markdown]
# ## 1.2 The numerical derivative, and how far to trust it
#
# "Trying it" decides what is right in this whole project, so it must be exact. Taylor's series says what the difference
# quotients leave out:
#
# $$\frac{f(x+h) - f(x)}{h} = f'(x) + O(h), \qquad D(h) = \frac{f(x+h) - f(x-h)}{2h} = f'(x) + O(h^2) .$$
#
# The $h^2$ term of $D(2h)$ is four times that of $D(h)$, so a combination of both cancels it:
#
# $$\frac{4 D(h) - D(2h)}{3} = f'(x) + O(h^4) .$$
#
# Why not simply take a tiny $h$? Because $f$ is rounded to about 16 digits (float64), an error of $\varepsilon |f|$
# that the division by $h$ blows up to $\varepsilon |f| / h$. Smaller steps trade one error for the other.


# %%
def f(x):
    return np.exp(np.sin(3 * x))


x0 = 0.7
exact = 3 * np.cos(3 * x0) * f(x0)
steps = np.logspace(-12, -0.5, 93)


def central(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def relative_error(numerical):
    return np.maximum(abs(numerical / exact - 1), 1e-17)  # a logarithmic axis has no zero


single = np.float32(x0), np.float32(steps)
errors = {
    "forward difference": relative_error((f(x0 + steps) - f(x0)) / steps),
    "central, D(h)": relative_error(central(f, x0, steps)),
    "extrapolated, (4 D(h) - D(2h))/3": relative_error((4 * central(f, x0, steps) - central(f, x0, 2 * steps)) / 3),
    "central, in float32": relative_error(central(f, *single).astype(float)),
}

plt.figure(figsize=(7.5, 4))
for (name, error), style in zip(errors.items(), ["C1", "C0", "C2", "C3--"], strict=True):
    plt.loglog(steps, error, style, lw=1.3, label=name)
plt.axvline(1e-4, color="k", lw=0.8, ls=":")
plt.text(1.3e-4, 3e-17, "$h$ of layers.core.check", fontsize=9)
plt.ylim(1e-17, 1e2)
plt.xlabel("step size $h$")
plt.ylabel("relative error of $f'(x)$")
plt.legend(loc="lower left", fontsize=9)
plt.show()

mild = (steps > 3e-3) & (steps < 3e-2)  # here Taylor's error dominates: its power is the slope of the curve
beside = (steps > 3e-5) & (steps < 3e-4)
typical = {name: np.median(error[beside]) for name, error in errors.items()}
for name, error in errors.items():
    slope = np.polyfit(np.log(steps[mild]), np.log(error[mild]), 1)[0]
    print(f"{name:34s}  slope {slope:.1f}   best error {error.min():.0e}   near h = 1e-4 {typical[name]:.0e}")
forward_error, central_error, extrapolated_error, single_error = typical.values()
assert extrapolated_error < 1e-10 < central_error < 1e-6 < forward_error < single_error

# %% [markdown]
# **What to see:** from the right each curve falls with its own power of $h$, 1, 2 and 4; from the left all rise like
# $1/h$, the rounding error; the extrapolated difference has its valley deepest, and float32 never gets beyond a few
# digits (at its left end $x + h$ is rounded to $x$ and the difference is nothing).
#
# Hence the two habits of this project: networks *run* in float32 and are *checked* in float64, and
# `layers.core.check.check_gradient` uses the extrapolated difference at $h = 10^{-4}$, which gives some ten digits. A
# gradient that agrees to six digits is right; one that agrees to two is wrong.
#
# ## 1.3 Layers
#
# ### Linear
#
# N samples of D features each go to M units:
#
# $$y_{nm} = \sum_d x_{nd} W_{dm} + b_m \qquad\text{or}\qquad y = xW + b .$$
#
# Somebody hands us $dy$, of shape (N, M). Which outputs does $W_{dm}$ touch? $y_{nm}$ for every sample $n$. So sum over
# all the ways in which it acts, and the same for $x_{nd}$, which touches every unit $m$, and $b_m$:
#
# $$dW_{dm} = \sum_n x_{nd}\, dy_{nm}, \qquad dx_{nd} = \sum_m dy_{nm} W_{dm}, \qquad db_m = \sum_n dy_{nm} .$$
#
# These sums are matrix products, and the shapes leave only one way to write them: $dW$ is (D, M), made of
# $x$ (N, D) and $dy$ (N, M), so it can only be $x^\top dy$.


# %%
def linear_forward(x, W, b):
    """x (N, D), W (D, M), b (M,) -> y (N, M), cache."""
    return x @ W + b, (x, W)


def linear_backward(dy, cache):
    """dy (N, M) -> dx (N, D), dW (D, M), db (M,)."""
    x, W = cache
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


# %% [markdown]
# ### ReLU
#
# $y = \max(x, 0)$, element by element. Where $x > 0$ the slope is one and $dx = dy$; elsewhere nothing gets through.


# %%
def relu_forward(x):
    """x -> y of the same shape, cache."""
    return np.maximum(x, 0), x


def relu_backward(dy, cache):
    """dy -> dx, of the same shape."""
    return dy * (cache > 0)


# %% [markdown]
# ### Softmax and its loss
#
# Scores $s$ of K classes become probabilities, and the loss is minus the logarithm of the true class $t$:
#
# $$p_k = \frac{e^{s_k}}{\sum_j e^{s_j}}, \qquad L = -\log p_t = -s_t + \log \sum_j e^{s_j} .$$
#
# Differentiate the last form: the first term gives $-1$ at the true class, the second gives $p_k$. So
#
# $$\frac{\partial L}{\partial s_k} = p_k - [k = t] ,$$
#
# what the network says minus what it should have said. We take the *sum* over samples, so that the gradients of two
# halves of a batch add up to the gradient of the whole.


# %%
def softmax_loss(scores, labels):
    """scores (N, K), labels (N,) integers -> L, dscores (N, K)."""
    p = np.exp(scores - scores.max(axis=1, keepdims=True))  # the shift changes nothing, and exp cannot overflow
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    dscores = p.copy()
    dscores[rows, labels] -= 1
    return -np.log(p[rows, labels]).sum(), dscores


rng = np.random.default_rng(0)
x, W, b, dy = (rng.standard_normal(shape) for shape in [(4, 5), (5, 3), 3, (4, 3)])
labels = np.array([2, 0, 1, 2])

y, cache = linear_forward(x, W, b)
ours = [y, *linear_backward(dy, cache), relu_backward(dy, relu_forward(y)[1]), *softmax_loss(y, labels)]
y, cache = snippets.layers.linear.linear_forward(x, W, b)
theirs = [
    y,
    *snippets.layers.linear.linear_backward(dy, cache),
    snippets.layers.relu.relu_backward(dy, snippets.layers.relu.relu_forward(y)[1]),
]
theirs += snippets.layers.loss.softmax_loss(y, labels)
for a, c in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(a, c, rtol=1e-12, atol=1e-12)
print("the three layers above agree with snippets.layers.linear, snippets.layers.relu and snippets.layers.loss")

# %% [markdown]
# ## 1.4 A network
#
# A network's backward pass is its forward pass read from the bottom up. Every forward line has one backward line that
# takes its output's gradient and returns its inputs' gradients.


# %%
def network(params, x, labels):
    """Two layers; x (N, D) -> L and the gradient of every parameter."""
    a, cache1 = linear_forward(x, params["W1"], params["b1"])  # (N, M)
    z, cache2 = relu_forward(a)
    scores, cache3 = linear_forward(z, params["W2"], params["b2"])  # (N, K)
    L, dscores = softmax_loss(scores, labels)

    dz, dW2, db2 = linear_backward(dscores, cache3)  # the same lines, from the last to the first
    da = relu_backward(dz, cache2)
    dx, dW1, db1 = linear_backward(da, cache1)
    return L, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "x": dx}


N, D, M, K = 6, 5, 8, 3
shapes = {"W1": (D, M), "b1": (M,), "W2": (M, K), "b2": (K,), "x": (N, D)}
params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
labels = rng.integers(K, size=N)
L, grads = network(params, params["x"], labels)

print(f"L = {L:.4f};  gradient, shape, worst relative error against numerical derivatives:")
for name in params:

    def loss(value, name=name):
        tried = {**params, name: value}
        return network(tried, tried["x"], labels)[0]

    print(f"  d{name:3s} {grads[name].shape!s:7s}  {check_gradient(loss, params[name], grads[name], name):.1e}")

# %% [markdown]
# ## 1.5 Check your own
#
# `check_gradient(f, x, dx)` takes any function that turns an array into a number, and the gradient that you claim for
# it. It returns the worst relative error, or raises a `GradientError` that says which entry is wrong and by how much.
# Here is $f(x) = \sum x \tanh x$. Put in a function of yours.


# %%
def mine(x):
    return float((x * np.tanh(x)).sum())


def mine_gradient(x):
    return np.tanh(x) + x * (1 - np.tanh(x) ** 2)  # the product rule


x = rng.standard_normal((2, 3))
print(f"right: worst relative error {check_gradient(mine, x, mine_gradient(x)):.1e}")

# %% [markdown]
# Now plant some bugs. Each of the following has been written by somebody in earnest: half of the product rule; a bias
# gradient averaged over the batch where it should be summed; a ReLU that asks for the sign of `dy` and not of `x`.


# %%
def caught(f, x, dx, name="x"):
    """The checker's complaint about dx, or None."""
    try:
        check_gradient(f, x, dx, name)
    except GradientError as error:
        return str(error)


x, W, b, dy = (rng.standard_normal(shape) for shape in [(4, 5), (5, 3), 3, (4, 3)])
y, _ = linear_forward(x, W, b)
bugs = {
    "half a product rule": (mine, x, np.tanh(x), "x"),
    "db averaged": (lambda b: float((linear_forward(x, W, b)[0] * dy).sum()), b, dy.mean(axis=0), "b"),
    "mask of the wrong array": (lambda y: float((relu_forward(y)[0] * dy).sum()), y, dy * (dy > 0), "y"),
}
for bug, case in bugs.items():
    complaint = caught(*case)
    assert complaint
    print(f"{bug}:\n    {complaint}")

# %% [markdown]
# ## 1.6 Why the upstream gradient must be random
#
# A layer does not return a number but an array, so to check it we need a loss. Take $L = \sum r \cdot y$ with some
# array $r$; then $dy = r$. The laziest choice is $r = 1$, the plain sum of the outputs, and it is a trap.
#
# Softmax, $y = \mathrm{softmax}(s)$, always sums to one. So $L = \sum y$ is constant, its gradient is zero, and a
# backward pass that returns *nothing but zeros* agrees with it. The right one is
#
# $$ds_k = \sum_j dy_j \frac{\partial y_j}{\partial s_k} = y_k \Bigl( dy_k - \sum_j dy_j\, y_j \Bigr) .$$


# %%
def softmax_backward(dy, y):
    """dy, y (N, K) -> ds (N, K)."""
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


def zero_backward(dy, y):
    return np.zeros_like(y)


def numerical_gradient(f, x, h=1e-4):
    """Plain central differences, entry by entry."""
    moves = h * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([(f(x + move) - f(x - move)) / (2 * h) for move in moves]).reshape(x.shape)


s = rng.standard_normal((4, 5))
y = snippets.layers.loss.softmax(s)
agrees = {}
for name, r in {"ones": np.ones_like(y), "random": rng.standard_normal(y.shape)}.items():
    truth = numerical_gradient(lambda s, r=r: float((snippets.layers.loss.softmax(s) * r).sum()), s)
    print(f"upstream {name:6s}: the largest derivative is {abs(truth).max():.0e}")
    for backward_pass in (softmax_backward, zero_backward):
        agrees[name, backward_pass] = np.allclose(backward_pass(r, y), truth, atol=1e-8)
        print(f"    {backward_pass.__name__:17s}{'passes' if agrees[name, backward_pass] else 'is found out'}")

assert agrees["ones", softmax_backward] and agrees["ones", zero_backward]  # ones cannot tell them apart
assert agrees["random", softmax_backward] and not agrees["random", zero_backward]

# %% [markdown]
# So `check_layer`, which checks a whole layer at once, draws $r$ at random. A random $r$ weighs every output
# differently, and no error can hide in a sum.
#
# ## 1.7 Kinks
#
# ReLU has no derivative at zero. We say 0, a central difference that straddles the kink says something between 0 and 1,
# and neither is wrong. A checker must not call that a bug, nor may it look away from real ones beside it.

# %%
h = 0.1
x = np.linspace(-0.4, 0.4, 401)


def relu(x):
    return np.maximum(x, 0)


near, far = central(relu, x, h), central(relu, x, 2 * h)
bend = (relu(x + h) - 2 * relu(x) + relu(x - h)) / h  # slope to the right minus slope to the left

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3), sharex=True)
left.plot(x, x > 0, "k", lw=1, label="what backward returns")
left.plot(x, near, "C0", label="$D(h)$")
left.plot(x, far, "C1", label="$D(2h)$")
left.set(xlabel="$x$", ylabel="derivative of ReLU")
left.legend(fontsize=9, loc="lower right")
right.plot(x, abs(near - far), "C3", label="$|D(h) - D(2h)|$")
right.plot(x, bend, "C4--", label="right slope minus left slope")
right.set(xlabel="$x$", ylabel="disagreement", ylim=(-0.05, 1.4))
right.legend(fontsize=9, loc="upper left")
plt.show()

assert abs(near - far)[abs(x) > 2 * h + 1e-9].max() < 1e-12  # silent on smooth ground
assert abs(near - far)[200] < 1e-12 and bend[200] > 0.99  # x = 0: the first is blind, the second is not

x = rng.standard_normal((4, 10))
x[1, 2] = 0.0  # on the kink
x[2, 5] = 5e-5  # beside it, closer than the step of 1e-4
dx = (x > 0).astype(float)
print(f"zeros left out, the rest right: {check_gradient(lambda x: float(relu(x).sum()), x, dx):.1e}")
dx[3, 3] += 0.01
assert caught(lambda x: float(relu(x).sum()), x, dx)
print("a bug beside them is still found:", caught(lambda x: float(relu(x).sum()), x, dx))
assert "kink" in caught(lambda x: float(relu(x).sum()), np.zeros((2, 3)), np.zeros((2, 3)))

# %% [markdown]
# **What to see:** the two differences disagree around the kink and nowhere else (red), except *at* zero, where by
# symmetry both say ½; there the slopes to the right and to the left differ most (dashed).
#
# `check_gradient` watches both. It tries a suspect entry again with smaller steps, which gets it off a kink that it was
# merely near, and leaves the entry out if that does not help. If more than a tenth of all entries are kinks it refuses
# the input: with nothing checked, "passed" would be a lie.
#
# ## 1.8 Convolution
#
# Slide a filter over an image and take the sum of products at every place (one image, one channel, no padding):
#
# $$y_{pq} = \sum_{i,j} x_{p+i,\,q+j}\, W_{ij} .$$
#
# Which outputs does the pixel $x_{hw}$ touch? Those with $p + i = h$ and $q + j = w$. Collect them:
#
# $$dx_{hw} = \sum_{i,j} dy_{h-i,\,w-j}\, W_{ij} .$$
#
# The same kind of sum, but $dy$ is read *backwards* as $i$ and $j$ run forwards. Turn the filter by 180° and it is a
# sum of products again: **the backward pass of a convolution is a convolution with the turned filter**, over $dy$ with
# a border of zeros. And $W_{ij}$ touches every output, each time through another pixel:
#
# $$dW_{ij} = \sum_{p,q} dy_{pq}\, x_{p+i,\,q+j} ,$$
#
# a convolution of the image with $dy$. (Mathematicians call the first of these sums a *correlation* and keep
# "convolution" for the second. Deep learning calls everything convolution.)

# %%
x = rng.integers(0, 6, (4, 4)).astype(float)
W = np.array([[1, 2, 0], [0, -1, 3], [1, 0, -2]], float)
dy = np.array([[1, -1], [2, 3]], float)

y = correlate2d(x, W, mode="valid")  # SciPy's, an independent witness
dx = convolve2d(dy, W, mode="full")
padded, turned = np.pad(dy, 2), W[::-1, ::-1]
assert np.array_equal(dx, correlate2d(padded, turned, mode="valid"))

# layers.conv takes images (N, H, W, C) and filters (kh, kw, C, F): here one of each
layer_y, cache = conv_forward(x.reshape(1, 4, 4, 1), W.reshape(3, 3, 1, 1), np.zeros(1), pad="valid")
layer_dx, layer_dW, _ = conv_backward(dy.reshape(1, 2, 2, 1), cache)
assert np.array_equal(layer_y.reshape(2, 2), y)
assert np.array_equal(layer_dx.reshape(4, 4), dx)
assert np.array_equal(layer_dW.reshape(3, 3), correlate2d(x, dy, mode="valid"))


def show_numbers(ax, a, title, corner=None, size=3):
    """A small array as a grid of numbers; `corner` (row, column) draws a box of size x size there."""
    ax.imshow(a, cmap="RdBu", vmin=-16, vmax=16)
    middle = (len(a) - 1) / 2
    ax.set(xlim=(middle - 3, middle + 3), ylim=(middle + 3, middle - 3))  # six squares wide, whatever a's size
    for (r, c), value in np.ndenumerate(a):
        ax.text(c, r, f"{value:.0f}", ha="center", va="center", fontsize=11)
    if corner is not None:
        box = (corner[1] - 0.46, corner[0] - 0.46), size - 0.08, size - 0.08
        ax.add_patch(plt.Rectangle(*box, fill=False, ec="k", lw=2))
    ax.set_title(title, fontsize=10, y=0.52 + len(a) / 12)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


fig, axes = plt.subplots(2, 3, figsize=(9, 6.4))
show_numbers(axes[0, 0], x, "input $x$", (0, 1))
show_numbers(axes[0, 1], W, "filter $W$")
show_numbers(axes[0, 2], y, "output $y$", (0, 1), 1)
show_numbers(axes[1, 0], padded, "upstream gradient $dy$, with a border of zeros", (1, 2))
show_numbers(axes[1, 1], turned, "$W$ turned by 180°")
show_numbers(axes[1, 2], dx, "input gradient $dx$", (1, 2), 1)
plt.show()


def spell_out(under, weights):
    return " + ".join(f"{a:.0f}*{b:.0f}" for a, b in zip(under.flat, weights.flat, strict=True) if a and b)


print(f"boxed, forward:  {spell_out(x[:3, 1:], W)} = {y[0, 1]:.0f}")
print(f"boxed, backward: {spell_out(padded[1:4, 2:5], turned)} = {dx[1, 2]:.0f}")

# %% [markdown]
# **What to see:** above, the boxed part of $x$ times $W$ gives the boxed number of $y$; below, the same game with the
# turned filter over the padded $dy$ gives $dx$. SciPy and `layers.conv`, which works on batches with channels and
# strides, agree to the last digit.
#
# ## 1.9 A network that sees
#
# Everything is there for a small convolutional network. The task: 16×16 images of noise with three short strokes,
# bright or dark, all in one of four directions. Name the direction.


# %%
CLASSES = ["—", "/", "|", "\\"]


def render(n, rng, side=16, strokes=3):
    """n images (n, side, side, 1) float32, labels (n,): 0 level, 1 rising, 2 upright, 3 falling."""
    labels = rng.integers(4, size=n)
    angle = (labels * np.pi / 4 + rng.uniform(-0.15, 0.15, n))[:, None, None]
    y, x = np.mgrid[:side, :side]
    images = 0.25 * rng.standard_normal((n, side, side))
    for _ in range(strokes):
        cy, cx = rng.uniform(3, side - 4, (2, n, 1, 1))
        along = (x - cx) * np.cos(angle) - (y - cy) * np.sin(angle)
        across = (x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        distance = np.hypot(np.maximum(abs(along) - 3, 0), across)  # pixels from a line six pixels long
        images += rng.choice([-1, 1], (n, 1, 1)) * np.exp(-((distance / 0.8) ** 2))
    return images[..., None].astype(np.float32), labels


test_x, test_labels = render(500, np.random.default_rng(1))
fig, axes = plt.subplots(1, 8, figsize=(10, 1.6))
for n, ax in enumerate(axes):
    example = np.flatnonzero(test_labels == n % 4)[n // 4]
    ax.imshow(test_x[example, :, :, 0], vmin=-1.3, vmax=1.3)
    ax.set_title(CLASSES[n % 4])
    ax.axis("off")
plt.show()

# %% [markdown]
# Two convolutions with ReLUs, pooling, an average over the whole map, and a linear layer. Every layer of this project
# has the two methods that you wrote above, `forward(x) -> y, cache` and `backward(dy, cache) -> dx, grads`, and
# `Sequential` chains them. Before it trains, it is checked: in float64, along three random directions for every array,
# for there are too many entries to check each.


# %%
def build(rng):
    return Sequential(
        conv1=Conv2D(1, 8, 7, relu=True, rng=rng),  # (N, 16, 16, 8)
        pool1=MaxPool2D(3, 2),  # (N, 8, 8, 8)
        conv2=Conv2D(8, 16, 3, relu=True, rng=rng),  # (N, 8, 8, 16)
        average=GlobalAvgPool(),  # (N, 16)
        scores=Linear(16, 4, rng),  # (N, 4)
    )


checked = build(np.random.default_rng(0)).convert(lambda a: a.astype(np.float64))
for name, error in check_layer(checked, test_x[:4].astype(np.float64), directions=3).items():
    print(f"  {name:9s} {error:.0e}")

# %% [markdown]
# Now train it, with nothing up the sleeve: draw a batch, go forward, go back, step downhill.

# %%
SEED = 0
rng = np.random.default_rng(SEED)
net = build(rng)
before = net.params["conv1/W"].copy()  # (7, 7, 1, 8)
losses, accuracies = [], []
batch, rate, steps = 32, 0.4, 240

for step in range(steps):
    x, labels = render(batch, rng)
    scores, cache = net.forward(x)
    loss, dscores = snippets.layers.loss.softmax_loss(scores, labels, weight=1 / batch)  # the mean over the batch
    _, grads = net.backward(dscores, cache)
    for name, array in net.params.items():
        array -= rate * grads[name]
    losses.append(float(loss))
    if step % 20 == 19:
        accuracies.append((net.predict(test_x).argmax(axis=1) == test_labels).mean())

print(f"loss {np.mean(losses[:10]):.2f} -> {np.mean(losses[-20:]):.2f} (guessing: log 4 = {np.log(4):.2f})")
print(f"accuracy on 500 images never trained on: {accuracies[-1]:.1%} (guessing: 25 %)")
assert np.mean(losses[-20:]) < 0.3 and accuracies[-1] > 0.95  # five seeds on four kinds of processor: 0.07, 98 %

fig, left = plt.subplots(figsize=(7, 3))
left.plot(losses, "C0", lw=0.8)
left.axhline(np.log(4), color="C0", ls=":", lw=0.8)
left.set(xlabel="step", ylim=(0, None))
left.set_ylabel("loss of the batch", color="C0")
right = left.twinx()
right.plot(np.arange(19, steps, 20), accuracies, "C1.-")
right.set(ylim=(0, 1.02))
right.set_ylabel("test accuracy", color="C1")
plt.show()

# %% [markdown]
# **What to see:** for the first steps nothing seems to happen (dotted: the loss of a guess); then the filters find the
# strokes and the loss falls. Where it jumps, a step was too long: the rate is near the largest that works for plain SGD
# here. With another `SEED`, or on another processor, whose sums differ in their last bits, the curve is another one and
# its end is the same.
#
# ## 1.10 What it has learnt to see

# %%
filters = [net.params["conv1/W"][:, :, 0, f] for f in range(8)]
strokes, stroke_labels = render(400, np.random.default_rng(2), strokes=1)  # one stroke alone
maps, _ = net.layers["conv1"].forward(strokes)  # (N, 16, 16, 8)
peaks = maps.max(axis=(1, 2))  # (N, 8): each filter's strongest answer to each image
tuning = np.array([peaks[stroke_labels == k].mean(axis=0) for k in range(4)])  # (4, 8)
tuning /= tuning.max(axis=0)
order = np.lexsort((-tuning.max(axis=0), tuning.argmax(axis=0)))

fig, axes = plt.subplots(3, 8, figsize=(10, 4.2), height_ratios=[1, 1, 0.9])
for n, f in enumerate(order):
    for row, a in enumerate((before[:, :, 0, f], filters[f])):
        axes[row, n].imshow(a, vmin=-abs(a).max(), vmax=abs(a).max())
        axes[row, n].set(xticks=[], yticks=[])
        axes[row, n].spines[:].set_visible(False)
    axes[2, n].bar(CLASSES, tuning[:, f], color="C0")
    axes[2, n].set(ylim=(0, 1.05), yticks=[0, 1] if n == 0 else [])
for ax, label in zip(axes[:, 0], ["before", "after", "answer"], strict=True):
    ax.set_ylabel(label)
plt.show()
preferred = set(tuning.argmax(axis=0).tolist())
print("directions that some filter answers most:", " ".join(CLASSES[k] for k in sorted(preferred)))
assert len(preferred) >= 3

# %% [markdown]
# **What to see:** the first layer's filters, random before (top), have become little strokes (middle), bright or dark;
# the bars are each filter's mean strongest answer to strokes of the four directions, relative to its best.
#
# Nobody told the network that strokes matter. The loss said how wrong the answer was, and the chain rule told each of
# the 392 numbers in these filters in which direction to move. Filters like these are what the first layer of AlexNet
# and of GoogLeNet learns from photographs, and what Hubel and Wiesel found in the visual cortex of cats.
#
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise checks your backward pass against numerical derivatives,
# under a random upstream gradient.
#
# **1.** *Leaky ReLU* lets a tenth through where $x < 0$: $y = \max(x, 0) + 0.1 \min(x, 0)$. What is its backward pass?


# %%
def leaky_forward(x):
    return np.maximum(x, 0) + 0.1 * np.minimum(x, 0)


def leaky_backward(dy, x):
    """dy, x of one shape -> dx."""
    ...


# %% jupyter={"source_hidden": true}
mark(1, leaky_forward, leaky_backward, np.random.default_rng(1).standard_normal((4, 5)))

# %% [markdown]
# **2.** *Normalised rows*: $y_n = x_n / \lVert x_n \rVert$. Every output of a row depends on every input of that row,
# as in softmax. Would an upstream gradient of ones find a missing term here?


# %%
def normalise_forward(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def normalise_backward(dy, x):
    """dy, x (N, D) -> dx (N, D)."""
    ...


# %% jupyter={"source_hidden": true}
mark(2, normalise_forward, normalise_backward, np.random.default_rng(2).standard_normal((4, 5)))

# %% [markdown]
# **3.** *Stride two*, in one dimension: $y_p = \sum_i x_{2p+i} W_i$. What is between the numbers of $dy$ when you
# run the turned filter over it? (Or write the loops: for each $p$ and $i$, which `dx` hears from `dy[p]`?)

# %%
TAPS = np.array([1.0, -2.0, 0.5])


def strided_forward(x):
    """x (L,) -> y ((L - 3) // 2 + 1,)."""
    return np.correlate(x, TAPS, mode="valid")[::2]


def strided_backward(dy, x):
    """dy ((L - 3) // 2 + 1,), x (L,) -> dx (L,)."""
    ...


# %% jupyter={"source_hidden": true}
mark(3, strided_forward, strided_backward, np.random.default_rng(3).standard_normal(12))

# %% [markdown]
# **4.** In 1.9 set `relu=False` in both convolutions: the network learns the task all the same. Then take `pool1` out
# too, and it learns nothing at all. What does max-pooling have that a convolution has not? (Hint: each stroke is bright
# or dark with equal odds. What is the mean of a linear answer to it?)
#
# **5.** In 1.6, find a layer of your own for which ones as upstream gradient let a wrong backward pass through. (Hint:
# any layer whose outputs have a constant sum.)
#
# **Next:** `02_peephole_lstm`, where the chain rule runs through time.
