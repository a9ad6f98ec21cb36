"""Two hosts on one machine, joined by a cable that can be cut or slowed (`pytest -m hosts`).

    with two_hosts(tmp_path, apart=[tmp_path / "out"]) as (a, b):
        ray = a.start("ray", "start", "--head", "--block", f"--node-ip-address={a.address}")
        done = b.run("ray", "status", "--address", f"{a.address}:6379")
        a.cut(), a.mend(), a.slow("1mbit"), b.kill()

A host is a set of Linux namespaces: processes, network, mounts, shared memory (or MPI would send by it) and host name
of its own. It has its own HOME, /tmp/ray and /dev/shm, and by `apart` own versions of further folders, which begin
empty; all other files are shared. It knows itself and the other one by name, and no name server.
The kernel removes all of it with the host's first process, which ends when the test does, however that ends.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from waiting import HANG, until

NAMESPACES = "--net --mount --uts --ipc --pid --fork --mount-proc --kill-child".split()
HOSTS = "127.0.0.1 localhost\n10.9.0.1 alpha\n10.9.0.2 beta\n"
BIN = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


@cache
def missing():
    """Why there can be no hosts here; None if there can."""
    for tool in ("ip", "tc", "unshare", "nsenter", "setpriv"):
        if shutil.which(tool) is None:
            return f"two hosts need {tool} (on Debian: apt install iproute2 util-linux)"
    done = subprocess.run(["unshare", *NAMESPACES, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return f"two hosts need the rights of root: {done.stderr.strip()}" if done.returncode else None


@contextlib.contextmanager
def two_hosts(folder, apart=()):
    """Two `Host`s, `alpha` and `beta`, whose files are in a folder. apart: folders of which each has one of its own."""
    if reason := missing():
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(Host(Path(folder), name, apart)) for name in ("alpha", "beta")]
        a, b = hosts
        a.ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(b.pid))
        for host in hosts:
            host.ip("address", "add", f"{host.address}/24", "dev", "cable")
            host.ip("link", "set", "lo", "up")
            host.mend()
        yield a, b


class Host:
    """A host while its block lasts.

    name, address    alpha 10.9.0.1 or beta 10.9.0.2
    folder           that of its own files: home/, ray/, and its version of each folder of `apart` by that's name
    """

    def __init__(self, folder, name, apart=()):
        self.started = []
        self.name, self.address, self.folder = name, f"10.9.0.{1 + (name == 'beta')}", folder / name
        places = {"/tmp/ray": "ray", **{str(path): Path(path).name for path in apart}}
        for place, own in places.items():
            Path(place).mkdir(parents=True, exist_ok=True)
            (self.folder / own).mkdir(parents=True)
        (self.folder / "home").mkdir()
        for name_file, text in (("hosts", HOSTS), ("resolv.conf", "")):
            (self.folder / name_file).write_text(text)
            places[f"/etc/{name_file}"] = name_file
        binds = [f"mount --bind '{self.folder / own}' '{place}'" for place, own in places.items()]
        mounts = ["mount -t tmpfs shm /dev/shm", "mount -t sysfs sys /sys", *binds]  # in /sys UCX finds network cards
        start = " && ".join([f"hostname {name}", *mounts, "echo ready", "read"])
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = subprocess.Popen(["unshare", *NAMESPACES, "bash", "-c", start], **pipes)  # reads till we end
        assert self.first.stdout.readline() == "ready\n"
        self.pid = int(Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children").read_text())  # of its bash
        self.network = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)  # keeps the cable in the other host's socket

    def command(self, *args):
        """The command line that runs a command on this host, in the folder where it is called."""
        namespaces = "--net --mount --uts --ipc --pid".split()
        enter = ["nsenter", "--target", str(self.pid), *namespaces, f"--wd={os.getcwd()}"]
        return [
            *enter,
            "setpriv",
            "--pdeathsig",
            "KILL",
            *map(str, args),
        ]  # it ends with nsenter, should that be killed

    def start(self, *args, env=(), **options):
        """A command on this host as a running process; env: more variables, None takes one away."""
        own = {"HOME": str(self.folder / "home"), "PATH": BIN}
        given = {**os.environ, **own, **dict(env)}
        given = {key: value for key, value in given.items() if value is not None}
        pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.started.append(subprocess.Popen(self.command(*args), env=given, **{**pipes, **options}))
        return self.started[-1]

    def run(self, *args, env=(), timeout=HANG, check=False, **options):
        """A command on this host, finished, as of subprocess.run; check: it must succeed."""
        with self.start(*args, env=env, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert not check or process.returncode == 0, f"{args} on {self.name}: {out}{err}"
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def ip(self, *args, tool="ip"):
        enter = ["nsenter", "--target", str(self.pid), "--net"]
        done = subprocess.run([*enter, tool, *args], capture_output=True, text=True)
        assert done.returncode == 0, f"{tool} {' '.join(args)}: {done.stderr}"

    def cut(self):
        """Cut the cable: whatever is sent is lost in silence, on either end."""
        self.ip("link", "set", "cable", "down")

    def mend(self):
        """Join the cable again."""
        self.ip("link", "set", "cable", "up")

    def slow(self, rate, burst="64kb"):
        """Let this host send no faster than `rate`, such as 100mbit, but for as many bytes as `burst` at once."""
        how = ["rate", rate, "burst", burst, "latency", "400ms"]
        self.ip("qdisc", "replace", "dev", "cable", "root", "tbf", *how, tool="tc")

    def kill(self):
        """The power fails: all processes end at once and nobody is told; files stay."""
        with contextlib.suppress(AssertionError):  # it is dead
            self.cut()
        self.first.kill()
        until(lambda: not Path(f"/proc/{self.pid}").exists(), f"the end of {self.name}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        os.close(self.network)
        for process in (self.first, *self.started):
            process.communicate()
