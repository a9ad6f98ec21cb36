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
# # A5 · Peephole LSTM
#
# *Beyond Short Snippets*, section 3.2, Equations 1–7. You write the backward pass of a plain recurrent network, one
# step of the LSTM with peepholes, its backward pass, and the loop over time. At the end a network is trained on your
# code.
#
# **Where.** You write in the library's own files, never in this notebook: replace each `raise NotImplementedError` by
# your code. The docstring of a function has every shape; the docstring at the top of its file has the equations. NumPy
# is enough: `xp_of(a)`, which you see there, is NumPy or CuPy, whichever `a` belongs to. Do not write into an argument,
# and return arrays of the inputs' dtype (`np.zeros(shape, x.dtype)`), for networks run in float32.
#
# **How to check.** In a terminal in this folder, as often as you like:
#
#     snippets assignment check gates_forward
#
# It runs your file in a process of its own and names the worst difference: array, index, both numbers, shapes, and the
# mistake if it is a known one. The cell below does the same from here; there is no need to restart the kernel.
#
# **Notation.** N clips · T frames · D features per frame · M units. Rows are clips: `x` is (N, T, D), time is always
# axis 1. `dx` is $\partial L / \partial x$. The four gates lie side by side on one axis of 4M, in the order `GATES =
# "ifgo"`: with M = 4, column 14 = 3 · 4 + 2 is unit 2 of o.

# %%
import numpy as np
from check import check

# %% [markdown]
# ## 5.1 `rnn_backward` (14 points), `layers/rnn.py`
#
# `rnn_forward` is given. Derive $\partial L / \partial a_t$ first, from the last frame to the first: who reads $h_t$?
# All parameter gradients are then one matrix product each, over all frames at once.

# %%
check("rnn_backward")

# %% [markdown]
# ## 5.2 `gates_forward` (10 points), `layers/lstm.py`
#
# Equations 3–7 after the matrix products: `a` already holds $x_t W_x + h_{t-1} W_h + b$. Which gate sees which cell?

# %%
check("gates_forward")

# %% [markdown]
# ## 5.3 `gates_backward` (20 points)
#
# Draw the graph of one step, and count the arrows that leave each of $c_{t-1}$, $c_t$ and $o_t$. `dh` and `dc` hold all
# that comes from outside of the step: `dh` from the layer above and from frame t+1, `dc` from frame t+1 alone. `delta`
# is the gradient *before* the gates' non-linearities, that of `a`.

# %%
check("gates_backward")

# %% [markdown]
# ## 5.4 `peephole_grads` (8 points)
#
# A peephole is a vector, multiplied element by element, the same in every frame of every clip.

# %%
check("peephole_grads")

# %% [markdown]
# ## 5.5 `lstm_forward`, `lstm_backward` (18 points)
#
# The loop over time. What does `lstm_backward` need from the forward pass? That is your cache. The final state is an
# output like any other: `dhT` and `dcT` are its gradients, or None.

# %%
check("lstm")

# %% [markdown]
# ## 5.6 The gain (5 points), `rising` in `nets/frame_predictions.py`
#
# The label is given at every frame, and frame t counts $g_t = t/T$ (section 3.3).

# %%
check("gain")

# %% [markdown]
# ## 5.7 The twist (12 points), `layers/twist.py`
#
# A cell that no library has. Its equations are in the file; nobody has published this answer.

# %%
check("twist")

# %% [markdown]
# ## 5.8 The bug hunt (13 points), `hunt.py`
#
# Now you are the examiner: the file says what your check sees. Run `snippets assignment hunt` in the terminal.

# %%
check("hunt")

# %% [markdown]
# ## Milestone: order
#
# Two patterns are hidden in noise, one after the other. The label is which came first. Whatever a network knows about
# each frame, a maximum over frames cannot answer this: both classes hold the same frames. Yours can. (If you have
# changed a file since you started the kernel, restart it first.)

# %%
from snippets.layers.core.base import Sequential  # noqa: E402
from snippets.layers.linear import Linear  # noqa: E402
from snippets.layers.loss import softmax_loss  # noqa: E402
from snippets.layers.lstm import PeepholeLSTM  # noqa: E402
from snippets.layers.temporal import TemporalMaxPool  # noqa: E402
from snippets.nets.frame_predictions import clip_probabilities, rising  # noqa: E402
from snippets.training.sgd import SGD  # noqa: E402

T, D, M = 12, 6, 16
rng = np.random.default_rng(5)
patterns = rng.standard_normal((2, D))


def clips(count):
    """x (count, T, D) float32, labels (count,): 1 if the second pattern comes first. Each clip also comes reversed."""
    x = 0.3 * rng.standard_normal((count, T, D))
    for n in range(0, count, 2):
        early, late = sorted(rng.choice(T, 2, replace=False))
        x[n, early] += patterns[0]
        x[n, late] += patterns[1]
        x[n + 1] = x[n, ::-1]
    return x.astype(np.float32), np.arange(count) % 2


def accuracy(net, per_frame):
    """Share of test clips answered right after 300 steps of training; per_frame: the net answers at every frame."""
    sgd = SGD(net.params, lr=0.5, momentum=0.9, weight_decay=0, clip_norm=1.0)
    for _ in range(300):
        x, labels = clips(64)
        scores, cache = net.forward(x)
        weight = np.tile(rising(T), (64, 1)) / (64 * T) if per_frame else np.full(64, 1 / 64)
        _, dscores = softmax_loss(scores, labels, weight.astype(np.float32))
        sgd.step(net.backward(dscores, cache)[1])
    x, labels = clips(1000)
    return float((clip_probabilities(net.predict(x)).argmax(axis=1) == labels).mean())


pooling = Sequential(fc=Linear(D, M, rng), pool=TemporalMaxPool(), scores=Linear(M, 2, rng))
print(f"maximum over frames {accuracy(pooling, False):.1%}")
try:
    lstm = Sequential(lstm=PeepholeLSTM(D, M, rng), scores=Linear(M, 2, rng))
    print(f"your LSTM           {accuracy(lstm, True):.1%}")
except NotImplementedError as missing:
    print(f"your LSTM           {missing} is not written yet")

# %% [markdown]
# **What to see:** the pooling network is right on exactly half of the clips, for a clip and its reverse get the same
# answer. Your LSTM is right on nearly all. `snippets demo --quick` does it on rendered video, in about two minutes: in
# the column "order" of its table only the LSTM can be above 50 %, and its last line says whose files have computed it.
