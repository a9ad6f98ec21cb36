"""Downpour SGD without an engine: what replicas and shards do, carried out by a plain loop in a seeded order."""

import itertools
import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from downpour_runs import CONFIG, LEARNER, SETTINGS, clips, job, run, weights
from outcomes import Outcome, hold

from snippets.nets.zoo import build
from snippets.training.checkpoint import CheckpointError
from snippets.training.distributed.downpour import Ask, Downpour, History, Part, Push, Take, Wait, fetch, replica
from snippets.training.distributed.shard import Adagrad, Shard
from snippets.training.loop import train
from snippets.training.objective import Weighting, loss_and_gradient
from snippets.training.parameters import flatten
from snippets.training.settings import Settings
from snippets.training.step import DROPOUT


@pytest.mark.parametrize("groups", [{"scores/": 0.5}, {"fc1/": 0.0}], ids=["rates", "frozen"])
@pytest.mark.parametrize("S", [1, 3, 7])
def test_downpour_with_one_replica_is_sgd(S, groups):
    """Downpour with one replica = SGD (bit for bit), however the parameters are cut into shards."""
    settings = Settings(**{**vars(SETTINGS), "groups": groups})
    net = build(CONFIG, 1)
    history = train(net, clips(), settings, progress=False)
    shards, _ = run(Downpour(1, S, fetch=1, push=1), settings)
    plain = flatten({key: net.params[key] for key in shards[0].job.trained()})
    assert weights(shards).tobytes() == plain.tobytes()
    assert [shard.staleness for shard in shards] == [{0: 18}] * S
    last = [record for record in shards[0].records if record["epoch"] == 2]
    assert sum(r["loss"] for r in last) / sum(r["weight"] for r in last) == history[-1]["loss"]


def test_gradients_of_replicas_add_up():
    """Sum of gradients of replicas: what two replicas push is the gradient of both their batches at those weights."""
    d = Downpour(2, 2, fetch=100, push=100)
    settings = Settings(**{**vars(SETTINGS), "epochs": 1, "lr": 1e-12, "clip_norm": None, "loss": "sum"})
    _, seen = run(d, settings)
    pushes = [request for me in seen for request in seen[me] if isinstance(request, Push)]
    assert [(push.first, push.end) for push in pushes] == [(0, 3)] * 2  # 6 batches of 8, the last of 4
    plain = build(CONFIG, 1)
    total = {key: np.zeros_like(a) for key, a in plain.params.items()}
    for n in range(6):
        x, labels, _ = job(d, settings).batch(n)
        rng = np.random.default_rng([3, 0, n, DROPOUT])  # batch n is dropped out as in update n
        grads = loss_and_gradient(plain, x, labels, rng, Weighting("sum"))[3]
        total = {key: a + grads[key] for key, a in total.items()}
    np.testing.assert_allclose(pushes[0].gradient + pushes[1].gradient, flatten(total), rtol=1e-4, atol=1e-5)


def test_every_batch_is_read_once():
    for d in (Downpour(3, 1), Downpour(3, 1, warm_start_steps=5), Downpour(1, 1, warm_start_steps=4), Downpour(30, 1)):
        numbers = [n for me in range(d.replicas) for n in job(d).batches_of(me)]
        assert sorted(numbers) == list(range(18))
    assert job(Downpour(3, 1, warm_start_steps=5)).batches_of(0)[:6] == [0, 1, 2, 3, 4, 5]
    whole = [job(Downpour()).batch(n).index for n in range(6)]
    assert sorted(np.concatenate(whole)) == list(range(44))  # an epoch


@pytest.mark.parametrize("d", [Downpour(4, 3, 2, 3), Downpour(3, 2, 5, 5, ahead=1), Downpour(2, 4, 3, 1)], ids=str)
def test_pushes_cover_all_steps_and_staleness_is_counted(d):
    shards, seen = run(d)
    for me, requests in seen.items():
        covered = [step for r in requests if isinstance(r, Push) for step in range(r.first, r.end)]
        assert covered == list(range(len(job(d).batches_of(me))))
        asks = [r.step for r in requests if isinstance(r, Ask)]
        assert asks == [step for step in covered if step % d.fetch == 0]
        for push, behind in itertools.pairwise(requests):
            assert not isinstance(push, Push) or push.asks == isinstance(behind, Ask)
        assert not isinstance(requests[-1], Push) or not requests[-1].asks
    pushes = sum(isinstance(r, Push) for requests in seen.values() for r in requests)
    for shard in shards:
        assert shard.opt.steps == sum(shard.staleness.values()) == pushes
        assert max(shard.staleness) > 0 and not shard.events
    again, _ = run(d)
    assert weights(again).tobytes() == weights(shards).tobytes()  # the order is all that chance decides


def test_bounded_staleness_holds_the_fast_back():
    """With a bound of 2, no replica asks for parameters for step n while another has not asked for step n - 2."""
    settings, ahead, clock = Settings(**{**vars(SETTINGS), "epochs": 10}), [], {}

    def watch(me, request):
        clock[me] = request.end
        ahead.append(max(clock.values()) - min(clock.values()))

    clock.update({0: 0, 1: 0, 2: 0})
    run(Downpour(3, 2, 1, 1), settings, power=3, hook=watch)
    assert max(ahead) > 10  # this order of events lets one run away
    ahead.clear()
    clock.update({0: 0, 1: 0, 2: 0})
    _, seen = run(Downpour(3, 2, 1, 1, staleness=2), settings, power=3, hook=watch)
    assert max(ahead) == 3  # step n itself may be done
    assert any(isinstance(r, Wait) for requests in seen.values() for r in requests)


def test_what_is_lost_is_told_and_what_comes_twice_is_dropped():
    dropped = []

    def lossy(me, request):
        if me == 1 and request.first == 2:
            dropped.append(request)
            return True
        return False

    shards, _ = run(Downpour(2, 2, 2, 2), hook=lossy)
    for i, shard in enumerate(shards):
        shard.finish()
        assert shard.report()["events"] == [{"event": "lost", "shard": i, "replica": 1, "first": 2, "end": 4}]
        before = shard.vector.tobytes()
        gradient = np.ones_like(shard.vector)
        shard.push(0, Part(0, 2, gradient, 1.0, 0))  # came late: it has been applied already
        assert shard.vector.tobytes() == before and shard.report()["events"] == []


def test_a_shard_goes_on_from_its_checkpoint_bit_for_bit(tmp_path):
    d, saved = Downpour(2, 2, 2, 1, checkpoint_every=1), []
    shards, _ = run(d)
    rng = np.random.default_rng(0)
    one = shards[1]
    one.save(tmp_path / "1.npz")
    two = Shard(job(d), 1)
    two.restore(tmp_path / "1.npz")
    saved.append(two.report()["events"])
    assert saved == [[{"event": "restored", "shard": 1, "version": one.opt.steps, "done": [9, 9]}]]
    gradient = rng.standard_normal(one.vector.size).astype(np.float32)
    version = one.opt.steps - 1
    for shard in (one, two):
        shard.push(0, Part(9, 10, gradient, 3.0, version))
    assert one.vector.tobytes() == two.vector.tobytes() and one.staleness == two.staleness
    with pytest.raises(CheckpointError, match="'shard': 1"):
        Shard(job(d), 0).restore(tmp_path / "1.npz")
    with pytest.raises(CheckpointError, match="'replicas': 2"):
        Shard(job(Downpour(3, 2, 2, 1, checkpoint_every=1)), 1).restore(tmp_path / "1.npz")


def test_a_push_that_comes_with_a_fetch_is_in_the_answer():
    apart, together = (Shard(job(Downpour(1, 2)), 0) for _ in range(2))
    part = Part(0, 5, np.ones_like(apart.vector), 1.0, 0)
    apart.push(0, part)
    answer, one = together.fetch(0, 5, part), apart.fetch(0, 5)
    assert answer.vector.tobytes() == one.vector.tobytes() != Shard(job(Downpour(1, 2)), 0).vector.tobytes()
    assert answer.version == one.version == 1 and together.done == apart.done == [5]


def test_the_bound_on_staleness_goes_by_the_slowest_replica_that_any_shard_knows():
    """Shards hear of a replica at different times; where one of them knows it three steps behind, two are exceeded."""
    work = fetch(Downpour(2, 2, staleness=2), 6)
    assert next(work) == Ask(6) and work.send(None) == Take()
    assert work.send([SimpleNamespace(slowest=3), SimpleNamespace(slowest=7)]) == Wait()
    assert next(work) == Ask(6) and next(work) == Take()
    answers = [SimpleNamespace(slowest=4), SimpleNamespace(slowest=7)]
    with pytest.raises(StopIteration) as found:
        work.send(answers)
    assert found.value.value == answers


def test_a_replica_starts_again_where_the_shards_have_it():
    """Killed and restarted at its last push, a lone replica makes the same run."""
    d = Downpour(1, 2, 2, 2)
    whole, _ = run(d)
    shards = [Shard(job(d), i) for i in range(2)]

    def work(start, stop):
        steps, answer = replica(job(d), 0, start, stop), None
        while True:
            try:
                request = steps.send(answer)
            except StopIteration:
                return
            answer = [shard.fetch(0, 0) for shard in shards] if isinstance(request, Take) else None
            if isinstance(request, Push):
                for i, shard in enumerate(shards):
                    shard.push(0, request.part(i, shard.job.range(i)))

    work(0, 8)
    assert [shard.progress(0) for shard in shards] == [8, 8]
    work(shards[0].progress(0), None)
    assert weights(shards).tobytes() == weights(whole).tobytes()


def test_adagrad_is_its_formula(rng):
    params = {"W": rng.standard_normal(5), "b": rng.standard_normal(5)}
    w, G = {key: a.copy() for key, a in params.items()}, {key: np.zeros(5) for key in params}
    opt = Adagrad(params, 0.1, weight_decay=0.01)
    for _ in range(3):
        grads = {key: rng.standard_normal(5) for key in params}
        opt.step(grads)
        for key, g in grads.items():
            g = g + (0.01 * w[key] if key == "W" else 0)
            G[key] += g**2
            w[key] -= 0.1 * g / (np.sqrt(G[key]) + 1e-8)
    for key in params:
        np.testing.assert_allclose(params[key], w[key], rtol=1e-12)
        np.testing.assert_allclose(opt.velocity[key], G[key], rtol=1e-12)


def adagrad(seed):
    """Adagrad on four shards under three replicas."""
    settings = Settings(**{**vars(SETTINGS), "epochs": 12, "lr": 0.05, "seed": seed})
    shards, _ = run(Downpour(3, 4, 2, 2, rule="adagrad"), settings, seed, config=LEARNER)
    first, last = (
        np.mean([r["loss"] / r["weight"] for r in shards[0].records if r["epoch"] == epoch]) for epoch in (0, 11)
    )
    return [Outcome("loss of the last epoch by the first's", last / first, "<", 0.5)]  # 0.21 at worst


def test_adagrad_on_shards_learns():
    hold(adagrad(0))


def test_wrong_settings_are_refused():

    with pytest.raises(ValueError, match="replicas is 0, expected at least 1"):
        Downpour(0)
    with pytest.raises(ValueError, match="one shard per parameter"):
        job(Downpour(1, 10**6)).range(0)


class Lines(list):
    """A log that keeps its records."""

    def write(self, record):
        self.append(json.loads(json.dumps(record)))


def test_history_and_totals_go_on_after_a_stop():
    """A run that is stopped anywhere and goes on from its log has the history of one that was not, and all its time."""
    shards, _ = run(Downpour(1, 1, 1, 1))
    records, whole = shards[0].records, History(job(Downpour(1, 1, 1, 1)), Lines())
    for record in records:
        whole.add(record)
    assert [epoch["epoch"] for epoch in whole.epochs()] == [1, 2, 3] and whole.samples == 3 * 44
    assert [epoch["steps"] for epoch in whole.epochs()] == [6, 12, 18]
    for stop in (0, 1, 7, 18):
        first = History(whole.job, Lines([{"event": "started", "replica": 0, "pid": 1}]))
        first.started = time.perf_counter() - 100
        for record in records[:stop]:
            first.add(record)
        first.write({"event": "stopped"})
        second = History(whole.job, Lines(first.log), first.log)
        assert 100 <= second.seconds == first.log[-1]["seconds"] < 200  # the clock stands still until it is set
        second.started = time.perf_counter() - 50
        for record in records[max(0, stop - 2) :]:  # what a killed run had not saved is done again and counts once
            second.add(record)
        assert second.epochs() == whole.epochs() and second.samples == whole.samples
        assert 150 <= second.seconds < 300
    steps = [r for r in second.log if r["event"] == "step"]
    assert steps[:18] == [r for r in first.log if r["event"] == "step"] and steps[8]["batch"] == 8
    assert History(whole.job, Lines(), [{"event": "step", "loss": 1.0}]).epochs() == []  # of an older version
