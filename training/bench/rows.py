"""The rows of `snippets bench`, in ROWS: each is a job of `training.bench.jobs` and what makes its arguments.

Layers stand at their largest place in GoogLeNet or AlexNet: by multiply-adds if they have any, else by the size of
their map. Networks, and layers inside a tower, get 16 frames as a tower gets them: in chunks, on all cores. What
stands behind the temporal pool gets 16 clips in one call. Dropout is off but in its own row, so that both sides
compute the same numbers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.data.flow.images import GREY
from snippets.data.listing import walk
from snippets.data.mini.make import look_of, paint_clip, write_avi
from snippets.data.video import read_frames
from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.inception import Inception
from snippets.layers.linear import Linear
from snippets.layers.lrn import LRN
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.pool import GlobalAvgPool, MaxPool2D
from snippets.layers.relu import ReLU
from snippets.nets.alexnet import alexnet
from snippets.nets.frames import OverFrames
from snippets.nets.googlenet import googlenet
from snippets.nets.pooling import conv_pooling
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.bench.jobs import decode, flow, flow_note, frames, loss, sgd, step, video, whole

CLASSES = 101  # UCF-101's


class Setup(NamedTuple):
    """What arguments depend on; s(full, quick) is one or the other size."""

    quick: bool = False  # a smoke test: all rows at a small size
    clips: str | None = None  # folder of real clips
    folder: str = "."  # for files that a row writes
    device: str = "cpu"

    def __call__(self, full, quick):
        return quick if self.quick else full


class BenchRow(NamedTuple):
    """A row of the benchmark."""

    name: str
    unit: str  # milliseconds are per "frame", "pair" of frames, or "call" of the whole job
    job: Callable  # (*arguments) -> Workload
    make: Callable  # (setup) -> arguments
    note: str = ""
    note_on: Callable | None = None  # (arguments, our results, theirs or None) -> note, where results may differ


def rng():
    """The generator of weights."""
    return np.random.default_rng(0)


def normal(*shape):
    """Random numbers, float32, of a shape."""
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def both(layer, x):
    """Arguments for a pass forward and back: a random dy of y's shape."""
    return layer, x, normal(*x.shape[:1], *layer.predict(x[:1]).shape[1:])


def tower(s, make):
    """A frame network and one clip of 16 frames."""
    net = OverFrames(make(rng(), s(1.0, 0.25)))
    return net, normal(1, s(16, 2), s(220, 64), s(220, 64), 3)


def maps(s, side, C):
    """Maps (16, side, side, C) inside a tower."""
    small = s(side, max(side // 8, 7))
    return normal(s(16, 2), small, small, C)


def vectors(s, D):
    """Features (16, D)."""
    return normal(s(16, 2), s(D, D // 64))


def pooling_head(s):
    """Everything behind AlexNet's last map: the maximum over 30 frames, two layers of 4096, scores."""
    shape = s((7, 7, 256), (2, 2, 8))
    net = conv_pooling({}, shape, NetConfig(CLASSES, fc=s(4096, 64)), rng())
    return both(net, normal(s(16, 2), s(30, 4), *shape))


def lstm(s, N, T):
    """Five LSTM layers of 512 cells on 1000 features: Figure 4 between the tower and the softmax layer."""
    D, M = s(1000, 20), s(512, 8)
    stack = Sequential(**{f"lstm{n + 1}": PeepholeLSTM(M if n else D, M, rng()) for n in range(5)})
    return both(stack, normal(s(N, 2), s(T, 4), D))


def scores(s):
    """Scores of 32 clips of 30 frames for Sports-1M's 487 classes, and labels."""
    return normal(s(32, 2), s(30, 4), 487), np.arange(s(32, 2))


def update(s):
    """GoogLeNet's 7.0 million parameters, and gradients."""
    params = googlenet(rng(), s(1.0, 0.1)).params
    return params, {key: normal(*a.shape) for key, a in params.items()}


def clip(s, head):
    """A network on GoogLeNet, one clip of 30 frames, its label."""
    small = dict(width=s(1.0, 0.25), vector=s(1000, 20), fc=s(4096, 32), units=s(512, 8))
    config = NetConfig(CLASSES, "googlenet", head, s(30, 3), s(220, 64), dropout=0.0, **small)
    return build(config), normal(*input_shape(config)), np.array([7])


def long_video(s):
    """Conv Pooling, and ten times those 30 frames."""
    net, x, _ = clip(s, "conv")
    return net, x[0], s(10, 2)


def rendered(s):
    """Four clips of the mini data set, at the side that crops of 220 pixels are cut from."""
    paths = [Path(s.folder) / f"rendered{i}.avi" for i in range(s(4, 2))]
    for i, path in enumerate(paths):
        if path.exists():
            continue
        pixels = paint_clip("BallRising", look_of("BallRising", 0, i), np.random.default_rng(i), s(48, 16), s(256, 32))
        write_avi(path, pixels)
    return paths, s(30, 4), s(220, 27)


def real(s):
    """Every video in the folder --clips, or in its folders."""
    paths = [path for _, videos, _ in walk(s.clips) for path in videos]
    if not paths:
        raise ValueError(f"--clips {s.clips}: no videos there; expected a folder with video files")
    return paths, s(30, 4), s(220, 27)


def grey_pairs(s, size):
    """Pairs of frames (N, 2, *size) at 15 per second: from the middle of each of --clips, else rendered."""
    if s.clips is None:
        names = ("SquareDance", "BallRising", "CardSun")[: s(3, 1)]
        videos = [paint_clip(name, look_of(name, 0, 1), rng(), 16, size[1])[6:8, : size[0]] for name in names]
    else:
        videos = [list(read_frames(path, 15, size)) for path in real(s)[0]]
    return np.stack([np.stack(frames[len(frames) // 2 - 1 :][:2]) @ GREY for frames in videos])


def adjacent(s):
    """Grey frames (N, 240, 320) and their neighbours."""
    pairs = grey_pairs(s, s((240, 320), (24, 32)))
    return pairs[:, 0], pairs[:, 1]


def panned(s):
    """Windows (N, 240, 320) of a frame, the same moved over it in four directions, and the true motion (N, 2)."""
    (H, W), sizes = s((240, 320), (24, 32)), s((5, 10, 15, 20, 30, 40), (5,))
    margin = max(sizes)
    frames = grey_pairs(s, (H + 2 * margin, W + 2 * margin))[:, 0]
    truth = [(k // 5 * a, k // 5 * b) for k in sizes for a, b in ((5, 0), (0, -5), (-4, 3), (3, 4))]

    def window(n, right, down):
        return frames[n % len(frames), margin - down :, margin - right :][:H, :W]

    return *(np.stack([window(n, k * right, k * down) for n, (right, down) in enumerate(truth)]) for k in (0, 1)), truth


def in_tower(name, side, C, layer, note=""):
    """The row of one layer, forward and backward, on maps of side x side x C."""
    return BenchRow(name, "frame", frames, lambda s: both(layer(rng()), maps(s, side, C)), note)


GROUP = dict(k=1.0, divide_by_n=True)  # GoogLeNet's LRN
NO_PEEPHOLES = "torch.nn.LSTM has no peepholes, so it does less"


def of_images(layer):
    """A convolution as the first layer of a network: without dx."""
    layer.input_grad = False
    return layer


# fmt: off
ROWS = (
    BenchRow("googlenet-forward", "frame", whole, lambda s: tower(s, googlenet)),
    BenchRow("googlenet-both",    "frame", whole, lambda s: both(*tower(s, googlenet))),
    BenchRow("alexnet-forward",   "frame", whole, lambda s: tower(s, alexnet)),
    BenchRow("alexnet-both",      "frame", whole, lambda s: both(*tower(s, alexnet))),
    in_tower("conv-7x7",    220,   3, lambda rng: of_images(Conv2D(3, 64, 7, 2, relu=True, rng=rng))),
    in_tower("conv-3x3",     55,  64, lambda rng: Conv2D(64, 192, 3, relu=True, rng=rng)),
    in_tower("conv-1x1",     14, 528, lambda rng: Conv2D(528, 256, 1, relu=True, rng=rng), "most multiply-adds"),
    in_tower("conv-1x1-map", 55,  64, lambda rng: Conv2D(64, 64, 1, relu=True, rng=rng), "largest map"),
    in_tower("conv-5x5",     28,  32, lambda rng: Conv2D(32, 96, 5, relu=True, rng=rng), "GoogLeNet's"),
    in_tower("conv-11x11",  220,   3, lambda rng: of_images(Conv2D(3, 96, 11, 4, relu=True, rng=rng))),
    in_tower("conv-9x9",     28,  96, lambda rng: Conv2D(96, 256, 9, relu=True, rng=rng)),
    in_tower("conv-5x5-256", 14, 256, lambda rng: Conv2D(256, 256, 5, relu=True, rng=rng), "AlexNet's"),
    in_tower("max-pool-2",  110,  64, lambda rng: MaxPool2D(3, 2)),
    in_tower("max-pool-1",   28, 256, lambda rng: MaxPool2D(3, 1)),
    in_tower("lrn",          55, 192, lambda rng: LRN(**GROUP)),
    in_tower("inception3b",  28, 256, lambda rng: Inception(256, (128, 128, 192, 32, 96, 64), rng=rng)),
    in_tower("average",       7, 1024, lambda rng: GlobalAvgPool()),
    BenchRow("linear",    "call", whole, lambda s: both(Linear(s(12544, 196), s(4096, 64), rng()), vectors(s, 12544))),
    BenchRow("relu",      "call", whole, lambda s: both(ReLU(), vectors(s, 4096))),
    BenchRow("dropout", "call", whole, lambda s: (*both(Dropout(0.6), vectors(s, 4096)), rng()), "own masks each side"),
    BenchRow("conv-pooling-head", "call", whole, pooling_head),
    BenchRow("lstm-8x30",    "call",  whole,  lambda s: lstm(s, 8, 30), NO_PEEPHOLES),
    BenchRow("lstm-32x30",   "call",  whole,  lambda s: lstm(s, 32, 30), NO_PEEPHOLES),
    BenchRow("lstm-8x120",   "call",  whole,  lambda s: lstm(s, 8, 120), NO_PEEPHOLES),
    BenchRow("softmax-loss", "call",  loss,   scores),
    BenchRow("sgd",          "call",  sgd,    update),
    BenchRow("step-conv",    "call",  step,   lambda s: clip(s, "conv")),
    BenchRow("step-lstm",    "call",  step,   lambda s: clip(s, "lstm"), NO_PEEPHOLES),
    BenchRow("video-300",    "frame", video,  long_video),
    BenchRow("decode",       "frame", decode, rendered),
    BenchRow("tvl1",         "pair",  flow,   adjacent, note_on=flow_note),
    BenchRow("tvl1-pan",     "pair",  flow,   panned, "the motion is known", note_on=flow_note),
    BenchRow("decode-real",  "frame", decode, real, "the videos of --clips"),
)
# fmt: on


def choose(names=(), clips=None):
    """The rows whose name contains one of `names`, or all; decode-real only if there are clips."""
    for name in names:
        if not any(name in row.name for row in ROWS):
            raise ValueError(f"no row has {name!r} in its name; the rows are {', '.join(row.name for row in ROWS)}")
    chosen = [row for row in ROWS if not names or any(name in row.name for name in names)]
    chosen = [row for row in chosen if clips is not None or row.make is not real]
    if not chosen:
        raise ValueError("the row decode-real needs a folder of videos: --clips FOLDER")
    return chosen
