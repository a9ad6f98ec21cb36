"""What surrounds Ray, which only a notebook starts here: a wrong address is said in seconds, leftovers are swept."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT
from waiting import HANG

from snippets.data.lock import one_run
from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.distributed import ray_session
from snippets.training.distributed.ray_session import HELLO, check_address, connect, import_ray, on_this_machine


@contextlib.contextmanager
def server(answer):
    """Port of a server on the loopback: answer(connection) deals with the first caller."""

    def serve():
        connection = listener.accept()[0]
        answer(connection)
        done.wait(HANG)
        connection.close()

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            thread.join()


def says(text, kept):
    def answer(connection):
        kept.append(connection.recv(1000))
        connection.sendall(text)

    return answer


def test_a_wrong_address_is_said_within_seconds(tmp_path, monkeypatch, capsys):
    """The form is wrong, nobody listens, something else answers, or nothing is ever answered."""
    monkeypatch.setattr(ray_session, "WAIT", 0.5)
    kept = []
    for address in ("nowhere", "head:", ":6379", "head:port", "ray://head:10001", "head:-1", "http://head:80"):
        with pytest.raises(ValueError, match=f"--address {address}: expected HEAD:PORT"):
            check_address(address)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]
    wrong = [(f"127.0.0.1:{free}", "refused"), ("127.0.0.1:99999", "no Ray answers"), ("no.such.invalid:1", "no Ray")]
    wrong.append((f"{'x' * 80}.invalid:1", "no Ray answers"))  # no name that a host can have
    for address, told in wrong:
        with pytest.raises(OSError, match=told):
            check_address(address)
    for text, told in ((b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else"), (b"", "timed out"), (b"\0", "else")):
        with server(says(text, kept)) as port, pytest.raises(OSError, match=told):
            check_address(f"127.0.0.1:{port}")
    with pytest.raises(ValueError, match="--address nowhere: expected"), ray_session.ray_session("nowhere"):
        pass
    with server(says(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]), kept)) as port:
        check_address(f"127.0.0.1:{port}")  # what a gRPC server says
    assert kept[-1] == HELLO
    assert main(["train", "f.npz", "--downpour", "--address", f"127.0.0.1:{free}", "--out", str(tmp_path / "run")]) == 1
    err = capsys.readouterr().err  # before anything is read or decoded
    assert err.count("\n") == 1 and f"--address 127.0.0.1:{free}: no Ray answers there" in err


def test_what_a_killed_run_left_is_swept_and_what_is_in_use_is_not(monkeypatch):
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(dir="/tmp") as root:  # short, as Ray's paths must be
        monkeypatch.setenv("RAY_TMPDIR", root)
        names = "snippets-ray-dead", "snippets-ray-old", "snippets-ray-live", "snippets-ray-new", "other"
        dead, old, alive, new, other = (Path(root) / name for name in names)
        for folder in (dead, old, alive, new, other):
            folder.mkdir()
            (folder / "file").touch()
        for folder in (dead, alive, other):
            (folder / "token").touch()
        os.utime(old, (0, 0))
        command = f"from snippets.data.lock import one_run\nwith one_run({str(alive)!r}): print(1, flush=True); input()"
        options = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with subprocess.Popen([sys.executable, "-c", command], **options) as process:
            process.stdout.readline()
            before = dict(os.environ)
            with on_this_machine() as how:
                mine = Path(how["_temp_dir"]).parent
                assert mine.parent == Path(root) and not dead.exists() and not old.exists()
                assert all((folder / "file").exists() for folder in (alive, new, other))
                with pytest.raises(OSError, match="in use"):
                    threaded(lambda: one_run(mine).__enter__())
                assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(mine / "token")
            assert not mine.exists() and dict(os.environ) == before
            process.kill()
        with on_this_machine():
            assert not alive.exists()


def test_a_folder_that_ray_cannot_use_is_one_sentence(tmp_path, monkeypatch):
    """There is none, it is a file, nobody may write there (/proc, not even root), or its path is too long."""
    pytest.importorskip("ray")
    with tempfile.NamedTemporaryFile(dir="/tmp", prefix="r") as file:
        for folder in ("/tmp/none", file.name, "/proc"):
            monkeypatch.setenv("RAY_TMPDIR", folder)
            found = rf"^RAY_TMPDIR={folder}: Ray cannot make its folder there \([A-Z].*\); export RAY_TMPDIR with"
            with pytest.raises(OSError, match=found), on_this_machine():
                pass
    long = f"/tmp/{'x' * 14}"
    monkeypatch.setenv("RAY_TMPDIR", long)
    with pytest.raises(OSError, match=rf"^RAY_TMPDIR={long} has 19 bytes, 18 at most leave room"), on_this_machine():
        pass
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the system's own is too long: /tmp
    with on_this_machine() as how:
        assert Path(how["_temp_dir"]).parents[1] == Path("/tmp")


def test_after_a_run_here_ray_wants_no_token_of_it(monkeypatch):
    """Ray takes to tokens when it starts by itself; a cluster that this process starts or joins later may have none."""
    pytest.importorskip("ray")
    from ray._private.authentication.authentication_token_setup import enable_token_auth_by_default
    from ray._raylet import AuthenticationMode, get_authentication_mode

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert get_authentication_mode() == AuthenticationMode.DISABLED
    with on_this_machine():
        enable_token_auth_by_default()  # as ray.init does
        assert get_authentication_mode() == AuthenticationMode.TOKEN
    assert get_authentication_mode() == AuthenticationMode.DISABLED and "RAY_AUTH_MODE" not in os.environ


def threaded(function):
    """Calls in another thread; raises what it raises."""
    errors = []

    def call():
        try:
            function()
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    for error in errors:
        raise error


@pytest.mark.parametrize("known", [True, False])
def test_a_session_ends_what_it_has_begun_and_no_more(known, monkeypatch):
    calls = []
    ray = SimpleNamespace(is_initialized=lambda: known, shutdown=lambda **how: calls.append(how))
    monkeypatch.setattr(ray_session, "import_ray", lambda: ray)
    monkeypatch.setattr(ray_session, "connect", lambda *_, **how: calls.append(how["address"]))
    monkeypatch.setattr(ray_session, "check_address", lambda address: None)
    with pytest.raises(OSError, match="of the job"), ray_session.ray_session("head:1"):
        raise OSError("of the job")
    assert calls == ([] if known else ["head:1", {"wait_for_processes": True}])


def test_ray_does_not_take_sigterm_away():
    pytest.importorskip("ray")
    before = signal.getsignal(signal.SIGTERM)
    ray = import_ray()
    ray._private.utils.set_sigterm_handler(signal.SIG_IGN)  # as ray.init does
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_ray_refuses_is_one_sentence():
    def init(address, error=None):
        if error:
            raise error

    asked = []
    loader = SimpleNamespace(instance=lambda: SimpleNamespace(has_token=lambda ignore_auth_mode: False))
    raylet = SimpleNamespace(GcsClient=lambda address: asked.append(address), AuthenticationTokenLoader=loader)
    ray = SimpleNamespace(init=init, _raylet=raylet, exceptions=SimpleNamespace(AuthenticationError=KeyError))
    connect(ray, "local")
    assert asked == []
    for error in (RuntimeError("Version mismatch: 2.60\n2.9"), Exception("no token\nset one")):
        with pytest.raises(OSError, match=r"no connection to Ray \(head:1\): .*(60|token)$"):
            connect(ray, "head:1", error=error)
    assert asked == ["head:1", "head:1"]


@pytest.mark.slow
def test_it_runs_in_a_notebook(tmp_path):
    """A kernel of its own, which starts Ray and ends it."""
    pytest.importorskip("ray")
    import nbformat
    from nbclient import NotebookClient

    source = f"""import sys
sys.path.insert(0, {str(ROOT / "tests" / "kit")!r})
from downpour_runs import CONFIG, SETTINGS, clips
from snippets.nets.zoo import build
from snippets.training.distributed.downpour import Downpour
from snippets.training.distributed.ray_actors import ACTOR
from snippets.training.distributed.ray_engine import downpour
downpour(build(CONFIG), clips(), SETTINGS, Downpour(2, 2, fetch=1, push=1), folder={str(tmp_path / "run")!r})"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3", timeout=HANG).execute()
    assert load(tmp_path / "run" / "checkpoint.npz").epoch == 3
