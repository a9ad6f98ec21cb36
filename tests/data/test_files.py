"""Files: whole or not at all, swept when their writer is dead, and no changed bit goes unnoticed."""

import errno
import gc
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from snippets.data import files
from snippets.data.features import load_features, save_features
from snippets.data.files import finite, parse_json, read_json, read_npz, replacing, sweep, write, write_json, write_npz
from snippets.training.checkpoint import Checkpoint, load, save
from snippets.training.evaluate import result_of
from snippets.training.predictions import Predictions, load_predictions, save_predictions


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """The folder for temporary files and the home folder are folders of the test; a command has just begun."""
    for name in ("temporary", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    sweep.cache_clear()


def make_checkpoint(path, rng):
    save(path, Checkpoint({"fc/W": rng.standard_normal((3, 2))}, {"fc/W": np.zeros((3, 2))}, classes=["a", "b"]))


def make_features(path, rng):
    feat = rng.integers(0, 256, (2, 3, 2)).astype(np.uint8)
    save_features(path, feat, [1, 2], [0, 1], name=["A/a.avi", "B/b.avi"], scale=0.01, fold=2)


def make_predictions(path, rng):
    p = rng.random((2, 2)) + [[0.5, 0], [0, 0.5]]
    save_predictions(path, Predictions(result_of(["a", "b"], ["x", "y"], np.array([0, 1]), p, 2, (1.0, 1.0)), 1))


KINDS = {
    "checkpoint": (make_checkpoint, load),
    "features": (make_features, load_features),
    "predictions": (make_predictions, load_predictions),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_changed_byte_goes_unnoticed(tmp_path, rng, kind):
    """A bit anywhere in the file, and a cut: an error that names the file, every time."""
    make, read = KINDS[kind]
    path = tmp_path / "file.npz"
    make(path, rng)
    read(path)
    whole = path.read_bytes()
    for at in rng.choice(len(whole), 150, replace=False):
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"file\.npz.*(have changed|cut short|no zip)"):
            read(path)
    for length in rng.integers(0, len(whole), 30):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"file\.npz"):
            read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_files_without_a_checksum_are_read_with_the_same_guards(tmp_path, rng, kind):
    """As earlier versions wrote them, and NumPy does. Damage is the one error, or else what is read is the same."""
    make, read = KINDS[kind]
    made, path = tmp_path / "made.npz", tmp_path / "file.npz"
    make(made, rng)
    with np.load(made, allow_pickle=False) as arrays:  # NumPy reads what was written here
        arrays = dict(arrays)
    np.savez(path, **arrays)
    same = read_npz(path, optional=("*",))
    assert list(same) == list(arrays) and all((same[name] == arrays[name]).all() for name in arrays)
    read(path)
    whole = path.read_bytes()
    directory = rng.choice(np.arange(whole.index(b"PK\1\2"), len(whole)), 60, replace=False)  # where names stand
    for at in [*rng.choice(len(whole), 40, replace=False), *directory]:
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            read(path)
            found = read_npz(path, optional=("*",))
        except ValueError as error:
            assert "file.npz" in str(error)
        else:
            assert set(found) == set(arrays)
            assert all(found[n].tobytes() == arrays[n].tobytes() and found[n].dtype == arrays[n].dtype for n in found)


def test_names_that_are_missing_or_unknown(tmp_path):
    path = tmp_path / "file.npz"
    write_npz(path, {"feat": np.zeros(2), "more/x": np.zeros(0)})
    assert list(read_npz(path, ("feat",), ("more/*",))) == ["feat", "more/x"]
    assert list(read_npz(path, ("feat",), ("more/*",), only=("feat",))) == ["feat"]
    with pytest.raises(ValueError, match=r"file.npz: no array 'label', found \['feat', 'more/x'\]; expected label"):
        read_npz(path, ("label",), ("*",))
    with pytest.raises(ValueError, match="an unknown array 'more/x', found .*; expected feat, other"):
        read_npz(path, ("feat",), ("other",))
    with pytest.raises(FileNotFoundError, match="none.npz: no such file"):
        read_npz(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match="a folder"):
        read_npz(tmp_path)
    with pytest.raises(ValueError, match="array 'a' is of object"):
        write_npz(path, {"a": np.array([{}])})
    for a in (np.float32(3), np.array(["Čelo", ""]), np.zeros((0, 3), np.int8), np.asfortranarray(np.eye(3, 2))):
        write_npz(path, {"a": a}, compress=True)
        (back,) = read_npz(path, ("a",)).values()
        assert back.dtype == a.dtype and back.shape == a.shape and (back == a).all()


def test_an_archive_of_more_arrays_than_a_byte_counts(tmp_path):
    many = {f"{n}/W": np.full(n % 3, n) for n in range(300)}
    write_npz(tmp_path / "a.npz", many)
    found = read_npz(tmp_path / "a.npz", optional=("*/W",))
    assert list(found) == list(many) and all((found[name] == many[name]).all() for name in many)


def test_ctrl_c_while_an_archive_is_written_stays_ctrl_c(tmp_path, monkeypatch):
    """It may come between the opening of a member and its `with`: nothing closes the member then."""
    opened = zipfile.ZipFile.open

    def interrupted(archive, *arguments, **more):
        member = opened(archive, *arguments, **more)  # noqa: F841
        raise KeyboardInterrupt

    write_npz(tmp_path / "a.npz", {"a": np.zeros(3)})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(zipfile.ZipFile, "open", interrupted)
        write_npz(tmp_path / "a.npz", {"a": np.ones(3)})
    gc.collect()  # and nothing is said of it later
    assert read_npz(tmp_path / "a.npz", ["a"])["a"].tolist() == [0, 0, 0] and not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1]", b"3", b"null", b"\xff\xfe", b'{"a": NaN}', b'{"a": [1e999]}', b'{"a": ' + b"[" * 100_000],
    ids=range(9),
)
def test_json_that_is_none(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"a\.json: not JSON, or damaged"):
        read_json(tmp_path / "a.json")


def test_json_comes_back_and_has_no_nan(tmp_path):
    value = {"a": [1, 0.5, "Č", None], "b": {"c": float("nan"), "d": (float("-inf"),)}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == {"a": [1, 0.5, "Č", None], "b": {"c": None, "d": [None]}} == finite(value)
    assert np.isnan(parse_json('{"a": NaN}', "x", nan=True)["a"])
    json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="asks Linux which file a number stands for")
def test_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    """Written elsewhere, forced to disk, and only then renamed: whoever has the old file open reads it to its end."""
    calls, path = [], tmp_path / "a.txt"
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, call=call: calls.append(name) or call(*a))
    write(path, "old")
    with open(path) as reader:
        write(path, "new")
        assert reader.read() == "old" and path.read_text() == "new"
    assert calls == ["fsync", "replace"] * 2


def test_a_full_disk_keeps_the_work_where_there_is_room(tmp_path, monkeypatch):
    path = tmp_path / "out" / "a.json"
    write(path, "old")
    for full in ("out", "out temporary"):
        folders = [f"{tmp_path / name}/" for name in full.split()]

        def fsync(number, folders=folders):
            if os.readlink(f"/proc/self/fd/{number}").startswith(tuple(folders)):
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", fsync)
        with pytest.raises(OSError, match="the disk is full; the file is kept as ") as caught:
            write(path, "new")
        kept = caught.value.strerror.split("kept as ")[1].split(":")[0]
        assert kept.startswith(str(tmp_path / ("home" if "temporary" in full else "temporary")))
        assert kept.endswith(".json") and Path(kept).read_text() == "new" and caught.value.filename == str(path)
        assert path.read_text() == "old" and os.listdir(path.parent) == ["a.json"]
    assert len(os.listdir(tmp_path / "temporary")) == len(os.listdir(tmp_path / "home")) == 1


def test_a_name_as_long_as_a_file_may_have(tmp_path):
    name = "ä" * 125 + ".json"  # 255 bytes
    write(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"


PROGRAM = """
import sys, time
from snippets.data.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(files.fcntl is None, reason="Windows does not delete open files")
def test_a_dead_run_is_swept_and_a_live_one_is_not(tmp_path):
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tmp_path / "a"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert run.stdout.readline() == b"writing\n"
        (left,) = tmp_path.glob(".snippets-*.tmp")
        write(tmp_path / "b", "b")
        assert left.exists()
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert left.exists()
        write(tmp_path / "b", "b")
        assert left.exists()  # looked for once a command
        sweep.cache_clear()
        write(tmp_path / "b", "b")
        assert not left.exists() and not (tmp_path / "a").exists()
    finally:
        run.kill()
        run.communicate()


def test_a_file_that_was_swept_before_its_lock_is_made_anew(tmp_path, monkeypatch):
    lock, swept = files.lock, []

    def too_late(file, wait=False):
        if not swept:
            swept.append(file.name)
            os.unlink(file.name)
        return lock(file, wait)

    monkeypatch.setattr(files, "lock", too_late)
    with replacing(tmp_path / "a") as file:
        file.write(b"x")
    assert (tmp_path / "a").read_bytes() == b"x" and len(swept) == 1


def test_a_folder_that_cannot_be_written_is_named_and_not_the_temporary_file(tmp_path, monkeypatch):
    def denied(name, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(name))

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(PermissionError) as caught, replacing(tmp_path / "a"):
        pass
    assert caught.value.filename == str(tmp_path)


def test_an_array_of_more_than_two_gigabytes_can_be_written(tmp_path, monkeypatch):
    """A member of unknown length is given 64-bit sizes beforehand; here the limit is a thousand bytes."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    big = np.arange(5000.0)
    write_npz(tmp_path / "a.npz", {"big": big})
    monkeypatch.undo()
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz", ("big",))["big"], big)
