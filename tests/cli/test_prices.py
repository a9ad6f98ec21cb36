"""What does not fit into memory or on the disk is refused before any work, in one sentence with the numbers."""

import shutil
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import snippets.data.open
from snippets.data.decoder import Decoder
from snippets.data.features import load_features, save_features
from snippets.data.layouts.splits import Video, split_by_group
from snippets.data.layouts.table import VideoFolder
from snippets.data.open import price_cache
from snippets.data.store.store import Store
from snippets.nets.inspect import memory
from snippets.nets.inspect.memory import GIB, plan_memory
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.cli.main import main

SMALL = "--size 32 --width 0.1 --fc 8 --frames 4 --epochs 1 --cache none".split()


@pytest.fixture
def told(capsys, tmp_path, monkeypatch):
    """Runs a command that must fail within seconds, without a file written or a frame decoded: its sentence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snippets.data.decoder.read_frames", None)

    def run(*args):
        before, started = set(tmp_path.rglob("*.np*")), time.monotonic()
        assert main([str(a) for a in args]) == 1
        assert time.monotonic() - started < 30
        assert set(tmp_path.rglob("*.np*")) == before
        *others, error = capsys.readouterr().err.splitlines()
        assert error.startswith("snippets: ") and others in ([], ["no --model: the tower's weights are random"])
        return error

    return run


def features(path, V=12, K=3, T=4, D=5):
    """A feature file of K classes, a third of its videos for tests."""
    rng = np.random.default_rng(0)
    names = np.array([f"{i % K}/v_{i % K}_g{i:02d}_c01.avi" for i in range(V)])
    save_features(path, rng.random((V, T, D), np.float32), np.arange(V) % K + 1, np.arange(V) >= 2 * V // 3, name=names)
    return path


@pytest.mark.parametrize(
    "options, words",
    [
        (["--size", 100_000], "a training step on 4 clips of 4 frames needs at least"),
        (["--size", 2_000, "--frames", 1_000_000], "of 1000000 frames needs at least"),
        (["--width", 1000, "--tower", "googlenet"], "needs at least"),
        (["--fc", 1_000_000], "needs at least"),
        (["--units", 1_000_000, "--depth", 1000, "--head", "lstm"], "needs at least"),
        (["--downpour", "--replicas", 10_000], "(each of 10000 processes)"),
        (["--memory", 1e-6], "but 0.00 GiB are allowed"),
    ],
    ids=str,
)
def test_a_training_that_does_not_fit(told, mini, options, words):
    error = told("train", mini, *SMALL, "--batch", 4, "--cache", "cache", "--out", "new", *options)
    assert words in error and "GiB" in error


@pytest.mark.parametrize(
    "command, words",
    [
        (["features", "DATA", "--width", 1000], "the tower needs at least"),
        (
            ["features", "DATA", "--width", 0.1, "--size", 32, "--count", 1_000_000, "--out", "new.npz"],
            "a file of 48 x 1000000 x 1000",
        ),
        (
            ["features", "CLIPS", "--width", 0.1, "--size", 32, "--count", 1_000_000, "--out", "new.npz"],
            "a file of 48 x 1000000 x 1000",
        ),
        (["scaling", "--batch", 1_000_000_000], "a training step on 1000000000 clips"),
        (["simulate", "DATA", *SMALL, "--counts", 1, 1_000_000], "a training step on"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_other_work_that_does_not_fit(told, mini, command, words):
    files = {"DATA": [mini], "CLIPS": sorted(Path(mini).rglob("*.avi"))}
    error = told(*(each for word in command for each in files.get(word, [word])))
    assert words in error and "GiB" in error


def test_an_evaluation_that_does_not_fit(told, tmp_path, monkeypatch, capsys):
    file = features(tmp_path / "f.npz")
    assert main(["train", str(file), *"--head conv --fc 4 --epochs 1 --out run --memory 1".split()]) == 0
    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    capsys.readouterr()
    assert "a prediction for 4 clips of 4 frames needs at least" in told("evaluate", "run/checkpoint.npz", file)


def test_a_summary_builds_nothing(capsys):
    """Networks of terabytes are looked at in a moment, and in little memory."""
    tracemalloc.start()
    try:
        for options in (
            "--fc 1000000 --size 10000 --batch 1000",
            "--head lstm --units 1000000 --depth 20 --frames 1000 --batch 100",
            "--tower googlenet --width 100 --frames 120 --batch 1000000 --auxiliary 0.3",
            "--head convlstm --tower googlenet --size 4000 --frames 30 --batch 16",
            "--head local --frames 10000 --batch 1",
        ):
            assert main(["summary", *options.split()]) == 0
            assert "in the worst moment" in capsys.readouterr().out
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_a_net_without_weights_has_the_shapes_of_one_with():
    for options in (
        dict(tower="googlenet", auxiliary=0.3), dict(head="lstm"), dict(head="convlstm"), dict(head="slowfusion"),
        dict(head="rnn"), dict(head="timeconv"), dict(head="fcpool"), dict(norm="lcn"),
    ):  # fmt: skip
        config = NetConfig(5, **dict(frames=10, size=32, width=0.1, fc=8, units=8, depth=2, vector=20) | options)
        whole, shapes = build(config), build(config, seed=None)
        assert {k: (a.shape, a.dtype) for k, a in whole.params.items()} == {
            k: (a.shape, a.dtype) for k, a in shapes.params.items()
        }
        assert plan_memory(whole, input_shape(config, 2)) == plan_memory(shapes, input_shape(config, 2))


def test_a_cache_for_which_there_is_no_room(mini, tmp_path, monkeypatch, told, capsys):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(snippets.data.open.shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    error = told("train", mini, *SMALL, "--cache", tmp_path / "cache", "--out", "new", "--memory", 4)
    size = 48 * 16 * 37**2 * 3  # videos, frames, pixels at the side of the cache, colours
    assert f"the frame cache of 48 videos will take about {size / 1e9:.1f} GB in {tmp_path / 'cache'}" in error
    assert "where 0.0 GB are free" in error
    monkeypatch.setattr(snippets.data.open.shutil, "disk_usage", lambda path: usage._replace(free=size))
    videos = [Video(path, 0, path.name, "") for path in sorted(mini.glob("*/*.avi"))]
    price_cache(videos, Store(tmp_path / "other", Decoder(37)))  # just fits
    with pytest.raises(OSError, match="48 videos"):
        price_cache(videos, Store(tmp_path / "larger", Decoder(38)))
    price_cache(videos, Store(tmp_path / "fewer", Decoder(64, 1.0)))  # one frame per second


def test_what_is_cached_is_not_counted_again(mini, tmp_path, monkeypatch):
    videos = [Video(path, 0, path.name, "") for path in sorted(mini.glob("*/*.avi"))[:2]]
    cache = Store(tmp_path, Decoder(8))
    cache.fill(videos, progress=False)
    monkeypatch.setattr(snippets.data.open.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    assert cache.missing(videos) == []
    price_cache(cache.missing(videos), cache)


@pytest.mark.parametrize("fold", [0, 4, 7, -1, 1.5, None])
def test_a_folder_without_lists_has_three_folds(tmp_path, fold):
    videos = [Video(tmp_path, k, f"{k}/{g}", f"g{g}") for k in range(2) for g in range(6)]
    for name in "ab":
        (tmp_path / name).mkdir()
        for g in range(6):
            (tmp_path / name / f"v_{name}_g{g:02d}_c01.avi").touch()
    for split in (lambda: split_by_group(videos, ["a", "b"], fold), lambda: VideoFolder(tmp_path).load(fold)):
        with pytest.raises(ValueError, match=f"fold is {fold}, expected one of 1 to 3"):
            split()
    parts = [{v.name for v in split_by_group(videos, ["a", "b"], f).test} for f in (1, 2, 3)]
    assert [len(part) for part in parts] == [4, 4, 4] and len(set.union(*parts)) == 12


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(feat=np.nan), "feat of video 5 holds NaN or infinite values"),
        (dict(feat=np.inf), "feat of video 5 holds NaN or infinite values"),
        (dict(feat=3e38), "feat * scale holds values up to 3e+38, expected numbers, not all zero, of at most 1e+15"),
        (dict(scale=0), "feat * scale holds nothing but zeros"),
        (dict(label=1), "8 training videos of 1 classes, expected two classes or more"),
        (dict(is_test=True), "0 training videos of 0 classes, expected two classes or more"),
        (dict(is_test=False), "no test videos"),
    ],
    ids=str,
)
def test_features_from_which_nothing_can_be_learned(told, tmp_path, change, words):
    file = features(tmp_path / "f.npz")
    arrays = dict(np.load(file))
    for name, value in change.items():
        if name == "feat":
            arrays["feat"][5, 2, 3] = value
        elif name == "label":
            arrays |= {"label": np.ones(12, int), "name": np.array([f"a/{i}.avi" for i in range(12)])}
        else:
            arrays[name] = np.full_like(arrays.get(name, np.ones(1, np.float32)), value)
    arrays.pop("checksum", None)
    np.savez(tmp_path / "changed.npz", **arrays)
    assert words in told("train", tmp_path / "changed.npz", "--head", "conv", "--fc", "4", "--memory", 1)


def test_a_class_without_training_videos_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = features(tmp_path / "f.npz", V=13, K=4)
    train_set, _ = load_features(file)
    assert len(train_set.classes) == 4
    arrays = dict(np.load(file))
    arrays["is_test"] = (arrays["label"] == 4) | (np.arange(13) > 9)
    arrays.pop("checksum", None)
    np.savez(tmp_path / "g.npz", **arrays)
    assert main(["train", "g.npz", *"--head conv --fc 4 --epochs 1 --out run --memory 1".split()]) == 0
    assert "no training videos of 1 classes, which cannot be learned: 3" in capsys.readouterr().out


def test_allowed_memory_is_a_part_of_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10 * GIB)
    assert memory.allowed_memory() == 8 * GIB and memory.allowed_memory(3) == 3 * GIB
    memory.check_memory("it", 8 * GIB)
    with pytest.raises(ValueError, match="it needs at least 8.00 GiB, but 8.00 GiB are allowed"):
        memory.check_memory("it", 8 * GIB + 1)
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert memory.allowed_memory() is None
    memory.check_memory("it", 10**18)
