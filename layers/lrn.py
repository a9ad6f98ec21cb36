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
    """Sum over the n channels centred on each one, clipped at both ends: x (..., C) -> (..., C), a new array.

    Neighbouring channels are neighbours in memory, so the whole array is added to itself shifted by one, two, ...; what
    that carries across the border from one pixel to the next is wrong in the outermost channels only, which are
    summed again by themselves.
    """
    xp, C, r = xp_of(x), x.shape[-1], n // 2
    if C <= 2 * r:  # no channel has all its neighbours
        return xp.stack([x[..., max(c - r, 0) : c + r + 1].sum(axis=-1) for c in range(C)], axis=-1)
    flat = xp.ascontiguousarray(x).reshape(-1)
    total = flat.copy()
    for d in range(1, r + 1):
        total[d:] += flat[:-d]
        total[:-d] += flat[d:]
    total = total.reshape(x.shape)
    for c in (*range(r), *range(C - r, C)):
        total[..., c] = x[..., max(c - r, 0) : c + r + 1].sum(axis=-1)
    return total


def power(s, beta):
    """s^beta; for both nets' beta, 0.75, by two square roots, which is several times faster."""
    if beta != 0.75:
        return s**beta
    root = xp_of(s).sqrt(s)
    quarter = xp_of(s).sqrt(root)
    quarter *= root
    return quarter


def lrn_forward(x, n=5, k=2.0, alpha=1e-4, beta=0.75, divide_by_n=False):
    """x (..., C) -> y of the same shape, cache; n odd."""
    a = alpha / n if divide_by_n else alpha
    s = window_sum(x * x, n)
    s *= a
    s += k
    y = power(s, beta)
    xp_of(x).divide(x, y, out=y)
    return y, (x, y, s, n, a, beta)


def lrn_backward(dy, cache):
    """dy -> dx, of the same shape."""
    x, y, s, n, a, beta = cache
    dx = dy * y
    dx /= s
    dx = window_sum(dx, n)  # sum_j dy_j y_j / s_j
    dx *= x
    dx *= -2 * a * beta
    dx += dy / power(s, beta)
    return dx


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
