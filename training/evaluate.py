"""From scores to Hit@1 and Hit@5, by the clip and by the video (sections 3.3 and 4 of the paper).

Clip accuracy judges each clip alone; video accuracy judges the mean of the class probabilities of a video's clips (up
to 240 crops and flips). They differ by several per cent, so both are always reported, under their names. One pass over
a whole video, the paper's other way, has no clips and thus video accuracy only.

A sample is a hit at k if any of its true labels is among the k most probable classes; of equally probable classes the
one with the smaller index comes first, so that a net that gives all classes the same score gains nothing from ties.
"""

from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from snippets.layers.device.xp import to_numpy
from snippets.nets.frame_predictions import clip_probabilities
from snippets.nets.frames import one_blas_thread
from snippets.nets.streaming.stream import streams
from snippets.nets.streaming.timeline import whole_answer
from snippets.training.alone import ALONE
from snippets.training.objective import on_device


def hit_at_k(probabilities, labels, k):
    """Which samples hit: bool (N,). probabilities (N, K); labels int (N,), or multi-hot (N, K); ties as above."""
    N, K = probabilities.shape
    if not 1 <= k <= K:
        raise ValueError(f"k must lie between 1 and the number of classes {K}, got {k}")
    if np.isnan(probabilities).any():
        raise ValueError("probabilities hold NaN: the net has diverged, or its input was not finite")
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]  # (N, k)
    labels = np.asarray(labels)
    if labels.shape == (N, K):
        return np.take_along_axis(labels > 0, top, axis=1).any(axis=1)
    if labels.shape != (N,):
        raise ValueError(f"labels must have shape ({N},) or ({N}, {K}), got {labels.shape}")
    return (top == labels[:, None]).any(axis=1)


def check_outputs(outputs, K):
    """ValueError unless a net has as many outputs as its data set has classes."""
    if outputs != K:
        raise ValueError(f"the net has {outputs} outputs, the data set has {K} classes")


@dataclass(frozen=True)
class Result:
    """What `evaluate` found. Accuracies in [0, 1]; V videos, K classes."""

    classes: list  # K names
    names: list  # V names
    labels: np.ndarray  # (V,) or multi-hot (V, K)
    probabilities: np.ndarray  # (V, K), the mean over each video's clips
    top: int  # the 5 of Hit@5, less if there are fewer classes; of no more classes than that every video hits
    clips: int  # clips seen in all; 0: whole videos in one pass, and NaN for the two clip accuracies
    clip_hit1: float  # a video with several clips counts once, by the share of its clips that hit
    clip_hit5: float
    hit1: float
    hit5: float
    groups: list | None = None  # V; None: as the names say

    @property
    def truth(self):
        """The true labels as bool (V, K)."""
        K = len(self.classes)
        return self.labels > 0 if self.labels.ndim == 2 else self.labels[:, None] == np.arange(K)

    @property
    def confusion(self):
        """Confusion matrix (K, K): true class by predicted class, in videos.

        With several labels a hit counts on the diagonal at the predicted class; a miss is shared by the true labels.
        """
        predicted = np.argmax(self.probabilities, axis=1)  # the smallest index of equals, as in hit_at_k
        hit = np.take_along_axis(self.truth, predicted[:, None], axis=1)  # (V, 1)
        answer = predicted[:, None] == np.arange(len(self.classes))  # (V, K)
        shared = self.truth / np.maximum(self.truth.sum(axis=1, keepdims=True), 1)
        return np.where(hit, answer, shared).T @ answer

    @property
    def per_class(self):
        """Of the videos that carry each class, the share that hit at 1: (K,), NaN for a class without videos."""
        hits = (
            hit_at_k(self.probabilities, self.labels, 1).astype(float) @ self.truth
        )  # in floats: bool @ bool is "any"
        count = self.truth.sum(axis=0)
        return np.where(count > 0, hits / np.maximum(count, 1), np.nan)

    @property
    def loss(self):
        """Mean softmax loss of the videos: -log of the probability of the true class; of several, their mean."""
        log = np.log(np.maximum(self.probabilities, np.finfo(np.float32).tiny))
        return float(-((self.truth * log).sum(axis=1) / self.truth.sum(axis=1)).mean())

    def summary(self):
        """The accuracies, the loss and counts as a dict for the log."""
        names = ("clip_hit1", "clip_hit5", "hit1", "hit5", "loss")
        numbers = {name: round(getattr(self, name), 6) for name in names}
        return {**numbers, "top": self.top, "videos": len(self.names), "clips": self.clips}

    def accuracies(self, hit1, hit5):
        """Two accuracies in words; the second one is left out where it is 1 whatever the network."""
        more = f", Hit@{self.top} {100 * hit5:.1f} %" if self.top < len(self.classes) else ""
        return f"Hit@1 {100 * hit1:.1f} %{more}"

    def __str__(self):
        video = f"video {self.accuracies(self.hit1, self.hit5)} ({len(self.names)} videos"
        if not self.clips:
            return f"{video}, each whole in one pass)"
        return f"{video}); clip {self.accuracies(self.clip_hit1, self.clip_hit5)} ({self.clips} clips)"


@one_blas_thread
def evaluate(net, dataset, views=1, batch=16, mode="weighted", seed=0, ranks=ALONE):
    """Runs `net` over clips of every video of `dataset`, as many as `views`, a number or `Views`; returns a `Result`.

    Clip by clip, so that 240 views need no more memory than `batch` of them. Random views of video i come from the
    generator of (seed, i): the same in every epoch, and for any order, batch or subset of views. `ranks`: processes
    that share the videos, see `training.distributed.ranks`.
    """
    V, K = len(dataset), len(dataset.classes)
    if V == 0:
        raise ValueError("cannot evaluate on a data set without videos")
    labels = np.asarray(dataset.labels)
    top = min(5, K)
    total = np.zeros((V, K))  # probabilities, summed over clips
    hits = np.zeros((V, 2))  # clips that hit at 1 and at `top`
    count = np.zeros(V, np.int64)

    def clips():
        mine = range(ranks.rank, V, ranks.size)
        for i in tqdm(mine, desc="evaluate", unit="video", leave=False, disable=True if ranks.rank > 0 else None):
            for x in dataset.test_clips(i, views, np.random.default_rng([seed, i])):
                yield i, x

    for index, x in _batches(clips(), batch):
        p = clip_probabilities(net.predict(on_device(net, x)), mode)  # (N, K)
        check_outputs(p.shape[1], K)
        np.add.at(total, index, p)
        np.add.at(hits, index, np.stack([hit_at_k(p, labels[index], k) for k in (1, top)], axis=1))
        np.add.at(count, index, 1)
    ranks.sum(total, hits, count)
    if not count.all():
        raise ValueError(f"video {dataset.names[int(np.argmin(count))]} gave no test clip")
    clip_hits = (hits / count[:, None]).mean(axis=0)
    found = result_of(dataset.classes, dataset.names, labels, total / count[:, None], int(count.sum()), clip_hits)
    return replace(found, groups=getattr(dataset, "groups", None))


@one_blas_thread
def evaluate_whole(net, dataset, mode="weighted", alone=False):
    """Runs `net` over every video of `dataset` in one pass, all its frames under the centre crop; returns a `Result`.

    alone: a single-frame network, whose answer is the mean over all frames. Networks that take frames one after the
    other see a video block by block, whatever its length; others all at once.
    """
    if len(dataset) == 0:
        raise ValueError("cannot evaluate on a data set without videos")
    probabilities = []
    for i in tqdm(range(len(dataset)), desc="evaluate", unit="video", leave=False, disable=None):
        if streams(net):
            p = to_numpy(whole_answer(net, dataset.blocks(i), mode, alone))
        else:
            p = clip_probabilities(net.predict(on_device(net, np.concatenate(list(dataset.blocks(i)))[None])), mode)[0]
        check_outputs(len(p), len(dataset.classes))
        probabilities.append(p)
    found = result_of(dataset.classes, dataset.names, np.asarray(dataset.labels), np.stack(probabilities))
    return replace(found, groups=getattr(dataset, "groups", None))


LARGEST = 20  # classes of a confusion matrix that is shown; of more, the commonest errors are


def commonest_errors(result, most=10):
    """(true class, predicted class, videos, videos of the true class) of the commonest errors, in falling order."""
    wrong = np.where(np.eye(len(result.classes), dtype=bool), 0, result.confusion)
    places = [divmod(int(n), len(wrong)) for n in np.argsort(-wrong, axis=None, kind="stable")[:most]]
    of = result.confusion.sum(axis=1)
    return [(result.classes[i], result.classes[k], wrong[i, k], of[i]) for i, k in places if wrong[i, k]]


def result_of(classes, names, labels, probabilities, clips=0, clip_hits=(np.nan, np.nan)):
    """The `Result` of class probabilities (V, K) of videos; clip_hits: share of clips that hit at 1, and at 5."""
    top = min(5, len(classes))
    hit1, hit5 = (float(hit_at_k(probabilities, labels, k).mean()) for k in (1, top))
    return Result(
        classes=list(classes), names=list(names), labels=labels, probabilities=probabilities, top=top, clips=clips,
        clip_hit1=float(clip_hits[0]), clip_hit5=float(clip_hits[1]), hit1=hit1, hit5=hit5,
    )  # fmt: skip


def _batches(clips, size):
    """Gathers pairs (i, x) into arrays (N,) and (N, T, …) of at most `size` clips of one shape, in their order."""
    index, xs = [], []
    for i, x in clips:
        if xs and (len(xs) == size or x.shape != xs[0].shape):
            yield np.array(index), np.stack(xs)
            index, xs = [], []
        index.append(i)
        xs.append(x)
    if xs:
        yield np.array(index), np.stack(xs)
