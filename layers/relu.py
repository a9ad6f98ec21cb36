r"""Rectified linear unit.

y  = max(x, 0)
dx = dy where x > 0, else 0        at x = 0, where the derivative jumps, 0 is taken
"""

import numpy as np

from snippets.layers.core.base import Layer
from snippets.layers.core.window import blocks
from snippets.layers.device.launch import evenly_spaced_rows, launch, launch_elementwise
from snippets.layers.device.xp import on_gpu, xp_of

BLOCK_ELEMENTS = 2**19  # in a block: few enough for the cache, and long calls, because threads may wait between two
COLUMN_THREADS = 2**16  # that sum columns together on a GPU: enough to fill it


def relu_forward(x):
    """x of any shape -> y of the same shape, cache."""
    y = xp_of(x).maximum(x, 0)
    return y, y  # y > 0 exactly where x > 0, and y is kept anyway as the next layer's input


def relu_backward(dy, cache):
    """dy -> dx, of the same shape."""
    return relu_backward_cuda(dy, cache) if on_gpu(dy) else dy * (cache > 0)


def add_bias(y, b, relu, out):
    """y (..., F) + b (F,), then max(., 0) if relu, into `out`, which may be y: the end of a convolution."""
    if relu:
        y = np.maximum(y, -b, out=out)  # max(y + b, 0) = max(y, -b) + b: NumPy compares with a row faster than with 0
    return np.add(y, b, out=out)


def add_bias_backward(dy, y):
    """dy (N, H, W, F), and y, the output of a ReLU, or None -> dy where y > 0 and 0 elsewhere, db (F,)."""
    N, H, W, F = dy.shape
    dz, db = dy if y is None else np.empty(dy.shape, dy.dtype), np.zeros(F, dy.dtype)
    for block in blocks(N, H, max(1, BLOCK_ELEMENTS // (W * F))):
        part = dz[block]
        if y is not None:
            part[...] = y[block] > 0  # as numbers first: NumPy is slow at products of numbers and booleans
            part *= dy[block]
        db += np.ones(part.size // F, dy.dtype).dot(part.reshape(-1, F))  # a sum by BLAS; `@` here stops other threads
    return dz, db


class ReLU(Layer):
    """max(x, 0), element by element."""

    def forward(self, x, rng=None):
        self.expect(x)
        return relu_forward(x)

    def backward(self, dy, cache):
        return relu_backward(dy, cache), {}


def relu_backward_cuda(dy, y):
    """`relu_backward` on a GPU."""
    return launch_elementwise("layers/relu.cu", "relu_backward", [dy, y])


def add_bias_cuda(y, b, relu):
    """`add_bias` on a GPU, in place: y (rows, F) contiguous."""
    launch("layers/relu.cu", "add_bias", y.size, y, xp_of(b).ascontiguousarray(b), relu, y.shape[1], y.size)


def add_bias_backward_cuda(dy, y):
    """`add_bias_backward` on a GPU. The sums over chunks of rows are added up last."""
    xp, F = xp_of(dy), dy.shape[-1]
    rows = dy.size // F
    chunk = max(1, -(-rows * F // COLUMN_THREADS))
    chunks = -(-rows // chunk)
    dz, db = xp.empty(dy.shape, dy.dtype), xp.empty((chunks, F), dy.dtype)
    mask, relu = (dz, False) if y is None else (y, True)
    sizes = chunk, rows, F, chunks * F
    launch("layers/relu.cu", "add_bias_backward", db.size, *evenly_spaced_rows(dy), mask, dz, db, relu, *sizes)
    return dz, db[0] if chunks == 1 else db.sum(axis=0)
