"""What each kind of layer takes of memory, in bytes of float32, by arithmetic that follows the layer's code.

A test holds each of them to what the layer really allocates.
"""

import math
from typing import NamedTuple

import numpy as np

from snippets.layers import conv, conv_lstm, dropout, lcn, linear, lrn, lstm, pool, relu, rnn, temporal, time_conv
from snippets.layers.core.window import padding
from snippets.layers.fast import fft, winograd
from snippets.layers.features import differences, standardise


class LayerMemory(NamedTuple):
    """What a layer takes for an x of a given shape; bytes, in the worst moment of each pass."""

    y: tuple  # the output's shape
    keeps: str = ""  # what its cache holds of x and y: "x", "y", "xy"
    kept: float = 0  # and of other arrays
    forward: float = 0  # besides x, y and what is kept
    backward: float = 0  # besides dy, dx, the gradients and the cache
    scratch: dict = {}  # buffers that stay, by name, of the forward pass
    scratch_backward: dict = {}
    more_y: float = 0  # of the array that y is a part of, what is not y
    more_dx: float = 0
    copies_part: bool = False  # the backward pass copies a dy that is a part of a larger array
    view: bool = False  # y is x itself, or x in another shape


def size_of(*shape):
    """Bytes of an array."""
    return 4 * math.prod(shape)


def largest(a, b):
    """Two dicts of sizes as one, the larger size of each name."""
    return {name: max(a.get(name, 0), b.get(name, 0)) for name in a | b}


def block(N, rows, most):
    """Images and rows of the largest block that `layers.core.window.blocks` makes."""
    return (min(N, most // rows), rows) if most >= rows else (1, -(-rows // -(-rows // most)))


def conv_memory(layer, shape, rng):
    """`layers.conv`."""
    return convolution(shape, layer.params["W"].shape, layer.stride, layer.pad, layer.relu, layer.input_grad)


def convolution(x_shape, w_shape, stride=1, pad="same", relu=False, input_grad=True):
    """A convolution, in the fastest of its three ways."""
    (N, H, W, C), (k, _, _, F) = x_shape, w_shape
    (*rows, Ho), (*columns, Wo) = (padding(n, k, stride, pad) for n in (H, W))
    y = N, Ho, Wo, F
    padded = size_of(N, H + sum(rows), W + sum(columns), C) * any((*rows, *columns))
    fast = conv.fast_algorithm(x_shape, w_shape, stride)
    if fast is winograd:
        found = _by_winograd(x_shape, y, k)
    elif fast is fft:
        found = _by_fft(x_shape, y, k, padded)
    else:
        found = _by_im2col(x_shape, y, k, stride, padded, input_grad)
    masked = size_of(*y) * relu  # dy where y > 0
    return found._replace(keeps="xy" if relu else "x", backward=masked + found.backward)


def _by_winograd(x_shape, y, k):
    """`layers.fast.winograd`: squares of t x t outputs, m x n of them per image, R in a block."""
    (N, Ho, Wo, F), C, t, S2 = y, x_shape[3], winograd.T, (winograd.T + k - 1) ** 2
    m, n = -(-Ho // t), -(-Wo // t)
    R = math.prod(block(N, m, max(1, winograd.STRIP_SQUARES // n))) * n
    padded, w_hat = size_of(N, t * m + k - 1, t * n + k - 1, C), size_of(S2, C, F)
    padded_dy = size_of(N, t * m, t * n, F) * ((Ho, Wo) != (t * m, t * n))
    squares = max(size_of(k, k, C, F), size_of(S2, R, C), size_of(t, t, R, F))
    both, y_hat = dict(squares=squares, w_hat=w_hat, x_hat=size_of(S2, R, C)), size_of(S2, R, F)
    scratch = dict(both, y_hat=y_hat, whole=size_of(R, t, t, F)), dict(both, dy_hat=y_hat, dw_part=w_hat)
    more_dx = size_of(N, t * (m + 1), t * (n + 1), C) - size_of(*x_shape)
    return LayerMemory(y, "", 0, padded, padded + padded_dy + w_hat, *scratch, more_dx=more_dx)


def _by_fft(x_shape, y, k, padded):
    """`layers.fast.fft`: m x n squares of t x t outputs per image, transforms of S x S."""
    (N, Ho, Wo, F), C = y, x_shape[3]
    t, (m, n), S = fft.tile_sizes(Ho, Wo, k)
    V, R, dx = S // 2 + 1, N * m * n, size_of(*x_shape)
    squares, spectrum = size_of(R, S, S), 2 * size_of(S, V, R)  # per channel
    outputs = size_of(R, t, t, F)
    blocks = 4 * max(fft.BLOCK_ELEMENTS, 4 * S * V * max(C, F))
    some = blocks // 2  # columns transformed, rows not yet
    both = dict(x_hat=spectrum * C, w_hat=2 * size_of(S, V, C, F), dft=blocks, parts=blocks)
    of_y, of_dx = spectrum * F, spectrum * C
    scratch = dict(both, P=of_y, Q=of_y), dict(both, d_hat=of_y, P=of_dx, Q=of_dx)
    forward, spectra = max(squares * C + some, outputs), max(outputs, squares * C) + some - size_of(k, k, C, F)
    backward = max(spectra - dx, of_dx - dx, squares * C)  # dx and dW are not there at first
    more_y, more_dx = size_of(N, m * t, n * t, F) - size_of(*y), size_of(N, (m - 1) * t + S, (n - 1) * t + S, C) - dx
    return LayerMemory(y, "", 0, padded + forward, padded + backward, *scratch, more_y, more_dx)


def _by_im2col(x_shape, y, k, stride, padded, input_grad):
    """The plain way of `layers.conv`: the windows of some rows of outputs are the rows of a matrix, cols."""
    (N, H, W, C), (_, Ho, Wo, F) = x_shape, y
    if k == stride == 1:
        return LayerMemory(y)

    def rows(Ho, Wo, run, times=1):
        return math.prod(block(N, Ho, max(1, conv.BLOCK_ROWS // Wo, times * conv.BLOCK_ELEMENTS // (Wo * run))))

    columns, some = k * k * C, rows(Ho, Wo, k * k * C, 4)
    of_dx = size_of(rows(H, W, k * k * F), W, k * k * F) if input_grad else 0
    padded_dy = (
        size_of(N, H + k - 1, W + k - 1, F) if input_grad else 0
    )  # beside a copy of the filters, before dW is there
    parts = size_of(columns, F) * (some < N * Ho)
    forward, backward = size_of(rows(Ho, Wo, columns), Wo, columns), size_of(some, Wo, columns)
    scratch = dict(cols=forward), dict(cols=max(backward, of_dx))
    return LayerMemory(y, "", 0, padded, max(padded_dy, padded + parts), *scratch)


def max_pool_memory(layer, shape, rng):
    """`layers.pool.MaxPool2D`: which places beat others, a byte each, and the work on a block of output rows."""
    N, H, W, C = shape
    (top, _, Ho), (_, _, Wo) = (padding(n, layer.size, layer.stride, layer.pad) for n in (H, W))
    images, rows = block(N, Ho, max(1, pool.BLOCK_ELEMENTS // (layer.stride * W * C)))
    seen = min(H, layer.stride * (rows - 1) + layer.size)
    maxima = size_of(images, seen, Wo, C)
    phases = {f"phase{j}": size_of(images, seen, len(range(j, W, layer.stride)), C) for j in range(layer.stride)}
    forward = dict(rows=maxima, **(phases if layer.stride > 1 else {}))
    backward = dict(forward, part=maxima, rest1=size_of(images, rows, Wo, C), rest2=maxima)
    beats = (layer.size - 1) * (N * Ho * Wo * C + N * H * Wo * C)
    buffers = 3 * 4 * np.getbufsize()  # with which NumPy goes through parts of arrays
    return LayerMemory((N, Ho, Wo, C), "", beats, buffers, buffers, forward, backward)


def avg_pool_memory(layer, shape, rng):
    """`layers.pool.AvgPool2D`: sums over columns, then over rows."""
    N, H, W, C = shape
    Ho, Wo = (padding(n, layer.size, layer.stride, "valid")[2] for n in (H, W))
    columns = size_of(N, H, Wo, C)
    return LayerMemory((N, Ho, Wo, C), forward=2 * columns, backward=columns + size_of(N, Ho, Wo, C))


def lrn_memory(layer, shape, rng):
    """`layers.lrn`: two arrays of x's size are kept; sums of a block of pixels."""
    x = size_of(*shape)
    some = min(x, 4 * max(lrn.BLOCK_ELEMENTS, shape[-1]))
    return LayerMemory(shape, "x", 2 * x, 2 * some, 2 * some, copies_part=True)


def lcn_memory(layer, shape, rng):
    """`layers.lcn`: one array of x's size is kept, and three elements per pixel."""
    x, pixels = size_of(*shape), size_of(*shape[:3])
    return LayerMemory(shape, "y", x + 3 * pixels, 4 * pixels, x + 4 * pixels)


def dropout_memory(layer, shape, rng):
    """`layers.dropout`: the mask, while training."""
    x = size_of(*shape)
    return LayerMemory(shape, view=True) if rng is None or layer.p == 0 else LayerMemory(shape, "", x, x)


def temporal_max_memory(layer, shape, rng):
    """`layers.temporal.TemporalMaxPool`: the winner's place in each window."""
    (N, _, *rest), spans = shape, temporal.windows(shape[1], layer.window, layer.stride)
    one, longest = math.prod((N, *rest)), max(b - a for a, b in spans)
    y = (N, *rest) if layer.window is None else (N, len(spans), *rest)
    several = 4 * one * len(spans) if layer.window else 0
    index = np.min_scalar_type(shape[1]).itemsize
    return LayerMemory(y, "", index * one * len(spans), max(one * (longest + 8), several), 5 * one)


def differences_memory(layer, shape, rng):
    """`layers.features.differences`: signs are kept; beside them the frames moved by one, or sizes."""
    x = size_of(*shape)
    return LayerMemory((*shape[:-1], 2 * shape[-1]), "", x, x, x)


def time_conv_memory(layer, shape, rng):
    """`layers.time_conv`: the frames of each window stacked as channels, and a convolution of those."""
    (N, T, H, W, C), (kt, k, _, _, F) = shape, layer.params["W"].shape
    m = len(time_conv.window_starts(T, kt, layer.stride))
    stacked, filters = (N * m, H, W, kt * C), size_of(*layer.params["W"].shape)
    found = convolution(stacked, (k, k, kt * C, F), layer.space_stride, "same", True, layer.input_grad)
    x, dx = size_of(*stacked), size_of(*shape) * layer.input_grad
    backward = (x + found.more_dx) * layer.input_grad + max(found.backward - dx, filters)
    return found._replace(y=(N, m, *found.y[1:]), keeps="y", kept=x + filters, backward=backward, more_dx=0)


def rnn_memory(layer, shape, rng):
    """`layers.rnn`: x and h are kept."""
    y = *shape[:2], len(layer.params["b"])
    return LayerMemory(y, "xy", 0, size_of(*y), 2 * size_of(*y))


def lstm_memory(layer, shape, rng):
    """`layers.lstm`: x, h, c, and four gates are kept; h with the state before the first frame."""
    (N, T, _), M = shape, len(layer.params["b"]) // 4
    h, state = size_of(N, T, M), size_of(N, M)
    return LayerMemory((N, T, M), "xy", h + state + 4 * h, 4 * h, 7 * h, more_y=state)


def conv_lstm_memory(layer, shape, rng):
    """`layers.conv_lstm`: as an LSTM; one convolution of all frames and one of each step's h."""
    (N, T, H, W, C), (k, _, F, gates) = shape, layer.params["W_h"].shape
    h, state = size_of(N, T, H, W, F), size_of(N, H, W, F)
    of_x, of_h = convolution((N * T, H, W, C), (k, k, C, gates)), convolution((N, H, W, F), (k, k, F, gates))
    scratch = largest(of_x.scratch, of_h.scratch), largest(of_x.scratch_backward, of_h.scratch_backward)
    forward = max(of_x.forward, 4 * h + of_h.forward + 8 * state)
    backward = 4 * h + max(of_x.backward, of_h.backward, 3 * h)
    return LayerMemory((N, T, H, W, F), "xy", h + state + 4 * h, forward, backward, *scratch, more_y=state)


LAYER_MEMORY = {  # (layer, x's shape, rng) -> LayerMemory
    conv.Conv2D: conv_memory,
    pool.MaxPool2D: max_pool_memory,
    pool.AvgPool2D: avg_pool_memory,
    pool.GlobalAvgPool: lambda layer, shape, rng: LayerMemory((shape[0], shape[3])),
    lrn.LRN: lrn_memory,
    lcn.LCN: lcn_memory,
    relu.ReLU: lambda layer, shape, rng: LayerMemory(shape, "y", backward=math.prod(shape)),
    dropout.Dropout: dropout_memory,
    linear.Linear: lambda layer, shape, rng: LayerMemory((*shape[:-1], len(layer.params["b"])), "x"),
    linear.Flatten: lambda layer, shape, rng: LayerMemory(
        (*shape[: layer.start], math.prod(shape[layer.start :])), view=True
    ),
    linear.AsMap: lambda layer, shape, rng: LayerMemory((*shape[:-1], 1, 1, shape[-1]), view=True),
    standardise.Standardise: lambda layer, shape, rng: LayerMemory(shape, "y", backward=size_of(*shape)),
    differences.Differences: differences_memory,
    temporal.FixedFrames: lambda layer, shape, rng: LayerMemory(shape, view=True),
    temporal.TemporalMaxPool: temporal_max_memory,
    temporal.TemporalAvgPool: lambda layer, shape, rng: LayerMemory((shape[0], *shape[2:])),
    time_conv.TimeConv: time_conv_memory,
    rnn.RNN: rnn_memory,
    lstm.PeepholeLSTM: lstm_memory,
    conv_lstm.ConvLSTM: conv_lstm_memory,
}
