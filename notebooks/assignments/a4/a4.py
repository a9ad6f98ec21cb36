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
# # A4 · Video in time
#
# *Beyond Short Snippets*, section 3.1 and Figure 2. A network for pictures becomes one for video: the same weights see
# every frame, and then T frames become one answer. You write what joins them, the rule that keeps a test honest, and
# the measure of success. At the end a network finds a mark that is on screen for two or three frames.
#
# **Where.** You write in the library's own files, never in this notebook: replace each `raise NotImplementedError` by
# your code. The docstring of a function has every shape; the docstring at the top of its file has the equations.
#
# **How to check.** In a terminal in this folder, as often as you like:
#
#     snippets assignment check fold
#
# It runs your file in a process of its own and names the worst difference: array, index, both numbers, shapes, and the
# mistake if it is a known one. The cell below does the same from here; there is no need to restart the kernel.
#
# **Notation.** N clips · T frames · H, W rows and columns · C channels · F filters. The axes are (N, T, H, W, C): time
# is always axis 1, channels are last. `dx` is $\partial L / \partial x$.

# %%
import numpy as np
from check import check

# %% [markdown]
# ## 4.1 `fold`, `unfold` (8 points), `nets/frames.py`
#
# A network for pictures takes (B, ...). To it, N clips of T frames are N T pictures. Which row is frame t of clip n?
# Both functions are one line each. A mistake here raises no error and shows in no shape: it trains on shuffled video.

# %%
check("fold")

# %% [markdown]
# ## 4.2 `windows` (10 points), `layers/temporal.py`
#
# The paper pools over windows of 10 frames, 5 apart: 30 frames make 5 windows, 120 make 23. And 31? No frame may be
# left out, so there is one more window, which is clipped at the end of the clip. A clip shorter than a window is one
# window, and so is any clip if `window` is None. A stride that would skip frames is refused with a ValueError. Draw the
# cases T = 9, 10, 11 and 12 first.

# %%
check("windows")

# %% [markdown]
# ## 4.3 `temporal_max_forward`, `temporal_max_backward` (22 points)
#
# The maximum over the frames of each window, feature by feature. Of frames that tie, the first wins: ties are common
# behind a ReLU. What must the backward pass remember? That is your cache. A frame may win in several windows. (There is
# no GPU here: leave CUDA out.)

# %%
check("temporal_max")

# %% [markdown]
# ## 4.4 `window_starts`, `time_conv_forward`, `time_conv_backward` (20 points), `layers/time_conv.py`
#
# Convolution over frames and pixels, by the library's 2-D convolution, which you may call: `conv_forward` and
# `conv_backward` are imported. No frame is left out here either, but nothing is clipped, for a kernel has a fixed
# length: the last window ends at the last frame. A clip shorter than the kernel is refused with a ValueError. Keep a
# drawing of every array's axes beside you: a reshape joins only neighbours.

# %%
check("time_conv")

# %% [markdown]
# ## 4.5 `check_groups` (10 points), `data/layouts/splits.py`
#
# Clips that are cut from one film show the same person in the same place. With some of them in training and some in the
# test, accuracy measures memory. The docstring at the top of the file says what a group is. The message of your
# ValueError names the video or the group, so that its reader knows where to look.

# %%
check("check_groups")

# %% [markdown]
# ## 4.6 `hit_at_k` (5 points), `training/evaluate.py`
#
# Hit@1 and Hit@5, the paper's measures. A network that gives all classes the same score must gain nothing from ties,
# and one that has diverged must not look like a bad one: probabilities that hold NaN are refused with a ValueError, and
# so is a k that is not from 1 to K.

# %%
check("hit_at_k")

# %% [markdown]
# ## 4.7 The twist (12 points), `layers/twist.py`
#
# Another way to make one vector of T frames, which the library does not have. Its equations are in the file; nobody has
# published this answer.

# %%
check("twist")

# %% [markdown]
# ## 4.8 The bug hunt (13 points), `hunt.py`
#
# Now you are the examiner: the file says what your check sees. Run `snippets assignment hunt` in the terminal.

# %%
check("hunt")

# %% [markdown]
# ## Milestone: a moment
#
# Somebody holds up a card. It shows black signs, and for two or three frames a coloured mark, which is the class; all
# the rest is alike. Clips for the test are of other people in other places. The same small network sees the first frame
# alone, and then all frames through your `fold`, your `unfold` and your maximum over time. (If you have changed a file
# since you started the kernel, restart it first.)

# %%
from snippets.data.mini.make import CLASSES, look_of, paint_clip  # noqa: E402
from snippets.layers.conv import Conv2D  # noqa: E402
from snippets.layers.core.base import Sequential  # noqa: E402
from snippets.layers.linear import Flatten, Linear  # noqa: E402
from snippets.layers.loss import softmax_loss  # noqa: E402
from snippets.layers.pool import MaxPool2D  # noqa: E402
from snippets.layers.relu import ReLU  # noqa: E402
from snippets.layers.temporal import TemporalMaxPool  # noqa: E402
from snippets.nets.frames import OverFrames  # noqa: E402
from snippets.training.evaluate import hit_at_k  # noqa: E402
from snippets.training.sgd import SGD  # noqa: E402

T, SIDE = 12, 32
rng = np.random.default_rng(4)
cards = [name for name in CLASSES if name.startswith("Card")]


def clips(groups, count):
    """x (N, T, SIDE, SIDE, 3) float32, labels (N,): `count` clips of each of those people with each of four cards."""
    jobs = [(label, group) for label in range(len(cards)) for group in groups for _ in range(count)]
    looks = [look_of(cards[label], 0, group) for label, group in jobs]
    x = [paint_clip(cards[label], look, rng, T, SIDE) for (label, _), look in zip(jobs, looks, strict=True)]
    return np.stack(x).astype(np.float32) / 127.5 - 1, np.array([label for label, _ in jobs])


def accuracy(frames):
    """Hit@1 on other people's cards after 8 epochs of training on that many frames of each clip."""
    tower = Sequential(
        conv1=Conv2D(3, 8, 5, stride=2, rng=rng), relu1=ReLU(), pool1=MaxPool2D(3, 2),
        conv2=Conv2D(8, 16, 3, rng=rng), relu2=ReLU(), pool2=MaxPool2D(3, 2), flat=Flatten(),
    )  # fmt: skip
    net = Sequential(tower=OverFrames(tower), pool=TemporalMaxPool(), scores=Linear(256, len(cards), rng))
    sgd = SGD(net.params, lr=0.05, clip_norm=1.0)
    for _ in range(8):
        for batch in rng.permutation(len(train[0])).reshape(-1, 16):
            scores, cache = net.forward(train[0][batch, :frames])
            _, dscores = softmax_loss(scores, train[1][batch], np.full(16, 1 / 16, np.float32))
            sgd.step(net.backward(dscores, cache)[1])
    return hit_at_k(net.predict(test[0][:, :frames]), test[1], 1).mean()


train, test = clips(range(1, 9), 2), clips(range(9, 13), 4)
try:
    print(f"one frame                 {accuracy(1):.1%}")
    print(f"your maximum over frames  {accuracy(T):.1%}")
except NotImplementedError as missing:
    print(f"{missing} is not written yet")

# %% [markdown]
# **What to see:** one frame of four classes is a guess, about 25 %; the maximum over frames finds the mark whenever it
# is there, 100 %. Swap two axes in `fold` and train again: no error, no warning, and the accuracy tells. `snippets demo
# --quick` does it on rendered video with larger networks, in about two minutes: see the column "moment" of its table;
# its last line says whose files have computed it.
