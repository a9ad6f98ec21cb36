"""One run, one folder: a second one is refused at once, a killed one leaves nothing that would keep others out."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

from snippets.data import lock
from snippets.data.lock import one_run
from snippets.training.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def holder(tmp_path):
    """A function (out, file) -> another process, which holds that place until it is killed."""
    started = []

    def hold(out, file=False):
        text = (
            f"from snippets.data.lock import one_run\nwith one_run({str(out)!r}, {file}): print(1, flush=True); input()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", text], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "1\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_every_command_is_refused_at_once_where_another_run_writes(holder, tmp_path, capsys):
    out, file = tmp_path / "out", tmp_path / "features.npz"
    run = holder(out)
    other = holder(file, file=True)
    commands = {
        "train nowhere": (out, run), "train nowhere --fold all": (out, run), "train nowhere --downpour": (out, run),
        "demo --quick": (out, run), "tables": (out, run), "tables --measured": (out, run), "claims": (out, run),
        "compare nowhere.npz": (out, run), "features nowhere.mp4": (file, other),
    }  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    for words, (place, process) in commands.items():
        if words == "train nowhere --fold all":
            (tmp_path / "videos").mkdir(exist_ok=True)
            words = words.replace("nowhere", str(tmp_path / "videos"))
            before = sorted(tmp_path.rglob("*"))
        assert main([*words.split(), "--out", str(place)]) == 1, words
        err = capsys.readouterr().err
        who = f"process {process.pid} on {socket.gethostname()}"
        assert err == f"snippets: {place} is in use by {who}: wait for its end, stop it, or choose another place\n"
        assert sorted(tmp_path.rglob("*")) == before
    assert main(["tables", "--dry-run", "--table", "1", "--out", str(out)]) == 0  # writes nothing


def test_a_killed_run_keeps_nobody_out(holder, tmp_path):
    run = holder(tmp_path)
    with pytest.raises(OSError, match=f"in use by process {run.pid} on "), one_run(tmp_path):
        pass
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert (tmp_path / ".lock").exists()  # it had no time to remove it
    with one_run(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    assert list(tmp_path.iterdir()) == []


def test_a_thread_may_take_its_place_again_and_no_other_thread_may(tmp_path):
    found = []

    def other():
        try:
            with one_run(tmp_path):
                found.append("in")
        except OSError as error:
            found.append(str(error))

    (tmp_path / "link").symlink_to(tmp_path)
    with one_run(tmp_path):
        with one_run(tmp_path / "link"), one_run(f"{tmp_path}/../{tmp_path.name}"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with one_run(tmp_path / "f.npz", file=True), one_run(tmp_path / "g.npz", file=True):
            pass  # files in it are places of their own
    assert len(found) == 1 and f"process {os.getpid()}" in found[0]
    other()
    assert found[1:] == ["in"]


def test_a_file_that_its_last_holder_has_just_removed_is_no_lock(tmp_path, monkeypatch):
    real, calls = lock.fcntl.flock, []

    def flock(file, how):
        calls.append(file)
        if len(calls) == 1:  # opened by this run, and removed before this run has locked it
            os.unlink(tmp_path / ".lock")
        return real(file, how)

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with one_run(tmp_path):
        assert len(calls) == 2 and (tmp_path / ".lock").exists()


def test_a_folder_made_for_nothing_is_taken_away_again(tmp_path):
    with pytest.raises(KeyError), one_run(tmp_path / "a" / "b"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with one_run(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "kept").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["kept"]
    with one_run(None):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_without_locks_is_told(code, tmp_path, monkeypatch, capsys):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with one_run(tmp_path / "out"):
        (tmp_path / "out" / "result").touch()
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"{tmp_path / 'out'}: cannot be locked ({os.strerror(code)})" in err


def test_windows_locks_a_byte_behind_the_text(tmp_path, monkeypatch):
    locked = []

    def locking(fd, how, count):
        if locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        locked.append((how, count, os.lseek(fd, 0, os.SEEK_CUR)))

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(lock, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2), raising=False)
    with one_run(tmp_path):
        lock.HELD.paths.clear()  # as another process would see it
        with pytest.raises(OSError, match=f"in use by process {os.getpid()} on"), one_run(tmp_path):
            pass
        lock.HELD.paths.add(tmp_path.resolve())
    assert locked == [(2, 1, 1 << 30)]


def test_every_file_that_is_opened_for_a_lock_is_closed_again(tmp_path, monkeypatch):
    """That of a run that is refused, that whose holder has just removed it, and its own at the end of the block."""
    real, files = lock.fcntl.flock, []

    def flock(file, how):
        if len(files) == 1:
            os.unlink(tmp_path / ".lock")
        return real(file, how)

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    monkeypatch.setattr(lock, "open", lambda *a, **more: files.append(open(*a, **more)) or files[-1], raising=False)
    with one_run(tmp_path):
        lock.HELD.paths.clear()  # as another process would see it
        with pytest.raises(OSError, match="in use by process"), one_run(tmp_path):
            pass
        lock.HELD.paths.add(tmp_path.resolve())
        assert [file.closed for file in files] == [True, False, True]
    assert all(file.closed for file in files) and not list(tmp_path.iterdir())
