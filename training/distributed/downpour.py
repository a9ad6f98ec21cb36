r"""Downpour SGD (Dean et al., 2012; section 3.3 of the paper): replicas and parameter shards that wait for nobody.

The trained parameters are one vector w (training/parameters.py), cut into S shards; each shard owns a range of it and
its optimiser. R replicas each hold a copy of w and take turns at the batches, replica r every R-th:

    replica, step n                                     shard
        n mod n_fetch = 0:  w <- the shards' w          fetch: answer with w and how many updates made it
        g  = gradient of the next batch at w            push:  v = m v - lr (a + wd w);  w = w + v
        a += g;  w <- w - lr g                                 or Adagrad:  G += a^2;  w = w - lr a / (sqrt(G) + eps)
        n mod n_push = n_push - 1:  push a;  a = 0

So g belongs to parameters that others have changed in the meantime: its staleness is the number of updates that the
shard made between that fetch and this push. With one replica and n_fetch = n_push = 1 it is always 0, and the run is
plain SGD, bit for bit. `staleness` bounds how far a replica may be ahead of the slowest (stale synchronous parallel).

Nothing here knows an engine. A replica is a generator that yields what it wants (`Ask`, `Take`, `Compute`, `Push`,
`Wait`) and is sent the answers; Ray (ray_engine.py), a simulated clock (simulate.py) or a test carries them out.
Between fetches a replica follows its own gradients without momentum, as in Dean et al.; with Adagrad, whose rates only
the shards know, it stays where it is.
"""

import math
import os
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from snippets.data.loader import Position, batches
from snippets.data.options import Options, option
from snippets.training.objective import split_frozen
from snippets.training.parameters import flatten, pack_parameters, views
from snippets.training.sgd import SGD, gradient_norm, multiplier
from snippets.training.step import Run, gradient, means, optimiser, sums_of

IN_FLIGHT = 2  # pushes of a replica that may be on their way; with a third it waits: they must not pile up at a shard
SUMS = ("loss", "weight", "hits", "clips")  # of a step, as a record has them


RULES = ("momentum", "adagrad")


@dataclass(frozen=True)
class Downpour(Options):
    """How replicas and shards work together; stored in every shard's checkpoint."""

    replicas: int = option(4, "R, each with a copy of the net", least=1, most=1e4)
    shards: int = option(4, "S, each with a part of the parameters and their optimiser", least=1, most=1e9)
    fetch: int = option(5, "steps of a replica between fetches", least=1, most=1e9)
    push: int = option(5, "steps of a replica whose gradients are added up into one push", least=1, most=1e9)
    rule: str = option("momentum", "what a shard does with a push", RULES)
    staleness: float | None = option(
        None, "steps that a replica may be ahead of the slowest (default: any)", least=0, most=1e9
    )
    ahead: int = option(0, "1: ask for parameters one step early, to compute while they travel", (0, 1))
    warm_start_steps: int = option(
        0, "steps that one replica makes before the others begin", old="warm", least=0, most=1e9
    )
    checkpoint_every: int = option(100, "updates between the checkpoints of a shard", old="keep", least=1, most=1e9)


class Job:
    """What is to be trained on what, and who does which part of it: all that an engine hands to its processes."""

    def __init__(self, net, dataset, settings, downpour):
        self.net, self.dataset, self.settings, self.downpour = net, dataset, settings, downpour
        self.per_epoch = settings.steps_per_epoch(len(dataset))
        self.total = settings.epochs * self.per_epoch  # batches
        self.cwd = os.getcwd()  # where relative names of videos begin
        self.content = None  # of the data set, where the run is kept: see `checkpoint.videos_of`
        split_frozen(net, settings.groups)  # refuses a net with nothing to train

    def trained(self):
        """The net's trained parameters, key -> array."""
        return {key: a for key, a in self.net.params.items() if multiplier(key, self.settings.groups) > 0}

    def range(self, shard):
        """The part of the vector of trained parameters that a shard owns: (first, end)."""
        n, S = sum(a.size for a in self.trained().values()), self.downpour.shards
        if n < S:
            raise ValueError(f"{S} shards for {n} trained parameters; expected at most one shard per parameter")
        return n * shard // S, n * (shard + 1) // S

    def optimiser(self, params, kind=SGD, **changes):
        """For some of the trained parameters, or parts of them, one update per push; `changes` of the settings."""
        s = self.settings
        groups = {prefix: f for prefix, f in s.groups.items() if any(key.startswith(prefix) for key in params)}
        return optimiser(params, replace(s, groups=groups, **changes), self.per_epoch / self.downpour.push, kind)

    def gradient(self, run, number):
        """A `Gradient` of a batch, and its sums."""
        x, labels, _ = self.batch(number)
        found = gradient(run, x, labels, run.generator(*divmod(number, self.per_epoch)))
        return found, sums_of(found, labels, run.settings.inference)

    def batches_of(self, replica):
        """The batches of a replica, counted over all epochs: the warm start to the first, the others in turn."""
        warm, R = min(self.downpour.warm_start_steps, self.total), self.downpour.replicas
        return [*(range(warm) if replica == 0 else ()), *range(warm + replica, self.total, R)]

    def batch(self, number):
        """The same batch that training in one process would see as its update `number`."""
        s = self.settings
        start = Position(s.seed, *divmod(number, self.per_epoch))
        return next(batches(self.dataset, s.batch, start, augmentation=s.augmentation))


class Ask(NamedTuple):
    """Ask every shard for its part; go on at once."""

    step: int


class Take(NamedTuple):
    """Wait for what was asked for: a list of `Answer`s, one per shard."""


class Compute(NamedTuple):
    """A gradient has been computed: an engine that keeps its own time lets it pass."""


class Part(NamedTuple):
    """What one shard is sent of a `Push`: its range of the gradient."""

    first: int
    end: int
    gradient: np.ndarray
    norm: float
    version: int  # of the shard's parameters to which the gradient belongs
    records: list = ()


class Push(NamedTuple):
    """Send each shard its part of a gradient, the sum over steps first..end-1, then go on at once."""

    first: int
    end: int
    gradient: np.ndarray
    norm: float  # of the whole gradient, per step
    versions: list  # one per shard
    records: list  # what each step has found
    asks: bool = False  # whether an `Ask` follows at once, in whose calls it can travel

    def part(self, shard, range):
        """The `Part` of a shard, which owns that range of the vector: (first, end). The records go to shard 0."""
        records = self.records if shard == 0 else ()
        return Part(self.first, self.end, self.gradient[slice(*range)], self.norm, self.versions[shard], records)


class Wait(NamedTuple):
    """Too far ahead of the others: ask again a little later."""


def copy_of(job):
    """A replica's own copy of w: its vector (n,), whose views the net of `job` then holds, and the `Run` on it.

    The run's optimiser makes the replica's own steps, which have no momentum.
    """
    trained = job.trained()
    vector = pack_parameters(job.net, trained)
    local = job.optimiser(views(vector, trained), momentum=0.0)
    return vector, Run(job.net, job.settings, local, len(job.dataset.classes))


def checked_gradient(job, run, me, number):
    """The `Gradient` of a batch, and the record of that step of replica `me`. FloatingPointError if it has diverged."""
    with np.errstate(over="ignore", invalid="ignore"):  # looked for below
        found, done = job.gradient(run, number)
    if not math.isfinite(done["loss"] + found.norm):
        raise FloatingPointError(
            f"replica {me} has diverged in batch {number}: loss {done['loss']}, gradient norm {found.norm}; try lr "
            f"{job.settings.lr / 10:g}, less momentum (asynchrony adds its own) or a clip_norm"
        )
    return found, {"replica": me, "epoch": number // job.per_epoch, "batch": number, **done}


def fetch(downpour, step, asked=False):
    """A generator of requests; returns the `Answer`s with which step `step` may begin, one per shard.

    asked: the shards have been asked for them already. While `step` is more than the bound on staleness ahead of the
    slowest replica, it waits and asks anew.
    """
    while True:
        if not asked:
            yield Ask(step)
        answers, asked = (yield Take()), False
        if downpour.staleness is None or step - min(answer.slowest for answer in answers) <= downpour.staleness:
            return answers
        yield Wait()


def replica(job, me, start=0, stop=None):
    """Steps start..stop-1 of a replica, a generator of requests; the net of `job` becomes its own copy of w.

    It fetches at its first step and at every multiple of n_fetch, and counts its steps from the newest version that a
    shard has answered with, for the learning rate goes by the shards' updates. A push has the norm of its gradient, or
    of several the norm of their sum, per step; the last one may be of fewer steps. With `ahead` the shards are asked
    before the last gradient that is computed without their answer. The steps of its own, n_fetch - 1 after each fetch,
    are left out under Adagrad.
    """
    d, numbers = job.downpour, job.batches_of(me)
    (vector, run), ranges = copy_of(job), [job.range(i) for i in range(d.shards)]
    stop = len(numbers) if stop is None else min(stop, len(numbers))
    asked, first, total, records = False, start, None, []
    for step in range(start, stop):
        if step == start or step % d.fetch == 0:
            answers, asked = (yield from fetch(d, step, asked)), False
            for (a, b), answer in zip(ranges, answers, strict=True):
                vector[a:b] = answer.vector
            versions = [answer.version for answer in answers]
            run.opt.steps = max(versions)
        fetch_next = (step + 1) % d.fetch == 0 and step + 1 < stop
        if fetch_next and d.ahead:
            yield Ask(step + 1)
            asked = True
        found, record = checked_gradient(job, run, me, numbers[step])
        records.append(record)
        yield Compute()
        if total is None:
            total = flatten(found.grads)
        else:
            for key, view in views(total, found.grads).items():
                view += found.grads[key]
        if not fetch_next and d.rule == "momentum":
            run.opt.step(found.grads, found.norm)
            run.opt.steps -= 1  # the shards' updates are what the learning rate counts
        if (step + 1) % d.push == 0 or step + 1 == stop:
            norm = found.norm if step == first else gradient_norm(views(total, found.grads)) / (step + 1 - first)
            yield Push(first, step + 1, total, norm, versions, records, fetch_next and not asked)
            first, total, records = step + 1, None, []


class History:
    """What the replicas have done, batch by batch; it lives in the run's log, to which a run that goes on adds.

    found: the records that are there already. A batch that is done again, after a death, counts once.
    """

    def __init__(self, job, log, found=()):
        self.job, self.log = job, log
        self.sums = {r["batch"]: r["sums"] for r in found if "sums" in r}  # batch -> (loss, weight, hits, clips)
        self.before, self.started = max((r.get("seconds", 0) for r in found), default=0), None

    @property
    def seconds(self):
        """Time at work, before and after any stops; the clock goes on once `started` is set to time.perf_counter()."""
        return self.before + (0 if self.started is None else time.perf_counter() - self.started)

    def write(self, event):
        self.log.write({**event, "seconds": round(self.seconds, 3)})

    def add(self, record):
        """A step that a shard has reported."""
        sums = self.sums[record["batch"]] = [record[key] for key in SUMS]
        at = {"replica": record["replica"], "epoch": record["epoch"] + 1, "batch": record["batch"]}
        self.write({"event": "step", **at, **means(record), "sums": sums})

    def epochs(self):
        """A record of each epoch, as `training.loop` has them."""
        per_epoch, found = self.job.per_epoch, {}
        for batch, sums in self.sums.items():
            found.setdefault(batch // per_epoch, []).append(sums)
        totals = {epoch: map(sum, zip(*some, strict=True)) for epoch, some in sorted(found.items())}
        return [
            {"epoch": epoch + 1, "steps": (epoch + 1) * per_epoch, **means(dict(zip(SUMS, total, strict=True)))}
            for epoch, total in totals.items()
        ]

    @property
    def samples(self):
        """Clips seen so far."""
        return sum(clips for *_, clips in self.sums.values())
