r"""Features at mean 0 and variance 1, by numbers that were measured once.

    y  = (x - m) / s            x (..., D); m, s (D,): mean and standard deviation over the training videos
    dx = dy / s
    dm = -sum_rows dy / s
    ds = -sum_rows dy y / s

A small training set is learned at one rate: a layer with weights turns fast where its input varies much, or is far from
zero, and hardly at all elsewhere. The maximum over frames of features with mean 0, for instance, is positive
everywhere. So this layer stands right before the first layer that has weights, behind the pool of Conv Pooling.

Unlike batch normalisation it does not look at the batch: m and s are set before training, by `training.small`, and
stay, so that a clip has the same scores in any batch and at any time. They are parameters in order to be kept in the
checkpoint; training freezes them. At first m = 0 and s = 1.
"""

import numpy as np

from snippets.layers.core.base import Layer


def standardise_forward(x, mean, std):
    """x (..., D), mean (D,), std (D,) -> y of x's shape, cache."""
    y = x - mean
    y /= std
    return y, (y, std)


def standardise_backward(dy, cache):
    """dy (..., D) -> dx (..., D), dmean (D,), dstd (D,)."""
    y, std = cache
    dx, rows = dy / std, tuple(range(dy.ndim - 1))
    return dx, -dx.sum(axis=rows), -(dx * y).sum(axis=rows)


class Standardise(Layer):
    """Subtracts the mean of each of D features, and divides by its standard deviation."""

    def __init__(self, D):
        super().__init__(mean=np.zeros(D, np.float32), std=np.ones(D, np.float32))

    def forward(self, x, rng=None):
        self.expect(x, last=len(self.params["mean"]))
        return standardise_forward(x, **self.params)

    def backward(self, dy, cache):
        dx, dmean, dstd = standardise_backward(dy, cache)
        return dx, {"mean": dmean, "std": dstd}
