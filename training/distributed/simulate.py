r"""Downpour SGD on simulated time: the same replicas and shards, a clock that only counts.

Every gradient is really computed, by the code of training/distributed/downpour.py; how long it would have taken, and
how long what it sent was under way, is drawn from a `Cluster`. Events lie in a queue by their time. A shard serves one
request after the other; a replica goes on when its answer is there; a process may die and come back. What shares the
cores or the link of a host is in machines.py. From one seed, one run.

    call     message + touch * bytes on the replica's core; wake, and between hosts latency + bytes / bandwidth; then
             message + touch * bytes on the shard's core
    fetch    a call without bytes, and bytes back: touch at both ends and the way; one round trip
    push     a call with its part of the gradient, then apply * elements; the replica waits until it is sent
    both     a push with a fetch behind it is one call, with bytes both ways
    compute  lognormal around `compute`, on the replica's core

"""

import heapq
import math
import tempfile
from collections import Counter
from copy import copy, deepcopy
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from snippets.training.distributed.downpour import IN_FLIGHT, Ask, Compute, Push, Take, Wait, replica
from snippets.training.distributed.machines import Cores, Links, Thread
from snippets.training.distributed.shard import Shard
from snippets.training.parameters import views

DEADLY = 50  # deaths for each step of a run that gets nowhere


@dataclass
class Trace:
    """What a simulated run has done: seconds, loss per clip and staleness along the way."""

    name: str
    time: list = field(default_factory=list)  # when each step's gradient arrived
    samples: list = field(default_factory=list)  # clips seen by then
    loss: list = field(default_factory=list)  # of that step's batch
    staleness: Counter = field(default_factory=Counter)
    events: list = field(default_factory=list)
    waiting: float = 0.0  # the part of their time in which replicas computed nothing, 0 to 1

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
        self.back = [0.0] * d.shards  # when a dead shard is back
        processes = d.replicas + d.shards
        hosts = cluster.hosts or processes
        self.cores = [Cores(self, cluster.cores or processes) for _ in range(hosts)]
        self.links = Links(self, hosts, cluster.latency, cluster.bandwidth, cluster.wake)
        turn = 0 if cluster.hosts else d.replicas  # of the first shard
        self.places = [(turn + i) % hosts for i in range(d.shards)]
        self.threads = [Thread(self.cores[place]) for place in self.places]
        self.deaths, self.computing = 0, 0.0  # computing: seconds of all replicas together
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
            self.trace.waiting = 1 - self.computing / (self.now * len(self.workers))
            while self.events:  # pushes on their way
                self.now, _, what, args = heapq.heappop(self.events)
                if what != self.die:
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

    def bytes(self, i):
        """Bytes of a shard's part of the parameters, or of a gradient."""
        return self.cluster.grow * self.shards[i].vector.nbytes

    def call(self, worker, push, step):
        """The worker's calls of all shards: with their parts of a gradient, a `Push` or None; for their parts of the
        parameters, at a step or None.
        """
        c = self.cluster
        for i, (thread, shard) in enumerate(zip(self.threads, self.shards, strict=True)):
            there, back = (0 if what is None else self.bytes(i) for what in (push, step))
            work = c.message + c.touch * (there + back) + (c.apply * c.grow * shard.vector.size if push else 0)
            served = thread.add, work, self.served, i, worker, worker.life, push, step
            self.links.send(worker.place, self.places[i], there, *served)

    def served(self, i, worker, life, push, step):
        """Shard i has had a call, or was dead."""
        if push and self.now >= self.back[i]:
            self.pushed(i, worker, push)
        if step is None:
            self.links.send(self.places[i], worker.place, 0, worker.confirmed, life)
        else:
            self.fetched(i, worker, life, step)

    def compute(self, worker):
        """The worker computes a gradient, then goes on."""
        took = self.cluster.compute * math.exp(self.cluster.std * self.rng.standard_normal())
        self.cores[worker.place].add(took, self.computed, worker, worker.life, self.now)

    def computed(self, worker, life, since):
        self.computing += self.now - since
        worker.go(life)

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

    def pushed(self, i, worker, push):
        """A push has been served by shard i."""
        shard = self.shards[i]
        if shard.push(worker.me, push.part(i, self.ranges[i])):
            shard.save(self.folder / f"{i}.npz")
        if i == 0:
            reported = shard.report()
            self.trace.events += reported["events"]
            for record in reported["records"]:
                self.trace.add(self.now, record)

    def fetched(self, i, worker, life, step):
        if self.now < self.back[i]:  # asked again until the shard is back
            self.at(self.back[i], self.fetched, i, worker, life, step)
            return
        answer, bytes = self.shards[i].fetch(worker.me, step), self.bytes(i)
        read = self.cores[worker.place].add, self.cluster.touch * bytes, worker.answered, life, i, answer
        self.links.send(self.places[i], worker.place, bytes, *read)


class Worker:
    """One replica: its generator, what it waits for, and which life it is in."""

    def __init__(self, world, me):
        self.world, self.me, self.life, self.started, self.finished = world, me, 0, False, False
        self.place = me % len(world.cores)  # its host
        self.at_work = False
        self.stop = None

    def start(self, stop=None):
        world, self.started, self.at_work = self.world, True, True
        start = max(shard.progress(self.me) for shard in world.shards)
        for shard in world.shards:
            shard.join(self.me, start)
        job = copy(world.job)
        job.net = deepcopy(job.net)
        self.steps, self.stop = replica(job, self.me, start, stop), stop
        self.answers, self.taking, self.in_flight, self.full = [], False, 0, False
        self.held = None  # a push that goes with the next fetch
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
                self.answers, push, self.held = [None] * len(world.shards), self.held, None
                world.cores[self.place].add(self.work(push), self.ask, life, push, request.step)
                return
            elif isinstance(request, Take):
                self.taking = True
                if None in self.answers:
                    return
                answer, self.taking = self.answers, False
            elif isinstance(request, Compute):
                world.compute(self)
                return
            elif isinstance(request, Push) and request.asks:
                self.held = request
            elif isinstance(request, Push):
                world.cores[self.place].add(self.work(request), self.push, life, request)
                return
            elif isinstance(request, Wait):
                world.at(world.now + max(0.01, c.latency), self.go, life)
                return

    def work(self, push):
        """Seconds of its core for calls of all shards, with a push or without."""
        c, world = self.world.cluster, self.world
        return sum(c.message + (c.touch * world.bytes(i) if push else 0) for i in range(len(world.shards)))

    def ask(self, life, push, step):
        if life == self.life:
            self.world.call(self, push, step)
            self.go(life)

    def push(self, life, request):
        """With too many pushes under way the replica waits."""
        if life == self.life:
            self.world.call(self, request, None)
            self.in_flight += len(self.world.shards)
            self.full = self.in_flight > IN_FLIGHT * len(self.world.shards)
            if not self.full:
                self.go(life)

    def answered(self, life, i, answer):
        if life == self.life:
            self.answers[i] = answer
            if self.taking and None not in self.answers:
                self.taking = False
                self.go(life, self.answers)

    def confirmed(self, life):
        if life == self.life:
            self.in_flight -= 1
            if self.full and self.in_flight <= IN_FLIGHT * len(self.world.ranges):
                self.full = False
                self.go(life)
