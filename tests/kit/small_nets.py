"""Networks of a few units, with clips and videos for them."""

import numpy as np
from layer_cases import spaced

from snippets.nets.zoo import NetConfig, build

SMALL = dict(classes=5, size=36, width=1 / 12, fc=24, units=6, depth=2, vector=9)
LENGTHS = (1, 5, 2, 11, 3, 7)  # of the blocks that arrive


def net_and_clips(N=2, T=4, **config):
    """A small net in float64, biases and peepholes away from zero, no unit dead; clips of different frames."""
    config = {**SMALL, "frames": T, **config}
    net = build(NetConfig(**config), seed=7).convert(lambda a: a.astype(np.float64))
    rng = np.random.default_rng(1)
    for key, value in net.params.items():
        spread = min(0.1, 1 / np.sqrt(np.prod(value.shape[:-1])))  # large kernels would make the softmax certain
        value += rng.normal(0.3 if key.endswith("/b") else 0.0, spread, value.shape)
    features = config.get("features")
    return net, spaced((N, T, features) if features else (N, T, 36, 36, 3), seed=2)


def name(config):
    return "-".join(str(v) for v in config.values())


def net_and_video(T, dtype=np.float32, chunk=2, **config):
    """A small net whose classes and frames differ, and a video x (T, ...)."""
    net = build(NetConfig(**{**SMALL, "head": "conv", **config}), 3, chunk, threads=2)
    rng = np.random.default_rng(1)
    for key, a in net.params.items():
        a += rng.normal(0, 0.3, a.shape) * key.endswith(("/b", "/W_c"))
    net.convert(lambda a: a.astype(dtype))
    shape = (config["features"],) if "features" in config else (36, 36, 3)
    return net, rng.normal(0, 1, (T, *shape)).astype(dtype)


def cut(x):
    """x in blocks of LENGTHS frames, over and over."""
    while len(x):
        for length in LENGTHS:
            yield x[:length]
            x = x[length:]
