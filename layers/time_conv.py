r"""Convolution over time and space, "valid" in time and "same" in space, ending in a ReLU.

    y_nm = ReLU( sum_i W_i * x_n,t+i + b )         "*" is a 2-D convolution, i = 0 .. kt-1
    t = ms, at most T - kt,   m < 1 + ceil((T - kt) / s)           frame stride s

Nothing is padded in time, and no frame is left out: where the windows of stride s do not end at the last frame, one
more window does, which overlaps the one before by more than the others.

It is the time-domain convolution of the paper's Figure 2e, and the 3-D convolution that Slow Fusion (Karpathy et al.
2014) is made of. A convolution that reads kt frames is a 2-D convolution whose input channels are those frames'
channels laid side by side, and that is how it is computed, forward and backward:

    dx_nt = sum over the windows that read frame t of the input gradient of their 2-D convolution
"""

import numpy as np

from snippets.layers.conv import conv_backward, conv_forward
from snippets.layers.core.base import Layer, he_normal
from snippets.layers.device.xp import xp_of


def window_starts(T, kt, stride):
    """The first frame of each window of kt frames; ValueError for a clip of fewer than these."""
    if T < kt:
        raise ValueError(f"time convolution: {T} frames are fewer than the {kt} of its kernel; repeat the clip first")
    return [*range(0, T - kt, stride), T - kt]


def time_conv_forward(x, W, b, stride=5, relu=True, space_stride=1):
    """x (N, T, H, W, C), W (kt, kh, kw, C, F), b (F,) -> y (N, m, Ho, Wo, F), cache."""
    xp = xp_of(x)
    N, T, H, width, C = x.shape
    kt, kh, kw, _, F = W.shape
    starts = window_starts(T, kt, stride)
    # frames of a window side by side on the channel axis: (N, m, H, W, kt, C) -> (N m, H, W, kt C)
    stacked = xp.stack([x[:, t : t + kt].transpose(0, 2, 3, 1, 4) for t in starts], axis=1)
    stacked = stacked.reshape(N * len(starts), H, width, kt * C)
    flat_W = W.transpose(1, 2, 0, 3, 4).reshape(kh, kw, kt * C, F)
    y, conv_cache = conv_forward(stacked, flat_W, b, space_stride, relu=relu)
    return y.reshape(N, len(starts), *y.shape[1:]), (x.shape, W.shape, starts, conv_cache)


def time_conv_backward(dy, cache, input_grad=True):
    """dy (N, m, Ho, Wo, F) -> dx (N, T, H, W, C) (None without input_grad), dW (kt, kh, kw, C, F), db (F,)."""
    (N, T, H, width, C), (kt, kh, kw, _, F), starts, conv_cache = cache
    dstacked, dW, db = conv_backward(dy.reshape(-1, *dy.shape[2:]), conv_cache, input_grad)
    dW = dW.reshape(kh, kw, kt, C, F).transpose(2, 0, 1, 3, 4).copy()
    if not input_grad:
        return None, dW, db
    dstacked = dstacked.reshape(N, len(starts), H, width, kt, C).transpose(0, 1, 4, 2, 3, 5)  # (N, m, kt, H, W, C)
    dx = xp_of(dy).zeros((N, T, H, width, C), dy.dtype)
    for m, t in enumerate(starts):
        dx[:, t : t + kt] += dstacked[:, m]  # every window that read a frame adds to its gradient
    return dx, dW, db


class TimeConv(Layer):
    """F filters over `kernel` = (frames, rows, columns), ReLU; (N, T, H, W, C) -> (N, m, Ho, Wo, F).

    stride: frames from window to window; space_stride: pixels. Raises ValueError for clips shorter than the kernel.
    """

    input_grad = True  # as in `layers.conv.Conv2D`

    def __init__(self, C, F=256, kernel=(10, 3, 3), stride=5, space_stride=1, *, rng):
        W = he_normal(rng, (*kernel, C, F), C * np.prod(kernel))
        super().__init__(W=W, b=np.zeros(F, np.float32))
        self.stride, self.space_stride = stride, space_stride

    def forward(self, x, rng=None):
        self.expect(x, ndim=5, last=self.params["W"].shape[3])
        return time_conv_forward(x, **self.params, stride=self.stride, space_stride=self.space_stride)

    def backward(self, dy, cache):
        dx, dW, db = time_conv_backward(dy, cache, self.input_grad)
        return dx, {"W": dW, "b": db}
