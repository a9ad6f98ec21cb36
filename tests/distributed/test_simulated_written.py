"""Simulated runs, step by step, as simulated.txt has them: when what came and what died; and those without chance.

Whoever changes the clock has to mean it: python tests/distributed/test_simulated_written.py > simulated.txt, with
.links and tests/kit in PYTHONPATH.
"""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from written import assert_written

from snippets.layers.core.base import Sequential
from snippets.layers.linear import Linear
from snippets.layers.temporal import TemporalAvgPool
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.machines import Cluster
from snippets.training.distributed.simulate import Simulation, Trace
from snippets.training.distributed.simulate_synchronous import synchronous
from snippets.training.settings import Settings
from snippets.training.step import Gradient

HERE = Path(__file__).resolve().parent
RUNS = {  # seconds of the order of one, and each of its own, so that every part can be told in a sum
    "one of each, nothing shared": (Downpour(1, 1, fetch=2, push=1), {}),
    "three replicas and two shards on two hosts of a core": (Downpour(3, 2, 2, 1), dict(hosts=2, cores=1)),
    "two pushes on their way at most, of each of two shards": (Downpour(1, 2, 99, 1), dict(latency=20, compute=0.5)),
    "asked a step ahead, one push in two steps": (Downpour(2, 2, 1, 2, ahead=1), dict(grow=3, std=0.4)),
    "no step ahead of the slowest": (Downpour(2, 1, 1, 1, staleness=0), dict(hosts=3, std=1.5, latency=0.002)),
    "the same from afar, of whom one ends before the others": (
        Downpour(3, 1, 1, 1, staleness=0),
        dict(hosts=2, latency=20),
    ),
    "a warm start of two steps": (Downpour(3, 1, 1, 2, warm_start_steps=2), dict(hosts=1, cores=2)),
    "deaths": (Downpour(2, 2, 1, 1, checkpoint_every=2), dict(hosts=2, cores=2, mtbf=30, restart=3, std=0.3)),
    "deaths while the others wait for a warm start": (
        Downpour(2, 1, 2, 2, warm_start_steps=3, checkpoint_every=1),
        dict(mtbf=15, restart=5),
    ),
    "nobody dies who is dead": (Downpour(1, 1, 1, 1, checkpoint_every=1), dict(mtbf=18, restart=12)),
}
COSTS = dict(compute=4, std=0, latency=0.25, bandwidth=64, message=0.03, touch=1 / 4096, wake=0.001, apply=1 / 128)


class Draws:
    """In place of chance: numbers all over its range, always the same ones."""

    def __init__(self):
        self.n = 0

    def uniform(self):
        self.n += 1
        return self.n * 0.6180339887 % 1

    def standard_normal(self):
        return 3 * self.uniform() - 1.5

    def exponential(self, mean):
        return mean * (0.3 + 1.5 * self.uniform())


class Numbered(Job):
    """Gradients of ones that cost nothing; a loss of so many halves, and of the replica's first bias."""

    def gradient(self, run, number):
        ones = {key: np.ones_like(a) for key, a in run.opt.params.items()}
        loss = 2.0 * number + 1 + float(run.net.params["scores/b"][0])
        return Gradient(0.0, None, 1.0, ones, math.sqrt(12)), {
            "loss": loss,
            "weight": 2.0,
            "hits": 0,
            "clips": 1 + number % 3,
        }


class Ending(Simulation):
    """Nothing happens after a thousand seconds, in which each of the runs is over."""

    def at(self, when, what, *args):
        assert when < 1000, f"{what.__qualname__} at {when} s: this run does not end"
        super().at(when, what, *args)


def job(d, epochs=2):
    """Eight batches of a net of 12 parameters."""
    net = Sequential(pool=TemporalAvgPool(), scores=Linear(3, 3, np.random.default_rng(0)))
    data = type("Clips", (), {"classes": ["a", "b", "c"], "__len__": lambda self: 8})()
    return Numbered(net, data, Settings(epochs=epochs, batch=2), d)


def told(trace):
    """A line per step, then those of the events."""
    for time, samples, loss in zip(trace.time, trace.samples, trace.loss, strict=True):
        yield f"{time:9.4f} s  {samples:2} clips  loss {loss:.3f}"
    for event in trace.events:
        yield " ".join(f"{key} {value:.4f}" if key == "time" else f"{key} {value}" for key, value in event.items())


def lines():
    for name, (d, changed) in RUNS.items():
        world = Ending(job(d), Cluster(**COSTS | changed))
        world.rng = Draws()
        trace = world.run()
        yield f"== {name}: {trace.name}"
        yield from told(trace)
        about = f"staleness {dict(sorted(trace.staleness.items()))}, deaths {world.deaths}, draws {world.rng.n}"
        yield f"{about}, waiting {100 * trace.waiting:.2f} %, {trace.throughput:.4f} clips/s"
        yield "cores " + " ".join(f"{cores.busy:.4f}" for cores in world.cores)
        yield "links " + " ".join(f"{seconds:.4f}" for seconds in world.links.busy)


def test_simulated_runs():
    assert_written(lines(), HERE / "simulated.txt")


def test_the_first_run_is_the_sum_of_its_parts():
    """Parameters have 48 bytes. Fetch: call, way, call, way back, reading; push: call, way, call and update."""
    touch, there, back = 48 / 4096, 0.25 + 0.001, 48 / 64 + 0.25 + 0.001
    fetch = 0.03 + there + 0.03 + touch + back + touch
    push = 0.03 + touch + back + 0.03 + touch + 12 / 128
    assert next(lines()).startswith("== one of each") and list(lines())[1].split()[0] == f"{fetch + 4 + push:.4f}"


def test_processes_that_die_faster_than_they_work():
    """Fifty deaths for each of 8 + 10 steps are one too few to give up."""
    world = Simulation(job(Downpour(1, 1)), Cluster(**COSTS | dict(mtbf=0.01, restart=1)))
    world.rng = Draws()
    with pytest.raises(ValueError, match="^901 simulated deaths and 0 of 8 steps: processes die faster than they work"):
        world.run()


def test_a_run_without_a_single_step():
    """Its times are not known; a picture's curve has a point per `width` steps, one at least."""
    empty = Trace("nothing")
    assert math.isnan(empty.seconds) and math.isnan(empty.throughput) and (empty.waiting, empty.events) == (0, [])
    for n in range(5):
        empty.add(2.0 * n + 2, {"clips": 3, "loss": 4.0 * n, "weight": 2.0})
    assert (empty.seconds, empty.throughput) == (10, 1.5)
    halves = [[4, 9], [6, 13.5], [2, 7]]  # of three and two steps
    assert [v.tolist() for v in empty.smooth(2)] == halves
    for width in (3, 5, 6):
        assert [v.tolist() for v in empty.smooth(width)] == [[6], [9], [4]]


@pytest.mark.parametrize("mtbf, deaths", [(0, [0]), (1e-9, [3]), (60, [1, 2])])
def test_synchronous_deaths_cost_all_since_the_checkpoint(mtbf, deaths):
    """The chance of one in a step goes by its time and the number of ranks; a checkpoint after the second step."""
    rng, now, work, times, died = np.random.default_rng(5), 0.0, 0.0, [], []
    cluster = Cluster(**COSTS | dict(std=0.5, grow=2, mtbf=mtbf, restart=7, cluster_seed=5))
    trace = synchronous(job(Downpour(3, 1, checkpoint_every=2)), cluster)
    talk = 4 / 3 * 2 * 48 / 64 + 4 * 0.25
    for batches, before in ((3, False), (3, False), (2, True)):  # of eight; whether a checkpoint is just behind
        took = 4 * math.exp(0.5 * max(rng.standard_normal(3))) + talk + 2 * 12 / 128
        work = took if before else work + took
        if mtbf and rng.random() < 1 - math.exp(-3 * took / mtbf):
            died.append({"event": "died", "time": pytest.approx(now)})
            took += 7 + work
        now += took
        times += [now] * batches
    assert trace.time == pytest.approx(times) and trace.events == died and len(died) in deaths
    assert trace.samples == np.cumsum([1 + n % 3 for n in range(8)]).tolist()


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines())
