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
# # A3 · LRN, inception
#
# The better of the two frame networks of *Beyond Short Snippets* is GoogLeNet. You write what it has and
# AlexNet has not, and the one layer whose backward pass most implementations once had wrong. At the end the network is
# complete, and with weights from elsewhere it says what is in a video.
#
# **Where.** You write in the library's own files, never in this notebook: replace each `raise NotImplementedError` by
# your code. The docstring of a function has every shape; the docstring at the top of its file has the equations.
# Functions that say "left out of A3" are ways to be faster; nothing of yours needs them, and you may delete them.
#
# **How to check.** In a terminal in this folder, as often as you like:
#
#     snippets assignment check lrn_forward
#
# It runs your file in a process of its own and names the worst difference: array, index, both numbers, shapes, and the
# mistake if it is a known one. The cell below does the same from here; there is no need to restart the kernel.
#
# **Notation.** N images · H, W height and width · C channels, on the last axis: images are (N, H, W, C). `dx` is
# $\partial L / \partial x$. Nothing writes into an argument, and results have the dtype of the inputs. What you keep in
# a cache is up to you.

# %%
import numpy as np
from check import check

# %% [markdown]
# ## 3.1 `lrn_forward` (12 points), `layers/lrn.py`
#
# A channel is damped where its neighbours are loud. Mind the window at the first and the last channel, and what
# `divide_by_n` does. `inverse_power` is given: $s^{-\beta}$.

# %%
check("lrn_forward")

# %% [markdown]
# ## 3.2 `lrn_backward` (25 points)
#
# $x_c$ is read more than once: by $y_c$ directly, and by which $s_j$? Write $\partial L / \partial x_c$ as a sum over
# all outputs that read it, on paper, before you program. Then see that the second part is a sum over a window, too.

# %%
check("lrn_backward")

# %% [markdown]
# ## 3.3 `Branches` (20 points), `layers/core/branches.py`
#
# Layers side by side: each sees x, and what they say is joined on the last axis. `layers/core/base.py` has the model,
# `Sequential`: names of parameters, caches, who gets `rng`. What is the gradient of an x that several layers have read?
# What belongs to a layer must not be written into, even if it looks like a good place to add up.

# %%
check("branches")

# %% [markdown]
# ## 3.4 `Inception.__init__` (8 points), `layers/inception.py`
#
# One row of GoogLeNet's table becomes a module of four branches. The names must be these, in this order, for weights
# from elsewhere find their layer by its name: `conv1` · `conv3` with `reduce` and `conv` · `conv5` with `reduce` and
# `conv` · `pool` with `max` and `proj`.

# %%
check("inception")

# %% [markdown]
# ## 3.5 `googlenet` (10 points), `nets/googlenet.py`
#
# From the table to the network, a `Sequential`. `TABLE` and the `VARIANTS` are given, and `scaled(64, width)` is 64
# channels times a width:
#
# - `conv1`: 7 x 7, stride 2, to 64 channels, padded as the variant says, ReLU. Nobody needs the gradient of the pixels:
#   set its `input_grad` to False.
# - `pool1`: maximum, 3 x 3, stride 2, padded as the variant says.
# - `norm1`: LRN with Caffe's k and convention; not in a variant without.
# - `reduce2`, `conv2`: 1 x 1 to 64 channels, ReLU; 3 x 3 to 192, ReLU.
# - `norm2`, `pool2`: as `norm1` and `pool1`, in this order.
# - `inception3a` … `inception5b`: the rows of `TABLE`, with its pools between them. These are 3 x 3 but for `pool4`,
#   whose size the variant says.
# - `average`: `GlobalAvgPool`, unless `tap` is "maps".
# - `drop`, `linear`: dropout of 0.4, then a linear layer to `out` numbers, if `tap` is "vector".
#
# A line `tower.cut = "pool2"` before you return it says where the chain may be run in two parts; it saves memory when
# long clips are trained.

# %%
check("googlenet")

# %% [markdown]
# ## 3.6 The twist (12 points), `layers/twist.py`
#
# A normalisation that the library does not have. Its equation is in the file.

# %%
check("twist")

# %% [markdown]
# ## 3.7 The bug hunt (13 points), `hunt.py`
#
# Now you are the examiner: the file says what your check sees. Run `snippets assignment hunt` in the terminal.

# %%
check("hunt")

# %% [markdown]
# ## Milestone: 6,998,552 numbers
#
# So many has GoogLeNet. If yours has as many, it may be the same network; whether it is, weights can tell that were
# trained elsewhere: in any other network they are noise. Say where they are and what to look at:
#
#     SNIPPETS_WEIGHTS    Caffe's GoogLeNet as .onnx or .npz (docs/weights.md of the project says where it comes from)
#     SNIPPETS_LABELS     the names of its 1000 classes, one per line
#     SNIPPETS_CLIP       a video
#
# (If you have changed a file since you started the kernel, restart it first.)

# %%
import os  # noqa: E402

from snippets.nets.googlenet import googlenet  # noqa: E402
from snippets.training.cli.main import main  # noqa: E402

try:
    net = googlenet(np.random.default_rng(0))
    count = sum(a.size for a in net.params.values())
    print(f"your GoogLeNet has {count:,} parameters, {count - 1000 * 1025:,} without its last layer")
    scores = net.predict(np.zeros((1, 220, 220, 3), np.float32))
    print(f"a frame of 220 x 220 pixels becomes a vector of {scores.shape[1]}")
    weights, labels, clip = (os.environ.get(f"SNIPPETS_{name}") for name in ("WEIGHTS", "LABELS", "CLIP"))
    if weights and labels and clip:
        options = ["--variant", "caffe", "--keep-classifier", "--labels", labels, "--out", "googlenet.npz"]
        main(["import", weights, *options])
        main(["predict", "googlenet.npz", clip])
    else:
        print("set SNIPPETS_WEIGHTS, SNIPPETS_LABELS and SNIPPETS_CLIP to let it name what is in a video")
except NotImplementedError as missing:
    print(f"{missing} is not written yet")

# %% [markdown]
# **What to see:** 6,998,552 parameters, 5,973,552 without the last layer, as the paper's authors used it. ImageNet has
# no actions, so a trained network names things: a ball, a bow, a beam. `snippets predict googlenet.npz VIDEO` asks it
# again, and `snippets features` writes its vector of every frame, on which the paper's heads are trained.
