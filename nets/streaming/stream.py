"""A video of any length through a network in constant memory: block by block, keeping only what later frames need.

Frames meet in time in few kinds of layers, and each has a state that does not grow:

    maximum, mean over all frames     the maximum so far, or the sum so far and how many they were
    windows of frames, TimeConv       the frames that later windows read: fewer than a window has
    recurrent layers                  the state of every layer, carried into the next block
    predictions p_t, one per frame    the last, the maximum or a sum so far: nets/frame_predictions.py

Each layer becomes a generator from blocks (1, t, ...) to blocks, and the network is a chain of them. Frames are
gathered into blocks of whole chunks of the tower, however they arrive, so that the tower computes just what
`net.predict` does on the whole video and its maximum is the same to the last bit. Matrix products behind the tower have
fewer rows than there, which changes their rounding. A layer that is not in the tables below must see all frames at once
(Local Pooling, say), and is refused.
"""

from functools import reduce
from itertools import islice

import numpy as np

from snippets.layers.core.base import Recurrent, Sequential
from snippets.layers.device.xp import xp_of
from snippets.layers.dropout import Dropout
from snippets.layers.linear import AsMap, Flatten, Linear
from snippets.layers.loss import softmax
from snippets.layers.relu import ReLU
from snippets.layers.temporal import TemporalAvgPool, TemporalMaxPool
from snippets.layers.time_conv import TimeConv
from snippets.nets.frame_predictions import Running
from snippets.nets.frames import OverFrames, one_blas_thread

FRAME_BY_FRAME = (OverFrames, Linear, ReLU, Dropout, AsMap)
BLOCK = 64  # frames at a time, about: whole chunks of the tower, and the same number on any machine


@one_blas_thread
def stream(net, blocks, mode="weighted"):
    """Class probabilities (K,) of one video that comes as blocks x (t, ...) of any lengths, from any iterable.

    mode: how predictions of frames become one (`nets.frame_predictions`); without meaning for a net that pools.
    Raises TypeError for a layer that must see all frames at once, ValueError for a video without any.
    """
    before, pool, after = parts_in_time(net)
    device, predictions, empty = xp_of(next(iter(net.params.values()))), Running(mode), True

    def frames():
        nonlocal empty
        for x in regroup(blocks, block_length(net)):  # (1, t, ...)
            empty = False
            yield device.asarray(x)

    results = chain(before, frames())
    if pool is None:
        for scores in results:
            predictions.add(softmax(scores)[0])
    else:
        pooled = over_all(pool, results)  # (1, ...)
    if empty:
        raise ValueError("the video has no frames")
    return predictions.result() if pool is None else softmax(Sequential(**after).predict(pooled))[0]


def streams(net):
    """Whether `stream` can run the net; if not, it must see all frames at once."""
    try:
        parts_in_time(net)
    except TypeError:
        return False
    return True


def parts_in_time(net):
    """The net's layers that run on every block, the pooling layer over all frames or None, and those behind it."""
    before, rest = {}, dict(net.layers)
    while rest:
        name = next(iter(rest))
        layer = rest.pop(name)
        if isinstance(layer, TemporalAvgPool) or (isinstance(layer, TemporalMaxPool) and layer.window is None):
            return before, layer, rest
        if not can_stream(layer):
            raise TypeError(
                f"layer {name} is a {type(layer).__name__}, which does not run frame by frame: this net cannot stream; "
                "predict clips of its own length instead"
            )
        before[name] = layer
    return before, None, {}


def can_stream(layer):
    """Whether there is a generator for this layer, or for each layer of a chain."""
    if isinstance(layer, Sequential):
        return all(can_stream(child) for child in layer.layers.values())
    if isinstance(layer, Flatten):
        return layer.start >= 2  # keeps time apart
    if isinstance(layer, TemporalMaxPool):
        return layer.window is not None
    if isinstance(layer, TimeConv):
        return layer.stride <= layer.params["W"].shape[0]  # no frame is skipped
    return isinstance(layer, (*FRAME_BY_FRAME, Recurrent))


def chain(layers, blocks):
    """Blocks (1, t, ...) through all of `layers`, a generator."""
    return reduce(lambda stream, layer: generator(layer, stream), layers.values(), blocks)


def generator(layer, blocks):
    """Blocks (1, t, ...) through one layer."""
    if isinstance(layer, Sequential):
        return chain(layer.layers, blocks)
    if isinstance(layer, Recurrent):
        return carried(layer, blocks)
    if isinstance(layer, TimeConv):
        return windowed(layer, blocks, layer.params["W"].shape[0], layer.stride, clipped=False)
    if isinstance(layer, TemporalMaxPool):
        return windowed(layer, blocks, layer.window, layer.stride, clipped=True)
    return map(layer.predict, blocks)


def carried(layer, blocks):
    """A recurrent layer, its state carried from block to block."""
    state = None
    for x in blocks:
        y, state, _ = layer.scan(x, state)
        yield y


def windowed(layer, blocks, window, stride, clipped):
    """A layer on windows of frames that start every `stride`; clipped: the frames left at the end are one more."""
    kept, some = None, False  # frames that a later window reads; any window yet
    for x in blocks:
        x = x if kept is None else xp_of(x).concatenate([kept, x], axis=1)
        count = max(0, 1 + (x.shape[1] - window) // stride)  # whole windows
        if count:
            yield layer.predict(x[:, : (count - 1) * stride + window])
        some, kept = some or count > 0, x[:, count * stride :].copy()
    unread = kept is not None and kept.shape[1] > (window - stride if some else 0)
    if unread and (clipped or not some):  # no window at all: let the layer say so, or take what there is
        yield layer.predict(kept)


def over_all(pool, blocks):
    """The maximum or the mean over all frames of all blocks: (1, ...), or None without blocks."""
    mean, total, T = isinstance(pool, TemporalAvgPool), None, 0
    for x in blocks:
        part = x.sum(axis=1, dtype=np.float64) if mean else x.max(axis=1)  # float64: thousands of frames
        combine = xp_of(x).add if mean else xp_of(x).maximum
        total, T, dtype = part if total is None else combine(total, part), T + x.shape[1], x.dtype
    return total if total is None or not mean else (total / T).astype(dtype)


def block_length(net):
    """Frames of a block: as many whole chunks of the tower as BLOCK holds, at least one."""
    tower = net.layers.get("tower")
    return tower.chunk * max(1, BLOCK // tower.chunk) if isinstance(tower, OverFrames) else BLOCK


def regroup(blocks, length):
    """The frames of blocks (t, ...), in blocks (1, length, ...); the last one may be shorter."""
    frames = (frame for block in blocks for frame in block)
    while group := list(islice(frames, length)):
        yield np.stack(group)[None]
