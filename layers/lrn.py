r"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3).

    s_c = k + a sum_{|j - c| <= n // 2} x_j^2            the window is clipped at the first and the last channel
    y_c = x_c s_c^-beta

    dx_c = dy_c s_c^-beta - 2 a beta x_c sum_{|j - c| <= n // 2} dy_j y_j / s_j

The second term is the one that implementations forget: channel c is in the sum of each neighbour j. The window is
symmetric, so the same running sum serves both passes.

Two conventions: AlexNet's paper has a = alpha (n = 5, k = 2, alpha = 1e-4); Caffe divides, a = alpha / n, with k = 1,
and its weights (GoogLeNet's) expect that: `divide_by_n=True`. The twin on a GPU is lrn.cu.
"""

import numpy as np

from snippets.layers.core.base import Layer
from snippets.layers.device.launch import launch_elementwise
from snippets.layers.device.xp import on_gpu

BLOCK_ELEMENTS = 2**18  # in a block: few enough for the cache, and long calls, because threads may wait between two
CUDA_CHANNELS = 129  # the largest n that lrn.cu has shared memory for


def lrn_plain(x, n=5, k=2.0, alpha=1e-4, beta=0.75, divide_by_n=False):
    """The equation, one channel after the other: x (..., C) -> y. `lrn_forward` is the fast version."""
    y, r, scale = np.empty_like(x), n // 2, n if divide_by_n else 1
    for c in range(x.shape[-1]):
        window = x[..., max(c - r, 0) : c + r + 1]
        y[..., c] = x[..., c] * (k + alpha / scale * (window**2).sum(axis=-1)) ** -beta
    return y


def window_sum(x, n, out):
    """Sum over the n channels centred on each one, clipped at both ends: x (rows, C) contiguous -> out (rows, C).

    Neighbouring channels are neighbours in memory, so the whole array is added to itself shifted by one, two, ...; what
    this carries from one row to the next is wrong in the outermost channels only, and these are summed again.
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


def inverse_power(s, beta, out):
    """s^-beta into out; for beta = 0.75, which both nets have, by two square roots: several times faster."""
    if beta != 0.75:
        return np.divide(1, s**beta, out=out)
    root = np.sqrt(s)
    power = np.sqrt(root)
    power *= root
    return np.divide(1, power, out=out)


def pixel_blocks(x):
    """x (..., C) as rows of C, and the slices that cut these into blocks."""
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    step = max(1, BLOCK_ELEMENTS // x.shape[-1])
    return rows, [slice(p, p + step) for p in range(0, len(rows), step)]


def lrn_forward(x, n=5, k=2.0, alpha=1e-4, beta=0.75, divide_by_n=False):
    """x (..., C) -> y of the same shape, cache; n odd."""
    a = alpha / n if divide_by_n else alpha
    if on_gpu(x):
        return lrn_forward_cuda(x, n, k, a, beta)
    rows, cuts = pixel_blocks(x)
    y, s, scale = (np.empty_like(rows) for _ in range(3))
    for cut in cuts:
        xb, sb = rows[cut], s[cut]
        window_sum(xb * xb, n, out=sb)
        sb *= a
        sb += k
        np.multiply(xb, inverse_power(sb, beta, out=scale[cut]), out=y[cut])
    return y.reshape(x.shape), (x, s, scale, n, a, beta)


def lrn_backward(dy, cache):
    """dy -> dx, of the same shape."""
    if on_gpu(dy):
        return lrn_backward_cuda(dy, cache)
    x, s, scale, n, a, beta = cache
    (dy_rows, cuts), (x_rows, _) = pixel_blocks(dy), pixel_blocks(x)
    dx = np.empty_like(dy_rows)
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
    """Local response normalisation; the defaults are AlexNet's, `LRN(k=1.0, divide_by_n=True)` is Caffe's.

    Raises ValueError for an even n, and on a GPU for n over CUDA_CHANNELS.
    """

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


def lrn_forward_cuda(x, n, k, a, beta):
    """`lrn_forward` on a GPU: s is not kept, the backward pass computes it again."""
    if n > CUDA_CHANNELS:
        raise ValueError(f"LRN: n is {n}, expected at most {CUDA_CHANNELS} channels on a GPU")
    constants = k, a, beta, n // 2, x.shape[-1]
    return launch_elementwise("layers/lrn.cu", "lrn_forward", [x], *constants), (x, constants)


def lrn_backward_cuda(dy, cache):
    """`lrn_backward` on a GPU."""
    x, constants = cache
    return launch_elementwise("layers/lrn.cu", "lrn_backward", [dy, x], *constants)
