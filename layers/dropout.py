r"""Dropout, inverted: while training, each unit is kept with probability 1 - p and scaled up.

    m_i ~ Bernoulli(1 - p) / (1 - p)       the paper drops 0.6, so it keeps 40 % and scales them by 1 / 0.4
    y   = m * x
    dx  = m * dy

E[y] = x, so inference is the identity and needs no scaling.

m_i is number i of a counter-based generator (Philox, Salmon et al. 2011) under a key that the forward pass draws: a
function of (key, i) alone. So a GPU stores no mask but computes it again in the backward pass (dropout.cu), and the
mask of a seed is the same on every device.
"""

import numpy as np

from snippets.layers.core.base import Layer
from snippets.layers.device.launch import launch_elementwise
from snippets.layers.device.xp import on_gpu


def dropout_forward(x, p, rng):
    """x of any shape, p the probability of being dropped, rng a Generator (None: identity) -> y, cache."""
    if rng is None or p == 0:
        return x, None
    key = int(rng.integers(2**64, dtype=np.uint64))
    if on_gpu(x):
        return dropout_cuda(x, key, p), (key, p)
    draws = np.random.Generator(np.random.Philox(key=key)).random(x.shape, dtype="float32")  # for every dtype
    mask = (draws >= p).astype(x.dtype)
    mask /= 1 - p
    return x * mask, mask


def dropout_backward(dy, cache):
    """dy -> dx, of the same shape; the cache is the mask, on a GPU its key and p, None where nothing was dropped."""
    if cache is not None and on_gpu(dy):
        return dropout_cuda(dy, *cache)
    return dy if cache is None else dy * cache


class Dropout(Layer):
    """Drops each unit with probability p in [0, 1) while training (rng given); the identity at inference."""

    def __init__(self, p=0.6):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is {p}, expected the probability of being dropped, 0 <= p < 1")
        self.p = p

    def forward(self, x, rng=None):
        self.expect(x)
        return dropout_forward(x, self.p, rng)

    def backward(self, dy, cache):
        return dropout_backward(dy, cache), {}


def dropout_cuda(x, key, p):
    """x times the mask of a key: forward for x, backward for dy."""
    return launch_elementwise("layers/dropout.cu", "dropout", [x], key, p, 1 - p)
