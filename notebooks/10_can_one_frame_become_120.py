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
# # 10 · Can one frame become 120?
#
# Training on clips of 120 frames is dear: every step runs the tower 120 times. The paper's way round (section 3.3,
# *network expansion*): train on **single frames**, copy all parameters into a network of 30 frames, train on, copy into
# one of 120. This works because a maximum over time has no parameters, and does not know how many frames there are.
#
# Here it is done in miniature, and two things happen that one should have seen once: an equality to the last bit, and a
# network that becomes better by being shown more, with no training at all.
#
# **Notation.** x (N, T, H, W, 3), N clips of T frames · Conv Pooling: the tower on every frame, the maximum over all T,
# two linear layers.

# %%
import matplotlib.pyplot as plt
import numpy as np
from walk import DEVICE, bet, mark, prepare, real, xp

from snippets.data.mini.make import CLASSES, look_of, paint_clip
from snippets.data.video import read_frames
from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import to_numpy
from snippets.layers.linear import Flatten, Linear
from snippets.layers.loss import softmax_loss
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.pool import MaxPool2D
from snippets.layers.relu import ReLU
from snippets.layers.temporal import TemporalMaxPool
from snippets.nets.expand import expand
from snippets.nets.frames import OverFrames
from snippets.training.parameters import move_to_device
from snippets.training.sgd import SGD, exponential

prepare()

# %% [markdown]
# ## 10.1 Your bet
#
# The clips below belong to one of four classes. A coloured sign, a different one for each class, is shown for two or
# three of 24 frames; all other frames show black signs that the four classes share. A network is trained on *single
# frames* drawn at random, of which about one in ten shows the coloured sign. On test frames drawn like that it can
# hardly be right in more than a third of the cases. Now the same parameters are put into a network that takes the
# maximum over all 24 frames. No training. What per cent of the test clips does it get right? (Guessing: 25 %.)

# %%
MY_BET = 40  # per cent; put your own number here before you run the next cells

# %% [markdown]
# ## 10.2 Clips, and one network for any number of frames

# %%
SEED, SIDE, FRAMES = 0, 32, 24
NAMES = ["CardDrop", "CardHeart", "CardLeaf", "CardSun"]


def render(groups):
    """Clips of so many groups (actors and backgrounds): x (4 groups, T, 32, 32, 3) in [-1, 1], labels."""
    x, labels = [], []
    for group in groups:
        for label, name in enumerate(NAMES):
            rng = np.random.default_rng([SEED, 3, CLASSES[name][3], group])
            clip = paint_clip(name, look_of(name, SEED, group), rng, FRAMES, 2 * SIDE)
            x.append(clip.reshape(FRAMES, SIDE, 2, SIDE, 2, 3).mean(axis=(2, 4)))
            labels.append(label)
    return np.float32(x) / 127.5 - 1, np.array(labels)


train_x, train_labels = render(range(40))
test_x, test_labels = render(range(100, 125))
print(f"{len(train_x)} clips to train on, {len(test_x)} to test, of other actors on other backgrounds")

fig, axes = plt.subplots(2, 8, figsize=(10, 2.9))
for row, clip in zip(axes, (1, 3), strict=True):
    for ax, t in zip(row, range(0, FRAMES, 3), strict=True):
        ax.imshow((train_x[clip, t] + 1) / 2)
        ax.set(xticks=[], yticks=[], title=f"frame {t}" if clip == 1 else "")
    row[0].set_ylabel(NAMES[train_labels[clip]])
plt.show()


def network(seed):
    """Conv Pooling with a small tower; no size in it depends on T."""
    rng = np.random.default_rng([SEED, seed])
    tower = Sequential(
        conv1=Conv2D(3, 12, 5, 2, relu=True, rng=rng),  # 16 x 16
        pool1=MaxPool2D(3, 2),  # 8 x 8
        conv2=Conv2D(12, 24, 3, relu=True, rng=rng),
        pool2=MaxPool2D(3, 2),  # 4 x 4
    )
    net = Sequential(
        tower=OverFrames(tower, chunk=64),  # (N, T, 4, 4, 24)
        pool=TemporalMaxPool(),  # (N, 4, 4, 24)
        flatten=Flatten(),
        fc1=Linear(384, 64, rng, relu=True),
        relu1=ReLU(),
        scores=Linear(64, 4, rng),
    )
    return move_to_device(net, DEVICE)


def accuracy(net, T):
    """Right answers on the test clips, each cut into windows of T frames: the mean over all windows."""
    windows = test_x.reshape(-1, T, *test_x.shape[2:])
    labels = np.repeat(test_labels, FRAMES // T)
    scores = [to_numpy(net.predict(xp.asarray(windows[n : n + 480 // T]))) for n in range(0, len(windows), 480 // T)]
    return float((np.concatenate(scores).argmax(axis=1) == labels).mean())


def train(net, T, steps, lr, seed, every=10):
    """SGD on random windows of T frames; returns frames that went through the tower, and accuracies on T frames."""
    rng, frames, found = np.random.default_rng([SEED, seed]), [], []
    batch = max(8, 64 // T)
    sgd = SGD(net.params, exponential(lr, 0.3, steps), momentum=0.9, weight_decay=0.0005, clip_norm=2.0)
    for step in range(steps + 1):
        if step % every == 0:
            frames.append(step * batch * T)
            found.append(accuracy(net, T))
        clip = rng.integers(len(train_x), size=batch)
        first = rng.integers(FRAMES - T + 1, size=batch)
        x = train_x[clip[:, None], first[:, None] + np.arange(T)]
        scores, cache = net.forward(xp.asarray(x), rng)
        _, dscores = softmax_loss(scores, train_labels[clip], 1 / batch)
        sgd.step(net.backward(dscores, cache)[1])
    return np.array(frames), np.array(found)


# %% [markdown]
# ## 10.3 One frame, then 24, and no training in between

# %%
single = network(seed=1)
single_frames, single_curve = train(single, T=1, steps=400, lr=0.03, seed=2, every=100)
expanded = network(seed=99)  # random weights, all of which `expand` replaces
expand(expanded, single.params)

by_length = {T: accuracy(expanded, T) for T in (1, 2, 3, 4, 6, 8, 12, 24)}
for T, right in by_length.items():
    print(f"windows of {T:2d} frames: {right:.1%}")
bet("right at 24 frames, trained on single ones", MY_BET, 100 * by_length[24], "%")
assert by_length[24] > by_length[1] + 0.2

# %% [markdown]
# The single frames that could teach anything had a coloured sign in common, so that is what the parameters know. A
# frame without one raises few features; the maximum over all frames keeps what the one frame raised that has something
# to say.
#
# ## 10.4 A still video: the same bits
#
# Now the other extreme, a video in which nothing ever changes. Take one frame, 120 times. Then the maximum over 120 is
# the maximum over 1, and every score of the expanded network is that of the single-frame network: not nearly, but to
# the last bit. The LSTM beside it has seen a story of 120 steps.

# %%
path = real("clips/v_ApplyEyeMakeup_g01_c01.avi", "a frame of a rendered clip")
if path:
    frame = next(iter(read_frames(path, fps=1, size=(SIDE, SIDE)))).astype(np.float32) / 127.5 - 1
else:
    frame = test_x[0, 0]
one = xp.asarray(frame[None, None])  # (1, 1, 32, 32, 3)
still = xp.asarray(np.repeat(frame[None, None], 120, axis=1))  # (1, 120, 32, 32, 3)
expanded.layers["tower"].chunk = 1
short, long = to_numpy(expanded.predict(one)), to_numpy(expanded.predict(still))
lstm = Sequential(
    tower=single.layers["tower"], flatten=Flatten(2), lstm=PeepholeLSTM(384, 16, np.random.default_rng(5))
)
move_to_device(lstm.layers["lstm"], DEVICE)
h = to_numpy(lstm.predict(still))[0]  # (120, 16)
print("scores of 1 frame:   ", short[0])
print("scores of 120 frames:", long[0])
print(f"the LSTM's output at frames 1 and 120 differs by up to {abs(h[0] - h[-1]).max():.2g}")
assert abs(short - long).max() == 0 and abs(h[0] - h[-1]).max() > 0.01

# %% [markdown]
# (`chunk = 1` makes the tower go frame by frame. A matrix product of more rows may sum in another order, and then the
# last bit of a score may differ although nothing else does.)
#
# ## 10.5 The figure: what expansion buys
#
# Two ways to a network of 24 frames, at the same price. The price is the number of frames that have gone through the
# tower: from scratch, every step costs 8 clips × 24 frames; the expanded network has already spent 25,600 frames one at
# a time.

# %%
scratch = network(seed=1)  # the same initial weights as the single-frame network had
scratch_frames, scratch_curve = train(scratch, T=24, steps=160, lr=0.03, seed=3, every=20)
fine_frames, fine_curve = train(expanded, T=24, steps=60, lr=0.01, seed=4, every=15)
fine_frames = fine_frames + single_frames[-1]

plt.figure(figsize=(7.5, 4))
plt.plot(single_frames / 1e3, 100 * single_curve, "C6.-", label="single frames")
plt.plot(scratch_frames / 1e3, 100 * scratch_curve, "C1s-", ms=4, label="24 frames, from scratch")
plt.plot(fine_frames / 1e3, 100 * fine_curve, "C0o-", ms=4, label="24 frames, expanded")
plt.annotate(
    "", (fine_frames[0] / 1e3, 100 * fine_curve[0]), (single_frames[-1] / 1e3, 100 * single_curve[-1]),
    arrowprops=dict(arrowstyle="->", color="C0", lw=1.5),
)  # fmt: skip
plt.text(fine_frames[0] / 1e3 + 0.7, 50 * (fine_curve[0] + single_curve[-1]), "expansion,\nno training", color="C0")
plt.axhline(25, color="k", ls=":", lw=1)
plt.xlabel("frames through the tower (thousands)")
plt.ylabel("test clips (or frames) right, per cent")
plt.ylim(0, 102)
plt.legend(loc="lower right")
plt.show()
same_price = np.interp(fine_frames[-1], scratch_frames, scratch_curve)
print(f"from scratch, at {fine_frames[-1]:,} frames: {same_price:.1%}; expanded: {fine_curve[-1]:.1%}")
assert fine_curve[-1] > 0.7 and scratch_curve[-1] > 0.9

# %% [markdown]
# **What to see:** two things that seem to contradict each other. The vertical arrow: a network that is right on a third
# of the single frames knows nearly all that there is to know about clips, and shows it as soon as it is shown more.
#
# And the orange curve: from scratch, on whole clips, the same is learnt with a fraction of the frames, and better. Here
# **expansion did not pay**. Nine in ten single frames carry the label of a class that they do not show; the network on
# single frames must answer them all the same, learns to do so from whatever there is (a border, a background), and its
# fine-tuning has to unlearn that, at a lower rate.
#
# So what expansion buys depends on what a single frame shows. On Sports-1M most frames show the sport, a step on clips
# is 120 times as dear, and the paper's networks begin with single frames. Ask of your own data which of the two it is.
#
# What expansion cannot do: nothing that a maximum over frames cannot say. Reverse every clip, and all numbers above
# stay as they are; for order it takes the LSTM of walkthrough 2, or Local Pooling, whose parameters depend on T, so
# that `expand` refuses it.

# %%
reverse = test_x[:, ::-1]
assert np.array_equal(
    to_numpy(expanded.predict(xp.asarray(reverse[:8]))), to_numpy(expanded.predict(xp.asarray(test_x[:8])))
)
print("the scores of eight clips played backwards: the same")

# %% [markdown]
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise checks your backward pass against numerical derivatives,
# under a random upstream gradient.
#
# **1.** *The maximum over time* of x (N, T, D). To which frame does the gradient go?


# %%
def max_forward(x):
    """x (N, T, D) -> y (N, D)."""
    return x.max(axis=1)


def max_backward(dy, x):
    """dy (N, D), x (N, T, D) -> dx (N, T, D)."""
    ...


# %% jupyter={"source_hidden": true}
mark(1, max_forward, max_backward, np.random.default_rng(1).permutation(48).reshape(2, 6, 4) / 10)

# %% [markdown]
# **2.** *The mean over time*, which the authors tried and rejected: is the gradient of one frame larger or smaller than
# above?


# %%
def mean_forward(x):
    """x (N, T, D) -> y (N, D)."""
    return x.mean(axis=1)


def mean_backward(dy, x):
    """dy (N, D), x (N, T, D) -> dx (N, T, D)."""
    ...


# %% jupyter={"source_hidden": true}
mark(2, mean_forward, mean_backward, np.random.default_rng(2).standard_normal((2, 6, 4)))

# %% [markdown]
# **3.** Put `TemporalAvgPool` (`layers.temporal`) in the place of the maximum in `network` and run 10.3 again. What
# happens to the jump, and why is a still video no problem for it?
#
# **4.** Take the four dances (`SquareDance`, `StarDance` ...) for `NAMES`: there every frame shows its class. Does
# expansion pay now?
#
# **Next:** `11_what_moves`.
