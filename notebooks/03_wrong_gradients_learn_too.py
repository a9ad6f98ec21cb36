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
# # 3 · Do wrong gradients learn too?
#
# You have written the backward pass of an LSTM. You train it, the loss falls, the accuracy rises. So it is right. Is
# it?
#
# The tests of this project have a list of wrong lines that somebody might write into `layers/lstm.py`, each realistic,
# each alone. Here all of them train on the same task, from the same weights, on the same batches.
#
# **Notation.** N clips · T frames · D features · M cells · i, f, g, o the gates · c the cell · h the output; Equations
# 3-7 of the paper, as in walkthrough 2.

# %%
import matplotlib.pyplot as plt
import numpy as np
from walk import BUGS, bet, mark, planted, prepare

from snippets.layers.core.base import Sequential
from snippets.layers.core.check import GradientError, check_layer
from snippets.layers.linear import Linear
from snippets.layers.loss import softmax_loss
from snippets.layers.lstm import PeepholeLSTM
from snippets.training.sgd import SGD

prepare()
LSTM_BUGS = [bug.name for bug in BUGS if bug.file == "layers/lstm.py"]
print(f"{len(LSTM_BUGS)} wrong versions of layers/lstm.py, for instance:")
for name in LSTM_BUGS[::6]:
    print("   ", name)

# %% [markdown]
# ## 3.1 Your bet
#
# The right LSTM learns the task below nearly perfectly. A wrong one *looks healthy* if it ends, too, with more than 95
# % of the test clips right: nobody who sees only this number would look for a bug. How many of the wrong ones look
# healthy?

# %%
MY_BET = 5  # of them; put your own number here before you run the next cells

# %% [markdown]
# ## 3.2 The task, and thirty trainings
#
# Twelve frames, two symbols, A and B, at two of them, in noise. Which came *first*? No single frame knows, and no set
# of frames: it takes a memory. Every test clip is tested forwards and backwards, so that whoever ignores order is right
# on exactly one half.

# %%
SEED, T, M, STEPS = 0, 12, 16, 250


def clips(n, rng):
    """x (n, T, 3) float32: A, B and an idle feature, in noise; labels (n,)."""
    x = 0.1 * rng.standard_normal((n, T, 3))
    labels = rng.integers(2, size=n)
    when = np.sort(rng.permuted(np.tile(np.arange(T), (n, 1)), axis=1)[:, :2], axis=1)
    x[np.arange(n), when[:, 0], labels] += 1
    x[np.arange(n), when[:, 1], 1 - labels] += 1
    return x.astype(np.float32), labels


test_x, test_labels = clips(250, np.random.default_rng([SEED, 1]))
test_x, test_labels = np.concatenate([test_x, test_x[:, ::-1]]), np.concatenate([test_labels, 1 - test_labels])
last = np.zeros(T, np.float32)
last[-1] = 1 / 64  # the loss: the mean over a batch of 64, at the last frame alone


def train(seed):
    """The test accuracy at the end, and after every 25 steps: (STEPS // 25,). NaN where the training breaks down."""
    rng, found = np.random.default_rng([seed, 2]), []
    net = Sequential(lstm=PeepholeLSTM(3, M, rng), scores=Linear(M, 2, rng))
    net.params["lstm/W_c"][...] = 0.1 * rng.standard_normal((3, M))  # else no peephole says anything at first
    sgd = SGD(net.params, lr=0.2, momentum=0.9, weight_decay=0, clip_norm=1.0)
    for step in range(STEPS):
        x, labels = clips(64, rng)
        scores, cache = net.forward(x)
        _, dscores = softmax_loss(scores, labels, last)
        grads = net.backward(dscores, cache)[1]
        sgd.step(grads)
        if step % 25 == 24:
            found.append((net.predict(test_x)[:, -1].argmax(axis=-1) == test_labels).mean())
    return np.array(found)


def under(bug, seed):
    """`train` with a bug planted; None: the right layer. A wrong shape ends a training: NaN."""
    if bug is None:
        return train(seed)
    with planted(bug, "layers/lstm.py"), np.errstate(all="ignore"):
        try:
            return train(seed)
        except (ValueError, FloatingPointError):
            return np.full(STEPS // 25, np.nan)


curves = {bug: under(bug, SEED) for bug in [None, *LSTM_BUGS]}
ends = {bug: float(np.nan_to_num(curve[-1])) for bug, curve in curves.items()}
right = ends.pop(None)
print(f"the right LSTM: {right:.1%} of the test clips")
assert right > 0.95

# %% [markdown]
# ## 3.3 What a gradient check says of them
#
# The same thirty, given to `check_layer`: a small layer in float64, random numbers, a numerical derivative of every
# entry. And one question more: does the bug change anything at all in *this* use of the layer? A bug in the gradient of
# the initial state, for instance, is one for whoever carries a state on; here nobody does.


# %%
def kind(bug):
    """What a gradient check says of the layer with this bug."""
    rng = np.random.default_rng(0)
    layer = PeepholeLSTM(3, 4, rng)
    layer.params["W_c"][...] = rng.standard_normal((3, 4))
    layer.convert(lambda a: a.astype(np.float64))
    with planted(bug, "layers/lstm.py"):
        try:
            check_layer(layer, rng.standard_normal((2, 3, 3)))
        except (GradientError, ValueError):
            return "found by a gradient check"
    same = np.array_equal(curves[bug], curves[None])
    return "not reached by this use" if same else "another network, whose gradient is right"


kinds = {bug: kind(bug) for bug in LSTM_BUGS}
healthy = [bug for bug in LSTM_BUGS if ends[bug] > 0.95]
wrong_and_healthy = [bug for bug in healthy if kinds[bug] == "found by a gradient check"]

STYLE = {
    "found by a gradient check": ("C3", "o"),
    "another network, whose gradient is right": ("C0", "s"),
    "not reached by this use": ("C6", "D"),
}
order = sorted(LSTM_BUGS, key=ends.get)
plt.figure(figsize=(8.5, 7.5))
for row, bug in enumerate(order):
    colour, marker = STYLE[kinds[bug]]
    plt.plot([0, 100 * ends[bug]], [row, row], color=colour, lw=0.8, alpha=0.5)
    plt.plot(100 * ends[bug], row, marker, color=colour, ms=7)
for what, (colour, marker) in STYLE.items():
    plt.plot([], [], marker, color=colour, label=what)
plt.axvline(50, color="k", ls=":", lw=1)
plt.axvline(95, color="k", lw=1)
plt.text(94, len(order) - 0.6, "healthy →", ha="right", fontsize=9)
plt.text(49, len(order) - 0.6, "guessing", ha="right", fontsize=9)
plt.yticks(range(len(order)), order, fontsize=9)
plt.xlim(0, 102)
plt.ylim(-0.8, len(order) + 0.3)
plt.xlabel("test clips right at the end, per cent")
plt.gcf().legend(loc="outside upper center", ncols=3, columnspacing=1, handletextpad=0.2)
plt.show()

bet("wrong versions that look healthy", MY_BET, len(healthy), f"of {len(LSTM_BUGS)}")
print(f"a gradient check finds {len(wrong_and_healthy)} of these {len(healthy)}")
assert len(wrong_and_healthy) >= 5

# %% [markdown]
# **What to see:** the wall of red dots at the right. These are gradients that are *wrong*, of which a check says so at
# once, and with which the network learns the task as well as with the right one. Which of them stand there exactly
# changes with the seed and with the processor, whose sums differ in their last bits; that many do, does not. (At 0:
# what ended in an error.)
#
# Grey is wrong for those who carry a state from clip to clip, and nobody does so here. And the blue square is another
# kind of wrong altogether: gates stored in another order are a perfectly good network, with a perfectly right gradient,
# until somebody loads weights that were trained elsewhere. No gradient check can see that; a second, independent
# version of the equations can (`tests/kit/oracles_time.py`).
#
# ## 3.4 Why? It is enough to go downhill
#
# Gradient descent does not need the gradient. It needs a direction in which the loss falls, and any that makes an angle
# of less than 90° with the gradient is one. Here are the angles, at the start of the training and in its middle, of the
# versions whose *forward* pass is right.


# %%
def all_gradients(net, x, labels):
    """The gradients of all parameters as one long vector."""
    scores, cache = net.forward(x)
    _, dscores = softmax_loss(scores, labels, last)
    grads = net.backward(dscores, cache)[1]
    return scores, np.concatenate([grads[key].ravel() for key in sorted(grads)])


def halfway(steps):
    """The right network after so many steps."""
    rng = np.random.default_rng([SEED, 2])
    net = Sequential(lstm=PeepholeLSTM(3, M, rng), scores=Linear(M, 2, rng))
    net.params["lstm/W_c"][...] = 0.1 * rng.standard_normal((3, M))
    sgd = SGD(net.params, lr=0.2, momentum=0.9, weight_decay=0, clip_norm=1.0)
    for _ in range(steps):
        x, labels = clips(64, rng)
        scores, cache = net.forward(x)
        sgd.step(net.backward(softmax_loss(scores, labels, last)[1], cache)[1])
    return net


x, labels = clips(256, np.random.default_rng([SEED, 3]))
angles = {}
for net in (halfway(10), halfway(STEPS // 2)):
    scores, g = all_gradients(net, x, labels)
    for bug in LSTM_BUGS:
        with planted(bug, "layers/lstm.py"):
            try:
                wrong_scores, wrong = all_gradients(net, x, labels)
            except ValueError:
                continue
        if np.array_equal(wrong_scores, scores) and not np.array_equal(wrong, g):
            cosine = wrong @ g / np.linalg.norm(wrong) / np.linalg.norm(g)
            angles.setdefault(bug, []).append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))

plt.figure(figsize=(7.5, 4))
for bug, pair in angles.items():
    plt.plot(pair, [100 * ends[bug]] * 2, "-", color="0.75", lw=1, zorder=0)
    plt.plot(pair[0], 100 * ends[bug], "o", color="C5")
    plt.plot(pair[1], 100 * ends[bug], "o", color="C3")
plt.plot([], [], "o", color="C5", label="after 10 steps")
plt.plot([], [], "o", color="C3", label="in the middle of the training")
plt.axvline(90, color="k", ls=":", lw=1)
plt.text(91, 40, "uphill →", fontsize=9)
plt.xlim(-2, 180)
plt.xticks(range(0, 181, 30))
plt.ylim(0, 105)
plt.xlabel("angle between the wrong and the right gradient (degrees)")
plt.ylabel("test clips right at the end, per cent")
plt.legend(loc="lower right")
plt.show()
down = [bug for bug, pair in angles.items() if max(pair) < 90]
print(f"of {len(angles)} wrong backward passes {len(down)} go downhill at both times; "
      f"{sum(ends[bug] > 0.95 for bug in down)} of them end healthy")  # fmt: skip
assert len(down) > len(angles) / 2

# %% [markdown]
# **What to see:** nearly all wrong gradients point downhill, most of them steeply. A term that is missing, a factor
# that is too small, a cell that is one frame off: what is left has the right sign more often than not, and momentum,
# the clipping of the norm and a fresh batch at every step do not care for the rest. Training is robust; that is why it
# works, and why it proves nothing.
#
# What is lost shows later: on longer clips, on harder tasks, in the third decimal of a table that nobody can compare
# with anything.
#
# ## 3.5 What would have noticed?
#
# The gradient check takes a fraction of a second for all thirty of them. It needs four things, each of which somebody
# has left out: T of at least 3, so that something comes back from a later frame; N of at least 2; peepholes that are
# not zero; and a random upstream gradient. Take one away and count again.


# %%
def noticed(T, N, peepholes, seed=0):
    """How many of the bugs check_layer finds on a clip of that kind."""
    found = 0
    for bug in LSTM_BUGS:
        rng = np.random.default_rng(seed)
        layer = PeepholeLSTM(3, 4, rng)
        layer.params["W_c"][...] = peepholes * rng.standard_normal((3, 4))
        layer.convert(lambda a: a.astype(np.float64))
        with planted(bug, "layers/lstm.py"):
            try:
                check_layer(layer, rng.standard_normal((N, T, 3)))
            except (GradientError, ValueError):
                found += 1
    return found


counts = {
    "3 frames, 2 clips, peepholes": noticed(3, 2, 1),
    "peepholes zero, as a new network has them": noticed(3, 2, 0),
    "one frame": noticed(1, 2, 1),
    "one frame, peepholes zero": noticed(1, 2, 0),
}
for what, count in counts.items():
    print(f"{what:45s} {count:2d} of {len(LSTM_BUGS)}")
assert counts["one frame, peepholes zero"] < counts["3 frames, 2 clips, peepholes"]

# %% [markdown]
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise checks your backward pass against numerical derivatives,
# under a random upstream gradient.
#
# **1.** *The sign of the gradient*, $\mathrm{sgn}(g)$, is a famous wrong gradient that learns. Here the forward pass is
# a *soft sign*, $y = x / (1 + |x|)$. Its backward pass, please, the right one.


# %%
def softsign_forward(x):
    """x -> y of the same shape."""
    return x / (1 + abs(x))


def softsign_backward(dy, x):
    """dy, x of one shape -> dx."""
    ...


# %% jupyter={"source_hidden": true}
mark(1, softsign_forward, softsign_backward, np.random.default_rng(1).standard_normal((3, 4)))

# %% [markdown]
# **2.** *A gate with a peephole*: $o = \sigma(a + w c)$, $h = o \tanh c$, with `PEEPHOLE` w and `BEFORE` a. Through how
# many ways does h read the cell?

# %%
PEEPHOLE, BEFORE = np.random.default_rng(20).standard_normal((2, 3, 4))


def gated_forward(c):
    """c (3, 4) -> h (3, 4)."""
    return np.tanh(c) / (1 + np.exp(-BEFORE - PEEPHOLE * c))


def gated_backward(dh, c):
    """dh, c (3, 4) -> dc (3, 4)."""
    ...


# %% jupyter={"source_hidden": true}
mark(2, gated_forward, gated_backward, np.random.default_rng(2).standard_normal((3, 4)))

# %% [markdown]
# **3.** Make the task harder, `T = 40`. Which red dots move to the left? (Twenty minutes; or take five bugs.)
#
# **4.** Find a wrong version that ends *better* than the right one. Is that a discovery?
# (`09_can_one_seed_tell_the_truth`)
#
# **Next:** `04_what_does_convolution_cost`.
