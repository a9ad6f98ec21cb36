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
# # 11 · What moves?
#
# The paper's second stream sees no pictures but *motion*: optical flow, for every pixel the way to where it is in the
# next frame. It is found by minimising an energy (TV-L1, `data/flow/tvl1.py`),
#
# $$E(u) = \sum_x |\nabla u_1| + |\nabla u_2| + \lambda\, |I_1(x + u) - I_0(x)| ,$$
#
# which wants the two frames to agree and the flow to be smooth but for edges. Three questions: does it find the truth
# where we know it? Does less energy mean less error? And on a real clip, who is it that moves?
#
# **Notation.** u (H, W, 2) in pixels, to the right and down · I0, I1 (H, W) grey, 0 to 255 · the *end-point error* is
# |u - truth|, in pixels, averaged.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import map_coordinates
from walk import bet, mark, prepare, real, xp

from snippets.data.flow.images import GREY, colours
from snippets.data.flow.tvl1 import TVL1, energy, tvl1
from snippets.data.mini.camera_shake import shaken
from snippets.data.mini.make import look_of, paint_clip
from snippets.data.video import read_frames
from snippets.layers.device.xp import to_numpy

prepare()

# %% [markdown]
# ## 11.1 Your bet
#
# A person plays with a ball, filmed by hand. Of the mean length of the flow vectors in that clip, how much is the
# *camera* (what is left if in every frame the motion of the background, the median vector, is taken away is what
# moves)?

# %%
MY_BET = 30  # per cent; put your own number here before you run the next cells

# %% [markdown]
# ## 11.2 Where the truth is known
#
# Take a frame and a flow that we make up: the picture turns a little, grows a little, and glides to the right. Warping
# it by that flow gives the frame before, and TV-L1 is asked for the flow between the two. (The clip is
# `clips/v_SoccerJuggling_g23_c01.avi` in the folder that `SNIPPETS_SHARED` names, else in `../shared/data` beside the
# checkout; else a rendered one.)

# %%
H, W, COUNT = 120, 160, 16
path = real("clips/v_SoccerJuggling_g23_c01.avi", "a rendered clip under a shaking camera")
if path:
    film = np.stack([f for f, _ in zip(read_frames(path, fps=15, size=(H, W)), range(COUNT), strict=False)])
else:
    rng = np.random.default_rng(0)
    calm = paint_clip("BallRising", look_of("BallRising", 0, 1), rng, COUNT, W)[:, 20:140]
    film = np.stack([shaken(frame, rng, 3, 0.0) for frame in calm])
grey = film @ GREY  # (T, H, W)

rows, columns = np.mgrid[:H, :W].astype(np.float64)
y, x = rows - H / 2, columns - W / 2
truth = np.stack([2.5 + 0.03 * x - 0.06 * y, 0.06 * x + 0.03 * y], axis=-1)  # pixels
I1 = grey[0]
I0 = map_coordinates(I1, [rows + truth[..., 1], columns + truth[..., 0]], order=3, mode="nearest")  # I0(x) = I1(x + u)
inside = np.ones((H, W), bool)
inside[:12], inside[-12:], inside[:, :12], inside[:, -12:] = False, False, False, False
print(f"true flow: up to {np.hypot(*np.moveaxis(truth, -1, 0)).max():.1f} pixels")


def find(I0, I1, **settings):
    """The flow (H, W, 2) of one pair."""
    return to_numpy(tvl1(xp.asarray(I0[None]), xp.asarray(I1[None]), TVL1(**settings), threads=1))[0]


def off(u):
    """The mean end-point error, off the border."""
    return float(np.hypot(*np.moveaxis(u - truth, -1, 0))[inside].mean())


u = find(I0, I1)
print(f"mean end-point error {off(u):.2f} pixels; of the guess that nothing moves {off(0 * u):.2f}")
assert off(u) < 0.5 * off(0 * u)

# %% [markdown]
# ## 11.3 The energy falls. Does the error?
#
# The same, stopped after few iterations at every size and warp, with frames of all sizes and with the full size alone.

# %%
counts = (1, 2, 5, 10, 20, 50, 100, 300)
runs = {
    name: [find(I0, I1, iterations=n, epsilon=0.0, scales=scales) for n in counts]
    for name, scales in {"all sizes, small to large": 13, "the full size alone": 1}.items()
}


def E(u):
    """The energy per pixel."""
    return float(energy(I0[None], I1[None], u[None])[0])


fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True)
for (name, flows), style in zip(runs.items(), ["C0o-", "C1s--"], strict=True):
    left.plot(counts, [E(u) for u in flows], style, label=name)
    right.plot(counts, [off(u) for u in flows], style, label=name)
left.axhline(E(truth), color="k", lw=1, label="the true flow")
left.set(xscale="log", xlabel="iterations per warp", ylabel="energy per pixel", ylim=(0, None))
right.set(xscale="log", xlabel="iterations per warp", ylabel="mean end-point error (pixels)", ylim=(0, None))
left.legend()
plt.show()
best = runs["all sizes, small to large"][-1]
print(
    f"energy of the true flow {E(truth):.4f}, of the one that was found {E(best):.4f}, of no motion {E(0 * best):.2f}"
)
assert off(best) < off(runs["the full size alone"][-1])

# %% [markdown]
# **What to see:** from one size alone (dashed) the energy falls as it should, and the flow stays wrong by a pixel and
# more: this is a valley, but not *the* valley, since the derivatives of an image look one or two pixels far. From small
# to large, where eight pixels are one, it takes two iterations at each size, and from five on nothing changes: the
# hundreds that follow cost time and move the flow by less than anybody can see.
#
# And the lower curve does not end *below* the line of the true flow. Nothing forbids it to: a flow that turns and grows
# has a gradient everywhere, for which the energy asks a price, and a flatter one might be cheaper. With a picture as
# rich as this one, it is not.
#
# ## 11.4 The figure: a film and its motion
#
# Hue is direction, strength is length.

# %%
flows = to_numpy(tvl1(xp.asarray(grey[:-1]), xp.asarray(grey[1:]), threads=1))  # (T - 1, H, W, 2)
camera = np.median(flows.reshape(len(flows), -1, 2), axis=1)  # (T - 1, 2): what most of the picture does
own = flows - camera[:, None, None]


def length(u):
    return np.hypot(u[..., 0], u[..., 1])


largest = float(np.percentile(length(flows), 99))
shown = np.linspace(0, len(flows) - 1, 5).round().astype(int)
fig, axes = plt.subplots(3, 6, figsize=(10, 4.4), width_ratios=[1] * 5 + [0.75])
for place, t in enumerate(shown):
    axes[0, place].imshow(film[t])
    axes[1, place].imshow(colours(flows[t], largest))
    axes[2, place].imshow(colours(own[t], largest))
    axes[0, place].set_title(f"{t / 15:.2f} s")
v, h = np.mgrid[-1:1:129j, -1:1:129j]
wheel = np.where((np.hypot(h, v) <= 1)[..., None], colours(np.stack([h, v], axis=-1), 1.0), 255).astype(np.uint8)
axes[1, 5].imshow(wheel)
axes[1, 5].set_title(f"radius {largest:.1f} pixels", fontsize=9)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
for ax, name in zip(axes[:, 0], ["frame", "flow", "flow less\nthe camera's"], strict=True):
    ax.set_ylabel(name)
plt.show()
whole, left_over = length(flows).mean(), length(own).mean()
bet("the camera's part of the mean length", MY_BET, 100 * (1 - left_over / whole), "%")

fig, ax = plt.subplots(figsize=(7.5, 2.8))
seconds = np.arange(len(flows)) / 15
ax.plot(seconds, length(flows).mean(axis=(1, 2)), "C6s-", ms=4, label="mean length of the flow")
ax.plot(seconds, length(camera), "C3o-", ms=4, label="the camera: length of the median vector")
ax.plot(seconds, length(own).mean(axis=(1, 2)), "C0^-", ms=4, label="what is left")
ax.set(xlabel="time (seconds)", ylabel="pixels per frame", ylim=(0, None))
ax.legend(loc="upper left", bbox_to_anchor=(0, 1.35), ncols=3, fontsize=9)
plt.show()

# %% [markdown]
# **What to see:** in the middle row the colour of the *background* changes from moment to moment: the camera is held by
# a hand. In the lowest row it is gone, and what is left are the person, the ball, and the edges of things. By length,
# most of what moves in this clip is the hand of whoever films it.
#
# Two-stream networks met this early (Simonyan and Zisserman subtract the mean vector of every flow image). The paper
# does not, and says that flow from its Sports-1M is noisy. The network gets what the middle row shows.
#
# ## 11.5 A shake of known size
#
# How good is the median at this? Shift a frame by whole pixels, as a hand would, and ask.

# %%
rng, wrong = np.random.default_rng(1), []
for _ in range(8):
    dy, dx = rng.integers(-6, 7, 2)
    moved = grey[0][6 + dy : H - 6 + dy, 6 + dx : W - 6 + dx]
    flow = find(grey[0][6:-6, 6:-6], moved)
    found = np.median(flow.reshape(-1, 2), axis=0)
    wrong.append(np.hypot(found[0] + dx, found[1] + dy))
    print(f"shifted by {-dx:+d}, {-dy:+d} pixels: the median says {found[0]:+.2f}, {found[1]:+.2f}")
assert np.median(wrong) < 0.2

# %% [markdown]
# ## Exercises
#
# Replace each `...`. The collapsed cell below each exercise checks your backward pass against numerical derivatives,
# under a random upstream gradient.
#
# **1.** *Forward differences*, as in the energy: $y_{hw} = x_{h, w+1} - x_{hw}$, and 0 in the last column. Its backward
# pass is minus the divergence. By which differences?


# %%
def difference_forward(x):
    """x (H, W) -> y (H, W)."""
    return np.diff(x, axis=1, append=x[:, -1:])


def difference_backward(dy, x):
    """dy, x (H, W) -> dx (H, W)."""
    ...


# %% jupyter={"source_hidden": true}
mark(1, difference_forward, difference_backward, np.random.default_rng(1).standard_normal((3, 5)))

# %% [markdown]
# **2.** *Reading between pixels.* A row of pixels x, read at the places p = `PLACES` by linear interpolation. What does
# each pixel hear?

# %%
PLACES = np.array([0.2, 1.5, 1.9, 3.0, 3.7])


def read_forward(x):
    """x (6,) -> y (5,)."""
    left = np.floor(PLACES).astype(int)
    part = PLACES - left
    return (1 - part) * x[left] + part * x[left + 1]


def read_backward(dy, x):
    """dy (5,), x (6,) -> dx (6,)."""
    ...


# %% jupyter={"source_hidden": true}
mark(2, read_forward, read_backward, np.random.default_rng(2).standard_normal(6))

# %% [markdown]
# **3.** In 11.3 set `lam` (the weight of the data) to 0.05 and to 0.5. Which has the smaller error, which the smaller
# energy at the truth?
#
# **4.** Mirror the two frames left to right. What must the flow do? (`tests/data/test_flow.py` holds the library to
# it.)
#
# **Next:** `12_do_fifty_machines_agree`.
