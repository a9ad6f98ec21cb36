r"""Downpour SGD on simulated time: the same replicas and shards, a clock that only counts.

Every gradient is really computed, by the code of training/distributed/downpour.py; how long it would have taken, and
how long what it sent was under way, is drawn from a `Cluster`. Events lie in a queue by their time. A shard serves one
request after the other; a replica goes on when its answer is there; a process may die and come back. From one seed, one
run.

    fetch    latency, wait for the shard, bytes / bandwidth, latency
    push     latency, wait for the shard, bytes / bandwidth + apply * elements; the replica does not wait
    compute  lognormal around `compute`, after a free core where replicas outnumber the cores
"""

import heapq
import math
import tempfile
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from snippets.data.options import Options, option
from snippets.training.distributed.downpour import IN_FLIGHT, Ask, Compute, Job, Push, Take, Wait, replica
from snippets.training.distributed.shard import Shard
from snippets.training.parameters import views

DEADLY = 50  # deaths for each step of a run that gets nowhere


@dataclass(frozen=True)
class Cluster(Options):
    """What a simulated machine takes how long for; the defaults are made up, costs.py measures real ones."""

    compute: float = option(0.1, "seconds per gradient, the median", above=0, most=1e9)
    std: float = option(0.1, "standard deviation of its logarithm", old="spread", least=0, most=10)
    cores: int = option(
        0, "gradients that can be computed at once; 0: each replica has a machine of its own", least=0, most=1e9
    )
    latency: float = option(0.0005, "seconds that a message takes besides its bytes", least=0, most=1e9)
    bandwidth: float = option(1e9, "bytes per second of a shard's link", above=0, most=1e18)
    apply: float = option(2e-9, "seconds that an update takes per parameter", least=0, most=1e9)
    grow: float = option(
        1.0, "factor on the bytes: as if the model had this many times the parameters", above=0, most=1e9
    )
    mtbf: float = option(0.0, "seconds between two deaths of one process, on average; 0: none dies", least=0, most=1e12)
    restart: float = option(2.0, "seconds until a dead process is back", least=0, most=1e9)
    cluster_seed: int = option(0, "seed of all that is drawn", old="chance", least=0, most=2**63)


@dataclass
class Trace:
    """What a simulated run has done: seconds, loss per clip and staleness along the way."""

    name: str
    time: list = field(default_factory=list)  # when each step's gradient arrived
    samples: list = field(default_factory=list)  # clips seen by then
    loss: list = field(default_factory=list)  # of that step's batch
    staleness: Counter = field(default_factory=Counter)
    events: list = field(default_factory=list)

    def add(self, now, record):
        self.time.append(now)
        self.samples.append(record["clips"] + (self.samples[-1] if self.samples else 0))
        self.loss.append(record["loss"] / record["weight"])

    @property
    def seconds(self):
        """Until the last gradient arrived; NaN if none ever did."""
        return self.time[-1] if self.time else math.nan

    @property
    def throughput(self):
        """Clips per second."""
        return self.samples[-1] / self.time[-1] if self.time else math.nan

    def smooth(self, width):
        """time, samples, loss, each averaged over `width` steps."""
        n = max(1, len(self.loss) // width)
        return [np.array([part.mean() for part in np.array_split(v, n)]) for v in (self.time, self.samples, self.loss)]


class Simulation:
    """Downpour SGD on a `Cluster`; `run` returns a Trace and leaves the trained parameters in the job's net."""

    def __init__(self, job, cluster):
        self.job, self.cluster, d = job, cluster, job.downpour
        self.rng, self.now, self.events, self.order = np.random.default_rng(cluster.cluster_seed), 0.0, [], count()
        self.shards = [Shard(job, i) for i in range(d.shards)]
        self.ranges = [job.range(i) for i in range(d.shards)]
        self.free = [0.0] * d.shards  # when each shard has served what has reached it
        self.back = [0.0] * d.shards  # when a dead shard is back
        self.cores = [0.0] * min(cluster.cores or d.replicas, d.replicas)  # when each has done its work
        self.deaths = 0
        self.workers = [Worker(self, me) for me in range(d.replicas)]
        self.trace = Trace(f"{d.replicas} replicas")

    def at(self, when, what, *args):
        heapq.heappush(self.events, (when, next(self.order), what, args))

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            for shard in self.shards:
                shard.save(self.folder / f"{shard.index}.npz")
            self.workers[0].start(self.job.downpour.warm_start_steps or None)
            if not self.job.downpour.warm_start_steps:
                self.others()
            if self.cluster.mtbf:
                for process in (*self.workers, *self.shards):
                    self.at(self.rng.exponential(self.cluster.mtbf), self.die, process)
            while self.events and not all(worker.finished for worker in self.workers):
                self.now, _, what, args = heapq.heappop(self.events)
                what(*args)
            while self.events:  # pushes on their way
                self.now, _, what, args = heapq.heappop(self.events)
                if what == self.serve:
                    what(*args)
        for shard in self.shards:
            shard.finish()
            self.trace.staleness += shard.staleness
            self.trace.events += shard.report()["events"]
        vector = np.concatenate([shard.vector for shard in self.shards])
        for key, a in views(vector, self.job.trained()).items():
            self.job.net.params[key][...] = a
        return self.trace

    def others(self):
        for worker in self.workers:
            if not worker.started:
                worker.start()

    def send(self, i, bytes, elements, what, *args):
        """A message to shard i, which does what(i, *args) when it has served all that came before."""
        c = self.cluster
        work = c.grow * (bytes / c.bandwidth + c.apply * elements)
        self.free[i] = max(self.free[i], self.now + c.latency) + work
        self.at(self.free[i], self.serve, what, i, *args)

    def serve(self, what, i, *args):
        what(i, *args)

    def compute(self, worker):
        """When a gradient that the worker begins now is done."""
        core = min(range(len(self.cores)), key=self.cores.__getitem__)
        took = self.cluster.compute * math.exp(self.cluster.std * self.rng.standard_normal())
        self.cores[core] = max(self.now, self.cores[core]) + took
        return self.cores[core]

    def die(self, process):
        """A worker loses what it has not pushed, a shard goes back to its checkpoint. ValueError if that never ends."""
        self.deaths += 1
        if self.deaths > DEADLY * (self.job.total + 10):
            done = f"{self.deaths} simulated deaths and {len(self.trace.time)} of {self.job.total} steps"
            raise ValueError(
                f"{done}: processes die faster than they work; raise --mtbf, or lower --restart or --checkpoint-every"
            )
        if isinstance(process, Worker):
            if process.finished:
                return
            if process.at_work:  # else it is dead already, or has not begun
                process.at_work, process.life = False, process.life + 1  # what is on its way to it meets nobody
                self.trace.events.append({"event": "died", "replica": process.me, "time": self.now})
                self.at(self.now + self.cluster.restart, process.start, process.stop)
        else:
            i = process.index
            self.back[i] = self.now + self.cluster.restart
            self.shards[i].restore(self.folder / f"{i}.npz")
        self.at(self.now + self.rng.exponential(self.cluster.mtbf), self.die, process)

    def pushed(self, i, worker, life, request):
        """A push has been served by shard i, or was lost because the shard is dead."""
        self.at(self.now + self.cluster.latency, worker.confirmed, life)
        if self.now < self.back[i]:
            return
        shard = self.shards[i]
        if shard.push(worker.me, request.part(i, self.ranges[i])):
            shard.save(self.folder / f"{i}.npz")
        if i == 0:
            reported = shard.report()
            self.trace.events += reported["events"]
            for record in reported["records"]:
                self.trace.add(self.now, record)

    def fetched(self, i, worker, life, step):
        if self.now < self.back[i]:  # asked again until the shard is back
            self.at(self.back[i], self.serve, self.fetched, i, worker, life, step)
            return
        answer = self.shards[i].fetch(worker.me, step)
        self.at(self.now + self.cluster.latency, worker.answered, life, i, answer)


class Worker:
    """One replica: its generator, what it waits for, and which life it is in."""

    def __init__(self, world, me):
        self.world, self.me, self.life, self.started, self.finished = world, me, 0, False, False
        self.at_work = False
        self.stop = None

    def start(self, stop=None):
        world, self.started, self.at_work = self.world, True, True
        start = max(shard.progress(self.me) for shard in world.shards)
        for shard in world.shards:
            shard.join(self.me, start)
        job = Job(deepcopy(world.job.net), world.job.dataset, world.job.settings, world.job.downpour)
        self.steps, self.stop = replica(job, self.me, start, stop), stop
        self.asked, self.answers, self.taking, self.in_flight, self.held = 0, [], False, 0, False
        self.go(self.life)

    def go(self, life, answer=None):
        """Carry out requests until one has to be waited for."""
        world, c = self.world, self.world.cluster
        if life != self.life:
            return
        while True:
            try:
                request = self.steps.send(answer)
            except StopIteration:
                if self.stop is not None:
                    self.start()
                    world.others()
                    return
                self.finished = True
                for shard in world.shards:
                    shard.leave(self.me)
                return
            answer = None
            if isinstance(request, Ask):
                self.answers = [None] * len(world.shards)
                for i, (a, b) in enumerate(world.ranges):
                    size = (b - a) * world.shards[i].vector.itemsize
                    world.send(i, size, 0, world.fetched, self, life, request.step)
            elif isinstance(request, Take):
                self.taking = True
                if None in self.answers:
                    return
                answer, self.taking = self.answers, False
            elif isinstance(request, Compute):
                world.at(world.compute(self), self.go, life)
                return
            elif isinstance(request, Push):
                for i, (a, b) in enumerate(world.ranges):
                    size = (b - a) * world.shards[i].vector.itemsize
                    world.send(i, size, b - a, world.pushed, self, life, request)
                self.in_flight += len(world.ranges)
                if self.in_flight > IN_FLIGHT * len(world.ranges):
                    self.held = True
                    return
            elif isinstance(request, Wait):
                world.at(world.now + max(0.01, c.latency), self.go, life)
                return

    def answered(self, life, i, answer):
        if life == self.life:
            self.answers[i] = answer
            if self.taking and None not in self.answers:
                self.taking = False
                self.go(life, self.answers)

    def confirmed(self, life):
        if life == self.life:
            self.in_flight -= 1
            if self.held and self.in_flight <= IN_FLIGHT * len(self.world.ranges):
                self.held = False
                self.go(life)
