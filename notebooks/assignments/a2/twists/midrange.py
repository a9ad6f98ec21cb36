r"""Twist: the middle between the largest and the smallest pixel of each window, so that dark counts as much as bright:

    y[n, p, q, c] = (max + min) / 2        over x[n, s p + i, s q + j, c] for i, j < size

Windows lie inside the image: Ho = (H - size) // s + 1. Among equal pixels the first in row-major order wins.
"""

import numpy as np

from snippets.layers.core.window import padding


def twist_forward(x, size, stride):
    """x (N, H, W, C), size at least 2 -> y (N, Ho, Wo, C), cache."""
    N, H, W, C = x.shape
    Ho, Wo = (padding(length, size, stride, "valid")[2] for length in (H, W))
    y, winners = np.empty((N, Ho, Wo, C), x.dtype), np.empty((2, N, Ho, Wo, C), int)
    for p, q in np.ndindex(Ho, Wo):
        window = x[:, stride * p :, stride * q :][:, :size, :size].reshape(N, size * size, C)
        y[:, p, q] = (window.max(axis=1) + window.min(axis=1)) / 2
        winners[:, :, p, q] = window.argmax(axis=1), window.argmin(axis=1)
    return y, (x.shape, size, stride, winners)


def twist_backward(dy, cache):
    """dy (N, Ho, Wo, C) -> dx (N, H, W, C)."""
    shape, size, stride, winners = cache
    dx = np.zeros(shape, dy.dtype)
    n, p, q, c = np.indices(dy.shape)
    for i, j in np.ndindex(size, size):
        for winner in winners:
            np.add.at(dx, (n, stride * p + i, stride * q + j, c), 0.5 * dy * (winner == i * size + j))
    return dx
