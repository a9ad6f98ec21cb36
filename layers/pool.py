r"""Pooling over space: max over windows, average over the whole map.

    y[n, p, q, c] = max_{i,j < size} x[n, s p + i - top, s q + j - left, c]      outside the image x is -inf: never wins
    dx[...winner...] += dy[n, p, q, c]                                           windows overlap, so gradients add

The maximum of a square is the maximum along rows of the maximum along columns, so a 3x3 window costs 2 + 2 comparisons
instead of 8. Each pass remembers the offset of its first winner in a small integer; the first row among the rows whose
first column wins is the first winner in row-major order, so ties have one answer, everywhere.

Global average:   y_nc = mean_{h,w} x_nhwc,    dx_nhwc = dy_nc / (H W)
"""

import numpy as np

from layers.base import Layer
from layers.conv import check_window, pad2d, padding
from layers.xp import xp_of


def taps(axis, size, stride, out):
    """For each offset i of a window: the index that picks x[..., stride p + i, ...] for p = 0 .. out-1 on `axis`."""
    return [(slice(None),) * axis + (slice(i, i + stride * (out - 1) + 1, stride),) for i in range(size)]


def max_along(x, axis, size, stride, out):
    """Sliding maximum along one axis -> y, winner (uint8 offset of the first maximum in its window)."""
    xp = xp_of(x)
    first, *others = taps(axis, size, stride, out)
    y = x[first].copy()
    winner = xp.zeros(y.shape, np.uint8)
    for offset, tap in enumerate(others, start=1):
        higher = x[tap] > y
        # offsets grow, so the last one that was strictly higher is the largest: no masked write, which is slow
        xp.maximum(winner, higher.view(np.uint8) * np.uint8(offset), out=winner)
        xp.maximum(y, x[tap], out=y)
    return y, winner


def max_along_backward(dy, winner, shape, axis, size, stride):
    """Send dy to the winners: gradient of `max_along` with respect to an x of `shape`."""
    dx = xp_of(dy).zeros(shape, dy.dtype)
    for offset, tap in enumerate(taps(axis, size, stride, dy.shape[axis])):
        dx[tap] += dy * (winner == offset)
    return dx


def max_pool_forward(x, size=3, stride=2, pad="same"):
    """x (N, H, W, C) -> y (N, Ho, Wo, C), cache."""
    top, bottom, Ho = padding(x.shape[1], size, stride, pad)
    left, right, Wo = padding(x.shape[2], size, stride, pad)
    padded = pad2d(x, (top, bottom), (left, right), value=-np.inf)
    rows, column_winner = max_along(padded, 2, size, stride, Wo)  # (N, Hp, Wo, C)
    y, row_winner = max_along(rows, 1, size, stride, Ho)  # (N, Ho, Wo, C)
    return y, (x.shape, padded.shape, (top, left), column_winner, row_winner, size, stride)


def max_pool(x, size=3, stride=2, pad="same"):
    """The forward pass alone: x (N, H, W, C) -> y (N, Ho, Wo, C), no record of who won."""
    top, bottom, Ho = padding(x.shape[1], size, stride, pad)
    left, right, Wo = padding(x.shape[2], size, stride, pad)
    y = pad2d(x, (top, bottom), (left, right), value=-np.inf)
    for axis, out in ((2, Wo), (1, Ho)):
        first, *others = taps(axis, size, stride, out)
        rows = y[first].copy()
        for tap in others:
            xp_of(x).maximum(rows, y[tap], out=rows)
        y = rows
    return y


def max_pool_backward(dy, cache):
    """dy (N, Ho, Wo, C) -> dx (N, H, W, C)."""
    (_, H, W, _), padded_shape, (top, left), column_winner, row_winner, size, stride = cache
    drows = max_along_backward(dy, row_winner, column_winner.shape, 1, size, stride)
    dpadded = max_along_backward(drows, column_winner, padded_shape, 2, size, stride)
    return dpadded[:, top : top + H, left : left + W]


def global_avg_pool_forward(x):
    """x (N, H, W, C) -> y (N, C), cache. Global, so that any input size works (220 pixels give GoogLeNet 7x7)."""
    return x.mean(axis=(1, 2)), x.shape


def global_avg_pool_backward(dy, cache):
    """dy (N, C) -> dx (N, H, W, C)."""
    N, H, W, C = cache
    return xp_of(dy).broadcast_to((dy / (H * W))[:, None, None, :], cache).copy()


class MaxPool2D(Layer):
    """Max over size x size windows with a stride; pad "same", "valid" or pixels, which never win."""

    def __init__(self, size=3, stride=2, pad="same"):
        super().__init__()
        check_window(size, stride, pad)
        self.size, self.stride, self.pad = size, stride, pad

    def forward(self, x, rng=None):
        self.expect(x, ndim=4)
        return max_pool_forward(x, self.size, self.stride, self.pad)

    def backward(self, dy, cache):
        return max_pool_backward(dy, cache), {}

    def predict(self, x):
        self.expect(x, ndim=4)
        return max_pool(x, self.size, self.stride, self.pad)


class GlobalAvgPool(Layer):
    """Mean over the whole map, (N, H, W, C) -> (N, C)."""

    def forward(self, x, rng=None):
        self.expect(x, ndim=4)
        return global_avg_pool_forward(x)

    def backward(self, dy, cache):
        return global_avg_pool_backward(dy, cache), {}
