"""A replica in an actor, with Ray replaced: its calls of the shards, and what it waits for."""

from types import SimpleNamespace

import pytest
from downpour_runs import CONFIG, SETTINGS, clips, job

from snippets.nets.zoo import build
from snippets.training.distributed import ray_actors
from snippets.training.distributed.downpour import Downpour
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


def test_a_replica_ends_when_all_its_pushes_have_arrived(waited):
    """Two shards, a fetch every third step: pushes go out by themselves, and both of the last ones are waited for."""
    one = job(Downpour(1, 2, fetch=3, push=1))
    shards = [Shard(one, i) for i in range(2)]

    def actor(shard):
        shard.join(0, 0)
        calls = {name: SimpleNamespace(remote=getattr(shard, name)) for name in ("progress", "fetch", "push")}
        return SimpleNamespace(**calls)

    ray_actors.ReplicaActor([one], 0, [actor(shard) for shard in shards]).run()
    last, most = waited[-1][0], ray_actors.IN_FLIGHT * 2
    assert waited[-1] == (last, last) and 2 <= last <= most
    assert all(found == most + 2 and count == 2 for found, count in waited[:-1])
