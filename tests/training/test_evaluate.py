"""Hit@k against brute force, the four ways to read an LSTM's frames, and clips against videos."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snippets.layers.core.base import Layer, Sequential
from snippets.layers.linear import Linear
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.temporal import TemporalAvgPool, TemporalMaxPool
from snippets.nets.frame_predictions import MODES, clip_probabilities
from snippets.nets.streaming.stream import streams
from snippets.training.evaluate import Result, evaluate, evaluate_whole, hit_at_k


class Videos:
    """Video i has the clips of the list clips[i]; `views` asks for the first so many of them."""

    def __init__(self, clips, labels, K, names=None):
        self.clips, self.labels = clips, np.asarray(labels)
        self.classes = [f"class{k}" for k in range(K)]
        self.names = names or [f"video{i}" for i in range(len(clips))]

    def __len__(self):
        return len(self.clips)

    def test_clips(self, i, views, rng):
        assert isinstance(rng, np.random.Generator)
        yield from self.clips[i][:views]


class Identity:
    """Scores that the clip itself holds: x (N, T, K) -> (N, K) or (N, T, K)."""

    params = {"none": np.zeros(1, np.float32)}

    def __init__(self, per_frame=False):
        self.per_frame = per_frame

    def predict(self, x):
        return x if self.per_frame else x[:, 0]


def ranked_hit(p, labels, k):
    """Plain loops: the classes before a true label, equal ones with a smaller index included, number fewer than k."""
    for true in labels:
        before = sum(1 for j in range(len(p)) if p[j] > p[true] or (p[j] == p[true] and j < true))
        if before < k:
            return True
    return False


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.booleans())
def test_hit_at_k_is_the_rank_of_a_true_label_ties_included(seed, K, several):
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 4, (6, K)) / 4  # many ties
    truth = rng.random((6, K)) < 0.4
    truth[np.arange(6), rng.integers(0, K, 6)] = True
    labels = truth.astype(float) if several else truth.argmax(axis=1)
    for k in range(1, K + 1):
        want = [ranked_hit(p[n], np.flatnonzero(truth[n]) if several else [labels[n]], k) for n in range(6)]
        assert hit_at_k(p, labels, k).tolist() == want


def test_a_constant_answer_gains_nothing_from_ties():
    p = np.full((4, 3), 1 / 3)
    assert hit_at_k(p, np.array([0, 1, 2, 2]), 1).tolist() == [True, False, False, False]
    assert hit_at_k(p, np.array([0, 1, 2, 2]), 3).all()


def test_hit_at_k_refuses_what_it_cannot_rank():
    p = np.full((2, 3), 1 / 3)
    with pytest.raises(ValueError, match="k must lie between 1 and the number of classes 3, got 5"):
        hit_at_k(p, np.zeros(2, int), 5)
    with pytest.raises(ValueError, match=r"labels must have shape \(2,\) or \(2, 3\), got \(3,\)"):
        hit_at_k(p, np.zeros(3, int), 1)
    p[1, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        hit_at_k(p, np.zeros(2, int), 1)


@pytest.mark.parametrize("mode", MODES)
def test_the_four_ways_against_plain_loops(mode, rng):
    scores = rng.standard_normal((3, 5, 4))
    got = clip_probabilities(scores, mode)
    for n in range(3):
        p = [np.exp(s) / np.exp(s).sum() for s in scores[n]]
        want = {
            "last": p[4],
            "max": [max(p[t][k] for t in range(5)) for k in range(4)],
            "sum": sum(p),
            "weighted": sum((t + 1) / 5 * p[t] for t in range(5)),
        }[mode]
        np.testing.assert_allclose(got[n], np.array(want) / np.sum(want), rtol=1e-12)


def test_pooled_scores_and_single_frames_are_plain_softmax(rng):
    scores = rng.standard_normal((3, 4)).astype(np.float32)
    p = clip_probabilities(scores)
    assert p.dtype == np.float32
    for mode in MODES:
        np.testing.assert_allclose(clip_probabilities(scores[:, None], mode), p, rtol=1e-6)
    with pytest.raises(ValueError, match="mode must be one of weighted, last, max, sum, got 'mean'"):
        clip_probabilities(scores, "mean")
    with pytest.raises(ValueError, match=r"\(N, K\) or \(N, T, K\)"):
        clip_probabilities(scores[0])


def log_p(*rows):
    """One clip (T, K) float32 whose softmax is these rows."""
    return np.log(np.array(rows, np.float32))


def test_clip_and_video_accuracy_are_told_apart():
    # video 0 (class 0): two of three clips miss narrowly, the third is sure; video 1 (class 1): one clip hits of one
    unsure, sure = log_p([0.45, 0.55]), log_p([0.99, 0.01])
    videos = Videos([[unsure, unsure, sure], [unsure]], [0, 1], 2)
    result = evaluate(Identity(), videos, views=3, batch=2)
    assert result.hit1 == 1.0
    assert result.clip_hit1 == pytest.approx((1 / 3 + 1) / 2)
    assert result.clips == 4 and result.top == 2 and result.hit5 == result.clip_hit5 == 1.0
    np.testing.assert_allclose(result.probabilities[0], [(0.45 + 0.45 + 0.99) / 3, (0.55 + 0.55 + 0.01) / 3], rtol=1e-6)
    assert evaluate(Identity(), videos, views=1).hit1 == evaluate(Identity(), videos, views=1).clip_hit1 == 0.5
    assert "video Hit@1 100.0 %" in str(result) and "clip Hit@1 66.7 %" in str(result)
    assert result.summary() == {
        "clip_hit1": 0.666667, "clip_hit5": 1.0, "hit1": 1.0, "hit5": 1.0, "top": 2, "videos": 2, "clips": 4,
        "loss": round(-np.log([0.63, 0.55]).mean(), 6),  # of the means of a video's clips
    }  # fmt: skip


def test_the_mean_of_240_equal_views_is_one_view(rng):
    clips = [rng.standard_normal((1, 6)).astype(np.float32) for _ in range(9)]
    labels = rng.integers(0, 6, 9)
    one = evaluate(Identity(), Videos([[c] for c in clips], labels, 6), views=1)
    np.testing.assert_array_equal(one.probabilities, clip_probabilities(np.stack(clips)[:, 0]))
    many = evaluate(Identity(), Videos([[c] * 240 for c in clips], labels, 6), views=240, batch=7)
    np.testing.assert_allclose(many.probabilities, one.probabilities, rtol=1e-6)
    assert (many.hit1, many.hit5, many.clip_hit1) == (one.hit1, one.hit5, one.clip_hit1)


def test_batches_and_lengths_do_not_mix_videos_up(rng):
    # clips of different lengths cannot share a batch; per-frame scores
    clips = [
        [rng.standard_normal((T, 3)).astype(np.float32) for T in lengths] for lengths in [(2, 2), (2, 5), (5,), (1,)]
    ]
    videos = Videos(clips, [0, 1, 2, 0], 3)
    for batch in (1, 2, 3, 100):
        result = evaluate(Identity(per_frame=True), videos, views=2, batch=batch, mode="last")
        for i, own in enumerate(clips):
            want = np.mean([np.exp(c[-1]) / np.exp(c[-1]).sum() for c in own], axis=0)
            np.testing.assert_allclose(result.probabilities[i], want, rtol=1e-6)


def test_confusion_rows_are_true_classes_and_per_class_is_its_diagonal():
    p = np.eye(4)[[0, 0, 1, 1, 2, 0]]
    result = Result(list("abcd"), list("uvwxyz"), np.array([0, 0, 0, 1, 2, 2]), p, 4, 6, 0, 0, 0, 0)
    assert result.confusion.tolist() == [[2, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(result.per_class, [2 / 3, 1, 1 / 2, np.nan])


def test_several_labels_any_true_one_hits():
    truth = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 0]])
    p = np.eye(3)[[1, 0, 0]]
    clips = [[log_p(row * 0.9 + 0.05)] for row in p]
    result = evaluate(Identity(), Videos(clips, truth, 3))
    assert result.hit1 == pytest.approx(2 / 3)
    assert result.confusion.tolist() == [[1, 0, 0], [0.5, 1, 0], [0.5, 0, 0]]  # video 0 at (1, 1), video 1 shared
    np.testing.assert_allclose(result.per_class, [1, 0.5, 0])


class Whole(Videos):
    """Video i is the frames clips[i] (T, D), handed out in blocks of two."""

    def blocks(self, i):
        yield from (self.clips[i][t : t + 2] for t in range(0, len(self.clips[i]), 2))


class Spread(Layer):
    """Largest number of all frames less the smallest: a layer of which nobody knows how to stream it."""

    def forward(self, x, rng=None):
        return x.max(axis=1) - x.min(axis=1), None


def layers(rng, head):
    """A net on (N, T, 3) that streams (lstm, max), or that must see all frames at once (spread)."""
    time = {"lstm": PeepholeLSTM(3, 3, rng), "max": TemporalMaxPool(), "spread": Spread()}[head]
    return Sequential(time=time, scores=Linear(3, 4, rng))


@pytest.mark.parametrize("head", ["lstm", "max", "spread"])
@pytest.mark.parametrize("mode", MODES)
def test_whole_videos_in_one_pass(rng, head, mode):
    net, lengths = layers(rng, head), (5, 2, 70, 1)
    videos = Whole([rng.standard_normal((T, 3)).astype(np.float32) for T in lengths], [0, 1, 2, 3], 4)
    assert streams(net) == (head != "spread")
    result = evaluate_whole(net, videos, mode)
    want = [clip_probabilities(net.predict(x[None]), mode)[0] for x in videos.clips]
    np.testing.assert_allclose(result.probabilities, want, rtol=1e-5)
    assert result.hit1 == hit_at_k(np.stack(want), np.arange(4), 1).mean()
    assert result.clips == 0 and np.isnan(result.clip_hit1) and "clip" not in str(result)
    assert "each whole in one pass" in str(result)
    with pytest.raises(ValueError, match="has 4 outputs, the data set has 2 classes"):
        evaluate_whole(net, Whole(videos.clips, [0] * 4, 2))
    with pytest.raises(ValueError, match="without videos"):
        evaluate_whole(net, Whole([], [], 4))


def test_views_are_drawn_from_the_seed_and_the_video_alone(rng):
    class Noise(Videos):
        def test_clips(self, i, views, rng):
            for _ in range(views):
                yield rng.standard_normal((2, 3)).astype(np.float32)

    net = Sequential(pool=TemporalAvgPool(), fc=Linear(3, 3, rng))
    videos = Noise([None] * 4, [0, 1, 2, 0], 3)
    first = evaluate(net, videos, views=3, seed=1)
    assert evaluate(net, videos, views=3, seed=1).probabilities.tobytes() == first.probabilities.tobytes()
    assert not np.allclose(evaluate(net, videos, views=3, seed=2).probabilities, first.probabilities)
    assert not np.allclose(first.probabilities[0], first.probabilities[1])


def test_a_wrong_number_of_classes_and_empty_sets_are_refused():
    with pytest.raises(ValueError, match="the net has 3 outputs, the data set has 2 classes"):
        evaluate(Identity(), Videos([[log_p([0.2, 0.3, 0.5])]], [0], 2))
    with pytest.raises(ValueError, match="without videos"):
        evaluate(Identity(), Videos([], [], 2))
    with pytest.raises(ValueError, match="video video1 gave no test clip"):
        evaluate(Identity(), Videos([[log_p([0.5, 0.5])], []], [0, 1], 2))
