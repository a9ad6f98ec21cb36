r"""Twist: a maximum over every other pixel, so that a window sees twice as far:

    y[n, p, q, c] = max over i, j < size of x[n, s p + 2 i, s q + 2 j, c]

Windows lie inside the image: each is 2 size - 1 pixels high and wide, so Ho = (H - 2 size + 1) // s + 1. Among equal
pixels the first in row-major order wins.
"""

import numpy as np

from snippets.layers.core.window import padding


def twist_forward(x, size, stride):
    """x (N, H, W, C), size at least 2 -> y (N, Ho, Wo, C), cache."""
    N, H, W, C = x.shape
    Ho, Wo = (padding(length, 2 * size - 1, stride, "valid")[2] for length in (H, W))
    y, winners = np.empty((N, Ho, Wo, C), x.dtype), np.empty((N, Ho, Wo, C), int)
    for p, q in np.ndindex(Ho, Wo):
        window = x[:, stride * p :, stride * q :][:, : 2 * size - 1 : 2, : 2 * size - 1 : 2].reshape(N, size * size, C)
        y[:, p, q] = window.max(axis=1)
        winners[:, p, q] = window.argmax(axis=1)
    return y, (x.shape, size, stride, winners)


def twist_backward(dy, cache):
    """dy (N, Ho, Wo, C) -> dx (N, H, W, C)."""
    shape, size, stride, winners = cache
    dx = np.zeros(shape, dy.dtype)
    n, p, q, c = np.indices(dy.shape)
    for i, j in np.ndindex(size, size):
        np.add.at(dx, (n, stride * p + 2 * i, stride * q + 2 * j, c), dy * (winners == i * size + j))
    return dx
