"""What a replica's work costs on this machine: for the simulated clock (simulate.py), and for tables of scaling."""

import itertools
import os
import statistics
import time
from copy import deepcopy

import numpy as np
from threadpoolctl import threadpool_limits

from snippets.layers.device.xp import usable_cores
from snippets.training.distributed.ranks import Reducer
from snippets.training.distributed.ray_actors import PATIENCE
from snippets.training.distributed.ray_session import ray_session
from snippets.training.distributed.shard import Shard
from snippets.training.distributed.simulate import Cluster
from snippets.training.settings import Settings
from snippets.training.sgd import SGD
from snippets.training.step import Run, step


def seconds(work, repeat=15):
    """Times of repeated calls, after one that is not counted."""
    times = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times[1:]


def gradient_times(job, repeat=15):
    """Seconds that gradients take on one core, their data included."""
    net, cores, counter = deepcopy(job.net), None, itertools.count()
    run = Run(net, job.settings, job.optimiser(net.params), len(job.dataset.classes))

    def work():
        job.gradient(run, next(counter) % job.total)

    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
    try:
        with threadpool_limits(1, "blas"):
            return seconds(work, repeat)
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


def ray_costs(ray, size):
    """Through Ray here: (latency of a message, bytes per second, seconds until a killed actor answers again)."""

    class Echo:
        def pid(self):
            return os.getpid()

        def take(self, a):
            return a  # there and back: as much as a push and a fetch

    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0)(Echo).remote()
    large = np.zeros(size, np.float32)
    small = statistics.median(seconds(lambda: ray.get(actor.pid.remote()), 50))
    both = statistics.median(seconds(lambda: ray.get(actor.take.remote(large)).sum(), 15))
    os.kill(ray.get(actor.pid.remote()), 9)
    start = time.perf_counter()
    while time.perf_counter() - start < PATIENCE:
        try:
            ray.get(actor.pid.remote())
            break
        except ray.exceptions.RayActorError:
            time.sleep(0.05)
    restart = time.perf_counter() - start
    ray.kill(actor)
    return small / 2, 2 * large.nbytes / max(both - small, 1e-9), restart


def measured(job, **changes):
    """A `Cluster` that takes as long as this machine, with Ray between its processes; `changes` replace fields."""
    times = gradient_times(job)
    shard = Shard(job, 0)
    gradient_of = {key: a.copy() for key, a in shard.params.items()}
    update = statistics.median(seconds(lambda: shard.opt.step(gradient_of, 1.0)))
    with ray_session() as (ray, _):
        latency, bandwidth, restart = ray_costs(ray, max(shard.vector.size, 1 << 18))
    logs = np.log(times)
    std = float(1.4826 * np.median(np.abs(logs - np.median(logs))))  # unmoved by a few outliers
    found = dict(compute=statistics.median(times), std=std, cores=usable_cores(), latency=latency)
    found |= dict(bandwidth=bandwidth, apply=update / shard.vector.size, restart=restart)
    return Cluster(**(found | changes))


def scaling(net, x, labels, ranks, repeat=9):
    """What a synchronous step costs on these ranks, a dict: seconds, medians of the slowest rank, and bytes reduced.

    step: forward, backward, sum over ranks and update; alone: the same without the sum; reduce: the sum alone;
    memcpy: copying its bytes once.
    """
    mine = slice(ranks.rank, None, ranks.size)
    clips, x, labels = len(x), x[mine], labels[mine]
    opt = SGD(net.params, 1e-6)
    together, alone = Run(net, Settings(), opt, ranks=ranks), Run(net, Settings(), opt)
    flat = np.concatenate([a.reshape(-1) for a in opt.params.values()])
    copy = np.empty_like(flat)
    jobs = {
        "step": lambda: step(together, x, labels, clips=clips),
        "alone": lambda: step(alone, x, labels, clips=clips),
        "reduce": lambda: together.backward(net, None, None) if isinstance(together.backward, Reducer) else None,
        "memcpy": lambda: np.copyto(copy, flat),
    }
    times = {name: [] for name in jobs}
    for turn in range(repeat + 1):
        for name, work in jobs.items():  # in turn, so that what disturbs the machine disturbs all
            start = time.perf_counter()
            work()
            took = time.perf_counter() - start
            took = max(ranks.comm.allgather(took)) if ranks.size > 1 else took
            times[name] += [took] if turn else []  # the first is not counted
    found = {name: statistics.median(values) for name, values in times.items()}
    return found | {"bytes": flat.nbytes, "ranks": ranks.size, "cores": usable_cores()}
