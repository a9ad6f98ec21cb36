"""What each kind of layer does with memory, by arithmetic: what it makes, keeps and needs meanwhile, in bytes.

The numbers follow the layers' code; a test holds each of them to what the layer really allocates.
"""

import math
from typing import NamedTuple

import numpy as np

from snippets.layers import conv, lrn, pool
from snippets.layers.core.window import padding
from snippets.layers.fast import fft, winograd
from snippets.layers.temporal import windows


class Uses(NamedTuple):
    """What a layer does with memory, for an x of a given shape; bytes."""

    y: tuple | None  # the output's shape; None: x itself, or in another shape
    keeps: str = ""  # what its cache holds of x and y: "x", "y", "xy"
    kept: float = 0  # and of other arrays
    forward: float = 0  # besides x, y and what is kept, in the worst moment
    backward: float = 0  # besides dy, dx, the gradients and the cache
    scratch: dict = {}  # by name, of the forward pass
    again: dict = {}  # and of the backward pass
    more_y: float = 0  # of the array that y is a part of
    more_dx: float = 0
    as_shape: tuple = ()  # x in another shape
    copied: float = 0  # a copy of dy, where it is a part of another array


def block(N, rows, most):
    """Images and rows of the largest block that `layers.core.window.blocks` makes."""
    return (min(N, most // rows), rows) if most >= rows else (1, -(-rows // -(-rows // most)))


def conv_uses(layer, shape, rng):
    return convolution(shape, layer.params["W"].shape, layer.stride, layer.pad, layer.relu, layer.input_grad)


def convolution(x_shape, W_shape, stride=1, pad="same", relu=False, input_grad=True):
    """Uses of `layers.conv`, in each of its three ways."""
    (N, H, width, C), (k, _, _, F) = x_shape, W_shape
    (*rows, Ho), (*columns, Wo) = (padding(n, k, stride, pad) for n in (H, width))
    y, padded = (N, Ho, Wo, F), 4 * N * (H + sum(rows)) * (width + sum(columns)) * C * any((*rows, *columns))
    masked, filters = 4 * math.prod(y) * relu, 4 * k * k * C * F
    how = dict(y=y, keeps="xy" if relu else "x")
    if winograd.is_faster(x_shape, W_shape, stride):
        t, S2, (m, n) = winograd.T, (winograd.T + k - 1) ** 2, (-(-Ho // winograd.T), -(-Wo // winograd.T))
        images, strip = block(N, m, max(1, winograd.STRIP_SQUARES // n))
        R, padded = images * strip * n, 4 * N * (t * m + k - 1) * (t * n + k - 1) * C
        gradient = 4 * N * (t * m) * (t * n) * F * ((Ho, Wo) != (t * m, t * n))
        more = 4 * N * (t * (m + 1) * t * (n + 1) - H * width) * C
        both = dict(squares=max(filters, 4 * S2 * R * C, 4 * t * t * R * F), w_hat=4 * S2 * C * F, x_hat=4 * S2 * R * C)
        scratch = both | dict(y_hat=4 * S2 * R * F, whole=4 * R * t * t * F)
        again = both | dict(dy_hat=4 * S2 * R * F, dw_part=4 * S2 * C * F)
        backward = masked + padded + gradient + 4 * S2 * C * F
        return Uses(**how, forward=padded, backward=backward, scratch=scratch, again=again, more_dx=more)
    if fft.is_faster(x_shape, W_shape, stride):
        t, (m, n), S = fft.plan(Ho, Wo, k)
        V, R = S // 2 + 1, N * m * n
        squares, spectrum = 4 * R * S * S, 8 * S * V * R  # of one channel
        more = 4 * N * ((m - 1) * t + S) * ((n - 1) * t + S) * C - 4 * N * H * width * C
        blocks = 4 * max(fft.BLOCK_ELEMENTS, 4 * S * V * max(C, F))
        both = dict(x_hat=spectrum * C, w_hat=8 * S * V * C * F, dft=blocks, parts=blocks)
        scratch, again = both | dict.fromkeys("PQ", spectrum * F), both | dict.fromkeys("PQ", spectrum * C)
        again["d_hat"] = spectrum * F
        some = blocks // 2  # columns transformed, rows not yet
        forward = padded + max(squares * C + some, 4 * R * t * t * F)
        dx = 4 * N * H * width * C  # and dW are not there yet, when d_hat and x_hat are made
        spectra = max(4 * R * t * t * F, squares * C) + some - filters
        gradients = max(spectra - dx, spectrum * C - dx, squares * C)
        larger = 4 * N * F * (m * t * n * t - Ho * Wo)
        how |= dict(scratch=scratch, again=again, more_y=larger, more_dx=more)
        return Uses(**how, forward=forward, backward=masked + padded + gradients)

    def rows_of_cols(Ho, Wo, run, times=1):
        return math.prod(block(N, Ho, max(1, conv.BLOCK_ROWS // Wo, times * conv.BLOCK_ELEMENTS // (Wo * run))))

    if k == stride == 1:
        return Uses(**how, backward=masked)
    spread = 4 * N * (H + k - 1) * (width + k - 1) * F * input_grad  # and a copy of the filters, before dW is there
    rows_at_once = rows_of_cols(Ho, Wo, k * k * C, 4)
    parts = filters * (rows_at_once < N * Ho)
    scratch = dict(cols=4 * rows_of_cols(Ho, Wo, k * k * C) * Wo * k * k * C)
    of_dx = rows_of_cols(H, width, k * k * F) * width * k * k * F * input_grad
    again = dict(cols=4 * max(rows_at_once * Wo * k * k * C, of_dx))
    backward = masked + max(spread, padded + parts)
    return Uses(**how, forward=padded, backward=backward, scratch=scratch, again=again)


def max_pool_uses(layer, shape, rng):
    N, H, width, C = shape
    (top, bottom, Ho), (left, right, Wo) = (padding(n, layer.size, layer.stride, layer.pad) for n in shape[1:3])
    Hp, Wp = top + H + bottom, left + width + right
    images, rows = block(N, Ho, max(1, pool.BLOCK_ELEMENTS // (layer.stride * Wp * C)))
    seen = min(Hp, layer.stride * (rows - 1) + layer.size)
    across, out = images * seen * Wo * C, images * rows * Wo * C
    before = (5 * across + out) * (images * rows < N * Ho)  # of the block before
    winners = N * Ho * Wo * C + N * Hp * Wo * C
    return Uses(
        (N, Ho, Wo, C), "", winners, before + max(9 * across, 5 * across + 9 * out), 9 * across,
        dict(padded_rows=4 * images * seen * Wp * C), more_dx=4 * N * C * (Hp * Wp - H * width),
    )  # fmt: skip


def avg_pool_uses(layer, shape, rng):
    N, H, width, C = shape
    Ho, Wo = (padding(n, layer.size, layer.stride, "valid")[2] for n in shape[1:3])
    return Uses((N, Ho, Wo, C), forward=8 * N * H * Wo * C, backward=4 * N * H * Wo * C + 4 * N * Ho * Wo * C)


def lrn_uses(layer, shape, rng):
    x = 4 * math.prod(shape)
    some = min(x, 4 * max(lrn.BLOCK_ELEMENTS, shape[-1]))
    return Uses(shape, "x", 2 * x, 2 * some, 2 * some, copied=x)


def lcn_uses(layer, shape, rng):
    x, pixels = 4 * math.prod(shape), 4 * math.prod(shape[:3])
    return Uses(shape, "y", x + 3 * pixels, 4 * pixels, x + 4 * pixels)


def dropout_uses(layer, shape, rng):
    x = 4 * math.prod(shape)
    return Uses(None) if rng is None or layer.p == 0 else Uses(shape, "", x, x)


def temporal_max_uses(layer, shape, rng):
    spans = windows(shape[1], layer.window, layer.stride)
    one, x = math.prod((shape[0], *shape[2:])), math.prod(shape) // shape[1] * max(b - a for a, b in spans)
    y = (shape[0], *shape[2:]) if layer.window is None else (shape[0], len(spans), *shape[2:])
    several = 4 * one * len(spans) if layer.window else 0
    index = np.min_scalar_type(shape[1]).itemsize
    return Uses(y, "", index * one * len(spans), max(x + 8 * one, several), 5 * one)


def time_conv_uses(layer, shape, rng):
    (N, T, H, width, C), (kt, k, _, _, F) = shape, layer.params["W"].shape
    m = (T - kt) // layer.stride + 1
    stacked, filters = (N * m, H, width, kt * C), 4 * layer.params["W"].size
    uses = convolution(stacked, (k, k, kt * C, F), layer.space_stride, "same", True, layer.input_grad)
    x = 4 * math.prod(stacked)
    dx = 4 * math.prod(shape) * layer.input_grad
    backward = (x + uses.more_dx) * layer.input_grad + max(uses.backward - dx, filters)
    return uses._replace(y=(N, m, *uses.y[1:]), keeps="y", kept=x + filters, backward=backward, more_dx=0)


def rnn_uses(layer, shape, rng):
    h = 4 * shape[0] * shape[1] * len(layer.params["b"])
    return Uses((*shape[:2], len(layer.params["b"])), "xy", 0, h, 2 * h)


def lstm_uses(layer, shape, rng):
    (N, T, _), M = shape, len(layer.params["b"]) // 4
    h, state = 4 * N * T * M, 4 * N * M
    return Uses((N, T, M), "xy", h + state + 4 * h, 4 * h, 7 * h, more_y=state)


def conv_lstm_uses(layer, shape, rng):
    (N, T, H, width, C), (k, _, F, gates) = shape, layer.params["W_h"].shape
    h, state = 4 * N * T * H * width * F, 4 * N * H * width * F
    of_x, of_h = convolution((N * T, H, width, C), (k, k, C, gates)), convolution((N, H, width, F), (k, k, F, gates))
    scratch, again = (
        {name: max(u[n].get(name, 0) for u in (of_x, of_h)) for name in of_x[n] | of_h[n]}
        for n in map(Uses._fields.index, ("scratch", "again"))
    )
    forward = max(of_x.forward, 4 * h + of_h.forward + 8 * state)
    backward = 4 * h + max(of_x.backward, of_h.backward, 3 * h)
    return Uses((N, T, H, width, F), "xy", h + state + 4 * h, forward, backward, scratch, again, more_y=state)


def flat(layer, shape, rng):
    return Uses(None, as_shape=(*shape[: layer.start], math.prod(shape[layer.start :])))


USES = {
    "Conv2D": conv_uses, "MaxPool2D": max_pool_uses, "AvgPool2D": avg_pool_uses, "LRN": lrn_uses, "LCN": lcn_uses,
    "Dropout": dropout_uses, "TemporalMaxPool": temporal_max_uses, "TimeConv": time_conv_uses, "RNN": rnn_uses,
    "PeepholeLSTM": lstm_uses, "ConvLSTM": conv_lstm_uses, "Flatten": flat,
    "FixedFrames": lambda layer, shape, rng: Uses(None),
    "AsMap": lambda layer, shape, rng: Uses(None, as_shape=(*shape[:-1], 1, 1, shape[-1])),
    "ReLU": lambda layer, shape, rng: Uses(shape, "y", 0, 0, math.prod(shape)),
    "Linear": lambda layer, shape, rng: Uses((*shape[:-1], len(layer.params["b"])), "x"),
    "GlobalAvgPool": lambda layer, shape, rng: Uses((shape[0], shape[3])),
    "TemporalAvgPool": lambda layer, shape, rng: Uses((shape[0], *shape[2:])),
}  # fmt: skip
