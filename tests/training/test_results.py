"""Answers in numbers, words and files: ranks, results, fused streams, each of a case small enough to do by hand."""

import dataclasses
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from toy_clips import Clips, pooled

from snippets.training.evaluate import Result, commonest_errors, evaluate, hit_at_k, result_of
from snippets.training.fusion import SVM_C, fuse, fuse_mean, fuse_svm
from snippets.training.predictions import Predictions, load_predictions, save_predictions, write_probabilities

TINY = 1e-12


def test_ranks_of_answers():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert hit_at_k(p, np.array([0, 0]), 1).tolist() == [True, False] and hit_at_k(p, np.array([0, 0]), 3).all()
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"between 1 and the number of classes 3, got {k}"):
            hit_at_k(p, np.array([0, 0]), k)
    many = np.array([[0.4, 0.5, 0.1], [0.0, 1, 1]])
    assert hit_at_k(p, many, 1).tolist() == [True, True] and hit_at_k(p, -many, 1).tolist() == [False, False]


def test_results_in_numbers_and_words():
    """Of six classes: the sixth place misses Hit@5; a true class of no probability costs as much as the least float."""
    p = np.array([[0.3, 0.25, 0.2, 0.15, 0.1, 0], [0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [0, 0, 1, 0, 0, 0]])
    result = result_of("abcdef", "xyz", np.array([5, 0, 2]), p)
    assert (result.top, result.hit1, result.hit5, result.clips) == (5, 2 / 3, 2 / 3, 0)
    assert np.isnan([result.clip_hit1, result.clip_hit5]).all() and result.groups is None
    assert result.loss == pytest.approx(-(math.log(np.finfo(np.float32).tiny) + math.log(0.5) + 0) / 3)
    assert str(result) == "video Hit@1 66.7 %, Hit@5 66.7 % (3 videos, each whole in one pass)"
    numbers = result.summary()
    assert (numbers["hit1"], numbers["top"], numbers["videos"], numbers["clips"]) == (0.666667, 5, 3, 0)
    clips = result_of("abcdef", "xyz", np.array([5, 0, 2]), p, 7, (0.25, 0.75))
    assert str(clips) == "video Hit@1 66.7 %, Hit@5 66.7 % (3 videos); clip Hit@1 25.0 %, Hit@5 75.0 % (7 clips)"
    few = result_of("abcde", "xyz", np.array([4, 0, 2]), p[:, :5])
    assert few.top == 5 and "Hit@5" not in str(few)
    several = np.array([[1, 1, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]])
    assert result_of("abcdef", "xyz", several, p).loss == pytest.approx(
        -((math.log(0.3) + math.log(0.25)) / 2 + math.log(0.1)) / 3
    )


def test_the_commonest_errors_are_ten_at_most():
    labels, answers = np.arange(12), np.eye(12)[(np.arange(12) + 1) % 12]
    result = Result(
        list("abcdefghijkl"), list(range(13)), np.append(labels, 0), np.vstack([answers, answers[0]]), 5, 0, 0, 0, 0, 0
    )
    found = commonest_errors(result)
    assert found[0] == ("a", "b", 2, 2) and found[1:] == [
        (*pair, 1, 1) for pair in zip("bcdefghij", "cdefghijk", strict=True)
    ]
    assert commonest_errors(result, 1) == found[:1] and len(commonest_errors(result, 99)) == 12


def test_a_test_takes_16_clips_at_a_time_and_one_of_each_video(monkeypatch):
    net, clips, seen = pooled(), Clips(V=19), []
    predict = net.predict
    monkeypatch.setattr(net, "predict", lambda x: seen.append(x.copy()) or predict(x))
    result = evaluate(net, clips)
    assert [len(x) for x in seen] == [16, 3] and result.clips == 19
    np.testing.assert_array_equal(np.concatenate(seen), clips.x)


# Fusion and predictions


def test_weights_of_streams():
    p = [np.full((1, 2), 0.25), np.full((1, 2), 0.75)]
    assert fuse_mean(p)[0, 0] == 0.5 and fuse_mean(p, [0.3, 0.1])[0, 0] == pytest.approx(0.375)
    assert fuse_mean(p, [0, TINY])[0, 0] == 0.75
    for bad in ([math.inf, 1], [2, -TINY], [[1, 1]], [1, 1, 1], [0, 0]):
        with pytest.raises(ValueError, match="expected 2 numbers, one per stream, none negative and not all zero"):
            fuse_mean(p, bad)


def test_the_svm_has_its_cost_and_a_seed_and_knows_two_classes(monkeypatch):
    """Of two classes there is one margin, the second's; one that was never seen scores below all others."""
    asked = []

    class Classifier:
        classes_ = np.array([0, 2])

        def __init__(self, **how):
            asked.append(how)

        def fit(self, x, labels):
            asked.append((x.shape, labels.tolist()))
            return self

        def decision_function(self, x):
            return np.array([0.5, -2.0])

    monkeypatch.setitem(sys.modules, "sklearn.svm", SimpleNamespace(LinearSVC=Classifier))
    monkeypatch.setitem(sys.modules, "sklearn", SimpleNamespace(svm=sys.modules["sklearn.svm"]))
    streams = [np.full((3, 3), 1 / 3)] * 2
    scores = fuse_svm(streams, np.array([0, 2, 0]), [p[:2] for p in streams], 7.0)
    assert scores.tolist() == [[-0.5, -3, 0.5], [2, -3, -2]]
    assert asked == [{"C": 7.0, "max_iter": 100_000, "random_state": 0}, ((3, 6), [0, 2, 0])]
    fuse_svm(streams, np.array([0, 2, 0]), [p[:2] for p in streams])
    assert asked[2]["C"] == SVM_C == 1


def predicted(seed, names, **about):
    labels = np.arange(len(names)) % 6
    p = np.random.default_rng(seed).dirichlet(np.ones(6), len(names))
    return Predictions(dataclasses.replace(result_of("abcdef", names, labels, p), groups=list(names)), **about)


def test_what_fusing_prints_and_keeps(tmp_path, capsys):
    """A line for each and one for all, with Hit@5 where there are more classes; what is kept has had no steps."""
    files = [tmp_path / name for name in ("a.npz", "long name.npz")]
    for n, file in enumerate(files):
        save_predictions(file, predicted(n, "uvwxyz", fold=None, side="test", mode="last", views=3, steps=9))
    scores = fuse(files, save=tmp_path / "f.npz")
    lines = capsys.readouterr().out.splitlines()
    both = [load_predictions(file).result for file in files]
    width = max(len(str(file)) for file in files)
    for line, name, p in zip(
        lines, [*files, "fused, weighted mean"], [*(r.probabilities for r in both), scores], strict=False
    ):
        hits = [100 * hit_at_k(p, both[0].labels, k).mean() for k in (1, 5)]
        assert line == f"{name!s:{width}}  video Hit@1 {hits[0]:5.1f} %, Hit@5 {hits[1]:5.1f} %"
    assert lines[3:] == ["6 videos, no folds"]
    found = load_predictions(tmp_path / "f.npz")
    assert (found.fold, found.side, found.mode, found.views, found.steps) == (None, "test", "last", 3, 0)
    assert found.result.groups == list("uvwxyz")
    np.testing.assert_array_equal(found.result.probabilities, scores)


def test_files_of_predictions_are_compressed_and_of_as_many_videos_as_they_say(tmp_path):
    p = predicted(0, [f"a long name of a video {n:04}" for n in range(500)], fold=2)
    save_predictions(tmp_path / "p.npz", p)
    assert (tmp_path / "p.npz").stat().st_size < 500 * 100
    shares = np.full((2, 2), 0.5)
    for path in (tmp_path / "p.csv", tmp_path / "p.json"):
        for names in ("x", "xyz"):
            with pytest.raises(ValueError, match="zip"):
                write_probabilities(path, "ab", names, shares)
    for classes in ("a", "abc"):
        with pytest.raises((ValueError, IndexError)):
            write_probabilities(tmp_path / "p.json", classes, "xy", np.array([[0.6, 0.4], [0.7, 0.3]]))
