"""A replica in an actor, with Ray replaced: its calls of the shards, and what it waits for."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from downpour_runs import CONFIG, SETTINGS, clips, job
from ray_stand_in import ray_stand_in

from snippets.nets.frames import OverFrames
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import load
from snippets.training.distributed import ray_actors
from snippets.training.distributed.downpour import Ask, Compute, Downpour, Part, Push, Take, Wait
from snippets.training.distributed.shard import Shard
from snippets.training.loop import train
from snippets.training.parameters import flatten


@pytest.fixture
def waited(monkeypatch):
    """Instead of Ray calls that are done at once; a list that notes of each wait (of how many, until how many)."""
    calls = []

    def wait(refs, num_returns=1):
        calls.append((len(refs), num_returns))
        return refs[:num_returns], refs[num_returns:]

    ray = SimpleNamespace(get=lambda ref: ref, wait=wait)
    monkeypatch.setattr(ray_actors, "import_ray", lambda: ray)
    return calls


def test_a_push_travels_with_the_fetch_behind_it(waited):
    """One call of a shard per step, but for the first fetch and the last push; what they do is plain SGD."""
    one, calls = job(Downpour(1, 1, fetch=1, push=1)), []

    class Actor:
        def __getattr__(self, name):
            return SimpleNamespace(remote=lambda *args: calls.append(name) or getattr(shard, name)(*args))

    shard = Shard(one, 0)
    shard.join(0, 0)
    ray_actors.ReplicaActor([one], 0, [Actor()]).run()
    assert calls == ["progress", "fetch", *["fetch"] * 17, "push"] and waited == [(1, 1)]
    plain = build(CONFIG, 1)
    train(plain, clips(), SETTINGS, progress=False)
    assert shard.vector.tobytes() == flatten(plain.params).tobytes()


@pytest.mark.parametrize("S", [1, 2])
def test_a_replica_ends_when_all_its_pushes_have_arrived(waited, S):
    """With a fetch every third step pushes go out by themselves; all of the last ones are waited for."""
    one = job(Downpour(1, S, fetch=3, push=1))
    shards = [Shard(one, i) for i in range(S)]

    def actor(shard):
        shard.join(0, 0)
        calls = {name: SimpleNamespace(remote=getattr(shard, name)) for name in ("progress", "fetch", "push")}
        return SimpleNamespace(**calls)

    ray_actors.ReplicaActor([one], 0, [actor(shard) for shard in shards]).run()
    last, most = waited[-1][0], 2 * S  # two pushes to each shard
    assert waited[-1] == (last, last) and S <= last <= most and len(waited) > 2
    assert all(found == most + S and count == S for found, count in waited[:-1])


class Clock:
    """Seconds that only work and sleep take."""

    def __init__(self):
        self.now, self.naps = 0.0, []

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.naps.append(seconds)


def test_a_replica_says_how_long_it_waited(waited, monkeypatch, tmp_path):
    """For answers, for others that are behind, and while it sends; it begins where the furthest shard has it."""
    clock, begun, calls = Clock(), [], []
    one = job(Downpour(3, 2))
    one.cwd = str(tmp_path)
    monkeypatch.chdir("/")
    monkeypatch.setattr(ray_actors, "time", clock)
    monkeypatch.setattr(ray_actors, "share_cores", lambda *args: begun.append(args))

    def replica(of, me, start, stop):
        begun.append((of, me, start, stop))
        clock.now += 4
        yield Wait()
        clock.now += 8
        yield Ask(7)
        answers = yield Take()
        clock.now += 16
        assert answers == [("fetch", me, 7, None)] * 2
        yield Compute()
        yield Compute()
        yield Push(7, 8, None, 1.0, [0, 0], [])

    monkeypatch.setattr(ray_actors, "replica", replica)
    monkeypatch.setattr(Push, "part", lambda push, i, range: (i, range))

    def remote(name, progress):
        def call(*args):
            clock.now += 0.25
            calls.append((name, *args))
            return progress if name == "progress" else (name, *args)

        return SimpleNamespace(remote=call)

    shards = [SimpleNamespace(**{name: remote(name, at) for name in ("progress", "fetch", "push")}) for at in (7, 5)]
    actor = ray_actors.ReplicaActor([one], 1, shards)
    assert os.getcwd() == str(tmp_path)
    took = actor.run(None, 2)
    assert begun == [(one.net, 2), (one, 1, 7, None)] and clock.naps == [0.01]
    assert took == {"seconds": pytest.approx(28 + 0.01 + 4 * 0.25), "waiting": pytest.approx(0.01 + 4 * 0.25)}
    pushes = [("push", 1, (i, one.range(i))) for i in range(2)]
    assert calls == [("progress", 1)] * 2 + [("fetch", 1, 7, None)] * 2 + pushes
    one.cwd = str(tmp_path / "none")
    ray_actors.ReplicaActor([one], 0, shards).run()
    assert os.getcwd() == str(tmp_path) and begun[2:] == [(one.net, 1), (one, 0, 7, None)]


@pytest.mark.parametrize("again, steps, told", [(False, 0, False), (True, 0, True), (False, 3, True)])
def test_a_shard_says_that_it_is_back(again, steps, told, tmp_path, monkeypatch):
    """With its host and process; one that has just begun has nothing to say. A checkpoint is written when it is due."""
    ray = ray_stand_in(monkeypatch, "10.0.0.1")
    ray.reconstructed = again
    one = job(Downpour(1, 2, checkpoint_every=2))
    first = Shard(one, 1)
    first.opt.steps = first.done[0] = steps
    path = tmp_path / "1.npz"
    first.save(path)
    shard = ray_actors.ShardActor([ray.put(one)], 1, str(path))
    back = {"event": "restored", "shard": 1, "version": steps, "done": [steps], "host": "10.0.0.1", "pid": os.getpid()}
    assert shard.report()["events"] == ([back] if told else [])
    for n in range(steps, steps + 4):
        shard.push(0, Part(n, n + 1, np.ones_like(shard.vector), 1.0, n))
        assert load(path).steps == (n + 1) // 2 * 2
    vector, velocity, version, staleness = shard.state()
    assert (version, staleness) == (steps + 4, {0: 4}) and load(path).steps == steps + 4
    assert vector is shard.vector and velocity.shape == vector.shape and (velocity != vector).all()
    np.testing.assert_array_equal(velocity, flatten(shard.opt.velocity))
    path.unlink()
    words = rf"^shard 1 has no checkpoint on host 10.0.0.1, where it came back: {path} is not there"
    with pytest.raises(FileNotFoundError, match=words):
        ray_actors.ShardActor([ray.put(one)], 1, str(path))


def test_threads_of_a_tower_beside_others(monkeypatch):
    """Of seven cores; a net that is no Sequential is left alone."""
    monkeypatch.setattr(ray_actors, "usable_cores", lambda: 7)
    net = build(NetConfig(2, "alexnet", "conv", 4, size=36, width=1 / 12, fc=4))
    (tower,) = (layer for layer in net.layers.values() if isinstance(layer, OverFrames))
    for beside, threads in ((1, 7), (2, 3), (7, 1), (8, 1)):
        ray_actors.share_cores(net, beside)
        assert tower.threads == threads
    ray_actors.share_cores(SimpleNamespace(), 1)
