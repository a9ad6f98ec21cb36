r"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3).

    s_c = k + a sum_{|j - c| <= n // 2} x_j^2            the window is clipped at the first and the last channel
    y_c = x_c s_c^-beta

    dx_c = dy_c s_c^-beta - 2 a beta x_c sum_{|j - c| <= n // 2} dy_j y_j / s_j

The second term is the one that implementations forget: channel c stands in the sum of each neighbour j. The window is
symmetric, so the same running sum serves both passes.

Two conventions: AlexNet's paper writes a = alpha (n = 5, k = 2, alpha = 1e-4); Caffe divides, a = alpha / n, with k =
1, and its weights (GoogLeNet's) expect that: `divide_by_n=True`.
"""

import numpy as np

from snippets.layers import gpu
from snippets.layers.core.base import Layer
from snippets.layers.device.xp import on_gpu, xp_of


def window_sum(x, n, out):
    """Sum over the n channels centred on each one, clipped at both ends: x (rows, C) contiguous -> out (rows, C).

    Neighbouring channels are neighbours in memory, so the whole array is added to itself shifted by one, two, ...; what
    that carries over from one row to the next is wrong in the outermost channels only, and these are summed again.
    """
    C, r = x.shape[1], n // 2
    flat, total = x.reshape(-1), out.reshape(-1)
    total[:] = flat
    for d in range(1, min(r + 1, len(flat))):
        total[d:] += flat[:-d]
        total[:-d] += flat[d:]
    for c in range(C) if C <= 2 * r else (*range(r), *range(C - r, C)):
        first, *others = range(max(c - r, 0), min(c + r + 1, C))
        out[:, c] = x[:, first]
        for j in others:
            out[:, c] += x[:, j]
    return out


def power(s, beta):
    """s^beta; for both nets' beta, 0.75, by two square roots, which is several times faster."""
    if beta != 0.75:
        return s**beta
    root = xp_of(s).sqrt(s)
    quarter = xp_of(s).sqrt(root)
    quarter *= root
    return quarter


BLOCK = 2**18  # numbers in a block: few enough for the cache, yet long calls, for threads may wait between two


def pixel_blocks(x):
    """x (..., C) as rows of C, and the slices that cut these into blocks."""
    rows = xp_of(x).ascontiguousarray(x).reshape(-1, x.shape[-1])
    step = max(1, BLOCK // x.shape[-1])
    return rows, [slice(p, p + step) for p in range(0, len(rows), step)]


def lrn_forward(x, n=5, k=2.0, alpha=1e-4, beta=0.75, divide_by_n=False):
    """x (..., C) -> y of the same shape, cache; n odd."""
    xp, a = xp_of(x), alpha / n if divide_by_n else alpha
    if on_gpu(x):
        return gpu.lrn_forward(x, n, k, a, beta)
    rows, cuts = pixel_blocks(x)
    y, s, scale = (xp.empty_like(rows) for _ in range(3))
    for cut in cuts:
        xb, sb = rows[cut], s[cut]
        window_sum(xb * xb, n, out=sb)
        sb *= a
        sb += k
        xp.divide(1, power(sb, beta), out=scale[cut])
        xp.multiply(xb, scale[cut], out=y[cut])
    return y.reshape(x.shape), (x, s, scale, n, a, beta)


def lrn_backward(dy, cache):
    """dy -> dx, of the same shape."""
    if on_gpu(dy):
        return gpu.lrn_backward(dy, cache)
    x, s, scale, n, a, beta = cache
    xp = xp_of(dy)
    (dy_rows, cuts), (x_rows, _) = pixel_blocks(dy), pixel_blocks(x)
    dx = xp.empty_like(dy_rows)
    for cut in cuts:
        direct = dy_rows[cut] * scale[cut]
        through = direct * x_rows[cut]  # dy_j y_j
        through /= s[cut]
        window_sum(through, n, out=dx[cut])
        dx[cut] *= x_rows[cut]
        dx[cut] *= -2 * a * beta
        dx[cut] += direct
    return dx.reshape(x.shape)


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

    def predict(self, x):
        self.expect(x)
        if on_gpu(x):
            return super().predict(x)
        rows, cuts = pixel_blocks(x)
        y = np.empty_like(rows)
        for cut in cuts:  # so that what a backward pass would need never leaves the cache
            y[cut] = lrn_forward(rows[cut], **self.options)[0]
        return y.reshape(x.shape)
