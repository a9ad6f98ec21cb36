"""How files end: what is forced to disk, what stands in a last record, and what Windows does with open files."""

import errno
import gc
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from snippets.data import files
from snippets.data.features import fold_in, save_features
from snippets.data.files import read_npz, replacing, sweep, write, write_npz


def test_all_of_a_file_is_forced_to_disk(tmp_path, monkeypatch):
    """What Python still holds in its buffer when the disk is asked would be lost with the power."""
    sizes, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: sizes.append(os.fstat(number).st_size) or fsync(number))
    with replacing(tmp_path / "a") as file:
        file.write(b"abc")
    assert sizes == [3]


def test_a_new_file_waits_for_its_lock(tmp_path, monkeypatch):
    """Another run that sweeps the folder has it for a moment, and would delete the file if nobody waited."""
    asked, lock = [], files.lock
    monkeypatch.setattr(files, "lock", lambda file, wait=False: asked.append(wait) or lock(file, wait))
    with replacing(tmp_path / "a"):
        pass
    assert asked == [True]


def test_a_full_disk_is_told_with_what_became_of_the_old_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "old").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    for name, kept in (("old", "what was there is unharmed"), ("new", "nothing was written")):
        with pytest.raises(OSError) as caught, replacing(tmp_path / name):
            pass
        words = f"disk full while writing ({kept}; make room and run again)"
        assert (caught.value.strerror, caught.value.filename) == (words, str(tmp_path / name))
    assert os.listdir(tmp_path) == ["old"]


@pytest.mark.parametrize("keep", [True, False])
def test_what_nobody_wants_to_keep_or_has_room_for_is_not_kept(tmp_path, monkeypatch, keep):
    """All disks are full, or what was to be written can be made again: the error is that of the first place."""
    asked = []

    def full(_):
        asked.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        write(tmp_path / "a", "text", keep)
    assert caught.value.strerror.startswith("disk full while writing (nothing was written;")
    assert caught.value.filename == str(tmp_path / "a") and len(asked) == (3 if keep else 1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_windows_renames_and_deletes_only_files_that_nobody_has_open(tmp_path, monkeypatch):
    """No locks there: a file is closed before it is renamed, and one that somebody has open is not deleted."""
    closed, replace, unlink = [], os.replace, Path.unlink

    def delete(path):
        if path.name == ".snippets-held.tmp":
            raise PermissionError(errno.EACCES, "in use")
        unlink(path)

    for name in ("left", "held", "more"):
        (tmp_path / f".snippets-{name}.tmp").touch()
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files, "lock", lambda *_: pytest.fail("there are no locks"))
    monkeypatch.setattr(os, "replace", lambda *paths: closed.append(file.closed) or replace(*paths))
    monkeypatch.setattr(Path, "unlink", delete)
    sweep.cache_clear()
    with replacing(tmp_path / "a") as file:
        file.write(b"x")
    assert closed == [True] and sorted(os.listdir(tmp_path)) == [".snippets-held.tmp", "a"]


@pytest.mark.parametrize("moment", ["a member is open", "a member is half written"])
def test_nothing_is_said_later_of_an_archive_that_ctrl_c_left_open(tmp_path, monkeypatch, moment):
    """Whatever closes its member, and then the archive, writes into nothing."""
    opened, members, said = zipfile.ZipFile.open, [], []

    def interrupted(archive, *arguments, **more):
        members.append(opened(archive, *arguments, **more))
        if moment == "a member is half written":
            with members[0]:
                members.pop().write(b"half")
                raise KeyboardInterrupt
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "unraisablehook", lambda what: said.append(what.exc_value))
    monkeypatch.setattr(zipfile.ZipFile, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_npz(tmp_path / "a.npz", {"a": np.ones(3)})
    gc.collect()
    for member in members:
        member.close()
    members.clear()
    gc.collect()
    assert said == [] and os.listdir(tmp_path) == []


ENDS = {  # content: what is said of it as an archive of arrays
    b"": "it is no zip file",
    b"x": "it is no zip file",
    bytes(100): "it is no zip file",
    b"PK" + bytes(98): "it is cut short (an incomplete copy?)",
    b"PK" + b"x" * 98: "it is cut short (an incomplete copy?)",
    b"x" * 78 + b"PK\5\6" + bytes(16) + b"\1\0": "it is no zip file",  # a comment is declared and not there
}


@pytest.mark.parametrize("content", ENDS, ids=range(len(ENDS)))
def test_a_file_that_is_cut_and_one_that_is_no_archive(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_npz(tmp_path / "a.npz", ("a",))
    assert str(caught.value) == f"{tmp_path / 'a.npz'}: not an .npz file of plain arrays, or damaged ({ENDS[content]})"


def test_archives_without_any_array(tmp_path):
    """The shortest one has 22 bytes."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w"):
        pass
    assert (tmp_path / "a.npz").stat().st_size == 22 and read_npz(tmp_path / "a.npz", (), ("a",)) == {}
    write_npz(tmp_path / "b.npz", {})
    assert read_npz(tmp_path / "b.npz") == {}
    with pytest.raises(ValueError, match=r"b.npz: no array 'a', found \[\]; expected a$"):
        read_npz(tmp_path / "b.npz", ("a",))


def test_features_are_packed_and_their_fold_is_read_without_them(tmp_path, monkeypatch):
    read, array = [], files._array
    monkeypatch.setattr(files, "_array", lambda archive, info: read.append(info.filename) or array(archive, info))
    save_features(tmp_path / "f.npz", np.ones((2, 50, 100), np.float32), [1, 2], [0, 1], fold=2)
    assert (tmp_path / "f.npz").stat().st_size < 4000 and fold_in(tmp_path / "f.npz") == 2 and read == ["fold.npy"]
