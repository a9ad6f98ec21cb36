"""A long job that was interrupted goes on where it stopped, under the same settings and on the same videos only."""

import errno
import os

import numpy as np
import pytest

from snippets.data.features import load_features
from snippets.data.layouts.splits import Video
from snippets.data.partial import Partial
from snippets.data.video import write_video
from snippets.training.cli import features as commands
from snippets.training.cli.main import main

OPTIONS = "--tower alexnet --size 32 --width 0.1 --count 2".split()


def test_results_are_kept_for_the_same_settings_and_file(tmp_path):
    videos = [Video(tmp_path / name, 0, f"A/{name}", name) for name in ("ä" * 125 + ".avi", "b.avi")]
    for video in videos:
        video.path.write_bytes(b"x")
    out, result = tmp_path / f"{'ö' * 120}.npz", {"feat": np.arange(6.0).reshape(2, 3)}
    partial = Partial(out, (25, "conv"))
    assert partial.read(videos[0]) is None
    partial.write(videos[0], result)
    assert (Partial(out, (25, "conv")).read(videos[0])["feat"] == result["feat"]).all()
    assert partial.read(videos[1]) is None and Partial(out, (24, "conv")).read(videos[0]) is None
    (file,) = partial.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert partial.read(videos[0]) is None  # damaged
    partial.write(videos[0], result)
    os.utime(videos[0].path, ns=(1, 1))
    assert partial.read(videos[0]) is None  # another file, perhaps
    Partial(out, (24, "conv")).write(videos[1], result)
    mine = tmp_path / "holiday.partial"
    mine.mkdir()
    partial.remove()
    assert sorted(p for p in tmp_path.iterdir() if p.is_dir()) == [mine]


def test_no_room_for_what_is_kept_is_no_error(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    video, partial = Video(tmp_path / "a.avi", 0, "A/a.avi", "a"), Partial(tmp_path / "f.npz", ())
    video.path.write_bytes(b"x")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    partial.write(video, {"feat": np.zeros(3)})
    assert partial.read(video) is None and not list(tmp_path.rglob("*snippets*"))


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for k in range(3):
        (tmp_path / "A").mkdir(exist_ok=True)
        write_video(tmp_path / "A" / f"{k}.avi", rng.integers(0, 256, (4, 32, 32, 3), np.uint8), 25)
    return [f"A/{k}.avi" for k in range(3)]


@pytest.fixture
def computed(monkeypatch):
    """The calls that compute features; `stop`: the one that is interrupted."""
    calls, compute = [], commands.frame_features

    def counting(tower, clip):
        calls.append(len(clip))
        if len(calls) == calls_until.get("stop"):
            raise KeyboardInterrupt
        return compute(tower, clip)

    calls_until = {}
    monkeypatch.setattr(commands, "frame_features", counting)
    return calls, calls_until


def test_features_go_on_where_they_were_interrupted(clips, computed, tmp_path, capsys):
    calls, until = computed
    assert main(["features", *clips, *OPTIONS, "--out", "whole.npz"]) == 0
    assert len(calls) == 3 and not list(tmp_path.glob("*.partial"))
    calls.clear()
    until["stop"] = 3
    assert main(["features", *clips, *OPTIONS, "--out", "f.npz"]) == 130
    assert not (tmp_path / "f.npz").exists() and len(list(tmp_path.glob("f-*.partial/*.npz"))) == 2
    until.clear()
    calls.clear()
    capsys.readouterr()
    assert main(["features", *clips, *OPTIONS, "--out", "f.npz"]) == 0
    assert len(calls) == 1 and capsys.readouterr().out.count("4 frames, 2 x") == 3
    assert (tmp_path / "f.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not list(tmp_path.glob("*.partial")) and len(load_features("f.npz")[0]) == 3


@pytest.mark.parametrize("other", [["--seed", "1"], ["--count", "3"], ["--width", "0.2"], ["--mean", "3"]])
def test_features_with_other_settings_begin_anew(clips, computed, tmp_path, other):
    calls, until = computed
    until["stop"] = 3
    assert main(["features", *clips, *OPTIONS, "--out", "f.npz"]) == 130
    until.clear()
    calls.clear()
    assert main(["features", *clips, *OPTIONS, *other, "--out", "f.npz"]) == 0
    assert len(calls) == 3 and not list(tmp_path.glob("*.partial"))
