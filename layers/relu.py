r"""Rectified linear unit.

y  = max(x, 0)
dx = dy where x > 0, else 0        at x = 0, where the derivative jumps, 0 is taken
"""

import numpy as np

from snippets.layers import gpu
from snippets.layers.core.base import Layer
from snippets.layers.core.window import blocks
from snippets.layers.device.xp import on_gpu, xp_of


def relu_forward(x):
    """x of any shape -> y of the same shape, cache."""
    y = xp_of(x).maximum(x, 0)
    return y, y  # y > 0 exactly where x > 0, and y is alive anyway as the next layer's input


def relu_backward(dy, cache):
    """dy -> dx, of the same shape."""
    if on_gpu(dy):
        return gpu.relu_backward(dy, cache)
    return dy * (cache > 0)


def add_bias(y, b, relu, out):
    """y (..., F) + b (F,), under ReLU or not, into `out`, which may be y: what ends a convolution."""
    if relu:
        y = np.maximum(y, -b, out=out)  # max(y + b, 0) = max(y, -b) + b: NumPy compares with a row faster than with 0
    return np.add(y, b, out=out)


BLOCK = 2**19  # numbers in a block: few enough for the cache, yet long calls, for threads may wait between two


def add_bias_backward(dy, y):
    """dy (N, H, W, F), and the y >= 0 that a ReLU left, or None -> dy where y > 0 and 0 elsewhere, db (F,)."""
    N, H, W, F = dy.shape
    through, db = dy if y is None else np.empty(dy.shape, dy.dtype), np.zeros(F, dy.dtype)
    for block in blocks(N, H, max(1, BLOCK // (W * F))):
        part = through[block]
        if y is not None:
            part[...] = y[block] > 0  # as numbers first: NumPy is slow at products of numbers and booleans
            part *= dy[block]
        db += np.ones(part.size // F, dy.dtype).dot(part.reshape(-1, F))  # a sum by BLAS; `@` here stops other threads
    return through, db


class ReLU(Layer):
    """max(x, 0), element by element."""

    def forward(self, x, rng=None):
        self.expect(x)
        return relu_forward(x)

    def backward(self, dy, cache):
        return relu_backward(dy, cache), {}
