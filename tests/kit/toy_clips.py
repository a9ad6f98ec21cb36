"""A data set of noisy vectors that takes no time, and two networks for it."""

import numpy as np

from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Linear
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.relu import ReLU
from snippets.layers.temporal import TemporalMaxPool
from snippets.training.loop import train


class Clips:
    """Noisy clips (T, D) of K classes; a training example draws noise from its generator. `hook(i)` may interfere."""

    def __init__(self, V=10, T=4, D=3, K=3, seed=0):
        rng = np.random.default_rng(seed)
        self.labels = np.arange(V) % K
        self.x = (rng.standard_normal((K, T, D))[self.labels] * 2).astype(np.float32)
        self.classes, self.names = [f"class{k}" for k in range(K)], [f"video{i}" for i in range(V)]
        self.hook = lambda i: None

    def __len__(self):
        return len(self.x)

    def train_clip(self, i, rng):
        self.hook(i)
        return self.x[i] + rng.standard_normal(self.x[i].shape, dtype=np.float32)

    def test_clips(self, i, views, rng):
        yield self.x[i]


def pooled(seed=0, D=3, K=3, M=5):
    rng = np.random.default_rng(seed)
    tower = Sequential(fc=Linear(D, M, rng), relu=ReLU())
    return Sequential(tower=tower, pool=TemporalMaxPool(), drop=Dropout(0.5), scores=Linear(M, K, rng))


def recurrent(seed=0, D=3, K=3, M=4):
    rng = np.random.default_rng(seed)
    return Sequential(lstm1=PeepholeLSTM(D, M, rng), drop=Dropout(0.3), scores=Linear(M, K, rng))


def bits(arrays):
    """Arrays by name as bytes, to compare them bit for bit."""
    return {key: a.tobytes() for key, a in arrays.items()}


def quiet(*args, **kwargs):
    """`train` without a progress bar."""
    return train(*args, progress=False, **kwargs)


def timeless(record):
    """A record of the log without its times."""
    return {key: value for key, value in record.items() if not key.endswith("_seconds")}
