"""What a shard counts, tells and keeps, number by number; and what a job hands to the loader and to optimisers."""

import os
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from downpour_runs import CONFIG, SETTINGS, clips, job

from snippets.nets.zoo import build
from snippets.training.checkpoint import CheckpointError, load, videos_of
from snippets.training.distributed import downpour as module
from snippets.training.distributed.downpour import SUMS, Downpour, History, Job, Part, Push, checked_gradient, copy_of
from snippets.training.distributed.shard import Adagrad, Shard
from snippets.training.parameters import flatten


def part(shard, first, end, version, *records):
    return Part(first, end, np.full_like(shard.vector, 0.5), 1.0, version, records)


def test_what_comes_of_pushes():
    """A checkpoint every second update; steps that never came are lost, what comes again is dropped, both are told."""
    shard = Shard(job(Downpour(3, 2, checkpoint_every=2)), 1)
    assert shard.report() == {"version": 0, "done": [0, 0, 0], "events": [], "records": []}
    due = [shard.push(0, part(shard, 0, 2, 0, "a", "b")), shard.push(2, part(shard, 0, 1, 0, "c"))]
    due += [
        shard.push(0, part(shard, 2, 3, 0)),
        shard.push(0, part(shard, 5, 6, 7)),
        shard.push(0, part(shard, 4, 6, 4)),
    ]
    assert due == [False, True, False, True, False]
    assert shard.staleness == {0: 2, 1: 1, 2: 1}  # a version that was lost with the shard counts as none
    lost = {"event": "lost", "shard": 1, "replica": 0, "first": 3, "end": 5}
    assert shard.report() == {"version": 4, "done": [6, 0, 1], "events": [lost], "records": ["a", "b", "c"]}
    assert shard.report() == {"version": 4, "done": [6, 0, 1], "events": [], "records": []}
    assert [shard.progress(me) for me in range(3)] == [6, 0, 1]
    shard.finish()  # all have six
    assert [(event["replica"], event["first"], event["end"]) for event in shard.report()["events"]] == [
        (1, 0, 6), (2, 1, 6),
    ]  # fmt: skip
    assert shard.done == [6, 6, 6]


def test_who_is_slowest_among_those_at_work():
    shard = Shard(job(Downpour(3, 2)), 0)
    shard.join(1, 4)
    shard.join(2, 9)
    assert shard.fetch(0, 6).slowest == 4 and shard.clock == {0: 6, 1: 4, 2: 9}
    shard.leave(1)
    shard.leave(1)  # a second time, after its own death
    assert shard.fetch(0, 7).slowest == 7 and shard.fetch(0, 12).slowest == 9
    answer = shard.fetch(0, 12)
    assert answer.vector is not shard.vector and answer.version == 0


@pytest.mark.parametrize("rule, kind", [("momentum", "SGD"), ("adagrad", "Adagrad")])
def test_what_a_checkpoint_of_a_shard_holds(rule, kind, tmp_path):
    """The list of videos is the first shard's; another number of epochs is all that may differ."""
    d = Downpour(2, 2, rule=rule)
    one = job(d)
    one.content = videos_of(clips())
    shards = [Shard(one, i) for i in range(2)]
    for i, shard in enumerate(shards):
        assert type(shard.opt).__name__ == kind
        for n in range(3):
            shard.push(n % 2, part(shard, n // 2, n // 2 + 1, 0))
        shard.save(tmp_path / f"{i}.npz")
        found = load(tmp_path / f"{i}.npz")
        assert found.settings == asdict(SETTINGS) and found.data == {"shard": i, **asdict(d)}
        assert found.partial == {"done": [2, 1], "staleness": [[0, 1], [1, 1], [2, 1]]}
        assert (found.steps, found.videos, found.content) == (3, 44, None if i else videos_of(clips()))
        assert flatten(found.params).tobytes() == shard.vector.tobytes()
        assert flatten(found.velocity).tobytes() == flatten(shard.opt.velocity).tobytes()
        again = Shard(Job(build(CONFIG, 2), clips(), replace(SETTINGS, epochs=9), d), i)
        again.job.content = videos_of(clips())
        again.restore(tmp_path / f"{i}.npz")
        assert again.vector.tobytes() == shard.vector.tobytes() and again.staleness == Counter({0: 1, 1: 1, 2: 1})
        assert (again.opt.steps, again.done) == (3, [2, 1])
        assert again.report()["events"] == [{"event": "restored", "shard": i, "version": 3, "done": [2, 1]}]
        for changed in (job(d, replace(SETTINGS, lr=0.5)), job(replace(d, fetch=9))):
            with pytest.raises(CheckpointError, match="'(lr|fetch)': "):
                Shard(changed, i).restore(tmp_path / f"{i}.npz")
        again.job.content = videos_of(clips(43))
        if i == 0:
            with pytest.raises(CheckpointError, match="0.npz was trained on other videos"):
                again.restore(tmp_path / "0.npz")
        else:
            again.restore(tmp_path / "1.npz")
        again.job.content = None  # where a run is not kept, nobody knows
        again.restore(tmp_path / f"{i}.npz")


def test_parameters_are_cut_evenly_wherever_they_end():
    """As many shards as parameters have one each, of one of the arrays; a frozen array is nobody's."""
    settings = replace(SETTINGS, groups={"fc": 0.0})
    n = sum(a.size for a in job(Downpour(), settings).trained().values())
    assert n == 39 and set(job(Downpour(), settings).trained()) == {"scores/W", "scores/b"}
    for S in (1, 2, 7, 39):
        one = job(Downpour(1, S), settings)
        shards = [Shard(one, i) for i in range(S)]
        sizes = [shard.vector.size for shard in shards]
        assert (
            sum(sizes) == 39
            and max(sizes) - min(sizes) <= 1
            and [one.range(i)[0] for i in range(S)] == [39 * i // S for i in range(S)]
        )
        assert np.concatenate([shard.vector for shard in shards]).tobytes() == flatten(one.trained()).tobytes()
        assert all(a.size for shard in shards for a in shard.params.values())
    with pytest.raises(ValueError, match="^40 shards for 39 trained parameters; expected at most one shard per"):
        job(Downpour(1, 40), settings).range(0)
    with pytest.raises(ValueError, match="every parameter is frozen"):
        job(Downpour(), replace(SETTINGS, groups={"": 0.0}))


def test_what_a_job_hands_on(monkeypatch):
    """Batches of an epoch's step with the settings' augmentation; rates and decay that count pushes."""
    one, asked = job(Downpour(2, 1, push=4), replace(SETTINGS, augmentation="none")), []
    assert (one.per_epoch, one.total, one.cwd, one.content) == (6, 18, os.getcwd(), None)
    monkeypatch.setattr(module, "batches", lambda *args, **how: asked.append((*args, how)) or iter(["a batch"]))
    assert one.batch(13) == "a batch"
    ((data, size, start, how),) = asked
    assert (data, size, tuple(start), how) == (one.dataset, 8, (3, 2, 1), {"augmentation": "none"})
    opt = one.optimiser({"fc1/W": np.zeros(3), "fc1/b": np.zeros(2)}, Adagrad, momentum=0.25)
    assert (type(opt), opt.momentum, opt.factors) == (Adagrad, 0.25, {"fc1/W": 1, "fc1/b": 1})
    both = one.optimiser({"fc1/W": np.zeros(3), "scores/b": np.zeros(2)})
    assert both.factors == {"fc1/W": 1, "scores/b": 0.5} and both.momentum == SETTINGS.momentum
    assert both.lr == SETTINGS.lr and both.schedule(3) == pytest.approx(SETTINGS.lr * 0.8**2)  # 1.5 pushes an epoch


def test_a_replica_that_has_diverged_says_where(monkeypatch):
    one = job(Downpour(), replace(SETTINGS, lr=0.5))
    vector, run = copy_of(one)
    assert run.classes == 3 and run.opt.momentum == 0
    found, record = checked_gradient(one, run, 2, 13)
    assert {key: record[key] for key in ("replica", "epoch", "batch")} == {"replica": 2, "epoch": 2, "batch": 13}
    assert set(SUMS) <= set(record) and record["clips"] == 8
    vector[...] = np.nan
    words = r"^replica 2 has diverged in batch 13: loss nan, gradient norm \S+; try lr 0.05, less momentum"
    with pytest.raises(FloatingPointError, match=words):
        checked_gradient(one, run, 2, 13)
    vector[...] = np.float32(3e38)  # whose products overflow: no warning beside the error
    with pytest.raises(FloatingPointError, match="has diverged"):
        checked_gradient(one, run, 2, 13)


def test_records_go_to_the_first_shard():
    push = Push(2, 4, np.arange(9.0), 3.0, [5, 6], ["a"])
    assert push.asks is False and push.part(0, (0, 4))[3:] == (3.0, 5, ["a"])
    first, end, gradient, *_, version, records = push.part(1, (4, 9))
    assert (first, end, gradient.tolist(), version, records) == (2, 4, [4, 5, 6, 7, 8], 6, ())


def test_records_of_epochs_in_any_order(monkeypatch):
    """Sums over batches; an epoch that is not complete has its record, too."""

    class Log(list):
        write = list.append

    log = Log()
    history = History(
        job(Downpour()), log, [{"event": "step", "batch": 7, "sums": [4.0, 2.0, 1, 4], "seconds": 2.5}, {}]
    )
    assert history.seconds == 2.5 and history.samples == 4
    record = {"replica": 1, "epoch": 0, "batch": 3, "loss": 3.0, "weight": 2.0, "hits": 1, "clips": 2}
    history.add(record)
    history.add(record | {"batch": 0, "loss": 1.0, "clips": 6, "weight": 6.0})
    assert log[0] == {
        "event": "step", "replica": 1, "epoch": 1, "batch": 3, "loss": 1.5, "accuracy": 0.5,
        "sums": [3.0, 2.0, 1, 2], "seconds": 2.5,
    }  # fmt: skip
    assert history.epochs() == [
        {"epoch": 1, "steps": 6, "loss": 0.5, "accuracy": 0.25},
        {"epoch": 2, "steps": 12, "loss": 2.0, "accuracy": 0.25},
    ]  # fmt: skip
    assert history.samples == 12 and History(job(Downpour()), log, [{}]).seconds == 0
    history.started = 100.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: 103.23456)
    history.write({"event": "stopped"})
    assert log[-1] == {"event": "stopped", "seconds": 5.735}
