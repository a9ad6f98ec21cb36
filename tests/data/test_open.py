"""How DATA is opened (data/open.py): what is asked for by default, what is told, and what is not done."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from films import film, numbered
from layout_folders import films, touched

import snippets.data.open
from snippets.data.features import save_features
from snippets.data.open import DataSettings, DataSpec, check_room, fold_for, open_data, price_cache
from snippets.data.store.processes import THIS_PROCESS


class Reached(Exception):
    """Everything before was done."""


def stop(*sets):
    raise Reached(*sets)


def test_a_spec_by_default():
    known = DataSpec("d")
    assert (known.path, known.size, known.settings, known.fold) == ("d", 220, DataSettings(), 1)
    assert (known.cache, known.skip, known.available, known.progress) == ("runs/cache", None, False, True)
    assert known.xp is np and known.features is None and known.executor is THIS_PROCESS


def test_folds_of_a_file_that_says_none(tmp_path):
    save_features(tmp_path / "f.npz", np.ones((2, 1, 1)), [1, 2], [0, 1])
    assert [fold_for(tmp_path / "f.npz", asked) for asked in (None, 1, 3)] == [1, 1, 3]
    root = touched(tmp_path / "d", "a/1.avi", "b/1.avi")
    assert [fold_for(root, asked) for asked in (None, 1, 3)] == [1, 1, 3]


def test_sets_are_checked_before_anything_is_decoded(tmp_path, monkeypatch):
    save_features(tmp_path / "f.npz", np.ones((3, 1, 1)), [1, 2, 2], [0, 0, 1])
    root = touched(tmp_path / "d", *(f"{c}/{n}.avi" for c in "ab" for n in range(3)))  # empty files
    for path in (tmp_path / "f.npz", root):
        with pytest.raises(Reached) as caught:
            open_data(DataSpec(path, 24, cache=tmp_path / "cache"), 1, check=stop)
        train, test = caught.value.args
        assert (len(train), len(test)) == ((2, 1) if path.suffix else (4, 2))
    assert not (tmp_path / "cache").exists()


def test_a_cache_is_filled_now_or_when_it_is_used(tmp_path, capsys):
    root = films(tmp_path / "d", *(f"{c}/{n}.avi" for c in "ab" for n in range(3)))
    for build, count in ((False, 0), (True, 6)):
        train, _ = open_data(DataSpec(root, 24, cache=tmp_path / "cache"), 1, build)
        assert len(train.source.manifest.entries) == count
        assert ("frames: 100%" in capsys.readouterr().err) == build
    open_data(DataSpec(root, 24, cache=tmp_path / "other", progress=False), 1)
    assert capsys.readouterr().err == ""


def test_a_video_that_is_skipped_is_not_said_to_be_ignored(tmp_path, capsys):
    root = touched(tmp_path / "d", *(f"{c}/{n}.avi" for c in "ab" for n in range(4)))
    (tmp_path / "skip").write_text("a/0.avi\n")
    for skip, count in ((None, 8), (tmp_path / "skip", 7)):
        sets = open_data(DataSpec(root, 24, cache=None, skip=skip), 1)
        assert sum(map(len, sets)) == count and "ignored" not in capsys.readouterr().out


def test_what_to_know_before_data_are_used_is_noted(tmp_path, capsys):
    """That no film is known of any clip, and that pictures have no rate of their own; nothing where both are known."""
    alone = touched(tmp_path / "a", *(f"{c}/{n}.avi" for c in "ab" for n in range(3)))
    grouped = touched(tmp_path / "g", *(f"{c}/v_{c}_g0{g}_c0{n}.avi" for c in "ab" for g in (1, 2, 3) for n in (1, 2)))
    shown = films(tmp_path / "p", *(f"{c}/v_{c}_g0{g}_c0{n}/" for c in "ab" for g in (1, 2) for n in (1, 2)))
    for root, told in (
        (alone, "no groups are known: clips of one film may be on both sides"), (grouped, None),
        (shown, "8 videos are folders of pictures, which do not say their frame rate: it is taken as 25 per second"),
    ):  # fmt: skip
        open_data(DataSpec(root, 24, cache=None), 1)
        notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
        assert len(notes) == bool(told) and (not told or notes[0].startswith(f"note: {told}"))


def test_videos_without_features_are_named_on_the_side(tmp_path, capsys):
    """Standard output is for results."""
    root = films(tmp_path / "d", *(f"{c}/{n}.avi" for c in "ab" for n in range(4)))
    (root / "a" / "0.avi").write_text("text")
    (root / "b" / "3.avi").write_text("text")

    def means(source):
        found = SimpleNamespace(**{name: getattr(source, name) for name in ("spread", "rate", "limit", "picture_fps")})
        found.shape, found.dtype, found.name, found.parameters = (1,), np.dtype(np.float32), "means", {}
        found.checksum = source.checksum
        found.stream = lambda video: (frame.mean((0, 1, 2), keepdims=True)[:, 0, 0] for frame in source.stream(video))
        return found

    spec = DataSpec(root, 24, cache=tmp_path / "cache", features=means, progress=False)
    sets = open_data(spec, 1)
    out, err = capsys.readouterr()
    first, second, last = err.splitlines()
    assert "a/0.avi: not a video" in first and "b/3.avi: not a video" in second
    assert last == "left out: 2 of 8 videos" and "left out" not in out
    assert sum(map(len, sets)) == 6 and not {"a/0.avi", "b/3.avi"} & {*sets[0].names, *sets[1].names}


def test_room_on_the_disk_of_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=1.5e9))
    path = tmp_path / "a" / "b"
    check_room(path, 1.5e9, "the files", "wait")
    with pytest.raises(OSError) as caught:
        check_room(path, 2.5e9, "the files", "wait")
    told = f"the files will take about 2.5 GB in {path}, where 1.5 GB are free: make room, or wait"
    assert str(caught.value) == told and asked == [tmp_path, tmp_path]
    with pytest.raises(OSError, match="the files"):
        check_room(tmp_path, 1.5e9 + 1, "the files", "wait")
    monkeypatch.setattr(snippets.data.open, "frames_per_video", lambda videos, source: 1e6)
    source = SimpleNamespace(shape=(100, 100, 3), dtype=np.dtype(np.uint8), folder=path)
    with pytest.raises(OSError, match="the frame cache of 2 videos will take about 60.0 GB in .* or --cache none"):
        price_cache([None] * 2, source)


def test_a_price_is_asked_for_what_is_missing(tmp_path, monkeypatch):
    root = films(tmp_path / "d", *(f"{c}/{n}.avi" for c in "ab" for n in range(3)))
    spec, asked = DataSpec(root, 24, cache=tmp_path / "cache", progress=False), []
    monkeypatch.setattr(snippets.data.open, "price_cache", lambda *given: asked.append(given))
    train, _ = open_data(spec, 1)
    film(root / "a" / "2.avi", [numbered(n) for n in range(3)])
    open_data(spec, 1)
    assert [sorted(v.name for v in missing) for missing, _ in asked] == [
        ["a/0.avi", "a/1.avi", "a/2.avi", "b/0.avi", "b/1.avi", "b/2.avi"], ["a/2.avi"],
    ]  # fmt: skip
    assert all(source.folder == train.source.folder for _, source in asked)
