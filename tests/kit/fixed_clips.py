"""Five clips that never change, and a linear layer on them, whose numbers can be worked out by hand."""

import math

import numpy as np

from snippets.data.loader import Position, batches
from snippets.layers.core.base import Sequential
from snippets.layers.linear import Linear
from snippets.layers.temporal import TemporalAvgPool
from snippets.training.checkpoint import load

T, D, K = 4, 2, 3


class Fixed:
    """Five clips, always the same: video i shows i + 1 and i at every frame; classes 0, 1, 2, 0, 1."""

    classes, names, labels = list("abc"), list("vwxyz"), np.array([0, 1, 2, 0, 1])

    def __len__(self):
        return 5

    def clip(self, i):
        return np.tile(np.array([i + 1, i], np.float32), (T, 1))

    def train_clip(self, i, rng):
        return self.clip(i)

    def test_clips(self, i, views, rng):
        yield self.clip(i)


def linear(per_frame):
    """One linear layer, all zero: the probabilities are 1/3 each, and the prediction is class a."""
    pool = {} if per_frame else {"pool": TemporalAvgPool()}
    net = Sequential(**pool, scores=Linear(D, K, np.random.default_rng(0)))
    net.params["scores/W"][...] = 0
    return net


def first_gradient(indices, per_frame, loss, gain):
    """Norm of the gradient of the all-zero net on these clips, by loops over clips and frames."""
    g_t = {"linear": [0.25, 0.5, 0.75, 1.0], "ones": [1] * 4, "last": [0, 0, 0, 1]}[gain] if per_frame else [1]
    dW, db = np.zeros((D, K)), np.zeros(K)
    for i in indices:
        for g in g_t:
            d = g * (np.full(K, 1 / 3) - np.eye(K)[Fixed.labels[i]])
            dW, db = dW + np.outer([i + 1, i], d), db + d
    scale = 1 / (len(indices) * len(g_t)) if loss == "mean" else 1
    return scale * math.sqrt((dW**2).sum() + (db**2).sum())


def batches_of(settings):
    """Videos of the batches of the first epoch."""
    return [index for _, _, index in batches(Fixed(), settings.batch, Position(settings.seed))]


def load_history(folder):
    return load(folder / "checkpoint.npz").history
