"""What a replica's work costs on this machine: for the simulated clock (simulate.py), and for tables of scaling."""

import os
import statistics
import time

import numpy as np

from snippets.layers.device.xp import usable_cores
from snippets.training.distributed.downpour import Ask, Compute, Push, Take, replica
from snippets.training.distributed.machines import Cluster
from snippets.training.distributed.ranks import Reducer
from snippets.training.distributed.ray_actors import ACTOR, PATIENCE, ReplicaActor, share_cores
from snippets.training.distributed.ray_session import import_ray, ray_session
from snippets.training.distributed.shard import Shard
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


class Trial(ReplicaActor):
    """A replica in a process of its own as always, but with its shards beside it: nothing travels."""

    def steps(self, limit):
        """For so many seconds: (seconds of each whole step of the replica, seconds of each update per element)."""
        job, times, updates, took, answer = self.job, [], [], 0.0, None
        share_cores(job.net, job.downpour.replicas)
        shards = [Shard(job, i) for i in range(job.downpour.shards)]
        work, until, step = replica(job, self.me), time.perf_counter() + limit, 0
        while len(times) < 3 or time.perf_counter() < until:
            start = time.perf_counter()
            request = next(work, None) if answer is None else work.send(answer)
            took += time.perf_counter() - start
            answer = None
            if request is None:
                break
            if isinstance(request, Ask):
                step = request.step
            elif isinstance(request, Take):
                answer = [shard.fetch(self.me, step) for shard in shards]
            elif isinstance(request, Compute):
                times.append(took)
                took = 0.0
            elif isinstance(request, Push):
                for i, shard in enumerate(shards):
                    start = time.perf_counter()
                    shard.push(self.me, request.part(i, job.range(i)))
                    updates.append((time.perf_counter() - start) / shard.vector.size)
        return times[1:] or times, updates


class Probe:
    """An actor that answers, and one that measures what that costs."""

    def pid(self):
        return os.getpid()

    def used(self):
        return time.process_time()

    def echo(self, a=None):
        return a

    def calls(self, other, size, repeat=40, at_once=8):
        """(seconds of a call, core seconds of a call at both ends, of one with `size` bytes there and back)."""
        ray, found = import_ray(), []
        alone = statistics.median(seconds(lambda: ray.get(other.echo.remote()), repeat))
        for args in ((), (np.zeros(size, np.uint8),)):
            before = time.process_time() + ray.get(other.used.remote())
            for _ in range(repeat):
                ray.get([other.echo.remote(*args) for _ in range(at_once)])
            found.append((time.process_time() + ray.get(other.used.remote()) - before) / repeat / at_once)
        return alone, *found


def ray_costs(ray, size):
    """Through Ray here, fields of a `Cluster`: message, touch, wake; size: bytes of a shard's parameters."""
    one, other = (ray.remote(**ACTOR)(Probe).remote() for _ in range(2))
    alone, small, large = ray.get(one.calls.remote(other, size))
    for actor in (one, other):
        ray.kill(actor)
    message = small / 2
    return dict(message=message, touch=max(0.0, large - small) / (4 * size), wake=max(0.0, alone / 2 - message))


def restart_seconds(ray):
    """Until an actor whose process was killed answers again."""
    actor = ray.remote(**ACTOR)(Probe).remote()
    os.kill(ray.get(actor.pid.remote()), 9)
    start = time.perf_counter()
    while time.perf_counter() - start < PATIENCE:
        try:
            ray.get(actor.pid.remote())
            break
        except ray.exceptions.RayActorError:
            time.sleep(0.05)
    took = time.perf_counter() - start
    ray.kill(actor)
    return took


def trial(ray, job, limit):
    """What `Trial.steps` finds in an actor."""
    sent = [ray.put(job)]
    actor = ray.remote(**ACTOR | dict(max_restarts=0))(Trial).remote(sent, 0, ())
    found = ray.get(actor.steps.remote(limit))
    ray.kill(actor)
    return found


def measured(job, limit=10, **given):
    """A `Cluster` that takes as long as this machine, with Ray between its processes; `given`: fields not measured.

    limit: seconds for the steps of a replica. How long a restart takes is measured where there are deaths (mtbf).
    """
    with ray_session() as (ray, _):
        times, updates = trial(ray, job, limit)
        found = ray_costs(ray, min(Shard(job, 0).vector.nbytes, 1 << 24))
        if given.get("mtbf"):
            found["restart"] = restart_seconds(ray)
    logs = np.log(times)
    std = float(1.4826 * np.median(np.abs(logs - np.median(logs))))  # unmoved by a few outliers
    found |= dict(compute=statistics.median(times), std=std, apply=statistics.median(updates))
    return Cluster(**(dict(hosts=1, cores=usable_cores()) | found | given))


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
