"""From a list of videos to batches of clips.

A data set is any object with classes, labels, names, len(), train_clip(i, rng), test_clips(i, views, rng), blocks(i)
and, if it can, groups and checksum(i): ClipSet here for videos, FeatureSet in data/features.py for features computed
before.

Example i of an epoch is drawn from default_rng([seed, epoch, i]) and the order from default_rng([seed, epoch]), so
(seed, epoch, step) is the whole state of the loader: the number of threads and an interruption change nothing.
Threads prepare clips while the net computes, also across the ends of epochs.
"""

import contextlib
import copy
import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from snippets.data.augment import Views, centre_crop, cut, random_crop, random_first, view_firsts
from snippets.data.decoder import Source
from snippets.data.layouts.splits import Video


class Batch(NamedTuple):
    """x (N, T, ...) float32, labels (N,) int64 or multi-hot (N, K), index (N,) int64: numbers in the data set."""

    x: np.ndarray
    labels: np.ndarray
    index: np.ndarray


class Preprocessing(NamedTuple):
    """What the network sees of a frame: crops of size x size, as (pixel - mean) / scale; see `data.augment.cut`."""

    size: int = 220
    mean: float | list = 127.5
    scale: float | list = 127.5


class ClipSet:
    """Clips of T = frames from videos, cropped and scaled: x (T, size, size, 3) float32.

    source: where frames come from, a `Decoder` or a `Store` of one; its side must be at least size (see cache_side).
    length: frames to which every video is cut or repeated; None: as many as it has.
    labels: (V,) int64, or bool multi-hot (V, K) where videos carry tuples of classes; names, groups: one per
    video.
    """

    def __init__(
        self,
        classes: list[str],
        videos: list[Video],
        source: Source,
        frames: int,
        preprocessing: Preprocessing,
        length: int | None = None,
    ):
        if frames < 1:
            raise ValueError(f"frames is {frames}, expected at least 1 per clip")
        centre_crop(*source.shape[:2], preprocessing.size)  # raises if it does not fit
        self.classes, self.videos, self.source = classes, videos, source
        self.frames, self.preprocessing, self.length = frames, preprocessing, length
        self.labels = label_array([video.label for video in videos], len(classes))
        self.names, self.groups = [video.name for video in videos], [video.group for video in videos]

    def __len__(self):
        return len(self.videos)

    def checksum(self, i: int) -> int:
        """CRC-32 of the file of video i."""
        return self.source.checksum(self.videos[i])

    def train_clip(self, i: int, rng: np.random.Generator) -> np.ndarray:
        """x (T, size, size, 3) of video i from a random first frame, under one random crop and flip for all frames."""
        first = random_first(self.count(i), self.frames, rng)
        return next(self._cut(i, [range(first, first + self.frames)], [self._crop(rng)]))

    def test_clips(self, i: int, views: int | Views = 1, rng=None) -> Iterator[np.ndarray]:
        """Clips x (T, size, size, 3) of video i, whose predictions are to be averaged.

        One view: the middle T frames and the centre crop. More: first frames as `view_firsts` says, each clip under a
        random crop and flip of its own from rng, a generator, which is then needed.
        """
        if views not in (1, Views(1)) and rng is None:
            raise ValueError(f"{views} views need rng for their crops and flips, found None")
        firsts = view_firsts(self.count(i), self.frames, views, rng)
        windows = [range(first, first + self.frames) for first in firsts]
        crops = [self._crop(rng) for _ in windows if len(windows) > 1]
        yield from self._cut(i, windows, crops)

    def whole_video(self, i: int) -> np.ndarray:
        """All frames of video i under the centre crop: x (frames, size, size, 3)."""
        return np.concatenate(list(self.blocks(i)))

    def blocks(self, i: int, block: int = 32) -> Iterator[np.ndarray]:
        """The frames of whole_video, `block` at a time: x (t, size, size, 3)."""
        count = self.count(i)
        yield from self._cut(i, [range(first, min(first + block, count)) for first in range(0, count, block)])

    def count(self, i: int) -> int:
        """How many frames video i has, or `length`."""
        return self.length or self.source.count(self.videos[i])

    def _crop(self, rng=None):
        """A random crop of the frames, or without rng the centre crop."""
        (H, W, _), size = self.source.shape, self.preprocessing.size
        return centre_crop(H, W, size) if rng is None else random_crop(H, W, size, rng)

    def _cut(self, i, windows, crops=()):
        """Clips x of video i, one for each window of frame numbers, under its crop, else under the centre crop."""
        crops = crops or [self._crop()] * len(windows)
        for pixels, crop in zip(self.source.take(self.videos[i], windows), crops, strict=True):
            yield cut(pixels, slice(None), crop, self.preprocessing.mean, self.preprocessing.scale)


def relabelled(dataset, classes: list[str]):
    """The data set for a network that knows these classes. ValueError for a class that is not among them."""
    unknown = [name for name in dataset.classes if name not in classes]
    if unknown:
        raise ValueError(
            f"{len(unknown)} classes are not among the network's {len(classes)}, the first {unknown[0]}: expected "
            f"names like {', '.join(classes[:3])}; rename their folders"
        )
    place, other = np.array([classes.index(name) for name in dataset.classes], np.int64), copy.copy(dataset)
    if dataset.labels.ndim == 2:
        other.labels = np.zeros((len(dataset), len(classes)), bool)
        other.labels[:, place] = dataset.labels
    else:
        other.labels = place[dataset.labels]
    other.classes = classes
    return other


class Subset:
    """Some videos of a data set, `rows` in its numbers, with the data set's own interface."""

    def __init__(self, dataset, rows):
        self.dataset, self.rows, self.classes = dataset, list(rows), dataset.classes
        self.labels = np.asarray(dataset.labels)[self.rows]
        self.names, self.groups = ([some[row] for row in self.rows] for some in (dataset.names, dataset.groups))

    def __len__(self):
        return len(self.rows)

    def __getattr__(self, name):
        if name == "dataset":
            raise AttributeError(name)  # while it is copied
        return getattr(self.dataset, name)  # frames, for instance

    def checksum(self, i: int) -> int:
        """That of the data set."""
        return self.dataset.checksum(self.rows[i])

    def train_clip(self, i: int, rng: np.random.Generator) -> np.ndarray:
        """A clip of video i to learn from."""
        return self.dataset.train_clip(self.rows[i], rng)

    def test_clips(self, i: int, views: int | Views = 1, rng=None) -> Iterator[np.ndarray]:
        """Clips of video i whose predictions are to be averaged."""
        return self.dataset.test_clips(self.rows[i], views, rng)

    def whole_video(self, i: int) -> np.ndarray:
        """All frames of video i."""
        return self.dataset.whole_video(self.rows[i])


def label_array(labels, K: int) -> np.ndarray:
    """(V,) int64 of classes 0..K-1; multi-hot (V, K) bool if they are tuples of classes."""
    if not any(isinstance(label, tuple) for label in labels):
        return np.array(labels, np.int64)
    hot = np.zeros((len(labels), K), bool)
    for row, label in zip(hot, labels, strict=True):
        row[list(label)] = True
    return hot


class Position(NamedTuple):
    """Where in the training examples: the seed of their order and crops, the epoch, and the step in the epoch."""

    seed: int
    epoch: int = 0
    step: int = 0


def batches(
    dataset, batch: int, start: Position, epochs: int = 1, workers: int = 0, part=(0, 1), augmentation="random"
) -> Iterator[Batch]:
    """The training examples of a number of epochs, in batches of that size; the last of an epoch may be smaller.

    start: the first batch, to continue where a run stopped. workers: threads that prepare examples ahead, at most one
    batch and one example per thread; 0 prepares them in the caller. An error in a thread is raised in the caller.
    part: (r, R) gives only rows r, r + R, r + 2R ... of each batch; x is None where that leaves none.
    augmentation: "random", or "none": of each video the clip that one view tests, always.
    """
    seed, epoch, step = start
    for name, value, least in (("batch", batch, 1), ("step", step, 0), ("workers", workers, 0)):
        if value < least:
            raise ValueError(f"{name} is {value}, expected at least {least}")
    V = len(dataset)
    if V == 0:
        raise ValueError("the data set has no training examples")

    def shares():
        for e in range(epoch, epoch + epochs):
            order = np.random.default_rng([seed, e]).permutation(V).astype(np.int64)
            for first in range(step * batch if e == epoch else 0, V, batch):
                yield e, order[first : first + batch][part[0] :: part[1]]

    def example(item):
        e, i = item
        if augmentation == "none":
            return next(iter(dataset.test_clips(int(i), 1, None)))
        return dataset.train_clip(int(i), np.random.default_rng([seed, e, int(i)]))

    def collect():
        items, ahead = ((e, i) for e, index in shares() for i in index), -(-batch // part[1]) + workers
        with contextlib.closing(prepare(example, items, workers, ahead)) as clips:
            for _, index in shares():
                x = np.stack(list(itertools.islice(clips, len(index)))) if len(index) else None  # (N, T, ...)
                yield Batch(x, dataset.labels[index], index)

    return collect()


def prepare(function, items, workers: int, ahead: int) -> Iterator:
    """function(item) for each item, in order; with workers > 0 in that many threads, at most `ahead` items early.

    Closing the iterator, or losing it, ends its threads.
    """
    if workers == 0:
        yield from map(function, items)
        return
    items, pending = iter(items), deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="snippets-data")
    try:
        pending.extend(pool.submit(function, item) for item in itertools.islice(items, ahead))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in itertools.islice(items, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
