"""From a name to a network: every choice that the shape of a network depends on stands in `NetConfig`.

A config is what a checkpoint stores, so that a trained network can be built again, and what the command line's options
fill.
"""

from dataclasses import dataclass

import numpy as np

from layers.base import Sequential
from nets.alexnet import NORMS, alexnet, fully_connected, map_shape
from nets.frames import OverFrames
from nets.googlenet import googlenet
from nets.options import option
from nets.pooling import conv_pooling
from nets.recurrent import deep_lstm

TOWERS = ("alexnet", "googlenet", "features")
CHUNKS = {"alexnet": 8, "googlenet": 4}  # frames at a time: AlexNet's large kernels want more (`layers.fft_conv`)
HEADS = ("single", "conv", "lstm")


@dataclass(frozen=True)
class NetConfig:
    """A network on clips (N, T, size, size, 3), or on precomputed features (N, T, features)."""

    classes: int
    tower: str = option("alexnet", "frame network; 'features': none, the input is precomputed", TOWERS)
    head: str = option("conv", "what joins the frames: one frame alone, their maximum, the deep LSTM", HEADS)
    frames: int = option(30, "frames of a clip; no parameter depends on it")
    size: int = option(220, "input side in pixels")
    width: float = option(1.0, "multiplier on the tower's channels")
    norm: str = option("lrn", "AlexNet's normalisation", tuple(NORMS))
    vector: int = option(1000, "length of GoogLeNet's output vector")
    fc: int = option(4096, "units of each fully connected layer; 0, with pooling heads: none")
    dropout: float = option(0.6, "probability of being dropped, in the fully connected layers")
    units: int = option(512, "cells of an LSTM layer")
    depth: int = option(5, "LSTM layers")
    features: int = 0  # D of precomputed features

    def __post_init__(self):
        for name, known in (("tower", TOWERS), ("head", HEADS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        for name in ("classes", "frames", "size", "units", "depth", "vector"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not self.width > 0:
            raise ValueError(f"width is {self.width}, expected a positive channel multiplier")
        if self.norm not in NORMS or (self.norm != "lrn" and self.tower != "alexnet"):
            raise ValueError(
                f"norm is {self.norm!r}, expected one of {', '.join(NORMS)}, and lrn for any tower but alexnet"
            )
        if self.fc < (1 if self.head == "lstm" and self.tower == "alexnet" else 0):
            raise ValueError(
                f"fc is {self.fc}, expected units of a fully connected layer (0 for none, in a pooling head)"
            )
        if self.head == "single" and self.frames != 1:
            raise ValueError(f"head 'single' reads one frame, but frames is {self.frames}; use head 'conv' or frames 1")
        if (self.tower == "features") != (self.features > 0):
            raise ValueError(
                f"tower {self.tower!r} with features={self.features}: features is D of precomputed features"
            )


def build_tower(config, rng):
    """The frame network and the number D of outputs a frame: (layer or None, D)."""
    if config.tower == "features":
        return None, config.features
    if config.tower == "googlenet":
        return googlenet(rng, config.width, config.vector), config.vector
    maps, D = alexnet(rng, config.width, config.norm), int(np.prod(map_shape(config.size, config.width)))
    if config.head != "lstm":
        return maps, D
    fc = fully_connected(D, config.fc, config.dropout, rng)  # the LSTM reads AlexNet's last fully connected layer
    return Sequential(**maps.layers, **fc), config.fc


def build(config, seed=0, chunk=None, threads=None, recompute=False):
    """A new network, weights drawn from `seed`; chunk (None: the tower's own), threads, recompute as OverFrames'."""
    rng = np.random.default_rng(seed)
    frame_net, D = build_tower(config, rng)
    chunk = chunk or CHUNKS.get(config.tower)
    tower = {} if frame_net is None else {"tower": OverFrames(frame_net, chunk, threads, recompute)}
    if config.head == "lstm":
        return deep_lstm(tower, D, config.classes, rng, config.units, config.depth)
    return conv_pooling(tower, D, config.classes, rng, config.fc, config.dropout)


def input_shape(config, N=1, T=None):
    """Shape of a batch of N clips of T frames (config.frames if None)."""
    T = T or config.frames
    return (N, T, config.features) if config.tower == "features" else (N, T, config.size, config.size, 3)
