"""The table of `snippets simulate`: runs that diverge or do nothing, and what each run and test is asked for."""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from downpour_runs import CONFIG, SETTINGS, clips

from snippets.nets.zoo import build
from snippets.training.distributed import simulation_report
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.machines import Cluster
from snippets.training.distributed.simulate import Trace
from snippets.training.distributed.simulation_report import compare, simulate_all
from snippets.training.settings import Settings


def trace(steps):
    """So many steps of a second, and as many pushes of staleness 1, 2 ..."""
    seconds = [float(n + 1) for n in range(steps)]
    return Trace("", seconds, [8 * (n + 1) for n in range(steps)], seconds[::-1], Counter(range(1, steps + 1)))


@pytest.fixture
def runs(monkeypatch):
    """What is simulated, tested and drawn. `ends`: of the runs in turn, a trace or an error."""
    found = SimpleNamespace(simulated=[], synchronous=[], tested=[], drawn=[], written=[], ends=[])

    def end(job):
        result = found.ends.pop(0)
        if isinstance(result, Exception):
            raise result
        if result == "infinite":
            job.net.params["scores/b"][1] = np.inf
            return trace(2)
        return result

    def simulation(job, cluster):
        found.simulated.append((job, cluster))
        return SimpleNamespace(run=lambda: end(job))

    def synchronous(job, cluster, boost):
        found.synchronous.append((job.downpour.replicas, cluster, boost))
        return end(job)

    def evaluate(net, test_set, mode):
        found.tested.append((net, test_set, mode))
        return SimpleNamespace(hit1=0.25)

    monkeypatch.setattr(simulation_report, "Simulation", simulation)
    monkeypatch.setattr(simulation_report, "synchronous", synchronous)
    monkeypatch.setattr(simulation_report, "evaluate", evaluate)
    monkeypatch.setattr(simulation_report, "picture", lambda traces, width: found.drawn.append((traces, width)))
    monkeypatch.setattr(simulation_report, "write_figure", lambda *args, **how: found.written.append((args, how)))
    monkeypatch.setattr(simulation_report, "write_json", lambda *args: found.written.append(args))
    return found


def test_runs_that_diverge_and_runs_without_a_step(runs, tmp_path):
    """Their rows say so; only those with steps are drawn, and what is not finite is not tested."""
    job = Job(build(CONFIG, 1), clips(), Settings(batch=8, momentum=0.5), Downpour(9, 2))
    cluster = Cluster()
    runs.ends = [FloatingPointError("diverged"), "infinite", trace(0), trace(7)]
    text = simulate_all(job, "tests", cluster, [1, 2], tmp_path)
    (folder, about), ((file, figure), how) = runs.written
    assert (folder, file) == (tmp_path / "simulate.json", tmp_path / "simulate.png") and figure is None
    assert how == {"dpi": 100, "bbox_inches": "tight"}
    assert set(about) == {"settings", "downpour", "cluster", "rows"} and about["downpour"]["replicas"] == 9
    rows = about["rows"]
    assert [(row["run"], row["replicas"], row["momentum"]) for row in rows] == [
        ("Downpour", 1, 0.5), ("Downpour", 2, 0.5), ("sync x1", 2, 0.5), ("sync x2", 2, 0.5),
    ]  # fmt: skip
    assert set(rows[0]) == {"run", "replicas", "momentum", "loss"} and math.isnan(rows[0]["loss"])
    assert math.isnan(rows[1]["hit1"]) and rows[1]["loss"] == 1.5 and rows[1]["staleness"] == 1.5
    assert (rows[2]["staleness"], rows[2]["largest"], rows[2]["hit1"]) == (0, 0, 25) and math.isnan(rows[2]["loss"])
    assert rows[3]["loss"] == 3 and rows[3]["largest"] == 7  # of the last five steps, an epoch: 5, 4, 3, 2, 1
    (traces, width) = runs.drawn[0]
    assert [one.name for one in traces] == ["Downpour, 2", "sync x2, 2 ranks"] and width == 5
    assert runs.synchronous == [(2, cluster, 1.0), (2, cluster, 2.0)]
    assert [(data, mode) for _, data, mode in runs.tested] == [("tests", job.settings.inference)] * 2
    nets = [one.net for one, _ in runs.simulated]
    assert all(net is not job.net for net in nets) and nets[0] is not nets[1]
    assert text.count("\n") >= 5 and [on for _, on in runs.simulated] == [cluster] * 2


def test_momenta_are_tried_without_ranks_beside_them(runs, tmp_path):
    """A data set smaller than a batch is an epoch of one step."""
    job = Job(build(CONFIG, 1), clips(3), Settings(batch=8, inference="max"), Downpour())
    runs.ends = [trace(3) for _ in range(4)]
    simulate_all(job, "tests", Cluster(), [1, 2], str(tmp_path), (0.0, 0.75))
    about = runs.written[0][1]
    tried = [(1, 0.0), (1, 0.75), (2, 0.0), (2, 0.75)]
    assert [(row["run"], row["replicas"], row["momentum"]) for row in about["rows"]] == [
        ("Downpour", *one) for one in tried
    ]
    assert [(one.downpour.replicas, one.settings.momentum) for one, _ in runs.simulated] == tried
    assert not runs.synchronous and runs.drawn[0][1] == 1 and about["rows"][0]["loss"] == 1
    assert [mode for *_, mode in runs.tested] == ["max"] * 4


def test_what_a_comparison_asks_for(runs, monkeypatch):
    """Costs of as many replicas as share a host; a simulated and a real run, each of the net as it was."""
    job, measured, real = Job(build(CONFIG, 1), clips(), SETTINGS, Downpour(9, 2)), [], []
    given = {"hosts": 2, "latency": 0.5}

    def measure(one, **fields):
        measured.append((one.downpour.replicas, fields))
        return f"costs of {one.downpour.replicas}"

    def on_ray(net, data, settings, d, address, folder, progress):
        real.append((net is not job.net, data, settings, d.replicas, d.shards, address, progress))
        return {"staleness": Counter({1: 4}), "seconds": 4.0, "waiting": 0.125}

    monkeypatch.setattr(simulation_report, "measured", measure)
    monkeypatch.setattr(simulation_report, "run_on_ray", on_ray)
    runs.ends = [trace(3), trace(3)]
    table = compare(job, [3, 4], given, "head:1")
    assert measured == [(2, given), (2, given)] and [on for _, on in runs.simulated] == ["costs of 2"] * 2
    assert real == [(True, job.dataset, SETTINGS, R, 2, "head:1", False) for R in (3, 4)]
    assert [one.downpour.replicas for one, _ in runs.simulated] == [3, 4]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert cells[2:4] == [["simulated", "3", "3", "8", "0", "2", "3"], ["real", "3", "4", "6", "12.5", "1", "1"]]
