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
# # A6 · CUDA without a GPU
#
# The layers of *Beyond Short Snippets* as CUDA kernels. You write four of them. No GPU is needed: a header defines
# `threadIdx`, `__syncthreads` and the like for a processor, the C++ compiler of your machine does the rest, and the
# threads of a block take turns. Slow, but every mistake in an index shows, and here even who made it.
#
# **Where.** You write in the library's `.cu` files, in place of the comment in a kernel's body; its parameters stay.
# The `.py` file beside it has the equations and the same layer in NumPy, so all that is new is who computes what.
#
# **The pattern.** A grid has `gridDim.x` blocks of `blockDim.x` threads. Thread `threadIdx.x` of block `blockIdx.x`
# computes element k = `blockIdx.x * blockDim.x + threadIdx.x`, then the one that lies a whole grid further on, and so
# on while k < n. One thread computes one element, and reads all that it needs. `REAL` is float or double.
#
# **How to check.** In a terminal in this folder, as often as you like:
#
#     snippets assignment check relu_backward
#
# It compiles your file, runs it in a process of its own, and names the worst difference: array, index, both numbers,
# and the mistake if it is a known one. "writes of each element of dx[3] is 2, expected 1": two threads wrote it.

# %%
import numpy as np
from check import check

from snippets.layers.device.cu_source import source
from snippets.layers.device.watch import watch

# %% [markdown]
# ## 6.1 `relu_backward` (15 points), `layers/relu.cu`
#
# `dx` is `dy` where `y` is positive, and 0 elsewhere; all have n elements. Below, 2 blocks of 3 threads on 9 elements:
# a row for each thread, `w` where it writes, `W` where it writes again. Each column must have one `w`. Make the grid
# larger than n, and see what your guard is for.

# %%
check("relu_backward")
dy, y, dx = np.arange(9.0), np.arange(9.0) % 2, np.zeros(9)
print(watch(source("layers/relu.cu"), "relu_backward", (2, 3), dy, y, dx, 9).map("dx"))

# %% [markdown]
# ## 6.2 `temporal_max_forward`, `temporal_max_backward` (20 points), `layers/temporal.cu`
#
# Forward, a thread has one element of y (N, M, D): which clip, which window, which feature? Backward, a thread has one
# element of dx (N, T, D). The easy way, a thread for each window that adds its gradient to the winner, has two threads
# that add to one element at the same time. Turn it round: which windows can frame t have won?

# %%
check("temporal_max")
x, N, T, D, M = np.arange(10.0) % 4, 1, 10, 1, 5
y, winner = np.zeros(M), np.zeros(M, np.uint16)
notes = watch(source("layers/temporal.cu"), "temporal_max_forward", (2, 3), x, y, winner, T, D, 3, 2, M, M)
print(notes.map("x"))
print(notes.map("y"))

# %% [markdown]
# ## 6.3 `lrn_backward` (25 points), `layers/lrn.cu`
#
# Here the threads of a block work together. Each copies a part of x and dy into `__shared__` tiles, from which all of
# them read: `fetch`, `window_sum` and `inverse_power` are given, and `lrn_forward` shows how they are used. What must
# be computed for channels beyond the block's own, and how far beyond? `__syncthreads()` waits until every thread of the
# block is there: between the last write into a tile and the first read from it, and between the last read and the next
# write. All threads must come to it, also those without an element.

# %%
check("lrn_backward")

# %% [markdown]
# ## 6.4 `gates_backward` (25 points), `layers/lstm.cu`
#
# One step of the LSTM backward: a thread has one unit of one clip, reads its four gates, and writes four numbers into
# `delta` and one into `dc`. `layers/lstm.py` has the equations. `dc` is read and then written in place.

# %%
check("gates_backward")

# %% [markdown]
# ## 6.5 The bug hunt (15 points), `hunt.py`
#
# Now you are the examiner: the file says what your check sees. Run `snippets assignment hunt` in the terminal.

# %%
check("hunt")

# %% [markdown]
# ## Milestone: a training on your kernels
#
# The same network is trained twice on the same clips: by NumPy, and by the kernels of your files, to which the layers
# hand their arrays as they would on a GPU. Both must agree to the last digits. (If you have changed a file since you
# started the kernel, restart it first.)

# %%
import contextlib  # noqa: E402
from unittest import mock  # noqa: E402

from snippets.layers import lrn, lstm, relu, temporal  # noqa: E402
from snippets.layers.core.base import Sequential  # noqa: E402
from snippets.layers.linear import Linear  # noqa: E402
from snippets.layers.loss import softmax_loss  # noqa: E402

N, T, D, M = 16, 6, 8, 10
rng = np.random.default_rng(6)
labels = np.arange(N) % 2
x = rng.standard_normal((2, T, D))[labels] + rng.standard_normal((N, T, D))


def train(steps=30):
    """The loss before each step, and the parameters at the end."""
    weights = np.random.default_rng(1)
    net = Sequential(
        fc=Linear(D, M, weights), relu=relu.ReLU(), norm=lrn.LRN(5, alpha=0.5), lstm=lstm.PeepholeLSTM(M, M, weights),
        pool=temporal.TemporalMaxPool(), scores=Linear(M, 2, weights),
    ).convert(lambda a: a.astype(np.float64))  # fmt: skip
    losses = []
    for _ in range(steps):
        scores, cache = net.forward(x)
        loss, dscores = softmax_loss(scores, labels, np.full(N, 1 / N))
        losses.append(float(loss))
        for key, g in net.backward(dscores, cache)[1].items():
            net.params[key] -= 0.5 * g
    return losses, np.concatenate([a.ravel() for a in net.params.values()])


losses, w = train()
print(f"by NumPy         loss {losses[0]:.6f} to {losses[-1]:.6f}")
with contextlib.ExitStack() as stack:
    for module in (relu, lrn, lstm, temporal):
        stack.enter_context(mock.patch.object(module, "on_gpu", lambda a: True))
    losses, w_kernels = train()
print(f"by your kernels  loss {losses[0]:.6f} to {losses[-1]:.6f}, largest difference {abs(w - w_kernels).max():.1e}")

# %% [markdown]
# **What to see:** the same losses, and parameters that agree to about fifteen digits. With CuPy and a GPU the same
# files are compiled by NVRTC instead: `snippets train … --device cuda`.
