r"""Twist: layer-wise adaptive rates, made for very large batches. Each array of parameters has its own trust ratio:

    a  = g + wd w
    r  = |w| / (|g| + wd |w|)        r = 1 where |w| or |g| is zero
    v' = m v - lr r a
    w' = w + v'

|.| is the Euclidean norm of the whole array.
"""

import numpy as np


def twist_step(w, v, g, lr, m, wd):
    """Parameters w, velocity v and gradient g of one shape -> the new w and v; writes into no argument."""
    size, slope = np.sqrt((w * w).sum()), np.sqrt((g * g).sum())
    ratio = size / (slope + wd * size) if size > 0 and slope > 0 else 1.0
    v = m * v - lr * ratio * (g + wd * w)
    return w + v, v
