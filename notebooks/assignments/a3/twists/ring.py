r"""Twist: channels on a ring. Beyond the last channel comes the first one again, so no window is clipped, r = n // 2:

    s_c = k + a sum_{j = c - r ... c + r} x_{j mod C}^2        y_c = x_c s_c^-beta

A window that is longer than the ring counts some channels more than once.
"""

import numpy as np


def window(c, C, n):
    """The channels in the window of channel c."""
    return [j % C for j in range(c - n // 2, c + n // 2 + 1)]


def twist_forward(x, n, k, a, beta):
    """x (N, H, W, C), n odd -> y of the same shape, cache."""
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
