r"""Local contrast normalisation (Jarrett et al. 2009, section 3.1), the words that the paper uses for AlexNet's layer.

A Gaussian window of size x size pixels and all channels, its weights w summing to one. Where the window leaves the
image, the weights inside are scaled up to sum to one again, so that a constant image has zero contrast up to its
border. Write B for that weighted local mean over window and channels:

    m = B x,      v = x - m                               subtractive: what is left has no local mean
    sigma = sqrt(B v^2 + floor^2)                         local contrast
    y = v / d,    d = max(sigma, mean of sigma over the image)     divisive: faint regions are not blown up

Backward, with B^T the transpose of B:

    dd     = -sum_c dy y / d                              one d serves all channels of a pixel
    dsigma = dd where sigma is the larger, + (1 / HW) sum of dd where the mean is
    dv     = dy / d + (v / C) B^T(dsigma / sigma)
    dx     = dv - (1 / C) B^T(sum_c dv)

AlexNet as everybody builds it has LRN in this place (`layers.lrn`), which is the default of our network too.
"""

import numpy as np

from snippets.layers.core.base import Layer
from snippets.layers.device.xp import xp_of


def blur(z, weights):
    """Separable correlation of z (N, H, W) with the symmetric window, zero outside the image."""
    xp = xp_of(z)
    r = len(weights) // 2
    for axis in (1, 2):
        padded = xp.pad(z, [(r, r) if a == axis else (0, 0) for a in range(3)])
        size = z.shape[axis]
        index = (slice(None),) * axis
        z = sum(float(w) * padded[(*index, slice(i, i + size))] for i, w in enumerate(weights))
    return z


def lcn_forward(x, size=9, sigma=2.0, floor=1e-6):
    """x (N, H, W, C) -> y of the same shape, cache. size: odd, pixels; sigma: of the Gaussian, pixels."""
    xp = xp_of(x)
    offsets = np.arange(size) - size // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    inside = blur(xp.ones((1, *x.shape[1:3]), x.dtype), weights)  # total weight within the image
    m = blur(x.mean(axis=3), weights) / inside
    v = x - m[..., None]
    local = xp.sqrt(blur((v * v).mean(axis=3), weights) / inside + floor**2)  # (N, H, W)
    mean = local.mean(axis=(1, 2), keepdims=True)  # (N, 1, 1)
    d = xp.maximum(local, mean)[..., None]
    y = v / d
    return y, (v, y, d, local, local > mean, weights, inside)


def lcn_backward(dy, cache):
    """dy (N, H, W, C) -> dx (N, H, W, C)."""
    v, y, d, local, above, weights, inside = cache
    H, W, C = v.shape[1:]
    dd = -(dy * y / d).sum(axis=3)  # (N, H, W)
    dlocal = dd * above + (dd * ~above).sum(axis=(1, 2), keepdims=True) / (H * W)
    dv = dy / d + v * (blur(dlocal / local / inside, weights) / C)[..., None]
    return dv - (blur(dv.sum(axis=3) / inside, weights) / C)[..., None]


class LCN(Layer):
    """Local contrast normalisation over a Gaussian window of `size` pixels and all channels."""

    def __init__(self, size=9, sigma=2.0, floor=1e-6):
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"LCN: size is {size}, expected an odd number of pixels")
        self.options = dict(size=size, sigma=sigma, floor=floor)

    def forward(self, x, rng=None):
        self.expect(x, ndim=4)
        return lcn_forward(x, **self.options)

    def backward(self, dy, cache):
        return lcn_backward(dy, cache), {}
