"""The command line as a user meets it: every command on small data, and what it says when something is wrong."""

import json
from importlib.metadata import version

import numpy as np
import pytest

from snippets.data.layouts.table import VideoFolder
from snippets.data.mini.make import KINDS
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.evaluate import Result
from snippets.training.experiments.demo import by_kind

SMALL = "--size 55 --width 0.1 --fc 16 --dropout 0.1".split()


@pytest.fixture(scope="module")
def trained(mini, tmp_path_factory):
    """A Conv Pooling network after one epoch on it: the folder of its run."""
    out = tmp_path_factory.mktemp("runs") / "conv"
    cache = out.parent / "cache"
    assert (
        main(["train", str(mini), "--out", str(out), "--cache", str(cache), *SMALL, "--frames", "4", "--epochs", "1"])
        == 0
    )
    return out


def test_train_writes_a_checkpoint_and_a_log(trained, capsys):
    checkpoint = load(trained / "checkpoint.npz")
    assert checkpoint.epoch == 1 and checkpoint.fold == 1 and len(checkpoint.classes) == 16
    steps = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [record["event"] for record in steps] == ["step", "step", "epoch"]
    assert {"loss", "lr", "grad_norm", "data_seconds", "compute_seconds"} <= set(steps[0])


def test_evaluate_prints_every_class_and_both_levels(trained, mini, capsys):
    assert main(["evaluate", str(trained / "checkpoint.npz"), str(mini), "--views", "2", "--cache", "none"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in KINDS)
    assert "video Hit@1" in text and "clip Hit@1" in text and "(32 clips)" in text


def test_evaluate_refuses_another_fold(trained, mini, capsys):
    assert main(["evaluate", str(trained / "checkpoint.npz"), str(mini), "--fold", "2", "--cache", "none"]) == 1
    assert "fold" in capsys.readouterr().err


def test_resume_needs_the_same_network(trained, mini, capsys):
    again = ["train", str(mini), "--out", str(trained), "--cache", "none", *SMALL, "--frames", "4", "--epochs", "2"]
    assert main(again) == 1
    assert "resume" in capsys.readouterr().err  # an existing run is never overwritten
    assert main([*again, "--resume", "--fc", "17"]) == 1
    assert "'fc': 16" in capsys.readouterr().err
    assert load(trained / "checkpoint.npz").epoch == 1  # nothing was lost


def test_an_lstm_starts_from_the_pooling_network(trained, mini, tmp_path, capsys):
    start = trained / "checkpoint.npz"
    out = tmp_path / "lstm"
    options = [
        "--head",
        "lstm",
        "--units",
        "16",
        "--depth",
        "1",
        "--frames",
        "4",
        "--epochs",
        "1",
        "--freeze",
        "tower/",
        "--cache",
        "none",
    ]
    assert main(["train", str(mini), "--out", str(out), "--init", str(start), *SMALL, *options]) == 0
    assert "new: lstm1/W_x" in capsys.readouterr().out
    before, after = load(start).params, load(out / "checkpoint.npz").params
    np.testing.assert_array_equal(after["tower/fc1/W"], before["fc1/W"])  # frozen
    assert main(["train", str(mini), "--out", str(tmp_path / "x"), "--init", str(start), "--fold", "2", *SMALL]) == 1
    assert "fold" in capsys.readouterr().err  # its training videos are fold 2's test videos


def test_predict_goes_on_past_a_bad_file(trained, mini, tmp_path, capsys):
    good = VideoFolder(mini).load().test[0].path
    cut = tmp_path / "cut.avi"
    cut.write_bytes(good.read_bytes()[:-4000])
    missing = tmp_path / "missing.avi"
    assert main(["predict", str(trained / "checkpoint.npz"), str(cut), str(missing), str(good), "--top", "2"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == str(good) and len(lines) == 4 and lines[1].split()[-1] in KINDS
    assert "cut.avi" in err and "missing.avi" in err


def test_features_of_a_data_folder_train_a_head(trained, mini, tmp_path, capsys):
    out = tmp_path / "features.npz"
    options = ["--model", str(trained / "checkpoint.npz"), "--count", "5", "--cache", "none"]
    assert main(["features", str(mini), "--out", str(out), *options]) == 0
    with np.load(out) as file:
        assert file["feat"].shape == (48, 5, 2 * 2 * 26) and file["is_test"].sum() == 16
    args = ["train", str(out), "--out", str(tmp_path / "head"), "--head", "lstm", "--units", "8", "--depth", "2"]
    assert main([*args, "--epochs", "1"]) == 0
    assert "lstm2/W_h" in load(tmp_path / "head" / "checkpoint.npz").params
    assert main(["predict", str(tmp_path / "head" / "checkpoint.npz"), "x.avi"]) == 1
    assert "precomputed features" in capsys.readouterr().err


@pytest.mark.parametrize("head", ["conv", "lstm"])
def test_real_clips(shared, head, tmp_path, capsys):
    """Features and predictions on every real clip, the one with broken metadata included."""
    from dataclasses import asdict

    from snippets.training.checkpoint import Checkpoint, save

    clips = sorted(str(path) for path in (shared / "clips").iterdir())
    assert len(clips) == 9
    config = NetConfig(3, "googlenet", head, 4, 32, width=0.05, vector=10, fc=8, units=8, depth=2)
    net = build(config)
    model = tmp_path / "model.npz"
    save(model, Checkpoint(net.params, config=asdict(config), data={"fps": 5.0}, classes=["a", "b", "c"]))
    assert main(["predict", str(model), *clips, "--views", "2"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if not line.startswith(" ")] == clips
    assert main(["features", *clips, "--out", str(tmp_path / "f.npz"), "--model", str(model), "--count", "3"]) == 0
    with np.load(tmp_path / "f.npz") as file:
        assert file["feat"].shape == (9, 3, 10) and np.isfinite(file["feat"]).all() and file["feat"].std() > 0


@pytest.mark.parametrize(
    "args, told",
    [
        (["train", "nowhere"], "nowhere: no such folder"),
        (["train", "nowhere.npz"], "nowhere.npz: no such file"),
        (["evaluate", "nowhere.npz", "x"], "no checkpoint nowhere.npz"),
        (["predict", "setup.cfg", "x.avi"], "setup.cfg is not a checkpoint"),
        (["summary", "--head", "single", "--frames", "3"], "head 'single' reads one frame"),
        (["make-data", "tests"], "not empty"),
    ],
)
def test_a_mistake_is_one_line(args, told, capsys, request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    assert main(args) == 1
    out, err = capsys.readouterr()
    assert told in err and err.startswith("snippets: ") and err.count("\n") == 1


def test_an_empty_folder_is_told(tmp_path, capsys):
    assert main(["train", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_summary_and_doctor(capsys):
    assert main(["summary", "--tower", "googlenet", "--width", "0.1", "--size", "64", "--fc", "8"]) == 0
    assert "tower/inception5b/conv5/conv" in capsys.readouterr().out
    assert main(["doctor"]) == 0
    assert "all that is needed is there" in capsys.readouterr().out


def test_the_program_alone_prints_its_help_and_with_version_its_version(capsys):
    assert main([]) == 0
    alone = capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0 and capsys.readouterr().out == alone
    commands = "train expand evaluate fuse predict features make-data check-data flow import summary doctor demo tables"
    for name in f"{commands} claims compare bench scaling simulate museum".split():
        assert f"\n    {name}" in alone
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"snippets {version('snippets')}\n"


def test_help_shows_every_default(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: None)" not in text
    for default in (
        "crops and dropout (default: 0)",
        "recurrent layers (default: 5)",
        "learning rate at the start (default: 0.01)",
        "(default: 4096)",
    ):
        assert default in text


def test_kinds_are_means_over_their_classes():
    classes = list(KINDS)
    labels = np.arange(16)
    probabilities = np.eye(16)
    wrong = [k for k, name in enumerate(classes) if KINDS[name] == "order"][:1]
    probabilities[wrong] = np.roll(probabilities[wrong], 1, axis=1)
    kinds = by_kind(Result(classes, classes, labels, probabilities, 5, 16, 0.0, 0.0, 15 / 16, 1.0))
    assert kinds == {"appearance": 1.0, "motion": 1.0, "order": 0.75, "moment": 1.0, "overall": 15 / 16}
