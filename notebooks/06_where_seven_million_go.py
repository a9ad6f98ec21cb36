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
# # 6 · Where do 7 million parameters go?
#
# GoogLeNet has 22 layers with weights and 6,998,552 parameters. That number is in every table, and it is the wrong one
# to look at when a network does not fit into memory, or takes too long. Three columns tell three stories:
#
# * **parameters**: what is learnt, stored and sent over a network;
# * **products**: multiply-adds of one forward pass, what the time goes into;
# * **activations**: bytes that the layers put out, most of which a backward pass needs again.
#
# No weights are needed to count: the networks below are run on arrays that have a shape and no elements.

# %%
import matplotlib.pyplot as plt
import numpy as np
from walk import as_caffe, bet, imagenet, mark_same, prepare, real

from snippets.data.mini.make import look_of, paint_clip
from snippets.data.video import read_frames
from snippets.layers.conv import Conv2D
from snippets.layers.device.xp import to_numpy
from snippets.layers.inception import Inception
from snippets.layers.loss import softmax
from snippets.nets.googlenet import googlenet
from snippets.nets.inspect.memory import GIB, StepMemory
from snippets.nets.inspect.summary import layer_rows
from snippets.nets.zoo import NetConfig, build

prepare()

# %% [markdown]
# ## 6.1 Your bet
#
# The *stem* is what stands before the first inception module: three convolutions, two pools, two normalisations. It has
# 2 % of the parameters. What share of the bytes of all activations does it put out?

# %%
MY_BET = 20  # per cent; put your own number here before you run the next cell

# %% [markdown]
# ## 6.2 The figure
#
# `layer_rows` is what `snippets summary` prints: a row per layer. An inception module is six convolutions and a pool;
# here each is one bar.

# %%
SIZE = 220  # pixels, the paper's
rows = layer_rows(googlenet(None), (1, SIZE, SIZE, 3))
modules = list(dict.fromkeys(row.name.split("/")[0] for row in rows))
modules = [name for name in modules if name not in ("average", "drop")]


def total(field, names=None):
    """The sum of a field over layers, all of them or those of some modules."""
    return sum(getattr(row, field) for row in rows if names is None or row.name.split("/")[0] in names)


COLUMNS = {"params": "parameters", "madds": "products", "bytes": "bytes of activations"}
stem = modules[: modules.index("inception3a")]
share = {field: 100 * total(field, stem) / total(field) for field in COLUMNS}
print(f"GoogLeNet, {SIZE} x {SIZE} pixels, one frame: {total('params'):,} parameters,")
print(f"{total('madds') / 1e9:.2f} thousand million products, {total('bytes') / 1e6:.0f} MB of activations")
print("the stem has " + ", ".join(f"{share[f]:.0f} % of the {name}" for f, name in COLUMNS.items()))
assert total("params") == 6_998_552

fig, axes = plt.subplots(1, 3, figsize=(10, 5.2), sharey=True)
for ax, (field, title), colour in zip(axes, COLUMNS.items(), ["C0", "C1", "C3"], strict=True):
    parts = [100 * total(field, [name]) / total(field) for name in modules]
    ax.barh(range(len(modules)), parts, color=colour)
    for row, part in enumerate(parts):
        ax.text(
            part + 0.5,
            row,
            f"{part:.0f} %" if part >= 0.5 else f"{part:.1g} %" if part else "",
            va="center",
            fontsize=9,
        )
    whole = {
        "params": "6,998,552",
        "madds": f"{total('madds') / 1e9:.2f}·10⁹",
        "bytes": f"{total('bytes') / 1e6:.0f} MB",
    }
    ax.set(title=f"{title}: {whole[field]}", xlim=(0, max(parts) * 1.25), xticks=[])
    ax.axhspan(-0.5, len(stem) - 0.5, color="0.9", zorder=0)
    ax.spines["bottom"].set_visible(False)
axes[0].set_yticks(range(len(modules)), modules)
axes[0].text(0.98, len(stem) - 0.7, "stem", ha="right", transform=axes[0].get_yaxis_transform(), fontsize=9)
axes[0].invert_yaxis()
plt.show()
bet("bytes that the stem puts out", MY_BET, share["bytes"], "%")
assert share["params"] < 3 and share["bytes"] > 40

# %% [markdown]
# **What to see:** parameters lie at the bottom, bytes at the top, and products in between. The last layer alone has 15
# % of the parameters and no products to speak of; the two last modules have a third of the parameters and a few
# hundredths of the bytes. The stem turns this round: 2 % of the parameters and **half of the bytes**, because its maps
# are large: 110 × 110 × 64 numbers behind the first convolution, of each of which a backward pass wants to know whether
# it was positive.
#
# Reductions are why there are so few. A 5 × 5 convolution from 832 to 128 channels would have 2.7 million weights, four
# of ten of all that GoogLeNet has; through 48 channels first, as in the last module, it has a tenth of that.
#
# ## 6.3 AlexNet, the other way to spend
#
# The paper's other tower is the one with the three large convolutions and two fully connected layers of 4096.

# %%
alex = layer_rows(build(NetConfig(1000, "alexnet", "single", 1, SIZE), None), (1, 1, SIZE, SIZE, 3))
for row in alex:
    if row.params:
        print(f"{row.name:14s} {row.params:12,} parameters {row.madds / 1e6:6.0f} million products")
alex_total = {field: sum(getattr(row, field) for row in alex) for field in COLUMNS}
fc1 = next(row for row in alex if row.name == "fc1")
print(f"AlexNet: {alex_total['params']:,} parameters, {fc1.params / alex_total['params']:.0%} of them in fc1")
for field, title in COLUMNS.items():
    print(f"AlexNet / GoogLeNet, {title}: {alex_total[field] / total(field):.2f}")
assert fc1.params / alex_total["params"] > 0.6

# %% [markdown]
# Ten times the parameters and a sixth of the activations: which of the two is "larger" depends on what you run out of.
# fc1 reads all 7 × 7 × 256 numbers of the last map, and so has 51 million weights. GoogLeNet averages its last map, 7 ×
# 7 to one, and gets by without. That average is the reason why 120 towers in a row are affordable at all.
#
# ## 6.4 A clip is many frames
#
# Parameters are shared by all frames: 120 frames have as many as one. Activations are not. Here is what a *training*
# step takes on one clip of T frames, predicted by arithmetic before anything runs, and the same with `recompute`, where
# chunks of frames are run a second time in the backward pass instead of being kept.

# %%
lengths, kept, again = (1, 8, 30, 60, 120), [], []
for T in lengths:
    net = build(NetConfig(101, "googlenet", "conv", T, SIZE), None)
    step = StepMemory(net, (1, T, SIZE, SIZE, 3))
    kept.append(step.parts(threads=2))
    again.append(step.parts(threads=2, recompute=True))

plt.figure(figsize=(7.5, 3.6))
sums = [[sum(parts.values()) / GIB for parts in way] for way in (kept, again)]
for values, label, style in zip(sums, ["caches kept", "recomputed"], ["C3o-", "C0s-"], strict=True):
    plt.plot(lengths, values, style, label=label)
    plt.annotate(f"{values[-1]:.1f} GiB", (lengths[-1], values[-1]), (0, 6), textcoords="offset points", ha="right")
parameters = [parts["parameters"] / GIB for parts in kept]
plt.plot(lengths, parameters, "k:", label=f"the parameters alone, {parameters[-1]:.2f} GiB")
plt.xlabel("frames of the clip, T")
plt.ylabel("memory of a training step (GiB)")
plt.ylim(0, None)
plt.legend(loc="upper left")
plt.show()
assert sums[0][-1] > 4 * sums[1][-1] and len({parts["parameters"] for parts in kept}) == 1

# %% [markdown]
# **What to see:** the dotted line does not move. It is the *caches* that grow with the clip; and since they can be
# computed again, they need not be kept. With `recompute` a step takes one forward pass more, and a bounded amount of
# memory whatever T is: its slope is that of the clip's own pixels and vectors.
#
# ## 6.5 What the seven million know
#
# Genuine weights make the count concrete. Where the folder in the environment variable `SNIPPETS_SHARED` (else
# `../shared/data` beside the checkout) has `weights/bvlc_googlenet.npz`, the network that was published with Caffe
# looks at real clips; it was trained on photographs of a thousand kinds of things, and has never seen a film. Without
# the file the network has random weights and names nothing.

# %%
net, names = imagenet()
CLIPS = ["clips/v_Basketball_g01_c01.avi", "clips/Archery_tmbo_video1.avi", "ucf101_clips/PlayingCello"]


def moments(path, count=8):
    """Frames (count, 224, 224, 3) of a clip, or of the first clip in a folder, spread over its first four seconds."""
    path = sorted(path.glob("*.avi"))[0] if path.is_dir() else path
    return np.stack([frame for frame, _ in zip(read_frames(path, fps=2, size=(224, 224)), range(count), strict=False)])


found = [path for path in (real(name, "a rendered clip") for name in CLIPS) if path]
films = [moments(path) for path in found]
if not films:
    films = [paint_clip("StarDance", look_of("StarDance", 0, 1), np.random.default_rng(0), 24, 224)[::3]]

fig, axes = plt.subplots(1, len(films), figsize=(3.3 * len(films), 3.4), squeeze=False)
for ax, frames in zip(axes[0], films, strict=True):
    p = to_numpy(softmax(net.predict(as_caffe(frames))))  # (frames, 1000)
    surest = int(p.max(axis=1).argmax())
    best = p[surest].argsort()[::-1][:3]
    ax.imshow(frames[surest])
    label = [f"{names[k] if names else f'class {k}'} {p[surest, k]:.0%}" for k in best]
    ax.set_title("\n".join(label), fontsize=10, loc="left")
    ax.axis("off")
    print(f"{label[0]:30s} in the surest of {len(frames)} frames; surest on average: ", end="")
    print(names[p.mean(axis=0).argmax()] if names else "nothing known")
plt.show()
assert names is None or len(films) < 3 or p.max() > 0.2

# %% [markdown]
# ## 6.6 What if some of them were gone?
#
# The parameters are not worth the same each. Set weights to zero, module by module, and see whether the network still
# says of the same frames what it said before. (This is about a network that knows something: with random weights the
# answers mean nothing.)

# %%
frames = np.concatenate([film[::2] for film in films])
said = net.predict(as_caffe(frames)).argmax(axis=1)
agreement = {}
for module in [m for m in modules if m.startswith("inception")]:
    own = {key: a for key, a in net.params.items() if key.startswith(f"{module}/conv5/")}
    before = {key: a.copy() for key, a in own.items()}
    for a in own.values():
        a[...] = 0
    agreement[module] = float((net.predict(as_caffe(frames)).argmax(axis=1) == said).mean())
    for key, a in own.items():
        a[...] = before[key]
    print(f"{module}: without its 5x5 branch ({sum(a.size for a in own.values()):7,} parameters) "
          f"{agreement[module]:.0%} of {len(frames)} frames keep their name")  # fmt: skip
assert (net.predict(as_caffe(frames)).argmax(axis=1) == said).all()  # everything is back in its place

# %% [markdown]
# **What to see:** (with the genuine weights) the 5 × 5 branch of `inception3b` has 1 % of the parameters, and without
# it most frames lose their name; the one of `inception5b` is more than twice as large, and hardly missed. How important
# a part is, none of the three columns of 6.2 says.
#
# ## Exercises
#
# Replace each `...`; the collapsed cell below each exercise compares with the library.
#
# **1.** *Count an inception module.* C channels come in; the row of the table is (1×1, 3×3 reduce, 3×3, 5×5 reduce,
# 5×5, pool projection). Every convolution has weights and one bias per filter. How many parameters?


# %%
def inception_parameters(C, row):
    """C, (n1, r3, n3, r5, n5, proj) -> number of parameters."""
    ...


# %% jupyter={"source_hidden": true}
def known_parameters(C, row):
    return sum(a.size for a in Inception(C, row, rng=None).params.values())


cases = [(192, (64, 96, 128, 16, 32, 32)), (832, (384, 192, 384, 48, 128, 128)), (3, (1, 2, 3, 4, 5, 6))]
mark_same(1, inception_parameters, known_parameters, *cases)

# %% [markdown]
# **2.** *Count products.* A convolution of k × k weights from C to F channels, whose output has Ho × Wo places: how
# many multiply-adds does one frame take?


# %%
def convolution_products(k, C, F, Ho, Wo):
    """-> number of multiply-adds of one frame."""
    ...


# %% jupyter={"source_hidden": true}
def known_products(k, C, F, Ho, Wo):
    return layer_rows(Conv2D(C, F, k, rng=None), (1, Ho, Wo, C))[0].madds


mark_same(2, convolution_products, known_products, (3, 64, 192, 55, 55), (1, 832, 384, 7, 7), (5, 16, 32, 28, 28))

# %% [markdown]
# **3.** At which input size do the caches of one frame take as many bytes as the parameters? Change `SIZE` and run 6.2
# again. Which of the three columns changes, and by what power of `SIZE`?
#
# **4.** In 6.6 take the 1 × 1 branch (`/conv1/`) or a whole module instead. Which module is the dearest?
#
# **Next:** `07_who_wins_the_maximum`.
