"""What things cost on this machine, in seconds: a frame, a step, a test, to read a clip, to keep a network.

`training.experiments.price` makes hours of them. Networks with a tower are timed on few frames: a frame costs what it
costs in a larger batch.
"""

import copy
import itertools
import tempfile
import time

import numpy as np

from snippets.data.decoder import Source
from snippets.data.features import FeatureSet, VideoFeatures
from snippets.data.store.store import Store
from snippets.layers.device.xp import xp_of
from snippets.nets.frames import one_blas_thread
from snippets.nets.zoo import input_shape
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.objective import on_device
from snippets.training.step import Run, optimiser, step

LIMIT = 5.0  # seconds of measurement for a kind of frames
SHORT = 10  # frames of clips, and of videos, on which what is dear is timed


def short(config):
    """Frames on which a network with a tower is timed: few, unless its parameters depend on them."""
    return config.frames if config.head in ("local", "fcpool", "slowfusion") else min(config.frames, SHORT)


def frame_seconds(source, videos):
    """Seconds per frame of a source, of videos spread over the list; the first one is not counted."""
    if not hasattr(source, "tower"):
        source = copy.copy(source)
        source.limit = SHORT
    frames, started = 0, None
    for video in itertools.chain(videos[:1], videos[:: max(1, len(videos) // 20)]):
        count = sum(1 for _ in source.stream(video))
        if started is None:
            started = time.perf_counter()
            continue
        frames, took = frames + count, time.perf_counter() - started
        if took > LIMIT:
            break
    return took / frames


class Noise(Source):
    """Numbers in place of features."""

    name, parameters, dtype = "noise", {}, np.dtype(np.float16)

    def __init__(self, config):
        super().__init__()
        self.shape, self.length = (config.features,), 2 * config.frames

    def stream(self, video):
        yield from np.random.default_rng(0).standard_normal((self.length, *self.shape)).astype(self.dtype)


def reading_seconds(videos, config):
    """Seconds in which a clip of features is read from a store."""
    with tempfile.TemporaryDirectory() as folder:
        stored, labels = VideoFeatures(videos[:8], Store(folder, Noise(config))), np.zeros(len(videos[:8]), int)
        data = FeatureSet(stored, range(len(labels)), labels, ["a"], [v.name for v in videos[:8]], config.frames)
        rng, clips = np.random.default_rng(0), [*range(len(data))] * 8
        for i in range(len(data)):
            data.train_clip(i, rng)
        started = time.perf_counter()
        for i in clips:
            data.train_clip(i, rng)
        return (time.perf_counter() - started) / len(clips)


@one_blas_thread
def step_seconds(net, config, settings):
    """Seconds (a, b, c, d): a step takes a + b frames, a frame of a test c, and to keep the network d."""
    vectors, rng = config.tower == "features", np.random.default_rng(0)
    T = config.frames if vectors else short(config)
    run = Run(net, settings, optimiser(net.params, settings, 1), config.classes)

    def took(N, work):
        shape = input_shape(config, N, T)
        x, labels = on_device(net, rng.standard_normal(shape, np.float32)), rng.integers(0, config.classes, N)
        times = []
        for _ in range(4 if vectors else 2):
            started = time.perf_counter()
            work(x, labels)
            wait(x)
            times.append(time.perf_counter() - started)
        return min(times[1:])

    def learn(x, labels):
        step(run, x, labels, np.random.default_rng(0))

    few, many = (max(1, settings.batch // 4), settings.batch) if vectors else (1, 2)
    one, other = took(few, learn), took(many, learn)
    per_frame = max((other - one) / ((many - few) * T), 0.1 * other / (many * T)) if many > few else other / (many * T)
    forward = took(many, lambda x, _: net.predict(x)) / (many * T)
    return max(0.0, other - many * T * per_frame), per_frame, forward, saving_seconds(net) if vectors else 0.0


def saving_seconds(net):
    """Seconds in which a checkpoint and the best network are written."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        save(f"{folder}/checkpoint.npz", Checkpoint(net.params, dict(net.params)))
        return 1.5 * (time.perf_counter() - started)


def wait(x):
    """Until the device of an array has done what it was asked for."""
    if xp_of(x) is not np:
        xp_of(x).cuda.get_current_stream().synchronize()
