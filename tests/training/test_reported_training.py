"""Every number that a training, a simulation or a measurement writes, against a value worked out by hand."""

import contextlib
import json
import math
from collections import Counter

import numpy as np
import pytest
from downpour_runs import CONFIG, SETTINGS, clips, run, weights

import snippets.training.bench.machine
import snippets.training.cli.scale
import snippets.training.distributed.costs
import snippets.training.distributed.simulation_report
from snippets.data.features import save_features
from snippets.data.loader import Position, batches
from snippets.layers.core.base import Sequential
from snippets.layers.linear import Linear
from snippets.layers.temporal import TemporalAvgPool
from snippets.nets.inspect.summary import layer_rows, summary
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.alone import ALONE
from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.simulate import Cluster, Simulation, Trace
from snippets.training.distributed.simulate_synchronous import synchronous
from snippets.training.log import read_log
from snippets.training.loop import train
from snippets.training.objective import loss_and_gradient
from snippets.training.parameters import flatten, slices
from snippets.training.settings import Settings
from snippets.training.sgd import multiplier
from snippets.training.step import DROPOUT

T, D, K = 4, 2, 3


class Fixed:
    """Five clips, always the same: video i shows i + 1 and i at every frame; classes 0, 1, 2, 0, 1."""

    classes, names, labels = list("abc"), list("vwxyz"), np.array([0, 1, 2, 0, 1])

    def __len__(self):
        return 5

    def clip(self, i):
        return np.tile(np.array([i + 1, i], np.float32), (T, 1))

    def train_clip(self, i, rng):
        return self.clip(i)

    def test_clips(self, i, views, rng):
        yield self.clip(i)


def linear(per_frame):
    """One linear layer, all zero: the probabilities are 1/3 each, and the prediction is class a."""
    pool = {} if per_frame else {"pool": TemporalAvgPool()}
    net = Sequential(**pool, scores=Linear(D, K, np.random.default_rng(0)))
    net.params["scores/W"][...] = 0
    return net


def first_gradient(indices, per_frame, loss, gain):
    """Norm of the gradient of the all-zero net on these clips, by loops over clips and frames."""
    g_t = {"linear": [0.25, 0.5, 0.75, 1.0], "ones": [1] * 4, "last": [0, 0, 0, 1]}[gain] if per_frame else [1]
    dW, db = np.zeros((D, K)), np.zeros(K)
    for i in indices:
        for g in g_t:
            d = g * (np.full(K, 1 / 3) - np.eye(K)[Fixed.labels[i]])
            dW, db = dW + np.outer([i + 1, i], d), db + d
    scale = 1 / (len(indices) * len(g_t)) if loss == "mean" else 1
    return scale * math.sqrt((dW**2).sum() + (db**2).sum())


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
    assert set(history[-1]["test"]) == {"clip_hit1", "clip_hit5", "hit1", "hit5", "top", "videos", "clips"}
    assert (history[-1]["test"]["videos"], history[-1]["test"]["clips"], history[-1]["test"]["top"]) == (5, 5, 3)


def batches_of(settings):
    """Videos of the batches of the first epoch."""
    return [index for _, _, index in batches(Fixed(), settings.batch, Position(settings.seed))]


def load_history(folder):
    return load(folder / "checkpoint.npz").history


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


# Downpour and the simulated clock


def vector(grads, net):
    """Gradients in the order of the net's parameters, in float64."""
    return flatten({key: grads[key] for key in net.params}).astype(float)


def by_hand(d, settings, net):
    """One replica and its shards in plain loops, from the equations at the top of training/distributed/downpour.py."""
    s, job = settings, Job(net, clips(), settings, d)
    w, where = flatten(net.params).astype(float), slices(net.params)
    v = np.zeros_like(w)  # or Adagrad's G
    rate, decays = np.zeros_like(w), np.zeros_like(w)
    for key, part in where.items():
        rate[part] = multiplier(key, s.groups)
        decays[part] = 0 if key.endswith("b") else s.weight_decay
    local, total, pushes, stale, fetched = w.copy(), 0, 0, Counter(), 0
    every, collected = job.per_epoch / d.push, 0
    for n in range(job.total):
        if n % d.fetch == 0:
            local, fetched = w.copy(), pushes
        for key, part in where.items():
            net.params[key][...] = local[part].reshape(net.params[key].shape)
        x, labels, _ = job.batch(n)
        rng = np.random.default_rng([s.seed, *divmod(n, job.per_epoch), DROPOUT])
        g = vector(loss_and_gradient(net, x, labels, rng)[3], net)
        total, collected = total + g, collected + 1
        if d.rule == "momentum":
            lr = s.lr * s.decay ** (fetched / every)
            local -= lr * rate * (g * min(1, s.clip_norm / np.linalg.norm(g)) + decays * local)
        if n % d.push == d.push - 1 or n == job.total - 1:
            lr = s.lr * s.decay ** (pushes / every)
            a = total * min(1, s.clip_norm / (np.linalg.norm(total) / collected))
            if d.rule == "momentum":
                v = s.momentum * v - lr * rate * (a + decays * w)
                w = w + v
            else:
                a = a + decays * w
                v += a * a
                w = w - lr * rate * a / (np.sqrt(v) + 1e-8)
            stale[pushes - fetched] += 1
            pushes, total, collected = pushes + 1, 0, 0
    return w, stale


@pytest.mark.parametrize("rule", ["momentum", "adagrad"])
@pytest.mark.parametrize("fetch, push", [(1, 1), (3, 1), (1, 3), (4, 4), (5, 2)])
def test_downpour_between_fetches_and_pushes(fetch, push, rule):
    """A replica follows its own gradients from fetch to fetch, and pushes their sum."""
    settings = Settings(**{**vars(SETTINGS), "lr": 0.1, "weight_decay": 0.01, "epochs": 2, "clip_norm": 0.3})
    d = Downpour(1, 3, fetch=fetch, push=push, rule=rule)
    shards, _ = run(d, settings)
    expected, stale = by_hand(d, settings, build(CONFIG, 1))
    np.testing.assert_allclose(weights(shards), expected, rtol=1e-4, atol=2e-6)
    assert all(shard.staleness == stale for shard in shards)
    others = [
        Downpour(1, 3, fetch=fetch + 1, push=push, rule=rule),
        Downpour(1, 3, fetch=fetch, push=push + 1, rule=rule),
    ]
    for other in others:
        assert abs(weights(run(other, settings)[0]) - expected).max() > 1e-4  # far more than the tolerance above


@pytest.mark.parametrize("loss, gain", [("sum", "linear"), ("mean", "last"), ("sum", "ones")])
def test_simulated_losses_are_means_over_clips_and_frames(loss, gain):
    """An all-zero net gives every class 1/3: ln 3, at every step, whatever the weights; 44 clips in batches of 8."""
    for simulate in (lambda job: Simulation(job, Cluster()).run(), lambda job: synchronous(job, Cluster())):
        net = Sequential(scores=Linear(8, 3, np.random.default_rng(0)))
        net.params["scores/W"][...] = 0
        settings = Settings(epochs=1, batch=8, lr=1e-9, loss=loss, gain=gain)
        trace = simulate(Job(net, clips(), settings, Downpour(2, 1)))
        assert trace.loss == pytest.approx([math.log(3)] * 6, rel=1e-5)
        assert sorted(np.diff([0, *trace.samples])) == [4, 8, 8, 8, 8, 8] and trace.samples[-1] == 44
        assert trace.throughput == pytest.approx(44 / trace.time[-1]) and trace.seconds == trace.time[-1]


def test_a_synchronous_step_takes_the_mean_gradient_of_its_ranks_and_boosts_the_rate():
    """Two ranks, batches of 8: SGD on batches of 16 at twice the rate, and half as many steps; decay by the epoch."""
    settings = Settings(**{**vars(SETTINGS), "groups": {}, "epochs": 2, "momentum": 0.5})
    net, job = build(CONFIG, 1), Job(build(CONFIG, 1), clips(), settings, Downpour(2, 1))
    synchronous(job, Cluster(), boost=2.0)
    w, where = flatten(net.params).astype(float), slices(net.params)
    v = np.zeros_like(w)
    decays = np.concatenate([np.full(p.stop - p.start, 0 if k.endswith("b") else 0.0005) for k, p in where.items()])
    for step in range(6):
        for key, part in where.items():
            net.params[key][...] = w[part].reshape(net.params[key].shape)
        total = 0
        for n in (2 * step, 2 * step + 1):
            x, labels, _ = job.batch(n)
            rng = np.random.default_rng([3, *divmod(n, 6), DROPOUT])
            total = total + vector(loss_and_gradient(net, x, labels, rng)[3], net) / 2
        lr = 2 * 0.05 * 0.8 ** (step / 3)
        v = 0.5 * v - lr * (total * min(1, 1.0 / np.linalg.norm(total)) + decays * w)
        w = w + v
    np.testing.assert_allclose(flatten(job.trained()), w, rtol=1e-4, atol=2e-6)


def trace(name, time, samples, loss, staleness=(), events=()):
    return Trace(name, list(time), list(samples), list(loss), Counter(dict(staleness)), list(events))


def test_rows_of_simulate(tmp_path, monkeypatch):
    """12 clips in batches of 4: the loss told is that of the last 3 steps."""
    net = linear(per_frame=False)
    events = [{"event": "died"}, {"event": "restored"}, {"event": "lost", "first": 2, "end": 5}, {"event": "other"}]
    made = {
        1: trace("", [1.0, 2.0, 4.0], [4, 8, 12], [9.0, 3.0, 1.5], {0: 2, 3: 1}, events),
        2: trace("", [2.0, 5.0], [4, 8], [2.0, 4.0], {1: 1}),
    }
    monkeypatch.setattr(
        snippets.training.distributed.simulation_report, "Simulation",
        lambda job, cluster: type("S", (), {"run": lambda self: made[job.downpour.replicas]})(),
    )  # fmt: skip
    boosts = []
    monkeypatch.setattr(
        snippets.training.distributed.simulation_report, "synchronous",
        lambda job, cluster, boost: boosts.append(boost) or trace("", [8.0], [12], [boost]),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    feat = rng.random((17, 4, D)).astype(np.float32)
    save_features(tmp_path / "f.npz", feat, [1] * 6 + [2] * 6 + [1, 1, 1, 2, 2], [0] * 12 + [1] * 5)
    command = [
        "simulate",
        str(tmp_path / "f.npz"),
        "--head",
        "average",
        "--fc",
        "0",
        "--batch",
        "4",
        "--counts",
        "1",
        "2",
    ]
    monkeypatch.setattr(snippets.training.cli.scale, "new_net", lambda *_: (two_classes(net), None))
    assert main([*command, "--out", str(tmp_path / "out"), "--momentum", "0.75"]) == 0
    rows = json.loads((tmp_path / "out" / "simulate.json").read_text())["rows"]
    assert rows[0] == {
        "run": "Downpour", "replicas": 1, "momentum": 0.75, "seconds": 4.0, "clips/s": 3.0, "staleness": 1.0,
        "largest": 3, "deaths": 2, "steps lost": 3, "loss": 4.5, "hit1": pytest.approx(60.0),
    }  # fmt: skip
    assert [r["run"] for r in rows] == ["Downpour", "Downpour", "sync x1", "sync x2"] and boosts == [1.0, 2.0]
    assert (rows[1]["seconds"], rows[1]["clips/s"], rows[1]["staleness"], rows[1]["loss"]) == (5.0, 1.6, 1.0, 3.0)
    assert (rows[3]["seconds"], rows[3]["clips/s"], rows[3]["staleness"], rows[3]["loss"]) == (8.0, 1.5, 0.0, 2.0)


def two_classes(net):
    """Always the first of two classes: 3 of 5 test videos."""
    net = Sequential(pool=TemporalAvgPool(), scores=Linear(D, 2, np.random.default_rng(0)))
    net.params["scores/W"][...] = 0
    return net


def test_rows_of_a_comparison_with_real_runs(monkeypatch):
    simulated = trace("", [2.0, 4.0], [8, 16], [1, 1], {1: 1, 4: 2})
    monkeypatch.setattr(
        snippets.training.distributed.simulation_report, "Simulation",
        lambda job, cluster: type("S", (), {"run": lambda self: simulated})(),
    )  # fmt: skip
    real = {"staleness": Counter({0: 1, 2: 1}), "seconds": 8.0}
    monkeypatch.setattr(snippets.training.distributed.simulation_report, "run_on_ray", lambda *args, **options: real)
    text = snippets.training.distributed.simulation_report.compare(
        Job(linear(False), clips(), SETTINGS, Downpour()), Cluster(), [3]
    )
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert found[0] == ["run", "replicas", "seconds", "clips/s", "staleness", "largest"]
    assert found[2:] == [["simulated", "3", "4", "4", "3", "4"], ["real", "3", "8", "2", "1", "2"]]


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
    job = Job(build(CONFIG, 1), clips(), SETTINGS, Downpour(1, 1))
    monkeypatch.setattr(
        snippets.training.distributed.costs, "gradient_times", lambda job: [1.0, 1.0, math.e, math.e**3, math.e**2]
    )
    monkeypatch.setattr(snippets.training.distributed.costs, "seconds", lambda work: [3.0, 5.0, 4.0])
    monkeypatch.setattr(
        snippets.training.distributed.costs, "ray_session", lambda *args: contextlib.nullcontext((None, None))
    )
    monkeypatch.setattr(snippets.training.distributed.costs, "ray_costs", lambda *args: (0.5, 7.0, 9.0))
    cluster = snippets.training.distributed.costs.measured(job, mtbf=3.0)
    n = sum(a.size for a in job.trained().values())
    # logarithms 0, 0, 1, 2, 3: median 1, absolute deviations 1, 1, 0, 1, 2, whose median is 1
    assert cluster.compute == pytest.approx(math.e) and cluster.std == pytest.approx(1.4826)
    assert (cluster.apply, cluster.latency, cluster.bandwidth) == (pytest.approx(4.0 / n), 0.5, 7.0)
    assert (cluster.restart, cluster.mtbf) == (9.0, 3.0)


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
