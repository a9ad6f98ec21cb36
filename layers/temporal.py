r"""Pooling over time: what turns T frames into one clip.

Max over frames, whole or windowed (x (N, T, ...), the rest of the axes are left alone):

    y_n = max_t x_nt                     the winner is the first frame that reaches the maximum
    dx_nt = dy_n where t is the winner   the paper's "sparse updates": each feature trains one frame in T

    y_nm = max over frames [m s, min(m s + window, T)),  m < 1 + ceil(max(T - window, 0) / s)
    overlapping windows add their gradients in a frame that wins several.

Average over frames:   y_n = (1/T) sum_t x_nt,   dx_nt = dy_n / T
"""

import numpy as np

from snippets.layers.core.base import Layer
from snippets.layers.device.launch import launch
from snippets.layers.device.xp import on_gpu, xp_of


def windows(T, window=None, stride=None):
    """(start, stop) of each window over T frames; None: one window over all of them."""
    if window is not None and not (stride and 1 <= stride <= window):
        raise ValueError(
            f"window {window} with stride {stride}: expected 1 <= stride <= window (a longer stride skips frames)"
        )
    if window is None or T <= window:
        return [(0, T)]
    count = 1 + -(-(T - window) // stride)  # 1 + ceil(...)
    return [(m * stride, min(m * stride + window, T)) for m in range(count)]


def temporal_max_forward(x, window=None, stride=None):
    """x (N, T, ...) -> y (N, ...) over the whole clip, or (N, m, ...) over windows; cache.

    Raises ValueError on a GPU for windows of more than 2^16 frames.
    """
    spans = windows(x.shape[1], window, stride)
    if on_gpu(x):
        return temporal_max_forward_cuda(x, len(spans), window, stride)
    index = np.min_scalar_type(x.shape[1])
    maxima = [x[:, start:stop].max(axis=1) for start, stop in spans]  # NaN in, NaN out
    winners = [  # argmax of True: the first frame that reaches the maximum
        (x[:, start:stop] == y[:, None]).argmax(axis=1).astype(index)
        for (start, stop), y in zip(spans, maxima, strict=True)
    ]
    y = maxima[0] if window is None else np.stack(maxima, axis=1)
    return y, (x.shape, spans, winners, window is None)


def temporal_max_backward(dy, cache):
    """dy (N, ...) or (N, m, ...) -> dx (N, T, ...)."""
    if on_gpu(dy):
        return temporal_max_backward_cuda(dy, cache)
    shape, spans, winners, whole = cache
    dx = np.zeros(shape, dy.dtype)
    for m, ((start, stop), winner) in enumerate(zip(spans, winners, strict=True)):
        part = dy if whole else dy[:, m]
        for t in range(start, stop):
            dx[:, t] += part * (winner == t - start)
    return dx


class TemporalMaxPool(Layer):
    """Max over all frames, (N, T, ...) -> (N, ...), or over windows of frames, -> (N, m, ...)."""

    def __init__(self, window=None, stride=None):
        super().__init__()
        windows(1, window, stride)  # refuses what is no window
        self.window, self.stride = window, stride

    def forward(self, x, rng=None):
        expect_frames(self, x)
        return temporal_max_forward(x, self.window, self.stride)

    def backward(self, dy, cache):
        return temporal_max_backward(dy, cache), {}


class TemporalAvgPool(Layer):
    """Mean over all frames, (N, T, ...) -> (N, ...); the baseline that the paper tried and rejected."""

    def forward(self, x, rng=None):
        expect_frames(self, x)
        return x.mean(axis=1), x.shape

    def backward(self, dy, cache):
        return xp_of(dy).broadcast_to((dy / cache[1])[:, None], cache).copy(), {}


class FixedFrames(Layer):
    """Passes clips of exactly T frames, for which layer `reader` has weights; raises ValueError for others."""

    def __init__(self, T, reader):
        super().__init__()
        self.T, self.reader = T, reader

    def forward(self, x, rng=None):
        expect_frames(self, x)
        if x.shape[1] != self.T:
            raise ValueError(
                f"clips have {x.shape[1]} frames, expected {self.T}: layer {self.reader} has weights for "
                f"{self.T} frames only; cut clips of that length, or pool with a head that takes any"
            )
        return x, None

    def backward(self, dy, cache):
        return dy, {}


def expect_frames(layer, x):
    """Raise ValueError for an x without a time axis or without frames."""
    layer.expect(x)
    if x.ndim < 2 or x.shape[1] == 0:
        raise ValueError(f"{type(layer).__name__}: x has shape {x.shape}, expected (N, T, ...) with at least one frame")


def temporal_max_forward_cuda(x, count, window, stride):
    """`temporal_max_forward` on a GPU, with `count` windows; winners: one array (N, m, ...), uint16."""
    xp, T = xp_of(x), x.shape[1]
    if min(window or T, T) > 2**16:
        raise ValueError(f"max-pooling over {min(window or T, T)} frames, expected at most {2**16} on a GPU")
    x, D = xp.ascontiguousarray(x), int(np.prod(x.shape[2:]))
    y = xp.empty((len(x), count, *x.shape[2:]), x.dtype)
    winners = xp.empty(y.shape, np.uint16)
    sizes = T, D, window or T, stride or T, count
    launch("layers/temporal.cu", "temporal_max_forward", y.size, x, y, winners, *sizes, y.size)
    return y[:, 0] if window is None else y, (x.shape, winners, sizes)


def temporal_max_backward_cuda(dy, cache):
    """`temporal_max_backward` on a GPU."""
    x_shape, winners, sizes = cache
    dx, dy = xp_of(dy).empty(x_shape, dy.dtype), xp_of(dy).ascontiguousarray(dy)
    launch("layers/temporal.cu", "temporal_max_backward", dx.size, dy, winners, dx, *sizes, dx.size)
    return dx
