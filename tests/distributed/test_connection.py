"""How a connection to Ray is made, refused and ended, with Ray replaced: what it is told, and what is as before."""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from snippets.training.distributed import ray_session
from snippets.training.distributed.ray_session import check_address, connect, new_folder, on_this_machine, sweep


class AuthenticationError(Exception):
    """Of Ray: the token is another."""


class Loader:
    """Of Ray: who reads this user's token. told: (what it was asked, RAY_AUTH_TOKEN_PATH then)."""

    there, told = False, []

    @classmethod
    def instance(cls):
        return cls()

    def has_token(self, *, ignore_auth_mode):
        assert ignore_auth_mode is True
        return self.there

    def reset_cache(self):
        self.told.append(("reset", os.environ.get("RAY_AUTH_TOKEN_PATH")))


@pytest.fixture
def ray(monkeypatch):
    """The parts of Ray that know of tokens and clusters."""
    for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(Loader, "told", [])
    monkeypatch.setattr(Loader, "there", False)
    config = SimpleNamespace(initialize=lambda text: Loader.told.append(("config", text)))
    setup = SimpleNamespace(_enable_token_auth=lambda: Loader.told.append("enabled"))
    raylet = SimpleNamespace(AuthenticationTokenLoader=Loader, Config=config)
    private = SimpleNamespace(ray_constants=SimpleNamespace(ENABLE_RAY_CLUSTER="as it was"))
    ray = SimpleNamespace(
        _raylet=raylet, _private=private, exceptions=SimpleNamespace(AuthenticationError=AuthenticationError)
    )
    modules = {
        "ray": ray, "ray._private": private, "ray._raylet": raylet, "ray._private.authentication": setup,
        "ray._private.authentication.authentication_token_setup": setup,
    }  # fmt: skip
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return ray


@pytest.mark.parametrize("address", ["head:1", None])
@pytest.mark.parametrize("stopped", [[], ["pressed"]])
def test_what_a_session_hands_on(address, stopped, monkeypatch):
    """Nothing of the cluster's own output; Ctrl-C while it connects ends it before the work begins."""
    calls, work = [], []
    ray = SimpleNamespace(is_initialized=lambda: False, shutdown=lambda **how: calls.append(how))
    here = {"address": "local", "own": 1}
    monkeypatch.setattr(ray_session, "import_ray", lambda: ray)
    monkeypatch.setattr(ray_session, "connect", lambda of, **how: calls.append((of, how)))
    monkeypatch.setattr(ray_session, "check_address", lambda address: calls.append(address))
    monkeypatch.setattr(ray_session, "on_this_machine", lambda: contextlib.nullcontext(here))
    monkeypatch.setattr(ray_session, "defer_interrupt", lambda: contextlib.nullcontext(stopped))
    with pytest.raises(KeyboardInterrupt) if stopped else contextlib.nullcontext():
        with ray_session.ray_session(address, num_cpus=3) as found:
            work.append(found)
    how = here if address is None else {"address": address}
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "num_cpus": 3}
    assert calls == [*([address] if address else []), (ray, how | quiet), {"wait_for_processes": True}]
    assert work == ([] if stopped else [(ray, stopped)])


def next_files():
    """The numbers of the next files that are opened."""
    found = [os.dup(2) for _ in range(3)]
    for number in found:
        os.close(number)
    return found


@pytest.mark.parametrize(
    "error, why",
    [
        (AuthenticationError("no"), "it wants a token, and not this host's: bring"),
        (RuntimeError("AuthToken is wrong\nmore"), "it wants a token, and not this host's: bring"),
        (RuntimeError("  RPC error:\n404"), "that is not the port of ray start --head$"),
        (RuntimeError("RPC error: 404"), "RPC error: 404$"),
        (RuntimeError("another version\nmore"), "another version$"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_why_there_is_no_connection(ray, error, why, first, capfd):
    """What Ray's C++ code writes meanwhile is not shown; afterwards standard error is as it was."""
    asked = []

    def client(*, address):
        asked.append(address)
        os.write(2, b"of the client\n")
        if first:
            raise error

    def init(*, address, **how):
        asked.append((address, how))
        os.write(2, b"of ray.init\n")
        raise error

    ray._raylet.GcsClient, ray.init = client, init
    free = next_files()
    with pytest.raises(OSError, match=rf"^no connection to Ray \(head:1\): {why}") as found:
        connect(ray, "head:1", num_cpus=2)
    assert found.value.__cause__ is error and asked == ["head:1", *([] if first else [("head:1", {"num_cpus": 2})])]
    assert capfd.readouterr().err == ("" if first else "of ray.init\n")
    assert next_files() == free  # no file is left open


@pytest.mark.parametrize(
    "there, mode, told",
    [
        (True, None, ["enabled"]),
        (True, "token", []),
        (True, "disabled", []),
        (False, None, []),
        (False, "disabled", []),
    ],
)
def test_a_token_is_shown_if_there_is_one(ray, there, mode, told, monkeypatch):
    monkeypatch.setattr(Loader, "there", there)
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    ray._raylet.GcsClient, ray.init = (lambda address: Loader.told.append(address)), lambda address: None
    connect(ray, "head:1")
    assert Loader.told == [*told, "head:1"]


def test_a_cluster_with_tokens_and_a_host_without(ray, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    words = r"^no connection to Ray \(head:1\): there is no token on this host: bring ~/.ray/auth_token here"
    with pytest.raises(OSError, match=words):
        connect(ray, "head:1")


@pytest.mark.parametrize("before", [{}, {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN_PATH": "/mine"}])
def test_ray_on_this_machine_is_this_users_alone(ray, before, monkeypatch):
    """It listens to the loopback, with a token of its own; then all is as before, even if the folder is gone."""
    for key, value in before.items():
        monkeypatch.setenv(key, value)
    with tempfile.TemporaryDirectory(dir="/tmp") as root:
        monkeypatch.setenv("RAY_TMPDIR", root)
        environment = dict(os.environ)
        with on_this_machine() as how:
            folder = Path(how["_temp_dir"]).parent
            assert how == {
                "address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1",
                "_temp_dir": str(folder / "r"),
            }  # fmt: skip
            assert folder.parent == Path(root) and folder.name.startswith("snippets-ray-")
            token = folder / "token"
            assert stat.S_IMODE(token.stat().st_mode) == 0o600 and len(bytes.fromhex(token.read_text())) == 32
            assert ray._private.ray_constants.ENABLE_RAY_CLUSTER is False and Loader.told == [("reset", str(token))]
            os.environ["RAY_AUTH_MODE"] = "token"  # as Ray does
            shutil.rmtree(folder)
        assert not list(Path(root).glob("snippets-ray-*"))
    assert dict(os.environ) == environment and ray._private.ray_constants.ENABLE_RAY_CLUSTER == "as it was"
    assert Loader.told[1:] == [("config", ""), ("reset", before.get("RAY_AUTH_TOKEN_PATH"))]


def test_the_longest_name_of_a_folder_for_ray(monkeypatch):
    """18 bytes; the system's own folder may have more: then it is /tmp."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r" * 5) as root:
        assert len(root) == 18
        for name, value in (("RAY_TMPDIR", root), ("RAY_TMPDIR", "")):
            monkeypatch.setenv(name, value)
            monkeypatch.setattr(tempfile, "tempdir", root)
            folder = new_folder()
            assert folder.parent == Path(root)
            folder.rmdir()
        monkeypatch.setattr(tempfile, "tempdir", f"{root}s")
        folder = new_folder()
        assert folder.parent == Path("/tmp") and folder.name.startswith("snippets-ray-")
        folder.rmdir()


def test_what_is_an_hour_old_is_swept(tmp_path, monkeypatch):
    """A folder in which there is no token yet may be one that is just being made."""
    monkeypatch.setattr(ray_session.time, "time", lambda: 10_000.0)
    for name, age in (("new", 3600), ("old", 3600.5)):
        (tmp_path / f"snippets-ray-{name}").mkdir()
        os.utime(tmp_path / f"snippets-ray-{name}", (0, 10_000 - age))
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["snippets-ray-new"]


@pytest.mark.parametrize("address, host, port", [("head:6379", "head", 6379), ("[::1]:80", "::1", 80)])
def test_who_is_asked_at_an_address(address, host, port, monkeypatch):
    """For five seconds, with what begins HTTP/2; the first frame's head has nine bytes, its type is the fourth."""
    asked, answers = [], [b"\0\0\4\4\0\0\0\0\0", b"\0\0\0\5\4\0\0\0\0", b"\0\0\4\3\0\0\0\0\0"]
    connection = SimpleNamespace(sendall=asked.append, recv=lambda size: asked.append(size) or answers.pop(0))

    def create_connection(address, timeout):
        asked.append((address, timeout))
        return contextlib.nullcontext(connection)

    monkeypatch.setattr(ray_session.socket, "create_connection", create_connection)
    check_address(address)
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"  # RFC 9113, 3.4, and a frame of no settings
    assert asked == [((host, port), 5), hello, 9]
    for _ in range(2):
        with pytest.raises(OSError, match="but something else; start it with"):
            check_address(address)
