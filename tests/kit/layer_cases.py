"""Every Layer subclass with a tiny input that tells right from wrong; contract.py has the promises that each must keep.

`make` takes the module rather than importing it, so that test_planted_bugs.py can hand it a wrong version.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Flatten, Linear
from snippets.layers.pool import MaxPool2D
from snippets.layers.relu import ReLU


@dataclass(frozen=True)
class Case:
    """One layer to check: `make(module)` builds it, `shape` is its input, first axis N (at least 2)."""

    name: str
    module: str
    make: Callable
    shape: tuple
    wrong: tuple = ()  # input shapes that must be refused
    random: bool = False  # draws from rng while training

    def layer(self, module=None, seed=1):
        """The layer in float64, every parameter of order one (zero biases and peepholes hide bugs)."""
        layer = self.make(module or importlib.import_module(self.module))
        layer.convert(lambda a: a.astype(np.float64))
        rng = np.random.default_rng(seed)
        for value in layer.params.values():
            value[...] = rng.normal(0, 0.7, value.shape)
        return layer

    def input(self, seed=2, batch=None):
        """Spaced values of both signs in random order: no ties, nothing sorted, nothing at zero."""
        return spaced((batch or self.shape[0], *self.shape[1:]), seed)


def spaced(shape, seed):
    """A random permutation of equally spaced values in (-1.5, 1.5), none of them zero."""
    size = int(np.prod(shape))
    values = (np.arange(size) - size / 2 + 0.3) * 3.0 / size
    return np.random.default_rng(seed).permutation(values).reshape(shape)


def generator(seed=0):
    """The generator that layers draw their initial weights from."""
    return np.random.default_rng(seed)


def small_tower(base):
    """A Sequential with a convolution, pooling and dropout inside another Sequential."""
    return base.Sequential(
        conv1=Conv2D(2, 3, 3, rng=generator()),
        relu1=ReLU(),
        block=base.Sequential(pool=MaxPool2D(), drop=Dropout(0.4)),
        flat=Flatten(),
        fc=Linear(2 * 2 * 3, 4, generator(1)),
    )


def branches(module):
    """Two branches of different widths that share their input."""
    return module.Branches(left=Linear(5, 3, generator()), right=Sequential(fc=Linear(5, 2, generator(1)), relu=ReLU()))


def frame_net():
    """What OverFrames runs on every frame."""
    return Sequential(fc1=Linear(4, 5, generator()), relu=ReLU(), drop=Dropout(0.3), fc2=Linear(5, 2, generator(1)))


def auxiliary_tower(auxiliary):
    """A chain with two auxiliary heads of different widths, one of which drops units."""
    return auxiliary.AuxiliaryTower(
        fc1=Linear(4, 5, generator()),
        aux1=Sequential(fc=Linear(5, 3, generator(1)), drop=Dropout(0.4)),
        relu=ReLU(),
        fc2=Linear(5, 3, generator(2)),
        aux2=Linear(3, 2, generator(3)),
        fc3=Linear(3, 4, generator(4)),
    )


def cut_chain(recompute):
    """A chain that is run again in two parts, each of which drops units."""
    chain = Sequential(**frame_net().layers, drop2=Dropout(0.3), fc3=Linear(2, 3, generator(2)))
    chain.cut = "fc2"
    return recompute.Recomputed(chain)


WRONG_CLIPS = [(2, 4), (2, 0, 4)]

CASES = [
    Case("Linear", "snippets.layers.linear", lambda m: m.Linear(5, 4, generator()), (2, 5), wrong=[(2, 4), (2, 3, 6)]),
    Case(
        "Linear on sequences",
        "snippets.layers.linear",
        lambda m: m.Linear(5, 4, generator()),
        (2, 3, 5),
        wrong=[(2, 5, 3)],
    ),
    Case("Flatten", "snippets.layers.linear", lambda m: m.Flatten(), (2, 3, 2, 2)),
    Case("Flatten frames", "snippets.layers.linear", lambda m: m.Flatten(start=2), (2, 3, 2, 2), wrong=[(4,)]),
    Case("AsMap", "snippets.layers.linear", lambda m: m.AsMap(), (2, 3, 4)),
    Case("ReLU", "snippets.layers.relu", lambda m: m.ReLU(), (2, 3, 4)),
    Case("Dropout", "snippets.layers.dropout", lambda m: m.Dropout(0.4), (2, 3, 4), random=True),
    Case("Dropout per clip", "snippets.layers.dropout", lambda m: m.Dropout(0.4, True), (2, 3, 4), random=True),
    Case(
        "Conv2D",
        "snippets.layers.conv",
        lambda m: m.Conv2D(2, 3, 3, rng=generator()),
        (2, 5, 4, 2),
        wrong=[(2, 5, 4, 3), (5, 4, 2)],
    ),
    Case(
        "Conv2D with stride and ReLU",
        "snippets.layers.conv",
        lambda m: m.Conv2D(2, 3, 5, stride=2, relu=True, rng=generator()),
        (2, 6, 5, 2),
        wrong=[(2, 5, 4, 3), (2, 2, 5, 4, 2)],
    ),
    Case(
        "Conv2D with padding 1",
        "snippets.layers.conv",
        lambda m: m.Conv2D(2, 3, 3, stride=2, pad=1, rng=generator()),
        (2, 5, 4, 2),
    ),
    Case(
        "Conv2D valid", "snippets.layers.conv", lambda m: m.Conv2D(2, 3, 3, pad="valid", rng=generator()), (2, 5, 4, 2)
    ),
    Case("Conv2D 1x1", "snippets.layers.conv", lambda m: m.Conv2D(3, 2, 1, relu=True, rng=generator()), (2, 3, 4, 3)),
    Case("MaxPool2D", "snippets.layers.pool", lambda m: m.MaxPool2D(), (2, 5, 6, 2), wrong=[(5, 6, 2)]),
    Case(
        "MaxPool2D with stride 1",
        "snippets.layers.pool",
        lambda m: m.MaxPool2D(3, 1),
        (2, 3, 4, 2),
        wrong=[(2, 2, 3, 4, 2)],
    ),
    Case("MaxPool2D valid", "snippets.layers.pool", lambda m: m.MaxPool2D(2, 2, "valid"), (2, 5, 4, 2)),
    Case("AvgPool2D", "snippets.layers.pool", lambda m: m.AvgPool2D(3, 2), (2, 5, 6, 2), wrong=[(5, 6, 2)]),
    Case("MaxPool2D rounding up", "snippets.layers.pool", lambda m: m.MaxPool2D(3, 2, "ceil"), (2, 6, 5, 2)),
    Case("GlobalAvgPool", "snippets.layers.pool", lambda m: m.GlobalAvgPool(), (2, 3, 2, 4), wrong=[(2, 3, 4)]),
    Case("LRN", "snippets.layers.lrn", lambda m: m.LRN(n=5, k=1.2, alpha=0.8), (2, 2, 2, 7)),
    Case("LRN as Caffe's", "snippets.layers.lrn", lambda m: m.LRN(5, 1.0, 0.8, 0.6, divide_by_n=True), (2, 2, 2, 4)),
    Case("LCN", "snippets.layers.lcn", lambda m: m.LCN(size=3, sigma=1.0), (2, 4, 5, 2), wrong=[(4, 5, 2)]),
    Case(
        "Inception",
        "snippets.layers.inception",
        lambda m: m.Inception(3, (2, 2, 3, 1, 2, 1), rng=generator()),
        (2, 4, 3, 3),
        wrong=[(2, 4, 3, 4), (4, 3, 3)],
    ),
    Case(
        "TemporalMaxPool", "snippets.layers.temporal", lambda m: m.TemporalMaxPool(), (2, 4, 3), wrong=[(2,), (2, 0, 3)]
    ),
    Case("TemporalMaxPool of maps", "snippets.layers.temporal", lambda m: m.TemporalMaxPool(), (2, 3, 2, 2, 2)),
    Case("TemporalMaxPool in windows", "snippets.layers.temporal", lambda m: m.TemporalMaxPool(3, 2), (2, 6, 3)),
    Case(
        "TemporalAvgPool", "snippets.layers.temporal", lambda m: m.TemporalAvgPool(), (2, 4, 3), wrong=[(2,), (2, 0, 3)]
    ),
    Case(
        "Differences",
        "snippets.layers.features.differences",
        lambda m: m.Differences(),
        (2, 4, 3),
        wrong=[(2, 3), (2, 0, 3)],
    ),
    Case("Differences of maps", "snippets.layers.features.differences", lambda m: m.Differences(), (2, 3, 2, 2, 2)),
    Case(
        "Standardise", "snippets.layers.features.standardise", lambda m: m.Standardise(3), (2, 4, 3), wrong=[(2, 4, 4)]
    ),
    Case(
        "TimeConv",
        "snippets.layers.time_conv",
        lambda m: m.TimeConv(2, 2, kernel=(3, 3, 3), stride=2, rng=generator()),
        (2, 5, 3, 2, 2),
        wrong=[(2, 5, 3, 2, 1), (2, 3, 2, 2)],
    ),
    Case(
        "TimeConv with a stride in space",
        "snippets.layers.time_conv",
        lambda m: m.TimeConv(2, 2, (2, 3, 3), stride=1, space_stride=2, rng=generator()),
        (2, 3, 3, 4, 2),
    ),
    Case(
        "FixedFrames", "snippets.layers.temporal", lambda m: m.FixedFrames(3, "fc"), (2, 3, 4), wrong=[(2,), (2, 0, 4)]
    ),
    Case("RNN", "snippets.layers.rnn", lambda m: m.RNN(3, 4, rng=generator()), (2, 4, 3), wrong=[(2, 4, 4), (2, 3)]),
    Case("RNN with tanh", "snippets.layers.rnn", lambda m: m.RNN(3, 4, activation="tanh", rng=generator()), (2, 4, 3)),
    Case(
        "PeepholeLSTM",
        "snippets.layers.lstm",
        lambda m: m.PeepholeLSTM(3, 4, rng=generator()),
        (2, 4, 3),
        wrong=[(2, 4, 4), (2, 3)],
    ),
    Case(
        "ConvLSTM",
        "snippets.layers.conv_lstm",
        lambda m: m.ConvLSTM(2, 3, rng=generator()),
        (2, 3, 2, 3, 2),
        wrong=[(2, 3, 2, 3, 3), (2, 3, 2, 2)],
    ),
    Case(
        "Sequential",
        "snippets.layers.core.base",
        small_tower,
        (2, 4, 3, 2),
        wrong=[(2, 4, 3, 3), (4, 3, 2)],
        random=True,
    ),
    Case("AuxiliaryTower", "snippets.nets.auxiliary", auxiliary_tower, (3, 4), wrong=[(3, 5)], random=True),
    Case("Branches", "snippets.layers.core.branches", branches, (2, 3, 5), wrong=[(2, 3, 4)]),
    Case(
        "OverFrames",
        "snippets.nets.frames",
        lambda m: m.OverFrames(frame_net(), 4),
        (2, 3, 4),
        WRONG_CLIPS,
        random=True,
    ),
    Case(
        "OverFrames with recompute",
        "snippets.nets.frames",
        lambda m: m.OverFrames(frame_net(), chunk=2, threads=2, recompute=True),
        (2, 3, 4),
        WRONG_CLIPS,
        random=True,
    ),
    Case("Recomputed", "snippets.nets.recompute", cut_chain, (3, 4), wrong=[(3, 5)], random=True),
]
