r"""What simulated processes (simulate.py) take time on: the cores and the link of a host, a thread of their own.

How much of it they take is a `Cluster`'s.

    cores     n jobs on C cores: each goes on at min(1, C / n) of its speed
    thread    one job after the other, on the cores of its host
    link      one way out and one way in for each host: a message has both ends to itself while its bytes pass

All of them keep the time of a `world`, which has `now` and `at(when, what, *args)`.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from itertools import count

from snippets.data.options import Options, option


@dataclass(frozen=True)
class Cluster(Options):
    """What a simulated machine takes how long for; the defaults are made up, costs.py measures real ones."""

    compute: float = option(0.1, "seconds per gradient, the median", above=0, most=1e9)
    std: float = option(0.1, "standard deviation of its logarithm", old="spread", least=0, most=10)
    hosts: int = option(
        0, "machines, to which replicas and shards go in turn; 0: each has one of its own", least=0, most=1e9
    )
    cores: int = option(0, "cores of a host; 0: one for each of its processes", least=0, most=1e9)
    latency: float = option(0.0005, "seconds that a message between hosts takes besides its bytes", least=0, most=1e9)
    bandwidth: float = option(1e9, "bytes per second of a host's link, each way", above=0, most=1e18)
    message: float = option(2e-4, "seconds of a core per call of a shard, at each of its ends", least=0, most=1e9)
    touch: float = option(1e-9, "seconds of a core per byte that travels, at each of its ends", least=0, most=1e9)
    wake: float = option(1e-4, "seconds until a process notices a message", least=0, most=1e9)
    apply: float = option(2e-9, "seconds that an update takes per parameter", least=0, most=1e9)
    grow: float = option(
        1.0, "factor on the bytes: as if the model had this many times the parameters", above=0, most=1e9
    )
    mtbf: float = option(0.0, "seconds between two deaths of one process, on average; 0: none dies", least=0, most=1e12)
    restart: float = option(2.0, "seconds until a dead process is back", least=0, most=1e9)
    cluster_seed: int = option(0, "seed of all that is drawn", old="chance", least=0, most=2**63)


class Cores:
    """The cores of a host, shared in equal parts by all jobs that are under way."""

    def __init__(self, world, number):
        self.world, self.number, self.jobs, self.order = world, number, [], count()
        self.each, self.since, self.turn = 0.0, 0.0, 0  # seconds of work that each job has got, until when
        self.busy = 0.0  # seconds of work in all

    @property
    def pace(self):
        """Seconds of work that a job gets per second."""
        return min(1.0, self.number / max(1, len(self.jobs)))

    def add(self, seconds, what, *args):
        """Begin a job of so many seconds on a core of its own; what(*args) once it is done."""
        self.busy += seconds
        self.advance()
        heapq.heappush(self.jobs, (self.each + seconds, next(self.order), what, args))
        self.plan()

    def advance(self):
        self.each += (self.world.now - self.since) * self.pace
        self.since = self.world.now

    def plan(self):
        """The next job to end, if none is added before."""
        self.turn += 1
        if self.jobs:
            left = max(0.0, self.jobs[0][0] - self.each)
            self.world.at(self.world.now + left / self.pace, self.end, self.turn)

    def end(self, turn):
        if turn == self.turn:
            self.advance()
            _, _, what, args = heapq.heappop(self.jobs)
            self.plan()
            what(*args)


class Thread:
    """Does one job after the other."""

    def __init__(self, cores):
        self.cores, self.queue = cores, deque()

    def add(self, seconds, what, *args):
        self.queue.append((seconds, what, args))
        if len(self.queue) == 1:
            self.cores.add(seconds, self.end)

    def end(self):
        _, what, args = self.queue.popleft()
        if self.queue:
            self.cores.add(self.queue[0][0], self.end)
        what(*args)


class Links:
    """The links of all hosts, each of `bandwidth` bytes per second each way; a message takes `latency` besides.

    Wherever it goes, it takes `wake` more until it is noticed.
    """

    def __init__(self, world, hosts, latency, bandwidth, wake):
        self.world, self.latency, self.bandwidth, self.wake = world, latency, bandwidth, wake
        self.out, self.into = [0.0] * hosts, [0.0] * hosts  # until when each is taken
        self.busy = [0.0] * (2 * hosts)  # seconds that bytes took, out and in

    def send(self, source, target, bytes, what, *args):
        """what(*args) once a message from host to host is there; within a host no link is needed."""
        arrives = self.world.now
        if source != target:
            takes = bytes / self.bandwidth
            arrives = max(arrives, self.out[source], self.into[target]) + takes
            self.busy[2 * source] += takes
            self.busy[2 * target + 1] += takes
            self.out[source] = self.into[target] = arrives
            arrives += self.latency
        self.world.at(arrives + self.wake, what, *args)
