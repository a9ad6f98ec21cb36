"""Downpour SGD in one thread: replicas and shards on a small feature set, in an order that a seed draws."""

from collections import deque
from dataclasses import replace

import numpy as np

from snippets.data.features import FeatureSet, StoredFeatures
from snippets.nets.zoo import NetConfig, build
from snippets.training.distributed.downpour import Ask, Job, Push, Take, replica
from snippets.training.distributed.shard import Shard
from snippets.training.settings import Settings

CONFIG = NetConfig(3, "features", "conv", 6, fc=12, dropout=0.3, features=8)
LEARNER = replace(CONFIG, fc=32, dropout=0.0)  # units enough to learn from any seed
SETTINGS = Settings(epochs=3, batch=8, lr=0.05, decay=0.8, clip_norm=1.0, groups={"scores/": 0.5}, seed=3)


def clips(V=44):
    rng, labels = np.random.default_rng(0), np.arange(V) % 3
    feat = (2 * rng.standard_normal((3, 6, 8))[labels] + rng.standard_normal((V, 6, 8))).astype(np.float32)
    return FeatureSet(
        StoredFeatures(feat, np.ones(1)), np.arange(V), labels, ["a", "b", "c"], [f"v{i}" for i in range(V)]
    )


def job(d, settings=SETTINGS, seed=1, config=CONFIG):
    return Job(build(config, seed), clips(), settings, d)


def run(d, settings=SETTINGS, seed=0, power=1, hook=lambda me, request: None, config=CONFIG):
    """All replicas over in-process shards; who goes next is drawn from `seed`, the first more often for a high `power`.

    `hook` sees each push and may drop it (returns True).

    Returns the shards and each replica's requests in order.
    """
    shards = [Shard(job(d, settings, config=config), i) for i in range(d.shards)]
    for shard in shards:
        for me in range(d.replicas):
            shard.join(me, 0)
    order, seen = np.random.default_rng(seed), {me: [] for me in range(d.replicas)}
    work = {me: [replica(job(d, settings, config=config), me), None, deque()] for me in range(d.replicas)}
    while work:
        me = list(work)[int(len(work) * order.random() ** power)]
        steps, answer, asked = work[me]
        try:
            request = steps.send(answer)
        except StopIteration:
            del work[me]
            for shard in shards:
                shard.leave(me)
            continue
        seen[me].append(request)
        work[me][1] = None
        if isinstance(request, Ask):
            asked.append([shard.fetch(me, request.step) for shard in shards])
        elif isinstance(request, Take):
            work[me][1] = asked.popleft()
        elif isinstance(request, Push) and not hook(me, request):
            for i, shard in enumerate(shards):
                shard.push(me, request.part(i, shard.job.range(i)))
    return shards, seen


def weights(shards):
    return np.concatenate([shard.vector for shard in shards])
