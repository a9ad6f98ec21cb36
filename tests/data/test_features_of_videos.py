"""Features of videos: kept one by one, used in clips of any length by heads of every fold, the same after any kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest

import snippets.nets.frame_features
from snippets.data.features import load_features
from snippets.data.open import DataSettings, DataSpec, open_data
from snippets.data.video import write_video
from snippets.nets.frame_features import frame_features
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, CheckpointError, load, save
from snippets.training.cli.main import main
from snippets.training.model import load_model, with_features
from snippets.training.predictions import load_predictions

HEAD = "--head conv --fc 6 --frames 4 --epochs 1 --batch 4".split()
LENGTHS = {"a": (5, 6, 9), "b": (3, 12, 40)}  # frames of the clips of each class; 40: more than a block


def film(path, frames, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (frames, 4, 4, 3), np.uint8)
    write_video(path, np.kron(blocks, np.ones((1, 10, 10, 1), np.uint8)), 25)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with six clips of different lengths, and networks: GoogLeNet and a head."""
    folder = tmp_path_factory.mktemp("features")
    for label, lengths in LENGTHS.items():
        for g, frames in enumerate(lengths, start=1):
            film(folder / "clips" / label / f"v_{label}_g{g:02d}_c01.avi", frames, 10 * ord(label) + g)
    config = NetConfig(2, "googlenet", "single", 1, 32, width=0.05, vector=7, fc=0, dropout=0.0)
    save(folder / "m.npz", Checkpoint(build(config, 3).params, config=asdict(config), data=asdict(DataSettings()),
                                      classes=["a", "b"]))  # fmt: skip
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of that folder, as the working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arrays(folder):
    """The bytes of all arrays in the stores of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("runs/cache/*/*/*/*.npy")}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_are_those_of_the_tower_on_every_frame(here, dtype):
    """Of as many frames as a video has, also those of another block; read in windows, which begin again at the end."""
    model = load_model("m.npz")
    spec = DataSpec("clips", settings=DataSettings(dtype=dtype, features="raw"))
    sets = open_data(with_features(spec, model), 4)
    videos = open_data(replace(spec, size=32, cache=None), 4)
    assert [len(part) for part in sets] == [len(part) for part in videos] == [4, 2]
    for features, pixels in zip(sets, videos, strict=True):
        assert (features.names, features.groups, features.dim) == (pixels.names, pixels.groups, 7)
        np.testing.assert_array_equal(features.labels, pixels.labels)
        for i in range(len(features)):
            exact = frame_features(model.net.layers["tower"], pixels.whole_video(i)).astype(dtype)
            assert features.count(i) == len(exact) and features.checksum(i) == pixels.checksum(i)
            np.testing.assert_array_equal(features.whole_video(i), exact)
            first = (len(exact) - 4) // 2 if len(exact) > 4 else 0
            np.testing.assert_array_equal(next(features.test_clips(i)), exact[(first + np.arange(4)) % len(exact)])
    assert {sets[0].count(i) for i in range(4)} | {sets[1].count(i) for i in range(2)} == {5, 6, 9, 3, 12, 40}
    unit = open_data(with_features(replace(spec, settings=DataSettings(dtype=dtype)), model), 4)[0]
    np.testing.assert_allclose(np.square(unit.whole_video(0)).mean(axis=-1), 1, rtol=1e-3)


def test_only_the_frames_of_a_clip_are_read(here, monkeypatch):
    train, _ = open_data(with_features(DataSpec("clips"), load_model("m.npz")), 4)
    longest = int(np.argmax([train.count(i) for i in range(len(train))]))
    asked, read = [], np.empty
    monkeypatch.setattr(
        "snippets.data.store.array.np.empty", lambda shape, dtype: asked.append(shape) or read(shape, dtype)
    )
    train.train_clip(longest, np.random.default_rng(0))
    assert asked == [(4, 7)]


def test_heads_train_on_videos_by_features_of_a_tower(here, capsys, monkeypatch):
    """`features` fills the store; then every fold trains on it without the tower's work, and a head is evaluated."""
    assert main(["features", "clips", "--model", "m.npz"]) == 0
    assert len(arrays(here)) == 6
    monkeypatch.setattr(snippets.nets.frame_features, "frame_features", None)
    for fold in ("1", "2"):
        out = f"run{fold}"
        assert main(["train", "clips", "--features-of", "m.npz", *HEAD, "--fold", fold, "--out", out]) == 0
        assert load(f"{out}/checkpoint.npz").fold == int(fold)
        assert main(["evaluate", f"{out}/checkpoint.npz", "clips", "--features-of", "m.npz", "--save", "p.npz"]) == 0
        a, b = (load_predictions(path).result for path in (f"{out}/predictions.npz", "p.npz"))
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
    assert main(["train", "clips", "--features-of", "m.npz", *HEAD, "--fold", "all", "--out", "folds"]) == 0
    assert "mean of 3 folds" in capsys.readouterr().out
    more = ["--fold", "1", "--out", "run1", "--resume", *HEAD, "--epochs", "2"]
    assert main(["train", "clips", "--features-of", "m.npz", *more]) == 0
    assert load("run1/checkpoint.npz").epoch == 2


def test_a_tower_ends_at_another_tap(here):
    """The maps' average of a network that goes on to a vector; what it does not have is refused."""
    model = load_model("m.npz")
    spec = DataSpec("clips", settings=DataSettings(features="raw", stored_tap="average"))
    train, _ = open_data(with_features(spec, model), 4)
    frames = open_data(DataSpec("clips", 32, cache=None), 4)[0].whole_video(0)
    layers = model.net.layers["tower"].layer.layers
    for name in list(layers)[: list(layers).index("average") + 1]:
        frames = layers[name].predict(frames)
    np.testing.assert_allclose(train.whole_video(0), frames.reshape(len(frames), -1), rtol=1e-4, atol=1e-6)
    assert len({path.name for path in (here / "runs" / "cache").glob("*/*")}) == 1
    config = replace(model.config, tap="average")
    small = build(config, 0)
    save("small.npz", Checkpoint(small.params, config=asdict(config), data=asdict(DataSettings()), classes=["a", "b"]))
    with pytest.raises(ValueError, match="tap is vector, but the model's tower, googlenet, ends at average"):
        with_features(DataSpec("clips", settings=DataSettings(stored_tap="vector")), load_model("small.npz"))


def test_evenly_spaced_frames_and_the_file_of_them(here):
    """--count N keeps N frames of each; --out packs them, without computing them again."""
    assert main(["features", "clips", "--model", "m.npz", "--count", "3"]) == 0
    assert main(["features", "clips", "--model", "m.npz", "--count", "3", "--out", "f.npz"]) == 0
    assert len(arrays(here)) == 6
    spec = with_features(DataSpec("clips", settings=DataSettings(count=3, features="raw")), load_model("m.npz"))
    for features, packed in zip(open_data(spec, None), load_features("f.npz"), strict=True):
        assert (features.frames, packed.frames, features.names) == (3, 3, packed.names)
        for i in range(len(features)):
            np.testing.assert_array_equal(features.whole_video(i), packed.whole_video(i))
    assert (
        main(["train", "clips", "--features-of", "m.npz", "--count", "3", *HEAD[:4], "--epochs", "1", "--out", "r"])
        == 0
    )
    assert load("r/checkpoint.npz").config["frames"] == 3


def test_a_damaged_clip_is_named_once_and_left_out(here, capsys):
    bad = here / "clips" / "b" / "v_b_g03_c01.avi"
    bad.write_bytes(bad.read_bytes()[:-3000])
    assert main(["features", "clips", "--model", "m.npz"]) == 1
    err = capsys.readouterr().err
    assert err.count("v_b_g03_c01.avi") == 1 and "1 of 6 videos are left out" in err and len(arrays(here)) == 5
    for name in ("one", "two"):
        assert main(["train", "clips", "--features-of", "m.npz", *HEAD, "--fold", "1", "--out", name]) == 0
        err = capsys.readouterr().err
        assert err.count("v_b_g03_c01.avi") == 1 and "left out: 1 of 6 videos" in err
        content = {entry[0] for entry in load(f"{name}/checkpoint.npz").content}
        tested = {*load_predictions(f"{name}/predictions.npz").result.names}
        assert len(content | tested) == 5 and "b/v_b_g03_c01.avi" not in content | tested


def test_killed_in_several_processes_and_resumed_it_is_the_same_store(here):
    """SIGKILL of the parent at any moment; its processes end, too, and leave nothing behind that a next run keeps."""
    for n in range(14):
        film(here / "clips" / "b" / f"v_b_g{n + 10}_c01.avi", 6, n)
    command = [sys.executable, "-m", "snippets.training.cli.main", "features", "clips", "--model", "m.npz"]
    command += ["--workers", "2"]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    for wanted in (1, 9):
        process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while len(arrays(here)) < wanted and process.poll() is None:
            time.sleep(0.005)
        if os.name == "posix":
            workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        process.send_signal(signal.SIGKILL)
        process.wait()
        end = time.monotonic() + 30
        while any(os.path.exists(f"/proc/{pid}") for pid in workers) and time.monotonic() < end:
            time.sleep(0.02)
        assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")]
        assert wanted <= len(arrays(here)) < 20
    subprocess.run(command, env=env, check=True, capture_output=True)
    resumed = arrays(here)
    shutil.rmtree("runs")
    assert main(["features", "clips", "--model", "m.npz", "--workers", "1"]) == 0
    assert len(resumed) == 20 and resumed == arrays(here)


def test_interrupted_it_goes_on(here, monkeypatch, capsys):
    """Ctrl-C within a video: the others are there, and only the rest is computed."""
    calls, compute = [], snippets.nets.frame_features.frame_features

    def stopping(tower, clip):
        calls.append(len(clip))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(tower, clip)

    monkeypatch.setattr(snippets.nets.frame_features, "frame_features", stopping)
    assert main(["features", "clips", "--model", "m.npz"]) == 130
    assert len(arrays(here)) == 2
    assert main(["features", "clips", "--model", "m.npz"]) == 0
    assert len(calls) == 3 + 5 and len(arrays(here)) == 6  # four videos, one of them in two blocks


@pytest.mark.parametrize("other", [["--seed", "1"], ["--count", "3"], ["--width", "0.2"], ["--mean", "3"]])
def test_loose_files_go_on_under_the_same_settings_only(here, other, monkeypatch):
    calls, compute = [], snippets.nets.frame_features.frame_features
    monkeypatch.setattr(
        snippets.nets.frame_features, "frame_features", lambda *given: calls.append(1) or compute(*given)
    )
    command = ["features", *map(str, sorted((here / "clips" / "a").iterdir())), "--out", "f.npz"]
    command += "--tower googlenet --size 32 --width 0.05 --count 2".split()
    for more, computed in (([], 3), ([], 0), (other, 3)):
        calls.clear()
        assert main([*command, *more]) == 0
        assert len(calls) == computed
    assert len(load_features("f.npz")[0]) == 3


def test_what_does_not_go_together_is_told(here, capsys, monkeypatch):
    def told(*command):
        assert main([str(word) for word in command]) == 1
        return capsys.readouterr().err

    head = ["train", "clips", "--features-of", "m.npz", *HEAD, "--out", "x"]
    assert main(["features", "clips", "--model", "m.npz", "--count", "2", "--out", "f.npz"]) == 0
    assert "f.npz is a file of features: leave out --features-of" in told("train", "f.npz", "--features-of", "m.npz")
    assert "features of videos are kept in the cache" in told(*head, "--cache", "none")
    assert "--mean is 3.0, but the tower has 127.5" in told(*head, "--mean", "3")
    assert "--size is 64, but the tower has 32" in told(*head, "--size", "64")
    assert "add --out FILE.npz" in told("features", "clips", "--model", "m.npz", "--cache", "none")
    assert "add --out FILE.npz" in told("features", "clips/a/v_a_g01_c01.avi", "--model", "m.npz")
    assert main(head) == 0
    assert "the model has no tower" in told("train", "clips", "--features-of", "x/checkpoint.npz", "--out", "y")
    assert "--features-of CHECKPOINT names the network" in told("evaluate", "x/checkpoint.npz", "clips")
    evaluate = ["evaluate", "m.npz", "clips", "--features-of", "m.npz"]
    assert "m.npz reads videos, but clips is a folder of videos, with --features-of m.npz" in told(*evaluate)
    other = load("m.npz")
    other.params["tower/linear/b"] = other.params["tower/linear/b"] + 1
    save("other.npz", other)
    assert "another tower or rate" in told("evaluate", "x/checkpoint.npz", "clips", "--features-of", "other.npz")
    with pytest.raises(CheckpointError, match="trained with data {'stored_as'"):
        monkeypatch.setattr("snippets.training.cli.main.USER_ERRORS", ())
        main([*head[:3], "other.npz", *head[4:], "--resume"])


def test_a_tower_that_has_seen_the_test_videos_is_refused(here, capsys):
    small = "--size 32 --width 0.05 --fc 4 --frames 1 --epochs 1 --head single --tower alexnet --cache none".split()
    assert main(["train", "clips", *small, "--fold", "2", "--out", "seen"]) == 0
    head = ["train", "clips", "--features-of", "seen/checkpoint.npz", *HEAD, "--out", "x"]
    assert main(head) == 1
    assert "it has seen test videos of other folds" in capsys.readouterr().err
    assert main([*head, "--fold", "2"]) == 0
    checkpoint = load("seen/checkpoint.npz")
    checkpoint.fold = None
    save("seen/checkpoint.npz", checkpoint)
    assert main([*head[:-1], "y", "--fold", "1"]) == 1
    assert "was trained on" in capsys.readouterr().err


def test_features_that_are_no_numbers_or_too_large_are_told(here, capsys):
    checkpoint = load("m.npz")
    for value, words in ((1e6, "more than float16 holds; use --dtype float32"), (np.nan, "that are no numbers")):
        checkpoint.params["tower/linear/b"][:] = value
        save("bad.npz", checkpoint)
        assert main(["features", "clips", "--model", "bad.npz", "--dtype", "float16"]) == 1
        assert words in capsys.readouterr().err and arrays(here) == {}
    checkpoint.params["tower/linear/b"][:] = 1e6
    save("bad.npz", checkpoint)
    assert main(["features", "clips", "--model", "bad.npz"]) == 0
