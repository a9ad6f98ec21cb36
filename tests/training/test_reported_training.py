"""Every number that a training, a simulation or a measurement writes, against a value worked out by hand."""

import contextlib
import math

import numpy as np
import pytest
from downpour_runs import CONFIG, SETTINGS, clips
from fixed_clips import D, Fixed, K, T, batches_of, first_gradient, linear, load_history

import snippets.training.bench.machine
import snippets.training.cli.scale
import snippets.training.distributed.costs
import snippets.training.distributed.simulation_report
from snippets.nets.inspect.summary import layer_rows, summary
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.alone import ALONE
from snippets.training.cli.main import main
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.machines import Cluster
from snippets.training.log import read_log
from snippets.training.loop import train
from snippets.training.settings import Settings


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("loss, gain", [("mean", "linear"), ("sum", "linear"), ("mean", "last"), ("sum", "ones")])
def test_the_log_and_the_history_of_a_training(tmp_path, per_frame, loss, gain):
    """Five clips in batches of 2, 2 and 1; the rate falls by half in an epoch, so by 2^(-1/3) in a step."""
    settings = Settings(epochs=2, batch=2, lr=1e-6, decay=0.5, loss=loss, gain=gain)
    net, data = linear(per_frame), Fixed()
    history = train(net, data, settings, test=data, folder=tmp_path, progress=False)
    log = read_log(tmp_path / "log.jsonl")
    assert [r["event"] for r in log] == ["step"] * 3 + ["epoch"] + ["step"] * 3 + ["epoch"]
    steps = [r for r in log if r["event"] == "step"]
    assert [(r["epoch"], r["step"], r["steps"]) for r in steps] == [
        (1, 1, 1), (1, 2, 2), (1, 3, 3), (2, 1, 4), (2, 2, 5), (2, 3, 6),
    ]  # fmt: skip
    assert [r["lr"] for r in steps] == pytest.approx([1e-6 * 2 ** (-n / 3) for n in range(6)])
    for r in steps:  # hardly anything has been learnt: every class has 1/3, whatever the weights of the loss
        assert r["loss"] == pytest.approx(math.log(3), rel=1e-4)
        assert r["data_seconds"] >= 0 and r["compute_seconds"] > 0
    order = [list(batch) for batch in batches_of(settings)]
    assert steps[0]["grad_norm"] == pytest.approx(first_gradient(order[0], per_frame, loss, gain), rel=1e-5)
    hits = [sum(Fixed.labels[i] == 0 for i in batch) for batch in order]
    assert steps[0]["accuracy"] == hits[0] / 2  # the first batch is judged before any change
    epochs = [r for r in log if r["event"] == "epoch"]
    assert [{k: v for k, v in r.items() if k != "event"} for r in epochs] == history == load_history(tmp_path)
    for n, r in enumerate(epochs, 1):
        mine = steps[3 * n - 3 : 3 * n]
        assert (r["epoch"], r["step"], r["steps"]) == (n, 3, 3 * n)
        assert r["lr"] == mine[-1]["lr"] == pytest.approx(1e-6 * 2 ** (-(3 * n - 1) / 3))
        assert r["accuracy"] == pytest.approx(sum(s["accuracy"] * c for s, c in zip(mine, (2, 2, 1), strict=True)) / 5)
        assert r["loss"] == pytest.approx(math.log(3), rel=1e-4)
        for name in ("data_seconds", "compute_seconds"):
            assert r[name] == pytest.approx(sum(s[name] for s in mine))
    assert set(history[-1]["test"]) == {"clip_hit1", "clip_hit5", "hit1", "hit5", "loss", "top", "videos", "clips"}
    assert history[-1]["test"]["loss"] == pytest.approx(math.log(3), rel=1e-4)
    assert (history[-1]["test"]["videos"], history[-1]["test"]["clips"], history[-1]["test"]["top"]) == (5, 5, 3)


@pytest.mark.parametrize("per_frame", [False, True])
def test_the_loss_of_an_epoch_by_clips_or_by_batches(per_frame):
    """A net that says a: clips of a cost log(1 + 2/e), others that plus 1. Batches of 2, 2 and 1 clips.

    The sum counts every clip once, 3 of 5 are not a; of the mean every batch is one update, and counts once.
    """
    for loss in ("sum", "mean"):
        net, settings = linear(per_frame), Settings(epochs=1, batch=2, lr=1e-9, loss=loss)
        net.params["scores/b"][0] = 1
        (record,) = train(net, Fixed(), settings, progress=False)
        others = [np.mean(Fixed.labels[batch] != 0) for batch in batches_of(settings)]
        extra = np.mean(others) if loss == "mean" else 3 / 5
        assert np.mean(others) != 3 / 5 and record["loss"] == pytest.approx(math.log(1 + 2 / math.e) + extra, rel=1e-5)
        assert record["accuracy"] == pytest.approx(2 / 5)


# Measurements: the clock is made up, the arithmetic is not


def clock(monkeypatch, module, ticks):
    """time.perf_counter of a module says these numbers in turn."""
    ticks = iter(ticks)
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(ticks))


def test_scaling_reports_medians_of_its_jobs(monkeypatch):
    """Rounds take 9, 4, 5 and 7 s (step), one less for each later job; the first round does not count."""
    ticks, now = [], 0.0
    for first in (9, 4, 5, 7):
        for late in range(4):
            ticks += [now, now + first - late]
            now += 100
    clock(monkeypatch, snippets.training.distributed.costs, ticks)
    net = linear(per_frame=False)
    found = snippets.training.distributed.costs.scaling(
        net, np.zeros((2, T, D), np.float32), np.array([0, 1]), ALONE, repeat=3
    )
    assert {k: found[k] for k in ("step", "alone", "reduce", "memcpy")} == {
        "step": 5, "alone": 4, "reduce": 3, "memcpy": 2,
    }  # fmt: skip
    assert (found["bytes"], found["ranks"]) == (4 * (D * K + K), 1)


def test_scaling_prints_milliseconds_megabytes_and_clips_per_second(monkeypatch, capsys):
    found = dict(step=0.25, alone=0.125, reduce=0.1, memcpy=0.0125, ranks=3, cores=2, bytes=2_500_000)
    monkeypatch.setattr(snippets.training.cli.scale, "scaling", lambda *args: found)
    net = "--head single --size 36 --width 0.1 --fc 8 --frames 1 --batch 3".split()
    assert main(["scaling", *net]) == 0
    cells = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert cells == ["3", "2", "250.0", "125.0", "100.0", "2.5", "12.5", "12.0"]


def test_times_measured_for_the_simulator(monkeypatch):
    """Each call's time, after one that is not counted."""
    clock(monkeypatch, snippets.training.distributed.costs, [0, 9, 10, 11, 20, 22, 30, 34])
    assert snippets.training.distributed.costs.seconds(lambda: None, repeat=3) == [1, 2, 4]
    job, costs = Job(build(CONFIG, 1), clips(), SETTINGS, Downpour(1, 1)), snippets.training.distributed.costs
    steps = [1.0, 1.0, math.e, math.e**3, math.e**2], [3.0, 5.0, 4.0]  # each, and each update per element
    monkeypatch.setattr(costs, "trial", lambda *args: steps)
    monkeypatch.setattr(costs, "ray_session", lambda *args: contextlib.nullcontext((None, None)))
    monkeypatch.setattr(costs, "ray_costs", lambda *args: dict(message=0.5, touch=0.25, wake=7.0))
    monkeypatch.setattr(costs, "restart_seconds", lambda *args: 9.0)
    cluster = costs.measured(job, mtbf=3.0, bandwidth=5.0)
    # logarithms 0, 0, 1, 2, 3: median 1, absolute deviations 1, 1, 0, 1, 2, whose median is 1
    assert cluster.compute == pytest.approx(math.e) and cluster.std == pytest.approx(1.4826)
    assert (cluster.apply, cluster.message, cluster.touch, cluster.wake) == (4.0, 0.5, 0.25, 7.0)
    assert (cluster.restart, cluster.mtbf, cluster.bandwidth, cluster.hosts) == (9.0, 3.0, 5.0, 1)
    assert costs.measured(job).restart == Cluster().restart  # nothing dies


def test_the_rate_of_products_is_the_best_of_seven_rounds_of_either_kind(monkeypatch):
    """2 n^3 operations of n = 16: two cores with a product each take 3 s at best, with one together 2 s."""
    machine, apart, joint = snippets.training.bench.machine, (4, 5, 3, 9, 4, 4, 7), (4, 2, 3, 5, 9, 4, 4)
    clock(monkeypatch, machine, [tick for seconds in (*apart, *joint) for tick in (0, seconds)])
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    assert machine.product_rate(16) == pytest.approx(2 * 2 * 16**3 / 3)
    clock(monkeypatch, machine, [tick for seconds in (*apart, *np.array(joint) / 2) for tick in (0, seconds)])
    assert machine.product_rate(16) == pytest.approx(2 * 16**3 / 1)


def test_summary_counts_by_hand(capsys):
    """Tower: none; fc1 4 x 3 + 3, on the mean of the frames; scores 3 x 5 + 5; a float has 4 bytes."""
    config = NetConfig(5, "features", "late", 2, fc=3, features=4)
    net = build(config)
    found = {row.name: row for row in layer_rows(net, input_shape(config))}
    fc1, scores = found["fc1"], found["scores"]
    assert (fc1.shape, fc1.params, fc1.madds, fc1.bytes) == ((1, 2, 3), 15, 2 * 12, 24)  # at both frames
    assert (scores.shape, scores.params, scores.madds, scores.bytes) == ((1, 5), 20, 15, 20)
    total = summary(net, input_shape(config)).splitlines()[-1].split()
    assert [int(x) for x in total[-4:-2]] == [15 + 12 + 20, 24 + 18 + 15]
    assert main(["summary", "--tower", "alexnet", "--width", "0.1", "--size", "36", "--fc", "8", "--classes", "7"]) == 0
    assert " 63 " in capsys.readouterr().out.splitlines()[-2]  # scores: 8 x 7 + 7
