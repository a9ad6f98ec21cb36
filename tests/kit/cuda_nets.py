"""Two small networks and random clips, to train on a GPU."""

import numpy as np

from snippets.nets.zoo import NetConfig


class Clips:
    """A data set of random clips with labels; the interface of data.loader."""

    def __init__(self, shape, videos=8, classes=5):
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(videos, *shape)).astype(np.float32)
        self.classes, self.names = [str(k) for k in range(classes)], [str(i) for i in range(videos)]
        self.labels = rng.integers(0, classes, videos)

    def __len__(self):
        return len(self.x)

    def train_clip(self, i, rng):
        return self.x[i]

    def test_clips(self, i, views=1, rng=None):
        yield self.x[i]


NETS = {
    "conv": NetConfig(5, "alexnet", "conv", 3, 36, 1 / 12, fc=24, dropout=0.5),
    "lstm": NetConfig(5, "features", "lstm", 4, units=6, depth=2, features=8),
}


def clips_for(config):
    return Clips((config.frames, 8) if config.tower == "features" else (config.frames, 36, 36, 3))
