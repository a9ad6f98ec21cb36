r"""Rectified linear unit.

y  = max(x, 0)
dx = dy where x > 0, else 0        at x = 0, where the derivative jumps, 0 is taken
"""

from layers import gpu
from layers.base import Layer
from layers.xp import on_gpu, xp_of


def relu_forward(x):
    """x of any shape -> y of the same shape, cache."""
    y = xp_of(x).maximum(x, 0)
    return y, y  # y > 0 exactly where x > 0, and y is alive anyway as the next layer's input


def relu_backward(dy, cache):
    """dy -> dx, of the same shape."""
    if on_gpu(dy):
        return gpu.relu_backward(dy, cache)
    return dy * (cache > 0)


class ReLU(Layer):
    """max(x, 0), element by element."""

    def forward(self, x, rng=None):
        self.expect(x)
        return relu_forward(x)

    def backward(self, dy, cache):
        return relu_backward(dy, cache), {}
