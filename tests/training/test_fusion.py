"""Late fusion: predictions on file, brought into one order; what fusing leaves alone; the two-stream networks' SVM."""

import sys

import numpy as np
import pytest

from snippets.training.cli.main import main
from snippets.training.evaluate import result_of
from snippets.training.fusion import fuse, fuse_mean, fuse_svm, stacked
from snippets.training.predictions import Predictions, aligned, load_predictions, save_predictions

V, K = 12, 4


def probabilities(seed, videos=V):
    return np.random.default_rng(seed).dirichlet(np.ones(K), videos)


def make(seed=0, fold=1, side="test", labels=None, videos=V, **about):
    labels = np.arange(videos) % K if labels is None else labels
    result = result_of(
        list("wxyz"), [f"{side}{n}" for n in range(videos)], labels, probabilities(seed, videos), videos, [0.25, 0.5]
    )
    return Predictions(result, fold, side, **about)


@pytest.fixture
def file(tmp_path):
    """Writes predictions; returns the path."""

    def write(name="p", predictions=None, **options):
        path = tmp_path / f"{name}.npz"
        save_predictions(path, predictions or make(**options))
        return path

    return write


@pytest.mark.parametrize("labels", [None, np.arange(V)[:, None] % np.arange(1, K + 1) == 0])
def test_a_file_gives_back_what_it_was_given(file, labels):
    for fold in (2, None):
        p = make(3, fold, labels=labels, mode="last", views=0, steps=7)
        back = load_predictions(file(predictions=p))
        assert (back.fold, back.side, back.mode, back.views, back.steps) == (fold, "test", "last", 0, 7)
        for name in ("labels", "probabilities"):
            np.testing.assert_array_equal(getattr(back.result, name), getattr(p.result, name))
        for name in ("names", "classes", "top", "clips", "clip_hit1", "clip_hit5", "hit1", "hit5"):
            assert getattr(back.result, name) == getattr(p.result, name)
    with np.load(file(predictions=p)) as arrays:
        known = "names classes labels probabilities clips clip_hits fold side mode views steps"
        assert set(arrays.files) == set(known.split())


def test_files_that_are_none(tmp_path, file):
    with pytest.raises(FileNotFoundError, match="none.npz: no such file of predictions"):
        load_predictions(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("text")
    np.savez(tmp_path / "other.npz", names=np.arange(3))
    twice = make()
    twice.result.names[1] = twice.result.names[0]
    for path in (tmp_path / "text.npz", tmp_path / "other.npz", file(predictions=twice)):
        with pytest.raises(ValueError, match=f"{path.name}: no predictions as snippets evaluate --save writes them"):
            load_predictions(path)


def test_any_order_of_videos_and_classes(file):
    rgb, flow = make(0), make(1)
    r, rows, columns = flow.result, np.random.default_rng(2).permutation(V), np.array([2, 0, 3, 1])
    shuffled = result_of(
        [r.classes[k] for k in columns],
        [r.names[n] for n in rows],
        np.argsort(columns)[r.labels[rows]],
        r.probabilities[rows][:, columns],
    )
    assert shuffled.hit1 == r.hit1
    first, (a, b) = aligned([file("rgb", rgb), file("flow", Predictions(shuffled, 1))])
    assert first.result.names == rgb.result.names
    np.testing.assert_array_equal(a, rgb.result.probabilities)
    np.testing.assert_array_equal(b, r.probabilities)


def test_what_does_not_belong_together_is_refused(file):
    rgb, labels = file("rgb"), np.arange(V) % K
    labels[5] = 3
    for told, options in (
        ("other.npz is of fold 2, .*rgb.npz of fold 1", {"fold": 2}),
        ("other.npz: predictions of train videos, expected test", {"side": "train"}),
        ("other.npz lacks the video test10 of .*rgb.npz .2 missing, 0 more", {"videos": 10}),
        ("other.npz has the video test12, unlike .*rgb.npz .0 missing, 2 more", {"videos": 14}),
        ("differ in the label of test5", {"labels": labels}),
    ):
        with pytest.raises(ValueError, match=told):
            aligned([rgb, file("other", **options)])
    r = make().result
    other = result_of(["w", "x", "y", "v"], r.names, r.labels, r.probabilities)
    with pytest.raises(ValueError, match="lacks the class z of .*rgb.npz .1 missing, 1 more"):
        aligned([rgb, file("other", Predictions(other, 1))])


def test_fusing_a_stream_with_itself_changes_nothing(file):
    p = probabilities(0)
    np.testing.assert_array_equal(fuse_mean([p, p]), p)
    np.testing.assert_allclose(fuse_mean([p, p, p], [0.3, 1, 5]), p, rtol=1e-14)
    path = file()
    np.testing.assert_array_equal(fuse([path, path]), p)


def test_the_weighted_mean_by_loops():
    a, b = probabilities(0), probabilities(1)
    fused = fuse_mean([a, b], [1, 3])
    for n in range(V):
        for k in range(K):
            assert fused[n, k] == pytest.approx((a[n, k] + 3 * b[n, k]) / 4, rel=1e-12)
    np.testing.assert_allclose(fused.sum(axis=1), 1)
    np.testing.assert_array_equal(fuse_mean([a, b], [2, 0]), a)
    for weights in ([1], [1, -1], [0, 0], [1, np.nan]):
        with pytest.raises(ValueError, match="expected 2 numbers, one per stream"):
            fuse_mean([a, b], weights)


def test_the_svm_reads_normalised_scores_side_by_side():
    a, b = probabilities(0), probabilities(1)
    rows = stacked([a, b])
    assert rows.shape == (V, 2 * K)
    np.testing.assert_allclose(np.linalg.norm(rows.reshape(V, 2, K), axis=2), 1)
    np.testing.assert_allclose(rows[:, K:] / rows[:, K:].sum(axis=1, keepdims=True), b)


def scores_of(rng, labels, told):
    """Probabilities of a stream that tells the classes in `told` apart and guesses the others."""
    guess = np.full((len(labels), K), 1 / K)
    sure = np.where(np.isin(labels, told)[:, None], 0.9 * np.eye(K)[labels] + 0.1 * guess, guess)
    noisy = sure + 0.02 * rng.random(sure.shape)
    return noisy / noisy.sum(axis=1, keepdims=True)


def test_the_svm_joins_what_each_stream_knows(rng):
    train, test = rng.integers(0, K, 200), rng.integers(0, K, 100)
    streams = [[scores_of(rng, labels, told) for told in ([0, 1], [2, 3])] for labels in (train, test)]
    scores = fuse_svm(streams[0], train, streams[1])
    assert scores.shape == (100, K) and (scores.argmax(axis=1) == test).mean() > 0.95
    assert all((p.argmax(axis=1) == test).mean() < 0.8 for p in streams[1])
    # two classes only among the training videos: the others come last
    few = train < 2
    scores = fuse_svm([p[few] for p in streams[0]], train[few], streams[1])
    assert (scores[:, 2:] < scores[:, :2].min()).all()
    assert (scores.argmax(axis=1) == test)[test < 2].mean() > 0.95
    with pytest.raises(ValueError, match="one label per video, found several"):
        fuse_svm(streams[0], np.ones((200, K), bool), streams[1])


def test_the_command(file, tmp_path, capsys, monkeypatch):
    rgb, flow = file("rgb"), file("flow", seed=1)
    train = [str(file(f"train{s}", seed=s, side="train", videos=40)) for s in (2, 3)]
    out = tmp_path / "fused.npz"
    assert main(["fuse", str(rgb), str(flow), "--weights", "1", "2", "--save", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all("video Hit@1" in line and "Hit@4" not in line for line in lines[:3])  # of four
    assert lines[3] == "12 videos, fold 1"
    fused = load_predictions(out)
    np.testing.assert_array_equal(fused.result.probabilities, fuse_mean([probabilities(0), probabilities(1)], [1, 2]))
    both = ["fuse", str(rgb), str(flow)]
    assert main([*both, "--svm", *train]) == 0
    assert "fused, linear SVM, C = 1" in capsys.readouterr().out
    for told, args in (
        ("expected two or more", ["fuse", str(rgb)]),
        ("leave out --weights and --save", [*both, "--svm", *train, "--weights", "1", "1"]),
        ("--svm has 1 files, expected 2", [*both, "--svm", train[0]]),
        ("predictions of test videos, expected train", [*both, "--svm", str(rgb), str(flow)]),
        ("of fold 2, the test predictions of fold 1", [*both, "--svm", *[str(file("f2", fold=2, side="train"))] * 2]),
    ):
        assert main(args) == 1
        err = capsys.readouterr().err
        assert told in err and err.count("\n") == 1
    p = make(side="train")
    p.result.names[0] = "test3"
    assert main([*both, "--svm", *[str(file("leak", p))] * 2]) == 1
    assert "test3 is both in" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    assert main([*both, "--svm", *train]) == 1
    assert capsys.readouterr().err == 'snippets: fusion by SVM needs scikit-learn: pip install -e ".[svm]"\n'
