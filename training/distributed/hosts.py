"""The hosts that a run is spread over: whether they can work on it together, and what it says while it waits for one.

`survey` asks every host of a Ray cluster, before anything starts: a host must have this code, these versions and the
data. One that does not see what this host writes to OUT gets replicas, but no shards, whose checkpoints would be lost
with it. MPI's ranks compare the code, too (ranks.py).
"""

import contextlib
import os
import platform
import secrets
import time
import zlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np

import snippets.data
import snippets.layers
import snippets.nets
import snippets.training
from snippets.data.decoder import Source
from snippets.data.features import VideoFeatures
from snippets.data.files import write
from snippets.data.loader import ClipSet
from snippets.data.video import VideoError

SAY = 10  # seconds of silence after which a run says what it waits for
SEEN = 2  # seconds in which a file that one host writes is there for another that shares its folder
SAMPLE = 20  # videos whose checksums hosts compare


class Host(NamedTuple):
    """A host of a cluster: Ray's id of it, its address and name, and whether it sees what this host writes to OUT."""

    id: str
    address: str
    name: str
    sees: bool

    def __str__(self):
        return f"host {self.address} ({self.name})"


def installed():
    """What has to be the same on all hosts: {version of: ..., file of the source: its checksum}."""
    found = {"Python": platform.python_version()}
    for name in ("numpy", "av", "ray", "mpi4py"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    for package in (snippets.layers, snippets.nets, snippets.data, snippets.training):
        folder = Path(package.__file__).parent
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".cu", ".h")):
            found[f"{folder.name}/{path.relative_to(folder).as_posix()}"] = zlib.crc32(path.read_bytes())
    return found


def check_installed(here, there, who):
    """OSError unless a host, `who`, has installed what this one has: two results of `installed`."""
    keys = [key for key in here | there if here.get(key) != there.get(key)]
    files = [key for key in keys if "/" in key]
    told = [f"{key} {there.get(key, 'missing')} instead of {here.get(key, 'none')}" for key in keys if "/" not in key]
    if files:
        told.append(f"another version of {files[0]}" + (f" and {len(files) - 1} more files" if files[1:] else ""))
    if told:
        raise OSError(f"{who} has {', '.join(told)}: install the same on all hosts")


def survey(ray, folder, say):
    """The `Host`s of a cluster that sees the folder OUT, this one first; say(what, seconds): see `Stalls`.

    OSError names a host that has other code, other versions, or files of an earlier run where this host has none.
    """
    if len(nodes := nodes_of(ray)) == 1:
        return [Host(*nodes[0], platform.node(), True)]

    def look(mark, seconds):  # it travels whole, for the code over there may be another
        import socket
        import time
        from pathlib import Path

        mark, until = Path(mark), time.monotonic() + seconds
        while not (sees := mark.exists()) and time.monotonic() < until:
            time.sleep(0.1)
        old = [] if sees else sorted(map(str, mark.parent.glob("shards/*.npz")))
        try:
            from snippets.training.distributed.hosts import installed
        except ImportError as error:
            return socket.gethostname(), sees, old, f"no snippets of this version ({error})"
        return socket.gethostname(), sees, old, installed()

    with mark_in(folder) as mark:
        found = on_each(ray, look, (str(mark), SEEN), say)
    mine, hosts = installed(), []
    for node, (name, sees, old, there) in found.items():
        host = Host(*node, name, sees)
        if isinstance(there, str):
            raise OSError(f"{host} has {there}: install the same on all hosts")
        check_installed(mine, there, host)
        if old:
            raise FileExistsError(f"{host} has {old[0]} of another run: remove it there, or choose another folder")
        hosts.append(host)
    return hosts


@contextlib.contextmanager
def mark_in(folder):
    """A new file in OUT, under a name that nobody can know: a host where it is shares the folder."""
    mark = Path(folder).absolute() / f".seen-{secrets.token_hex(32)}"
    write(mark, "")
    try:
        yield mark
    finally:
        mark.unlink()


def check_data(ray, hosts, job, say):
    """OSError names a host that cannot read videos of a job, or has others than here. job: a list of its reference."""
    if len(hosts) == 1:
        return

    def look(job, sample):
        job, cwd = ray.get(job[0]), os.getcwd()
        with contextlib.suppress(OSError):
            os.chdir(job.cwd)
        try:
            step = max(1, len(job.content) // sample)
            return next(filter(None, (wrong_video(job, i) for i in range(0, len(job.content), step))), None)
        finally:
            os.chdir(cwd)

    for (id, _), wrong in on_each(ray, look, (job, SAMPLE), say).items():
        if wrong:
            raise OSError(f"{next(host for host in hosts if host.id == id)} {wrong}; every host needs all videos")


def wrong_video(job, i):
    """What is wrong on this host with video i of a job, None if it can be read and is that of the job's first host."""
    data, (name, _, crc) = job.dataset, job.content[i]
    if isinstance(data, ClipSet):
        video = data.videos[i]
    elif isinstance(getattr(data, "stored", None), VideoFeatures):
        video = data.stored.videos[data.rows[i]]
    else:
        return None  # it came with the job
    try:
        if Source().checksum(video) != crc:
            return f"has another video {name} than this host"
    except FileNotFoundError:  # which does not matter if it is in the cache
        try:
            data.train_clip(i, np.random.default_rng(0))
        except (OSError, VideoError) as error:
            return f"lacks data: {error}"
    return None


def nodes_of(ray):
    """(id, address) of each host of a cluster, this host first."""
    here = ray.get_runtime_context().get_node_id()
    nodes = [(node["NodeID"], node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]]
    return sorted(nodes, key=lambda node: (node[0] != here, node[1]))


def on_each(ray, function, args, say):
    """What a function returns on each host of a cluster: {(id, address): ...}, this host first."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = nodes_of(ray)
    where = {node: NodeAffinitySchedulingStrategy(node[0], soft=False) for node in nodes}
    options = dict(num_cpus=0, max_retries=0)
    task, stalls = ray.remote(**options)(function), Stalls(say)
    waiting = {task.options(scheduling_strategy=how).remote(*args): node for node, how in where.items()}
    found = {}
    while waiting:
        for ref in ray.wait(list(waiting), timeout=0.1)[0]:
            node = waiting.pop(ref)
            try:
                found[node] = ray.get(ref)
            except ray.exceptions.RayError as error:
                what = str(error).strip().splitlines()[-1]
                raise OSError(f"host {node[1]} does not answer as it should: {what}") from error
        for _, address in waiting.values():
            stalls.waiting(f"an answer of host {address}")
    return {node: found[node] for node in nodes}


class Stalls:
    """Says what has been waited for, once that takes ten seconds, twenty, forty ...: say(what, seconds).

    What never came in less than t seconds is no stall before 3 t.
    """

    def __init__(self, say):
        self.say, self.since, self.least = say, {}, {}  # what -> (since when, when to speak); the shortest time

    def waiting(self, what):
        """It has not come yet."""
        now = time.monotonic()
        start, due = self.since.setdefault(what, (now, now + max(SAY, 3 * self.least.get(what, 0))))
        if now >= due:
            self.say(what, now - start)
            self.since[what] = start, due + (due - start)

    def over(self, what):
        """It has come, or is waited for no longer."""
        now = time.monotonic()
        took = now - self.since.pop(what, (now, now))[0]
        self.least[what] = min(self.least.get(what, took), took)
