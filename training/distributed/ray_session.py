"""Ray for the time of a block: processes of its own on this machine, or the cluster at an address.

Its own processes listen on the loopback alone, ask whoever calls them for a token that only this user can read, keep
their files in one folder, and are gone with it when the block ends; what a killed run had no time to remove is swept
away by the next one. Ctrl-C is asked about, not raised: an exception in the middle of Ray's C++ code may crash.
"""

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path

from snippets.data.lock import one_run
from snippets.training.interrupts import defer_interrupt

WAIT = 5  # seconds for the head of a cluster to answer
NAME = "snippets-ray-"
LONGEST = 18  # bytes of the path of the folder in which Ray's is made, for paths of Unix sockets have 107 at most
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # of HTTP/2, which gRPC speaks


def import_ray():
    """Ray with its usage reports off. ModuleNotFoundError says how to install it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise ModuleNotFoundError(f'Downpour SGD needs Ray: pip install -e ".[ray]" ({error})') from error
    ray._private.utils.set_sigterm_handler = lambda _: None  # this program's own answer to SIGTERM stays
    return ray


@contextlib.contextmanager
def ray_session(address=None, **more):
    """Ray, connected, and a list that is no longer empty once Ctrl-C was pressed; KeyboardInterrupt comes at the end.

    address: HEAD:PORT of a cluster; None: this machine alone, or what this process is connected to already.
    OSError or ValueError in one sentence: the address is wrong, or the cluster does not take this program.
    """
    if address is not None:
        check_address(address)
    with defer_interrupt() as stopped:
        ray = import_ray()
        if ray.is_initialized():
            yield ray, stopped
            return
        with contextlib.nullcontext({"address": address}) if address else on_this_machine() as how:
            try:
                connect(ray, log_to_driver=False, logging_level="ERROR", **how, **more)
                if stopped:
                    raise KeyboardInterrupt
                yield ray, stopped
            finally:
                ray.shutdown(wait_for_processes=True)


def connect(ray, address, **how):
    """ray.init; OSError in one sentence if it does not succeed."""
    try:
        if address != "local":
            use_token(ray)
            with silent():  # what is wrong with the token, it says at once, where ray.init would wait
                ray._raylet.GcsClient(address=address)
        ray.init(address=address, **how)
    except Exception as error:  # some are of that very class
        why = str(error).strip().split("\n")[0]
        if "AuthToken" in why or isinstance(error, ray.exceptions.AuthenticationError):
            why = "it wants a token, and not this host's: bring ~/.ray/auth_token here from the cluster's first host"
        elif why == "RPC error:":
            why = "that is not the port of ray start --head"
        raise OSError(f"no connection to Ray ({address}): {why}") from error


@contextlib.contextmanager
def silent():
    """Nothing is written to the terminal's standard error, not even by what is no Python."""
    before, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)


def use_token(ray):
    """Show clusters this user's token, if there is one, as `ray start` does."""
    from ray._private.authentication.authentication_token_setup import _enable_token_auth

    there = ray._raylet.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
    if there and "RAY_AUTH_MODE" not in os.environ:
        _enable_token_auth()
    if not there and os.environ.get("RAY_AUTH_MODE") == "token":
        raise OSError("there is no token on this host: bring ~/.ray/auth_token here from the cluster's first host")


@contextlib.contextmanager
def on_this_machine():
    """Options for Ray's own processes on this machine, which only this user's programs here can reach."""
    from ray._private import ray_constants
    from ray._raylet import AuthenticationTokenLoader, Config

    folder = new_folder()
    token, before = folder / "token", {key: os.environ.get(key) for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")}
    cluster = ray_constants.ENABLE_RAY_CLUSTER
    with one_run(folder):
        try:
            with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
            AuthenticationTokenLoader.instance().reset_cache()
            ray_constants.ENABLE_RAY_CLUSTER = False  # binds to 127.0.0.1
            inner = str(folder / "r")  # into which Ray lets everybody
            yield dict(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", _temp_dir=inner)
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = cluster
            for key, value in before.items():
                os.environ.pop(key, None) if value is None else os.environ.update({key: value})
            Config.initialize("")  # or Ray would go on to want a token, in this process, of any cluster
            AuthenticationTokenLoader.instance().reset_cache()
            shutil.rmtree(folder, ignore_errors=True)


def new_folder():
    """A folder for Ray's files, in RAY_TMPDIR or the system's; OSError in one sentence if there can be none."""
    given = os.environ.get("RAY_TMPDIR")
    root = Path(given or tempfile.gettempdir()).absolute()
    what = f"RAY_TMPDIR={given}" if given else str(root)
    if (length := len(os.fsencode(root))) > LONGEST:
        if given:
            raise OSError(f"{what} has {length} bytes, {LONGEST} at most leave room for Ray's sockets: take another")
        what = root = Path("/tmp")
    sweep(root)
    try:
        return Path(tempfile.mkdtemp(prefix=NAME, dir=root))
    except OSError as error:
        why = f"Ray cannot make its folder there ({error.strerror})"
        raise OSError(f"{what}: {why}; export RAY_TMPDIR with a folder of yours, of {LONGEST} bytes at most") from error


def sweep(root):
    """Remove what runs that were killed have left in a folder."""
    for left in root.glob(f"{NAME}*"):
        with contextlib.suppress(OSError):
            if (left / "token").exists() or time.time() - left.stat().st_mtime > 3600:  # a new one is not locked yet
                with one_run(left):
                    shutil.rmtree(left)


def check_address(address):
    """ValueError or OSError within seconds unless a gRPC server, as Ray's head is one, answers at HEAD:PORT."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise ValueError(f"--address {address}: expected HEAD:PORT, for example 10.9.0.1:6379")
    found = f"--address {address}: no Ray answers there"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), WAIT) as connection:
            connection.sendall(HELLO)
            answer = connection.recv(9)  # the head of a frame; its first one must be of settings, which is type 4
    except (OSError, OverflowError, UnicodeError) as error:
        raise OSError(f"{found} ({error}); start it with ray start --head --port PORT") from error
    if answer[3:4] != b"\4":
        raise OSError(f"{found}, but something else; start it with ray start --head --port PORT")
