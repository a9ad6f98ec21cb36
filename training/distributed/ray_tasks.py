"""Jobs over videos as Ray tasks: on all cores, or GPUs, of this machine or of every host of a cluster.

    snippets features DATA --model MODEL --ray [HEAD:6379]

A task computes one video and sends what it yields in pieces; this process keeps them, in one thread per task in flight
(see data/store/processes.py). So the other hosts need the videos and nothing else, and memory depends neither on the
length of a video nor on their number: a task waits while AHEAD of its pieces have not been fetched.

If its process or its host is lost, a video is computed again elsewhere, and what had come of it is not taken twice. A
video of which TRIES processes died counts as damaged. Ray notices minutes late that a task was lost with its host, and
may hand the next one to that host, for ever: so a task is given up as soon as Ray's list of hosts lacks its own, and
one that does not begin is handed out anew, by another queue of Ray's.

Results must not depend on where they are computed: so every process first compares with the driver what is installed
(training/distributed/hosts.py) and the size of its video.
"""

import functools
import itertools
import os
import pickle
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_info
from tqdm import tqdm

from snippets.data.pictures import video_files
from snippets.data.store.processes import as_done
from snippets.data.video import VideoError
from snippets.layers.device.xp import usable_cores
from snippets.training.distributed.hosts import SAY, check_installed, installed
from snippets.training.distributed.ray_session import import_ray, ray_session
from snippets.training.parameters import use_device

PIECE, PACE = 4 << 20, 2  # a piece is sent when it has so many bytes, or after so many seconds
AHEAD = 2  # pieces
TRIES = 4  # processes
BEGIN = 120  # seconds in which a task begins if there is room
MOST = 4096  # tasks in flight
HERE = "here"  # in place of an address: this machine
OPENED = {}  # of a task's process: the job's content -> what it calls


class HostError(OSError):
    """A host cannot take part in a job."""


class HostLostError(Exception):
    """The host of a task is no longer there."""


class NotBegunError(Exception):
    """A task has not begun, although there is room."""


class Host(NamedTuple):
    """Address and name of a host, and the kernels with which BLAS multiplies matrices there."""

    name: str
    kernels: str


class Piece(NamedTuple):
    """A part of what is computed of a video: a list of `things`, and where they come from."""

    host: Host
    things: list


@dataclass(frozen=True)
class RayTasks:
    """The executor on Ray. address: HEAD:PORT of a cluster, or HERE; device: on "cuda" a task per GPU."""

    address: str = HERE
    device: str = "cpu"

    def map(self, produce: Callable, source, videos: list, receive: Callable) -> Iterator:
        """receive(video, produce(source, video)) for each video, in the order in which they are done.

        OSError: there is no such cluster, or one of its hosts cannot take part. ValueError: it has no GPU.
        """
        if not videos:
            return
        address, own = (None, {"num_cpus": usable_cores()}) if self.address == HERE else (self.address, {})
        with ray_session(address, **own) as (ray, stopped), ThreadPoolExecutor(MOST, "ray") as threads:
            tasks = Tasks(ray, self.device, (produce, source))

            def submit(video):
                return threads.submit(lambda: receive(video, tasks.produced(video)))

            def look():
                tasks.look()
                if stopped:
                    raise KeyboardInterrupt

            try:
                yield from as_done(submit, videos, lambda: min(MOST, 2 * max(1, tasks.slots)), look)
            finally:
                tasks.over.set()


class Tasks:
    """The tasks of one job, and the hosts on which they run."""

    def __init__(self, ray, device, call):
        self.ray, self.kind = ray, "CPU" if device == "cpu" else "GPU"
        self.content = [ray.put(pickle.dumps((installed(), device, *call)))]  # in a list: a process reads it once
        how = {"num_gpus": 1} if self.kind == "GPU" else {}
        how |= {"num_returns": "streaming", "_generator_backpressure_num_objects": AHEAD, "max_retries": 0}
        self.task = ray.remote(num_cpus=1, scheduling_strategy="SPREAD", **how)(pieces)
        self.over, self.failed = threading.Event(), None
        self.hosts, self.gone, self.noted, self.looked = {}, set(), set(), -SAY
        self.heard = {}  # task -> (its host, when it has sent something)
        self.look()
        if not self.slots:
            raise ValueError(f"no host offers Ray a {self.kind}: leave out --device, or ray start --num-gpus 1")

    @property
    def slots(self):
        """How many tasks there is room for."""
        return int(sum(self.hosts.values()))

    def produced(self, video) -> Iterator:
        """What produce(source, video) yields, from as many tasks as it takes."""
        there, done, errors = video._replace(path=Path(video.path).absolute()), 0, self.ray.exceptions
        tries, task = 0, self.task
        while tries < TRIES:
            try:
                for piece in self.pieces(task, there, done):
                    yield from piece
                    done += len(piece)
                return
            except errors.RayTaskError as error:  # raised by what it computed
                cause, where = error.cause, (re.findall(r"ip=([^,)]+)", str(error)) or ["unknown"])[0]
                if not isinstance(cause, (VideoError, OSError, ValueError)):  # this project is not there, for instance
                    cause = HostError(f"host {where}: {str(error).strip().splitlines()[-1]}")
                if isinstance(cause, HostError):
                    self.failed = cause
                raise cause from None
            except NotBegunError:
                pass
            except (errors.RayError, HostLostError) as error:
                tries += 1
                lost = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0].partition('. ')[0]}"
                self.note(f"{video.name}: its process or host is lost ({lost}), try {tries} of {TRIES}")
            task = self.task.options(scheduling_strategy="DEFAULT")  # another queue
        raise VideoError(f"{video.path}: {TRIES} processes that computed it have died; the last: {lost}")

    def pieces(self, task, video, done):
        """The lists that one task sends, of what comes after the first `done` things."""
        task, since = task.remote(self.content, video, size_of(video.path), done), time.monotonic()
        try:
            while True:
                self.wait(task, task, since)
                try:
                    sent = next(task)
                except StopIteration:
                    return
                self.wait(sent, task, since)
                piece: Piece = self.ray.get(sent)
                self.heard[task] = piece.host.name, time.monotonic()
                if self.kind == "CPU" and piece.host.kernels != this_host().kernels:
                    self.note(
                        f"note: {piece.host.name} multiplies matrices with OpenBLAS's {piece.host.kernels} kernels, "
                        f"this host with {this_host().kernels}: the last bits of results depend on it"
                    )
                yield piece.things
        finally:
            self.heard.pop(task, None)

    def wait(self, what, task, since):
        """Wait for the next piece of a task that was handed out at `since`, or until it is here.

        HostError: the job is over before. HostLostError, NotBegunError.
        """
        while not self.ray.wait([what], timeout=1)[0]:
            host, _ = self.heard.get(task, (None, None))
            if self.over.is_set():
                raise HostError("the job is over")
            if host in self.gone:
                raise HostLostError(host)
            late = host is None and time.monotonic() - since > BEGIN
            if late and self.ray.available_resources().get(self.kind, 0) >= 1:
                self.ray.cancel(task)
                raise NotBegunError

    def look(self):
        """Say which hosts have come or gone, and whose tasks have been silent; raise what has made one of them fail."""
        if self.failed:
            raise self.failed
        now = time.monotonic()
        if now - self.looked < SAY / 5:
            return
        alive = [node for node in self.ray.nodes() if node["Alive"]]
        nodes = {
            f"{n['NodeManagerAddress']} ({n['NodeManagerHostname']})": n["Resources"].get(self.kind, 0) for n in alive
        }
        if len(nodes) > 1 or len(self.hosts) > 1:
            changes = [(nodes.keys() - self.hosts, "takes part"), (self.hosts.keys() - nodes, "is lost")]
            for host, change in ((host, change) for hosts, change in changes for host in sorted(hosts)):
                self.note(f"host {host} {change}: room for {sum(nodes.values()):g} tasks now", key=now)
        self.gone = (self.gone | self.hosts.keys()) - nodes.keys()
        self.hosts, self.looked, heard = nodes, now, list(self.heard.values())
        for host in {host for host, _ in heard}:
            times = [time for name, time in heard if name == host]
            if now - max(times) > SAY:
                text = f"waiting for host {host}, which has sent nothing for {SAY} s; it computes {len(times)} videos"
                self.note(text, key=(host, max(times)))

    def note(self, text, key=None):
        """Print a line once, above the progress bar."""
        if (text, key) not in self.noted:
            self.noted.add((text, key))
            tqdm.write(text, file=sys.stderr)


@functools.cache
def this_host() -> Host:
    """The host of this process, which Ray knows."""
    kernels = sorted({str(found.get("architecture")) for found in threadpool_info() if found["user_api"] == "blas"})
    return Host(f"{import_ray().util.get_node_ip_address()} ({socket.gethostname()})", " ".join(kernels))


def size_of(path) -> int | None:
    """Bytes of all files of a video; None if some cannot be read."""
    try:
        files = video_files(path)
        return sum(os.stat(file).st_size for file in files) if all(os.access(file, os.R_OK) for file in files) else None
    except (OSError, VideoError):
        return None


def pieces(content, video, size, done):
    """The task: what produce(source, video) yields after the first `done` things, as `Piece`s.

    content: a list of a reference to the job's pickled content; size: of the video on the driver.
    """
    host = this_host()
    produce, source = opened(content[0])
    found = size_of(video.path)
    if size is not None and found != size:
        what = f"cannot be read on host {host.name}"
        if found is not None:
            what = f"has {found} bytes on host {host.name}, {size} on this one"
        raise HostError(f"{video.path} {what}: every host needs all videos, under the same paths")
    yield Piece(host, [])
    things, size, since = [], 0, time.monotonic()
    for thing in itertools.islice(produce(source, video), done, None):
        things.append(thing)
        size += getattr(thing, "nbytes", 0)
        if size >= PIECE or time.monotonic() - since > PACE:
            yield Piece(host, things)
            things, size, since = [], 0, time.monotonic()
    yield Piece(host, things)


def opened(reference):
    """The function and the source of a job, read once per process; HostError if this host is not like the driver's."""
    if reference not in OPENED:
        there, device, produce, source = pickle.loads(import_ray().get(reference))
        try:
            check_installed(there, installed(), f"host {this_host().name}")
        except OSError as error:
            raise HostError(str(error)) from None
        source.one_thread()
        if device != "cpu":
            source.compute_on(use_device(device))
        OPENED.clear()
        OPENED[reference] = produce, source
    return OPENED[reference]
