"""Every number of Downpour and of the simulated clock, against a value worked out by hand."""

import json
import math
from collections import Counter

import numpy as np
import pytest
from downpour_runs import CONFIG, SETTINGS, clips, run, weights
from fixed_clips import D, linear

import snippets.training.bench.machine
import snippets.training.cli.scale
import snippets.training.distributed.costs
import snippets.training.distributed.simulation_report
from snippets.data.features import save_features
from snippets.layers.core.base import Sequential
from snippets.layers.linear import Linear
from snippets.layers.temporal import TemporalAvgPool
from snippets.nets.zoo import build
from snippets.training.cli.main import main
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.machines import Cluster
from snippets.training.distributed.simulate import Simulation, Trace
from snippets.training.distributed.simulate_synchronous import synchronous
from snippets.training.objective import loss_and_gradient
from snippets.training.parameters import flatten, slices
from snippets.training.settings import Settings
from snippets.training.sgd import multiplier
from snippets.training.step import DROPOUT


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
    events = [{"event": "died"}, {"event": "restored"}, {"event": "lost", "first": 2, "end": 5}]
    events += [{"event": "other"}] * 2
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
    simulated.waiting = 0.25
    real = {"staleness": Counter({0: 1, 2: 1}), "seconds": 8.0, "waiting": 0.5}
    report = snippets.training.distributed.simulation_report
    how = []
    monkeypatch.setattr(report, "run_on_ray", lambda *args, **options: how.append(options) or real)
    shares = []  # replicas that share a host
    monkeypatch.setattr(report, "measured", lambda job, **given: shares.append(job.downpour.replicas) or given)
    text = report.compare(Job(linear(False), clips(), SETTINGS, Downpour()), [3], {"hosts": 2})
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert found[0] == ["run", "replicas", "seconds", "clips/s", "waiting, %", "staleness", "largest"]
    assert found[2:] == [["simulated", "3", "4", "4", "25", "3", "4"], ["real", "3", "8", "2", "50", "1", "2"]]
    assert shares == [2] and [(set(each), each["progress"]) for each in how] == [({"folder", "progress"}, False)]


@pytest.mark.parametrize("given, hosts", [([], 1), (["--hosts", "3", "--latency", "0.5", "--grow", "2"], 3)])
def test_what_simulate_compares_with_real_runs(tmp_path, monkeypatch, capsys, given, hosts):
    """So many hosts and their links; what has to be measured is not told."""
    save_features(tmp_path / "f.npz", np.ones((4, 2, D), np.float32), [1, 2, 1, 2], [0, 0, 1, 1])
    calls = []
    monkeypatch.setattr(snippets.training.cli.scale, "compare", lambda *args: calls.append(args[1:]) or "a table")
    command = ["simulate", str(tmp_path / "f.npz"), "--head", "average", "--fc", "0", "--real", "--counts", "1", "2"]
    assert main([*command, "--address", "head:1", *given]) == 0 and "a table" in capsys.readouterr().out
    ((counts, told, address),) = calls
    assert (counts, address, told["hosts"]) == ([1, 2], "head:1", hosts)
    assert set(told) == {"hosts", "latency", "bandwidth", "grow", "mtbf", "cluster_seed"}
    assert (told["latency"], told["grow"]) == ((0.5, 2) if given else (Cluster().latency, Cluster().grow))
