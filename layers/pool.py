r"""Pooling over space: max over windows, average over windows or over the whole map.

    y[n, p, q, c] = max_{i,j < size} x[n, s p + i - top, s q + j - left, c]      outside the image x is -inf: never wins
    dx[...winner...] += dy[n, p, q, c]                                           windows overlap, so gradients add

The winner is the first maximum in row-major order. The maximum of a square is the maximum over rows of the maximum
over columns, so a 3x3 window costs 2 + 2 comparisons instead of 8. Each of the two passes keeps the offset of its first
winner in a small integer; the first row among those whose first column wins is the first winner in row-major order.
Both passes run over a few rows of output at a time, so that these stay in the cache. The twin on a GPU, pool.cu, keeps
one offset i * size + j instead.

Average of windows that lie inside the map:   y_npqc = (1 / size^2) sum_{i,j < size} x[n, s p + i, s q + j, c]
Global average:   y_nc = mean_{h,w} x_nhwc,    dx_nhwc = dy_nc / (H W)
"""

import numpy as np

from snippets.layers.core.base import Layer
from snippets.layers.core.window import blocks, check_window, padding
from snippets.layers.device.launch import evenly_spaced_rows, launch
from snippets.layers.device.xp import on_gpu, scratch, xp_of

BLOCK_ELEMENTS = 2**19  # of x in a block: few enough for the cache, and long calls, for threads may wait between two
CPU_SIZE, CUDA_SIZE = 256, 16  # the largest size whose offsets, up to size - 1 or size^2 - 1, fit one byte


def max_pool_plain(x, size=3, stride=2, pad="same"):
    """The equation, one window after the other: x (N, H, W, C) -> y (N, Ho, Wo, C), winners.

    winners: of y's shape, the pixel h W + w that has each maximum first. `max_pool_forward` is the fast version.
    """
    N, H, W, C = x.shape
    (top, _, Ho), (left, _, Wo) = (padding(length, size, stride, pad) for length in (H, W))
    y, winners = np.empty((N, Ho, Wo, C), x.dtype), np.empty((N, Ho, Wo, C), int)
    for p, q in np.ndindex(Ho, Wo):
        row, column = stride * p - top, stride * q - left
        window = x[:, max(row, 0) : row + size, max(column, 0) : column + size]
        i, j = np.divmod(window.reshape(N, -1, C).argmax(axis=1), window.shape[2])
        winners[:, p, q] = (max(row, 0) + i) * W + max(column, 0) + j
        y[:, p, q] = window.max(axis=(1, 2))
    return y, winners


def window_offsets(axis, size, stride, out):
    """For each offset i in a window: the index of x[..., stride p + i, ...] for p = 0 .. out-1 on `axis`."""
    return [(slice(None),) * axis + (slice(i, i + stride * (out - 1) + 1, stride),) for i in range(size)]


def max_along(x, axis, size, stride, out, winners):
    """Sliding maximum along one axis of x, `out` windows; offset (uint8) of the first place that has it, or None."""
    first, *others = window_offsets(axis, size, stride, out)
    y, winner = x[first], np.uint8(0) if winners else None
    for offset, at in enumerate(others, start=1):
        if winners:
            winner = np.maximum(winner, offset * (x[at] > y).view(np.uint8))
        y = np.maximum(y, x[at])
    return y, winner


def scatter_gradient(dy, winner, axis, size, stride, dx):
    """Put the winners' dy in their places in dx, zero elsewhere: the gradient of `max_along`."""
    dx[(slice(None),) * axis + (slice(stride * dy.shape[axis], None),)] = 0
    for offset, at in enumerate(window_offsets(axis, size, stride, dy.shape[axis])):
        part = dx[at] if offset < stride else np.empty_like(dy)  # from the offset `stride` on windows overlap: add
        part[...] = winner == offset  # as numbers first: NumPy is slow at products of numbers and booleans
        part *= dy
        if offset >= stride:
            dx[at] += part


def row_blocks(x_shape, size, stride, out):
    """Blocks of output rows, and the rows of the padded x that they read: pairs of indices (images, rows)."""
    N, _, W, C = x_shape
    for images, rows in blocks(N, out, max(1, BLOCK_ELEMENTS // (stride * W * C))):
        yield (images, rows), (images, slice(stride * rows.start, stride * (rows.stop - 1) + size))


def padded_rows(x, rows, top, left, Wp):
    """Some rows of the padded x (N, H, W, C), with -inf around the images: (N, rows, Wp, C), a scratch array."""
    N, H, W, C = x.shape
    padded = scratch("padded_rows", (N, rows.stop - rows.start, Wp, C), x.dtype)
    padded[...] = -np.inf
    first, stop = max(rows.start, top), min(rows.stop, top + H)
    padded[:, first - rows.start : stop - rows.start, left : left + W] = x[:, first - top : stop - top]
    return padded


def max_pool_forward(x, size=3, stride=2, pad="same", winners=True):
    """x (N, H, W, C) -> y (N, Ho, Wo, C), cache; winners=False: no record of the winners, cache None (inference).

    Raises ValueError for a size over CPU_SIZE, on a GPU over CUDA_SIZE.
    """
    top, bottom, Ho = padding(x.shape[1], size, stride, pad)
    left, right, Wo = padding(x.shape[2], size, stride, pad)
    if size > (most := CUDA_SIZE if on_gpu(x) else CPU_SIZE):
        raise ValueError(f"max-pooling over {size} x {size} pixels, expected at most {most} x {most}")
    if on_gpu(x):
        return max_pool_forward_cuda(x, size, (stride, top, left, Ho, Wo))
    N, H, W, C = x.shape
    padded_shape = (N, top + H + bottom, left + W + right, C)
    y = np.empty((N, Ho, Wo, C), x.dtype)
    if winners:
        row_winner, column_winner = np.empty(y.shape, np.uint8), np.empty((N, padded_shape[1], Wo, C), np.uint8)
    for out, seen in row_blocks(padded_shape, size, stride, Ho):
        padded = padded_rows(x[seen[0]], seen[1], top, left, padded_shape[2])
        rows, first_columns = max_along(padded, 2, size, stride, Wo, winners)  # (images, rows seen, Wo, C)
        y[out], first_rows = max_along(rows, 1, size, stride, y[out].shape[1], winners)
        if winners:
            column_winner[seen], row_winner[out] = first_columns, first_rows
    return y, (x.shape, padded_shape, top, left, column_winner, row_winner, size, stride) if winners else None


def max_pool_backward(dy, cache):
    """dy (N, Ho, Wo, C) -> dx (N, H, W, C)."""
    if on_gpu(dy):
        return max_pool_backward_cuda(dy, cache)
    (_, H, W, _), padded_shape, top, left, column_winner, row_winner, size, stride = cache
    dpadded, overlap, reach = np.zeros(padded_shape, dy.dtype), max(size - stride, 0), 0
    for out, seen in row_blocks(padded_shape, size, stride, dy.shape[1]):
        drows = np.zeros(column_winner[seen].shape, dy.dtype)
        scatter_gradient(dy[out], row_winner[out], 1, size, stride, drows)
        if seen[1].start > 0:
            drows[:, :overlap] += reach  # the last windows of the block above, in the same images, read these rows too
        reach = drows[:, drows.shape[1] - overlap :]
        scatter_gradient(drows, column_winner[seen], 2, size, stride, dpadded[seen])
    return dpadded[:, top : top + H, left : left + W]


def avg_pool_forward(x, size, stride):
    """x (N, H, W, C) -> y (N, Ho, Wo, C), cache; Ho = (H - size) // stride + 1: no padding."""
    Ho, Wo = (padding(n, size, stride, "valid")[2] for n in x.shape[1:3])
    rows = sum(x[at] for at in window_offsets(2, size, stride, Wo))  # (N, H, Wo, C)
    return sum(rows[at] for at in window_offsets(1, size, stride, Ho)) / size**2, (x.shape, size, stride)


def avg_pool_backward(dy, cache):
    """dy (N, Ho, Wo, C) -> dx (N, H, W, C)."""
    (N, H, W, C), size, stride = cache
    drows, dx = xp_of(dy).zeros((N, H, dy.shape[2], C), dy.dtype), xp_of(dy).zeros((N, H, W, C), dy.dtype)
    for at in window_offsets(1, size, stride, dy.shape[1]):
        drows[at] += dy / size**2
    for at in window_offsets(2, size, stride, dy.shape[2]):
        dx[at] += drows
    return dx


class MaxPool2D(Layer):
    """Max over size x size windows with a stride; pad "same", "valid", "ceil" or pixels, which never win."""

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
        return max_pool_forward(x, self.size, self.stride, self.pad, winners=False)[0]


class AvgPool2D(Layer):
    """Mean over size x size windows with a stride, all of them inside the map."""

    def __init__(self, size, stride):
        super().__init__()
        check_window(size, stride, "valid")
        self.size, self.stride = size, stride

    def forward(self, x, rng=None):
        self.expect(x, ndim=4)
        return avg_pool_forward(x, self.size, self.stride)

    def backward(self, dy, cache):
        return avg_pool_backward(dy, cache), {}


class GlobalAvgPool(Layer):
    """Mean over the whole map, (N, H, W, C) -> (N, C), of any size (220 pixels give GoogLeNet 7x7)."""

    def forward(self, x, rng=None):
        self.expect(x, ndim=4)
        return x.mean(axis=(1, 2)), x.shape

    def backward(self, dy, cache):
        N, H, W, C = cache
        return xp_of(dy).broadcast_to((dy / (H * W))[:, None, None, :], cache).copy(), {}


def max_pool_forward_cuda(x, size, positions):
    """`max_pool_forward` on a GPU; winner: the offset i * size + j (uint8). positions: (stride, top, left, Ho, Wo)."""
    xp = xp_of(x)
    x = xp.ascontiguousarray(x)
    y = xp.empty((len(x), *positions[3:], x.shape[3]), x.dtype)
    winner = xp.empty(y.shape, np.uint8)
    launch("layers/pool.cu", "max_pool_forward", y.size, x, y, winner, *x.shape[1:], size, *positions, y.size)
    return y, (x.shape, winner, size, positions)


def max_pool_backward_cuda(dy, cache):
    """`max_pool_backward` on a GPU."""
    x_shape, winner, size, positions = cache
    dx, rows = xp_of(dy).empty(x_shape, dy.dtype), evenly_spaced_rows(dy)
    launch("layers/pool.cu", "max_pool_backward", dx.size, *rows, winner, dx, *x_shape[1:], size, *positions, dx.size)
    return dx
