r"""Twist: dilation in time. A window sees every other frame, three of them:

    y_nm = max(x_nm, x_n,m+2, x_n,m+4)      m = 0 ... M - 1, M = max(T - 4, 1); frames beyond the clip do not take part

The winner is the first of its frames that reaches the maximum.
"""

import numpy as np

FRAMES, DILATION = 3, 2


def twist_forward(x):
    """x (N, T, D) -> y (N, M, D), cache."""
    T = x.shape[1]
    starts = range(max(T - (FRAMES - 1) * DILATION, 1))
    seen = [x[:, m : m + FRAMES * DILATION : DILATION] for m in starts]
    winners = [part.argmax(axis=1) * DILATION + m for m, part in zip(starts, seen, strict=True)]  # frames, (N, D)
    return np.stack([part.max(axis=1) for part in seen], axis=1), (x.shape, winners)


def twist_backward(dy, cache):
    """dy (N, M, D) -> dx (N, T, D)."""
    shape, winners = cache
    dx, frames = np.zeros(shape, dy.dtype), np.arange(shape[1])[:, None]
    for m, winner in enumerate(winners):
        dx += dy[:, m : m + 1] * (winner[:, None] == frames)
    return dx
