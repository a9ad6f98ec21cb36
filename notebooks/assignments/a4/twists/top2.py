r"""Twist: the mean of the two largest frames, feature by feature.

    y_n = (x_ns + x_nt) / 2     s, t: the two frames with the largest values; of equals the earlier ones
    y_n = x_n1                  where the clip has one frame only

A clip is then not decided by one lucky frame.
"""

import numpy as np


def twist_forward(x):
    """x (N, T, D) -> y (N, D), cache."""
    frames = np.argsort(-x, axis=1, kind="stable")[:, :2]  # (N, 2, D), or (N, 1, D)
    return np.take_along_axis(x, frames, axis=1).mean(axis=1), (x.shape, frames)


def twist_backward(dy, cache):
    """dy (N, D) -> dx (N, T, D)."""
    shape, frames = cache
    dx = np.zeros(shape, dy.dtype)
    np.put_along_axis(dx, frames, dy[:, None] / frames.shape[1], axis=1)
    return dx
