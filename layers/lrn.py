r"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3).

    s_c = k + a sum_{|j - c| <= n // 2} x_j^2            the window is clipped at the first and the last channel
    y_c = x_c s_c^-beta

    dx_c = dy_c s_c^-beta - 2 a beta x_c sum_{|j - c| <= n // 2} dy_j y_j / s_j

The second term is the one that implementations forget: channel c stands in the sum of each neighbour j. The window is
symmetric, so the same running sum serves both passes.

Two conventions: AlexNet's paper writes a = alpha (n = 5, k = 2, alpha = 1e-4); Caffe divides, a = alpha / n, with k =
1, and its weights (GoogLeNet's) expect that: `divide_by_n=True`.
"""

from layers.base import Layer
from layers.xp import xp_of


def window_sum(x, n):
    """Sum over the n channels centred on each one, clipped at both ends: x (..., C) -> (..., C)."""
    total = x.copy()
    for d in range(1, min(n // 2, x.shape[-1] - 1) + 1):
        total[..., d:] += x[..., :-d]
        total[..., :-d] += x[..., d:]
    return total


def lrn_forward(x, n=5, k=2.0, alpha=1e-4, beta=0.75, divide_by_n=False):
    """x (..., C) -> y of the same shape, cache; n odd."""
    a = alpha / n if divide_by_n else alpha
    s = window_sum(x * x, n)
    s *= a
    s += k
    if beta == 0.75:  # both nets' value: s^0.75 = sqrt(s) sqrt(sqrt(s)), several times faster than a power
        root = xp_of(x).sqrt(s)
        y = x / (root * xp_of(x).sqrt(root))
    else:
        y = x * s**-beta
    return y, (x, y, s, n, a, beta)


def lrn_backward(dy, cache):
    """dy -> dx, of the same shape."""
    x, y, s, n, a, beta = cache
    scale = s**-beta if beta != 0.75 else 1 / (xp_of(s).sqrt(s) * xp_of(s).sqrt(xp_of(s).sqrt(s)))
    return dy * scale - (2 * a * beta) * x * window_sum(dy * y / s, n)


class LRN(Layer):
    """Local response normalisation; the defaults are AlexNet's, `LRN(k=1.0, divide_by_n=True)` is Caffe's."""

    def __init__(self, n=5, k=2.0, alpha=1e-4, beta=0.75, divide_by_n=False):
        super().__init__()
        if n < 1 or n % 2 == 0:
            raise ValueError(f"LRN: n is {n}, expected an odd number of channels")
        self.options = dict(n=n, k=k, alpha=alpha, beta=beta, divide_by_n=divide_by_n)

    def forward(self, x, rng=None):
        self.expect(x)
        return lrn_forward(x, **self.options)

    def backward(self, dy, cache):
        return lrn_backward(dy, cache), {}
