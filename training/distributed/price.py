r"""What jobs will take on N hosts of this kind, from a minute of measurement on one: `snippets simulate --price`.

    videos      frames * seconds of a core per frame / cores of all hosts, or bytes / bandwidth of the one link behind
                which videos and cache stand, whichever is more
    one process steps * seconds of a step
    ranks       steps * (seconds of a step on 1/R of the batch + 2 (R - 1) / R * bytes / bandwidth + 2 (R - 1) latency)
    Downpour    the simulated clock (simulate.py) over a few steps, without gradients

What is measured here stands for every host: hosts of another kind take other times.
"""

import contextlib
import itertools
import os
import time
from copy import deepcopy
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from snippets.data.markdown import markdown_table
from snippets.data.open import frames_per_video
from snippets.data.video import VideoError
from snippets.layers.device.xp import usable_cores
from snippets.nets.frames import one_blas_thread
from snippets.training.distributed.costs import measured
from snippets.training.distributed.downpour import Job
from snippets.training.distributed.simulate import Simulation
from snippets.training.step import Gradient

STEPS = 20  # of each replica on the simulated clock


class Price(NamedTuple):
    """Seconds that a job takes, and what holds it up: "cores", "link" or "round trips"."""

    seconds: float
    bound: str


class Videos(NamedTuple):
    """A job over videos, as measured here."""

    frames: float  # of all videos
    per_frame: float  # seconds of one core
    bytes: float  # read and written
    videos: int

    def on(self, hosts, cores, bandwidth):
        """Its `Price` on so many hosts of so many cores each; a video is one core's."""
        work = self.frames * self.per_frame / min(hosts * cores, self.videos)
        way = self.bytes / bandwidth if hosts > 1 else 0.0
        return Price(work, "cores") if work >= way else Price(way, "link")


@one_blas_thread
def measure_videos(source, videos, limit):
    """`Videos` of what a source gives, from as many of them as fit into `limit` seconds on one core, one at least."""
    source.one_thread()
    frames, start, sample = 0, time.perf_counter(), videos[:: max(1, len(videos) // 20)]
    read = [os.path.getsize(video.path) for video in sample if os.path.isfile(video.path)]
    for video in sample:
        with contextlib.suppress(VideoError, OSError):  # `snippets check-data` names them
            frames += sum(1 for _ in source.stream(video))
        if (took := time.perf_counter() - start) > limit:
            break
    if not frames:
        raise VideoError(f"none of {len(sample)} videos can be read; snippets check-data says why")
    total = frames_per_video(videos, source) * len(videos)
    written = total * np.prod(source.shape) * np.dtype(source.dtype).itemsize
    return Videos(total, took / frames, written + len(videos) * sum(read) / max(1, len(read)), len(videos))


def some_videos(store, videos, count, limit):
    """`count` videos of the store: the first ones that it can decode in `limit` seconds, over and over."""
    found, until = [], time.perf_counter() + limit
    for video in videos[:count]:
        if not store.fill([video], progress=False):
            found.append(video)
        if found and time.perf_counter() > until:
            break
    return list(itertools.islice(itertools.cycle(found), count))


class Timed(Job):
    """A job whose gradients are zeros and cost nothing: what remains is when things happen."""

    def gradient(self, run, number):
        if not hasattr(self, "zeros"):
            self.zeros = {key: np.zeros_like(a) for key, a in run.opt.params.items()}
        clips = self.settings.batch
        return Gradient(0.0, None, 1.0, self.zeros, 0.0), {"loss": 0.0, "weight": 1.0, "hits": 0, "clips": clips}


def downpour_price(job, cluster, total):
    """`Price` of `total` batches by the replicas of `job` on a `Cluster`."""
    timed = Timed(deepcopy(job.net), job.dataset, job.settings, replace(job.downpour, warm_start_steps=0))
    timed.total = min(total, STEPS * job.downpour.replicas)
    world = Simulation(timed, cluster)
    took = world.run().seconds
    cores = max(each.busy / each.number for each in world.cores) / took
    link = max(world.links.busy) / took
    computes = world.trace.waiting < 0.5 or cores >= max(link, 0.5)
    bound = "cores" if computes else "link" if link >= 0.5 else "round trips"
    return Price(took * total / timed.total, bound)


def synchronous_price(job, cluster, ranks, total, compute):
    """`Price` of `total` steps of ranks; compute: seconds of the step on a rank's part of the batch."""
    bytes = cluster.grow * sum(a.nbytes for a in job.trained().values())
    sum_up = 2 * (ranks - 1) / ranks * bytes / cluster.bandwidth
    trips = 2 * (ranks - 1) * cluster.latency
    parts = {"cores": compute, "link": sum_up, "round trips": trips}
    return Price(total * sum(parts.values()), max(parts, key=parts.get))


def training_prices(job, total, counts, cluster, limit=10):
    """Prices of a training of `total` batches: name -> (on this host or None, on all hosts of the cluster or None).

    counts: numbers of replicas. cluster: of which hosts, latency, bandwidth, grow and the seed are taken; the rest is
    measured. limit: seconds for each measurement.
    """
    hosts, cores, known = cluster.hosts, usable_cores(), {}
    names = "hosts", "latency", "bandwidth", "grow", "cluster_seed"

    def costs(batch, replicas):
        """A `Cluster` where so many replicas share a host."""
        key = batch, max(1, cores // replicas)  # threads
        if key not in known:
            settings, downpour = replace(job.settings, batch=batch), replace(job.downpour, replicas=replicas)
            part = Job(job.net, job.dataset, settings, downpour)
            known[key] = measured(part, limit, **{name: getattr(cluster, name) for name in names})
        return known[key]

    batch = job.settings.batch
    found = {"training, one process": (Price(total * costs(batch, 1).compute, "cores"), None)}
    if hosts > 1:
        compute = costs(-(-batch // hosts), 1).compute
        found[f"training, {hosts} ranks"] = None, synchronous_price(job, cluster, hosts, total, compute)
    for R in counts:
        one = Job(job.net, job.dataset, job.settings, replace(job.downpour, replicas=R))
        found[f"training, {R} replicas"] = None, downpour_price(one, costs(batch, -(-R // hosts)), total)
    return found


def words(seconds):
    """A time as people say it: 12 s, 3.4 min, 5.1 h, 2.0 days."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def price_table(prices, hosts):
    """name -> (`Price` on this host, `Price` on all hosts), either may be None: as a table in Markdown."""
    head = "job", "on this host", f"on {hosts} host{'s' * (hosts > 1)}", "bound by"
    rows = []
    for name, (here, there) in prices.items():
        rows.append([name, *(words(price.seconds) if price else "" for price in (here, there)), (there or here).bound])
    return markdown_table(head, rows)
