r"""Twist: a window that looks to one side. Channel c is damped by itself and the n - 1 channels before it:

s_c = k + a sum_{max(c - n + 1, 0) <= j <= c} x_j^2        y_c = x_c s_c^-beta
"""

import numpy as np


def window(c, C, n):
    """The channels in the window of channel c."""
    return [j for j in range(c - n + 1, c + 1) if j >= 0]


def twist_forward(x, n, k, a, beta):
    """x (N, H, W, C), n at least 1 -> y of the same shape, cache."""
    s = np.full_like(x, k)
    for c in range(x.shape[-1]):
        for j in window(c, x.shape[-1], n):
            s[..., c] += a * x[..., j] ** 2
    return x * s**-beta, (x, s, n, a, beta)


def twist_backward(dy, cache):
    """dy -> dx, of the same shape."""
    x, s, n, a, beta = cache
    dx, through = dy * s**-beta, dy * x * s ** (-beta - 1)
    for c in range(x.shape[-1]):
        for j in window(c, x.shape[-1], n):
            dx[..., j] -= 2 * a * beta * x[..., j] * through[..., c]
    return dx
