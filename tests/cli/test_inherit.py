"""Settings that need not be typed again: those of a run that is resumed, of a network to start from; unread flags."""

import numpy as np
import pytest

from snippets.data.features import save_features
from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.experiments.runner import command

VIDEOS = "--size 28 --width 0.1 --epochs 1 --batch 8".split()


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    path, label = tmp_path_factory.mktemp("features") / "f.npz", np.arange(21) % 3
    feat = np.random.default_rng(0).standard_normal((21, 6, 5)).astype(np.float32)
    save_features(path, feat, label + 1, np.arange(21) >= 12)
    return str(path)


@pytest.fixture(scope="module")
def conv(mini, tmp_path_factory):
    """A Conv Pooling network on videos, after an epoch: the folder of its run."""
    out = tmp_path_factory.mktemp("runs") / "conv"
    options = "--fc 8 --frames 4 --dropout 0.2 --mean 100 --fps 12.5 --fold 2".split()
    assert main(["train", str(mini), "--out", str(out), "--cache", str(out.parent / "cache"), *VIDEOS, *options]) == 0
    return out


def test_a_run_is_resumed_with_its_own_settings(features, tmp_path, capsys):
    """Bit for bit, as if all of them had been typed again."""
    options = "--head lstm --units 4 --depth 1 --frames 4 --batch 5 --lr 0.05 --gain ones --seed 3".split()
    options += ["--lr-group", "lstm1/=0.5", "--freeze", "scores/b"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["train", features, "--out", str(whole), *options, "--epochs", "3"]) == 0
    assert main(["train", features, "--out", str(parts), *options, "--epochs", "2"]) == 0
    capsys.readouterr()
    assert main(["train", features, "--out", str(parts), "--resume", "--epochs", "3"]) == 0
    assert "head lstm" in capsys.readouterr().out
    a, b = (load(folder / "checkpoint.npz") for folder in (whole, parts))
    assert (a.config, a.settings, a.data, a.epoch) == (b.config, b.settings, b.data, b.epoch)
    assert all((a.params[key] == b.params[key]).all() for key in a.params)
    assert main(["train", features, "--out", str(parts), "--resume", "--lr", "0.1"]) == 1
    assert "'lr': 0.05" in capsys.readouterr().err


def test_a_network_takes_over_what_it_starts_from(conv, mini, tmp_path, capsys):
    train = ["train", str(mini), "--init", str(conv / "checkpoint.npz"), "--cache", str(conv.parent / "cache")]
    train += ["--epochs", "1", "--batch", "8", "--fold", "2"]
    assert main([*train, "--out", str(tmp_path / "a")]) == 0
    told = capsys.readouterr().out
    assert "unless given: dropout 0.2, fc 8, fps 12.5, frames 4, mean 100.0, size 28, width 0.1" in told
    assert "arrays from" in told and "new: none" in told
    old, new = (load(folder / "checkpoint.npz") for folder in (conv, tmp_path / "a"))
    assert old.config == new.config and old.data == new.data and new.settings["batch"] == 8
    recurrent = ["--head", "lstm", "--units", "4", "--depth", "1", "--fps", "none", "--size", "30"]
    assert main([*train, "--out", str(tmp_path / "b"), *recurrent]) == 0
    new = load(tmp_path / "b" / "checkpoint.npz")
    assert new.data == {**old.data, "fps": None} and new.config["frames"] == 4 and new.config["size"] == 30
    assert new.config["fc"] == 8 and new.config["width"] == 0.1 and new.config["activation"] == "logistic"


def test_a_single_frame_is_one_and_its_head_is_not_inherited(mini, tmp_path, capsys):
    cache = ["--cache", str(tmp_path / "cache"), "--epochs", "1", "--batch", "8"]
    single = ["train", str(mini), "--out", str(tmp_path / "one"), "--head", "single", "--size", "28", "--width", "0.1"]
    assert main([*single, "--fc", "8", *cache]) == 0
    start = ["--init", str(tmp_path / "one" / "checkpoint.npz"), "--frames", "3"]
    assert main(["train", str(mini), "--out", str(tmp_path / "two"), *start, *cache]) == 0
    one, two = (load(tmp_path / name / "checkpoint.npz").config for name in ("one", "two"))
    assert one["frames"] == 1 and two == {**one, "head": "conv", "frames": 3}


@pytest.mark.parametrize("head, flag", [("conv", "--gain ones"), ("conv", "--units 512"), ("lstm", "--dropout 0.6")])
def test_a_flag_that_nothing_reads_is_refused_even_with_its_default(features, head, flag, tmp_path, capsys):
    assert main(["train", features, "--head", head, "--out", str(tmp_path / "run"), *flag.split()]) == 1
    assert f"{flag}: head {head} does not read it on tower features" in capsys.readouterr().err


def test_an_option_that_is_set_twice_stands_once_in_a_command():
    made = command("train", "data", "--lr 1 --mean 1 2 3", "--head", "conv", "--lr 2 --mean=4", "--quick", product="x")
    assert str(made) == "snippets train data --lr 2 --mean=4 --head conv --quick"
