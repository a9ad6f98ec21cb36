"""Features of clips of a few films, made up, and configs of heads that read them: for what needs groups."""

import itertools

import numpy as np

from snippets.data.features import FeatureSet, StoredFeatures
from snippets.nets.zoo import NetConfig

T, D, K = 6, 4, 2


def videos(groups=6, clips=4, size=1.0, seed=0):
    """Clips of films, each with clips of both classes: its own look in every frame, and a little of the class.

    Class 1 moves: each frame differs from the last one. size: of that motion, beside noise of 0.1.
    """
    rng = np.random.default_rng(seed)
    look, feat, label, group = 5 * rng.standard_normal((groups, D)), [], [], []
    for g, c in itertools.product(range(groups), range(clips)):
        label.append(c % K)
        steps = size * (c % K) * rng.choice([-1.0, 1.0], (T, D))
        feat.append(look[g] + steps + 0.1 * rng.standard_normal((T, D)))
        group.append(f"film{g}")
    names = [f"{'ab'[k]}/{i}.mp4" for i, k in enumerate(label)]
    stored = StoredFeatures(np.array(feat, np.float32), np.ones(1, np.float32))
    return FeatureSet(stored, np.arange(len(label)), np.array(label), list("ab"), names, None, group)


def config(head, **other):
    given = {"features": D, "fc": 0, "dropout": 0.0, "units": 4, "depth": 1, "standardise": True, "frames": T}
    return NetConfig(K, "features", head, **given | other)
