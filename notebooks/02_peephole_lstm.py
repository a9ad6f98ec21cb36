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
# # 2 · The peephole LSTM
#
# The paper reads a video frame by frame with long short-term memory cells (section 3.2, Equations 3–7). We start from
# the plain recurrent network that they replace (Equations 1–2), see why its gradient fades, write one step of the LSTM
# from the equations, derive its backward pass line by line, and check both. Then we train it where order matters, and
# watch its gates on a real video.
#
# You need `01_backpropagation_by_hand`: the chain rule, caches, and `check_gradient` with a random upstream gradient.
# Section 2.5 shows the finished backward pass: to write it yourself, stop there and do assignment A5 first ("On your
# own" in docs/assignments.md).
#
# **Notation.** N clips · T frames · D features per frame · M units · K classes. Rows are clips: `x` is (N, T, D), time
# is always axis 1. The paper writes $Wx$ with columns; with rows it reads $xW$. `dx` is $\partial L / \partial x$.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from walk import SHARED, mark, prepare

from snippets.data.mini.make import make_mini
from snippets.data.video import read_frames
from snippets.layers.core.base import Sequential
from snippets.layers.core.check import GradientError, check_gradient, check_layer
from snippets.layers.linear import Linear
from snippets.layers.loss import softmax, softmax_loss
from snippets.layers.lstm import GATES, PeepholeLSTM, lstm_backward, lstm_forward, lstm_step, lstm_step_backward, split
from snippets.layers.relu import ReLU
from snippets.layers.rnn import RNN, rnn_forward
from snippets.layers.temporal import TemporalMaxPool
from snippets.training.objective import gain
from snippets.training.sgd import SGD, exponential

prepare()  # figures; one thread for matrices this small


def float64(a):
    return a.astype(np.float64)


# %% [markdown]
# ## 2.1 A network that remembers
#
# A recurrent network keeps a vector $h$ that it carries from frame to frame:
#
# $$h_t = \mathcal{H}(W_{ih} x_t + W_{hh} h_{t-1} + b_h) \quad (1) \qquad\qquad y_t = W_{ho} h_t + b_o \quad (2)$$
#
# with $\mathcal{H}$ the logistic function $\sigma$. The weights are the same at every frame, so a clip may have any
# length. Equation 1 is one line, and (2) is a linear layer applied to each frame:


# %%
def sigma(z):
    return 1 / (1 + np.exp(-z))


rng = np.random.default_rng(0)
N, T, D, M = 3, 7, 4, 5
x, h0 = rng.standard_normal((N, T, D)), rng.standard_normal((N, M))
W_x, W_h, b = rng.standard_normal((D, M)), rng.standard_normal((M, M)), rng.standard_normal(M)

h, states = h0, []
for t in range(T):
    h = sigma(x[:, t] @ W_x + h @ W_h + b)  # (1), (N, M)
    states.append(h)
np.testing.assert_allclose(np.stack(states, axis=1), rnn_forward(x, h0, W_x, W_h, b)[0], rtol=1e-12)
print("Equation 1 agrees with layers.rnn")

# %% [markdown]
# ## 2.2 Why it forgets
#
# Unrolled over T frames it is a network T layers deep, and back-propagation runs through all of them. The gradient that
# reaches $h_{t-1}$ from $h_t$ has been through the slope of $\mathcal{H}$ and through $W_{hh}$:
#
# $$dh_{t-1} = \bigl( dh_t \odot \mathcal{H}'(a_t) \bigr) W_{hh}^\top, \qquad
# \sigma' = \sigma (1 - \sigma) \le \tfrac14 .$$
#
# Do this 60 times and you have multiplied 60 such factors. If they are smaller than one the gradient **vanishes**: the
# network cannot learn that something at frame 1 mattered, for hardly any gradient arrives there. If they are larger it
# **explodes**. Let us measure. A random upstream gradient enters at the last frame *only*; how much arrives at frame t?

# %%
T, D, M = 60, 16, 32
x = rng.standard_normal((8, T, D))


def arriving(layer, last):
    """Norm (T,) of the gradient that each frame's input receives when only the last frame's output has one."""
    h, cache = layer.convert(float64).forward(x)
    dh = np.zeros_like(h)
    dh[:, -1] = last
    dx, _ = layer.backward(dh, cache)
    return np.sqrt((dx**2).sum(axis=(0, 2)))


large = RNN(D, M, np.random.default_rng(1), "tanh")
large.params["W_h"] *= 3
nets = {
    "RNN, logistic": RNN(D, M, np.random.default_rng(1)),
    "RNN, tanh": RNN(D, M, np.random.default_rng(1), "tanh"),
    "RNN, tanh, 3 W_hh": large,
    "LSTM, b_f = 1": PeepholeLSTM(D, M, np.random.default_rng(1), forget_bias=1.0),
    "LSTM, b_f = 3": PeepholeLSTM(D, M, np.random.default_rng(1), forget_bias=3.0),
}
last = rng.standard_normal((8, M))
factor = {}
plt.figure(figsize=(7.5, 3.8))
for (name, net), style in zip(nets.items(), ["C3", "C1", "C1--", "C0", "C0-."], strict=True):
    norm = arriving(net, last)
    plt.semilogy(np.arange(1, T + 1), norm, style, label=name)
    factor[name] = (norm[-41] / norm[-11]) ** (1 / 30)  # geometric mean over thirty frames
    print(f"{name:22s} x {factor[name]:.2f} for each frame further back")
plt.ylim(1e-20, 1e10)
plt.xlabel("frame $t$")
plt.ylabel("gradient arriving at $x_t$ (norm)")
plt.legend(fontsize=9, loc="lower left")
plt.show()

assert factor["RNN, logistic"] < 0.3 < factor["RNN, tanh"] < 0.8
assert factor["RNN, tanh, 3 W_hh"] > 1.1
assert 0.95 < factor["LSTM, b_f = 3"] < 1.05

# %% [markdown]
# **What to see:** read from right to left; the logistic RNN's gradient is below float32's resolution after a dozen
# frames, three times larger weights turn the fading of the tanh RNN into an explosion, and the LSTM with its forget
# gates open ($b_f = 3$) hands the gradient back over sixty frames almost unharmed.
#
# A plain RNN would need its weights tuned to the edge between the two fates, and training moves them. The LSTM takes
# another way: it *adds*.
#
# ## 2.3 The cell
#
# Each unit has a cell $c_t$, one number, that is carried on by multiplication with a **forget gate** $f_t$ and an
# addition; an **input gate** $i_t$ says what may enter, an **output gate** $o_t$ what may be seen. All gates are
# numbers between 0 and 1:
#
# $$\begin{aligned}
# i_t &= \sigma(W_{xi} x_t + W_{hi} h_{t-1} + W_{ci} c_{t-1} + b_i) && (3) \\
# f_t &= \sigma(W_{xf} x_t + W_{hf} h_{t-1} + W_{cf} c_{t-1} + b_f) && (4) \\
# c_t &= f_t c_{t-1} + i_t \tanh(W_{xc} x_t + W_{hc} h_{t-1} + b_c) && (5) \\
# o_t &= \sigma(W_{xo} x_t + W_{ho} h_{t-1} + W_{co} c_t + b_o) && (6) \\
# h_t &= o_t \tanh(c_t) && (7)
# \end{aligned}$$
#
# From (5), $\partial c_t / \partial c_{t-1}$ contains $f_t$ as it is, without a squashing slope and without a
# matrix. With $f_t$ near one the gradient walks straight through.
#
# The terms $W_{ci} c_{t-1}$, $W_{cf} c_{t-1}$, $W_{co} c_t$ are the **peepholes**: each gate of a unit looks at that
# unit's own cell, so these weights are vectors, multiplied element by element. Note the one odd man out: the output
# gate sees the *new* cell $c_t$, which exists by then.
#
# Here is the step, written from the equations with a matrix for every symbol, and nothing clever:


# %%
def step(x, h_prev, c_prev, P):
    """x (N, D), h_prev and c_prev (N, M), P: every weight by its name -> h, c (N, M), cache."""
    i = sigma(x @ P["W_xi"] + h_prev @ P["W_hi"] + c_prev * P["W_ci"] + P["b_i"])  # (3)
    f = sigma(x @ P["W_xf"] + h_prev @ P["W_hf"] + c_prev * P["W_cf"] + P["b_f"])  # (4)
    g = np.tanh(x @ P["W_xc"] + h_prev @ P["W_hc"] + P["b_c"])
    c = f * c_prev + i * g  # (5)
    o = sigma(x @ P["W_xo"] + h_prev @ P["W_ho"] + c * P["W_co"] + P["b_o"])  # (6)
    h = o * np.tanh(c)  # (7)
    return h, c, (x, h_prev, c_prev, i, f, g, o, c)


N, D, M = 3, 4, 5
P = {f"W_x{k}": rng.standard_normal((D, M)) for k in "ifco"}
P |= {f"W_h{k}": rng.standard_normal((M, M)) for k in "ifco"}
P |= {f"W_c{k}": rng.standard_normal(M) for k in "ifo"}
P |= {f"b_{k}": rng.standard_normal(M) for k in "ifco"}
x, h_prev, c_prev = rng.standard_normal((N, D)), rng.standard_normal((N, M)), rng.standard_normal((N, M))


def pack(P):
    """Our matrices in the layout of layers.lstm: the gates side by side, so that four products become one."""
    side_by_side = {name: np.concatenate([P[f"{name}{k}"] for k in "ifco"], axis=-1) for name in ("W_x", "W_h", "b_")}
    return side_by_side["W_x"], side_by_side["W_h"], np.stack([P[f"W_c{k}"] for k in "ifo"]), side_by_side["b_"]


assert GATES == "ifgo"  # the library calls the cell's input g; its place is the same
h, c, cache = step(x, h_prev, c_prev, P)
library_h, library_c, library_cache = lstm_step(x, h_prev, c_prev, *pack(P))
np.testing.assert_allclose(h, library_h, rtol=1e-12)
np.testing.assert_allclose(c, library_c, rtol=1e-12)
print("Equations 3-7 agree with layers.lstm; packed shapes:", [a.shape for a in pack(P)])

# %% [markdown]
# ## 2.4 What the peepholes are for
#
# Without peepholes a gate knows the cell only through $h = o \tanh(c)$, and while the output gate is shut it knows
# nothing: $h = 0$ whatever is in the cell. Take a single cell, no recurrent weights, and set the rest by hand. Each
# panel has one peephole on or off.


# %%
def one_cell(T, c0=0.0, **weights):
    """Runs one cell with a constant input of 1 and the given weights, all others zero -> dict of traces (T,)."""
    P = {f"W_{a}{k}": np.zeros((1, 1)) for a in "xh" for k in "ifco"}
    P |= {f"W_c{k}": np.zeros(1) for k in "ifo"} | {f"b_{k}": np.zeros(1) for k in "ifco"}
    for name, value in weights.items():
        P[name] = np.full_like(P[name], value)
    h, c, traces = np.zeros((1, 1)), np.full((1, 1), c0), []
    for _ in range(T):
        h, c, (*_, i, f, _, o, _) = step(np.ones((1, 1)), h, c, P)
        traces.append([a.item() for a in (i, f, o, c, h)])
    return dict(zip("ifoch", np.array(traces).T, strict=True))


cases = [  # peephole, its weight, its gate, settings
    ("W_ci", -3.0, "i", dict(T=40, b_i=-1.0, b_f=9.0, W_xc=1.0)),
    ("W_cf", 3.0, "f", dict(T=40, c0=1.6, b_f=-1.0, b_i=-20.0)),
    ("W_co", 3.0, "o", dict(T=40, b_i=-2.5, b_f=9.0, b_o=-5.0, W_xc=1.5)),
]
title = {"i": "input gate", "f": "forget gate", "o": "output gate"}
fig, axes = plt.subplots(1, 3, figsize=(11, 3.2))
traces = {}
for ax, (peephole, weight, gate, settings) in zip(axes, cases, strict=True):
    for value, style in ((0.0, "--"), (weight, "-")):
        run = traces[peephole, value] = one_cell(**settings, **{peephole: value})
        ax.plot(run["c"], "C2" + style, lw=1.5, label=f"cell $c$, $W_{{{peephole[2:]}}} = {value:.0f}$")
        ax.plot(run[gate], "C0" + style, lw=1.5, label=f"gate ${gate}$")
    ax.set(xlabel="frame $t$", title=f"peephole of the {title[gate]}", ylim=(0, 3.2))
    ax.legend(fontsize=9, loc="upper left" if gate == "o" else "upper right")
axes[0].set_ylabel("value")
plt.show()

assert traces["W_ci", 0.0]["c"][-1] > 5 * traces["W_ci", -3.0]["c"][-1]  # fills without end; stops by itself
assert traces["W_cf", 3.0]["c"][5] > 5 * traces["W_cf", 0.0]["c"][5]  # kept while it is large
assert np.ptp(traces["W_co", 0.0]["o"]) == 0 and np.ptp(traces["W_co", 3.0]["o"]) > 0.8  # opens when the cell is full

# %% [markdown]
# **What to see:** dashed without and solid with the peephole: on the left the input gate shuts as the cell fills, which
# else grows without end; in the middle a full cell holds its own forget gate open and drops all at once when it has
# leaked enough; on the right the output gate stays shut until the cell has counted far enough, then opens: a timer.
#
# ## 2.5 The backward pass
#
# Given $dh_t$ and $dc_t$, the gradients that come from above and from frame $t+1$, walk the equations from (7) to (3).
# As in notebook 1, follow each quantity to *everybody who reads it* and add up. Write $\delta$ for the gradient before
# a gate's non-linearity; $\sigma' = \sigma(1 - \sigma)$ and $\tanh' = 1 - \tanh^2$.
#
# **(7)** $h_t = o_t \tanh c_t$ gives $do = dh \tanh c_t$, hence $\;\delta_o = dh\, \tanh(c_t)\, o(1 - o)$.
#
# **The cell** is where most hand-written LSTMs go wrong. Three read it:

# %%
fig, ax = plt.subplots(figsize=(9, 3.4))
boxes = {"$c_t$": (0, 0), "$h_t$": (4.2, 1.5), "$o_t$": (4.2, 0), "frame $t+1$": (4.2, -1.5)}
for text, (u, v) in boxes.items():
    ax.text(u, v, text, ha="center", va="center", fontsize=13, bbox=dict(boxstyle="round,pad=0.5", fc="w", ec="k"))
readers = [
    ("$h_t$", "$h_t = o_t \\tanh c_t$", "$dh\\; o\\,(1 - \\tanh^2 c_t)$"),
    ("$o_t$", "$o_t = \\sigma(\\ldots + W_{co} c_t)$", "$\\delta_o\\; W_{co}$"),
    (
        "frame $t+1$",
        "$c_{t+1} = f c_t + \\ldots$, and the gates $i$, $f$",
        "$dc_{next} = (dc\\, f + \\delta_i W_{ci} + \\delta_f W_{cf})_{t+1}$",
    ),
]
for name, reads, sends in readers:
    u, v = boxes[name]
    ax.annotate(
        "",
        (u - (1.15 if "frame" in name else 0.55), v),
        (0.4, 0.12 * v),
        arrowprops=dict(arrowstyle="->", color="C0", lw=1.5),
    )
    ax.text(u + 1.3, v + 0.24, "reads:  " + reads, va="center", fontsize=11, color="C0")
    ax.text(u + 1.3, v - 0.28, "sends back:  " + sends, va="center", fontsize=11, color="C3")
ax.set(xlim=(-0.8, 11.5), ylim=(-2.1, 2.1))
ax.axis("off")
plt.show()

# %% [markdown]
# **What to see:** each of the three readers of the cell (blue) sends a gradient back (red), and $dc_t$ is their sum:
#
# $$dc_t = dc_{next} + dh\, o\, (1 - \tanh^2 c_t) + \delta_o W_{co} .$$
#
# **(5)** $c_t = f c_{t-1} + i g$ is read off at once, each factor times the other, then through its non-linearity:
#
# $$\delta_i = dc\; g\; i(1 - i), \qquad \delta_f = dc\; c_{t-1}\; f(1 - f), \qquad \delta_g = dc\; i\; (1 - g^2) .$$
#
# **The old cell** is read by (5), by the input gate (3) and by the forget gate (4):
#
# $$dc_{t-1} = dc\; f + \delta_i W_{ci} + \delta_f W_{cf} .$$
#
# **The rest** is four linear layers that share their inputs, as in notebook 1: $dx = \sum_k \delta_k W_{xk}^\top$,
# $dh_{t-1} = \sum_k \delta_k W_{hk}^\top$, $dW_{xk} = x^\top \delta_k$, $dW_{hk} = h_{t-1}^\top \delta_k$, $db_k =
# \sum_n \delta_k$; and the peepholes, element by element: $dW_{ci} = \sum_n \delta_i c_{t-1}$, $dW_{cf} = \sum_n
# \delta_f c_{t-1}$, $dW_{co} = \sum_n \delta_o c_t$.
#
# The argument `without` leaves terms out on purpose; we shall need it in a moment.


# %%
def step_backward(dh, dc_next, cache, P, without=()):
    """dh, dc_next (N, M) -> dx (N, D), dh_prev, dc_prev (N, M), gradients of P by name."""
    x, h_prev, c_prev, i, f, g, o, c = cache
    keep = {term: float(term not in without) for term in ("W_ci", "W_cf", "W_co")}
    delta = {"o": dh * np.tanh(c) * o * (1 - o)}
    dc = dc_next + dh * o * (1 - np.tanh(c) ** 2) + keep["W_co"] * delta["o"] * P["W_co"]  # the three readers
    delta["i"] = dc * g * i * (1 - i)
    delta["f"] = dc * c_prev * f * (1 - f)
    delta["c"] = dc * i * (1 - g**2)
    dc_prev = dc * f + keep["W_ci"] * delta["i"] * P["W_ci"] + keep["W_cf"] * delta["f"] * P["W_cf"]

    dx = sum(delta[k] @ P[f"W_x{k}"].T for k in "ifco")
    dh_prev = sum(delta[k] @ P[f"W_h{k}"].T for k in "ifco")
    grads = {f"W_x{k}": x.T @ delta[k] for k in "ifco"}
    grads |= {f"W_h{k}": h_prev.T @ delta[k] for k in "ifco"}
    seen = {"i": c_prev, "f": c_prev, "o": c_prev if "new cell" in without else c}
    grads |= {f"W_c{k}": (delta[k] * seen[k]).sum(axis=0) for k in "ifo"}
    grads |= {f"b_{k}": delta[k].sum(axis=0) for k in "ifco"}
    return dx, dh_prev, dc_prev, grads


dh, dc = rng.standard_normal((N, M)), rng.standard_normal((N, M))  # random, both of them
dx, dh_prev, dc_prev, grads = step_backward(dh, dc, cache, P)
ours = [dx, dh_prev, dc_prev, *pack(grads)]
for a, b in zip(ours, lstm_step_backward(dh, dc, library_cache), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
print("the backward pass agrees with layers.lstm")

# %% [markdown]
# Two programs that agree may share a mistake. The numerical derivative has none of our ideas in it. The loss is $L =
# \sum dh \cdot h_t + \sum dc \cdot c_t$ with the random $dh$ and $dc$, and it is checked for the 15 weights and the
# three inputs, which we put into one dictionary.


# %%
inputs = {"x": x, "h_prev": h_prev, "c_prev": c_prev}


def check_step(P, without=()):
    """{array: worst relative error, or the checker's complaint} of step_backward at the weights P."""
    arrays = inputs | P

    def loss_of(name):
        def loss(value):
            tried = arrays | {name: value}
            h, c, _ = step(tried["x"], tried["h_prev"], tried["c_prev"], tried)
            return float((dh * h).sum() + (dc * c).sum())

        return loss

    _, _, cache = step(x, h_prev, c_prev, P)
    *state_grads, grads = step_backward(dh, dc, cache, P, without)
    grads |= dict(zip(inputs, state_grads, strict=True))
    result = {}
    for name in arrays:
        try:
            result[name] = check_gradient(loss_of(name), arrays[name], grads[name], name)
        except GradientError as error:
            result[name] = str(error)
    return result


right = check_step(P)
for name, error in right.items():
    print(f"  d{name:7s}{error:.0e}", end="\n" if name[-1] in "oxv" else "")
assert all(error < 1e-6 for error in right.values())

# %% [markdown]
# ## 2.6 Leave a peephole out
#
# Wrong peephole gradients have been shipped by a well-known library. Drop one term at a time, and ask the checker which
# arrays are wrong. The last column uses the old cell for $dW_{co}$ where it should be the new one.

# %%
bugs = {"no δ_o W_co": ["W_co"], "no δ_i W_ci": ["W_ci"], "no δ_f W_cf": ["W_cf"], "c_(t-1) in dW_co": ["new cell"]}
found = {bug: check_step(P, without) for bug, without in bugs.items()}

print(f"{'':8s}" + "".join(f"{bug:>18s}" for bug in bugs))
for name in inputs | P:
    print(f"d{name:7s}" + "".join(f"{'WRONG' if isinstance(found[bug][name], str) else '.':>18s}" for bug in bugs))
print("\nfor example:", found["no δ_i W_ci"]["c_prev"])


def wrong(bug):
    return {name for name, result in found[bug].items() if isinstance(result, str)}


assert wrong("no δ_i W_ci") == wrong("no δ_f W_cf") == {"c_prev"}
assert wrong("c_(t-1) in dW_co") == {"W_co"}
assert wrong("no δ_o W_co") == set(inputs | P) - {"W_xo", "W_ho", "W_co", "b_o"}

# %% [markdown]
# Read it by columns. Without $\delta_o W_{co}$ the cell's gradient is wrong, and so is all that hangs on it: everything
# but the output gate's own weights, whose $\delta_o$ was computed before. Without $\delta_i W_{ci}$ or $\delta_f
# W_{cf}$, only what is sent to the previous frame is wrong, so a check of a *single* step whose `c_prev` gradient is
# not looked at passes, and a check over T = 1 frame passes too.
#
# One more trap. New networks start with peepholes at zero, as ours do. What would the check have said then?

# %%
at_zero = P | {name: np.zeros(M) for name in ("W_ci", "W_cf", "W_co")}
for bug, without in bugs.items():
    complaints = [name for name, result in check_step(at_zero, without).items() if isinstance(result, str)]
    print(f"{bug:18s} at zero peepholes: {complaints or 'passes'}")
    assert bool(complaints) == (bug == "c_(t-1) in dW_co")

# %% [markdown]
# All three missing terms pass, being multiplied by zero. **Check at random weights, never at the initial ones.**
#
# ## 2.7 A whole sequence
#
# Forward: repeat the step. Backward: repeat its backward from the last frame to the first. Frame t's output is read by
# the layer above *and* by frame t + 1, so their gradients add; the weights serve every frame, so their gradients add as
# well.

# %%
T = 6
x = rng.standard_normal((N, T, D))
h0, c0 = rng.standard_normal((N, M)), rng.standard_normal((N, M))
dy = rng.standard_normal((N, T, M))  # from the layer above, one for each frame
dh_T, dc_T = rng.standard_normal((N, M)), rng.standard_normal((N, M))  # from whoever reads the final state

h, c, outputs, caches = h0, c0, [], []
for t in range(T):
    h, c, cache = step(x[:, t], h, c, P)
    outputs.append(h)
    caches.append(cache)

dh, dc, total, dx = dh_T, dc_T, {name: 0 for name in P}, np.empty_like(x)
for t in reversed(range(T)):
    dx[:, t], dh, dc, grads = step_backward(dy[:, t] + dh, dc, caches[t], P)
    total = {name: total[name] + grads[name] for name in P}

y, (h_T, c_T), cache = lstm_forward(x, h0, c0, *pack(P))
library_dx, dh0, dc0, library_grads = lstm_backward(dy, cache, dh_T, dc_T)
np.testing.assert_allclose(np.stack(outputs, axis=1), y, rtol=1e-12)
ours, theirs = (
    [dx, dh, dc, *pack(total)],
    [library_dx, dh0, dc0, *(library_grads[k] for k in ("W_x", "W_h", "W_c", "b"))],
)
for a, b in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)

layer = PeepholeLSTM(D, M, np.random.default_rng(0)).convert(float64)
layer.params["W_c"][:] = rng.standard_normal((3, M))  # not at zero
print("six frames, there and back, agree with layers.lstm")
print("check_layer(PeepholeLSTM):", {name: f"{error:.0e}" for name, error in check_layer(layer, x).items()})

# %% [markdown]
# `layers.lstm` computes the same with fewer, larger products: $xW_x$ needs no previous frame, so it is one product for
# all frames, and so are all parameter gradients, once every $\delta$ is known.
#
# ## 2.8 Carried state
#
# All that the past leaves behind is $(h_t, c_t)$. Hand it on, and a video may come in pieces of any size, down to one
# frame at a time from a camera: the answer is the same, in constant memory. So is the gradient, if $(dh, dc)$ is handed
# back across the cuts.

# %%
x = rng.standard_normal((N, 20, D))
dy = rng.standard_normal((N, 20, M))
whole, cache = layer.forward(x)
whole_dx, whole_grads = layer.backward(dy, cache)

cuts = [0, 7, 8, 15, 20]  # pieces of 7, 1, 7 and 5 frames
state, pieces = None, []
for a, b in zip(cuts, cuts[1:], strict=False):
    y, state, cache = layer.scan(x[:, a:b], state)
    np.testing.assert_allclose(y, whole[:, a:b], rtol=1e-12)
    pieces.append((a, b, cache))

dstate, total = None, 0
for a, b, cache in reversed(pieces):
    dx, dstate, grads = layer.scan_backward(dy[:, a:b], cache, dstate)
    np.testing.assert_allclose(dx, whole_dx[:, a:b], rtol=1e-9, atol=1e-12)
    total = total + grads["W_h"]
np.testing.assert_allclose(total, whole_grads["W_h"], rtol=1e-9)
print("a stream in pieces equals the whole clip, forward and backward")

# %% [markdown]
# ## 2.9 The gain
#
# Which frames should the loss listen to? The network predicts at every frame, from a softmax layer shared over time,
# but at frame 1 it knows nearly nothing. The paper scales the gradient of the label at frame t by a gain that rises
# over the clip, $g_t = t / T$. Scaling a gradient is weighting a loss, for the derivative is linear:
#
# $$\sum_t g_t \frac{\partial L_t}{\partial \theta} = \frac{\partial}{\partial \theta} \sum_t g_t L_t .$$

# %%
T, K = 6, 3
net = Sequential(lstm=layer, scores=Linear(M, K, np.random.default_rng(1))).convert(float64)
x, labels = rng.standard_normal((N, T, D)), rng.integers(K, size=N)
g = np.arange(1, T + 1) / T
assert np.array_equal(g, gain(T))  # training.objective has it, too

scores, cache = net.forward(x)  # (N, T, K)
_, dscores = softmax_loss(scores, labels, weight=g)
_, weighted = net.backward(dscores, cache)

scaled = {name: 0 for name in net.params}
for t in range(T):  # the gradient of each frame's loss alone, scaled
    _, dscores = softmax_loss(scores, labels, weight=(np.arange(T) == t).astype(float))
    _, grads = net.backward(dscores, cache)
    scaled = {name: scaled[name] + g[t] * grads[name] for name in net.params}
for name in net.params:
    np.testing.assert_allclose(scaled[name], weighted[name], rtol=1e-9, atol=1e-12)
print("gains on gradients equal weights on losses:", g.round(2))

# %% [markdown]
# ## 2.10 When order matters
#
# Two symbols, A and B, appear once each somewhere in a clip of 20 frames of noise. Class 0: A before B. Class 1: B
# before A. Both classes show the same two frames, only in another order, so max-pooling over time, which looks at
# *which* features occurred and not *when*, cannot tell them apart. To make this exact rather than approximate, every
# test clip is tested forwards and backwards, where it belongs to the other class.

# %%
SEED, T = 0, 20


def two_symbols(n, rng):
    """x (n, T, 3) float32: A, B and an idle feature, in noise; labels (n,); the frames of both symbols (n, 2)."""
    x = 0.1 * rng.standard_normal((n, T, 3))
    labels = rng.integers(2, size=n)
    when = np.sort(rng.permuted(np.tile(np.arange(T), (n, 1)), axis=1)[:, :2], axis=1)
    x[np.arange(n), when[:, 0], labels] += 1
    x[np.arange(n), when[:, 1], 1 - labels] += 1
    return x.astype(np.float32), labels, when


test_x, test_labels, when = two_symbols(500, np.random.default_rng([SEED, 1]))
test_x, test_labels = np.concatenate([test_x, test_x[:, ::-1]]), np.concatenate([test_labels, 1 - test_labels])
when = np.concatenate([when, T - 1 - when[:, ::-1]])


def train(net, weight=1.0, steps=600, batch=64):
    """SGD with momentum on fresh clips; returns the test accuracy, of every frame for a net that predicts at each."""
    rng = np.random.default_rng([SEED, 2])
    sgd = SGD(net.params, exponential(0.1, decay=0.3, every=steps), momentum=0.9, weight_decay=0, clip_norm=1.0)
    for _ in range(steps):
        x, labels, _ = two_symbols(batch, rng)
        scores, cache = net.forward(x)
        _, dscores = softmax_loss(scores, labels, weight / batch)
        sgd.step(net.backward(dscores, cache)[1])
    predicted = net.predict(test_x).argmax(axis=-1)
    return (predicted == (test_labels if predicted.ndim == 1 else test_labels[:, None])).mean(axis=0)


def lstm_net():
    rng = np.random.default_rng([SEED, 3])
    return Sequential(lstm=PeepholeLSTM(3, 16, rng), scores=Linear(16, 2, rng))


rng = np.random.default_rng(SEED)
pooling = Sequential(fc=Linear(3, 32, rng, relu=True), relu=ReLU(), pool=TemporalMaxPool(), scores=Linear(32, 2, rng))
pooled_accuracy = train(pooling)
gains = {"g = t/T": gain(T, "linear"), "g = 1": gain(T, "ones"), "last frame only": gain(T, "last")}
accuracy = {name: train(lstm_net(), g / g.sum()) for name, g in gains.items()}

first_seen, second_seen = (when[:, n : n + 1] <= np.arange(T) for n in (0, 1))  # (clips, T): has it been shown by t?
plt.figure(figsize=(7.5, 3.8))
for name, values in accuracy.items():
    plt.plot(np.arange(1, T + 1), values, ".-", lw=1.2, label=f"LSTM, {name}")
plt.plot(
    np.arange(1, T + 1), np.where(first_seen, 1, 0.5).mean(axis=0), "k:", lw=1, label="first symbol: best possible"
)
by_latest = np.where(second_seen, 1, np.where(first_seen, 0, 0.5)).mean(axis=0)
plt.plot(np.arange(1, T + 1), by_latest, "k-.", lw=1, label="latest symbol, turned round")
plt.axhline(pooled_accuracy, color="C3", ls="--", label="max-pooling, whole clip")
plt.xlabel("frame $t$")
plt.ylabel("accuracy of the prediction at $t$")
plt.ylim(0, 1.05)
plt.xticks([1, 5, 10, 15, 20])
plt.legend(fontsize=9, loc="lower right", ncols=2)
plt.show()

print(f"max-pooling over the whole clip: {pooled_accuracy:.1%}")
for name, values in accuracy.items():
    print(f"LSTM, {name:16s} frame 5: {values[4]:.1%}   frame 10: {values[9]:.1%}   last frame: {values[-1]:.1%}")
assert pooled_accuracy == 0.5
# the worst of five seeds on four kinds of processor: 98.9 %; then 70 % twice, and 35 %
assert min(values[-1] for values in accuracy.values()) > 0.97
assert accuracy["g = t/T"][4] > 0.65 and accuracy["g = 1"][4] > 0.65 and accuracy["last frame only"][4] < 0.45

# %% [markdown]
# **What to see:** at the last frame each LSTM is nearly perfect and max-pooling is at exactly one half; on the way
# there, the two LSTMs that hear the label at every frame keep to the best possible (dotted), and the one that hears it
# at the last frame only is at first *worse than guessing*.
#
# Why worse? There are two ways to be right at the end: remember the symbol that came first, or name the one that came
# last and turn it round (dash-dotted). The second needs no long memory, and nothing in a loss at the last frame speaks
# against it; but while only one symbol has been seen it gives the wrong answer. This LSTM sets out that way. A loss at
# every frame teaches the first way. That is what a gain is about: $t/T$ listens to all frames, and most to those that
# know most. (Whether $t/T$ is better than 1, as the paper found on Sports-1M, one run of a toy cannot say.)
#
# The size of the effect belongs to this toy, where the first symbol already decides. What carries over is that it takes
# a memory to tell orders apart, and that a network does what its loss asks and no more.
#
# ## 2.11 Gates on a real clip
#
# Now a real video, and a question whose answer is known, so that we can see whether the gates do something sensible:
# **has anything moved here during the last 0.8 seconds?** A still picture cannot tell, nor can two; the network has to
# remember that something moved, for how long, and then forget.
#
# The clip is the file in the environment variable `SNIPPETS_CLIP` if you give one; else a UCF-101 clip beside this
# checkout; else one rendered on the spot.

# %%
FPS, MEMORY = 10, 8  # frames per second; how many frames, this one included, count as "lately"
rendered = tempfile.TemporaryDirectory()


def find_clip():
    given = Path(os.environ.get("SNIPPETS_CLIP") or SHARED / "clips" / "v_BaseballPitch_g01_c01.avi")
    if given.exists() or os.environ.get("SNIPPETS_CLIP"):
        return given
    return make_mini(rendered.name, groups=3, clips=1, frames=100) / "BallRising/v_BallRising_g01_c01.avi"


clip = find_clip()
frames = np.stack([frame for frame, _ in zip(read_frames(clip, fps=FPS, size=(96, 128)), range(80), strict=False)])
if len(frames) < 2 * MEMORY:
    raise ValueError(f"{clip.name} gives {len(frames)} frames at {FPS} per second, expected at least {2 * MEMORY}")
rendered.cleanup()
print(f"{clip.name}: {len(frames)} frames at {FPS} per second")

# %% [markdown]
# **Features**, as simple as can be. Cut the picture into 12 × 16 squares. In each, the *motion energy* is the mean
# absolute difference to the frame before; the median over all squares is what the whole picture does (the camera
# shakes). These two numbers per frame are the input, and each square is a little clip of its own: one real video gives
# 192 sequences. Something *moves* in a square when its energy exceeds the camera's by more than a threshold that 5 % of
# all squares and frames pass; the label at frame t is whether that happened at t or up to seven frames before.
#
# A quarter of the squares, drawn at random, is held out for the test. Beside the LSTM a network without memory is
# trained on the same features, to see how far one gets without remembering.

# %%
ROWS, COLUMNS = 12, 16
grey = frames.mean(axis=-1) / 255
change = abs(np.diff(grey, axis=0))  # (T, 96, 128)
T = len(change)
energy = change.reshape(T, ROWS, 96 // ROWS, COLUMNS, 128 // COLUMNS).mean(axis=(2, 4))  # (T, rows, columns)
energy = energy.reshape(T, ROWS * COLUMNS).T  # (squares, T)
camera = np.median(energy, axis=0)  # (T,)
threshold = np.quantile(energy - camera, 0.95)
moves = energy - camera > threshold  # (squares, T)
lately = np.stack([moves[:, max(0, t - MEMORY + 1) : t + 1].any(axis=1) for t in range(T)], axis=1).astype(int)

x = np.stack([energy, np.broadcast_to(camera, energy.shape)], axis=-1) / energy.std()  # (squares, T, 2)
x = x.astype(np.float32)
test = np.random.default_rng([SEED, 4]).permutation(len(x)) < len(x) // 4

rng = np.random.default_rng([SEED, 5])
lstm = Sequential(lstm=PeepholeLSTM(2, 4, rng), scores=Linear(4, 2, rng))
memoryless = Sequential(fc=Linear(2, 16, rng, relu=True), relu=ReLU(), scores=Linear(16, 2, rng))
right = {}
for name, net in {"LSTM, 4 cells": lstm, "no memory": memoryless}.items():
    sgd = SGD(net.params, lr=0.3, momentum=0.9, weight_decay=0, clip_norm=1.0)
    for _ in range(400):
        scores, cache = net.forward(x[~test])
        _, dscores = softmax_loss(scores, lately[~test], 1 / lately[~test].size)
        sgd.step(net.backward(dscores, cache)[1])
    right[name] = net.predict(x[test]).argmax(axis=-1) == lately[test]  # (squares, T)

remembered = (lately[test] == 1) & ~moves[test]  # it moved, but no longer does
for name, r in right.items():
    print(
        f"{name:14s} all frames of held-out squares {r.mean():.1%}   frames to be remembered {r[remembered].mean():.1%}"
    )
print(f"always 'no':   {1 - lately[test].mean():.1%}")
assert right["LSTM, 4 cells"].mean() > right["no memory"].mean()
assert right["LSTM, 4 cells"][remembered].mean() > right["no memory"][remembered].mean() + 0.2

# %% [markdown]
# The network without memory recognises what moves at this very moment and says "no" to the rest: of the frames where
# something *has* moved it gets few right. The LSTM remembers. (Neighbouring squares of one video are alike, so the
# held-out ones test the memory, not whether it would serve for another video.)
#
# Now watch it, in the held-out square whose answer changes most often (of several, the liveliest). Drawn are the gates
# and the cell of the unit with the largest say in the answer.

# %%
changes = abs(np.diff(lately, axis=1)).sum(axis=1) + energy.std(axis=1) / energy.std(axis=1).max() - 99 * ~test
square = int(changes.argmax())
h, cache = lstm.layers["lstm"].forward(x[square : square + 1])
_, h_all, c_all, gates, *_ = cache  # c_all (1, T + 1, M), gates (1, T, 4M)
i, f, g, o = (a[0] for a in split(gates))
c = c_all[0, 1:]
probability = softmax(lstm.predict(x[square : square + 1]))[0, :, 1]
weight = lstm.params["scores/W"]
unit = int((abs(weight[:, 1] - weight[:, 0]) * h[0].std(axis=0)).argmax())

seconds = np.arange(1, T + 1) / FPS
fig = plt.figure(figsize=(10, 7))
grid = fig.add_gridspec(4, 8, height_ratios=[0.85, 1.15, 1.15, 1.15], hspace=0.25, wspace=0.04)
corner = (square % COLUMNS * 128 // COLUMNS - 0.5, square // COLUMNS * 96 // ROWS - 0.5)
for n in range(8):
    t = int((n + 0.5) * T / 8)
    ax = fig.add_subplot(grid[0, n])
    ax.imshow(frames[t + 1])
    ax.add_patch(plt.Rectangle(corner, 128 // COLUMNS, 96 // ROWS, fill=False, ec="yellow", lw=1.5))
    ax.set_title(f"{seconds[t]:.1f} s", fontsize=9)
    ax.axis("off")

panels = [fig.add_subplot(grid[row, :]) for row in (1, 2, 3)]
excess = (energy - camera)[square]
panels[0].plot(seconds, probability, "C3", label="probability of yes")
panels[0].plot(seconds, excess / excess.max(), "k", label="motion, less the camera's")
panels[0].axhline(threshold / excess.max(), color="k", ls=":", lw=1, label="threshold")
for name, values, style in (("$i$", i, "C0"), ("$f$", f, "C1"), ("$o$", o, "C2")):
    panels[1].plot(seconds, values[:, unit], style, label=name)
panels[2].plot(seconds, c[:, unit], "C4", label="$c$")
panels[2].plot(seconds, h[0, :, unit], "C5--", label="$h = o\\,\\tanh c$")
panels[2].axhline(0, color="k", lw=0.5)
for ax, label in zip(panels, ["answer", "gate", "cell"], strict=True):
    for t in np.flatnonzero(lately[square]):
        ax.axvspan(seconds[t] - 0.5 / FPS, seconds[t] + 0.5 / FPS, color="C3", alpha=0.12, lw=0)
    ax.set(xlim=(0, (T + 1) / FPS), ylabel=label)
    ax.legend(fontsize=9, loc="upper left", ncols=3)
panels[0].set(ylim=(-0.25, 1.6))
panels[1].set(ylim=(-0.03, 1.5))
low, high = c[:, unit].min(), c[:, unit].max()
panels[2].set(ylim=(low - 0.1, high + 0.5 * (high - low)), xlabel="time (seconds)")
plt.show()

# %% [markdown]
# **What to see:** (shaded: the right answer is yes; yellow: the square) the answer turns to yes when motion crosses the
# threshold, and back to no about eight frames after it was last above it. What comes in during these still frames does
# not say how long they have lasted; the cell does. Here motion throws it to one end, and while nothing moves it runs
# towards the other, a little every frame, like an hourglass; the gates show how the glass is turned and how it runs.
#
# In the pitcher's clip motion is above the threshold in this square from 0.6 s and once more near 1.9 s, which turns
# the glass again. Which end of the cell stands for "just now", and which gate turns the glass, is up to the training:
# with another `SEED`, or on another processor, whose sums differ in their last bits, the clock may run the other way
# round, or units share the work. Its time is as good: see the two accuracies above.
#
# Nobody told the cell to be a clock. The label did, through Equations 3–7 and their derivatives.
#
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise checks your backward pass against numerical derivatives,
# under a random upstream gradient.
#
# **1.** *A leaky sum* is an LSTM cell with its gates fixed: $c_t = 0.9\, c_{t-1} + x_t$, $c_0 = 0$. Its backward pass
# is a recursion as well. Which way does it run?


# %%
def leaky_sum_forward(x):
    """x (N, T) -> c (N, T)."""
    c = np.zeros_like(x)
    for t in range(x.shape[1]):
        c[:, t] = x[:, t] + (0.9 * c[:, t - 1] if t else 0)
    return c


def leaky_sum_backward(dc, x):
    """dc, x (N, T) -> dx (N, T)."""
    ...


# %% jupyter={"source_hidden": true}
mark(1, leaky_sum_forward, leaky_sum_backward, np.random.default_rng(1).standard_normal((2, 6)))

# %% [markdown]
# **2.** *Coupled gates* let in exactly as much as they forget: $c_t = f c_{t-1} + (1 - f) g$ with $f = \sigma(a)$. What
# does $a$ receive? Two terms of the cell's equation read $f$.

# %%
C_PREV, G = np.random.default_rng(20).standard_normal((2, 3, 4))


def logistic(z):
    return 1 / (1 + np.exp(-z))


def coupled_forward(a):
    """a (3, 4), the forget gate before its sigma -> c (3, 4)."""
    return logistic(a) * C_PREV + (1 - logistic(a)) * G


def coupled_backward(dc, a):
    """dc, a (3, 4) -> da (3, 4)."""
    ...


# %% jupyter={"source_hidden": true}
mark(2, coupled_forward, coupled_backward, np.random.default_rng(2).standard_normal((3, 4)))

# %% [markdown]
# **3.** In 2.2 make $W_{hh}$ of the tanh RNN an orthogonal matrix (`np.linalg.qr` of a random one gives it) and the
# inputs a hundred times smaller. What factor do you expect per frame, and why do the small inputs matter?
#
# **4.** The LSTM of 2.10 was trained on clips of 20 frames. Show it clips of 40, 80 and 160 frames, without training it
# again. How long does it remember?
#
# **5.** In 2.11 set `MEMORY = 16`, or give a clip of your own in `SNIPPETS_CLIP`. Do four cells still suffice? What
# does the slope of the cell do?
