r"""Twist: the window lies in space. A pixel is damped by the n x n pixels around it, in its own channel, r = n // 2:

s_hw = k + a sum_{|i - h| <= r, |j - w| <= r} x_ij^2        clipped at the border        y_hw = x_hw s_hw^-beta
"""

import numpy as np


def window(x, h, w, n):
    """The pixels in the window of pixel (h, w): a view."""
    r = n // 2
    return x[:, max(h - r, 0) : h + r + 1, max(w - r, 0) : w + r + 1]


def twist_forward(x, n, k, a, beta):
    """x (N, H, W, C), n odd -> y of the same shape, cache."""
    s = np.full_like(x, k)
    for h, w in np.ndindex(x.shape[1:3]):
        s[:, h, w] += a * (window(x, h, w, n) ** 2).sum(axis=(1, 2))
    return x * s**-beta, (x, s, n, a, beta)


def twist_backward(dy, cache):
    """dy -> dx, of the same shape."""
    x, s, n, a, beta = cache
    dx, through = dy * s**-beta, dy * x * s ** (-beta - 1)
    for h, w in np.ndindex(x.shape[1:3]):
        dx[:, h, w] -= 2 * a * beta * x[:, h, w] * window(through, h, w, n).sum(axis=(1, 2))
    return dx
