r"""Dropout, inverted: while training, each unit is kept with probability 1 - p and scaled up.

    m_i ~ Bernoulli(1 - p) / (1 - p)       the paper drops 0.6, so it keeps 40 % and scales them by 1 / 0.4
    y   = m * x
    dx  = m * dy

E[y] = x, so that inference is the identity and needs no scaling.
"""

from layers.base import Layer
from layers.xp import xp_of


def dropout_forward(x, p, rng):
    """x of any shape, p the probability of being dropped, rng a Generator (None: identity) -> y, cache."""
    if rng is None or p == 0:
        return x, None
    keep = rng.random(x.shape, dtype="float32") >= p  # float32 draws for every dtype: the same seed, the same mask
    mask = xp_of(x).asarray(keep).astype(x.dtype)
    mask /= 1 - p
    return x * mask, mask


def dropout_backward(dy, cache):
    """dy -> dx, of the same shape; the cache is the mask that the forward pass drew."""
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
