"""What a newcomer gets wrong, command by command: one clear sentence, exit status 1, no traceback, nothing lost.

`test_cli.py` has the first of these; damaged videos and lists have tests of their own beside what reads them.
"""

import errno
import re
import shutil

import numpy as np
import pytest
from tqdm import tqdm

from snippets.data.mini.make import make_mini
from snippets.training.checkpoint import load
from snippets.training.cli.main import main

SMALL = "--size 32 --width 0.1 --fc 8 --frames 4 --epochs 1 --cache none".split()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a small data set, a network trained on it, features of it, and a network on these."""
    home = tmp_path_factory.mktemp("home")
    make_mini(home / "mini", groups=3, clips=1, frames=16, side=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["train", "mini", *SMALL, "--out", "run"]) == 0
        assert main("features mini --model run/checkpoint.npz --count 3 --out f.npz --cache none".split()) == 0
        assert main("train f.npz --head lstm --units 8 --depth 1 --epochs 1 --out frun".split()) == 0
    shutil.copy(next(home.glob("mini/CardSun/*.avi")), home / "clip.avi")
    return home


PROGRESS = re.compile(r"\[(\d+:)?\d\d:\d\d[<,]")  # the times in a bar of tqdm, in whatever unit its rate is


@pytest.fixture
def told(home, monkeypatch, capsys):
    """Runs a command that must fail: exit status 1 and one line on stderr, which it returns; progress bars aside."""
    monkeypatch.chdir(home)

    def run(*args):
        capsys.readouterr()
        before = {p: p.stat().st_mtime_ns for p in home.rglob("*.npz")}
        assert main([str(a) for a in args]) == 1
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        lines = [line for line in lines if line.strip() and not PROGRESS.search(line)]
        assert len(lines) == 1 and lines[0].startswith(("snippets: ", "error: ")), lines
        assert "Errno" not in lines[0]
        assert {p: p.stat().st_mtime_ns for p in home.rglob("*.npz")} == before  # nothing is lost, nothing half-made
        return lines[0]

    return run


@pytest.mark.parametrize("seconds", [0, 0.01, 50, 7200])  # ?frame/s, 100.00frame/s, 50.00s/frame, 7200.00s/frame
@pytest.mark.parametrize("total", [None, 9])
def test_progress_is_told_from_errors_at_any_speed(seconds, total):
    assert PROGRESS.search(tqdm.format_meter(1 if seconds else 0, total, seconds, unit="frame"))


TRAIN = ["train", "mini", *SMALL, "--out", "new"]
EVALUATE = ["evaluate", "run/checkpoint.npz", "mini", "--cache", "none"]
PREDICT = ["predict", "run/checkpoint.npz", "clip.avi"]
FEATURES = ["features", "clip.avi", "--model", "run/checkpoint.npz", "--out", "new.npz"]


@pytest.mark.parametrize(
    "command, option, value, words",
    [
        (TRAIN, "--epochs", -1, "epochs is -1, expected at least 0"),
        (TRAIN, "--batch", 0, "--batch is 0, expected at least 1"),
        (TRAIN, "--lr", -0.1, "lr is -0.1, expected more than 0"),
        (TRAIN, "--lr", "inf", "lr is inf"),
        (TRAIN, "--decay", -1, "decay"),
        (TRAIN, "--momentum", 1, "momentum is 1.0, expected at least 0 and less than 1"),
        (TRAIN, "--weight-decay", -1, "--weight-decay is -1.0, expected at least 0"),
        (TRAIN, "--clip-norm", 0, "--clip-norm is 0.0, expected more than 0"),
        (TRAIN, "--views", 0, "--views is 0, expected at least 1"),  # before training, not after it
        (TRAIN, "--evaluate-every", 0, "--evaluate-every is 0"),
        (TRAIN, "--workers", -1, "--workers is -1, expected at least 0"),
        (TRAIN, "--seed", -1, "--seed is -1"),
        (TRAIN, "--frames", 0, "--frames is 0, expected at least 1"),
        (TRAIN, "--fps", 0, "fps is 0.0, expected more than 0"),
        (TRAIN, "--mean", "nan", "mean is [nan]"),
        (TRAIN, "--scale", -1, "scale is [-1.0], expected one or three positive numbers"),
        (TRAIN, "--size", -1, "-1, expected"),
        (TRAIN, "--width", "inf", "width is inf"),
        (TRAIN, "--units", 0, "units is 0"),
        (TRAIN, "--fc", -1, "fc is -1"),
        (TRAIN, "--dropout", 1, "dropout is 1.0, expected at least 0 and less than 1"),
        (TRAIN, "--memory", -1, "--memory is -1"),
        (TRAIN, "--fold", 9, "fold is 9, expected one of 1 to 3"),
        (TRAIN, "--skip", "nowhere", "nowhere: no such list"),
        (TRAIN, "--skip", "clip.avi", "clip.avi: not a text file"),
        (TRAIN, "--out", "clip.avi", "clip.avi: "),
        (TRAIN, "--init", "frun/checkpoint.npz", "none of the"),  # but its last layer, which fits by accident
        (TRAIN, "--variant", "caffe", "only tower googlenet has the choice"),
        (EVALUATE, "--views", -1, "--views is -1"),
        (EVALUATE, "--batch", -1, "--batch is -1, expected at least 1"),
        (EVALUATE, "--save", "mini", "--save mini is a folder"),
        (PREDICT, "--views", 0, "--views is 0"),
        (PREDICT, "--top", -1, "--top is -1"),
        (PREDICT, "--render", "mini", "--render mini is a folder"),
        (PREDICT, "--render", "clip.avi/out.mp4", "clip.avi"),
        (FEATURES, "--count", 0, "--count is 0"),
        (FEATURES, "--out", "mini", "--out mini is a folder"),
        (["summary"], "--frames", -1, "--frames is -1"),
        (["summary"], "--classes", 0, "--classes is 0"),
        (["summary"], "--vector", -1, "vector is -1"),
        (["import", "x.npz"], "--classes", 0, "--classes is 0"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_an_option_that_cannot_be(told, command, option, value, words):
    assert words in told(*command, option, value)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("missing.avi", None, "missing.avi: no such video file"),
        ("empty.avi", b"", "empty.avi: the file is empty"),
        ("text.avi", b"hello", "text.avi: not a video"),
        ("cut.avi", slice(None, -3000), "cut.avi: truncated or damaged"),
        ("head.avi", slice(100), "head.avi: not a video, or cut off in its header"),
    ],
)
@pytest.mark.parametrize("extra", [[], ["--whole"], ["--render", "new.mp4"]], ids=["views", "whole", "render"])
def test_a_video_that_is_none(told, home, name, content, words, extra):
    if content is not None:
        data = (home / "clip.avi").read_bytes()[content] if isinstance(content, slice) else content
        (home / name).write_bytes(data)
    assert words in told("predict", "run/checkpoint.npz", name, *extra)
    assert not list(home.glob("*new.mp4*"))


def spoil(path, how):
    """A copy of a file, cut short, with one byte changed, or empty."""
    data = bytearray(path.read_bytes())
    if how == "bit":
        data[len(data) // 2] ^= 255
    copy = path.with_name(f"{how}-{path.name}")
    copy.write_bytes({"cut": data[:-500], "bit": data, "empty": b""}[how])
    return copy


@pytest.mark.parametrize("how", ["cut", "bit", "empty"])
def test_a_damaged_checkpoint_or_feature_file(told, home, how):
    model, features = spoil(home / "run" / "checkpoint.npz", how), spoil(home / "f.npz", how)
    for command in (
        ["predict", model, "clip.avi"],
        ["evaluate", model, "mini"],
        ["features", "clip.avi", "--model", model, "--out", "new.npz"],
        ["summary", model],
        [*TRAIN, "--init", model],
    ):
        assert model.name in told(*command)
    assert features.name in told("train", features, "--out", "new")
    model.unlink()
    features.unlink()


def test_a_model_and_data_that_do_not_go_together(told):
    words = told("evaluate", "frun/checkpoint.npz", "mini", "--cache", "none")
    assert "frun/checkpoint.npz reads precomputed features, but mini is a folder of videos" in words
    words = told("evaluate", "run/checkpoint.npz", "f.npz")
    assert "run/checkpoint.npz reads videos, but f.npz is a file of features" in words
    assert "is not a checkpoint" in told("evaluate", "f.npz", "mini")
    assert "it is a folder" in told("predict", "run", "clip.avi")


def test_lists_that_are_wrong(told, home):
    def lists(name, text, binary=False):
        shutil.rmtree(home / "data", ignore_errors=True)
        shutil.copytree(home / "mini", home / "data")
        path = home / "data" / "ucfTrainTestlist" / name
        path.write_bytes(text if binary else path.read_bytes() + text)
        return told("train", "data", *SMALL, "--out", "new")

    assert "class Juggling of Juggling/v_Juggling_g01_c01.avi is not among the 16" in lists(
        "trainlist01.txt", b"Juggling/v_Juggling_g01_c01.avi 17\r\n"
    )
    assert "not a text file" in lists("classInd.txt", b"\xff\xfe\x00\x81", binary=True)
    assert "line 1 is 'nothing'" in lists("classInd.txt", b"", binary=True)
    assert "CardSun/v_CardSun_g09_c01.avi: listed" in lists("testlist01.txt", b"CardSun/v_CardSun_g09_c01.avi\r\n")
    name = next((home / "mini" / "CardSun").glob("*_g01_*")).name
    assert "is listed twice" in lists("testlist01.txt", f"CardSun/{name}\r\nCardSun/{name}\r\n".encode())
    shutil.rmtree(home / "data")


def test_a_full_disk_leaves_what_was_there(told, home, monkeypatch):
    """Every write to a file of this process fails as on a full disk, whichever way the command writes."""
    (home / "new.mp4").write_bytes(b"an older video")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)  # what is written is forced to disk before it takes the old file's place
    assert "f.npz: disk full" in told(*FEATURES[:-1], "f.npz", "--cache", "none")
    assert "new.mp4: disk full" in told(*PREDICT, "--render", "new.mp4")
    assert "run/checkpoint.npz" in told("train", "mini", *SMALL, "--out", "run", "--resume", "--epochs", "2")
    assert (home / "new.mp4").read_bytes() == b"an older video"
    assert load(home / "run" / "checkpoint.npz").epoch == 1
    assert not list(home.rglob("*.tmp"))
    (home / "new.mp4").unlink()
    monkeypatch.setattr("snippets.training.log.Log.write", full)
    assert "the disk is full; make room and run again" in told(*TRAIN)


def test_memory_that_does_not_suffice_is_told(told, monkeypatch):
    def too_much(*args, **kwargs):
        np.empty(2**62, np.uint8)

    monkeypatch.setattr("snippets.training.cli.predict.load_model", too_much)
    assert "out of memory (Unable to allocate" in told(*PREDICT)
