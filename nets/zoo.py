"""From a name to a network: every choice that the shape of a network depends on stands in `NetConfig`.

A config is what a checkpoint stores, so that a trained network can be built again, and what the command line's options
fill. A tower reads single frames; a head joins them. HEADS is the table of the heads. A head is a function

    head(tower, shape, config, rng) -> net

    tower    {"tower": layer}, (N, T, H, W, 3) -> (N, T, *shape), to be the first layer; {} if the input is features
    shape    of the tower's output for one frame, as the row in HEADS asks for: (D,), (H, W, C), or either
    config   the NetConfig, of which it may read any field
    rng      for the weights of its layers; None: without weights

    net      Sequential(**tower, ..., scores=Linear(...)), clips -> scores (N, K), or (N, T, K) if it predicts at every
             frame

Made of layers in `layers/`, it needs no more than its row and its test: the prediction of memory, the summary, the
picture, streaming and network expansion read the net itself. Layers that every head has get the same names (`fc1`,
`fc2`, `scores`), for by its name a layer finds its weights in another network (`nets.expand`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from snippets.data.options import Options, Range, check, chosen, option
from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.features.differences import Differences
from snippets.layers.features.standardise import Standardise
from snippets.layers.linear import AsMap
from snippets.layers.rnn import ACTIVATIONS
from snippets.nets import pooling, recurrent
from snippets.nets.alexnet import NORMS, alexnet, fully_connected, scaled
from snippets.nets.auxiliary import AuxiliaryNet, with_auxiliary_heads
from snippets.nets.frames import CHUNK, OverFrames
from snippets.nets.googlenet import TAPS, VARIANTS, googlenet
from snippets.nets.inspect.fake import output_shape
from snippets.nets.slow_fusion import LEAST, slow_fusion_tower

TOWERS = ("alexnet", "googlenet", "features")


class Head(NamedTuple):
    """What joins the frames; see the module's docstring."""

    about: str
    reads: str  # of the tower: "any" output, which it flattens; "vectors"; "maps"; "clips": it has a tower of its own
    build: Callable  # (tower, shape, config, rng) -> net
    least: int = 1  # frames that it needs
    options: tuple = ("fc", "dropout")  # which of HEAD_OPTIONS it reads

    @property
    def each_frame(self):
        """Whether it predicts at every frame of a clip."""
        return "depth" in self.options


FC = ("fc", "dropout", "dropout_mask")  # options of heads with fully connected layers in front of the maximum
MAPS = ("depth", "dropout", "forget_bias")
# fmt: off
HEADS = {
    "single":     Head("one frame alone", "any", pooling.conv_pooling),
    "conv":       Head("Conv Pooling: maximum over all frames", "any", pooling.conv_pooling),
    "late":       Head("Late Pooling: maximum behind the fully connected layers", "any", pooling.late_pooling, 1, FC),
    "slow":       Head("Slow Pooling: maximum over windows, then over all of them", "any", pooling.slow_pooling, 1, FC),
    "local":      Head("Local Pooling: windows side by side", "any", pooling.local_pooling),
    "timeconv":   Head("Time-Domain Convolution, then the maximum", "maps", pooling.time_convolution, pooling.WINDOW),
    "average":    Head("mean over all frames", "any", pooling.average_pooling),
    "fcpool":     Head("a fully connected layer that reads all frames", "any", pooling.fc_pooling),
    "slowfusion": Head("Slow Fusion: convolutions extended in time", "clips", pooling.conv_pooling, LEAST),
    "rnn":        Head("deep plain RNN", "vectors", recurrent.deep_rnn, 1, ("units", "depth", "activation")),
    "lstm":       Head("deep LSTM", "vectors", recurrent.deep_lstm, 1, ("units", "depth", "forget_bias")),
    "convlstm":   Head("convolutional LSTM on the maps", "maps", recurrent.deep_conv_lstm, 1, MAPS),
}
# fmt: on
REFUSED_TAPS = {"maps": ("average", "vector"), "vectors": ("maps",)}  # by heads that read maps, or vectors
TOWER_OPTIONS = {"norm": "alexnet"} | dict.fromkeys(("tap", "variant", "tower_dropout", "auxiliary"), "googlenet")
HEAD_OPTIONS = ("fc", "dropout", "dropout_mask", "units", "depth", "activation", "forget_bias")
FRAME_OPTIONS = ("gain", "inference")  # of a training: read by networks that predict at every frame
MAXIMA = ("conv", "late", "slow", "local")  # heads that take the maximum over frames of a tower's output vector


def options_read(head, tower):
    """Which of HEAD_OPTIONS, fields of `NetConfig`, a network reads.

    AlexNet's last layers are its own, for vectors; GoogLeNet has dropout in front of its vector.
    """
    own = HEADS[head].options
    if tower == "googlenet" and head in MAXIMA:
        return tuple(dict.fromkeys([*own, "dropout_mask"]))
    return (*own, "fc", "dropout") if tower == "alexnet" and HEADS[head].reads == "vectors" else own


@dataclass(frozen=True)
class NetConfig(Options):
    """A network on clips (N, T, size, size, 3), or on precomputed features (N, T, features)."""

    classes: int
    tower: str = option("alexnet", "frame network; 'features': none, the input is precomputed", TOWERS)
    head: str = option("conv", "what joins the frames; docs/architectures has a page on each", tuple(HEADS))
    frames: int = option(
        30, "frames of a clip; parameters of heads local and fcpool depend on it, no others", least=1, most=1e6
    )
    size: int = option(220, "input side in pixels", least=1, most=1e5)
    width: float = option(
        1.0, "multiplier on the tower's channels, and on the filters of convolutions over time", above=0, most=1e3
    )
    norm: str = option("lrn", "AlexNet's normalisation", tuple(NORMS))
    tap: str = option(
        "auto", "where GoogLeNet ends; auto: maps for heads that read maps, else vector", ("auto", *TAPS), old="end"
    )
    vector: int = option(1000, "length of GoogLeNet's output vector", least=1, most=1e6)
    variant: str = option("paper", "GoogLeNet's details: the paper's, or those of imported weights", tuple(VARIANTS))
    tower_dropout: float = option(0.4, "of GoogLeNet, in front of its output vector", least=0, below=1)
    fc: int = option(4096, "units of each fully connected layer; 0: none", least=0, most=1e6)
    dropout: float = option(0.6, "probability of being dropped, in the fully connected layers", least=0, below=1)
    dropout_mask: str = option(
        "clip", "in front of a maximum over frames: one mask for a clip, or one for each frame", ("clip", "frame")
    )
    units: int = option(512, "cells of an LSTM layer, or units of a plain recurrent one", least=1, most=1e6)
    depth: int = option(5, "recurrent layers", least=1, most=1e3)
    activation: str = option("logistic", "H of the plain recurrent network", tuple(ACTIVATIONS))
    forget_bias: float = option(1.0, "initial bias of the LSTM's forget gates", least=-1e3, most=1e3)
    auxiliary: float = option(
        0.0, "loss weight of GoogLeNet's two auxiliary heads; 0.3 in its paper; 0: without them", least=0, most=1e3
    )
    differences: bool = option(False, "what the head reads: features, and the size of their change from frame to frame")
    standardise: bool = option(
        False, "shift and scale what the head's first layer reads to mean 0 and variance 1 over the training videos"
    )
    features: int = 0  # D of precomputed features

    @property
    def reads(self):
        """What the head reads of the tower; see `Head`."""
        return HEADS[self.head].reads

    @property
    def filters(self):
        """Filters of a convolution over time."""
        return scaled(256, self.width)

    @property
    def kernel(self):
        """Side of its filters in pixels; precomputed features are a map of one pixel."""
        return 1 if self.tower == "features" else 3

    @property
    def mask_per_clip(self):
        """Whether dropout in front of a maximum over frames has one mask for all frames of a clip."""
        return self.dropout_mask == "clip" and "dropout_mask" in options_read(self.head, self.tower)

    @property
    def tapped(self):
        """Where GoogLeNet ends, one of TAPS."""
        return self.tap if self.tap != "auto" else "maps" if self.reads == "maps" else "vector"

    def __post_init__(self):
        super().__post_init__()
        check("classes", self.classes, Range(least=1, most=1e6), whole=True)
        check("features", self.features, Range(least=0, most=1e7), whole=True)
        for name, tower in TOWER_OPTIONS.items():
            if getattr(self, name) != getattr(NetConfig, name) and self.tower != tower:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}: only tower {tower} has the choice, not tower {self.tower!r}"
                )
        if self.head == "slow" and not self.fc:
            raise ValueError("fc is 0, but head 'slow' needs its fully connected layers: give their number of units")
        if self.head == "single" and self.frames != 1:
            raise ValueError(f"head 'single' reads one frame, but frames is {self.frames}; use head 'conv' or frames 1")
        if self.frames < HEADS[self.head].least:
            raise ValueError(
                f"head {self.head!r} needs clips of at least {HEADS[self.head].least} frames, but frames is "
                f"{self.frames}: nothing is padded in time"
            )
        if self.differences and (self.frames == 1 or self.reads == "clips"):
            what = "pixels" if self.reads == "clips" else "one frame alone"
            raise ValueError(f"differences are those of features of frames, but head {self.head!r} reads {what}")
        if self.reads == "clips" and self.tower != "alexnet":
            raise ValueError(f"head {self.head!r} extends alexnet's convolutions, but tower is {self.tower!r}")
        if self.tap in REFUSED_TAPS.get(self.reads, ()):
            raise ValueError(f"tap is {self.tap!r}, but head {self.head!r} reads {self.reads}")
        if self.auxiliary and self.tapped == "maps":
            raise ValueError(f"auxiliary is {self.auxiliary:g}, but this googlenet ends in maps: it needs a vector")
        if (self.tower == "features") != (self.features > 0):
            raise ValueError(
                f"tower {self.tower!r} with features={self.features}: features is D of precomputed features"
            )


def network_config(args, **own):
    """The NetConfig that the options ask for; `own` replaces what they say. ValueError as `check_read`."""
    config = NetConfig(**chosen(args, NetConfig) | own)
    check_read(args, [config.head], config.tower)
    return config


def check_read(args, heads, tower):
    """ValueError for an option that was typed although none of the heads on this tower reads it."""
    read = {name for head in heads for name in options_read(head, tower)}
    read |= {name for head in heads if HEADS[head].each_frame for name in FRAME_OPTIONS}
    typed = getattr(args, "typed", getattr(args, "given", ()))  # a preset may be one for several heads
    for name in (*HEAD_OPTIONS, *FRAME_OPTIONS):
        if name not in read and name in typed:
            others = [other for other in HEAD_OPTIONS if other in read]
            flag, *flags = (f"--{each.replace('_', '-')}" for each in [name, *others])
            where = f"head {' or '.join(heads)} does not read it on tower {tower}"
            raise ValueError(f"{flag} {getattr(args, name)}: {where}; use {', '.join(flags)}")


def build_tower(config, rng):
    """The network that sees single frames, and the shape of its output: (layer or None, shape)."""
    if config.tower == "features":
        return None, (config.features,)
    frame = (1, config.size, config.size, 3)
    if config.tower == "googlenet":
        details = config.tapped, config.variant, config.mask_per_clip, config.tower_dropout
        frame_net = googlenet(rng, config.width, config.vector, *details)
    else:
        frame_net = alexnet(rng, config.width, config.norm)
        if config.reads == "vectors":  # AlexNet's last fully connected layer, or its flattened map
            D = prod(output_shape(frame_net, frame))
            frame_net = Sequential(**frame_net.layers, **fully_connected(D, config.fc, config.dropout, rng))
    return frame_net, output_shape(frame_net, frame)[1:]


def build(config, seed=0, chunk=CHUNK, threads=None, recompute=False):
    """A new network, weights drawn from `seed`; chunk, threads and recompute as OverFrames'.

    seed None: a network without weights, to be looked at (`nets.inspect.summary`, `nets.inspect.memory`), which takes
    no memory.
    """
    rng, how = None if seed is None else np.random.default_rng(seed), (chunk, threads, recompute)
    if config.reads == "clips":
        tower = {"tower": slow_fusion_tower(rng, config.width, config.norm, *how)}
        shape = output_shape(tower["tower"], input_shape(config))[2:]
    else:
        frame_net, shape = build_tower(config, rng)
        tower = {} if frame_net is None else {"tower": OverFrames(frame_net, *how)}
    if config.differences:
        tower, shape = {**tower, "differences": Differences()}, (*shape[:-1], 2 * shape[-1])
    if config.reads == "maps" and len(shape) == 1:
        tower, shape = {**tower, "map": AsMap()}, (1, 1, *shape)
    net = HEADS[config.head].build(tower, shape, config, rng)
    if config.standardise:
        net = standardised(net, tower, (1, config.frames, *shape))
    if not config.auxiliary:
        return net
    frame_net = with_auxiliary_heads(frame_net, config.size, config.classes, rng, config.width)
    return AuxiliaryNet(config.auxiliary, config.classes, **net.layers | {"tower": OverFrames(frame_net, *how)})


def standardised(net, tower, shape):
    """The net with `Standardise` before the head's first layer with weights, or the dropout in front of that.

    tower: the layers that the head did not make; shape: of what it reads of them.
    """
    names = list(net.layers)
    at = next(n for n, layer in enumerate(net.layers.values())
              if names[n] not in tower and (layer.params or isinstance(layer, Dropout)))  # fmt: skip
    before = Sequential(**{name: net.layers[name] for name in names[:at] if name not in tower})
    layers = list(net.layers.items())
    layers.insert(at, ("standardise", Standardise(output_shape(before, shape)[-1])))
    return Sequential(**dict(layers))


def input_shape(config, N=1, T=None):
    """Shape of a batch of N clips of T frames (config.frames if None)."""
    T = T or config.frames
    return (N, T, config.features) if config.tower == "features" else (N, T, config.size, config.size, 3)
