"""A video of any length through a network in constant memory: block by block, keeping only what later frames need.

Frames meet in time in few kinds of layers, and each has a state that does not grow:

    maximum, mean over all frames     the maximum so far, or the sum so far and how many they were
    windows of frames, TimeConv       the frames that later windows read: fewer than a window has
    recurrent layers                  the state of every layer, carried into the next block
    predictions p_t, one per frame    the last, the maximum or a sum so far: nets/frame_predictions.py

Each layer becomes a generator from blocks (1, t, ...) to blocks, and the network is a chain of them. Frames are
gathered into blocks of whole chunks of the tower, however they arrive, so that the tower computes just what
`net.predict` does on the whole video and its maximum is the same to the last bit. Matrix products behind the tower have
fewer rows than there, which changes their rounding. A layer that is not in the table STREAMED must see all frames at
once (Local Pooling, say), and is refused.
"""

from functools import reduce
from itertools import islice

import numpy as np

from snippets.layers import conv_lstm, dropout, linear, lstm, relu, rnn
from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import xp_of
from snippets.layers.features import differences, standardise
from snippets.layers.loss import softmax
from snippets.layers.temporal import TemporalAvgPool, TemporalMaxPool
from snippets.layers.time_conv import TimeConv
from snippets.nets.frame_predictions import Running
from snippets.nets.frames import OverFrames, one_blas_thread

BLOCK = 64  # frames at a time, about: whole chunks of the tower, and the same number on any machine


@one_blas_thread
def stream(net, blocks, mode="weighted"):
    """Class probabilities (K,) of one video that comes as blocks x (t, ...) of any lengths, from any iterable.

    mode: how predictions of frames become one (`nets.frame_predictions`); without meaning for a net that pools.
    Raises TypeError for a layer that must see all frames at once, ValueError for a video without any.
    """
    before, pool, after = parts_in_time(net)
    outputs = chain(before, regroup(net, blocks))
    if pool:
        return softmax(Sequential(**after).predict(over_all(pool, outputs)))[0]
    predictions = Running(mode)
    for scores in outputs:
        predictions.add(softmax(scores)[0])
    return predictions.result()


def streams(net):
    """Whether `stream` can run the net; if not, it must see all frames at once."""
    try:
        parts_in_time(net)
    except TypeError:
        return False
    return True


def parts_in_time(net):
    """The net's layers that run on every block, the pooling layer over all frames or None, and those behind it."""
    layers = list(net.layers.items())
    for i, (name, layer) in enumerate(layers):
        if isinstance(layer, TemporalAvgPool) or (isinstance(layer, TemporalMaxPool) and layer.window is None):
            return dict(layers[:i]), layer, dict(layers[i + 1 :])
        if not can_stream(layer):
            raise TypeError(
                f"layer {name} is a {type(layer).__name__}, which does not run frame by frame: this net cannot stream; "
                "predict clips of its own length instead"
            )
    return dict(layers), None, {}


def can_stream(layer):
    """Whether STREAMED has this kind of layer, or each layer of a chain, and its settings keep time apart."""
    if isinstance(layer, Sequential):
        return all(can_stream(child) for child in layer.layers.values())
    if isinstance(layer, linear.Flatten):
        return layer.start >= 2
    if isinstance(layer, TemporalMaxPool):
        return layer.window is not None
    if isinstance(layer, TimeConv):
        return layer.stride <= layer.params["W"].shape[0]  # no frame is skipped
    return type(layer) in STREAMED


def chain(layers, blocks):
    """Blocks (1, t, ...) through all of `layers`, a generator."""
    for layer in layers.values():
        blocks = STREAMED[type(layer)](layer, blocks)
    return blocks


def frame_by_frame(layer, blocks):
    """A layer that sees each frame alone."""
    return map(layer.predict, blocks)


def carried(layer, blocks):
    """A recurrent layer, its state carried from block to block."""
    state = None
    for x in blocks:
        y, state, _ = layer.scan(x, state)
        yield y


def windowed(layer, blocks, window, clipped):
    """A layer on windows of frames that start every `stride`, and one more at the end, if frames are left there.

    clipped: that one has these frames alone; otherwise it is as long as the others.
    """
    kept = last = None  # frames that a later window of the stride reads; as many frames as a window has
    some, stride = False, layer.stride  # any window yet
    for block in blocks:
        x, last = joined(kept, block), joined(last, block)[:, -window:].copy()
        count = max(0, 1 + (x.shape[1] - window) // stride)  # whole windows
        if count:
            yield layer.predict(x[:, : (count - 1) * stride + window])
        some, kept = some or count > 0, x[:, count * stride :].copy()
    if kept is not None and kept.shape[1] > (window - stride if some else 0):
        yield layer.predict(kept if clipped else last)  # no window at all: the layer says so, or takes what there is


def joined(before, block):
    """Frames, and those that came before them, if any."""
    return block if before is None else xp_of(block).concatenate([before, block], axis=1)


STREAMED = {  # kind of layer: (layer, blocks (1, t, ...)) -> blocks
    **dict.fromkeys(
        (OverFrames, linear.Linear, relu.ReLU, dropout.Dropout, linear.Flatten, linear.AsMap, standardise.Standardise),
        frame_by_frame,
    ),
    **dict.fromkeys((rnn.RNN, lstm.PeepholeLSTM, conv_lstm.ConvLSTM, differences.Differences), carried),
    TemporalMaxPool: lambda layer, blocks: windowed(layer, blocks, layer.window, clipped=True),
    TimeConv: lambda layer, blocks: windowed(layer, blocks, layer.params["W"].shape[0], clipped=False),
    Sequential: lambda layer, blocks: chain(layer.layers, blocks),
}


def over_all(pool, blocks):
    """The maximum or the mean over all frames of all blocks: (1, ...)."""
    if isinstance(pool, TemporalMaxPool):
        return reduce(lambda y, part: xp_of(y).maximum(y, part), (x.max(axis=1) for x in blocks))
    total, T = 0, 0
    for x in blocks:
        total, T, dtype = total + x.sum(axis=1, dtype=np.float64), T + x.shape[1], x.dtype  # thousands of frames
    return (total / T).astype(dtype)


def regroup(net, blocks):
    """The frames of blocks (t, ...) where the net is, in blocks (1, t, ...) of as many whole chunks as BLOCK holds.

    ValueError if there are none.
    """
    device, tower = xp_of(next(iter(net.params.values()))), net.layers.get("tower")
    length = tower.chunk * max(1, BLOCK // tower.chunk) if isinstance(tower, OverFrames) else BLOCK
    frames = (frame for block in blocks for frame in block)
    group = list(islice(frames, length))
    if not group:
        raise ValueError("the video has no frames")
    while group:
        yield device.asarray(np.stack(group)[None])
        group = list(islice(frames, length))
