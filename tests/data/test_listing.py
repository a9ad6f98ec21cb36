"""What stands in people's folders beside videos, and names of any kind: told and counted, never fatal, never lost."""

import os
import shutil
import sys

import numpy as np
import pytest
from films import folder

from snippets.data.decoder import Decoder
from snippets.data.features import load_features
from snippets.data.layouts.splits import Video
from snippets.data.layouts.survey import check_dataset
from snippets.data.layouts.table import VideoFolder
from snippets.data.layouts.ucf101 import read_list
from snippets.data.listing import shown, tally
from snippets.data.store.store import Store
from snippets.data.video import SUFFIXES
from snippets.training.cli.main import main

NAMES = (  # what a class folder may hold, as bytes
    b"new\nline.avi",
    b"\x1b[31mred\x1b[0m.avi",
    b"caf\xe9 Latin-1.avi",  # no UTF-8
    "Ünïcödé \u3000映画 \u202eivas.avi".encode(),
    b"n" * 251 + b".avi",  # the longest that file systems take
    b"#1 of 'all' \"clips\"; rm -rf $HOME.avi",
)


def lines(capsys):
    """What a command has printed, without progress bars; every character of it can be shown."""
    text = "".join(capsys.readouterr())
    found = [line for line in text.replace("\r", "\n").splitlines() if "it/s" not in line and "video/s" not in line]
    assert all(line.isprintable() for line in found), found
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")
def test_names_of_any_kind(tmp_path, clip, model, capsys):
    """Listed, decoded, kept in the cache and its manifest, printed, skipped: by a name that any terminal can show."""
    root = folder(tmp_path / "data\n\x1b[1m", clip, NAMES)
    classes, train, test = VideoFolder(root).load()
    names = {v.name for v in train + test}
    assert classes == ["#a", "b"] and len(names) == 12 and all(name.isprintable() for name in names)
    assert {r"b/new\nline.avi", r"b/\x1b[31mred\x1b[0m.avi", r"b/caf\udce9 Latin-1.avi"} < names
    for _ in range(2):
        cache = Store(tmp_path / "cache", Decoder(16))
        assert cache.manifest.entries.keys() in (set(), names)  # the second time, all from the manifest
        cache.fill(train + test, progress=False)
    np.testing.assert_array_equal(cache.frames(train[0]), Decoder(16).frames(train[0]))
    assert main(["check-data", str(root)]) == 0
    assert "nothing is wrong" in lines(capsys)
    videos = [str(v.path) for v in train if v.label == 0]
    picture = str(tmp_path / "a\x1b\nb.png")
    latin = next(str(v.path) for v in train + test if "Latin" in v.name)
    assert main(["predict", str(model), latin, "--render", picture]) == 0
    assert r"a\x1b\nb.png" in "".join(lines(capsys)) and os.path.isfile(picture)
    assert main(["predict", str(model), *videos, str(root / "no\nne.avi")]) == 1
    found = lines(capsys)
    assert {shown(path) for path in videos} < set(found) and any(r"no\nne.avi: no such" in line for line in found)
    out = tmp_path / ("o" * 251 + ".npz")
    assert main(["features", *videos, "--model", str(model), "--count", "2", "--out", str(out)]) == 0
    with np.load(out) as file:
        assert set(file["name"]) == {v.name for v in train if v.label == 0}
    capsys.readouterr()
    for v in train[:3]:  # the first class, whose name begins like a comment
        v.path.write_bytes(b"damaged")
    skip = str(tmp_path / "skip.txt")
    assert main(["check-data", str(root), "--write-skip", skip]) == 1
    assert sum("not a video" in line for line in lines(capsys)) == 3
    assert main(["check-data", str(root), "--skip", skip]) == 0


def test_a_path_that_is_very_long(tmp_path, clip, model):
    """Folders of 3,000 bytes, of the 4,096 that Linux takes."""
    root = tmp_path.joinpath(*["d" * 200] * 14)
    root.mkdir(parents=True)
    folder(root / "data", clip, ("1.avi", "2.avi"))
    assert main(["check-data", str(root / "data")]) == 0
    assert main(["predict", str(model), str(root / "data" / "b" / "1.avi")]) == 0


@pytest.mark.parametrize("suffix", "3gp MTS m2ts Ts mod TOD vob ogv asf qt mxf divx f4v DV wmv 3G2 M2T m4v".split())
def test_suffixes_of_phones_and_cameras(tmp_path, suffix):
    assert f".{suffix.lower()}" in SUFFIXES
    for name in ("a", "b"):
        for k in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{k}.{suffix}").touch()
    assert len([v for side in VideoFolder(tmp_path).load()[1:] for v in side]) == 4


def test_what_systems_leave_behind_is_counted(tmp_path, clip, model, capsys):
    """AppleDouble files, pictures of folders, __MACOSX, text: told by check-data, train and features, and no error."""
    root = folder(tmp_path / "data", clip, ("1.avi", "2.avi", "3.avi"))
    for name in ("._1.avi", ".DS_Store", "Thumbs.db", "notes.txt", "README", "cover.JPG"):
        (root / "b" / name).write_bytes(b"\0\5\x16\7")
    for name in ("__MACOSX/b", ".git", "b/more"):
        (root / name).mkdir(parents=True)
        shutil.copy(clip, root / name / "4.avi")
    shutil.copy(clip, root / "loose.avi")
    classes, train, test = VideoFolder(root).load()
    assert classes == ["#a", "b"] and len(train + test) == 6
    counts = "5 hidden, 2 in no class folder, 1 .jpg, 1 .txt, 1 without suffix"
    found = tally(why for _, why in VideoFolder(root).ignored([v.path for v in train + test]))
    assert sorted(found.split(", ")) == sorted(counts.split(", "))
    survey = check_dataset(root, progress=False)
    assert not survey.wrong and survey.unlisted == ["loose.avi", "b/more/4.avi"]
    assert survey.ignored["b/._1.avi"] == "hidden" and survey.ignored["__MACOSX"] == "hidden"
    text = str(survey)
    assert "unlisted  2 are in no class folder" in text and "ignored   8 are no videos (5 hidden, 1" in text
    main(["features", str(root), "--model", str(model), "--cache", "none", "--out", str(tmp_path / "f.npz")])
    assert [line for line in lines(capsys) if line.startswith("ignored: 10 files (5 hidden, 2 in no")]
    for name in ("a.txt", "b.txt"):
        (root / "#a" / name).touch()
    for path in (root / "#a").glob("*.avi"):
        path.unlink()
    with pytest.raises(ValueError, match="#a: no videos .* here, found 2 .txt; add some"):
        VideoFolder(root).load()


def test_links_are_followed_once_and_broken_ones_are_missing_videos(tmp_path, clip):
    root = folder(tmp_path / "data", clip, ("1.avi", "2.avi"))
    elsewhere = folder(tmp_path / "elsewhere", clip, ("1.avi", "2.avi", "3.avi"))
    (root / "c").symlink_to(elsewhere / "b", target_is_directory=True)  # a class
    (root / "b" / "3.avi").symlink_to(elsewhere / "b" / "3.avi")  # a video
    for name, target in {"up": root, "b/self": root / "b", "b/top": "/", "#a/loop": "loop"}.items():
        (root / name).symlink_to(target)
    (elsewhere / "b" / "back").symlink_to(elsewhere / "#a")
    (elsewhere / "#a" / "forth").symlink_to(elsewhere / "b")  # two that lead to each other
    split = VideoFolder(root).load()
    assert split.classes == ["#a", "b", "c"] and len(split.train + split.test) == 2 + 3 + 3
    survey = check_dataset(root, progress=False)
    assert {name for name, why in survey.ignored.items() if why == "link to a folder around it"} == {
        "up", "b/self", "b/top", "c/back/forth",
    }  # fmt: skip
    (elsewhere / "b" / "3.avi").unlink()
    survey = check_dataset(root, progress=False)
    assert survey.missing == ["b/3.avi"] and survey.wrong
    with pytest.raises(FileNotFoundError, match="b/3.avi: listed in .* but no file is there .missing: 1 of 7 videos"):
        VideoFolder(root).load()
    assert len(VideoFolder(root).load(skip=["b/3.avi"]).train + VideoFolder(root).load(available=True).test) > 0


def test_a_folder_that_cannot_be_read_is_told(tmp_path, clip, monkeypatch):
    """Without permission, for instance, which the superuser always has."""
    root, listdir = folder(tmp_path / "data", clip, ("1.avi", "2.avi")), os.listdir
    (root / "b" / "locked").mkdir()

    def refused(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refused)
    survey = check_dataset(root, progress=False)
    assert len(survey.decoded) == 4 and survey.ignored == {"b/locked": "unreadable folder: Permission denied"}


@pytest.mark.parametrize("name", ["Apple/../../x.avi", "Apple/../x.avi 1", "Apple/..", "Apple/./x.avi", "Apple//x.avi"])
def test_lists_lead_nowhere_outside(tmp_path, name):
    (tmp_path / "list.txt").write_text(f"{name}\n")
    with pytest.raises(ValueError, match="found line .*, expected 'Class/video.avi'"):
        read_list(tmp_path / "list.txt", ["Apple", ".."])
    (tmp_path / "list.txt").write_text("../x.avi\n")
    with pytest.raises(ValueError, match="found line"):
        read_list(tmp_path / "list.txt", ["Apple", ".."])


@pytest.mark.parametrize(
    "name", ["../../out.avi", "/etc/out.avi", "a/../../../out.avi", "..\\..\\out.avi", "..", "", "x" * 400, "a\ud800b"]
)
def test_names_in_a_cache_lead_nowhere_outside(tmp_path, clip, name):
    cache = Store(tmp_path / "deep" / "cache", Decoder(16))
    cache.manifest.begin()
    before = {*tmp_path.rglob("*")}
    for _ in range(2):
        assert len(cache.frames(Video(clip, 0, name, "g"))) == 8
    (new,) = {*tmp_path.rglob("*")} - before
    assert new.parent == cache.folder and new.suffix == ".npy"
    assert len(Store(tmp_path / "deep" / "cache", Decoder(16)).manifest.entries) == 1


def test_lists_with_names_of_any_kind(tmp_path, clip):
    """Spaces and bytes that are no UTF-8 in official lists; labels that hold separators are labels only."""
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_bytes(b"1 Apple\r\n2 Caf\xe9\r\n")
    (lists / "trainlist01.txt").write_bytes(b"Apple/my own video 2.avi 1\r\nCaf\xe9/v.avi 2\r\n")
    (lists / "testlist01.txt").write_bytes(b"Apple/my other video.avi\r\nCaf\xe9/\xff.avi\r\n")
    classes, train, test = VideoFolder(tmp_path).listed()
    assert classes == ["Apple", r"Caf\udce9"]
    assert [v.name for v in train + test] == [
        "Apple/my own video 2.avi", r"Caf\udce9/v.avi", "Apple/my other video.avi", r"Caf\udce9/\udcff.avi",
    ]  # fmt: skip
    assert os.fsencode(test[1].path).endswith(b"/Caf\xe9/\xff.avi")
    assert len(VideoFolder(tmp_path).listed(skip=[r"Caf\udce9/v.avi"]).train) == 1


@pytest.fixture
def spoiled(tmp_path, clip):
    """Classes #a and b of six videos each, of which five of b cannot be read, each in its own way."""
    root = folder(tmp_path / "data", clip, [f"{k}.avi" for k in range(1, 7)])
    b = root / "b"
    (b / "2.avi").write_bytes(b"")
    (b / "3.avi").write_bytes(clip.read_bytes()[:-2000])
    (b / "4.avi").write_text("text")
    for name in ("5.avi", "6.avi"):
        (b / name).unlink()
    (b / "5.avi").symlink_to("nowhere")
    os.mkfifo(b / "6.avi") if hasattr(os, "mkfifo") else (b / "6.avi").symlink_to("nowhere")
    return root


def test_features_and_predict_go_on_past_what_cannot_be_read(spoiled, model, tmp_path, capsys):
    """Each is named once, the others are used, the exit status tells, and a skip list is the way on."""
    bad = [f"b/{k}.avi" for k in (2, 3, 4, 5, 6)]
    for cache in ("none", str(tmp_path / "cache")):
        out = str(tmp_path / f"{cache[-5:]}.npz")
        command = ["features", str(spoiled), "--model", str(model), "--count", "2", "--out", out, "--cache", cache]
        assert main(command) == 1
        found = lines(capsys)
        assert [sum(f"{name}: " in line for line in found) for name in bad] == [1] * 5
        assert any("5 of 12 videos are left out" in line and "--skip" in line for line in found)
        with np.load(out) as file:
            assert sorted(file["name"]) == sorted([*(f"#a/{k}.avi" for k in range(1, 7)), "b/1.avi"])
    files = [str(spoiled / "b" / f"{k}.avi") for k in range(1, 7)]
    assert main(["predict", str(model), *files, *files[:1]]) == 1
    found = lines(capsys)
    assert found.count(files[0]) == 2  # the first and the last
    assert sum(line.startswith("error: ") for line in found) == 5


def test_one_run_names_all_that_cannot_be_read(spoiled, model, tmp_path, capsys):
    """check-data, and what fills the cache before a training; with the list of those, both are content."""
    skip, bad = tmp_path / "skip.txt", [f"b/{k}.avi" for k in (2, 3, 4, 5, 6)]
    assert main(["check-data", str(spoiled), "--write-skip", str(skip)]) == 1
    found = lines(capsys)
    assert all(sum(name in line for line in found) == 1 for name in bad)
    assert [line for line in skip.read_text().splitlines() if not line.startswith("#")] == bad
    train = ["train", str(spoiled), "--tower", "alexnet", "--size", "64", "--width", "0.05", "--fc", "4", "--frames"]
    train += ["4", "--epochs", "0", "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    assert main(train) == 1
    assert any("missing: 2 of 12 videos" in line for line in lines(capsys))
    assert main([*train, "--available"]) == 1
    found = lines(capsys)
    assert all(sum(f"{name}: " in line for line in found) == 1 for name in bad[:3]) and not (tmp_path / "run").exists()
    assert any("3 of 10 videos cannot be used" in line and "--skip" in line for line in found)
    assert len([*(tmp_path / "cache").rglob("*.npy")]) == 7  # all others have been decoded
    (spoiled / "b" / "7.avi").write_bytes((spoiled / "b" / "1.avi").read_bytes())
    assert main(["check-data", str(spoiled), "--skip", str(skip)]) == 0


def test_names_that_are_bytes(tmp_path, rng):
    """Feature files from elsewhere, also with names that are no UTF-8 and with control characters."""
    feat, is_test = rng.random((3, 2, 4), np.float32), [0, 0, 1]
    np.savez(
        tmp_path / "a.npz", feat=feat, label=[5, 7, 5], is_test=is_test, name=[b"a/1.avi", b"b\x1b/2.avi", b"a/\xe9"]
    )
    train, test = load_features(tmp_path / "a.npz")
    assert (
        train.classes == ["a", r"b\x1b"] and test.names == [r"a/\udce9"] and train.names == ["a/1.avi", r"b\x1b/2.avi"]
    )
    hot = np.eye(2, dtype=int)[[0, 1, 0]]
    np.savez(tmp_path / "b.npz", feat=feat, label=hot, is_test=is_test, classes=np.array([b"x", b"y/../z"]))
    assert load_features(tmp_path / "b.npz")[0].classes == ["x", "y/../z"]


def test_the_situations_that_were_found(shared, tmp_path, capsys):
    """The small inputs beside the shared data, where they are."""
    cases = shared.parent / "cases"
    if not cases.is_dir():
        pytest.skip(f"needs {cases}")
    assert [s.classes for s in load_features(cases / "names_as_bytes.npz")] == [["a", "b", "c"]] * 2
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(cases / "clip.3gp", tmp_path / name / "1.3gp")
        shutil.copy(cases / "clip.MTS", tmp_path / name / "2.MTS")
        shutil.copy(cases / "apple_double", tmp_path / name / "._1.mp4")
    assert main(["check-data", str(tmp_path)]) == 0
    found = lines(capsys)
    assert "ignored   2 are no videos (2 hidden)" in found and any("decoded   4 videos" in line for line in found)
