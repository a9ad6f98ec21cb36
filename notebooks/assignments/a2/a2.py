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
# # A2 · Convolution, pooling
#
# The networks of *Beyond Short Snippets* look at every frame through convolutions and max-pooling. You write both,
# forward and backward. At the end a network learns on your convolution.
#
# **Where.** You write in the library's own files, never in this notebook: replace each `raise NotImplementedError` by
# your code. The docstring of a function has every shape; the docstring at the top of its file has the equations.
# Functions that say "left out of A2" are ways to be faster; nothing of yours needs them, and you may delete them.
#
# **How to check.** In a terminal in this folder, as often as you like:
#
#     snippets assignment check padding
#
# It runs your file in a process of its own and names the worst difference: array, index, both numbers, shapes, and the
# mistake if it is a known one. The cell below does the same from here; there is no need to restart the kernel.
#
# **Notation.** N images · H, W height and width · C channels · F filters · kh, kw, s, p kernel, stride, padding ·
# Ho, Wo height and width of the output. Channels are on the last axis: images are (N, H, W, C), filters (kh, kw, C, F).
# `dx` is $\partial L / \partial x$. Nothing writes into an argument, and results have the dtype of the inputs.

# %%
import numpy as np
from check import check

# %% [markdown]
# ## 2.1 `padding` (10 points), `layers/core/window.py`
#
# One axis of an image, and where windows begin on it. The rules stand in `layers/conv.py`, under "Padding". Draw six
# pixels and windows of three, two apart, for each of the four kinds.

# %%
check("padding")

# %% [markdown]
# ## 2.2 `im2col`, `conv_forward` (20 points), `layers/conv.py`
#
# `pad2d` and `sliding_windows` are given: the second is a view, so it costs nothing, that shows each window as kh runs
# of kw C neighbours. With a window a row, the convolution is one matrix product, then bias, then ReLU if it is asked
# for. What does your backward pass need? That is your cache.

# %%
check("conv_forward")

# %% [markdown]
# ## 2.3 `conv_input_grad`, `conv_filter_grad`, `conv_backward` (25 points)
#
# For $dW$: which numbers does the weight $W_{ijcf}$ meet, and what is multiplied with them? For $dx$: which outputs
# read one pixel, each through which weight? Do it for one row of pixels with stride 1, then 2, before you write it for
# images. There are two good ways: to add what each window sends back where it came from, or to gather for each pixel.
# With `relu=True` the mask comes first.

# %%
check("conv_backward")

# %% [markdown]
# ## 2.4 `max_pool_forward`, `max_pool_backward` (20 points), `layers/pool.py`
#
# A loop over the windows, or over the places within a window, is fast enough. Pixels outside the image never win. Who
# wins if two are equal? Can a pixel win twice?

# %%
check("max_pool")

# %% [markdown]
# ## 2.5 The twist (12 points), `layers/twist.py`
#
# A pooling that the library does not have. Its equation is in the file.

# %%
check("twist")

# %% [markdown]
# ## 2.6 The bug hunt (13 points), `hunt.py`
#
# Now you are the examiner: the file says what your check sees. Run `snippets assignment hunt` in the terminal.

# %%
check("hunt")

# %% [markdown]
# ## Milestone: the same strokes, by convolution
#
# 16 x 16 pixels of noise with three strokes, bright or dark, anywhere, all in one of four directions. Name the
# direction. The network of A1 had some 30,000 weights for a smaller image with one stroke; this one has 1636. (If you
# have changed a file since you started the kernel, restart it first.)

# %%
from strokes import render  # noqa: E402

from snippets.layers.conv import Conv2D  # noqa: E402
from snippets.layers.core.base import Sequential  # noqa: E402
from snippets.layers.linear import Linear  # noqa: E402
from snippets.layers.loss import softmax_loss  # noqa: E402
from snippets.layers.pool import GlobalAvgPool, MaxPool2D  # noqa: E402

RATE, STEPS, BATCH = 0.4, 240, 32
rng = np.random.default_rng(0)
test_x, test_labels = render(500, rng)
net = Sequential(
    conv1=Conv2D(1, 8, 7, relu=True, rng=rng),  # (N, 16, 16, 8)
    pool1=MaxPool2D(3, 2),  # (N, 8, 8, 8)
    conv2=Conv2D(8, 16, 3, relu=True, rng=rng),  # (N, 8, 8, 16)
    average=GlobalAvgPool(),  # (N, 16)
    scores=Linear(16, 4, rng),  # (N, 4)
)
print(f"{sum(a.size for a in net.params.values())} weights")


def accuracy():
    """Share of the test images answered right."""
    return float((net.predict(test_x).argmax(axis=1) == test_labels).mean())


try:
    print(f"before training {accuracy():.1%}")
    for step in range(STEPS):
        x, labels = render(BATCH, rng)
        scores, cache = net.forward(x)
        loss, dscores = softmax_loss(scores, labels, weight=1 / BATCH)  # the mean over the batch
        _, grads = net.backward(dscores, cache)
        for name, array in net.params.items():
            array -= RATE * grads[name]
        if step % 40 == 39:
            print(f"step {step + 1}: loss {loss:.3f}")
    print(f"after training  {accuracy():.1%}")
except NotImplementedError as missing:
    print(f"{missing} is not written yet")

# %% [markdown]
# **What to see:** a guess is right in 25 % of the cases, your network in nearly all, with a twentieth of A1's weights:
# a filter that has learnt a stroke in one place knows it in every place. `snippets demo --quick` trains the paper's
# networks on rendered video with your convolution, in some minutes; its last line says whose files have computed it.
