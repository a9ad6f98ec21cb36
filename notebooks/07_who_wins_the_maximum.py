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
# # 7 · Who wins the maximum?
#
# Conv Pooling, the paper's best pooling network, makes one vector of a clip by a maximum over its frames, feature by
# feature: $y_d = \max_t x_{td}$. Each feature of the clip comes from **one** frame, the winner, and in training that
# frame alone gets the feature's gradient. So: who wins? Do all frames have a say, or a handful?
#
# **Notation.** x (N, T, D): N clips of T frames, D features each · y (N, D) · a frame *wins* feature d of a clip if it
# is the first to reach the maximum.

# %%
import matplotlib.pyplot as plt
import numpy as np
from walk import as_caffe, bet, imagenet, mark, prepare, real, xp

from snippets.data.mini.make import CLASSES, look_of, paint_clip
from snippets.data.video import read_frames
from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import to_numpy
from snippets.layers.linear import Linear
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.relu import ReLU
from snippets.layers.temporal import TemporalMaxPool, temporal_max_backward, temporal_max_forward

prepare()

# %% [markdown]
# ## 7.1 Your bet
#
# Thirty frames of a real clip, four seconds, 1024 features each (what GoogLeNet's average pool puts out). The frames
# look much alike. If all had the same chances, each would win 34 features. How many does the *most successful* frame
# win?

# %%
MY_BET = 60  # of 1024 features; put your own number here before you run the next cells

# %% [markdown]
# ## 7.2 A clip, and its winners
#
# The clip and the weights are genuine where they are there: `clips/v_SoccerJuggling_g23_c01.avi` and
# `weights/bvlc_googlenet.npz` in the folder that the environment variable `SNIPPETS_SHARED` names, else in
# `../shared/data` beside the checkout. Else the clip is rendered, the weights are random, and the numbers are others.

# %%
T, FPS = 30, 7.5
net, _ = imagenet()
path = real("clips/v_SoccerJuggling_g23_c01.avi", "a rendered clip")
if path:
    frames = np.stack([f for f, _ in zip(read_frames(path, fps=FPS, size=(224, 224)), range(T), strict=False)])
else:
    frames = paint_clip("CardHeart", look_of("CardHeart", 0, 1), np.random.default_rng(4), T, 224)
tower = Sequential(**{name: layer for name, layer in net.layers.items() if name not in ("drop", "linear")})
x = xp.concatenate([tower.predict(as_caffe(frames[t : t + 10])) for t in range(0, T, 10)])[None]  # (1, T, 1024)

y, cache = temporal_max_forward(x)
dx = temporal_max_backward(xp.ones_like(y), cache)  # a one where a frame wins
won = to_numpy(dx[0].sum(axis=1)).astype(int)  # (T,)
assert won.sum() == x.shape[2]
bet("features that the most successful frame wins", MY_BET, won.max(), "of 1024")

order = np.argsort(won)[::-1]
shown = [t + int(won[t : t + 3].argmax()) for t in range(0, T, 3)]  # of each three frames the most successful
fig = plt.figure(figsize=(10, 4.6))
grid = fig.add_gridspec(2, len(shown), height_ratios=[1, 1.9])
strongest = plt.get_cmap("viridis")
for place, t in enumerate(shown):
    ax = fig.add_subplot(grid[0, place])
    ax.imshow(frames[t])
    ax.set(xticks=[], yticks=[], title=f"{t / FPS:.1f} s")
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=5, edgecolor=strongest(won[t] / won.max()))
bars = fig.add_subplot(grid[1, :])
bars.bar(np.arange(T) / FPS, won, 0.8 / FPS, color=strongest(won / won.max()))
bars.axhline(x.shape[2] / T, color="k", ls=":", lw=1)
bars.text(1.4 / FPS, x.shape[2] / T + 1, "if all were alike", fontsize=9)
bars.set(xlabel="time of the frame (seconds)", ylabel="features won, of 1024", xlim=(-0.6 / FPS, (T - 0.4) / FPS))
plt.show()

p = won[won > 0] / won.sum()
effective = float(np.exp(-(p * np.log(p)).sum()))
print(
    f"{(won > 0).sum()} of {T} frames win something; as unequal as if {effective:.1f} frames shared all features alike"
)
print(f"the five most successful win {won[order[:5]].sum() / won.sum():.0%}")
assert won.max() > x.shape[2] / T and (won > 0).sum() > 5

# %% [markdown]
# **What to see:** the bars are anything but level (yellow frames win most), and yet nearly every frame wins something:
# the maximum is no vote and no choice of a best frame. It collects. A frame wins where something stands out in it, and
# what stands out is another thing in each.
#
# ## 7.3 Sparse updates
#
# The gradient goes the same way back. Of T · D numbers of `dx`, D are not zero: one in T.

# %%
share = float((dx != 0).mean())
print(f"{share:.2%} of dx is not zero; 1 / T is {1 / T:.2%}")
kept = np.linalg.norm(to_numpy(dx[0]), axis=1)
print(f"norm of the gradient that a frame gets: from {kept.min():.1f} to {kept.max():.1f}; by a mean it would be "
      f"{np.sqrt(x.shape[2]) / T:.1f} for each")  # fmt: skip
assert abs(share - 1 / T) < 1e-12

# %% [markdown]
# The paper says it in one clause: max-pooling makes *sparse updates*, each of which is as large as if the feature had
# had one frame only. A mean would give every frame the same little of it.
#
# ## 7.4 How many frames are enough?
#
# The maximum over the first t frames can only rise. How fast is it where it ends?

# %%
heights = to_numpy(xp.stack([x[0, : t + 1].max(axis=0) for t in range(T)]))  # (T, 1024)
alive = heights[-1] > 0
reached = (heights[:, alive] / heights[-1, alive]).mean(axis=1)
shuffled = []
for seed in range(20):
    some = to_numpy(x[0])[np.random.default_rng(seed).permutation(T)]
    shuffled.append((np.maximum.accumulate(some, axis=0)[:, alive] / heights[-1, alive]).mean(axis=1))

plt.figure(figsize=(7.5, 3.6))
plt.plot(range(1, T + 1), 100 * np.array(shuffled).T, color="C5", lw=0.6, alpha=0.6)
plt.plot([], [], color="C5", label="frames in any other order (20 times)")
plt.plot(range(1, T + 1), 100 * reached, "C0.-", label="frames in their order")
plt.xlabel("frames seen")
plt.ylabel("mean feature, per cent of its end")
plt.ylim(0, 102)
plt.legend(loc="lower right")
plt.show()
print(f"one frame has {100 * np.mean(shuffled, axis=0)[0]:.0f} % of it, three in any order "
      f"{100 * np.mean(shuffled, axis=0)[2]:.0f} %, ten {100 * np.mean(shuffled, axis=0)[9]:.0f} %")  # fmt: skip

# %% [markdown]
# **What to see:** there is no frame that knows it all. One frame has a quarter to a third of what the clip's features
# rise to, three less than half, and even the twentieth frame still adds. The curve in the clip's own order (dark) lies
# below most others, for neighbouring frames are alike: what the next one shows, the last one has mostly shown. Frames
# far apart are worth more than frames in a row, which is what the paper finds with 6 frames per second beside 30.
#
# ## 7.5 Order: exactly one half
#
# A maximum does not know which frame came first. That is no weakness of the training: it is a theorem, and it gives a
# number without any training. Take pairs of classes of which one is the other *played backwards*. Whatever a network
# with a maximum over frames says of a clip, it says of the reversed clip, to the last bit; and one of the two answers
# is wrong. So of such pairs **every** network of this kind gets exactly one half, whatever its weights are. Here are
# 2,000 networks with random weights, on clips that a mere look at the first and last frame would tell apart.


# %%
def counting(group):
    """A clip of CountingUp (24, 64, 64, 3): one bar, two, three."""
    rng = np.random.default_rng([0, 3, CLASSES["CountingUp"][3], group])
    return paint_clip("CountingUp", look_of("CountingUp", 0, group), rng)


clips = np.stack([counting(group) for group in range(20)])
small = clips.reshape(20, 24, 8, 8, 8, 8, 3).mean(axis=(3, 5)).reshape(20, 24, -1) / 127.5 - 1  # 8 x 8 pixels
both = xp.asarray(np.concatenate([small, small[:, ::-1]]))  # (40, 24, 192): up, then down; float64
labels = np.repeat([0, 1], 20)


def doubled(a):
    """In float64, so that no sum in another order turns an answer."""
    return xp.asarray(a, np.float64)


rights = {"maximum": [], "LSTM": []}
for seed in range(2000):
    rng = np.random.default_rng(seed)
    fc = dict(fc=Linear(192, 16, rng, relu=True), relu=ReLU(), pool=TemporalMaxPool(), scores=Linear(16, 2, rng))
    rights["maximum"].append(
        (to_numpy(Sequential(**fc).convert(doubled).predict(both)).argmax(axis=-1) == labels).mean()
    )
    if seed < 200:
        lstm = Sequential(lstm=PeepholeLSTM(192, 4, rng), scores=Linear(4, 2, rng)).convert(doubled)
        rights["LSTM"].append((to_numpy(lstm.predict(both))[:, -1].argmax(axis=-1) == labels).mean())

plt.figure(figsize=(7.5, 3))
for (name, values), colour in zip(rights.items(), ["C0", "C1"], strict=True):
    bins = np.linspace(-1.25, 101.25, 42)
    counts, _ = np.histogram(100 * np.array(values), bins)
    plt.bar((bins[1:] + bins[:-1]) / 2, 100 * counts / len(values), 2.3, color=colour, alpha=0.8,
            label=f"{name}, {len(values)} random networks")  # fmt: skip
plt.yscale("log")
plt.xlabel("clips right, per cent")
plt.ylabel("networks, per cent")
plt.legend(loc="upper left")
plt.show()
print(f"maximum over frames: from {min(rights['maximum']):.1%} to {max(rights['maximum']):.1%}")
print(f"LSTM:                from {min(rights['LSTM']):.1%} to {max(rights['LSTM']):.1%}")
assert set(rights["maximum"]) == {0.5} and max(rights["LSTM"]) > 0.5

# %% [markdown]
# **What to see:** a single blue bar, at 50. Not around 50: at 50, two thousand times. The LSTMs, untrained as they are,
# spread, and some are right by chance far more often. Training can move an orange network along this axis. No training
# moves a blue one.
#
# So a table in which max-pooling has 50.0 % on such a pair does not say that something went wrong; 50.3 % would.
#
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise checks your backward pass against numerical derivatives,
# under a random upstream gradient.
#
# **1.** *Maxima over windows* of 4 frames, every 2 frames, of one clip and one feature: x (T,) -> y (m,). A frame may
# win two windows.


# %%
def windows_forward(x):
    """x (T,) -> y (m,): the maximum of x[0:4], x[2:6], ..."""
    return np.array([x[t : t + 4].max() for t in range(0, len(x) - 3, 2)])


def windows_backward(dy, x):
    """dy (m,), x (T,) -> dx (T,)."""
    ...


# %% jupyter={"source_hidden": true}
mark(1, windows_forward, windows_backward, np.random.default_rng(1).permutation(12) / 4)

# %% [markdown]
# **2.** *A soft maximum*, $y_d = \log \sum_t e^{x_{td}}$, in which every frame wins a little. Which share of dy does
# frame t get? (You have met it in another layer.)


# %%
def soft_forward(x):
    """x (T, D) -> y (D,)."""
    return np.log(np.exp(x).sum(axis=0))


def soft_backward(dy, x):
    """dy (D,), x (T, D) -> dx (T, D)."""
    ...


# %% jupyter={"source_hidden": true}
mark(2, soft_forward, soft_backward, np.random.default_rng(2).standard_normal((5, 3)))

# %% [markdown]
# **3.** Take the 1000 scores (`net.predict`) or the output of `inception4a` in the place of the average pool. Are the
# winners fewer?
#
# **4.** In 7.5, train a blue network for as long as you like. Then test on clips of which each is tested in one
# direction only, chosen at random. What do you get, and which number would you publish?
#
# **Next:** `08_how_much_is_a_leak_worth`.
