"""A video of any length through a network in constant memory: block by block, keeping only what later frames need.

Frames meet in time in few places, and each has a state that does not grow:

    Conv Pooling     the maximum so far of each number of a frame's map
    LSTM             (h, c) of every layer, carried into the next block
    predictions      of p_t, one a frame, the last; the maximum so far; sum_t p_t; or sum_t t p_t, which is the sum
                     weighted by g_t = t/T, for T drops out when the probabilities are made to sum to one

Frames are gathered into blocks of whole chunks of the tower, however they arrive, so that the tower computes just what
`net.predict` does on the whole video and the maximum is the same to the last bit. An LSTM's matrix products have fewer
rows than there, which changes their rounding.
"""

from itertools import islice

import numpy as np

from layers.base import Sequential
from layers.dropout import Dropout
from layers.linear import Linear
from layers.loss import softmax
from layers.lstm import PeepholeLSTM
from layers.relu import ReLU
from layers.temporal import TemporalMaxPool
from layers.xp import xp_of
from nets.frames import OverFrames, usable_cores

MODES = ("weighted", "last", "max", "sum")
FRAME_BY_FRAME = (OverFrames, Linear, ReLU, Dropout)
BLOCK = 32  # frames at a time where there is no tower


def stream(net, blocks, mode="weighted"):
    """Class probabilities (K,) of one video that comes as blocks x (t, ...) of any lengths, from any iterable.

    mode: how predictions of frames become one, as `training.evaluate.clip_probabilities` has it; without meaning for a
    net that pools. Raises TypeError for a layer that must see all frames at once, ValueError for a video without any.
    """
    before, pool, after = parts_in_time(net)
    device = xp_of(next(iter(net.params.values())))
    states, highest, predictions, empty = {}, None, Running(mode), True
    for x in regroup(blocks, block_length(net)):  # (1, t, ...)
        empty, x = False, device.asarray(x)
        for name, layer in before.items():
            if isinstance(layer, PeepholeLSTM):
                x, states[name], _ = layer.scan(x, states.get(name))
            else:
                x = layer.predict(x)
        if pool:
            x = x.max(axis=1)  # (1, ...)
            highest = x if highest is None else device.maximum(highest, x)
        else:
            predictions.add(softmax(x)[0])
    if empty:
        raise ValueError("the video has no frames")
    return softmax(Sequential(**after).predict(highest))[0] if pool else predictions.result()


def streams(net):
    """Whether `stream` can run the net; if not, it must see all frames at once."""
    try:
        parts_in_time(net)
    except TypeError:
        return False
    return True


def parts_in_time(net):
    """The net's layers that run on every block, whether the maximum over time follows, and the layers after it."""
    before, rest = {}, dict(net.layers)
    while rest:
        name = next(iter(rest))
        layer = rest.pop(name)
        if isinstance(layer, TemporalMaxPool) and layer.window is None:
            return before, True, rest
        if not isinstance(layer, (PeepholeLSTM, *FRAME_BY_FRAME)):
            raise TypeError(
                f"layer {name} is a {type(layer).__name__}, which does not run frame by frame: this net cannot stream; "
                "predict the whole clip at once"
            )
        before[name] = layer
    return before, False, {}


def block_length(net):
    """Frames of a block: a chunk of the tower for each of its threads."""
    tower = net.layers.get("tower")
    return tower.chunk * (tower.threads or usable_cores()) if isinstance(tower, OverFrames) else BLOCK


def regroup(blocks, length):
    """The frames of blocks (t, ...), in blocks (1, length, ...); the last one may be shorter."""
    frames = (frame for block in blocks for frame in block)
    while group := list(islice(frames, length)):
        yield np.stack(group)[None]


class Running:
    """Predictions of frames becoming one, without keeping them: `add` blocks p (t, K), then `result` is (K,)."""

    def __init__(self, mode="weighted"):
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.mode, self.T, self.state = mode, 0, None

    def add(self, p):
        xp, first = xp_of(p), self.state is None
        if self.mode == "last":
            self.state = p[-1].copy()
        elif self.mode == "max":
            self.state = p.max(axis=0) if first else xp.maximum(self.state, p.max(axis=0))
        else:  # float64: thousands of frames
            t = xp.arange(self.T + 1, self.T + len(p) + 1, dtype=np.float64)
            weighted = (t if self.mode == "weighted" else xp.ones_like(t)) @ p.astype(np.float64)
            self.state = weighted if first else self.state + weighted
        self.T += len(p)

    def result(self):
        return self.state / self.state.sum()
