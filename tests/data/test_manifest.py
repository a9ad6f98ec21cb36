"""Manifests: a table of videos, their classes, groups and sides; Kinetics' lists."""

import pytest
from layout_folders import manifest, names, touched

from snippets.data.layouts.splits import check_groups
from snippets.data.layouts.table import VideoFolder, is_data
from snippets.data.open import fold_for


def test_manifest_of_films(tmp_path):
    """Whatever the class, a film is on one side; each is tested in one fold; files, CRLF, BOM, commas and spaces."""
    rows = [f'"clips/{g}, {n} é.avi", calm{n % 2} ,film {g},x' for g in range(9) for n in range(1 + g % 3)]
    root = manifest(tmp_path / "d", "Path,LABEL,group,note", *rows, "", encoding="utf-8-sig", end="\r\n")
    touched(root, *(row.split('"')[1] for row in rows), "other.avi", "notes.txt")
    seen = []
    for fold in (1, 2, 3):
        split = VideoFolder(root).load(fold)
        check_groups(split)
        assert split.classes == ["calm0", "calm1"] and {v.label for v in split.train} == {v.label for v in split.test}
        seen += names(split.test)
    assert sorted(seen) == sorted(row.split('"')[1] for row in rows)
    given = VideoFolder(root / "videos.csv")
    assert given.load(3) == split and names(split.train)[0].startswith("clips/") and is_data(given.path)
    reasons = {path.name: why for path, why in given.ignored(v.path for v in split.train + split.test)}
    assert reasons == {"other.avi": "not in the manifest", "notes.txt": ".txt"}
    (root / names(split.test)[0]).unlink()
    with pytest.raises(FileNotFoundError, match="videos.csv of .*missing: 1 of 18 videos.*--available"):
        given.load(3)
    assert len(given.load(3, available=True).test) == len(split.test) - 1


def test_absolute_paths(tmp_path, monkeypatch):
    """They count if they lead below the folder of the manifest, and are known by their relative names."""
    root = tmp_path / "d"
    touched(root, "a/1.avi", "a/2.avi", "b/1.avi", "b/2.avi")
    manifest(root, "path,label", *(f"{root}/{k}/{n}.avi,{k}" for k in "ab" for n in (1, 2)), name="mine.csv")
    monkeypatch.chdir(tmp_path)
    for path in (root / "mine.csv", "d/mine.csv"):
        split = VideoFolder(path).load()
        assert sorted(names(split.train + split.test)) == ["a/1.avi", "a/2.avi", "b/1.avi", "b/2.avi"]
    manifest(tmp_path / "other", f"path,label\n{root}/a/1.avi,a", name="mine.csv")
    with pytest.raises(ValueError, match="line 2: found path .*d/a/1.avi.*folder of this file, .*other; move the file"):
        VideoFolder(tmp_path / "other" / "mine.csv").load()


def test_real_films(shared):
    path = shared / "surveillance"
    for fold in (1, 2, 3):
        split = VideoFolder(path).load(fold)
        assert len(split.train + split.test) == 223 and 60 < len(split.test) < 90
        assert not {v.group for v in split.train} & {v.group for v in split.test}
    assert len({v.group for v in split.train + split.test}) == 32


@pytest.mark.parametrize(
    "lines, message",
    [
        (["path,group", "a.avi,g"], "line 1: found columns path,group, expected path,label"),
        (["path;label", "a.avi;b"], "line 1: found columns path;label, expected path,label.*with commas"),
        (["path,label,label", "a,b,c"], "line 1: found columns path,label,label"),
        (["path,label", "a.avi,x", "../b.avi,y"], "line 3: found path '../b.avi', expected one of a video below"),
        (["path,label", "/b.avi,y"], "line 2: found path '/b.avi'"),
        (["path,label", ",y"], "line 2: found path ''"),
        (["path,label", "a.avi,x", "", "./a.avi,x"], "line 4: a.avi is in line 2 already"),
        (["path,label", "a.avi, "], "line 2: a.avi has no label"),
        (["path,label", "a.avi,x,y"], "line 2: found 3 fields, expected 2: path,label; a field with a comma"),
        (["path,label,split", "a.avi,x,tset"], "line 2: found split 'tset', expected train, val or test"),
        (["path,label", '"a"b.avi,x'], "line 2: .*quotes are for whole fields"),
        (["path,label", "a.avi,x"], "found 1 videos of 1 classes, expected two"),
        (["path,label,split,group", "a,x,train,g", "b,y,test,g"], "group g is on both sides .*a trains, b tests"),
        (["label,youtube_id,time_start,time_end", "x,aaaaaaaaaaa,1,b"], "line 2: found aaaaaaaaaaa,1,b, expected a Y"),
        ([], "an empty file, expected columns path"),
    ],
)
def test_bad_manifests(tmp_path, lines, message):
    root = touched(manifest(tmp_path / "d", *lines), "a", "b", "a.avi")
    with pytest.raises(ValueError, match=message):
        VideoFolder(root).load(fold_for(root), available=True)


@pytest.mark.parametrize("encoding, line", [("cp1252", 2), ("utf-16", 1)])
def test_manifest_in_another_encoding(tmp_path, encoding, line):
    root = manifest(tmp_path / "d", "path,label", "été.avi,x", encoding=encoding)
    with pytest.raises(ValueError, match=f"line {line}: found byte 0x.*expected text in UTF-8.*save it as UTF-8"):
        VideoFolder(root).load()


def test_kinetics(tmp_path):
    """Its own list: files named by id and seconds, in a folder per label or not; val tests where there is no test."""
    lines = [
        "surfing water,-aaaaaaaaaa,10,20,train,0",
        "yoga,bbbbbbbbbbb,3,13,train,0",
        "yoga,ccccccccccc,0,10,validate,0",
    ]
    head = "label,youtube_id,time_start,time_end,split,is_cc"
    root = manifest(tmp_path / "d", head, *lines, name="kinetics.csv")
    touched(root, "surfing_water/-aaaaaaaaaa_000010_000020.mp4", "bbbbbbbbbbb_000003_000013.webm", "yoga/c.mp4")
    folder = VideoFolder(root / "kinetics.csv")
    split = folder.load(None, available=True)
    assert split.classes == ["surfing water", "yoga"] and split.test == [] and fold_for(root / "kinetics.csv") is None
    assert [(v.label, v.group, v.path.suffix) for v in split.train] == [
        (0, "-aaaaaaaaaa", ".mp4"), (1, "bbbbbbbbbbb", ".webm"),
    ]  # fmt: skip
    with pytest.raises(FileNotFoundError, match=r"ccccccccccc_000000_000010.\*: listed in"):
        folder.load(None)


def test_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.csv: no such manifest"):
        VideoFolder(tmp_path / "none.csv")
