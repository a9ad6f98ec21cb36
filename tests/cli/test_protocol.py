"""Protocols on the command line: three folds and their mean, streams fused, folds kept apart; data ready in time."""

import json
import shutil

import numpy as np
import pytest

import snippets.training.cli.scale
import snippets.training.cli.train
from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.log import read_log
from snippets.training.predictions import load_predictions

SMALL = "--size 28 --width 0.1 --fc 8 --frames 4 --batch 8".split()


@pytest.fixture(scope="module")
def folds(mini, tmp_path_factory):
    """Three networks after an epoch, one a fold; the folder of their runs."""
    out = tmp_path_factory.mktemp("runs") / "folds"
    options = ["--cache", str(out.parent / "cache"), *SMALL, "--epochs", "1", "--views", "2"]
    assert main(["train", str(mini), "--fold", "all", "--out", str(out), *options]) == 0
    return out


@pytest.mark.parametrize("command", ["train", "simulate"])
def test_the_memory_of_a_step_is_that_of_the_videos_there_are(command, mini, tmp_path, monkeypatch, capsys):
    """A batch of 5 of 32 training videos, and one of more than there are."""

    def told(config, shape, *_, **__):
        raise ValueError(f"a step of {shape}")

    for module in (snippets.training.cli.train, snippets.training.cli.scale):
        monkeypatch.setattr(module, "fit_memory", told)
    for batch, clips in ("5", 5), ("1000", 32):
        given = [*SMALL, "--batch", batch, "--out", str(tmp_path / "run"), "--cache", "none"]
        assert main([command, str(mini), *given]) == 1
        assert f"a step of {(clips, 4, 28, 28, 3)}" in capsys.readouterr().err


def again(folds, mini):
    return ["train", str(mini), "--fold", "all", "--out", str(folds), "--cache", str(folds.parent / "cache"), *SMALL]


def test_three_folds_and_their_mean(folds, mini, capsys):
    """Each fold in a folder, tested on its own videos; the mean is that of the folds; finished folds are only told."""
    found = [load_predictions(folds / f"fold{k}" / "predictions.npz") for k in (1, 2, 3)]
    names = [set(p.result.names) for p in found]
    assert [len(n) for n in names] == [16] * 3 and len(set.union(*names)) == 48
    assert [p.fold for p in found] == [load(folds / f"fold{k}" / "checkpoint.npz").fold for k in (1, 2, 3)] == [1, 2, 3]
    before = [(folds / f"fold{k}" / "predictions.npz").stat().st_mtime_ns for k in (1, 2, 3)]
    assert main([*again(folds, mini), "--epochs", "1", "--views", "2", "--resume"]) == 0
    text = capsys.readouterr().out
    mean, clip = (100 * np.mean([getattr(p.result, n) for p in found]) for n in ("hit1", "clip_hit1"))
    assert f"mean of 3 folds: video Hit@1 {mean:.1f} %" in text and f"clip Hit@1 {clip:.1f} %" in text
    assert all(f"fold {p.fold}: {p.result}" in text for p in found)
    assert before == [(folds / f"fold{k}" / "predictions.npz").stat().st_mtime_ns for k in (1, 2, 3)]
    untyped = ["train", str(mini), "--fold", "all", "--out", str(folds), "--cache", str(folds.parent / "cache")]
    assert main([*untyped, "--views", "2", "--resume"]) == 0  # with the settings of its first fold
    assert f"mean of 3 folds: video Hit@1 {mean:.1f} %" in capsys.readouterr().out
    assert main([*again(folds, mini), "--epochs", "1"]) == 1
    assert "fold1 holds a run: continue it with --resume" in capsys.readouterr().err


def test_a_finished_run_is_tested_again_with_other_views_only(mini, folds, tmp_path):
    """Predictions that are there are taken if they are of the same network, videos and views."""
    run = shutil.copytree(folds / "fold1", tmp_path / "run")
    command = ["train", str(mini), "--out", str(run), "--cache", str(folds.parent / "cache"), *SMALL, "--epochs", "1"]
    for views in (2, 3):
        assert main([*command, "--views", str(views), "--resume"]) == 0
        assert load_predictions(run / "predictions.npz").views == views


def test_an_interrupted_protocol_goes_on(mini, folds, tmp_path, capsys, monkeypatch):
    """Stopped in the second fold, resumed: as if never stopped."""
    import snippets.training.cli.train

    whole, calls = snippets.training.cli.train.train, []

    def stopping(*args, **options):
        calls.append(options["fold"])
        if calls[-1] == 2:
            raise KeyboardInterrupt
        return whole(*args, **options)

    out = tmp_path / "folds"
    command = [*again(out, mini), "--cache", str(folds.parent / "cache"), "--epochs", "1", "--views", "2"]
    monkeypatch.setattr(snippets.training.cli.train, "train", stopping)
    assert main(command) == 130
    monkeypatch.setattr(snippets.training.cli.train, "train", whole)
    assert main([*command, "--resume"]) == 0
    for k in (1, 2, 3):
        a, b = (load_predictions(run / f"fold{k}" / "predictions.npz").result for run in (out, folds))
        np.testing.assert_array_equal(a.probabilities, b.probabilities)


def test_a_fold_starts_from_its_own_network(mini, folds, tmp_path, capsys):
    command = ["train", str(mini), "--out", str(tmp_path / "x"), "--cache", str(folds.parent / "cache"), *SMALL]
    command += ["--epochs", "1", "--fold", "3", "--init"]
    assert main([*command, str(folds / "fold2" / "checkpoint.npz")]) == 1
    assert "it has seen test videos of other folds" in capsys.readouterr().err
    assert main([*command, str(folds / "fold{fold}" / "checkpoint.npz")]) == 0
    assert "fold3/checkpoint.npz; new: none" in capsys.readouterr().out.replace("\\", "/")


def test_features_keep_their_fold(mini, folds, tmp_path, capsys):
    """Features of a fold-2 tower are of fold 2, whoever trains on them; those of another fold are refused."""
    model, out = str(folds / "fold2" / "checkpoint.npz"), tmp_path / "f.npz"
    features = ["features", str(mini), "--model", model, "--count", "3", "--cache", "none", "--out", str(out)]
    assert main([*features, "--fold", "1"]) == 1
    assert "fold 2" in capsys.readouterr().err
    assert main(features) == 0
    train = ["train", str(out), "--head", "conv", "--fc", "8", "--epochs", "1", "--out", str(tmp_path / "head")]
    assert main([*train, "--fold", "1"]) == 1
    assert "features of fold 2, not of fold 1" in capsys.readouterr().err
    assert main(train) == 0
    assert load(tmp_path / "head" / "checkpoint.npz").fold == 2
    # a network on frames and one on features of the same videos
    flow = str(tmp_path / "head" / "predictions.npz")
    assert main(["fuse", str(folds / "fold2" / "predictions.npz"), flow]) == 0
    assert "16 videos, fold 2" in capsys.readouterr().out
    assert main(["fuse", str(folds / "fold1" / "predictions.npz"), flow]) == 1
    assert "of fold 2" in capsys.readouterr().err


def test_scores_of_training_videos_train_the_svm(mini, folds, tmp_path, capsys):
    model, cache = str(folds / "fold1" / "checkpoint.npz"), ["--cache", str(folds.parent / "cache")]
    evaluate = ["evaluate", model, str(mini), *cache]
    test, train = str(tmp_path / "test.npz"), str(tmp_path / "train.npz")
    assert main([*evaluate, "--save", test, "--whole"]) == 0
    assert "each whole in one pass" in capsys.readouterr().out
    assert main([*evaluate, "--save", train, "--side", "train"]) == 0
    assert "on the training videos: video Hit@1" in capsys.readouterr().out
    assert len(load_predictions(train).result.names) == 32 and load_predictions(test).views == 0
    assert main(["fuse", test, test, "--svm", train, train]) == 0
    assert "linear SVM" in capsys.readouterr().out


@pytest.mark.parametrize("cached", [True, False])
def test_computing_hardly_waits_for_data(mini, tmp_path, cached):
    """After the first step, data take less than 5 % of a step's time, decoding included where nothing is cached."""
    options = "--size 55 --width 0.4 --fc 64 --frames 12 --batch 4 --epochs 2 --evaluate-every 2 --workers 2".split()
    cache = str(tmp_path / "cache") if cached else "none"
    assert main(["train", str(mini), "--out", str(tmp_path / "run"), "--cache", cache, *options]) == 0
    steps = [record for record in read_log(tmp_path / "run" / "log.jsonl") if record["event"] == "step"][1:]
    data, compute = (sum(step[f"{name}_seconds"] for step in steps) for name in ("data", "compute"))
    assert len(steps) == 15
    assert data < 0.05 * (data + compute), json.dumps(steps)
