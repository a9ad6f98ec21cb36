r"""Pooling over space: max over windows, average over windows or over the whole map.

    y[n, p, q, c] = max_{i,j < size} x[n, s p + i - top, s q + j - left, c]      outside the image x is -inf: never wins
    dx[...winner...] += dy[n, p, q, c]                                           windows overlap, so gradients add

The winner is the first maximum in row-major order. The maximum of a square is the maximum over rows of the maximum
over columns, so a 3x3 window costs 2 + 2 comparisons instead of 8. Each of the two passes goes through the places i of
a window in turn, and notes where a place beats all before it. The last that does is the first maximum, so the gradient
goes backward from place to place:

    for i = size - 1 ... 1:    dx_i += dy beats_i,    dy = dy (1 - beats_i)          dx_0 += dy

A place outside the image beats none. Both passes run over a block of rows of output at a time, in the same scratch
memory. NumPy is slow at every other column of a map, whose numbers lie together for one pixel only, so for a stride s
the columns j, j + s, j + 2 s ... are copied side by side first. The twin on a GPU, pool.cu, keeps one offset
i * size + j instead.

Average of windows that lie inside the map:   y_npqc = (1 / size^2) sum_{i,j < size} x[n, s p + i, s q + j, c]
Global average:   y_nc = mean_{h,w} x_nhwc,    dx_nhwc = dy_nc / (H W)
"""

import numpy as np

from snippets.layers.core.base import Layer
from snippets.layers.core.window import blocks, check_window, padding
from snippets.layers.device.launch import evenly_spaced_rows, launch
from snippets.layers.device.xp import on_gpu, scratch, xp_of

BLOCK_ELEMENTS = 2**20  # of x in a block: some megabytes, for two threads wait for each other around every short call
CUDA_SIZE = 16  # the largest size whose offsets, up to size^2 - 1, fit one byte


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


def places(length, size, stride, before, out):
    """For each place in a window over `length` pixels: (first, at, n): it is inside the image for the n outputs from
    `first` on, the first of which sees pixel `at` there and the next ones every stride-th pixel after it.
    """
    for i in range(size):
        first, stop = max(0, -((i - before) // stride)), min(out, (length - 1 + before - i) // stride + 1)
        yield first, stride * first + i - before, max(stop - first, 0)


def row_places(x, *window):
    """The outputs that have a place, from the first on, and their pixels: of x (N, H, W, C) along its rows."""
    stride = window[1]
    return [(first, x[:, at : at + stride * n : stride]) for first, at, n in places(x.shape[1], *window)]


def column_places(phases, W, *window):
    """The same along the columns of a map W wide, given as `phases`: its columns j, j + stride, j + 2 stride ..."""
    stride = window[1]
    return [(first, phases[at % stride][:, :, at // stride : at // stride + n]) for first, at, n in places(W, *window)]


def phases_of(x, stride):
    """Columns j, j + stride ... of x (N, H, W, C) for each j < stride: arrays without gaps; x itself for stride 1."""
    if stride == 1:
        return [x]
    parts = [x[:, :, j::stride] for j in range(stride)]
    phases = [scratch(f"phase{j}", part.shape, x.dtype) for j, part in enumerate(parts)]
    for phase, part in zip(phases, parts, strict=True):
        phase[...] = part
    return phases


def maximum(found, axis, y, beats):
    """The maximum over `found`, a window's places as above, into y.

    beats: a boolean array of y's shape for each place but the first: whether it beats those before it. False: not kept.
    """

    def cut(a, start, stop=None):
        return a[(slice(None),) * axis + (slice(start, stop),)]

    start, best = found[0]  # outputs from `start` on have a maximum so far
    for i, (first, x) in enumerate(found[1:]):
        stop = start + max(first + x.shape[axis] - start, 0)
        new, old = cut(x, start - first), cut(best, 0, stop - start)
        if beats is not False:
            beat = beats[i]
            cut(beat, 0, first)[...] = cut(beat, stop)[...] = False
            cut(beat, first, start)[...] = True
            np.greater(new, old, out=cut(beat, start, stop))
        np.maximum(new, old, out=cut(y, start, stop))
        cut(y, stop)[...] = cut(best, stop - start)
        cut(y, first, start)[...] = cut(x, 0, start - first)
        start, best = first, cut(y, first)
    if len(found) == 1:
        y[...] = best


def scatter_gradient(dy, beats, found, axis):
    """Add dy of `maximum` to the places that won: `found` are those of dx."""
    part, rest = scratch("part", dy.shape, dy.dtype), scratch(f"rest{axis}", dy.shape, dy.dtype)
    for (first, dx), beat in zip(found[:0:-1], beats[::-1], strict=True):
        np.multiply(dy, beat, out=part)
        dy = np.subtract(dy, part, out=rest)
        dx += part[(slice(None),) * axis + (slice(first, first + dx.shape[axis]),)]
    first, dx = found[0]
    dx += dy[(slice(None),) * axis + (slice(first, first + dx.shape[axis]),)]


def row_blocks(x_shape, size, stride, top, Ho):
    """Blocks of output rows: (images, rows), the rows of x that they see, and the window over the rows seen."""
    N, H, W, C = x_shape
    for images, rows in blocks(N, Ho, max(1, BLOCK_ELEMENTS // (stride * W * C))):
        start = stride * rows.start - top
        seen = slice(max(start, 0), min(stride * (rows.stop - 1) - top + size, H))
        yield (images, rows), (images, seen), (size, stride, seen.start - start, rows.stop - rows.start)


def max_pool_forward(x, size=3, stride=2, pad="same", winners=True):
    """x (N, H, W, C) -> y (N, Ho, Wo, C), cache; winners=False: no record of the winners, cache None (inference).

    Raises ValueError for a size over CUDA_SIZE on a GPU.
    """
    (top, _, Ho), (left, _, Wo) = (padding(length, size, stride, pad) for length in x.shape[1:3])
    if on_gpu(x):
        return max_pool_forward_cuda(x, size, (stride, top, left, Ho, Wo))
    N, H, W, C = x.shape
    y, across, beats = np.empty((N, Ho, Wo, C), x.dtype), (size, stride, left, Wo), (None, None)
    if winners:
        beats = np.empty((size - 1, N, H, Wo, C), bool), np.empty((size - 1, *y.shape), bool)  # of columns, of rows
    for out, seen, down in row_blocks(x.shape, size, stride, top, Ho):
        part = x[seen]
        rows = scratch("rows", (*part.shape[:2], Wo, C), x.dtype)
        maximum(column_places(phases_of(part, stride), W, *across), 2, rows, winners and beats[0][:, *seen])
        maximum(row_places(rows, *down), 1, y[out], winners and beats[1][:, *out])
    return y, (x.shape, top, across, beats) if winners else None


def max_pool_backward(dy, cache):
    """dy (N, Ho, Wo, C) -> dx (N, H, W, C)."""
    if on_gpu(dy):
        return max_pool_backward_cuda(dy, cache)
    x_shape, top, across, beats = cache
    size, stride, _, Wo = across
    dx = np.zeros(x_shape, dy.dtype)
    for out, seen, down in row_blocks(x_shape, size, stride, top, dy.shape[1]):
        part = dx[seen]
        drows = scratch("rows", (*part.shape[:2], Wo, part.shape[3]), dy.dtype)
        drows[...] = 0
        scatter_gradient(dy[out], beats[1][:, *out], row_places(drows, *down), 1)
        dphases = phases_of(part, stride)  # what the block above has put in shared rows is in there
        scatter_gradient(drows, beats[0][:, *seen], column_places(dphases, x_shape[2], *across), 2)
        for j, dphase in enumerate(dphases if stride > 1 else ()):
            part[:, :, j::stride] = dphase
    return dx


def window_offsets(axis, size, stride, out):
    """For each offset i in a window: the index of x[..., stride p + i, ...] for p = 0 .. out-1 on `axis`."""
    return [(slice(None),) * axis + (slice(i, i + stride * (out - 1) + 1, stride),) for i in range(size)]


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
    if size > CUDA_SIZE:
        raise ValueError(f"max-pooling over {size} x {size} pixels, expected at most {CUDA_SIZE} x {CUDA_SIZE}")
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
