"""How costs are measured through Ray and between ranks, with Ray replaced and a clock that only work moves."""

from types import SimpleNamespace

import numpy as np
import pytest
from downpour_runs import job
from fixed_clips import D, T, linear
from ray_stand_in import RayActorError, ray_stand_in

from snippets.layers.device.xp import usable_cores
from snippets.training.alone import ALONE
from snippets.training.distributed import costs, ray_actors
from snippets.training.distributed.costs import Probe, Trial, measured, ray_costs, restart_seconds, scaling
from snippets.training.distributed.downpour import Ask, Compute, Downpour, Push, Take
from snippets.training.distributed.ranks import Reducer


class Clock:
    """Seconds, and those of a core."""

    now = core = 0.0

    def perf_counter(self):
        return self.now

    def process_time(self):
        return self.core

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(costs, "time", clock)
    monkeypatch.setattr(ray_actors, "threadpool_limits", lambda *args: None)
    return clock


@pytest.fixture
def ray(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return ray_stand_in(monkeypatch, "10.0.0.1")


def test_work_is_repeated_fifteen_times(clock):
    """The first call does not count."""
    took = iter(range(100, 0, -1))
    assert costs.seconds(lambda: clock.sleep(next(took))) == list(range(99, 84, -1))


@pytest.mark.parametrize("limit, steps, found", [(0, 9, [3, 5]), (20, 9, [3, 5, 5]), (99, 2, [3]), (99, 1, [7])])
def test_a_trial_times_steps_and_updates(clock, ray, monkeypatch, limit, steps, found):
    """A step is all that a replica does between two gradients; the first does not count, if there are others."""
    one, shared, seen = job(Downpour(3, 2)), [], []
    wanted = iter([7, 3, 5, 5, 4, 4, 4, 4, 4])

    def replica(of, me):
        assert (of.downpour, me) == (one.downpour, 2)
        for n in range(steps):
            seconds = next(wanted)
            yield Ask(n)
            clock.now += seconds - 1
            seen.append((yield Take()))
            clock.now += 1
            yield Compute()
            whole = sum(a.size for a in of.trained().values())
            yield Push(n, n + 1, np.full(whole, 1.0, np.float32), 1.0, [n, n], [])

    push = costs.Shard.push

    def slow(shard, replica, part):
        clock.now += 2**-20 * shard.vector.size * (1 + shard.index)
        push(shard, replica, part)

    monkeypatch.setattr(costs.Shard, "push", slow)
    monkeypatch.setattr(costs, "replica", replica)
    monkeypatch.setattr(costs, "share_cores", lambda net, beside: shared.append((net, beside)))
    trial = Trial([ray.put(one)], 2, ())
    times, updates = trial.steps(limit)
    assert times == found
    assert shared == [(trial.job.net, 3)]
    assert [[answer.version for answer in answers] for answers in seen[:2]] == [[0, 0], [1, 1]][: len(seen)]
    assert [[answer.slowest for answer in answers] for answers in seen] == [[n, n] for n in range(len(seen))]
    assert updates == ([2**-20, 2**-19] * len(updates))[: len(updates)] and len(updates) >= 2


def test_a_trial_of_a_bound_on_staleness_ends(ray, monkeypatch):
    """One replica is never ahead of itself, whatever the bound."""
    monkeypatch.setattr(ray_actors, "threadpool_limits", lambda *args: None)
    times, updates = Trial([ray.put(job(Downpour(1, 2, fetch=1, push=1, staleness=0)))], 0, ()).steps(0)
    assert len(times) == 2 and len(updates) == 4


def test_a_trial_runs_in_an_actor_that_is_not_started_again(clock, ray, monkeypatch):
    monkeypatch.setattr(Trial, "steps", lambda self, limit: (self.job.downpour, self.me, self.shards, limit))
    d = Downpour(3, 2)
    assert costs.trial(ray, job(d), 7) == (d, 0, (), 7)
    ((name, _, how, _),), (actor,) = ray.made, ray.over
    assert how == ray_actors.ACTOR | {"max_restarts": 0} and (name, actor.name) == ("Trial", "Trial")


def test_what_calls_of_an_actor_cost(clock, ray):
    """Seconds of one alone; core seconds of one of eight at once, at both ends, without bytes and with."""
    sizes = []

    class Slow(Probe):
        def echo(self, a=None):
            clock.now += 3 if a is None else 50
            clock.core += 0.5 if a is None else 0.5 + a.nbytes
            sizes.append(0 if a is None else a.nbytes)
            return a

    other = ray.remote()(Slow).remote()
    assert Probe().calls(other, 16, repeat=3) == (3, 1.0, 33.0)  # this process is both ends
    assert sizes == 4 * [0] + 3 * 8 * [0] + 3 * 8 * [16]
    sizes.clear()
    Probe().calls(other, 1)
    assert sizes == 41 * [0] + 40 * 8 * [0] + 40 * 8 * [1]


@pytest.mark.parametrize(
    "calls, found",
    [
        ((0.5, 0.25, 0.75), dict(message=0.125, touch=0.5 / 64, wake=0.125)),
        ((0.25, 0.5, 0.25), dict(message=0.25, touch=0, wake=0)),
    ],
)
def test_the_parts_of_a_call(ray, calls, found):
    """Half of its core seconds at each end; bytes cross four ends; half of its time is one way. Nothing is below 0."""
    ray.instead["calls"] = [
        lambda probe, other, size: calls if isinstance(other.instance, Probe) and size == 16 else None
    ]
    assert ray_costs(ray, 16) == found
    assert [(name, how) for name, _, how, _ in ray.made] == [("Probe", ray_actors.ACTOR)] * 2
    assert len({id(actor) for actor in ray.over}) == 2


def test_how_long_a_dead_actor_is_away(clock, ray, monkeypatch):
    """It is killed, and asked every 0.05 s; after PATIENCE seconds nobody waits any more."""
    killed = []
    monkeypatch.setattr(costs.os, "kill", lambda pid, number: killed.append((pid, number)))

    def gone(probe):
        raise RayActorError("gone")

    ray.instead["pid"] = [lambda probe: 1234, gone, gone, gone]
    assert restart_seconds(ray) == pytest.approx(0.15)
    assert (
        killed == [(1234, 9)] and [actor.name for actor in ray.over] == ["Probe"] and clock.now == pytest.approx(0.15)
    )
    ray.instead["pid"] = [lambda probe: 1234, *[gone] * 9999]
    assert restart_seconds(ray) == pytest.approx(180, abs=0.06)
    ray.instead.clear()
    assert ray.made[0][2] == ray_actors.ACTOR


def test_what_is_measured_is_handed_on(ray, monkeypatch):
    """Ten seconds of steps unless told; messages as large as a shard, 16 MB at most; what is given is not measured."""
    asked = []
    monkeypatch.setattr(costs, "trial", lambda *args: asked.append(args[1:]) or ([1.0], [2.0]))
    monkeypatch.setattr(
        costs, "ray_costs", lambda ray, size: asked.append(size) or dict(message=3.0, touch=4.0, wake=5.0)
    )
    one = job(Downpour(1, 2))
    found = measured(one)
    assert (found.hosts, found.cores, found.compute, found.std, found.apply) == (1, usable_cores(), 1.0, 0.0, 2.0)
    found = measured(one, 3, hosts=2, cores=7, message=0.5)
    assert (found.hosts, found.cores, found.message, found.touch, found.wake) == (2, 7, 0.5, 4.0, 5.0)
    first, end = one.range(0)
    assert asked == [(one, 10), 4 * (end - first), (one, 3), 4 * (end - first)]
    large = SimpleNamespace(vector=SimpleNamespace(nbytes=(1 << 24) + 1))
    monkeypatch.setattr(costs, "Shard", lambda of, i: large if (of, i) == (one, 0) else None)
    measured(one)
    assert asked[-1] == 1 << 24


class Team:
    """Rank 1 of 3, of which another is slower by 10 s."""

    rank, size, stop = 1, 3, False
    comm = SimpleNamespace(allgather=lambda took: [took, took + 10, took])

    def backward(self, params):
        return Reducer(self, params)

    def start(self, part):
        self.clock.now += 4

    def finish(self, pending):
        pass


def test_scaling_on_a_rank(clock, monkeypatch):
    """Every third clip is its own, one of the whole batch's seven; the slowest rank's time counts."""
    team, steps = Team(), []
    team.clock = clock

    def step(run, x, labels, clips):
        steps.append((run.ranks, x[:, 0, 0].tolist(), labels.tolist(), clips))
        clock.now += 8 if run.ranks is team else 2

    monkeypatch.setattr(costs, "step", step)
    x = np.zeros((7, T, D), np.float32) + np.arange(7, dtype=np.float32)[:, None, None]
    net = linear(per_frame=False)
    found = scaling(net, x, np.arange(7) % 2, team)
    assert found == {
        "step": 18, "alone": 12, "reduce": 14, "memcpy": 10, "cores": usable_cores(), "ranks": 3,
        "bytes": sum(a.nbytes for a in net.params.values()),
    }  # fmt: skip
    assert steps == 10 * [(ranks, [1, 4], [1, 0], 7) for ranks in (team, ALONE)]
