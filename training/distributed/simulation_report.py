"""`snippets simulate`: Downpour SGD for several numbers of replicas beside synchronous training, table and plot."""

import tempfile
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from snippets.data.files import write_figure, write_json
from snippets.data.markdown import markdown_table
from snippets.nets.inspect.figure import new_figure
from snippets.training.distributed.costs import measured
from snippets.training.distributed.downpour import Job
from snippets.training.distributed.ray_engine import downpour as run_on_ray
from snippets.training.distributed.simulate import Simulation
from snippets.training.distributed.simulate_synchronous import synchronous
from snippets.training.evaluate import evaluate


def simulate_all(job, test_set, cluster, counts, out, momenta=()):
    """Runs the training of `job`, writes simulate.json and simulate.png into `out`, returns the table as text.

    counts: numbers of replicas; momenta: values of momentum to try for each of them, none = the settings' own.
    """
    settings, downpour = job.settings, job.downpour
    rows, traces, width = [], [], max(1, len(job.dataset) // settings.batch)
    for R in counts:
        for m in momenta or (settings.momentum,):
            s, d = replace(settings, momentum=m), replace(downpour, replicas=R)
            runs = {"Downpour": lambda job: Simulation(job, cluster).run()}
            if not momenta and R > 1:
                runs |= {f"sync x{b:g}": lambda job, b=b: synchronous(job, cluster, b) for b in (1.0, float(R))}
            for name, run in runs.items():
                one = Job(deepcopy(job.net), job.dataset, s, d)
                row = {"run": name, "replicas": R, "momentum": m}
                try:
                    trace = run(one)
                except FloatingPointError:
                    rows.append(row | {"loss": float("nan")})
                    continue
                trace.name = f"{name}, {R}" if name == "Downpour" else f"{name}, {R} ranks"
                finite = all(np.isfinite(a).all() for a in one.net.params.values())
                stale, total = trace.staleness, max(1, sum(trace.staleness.values()))
                rows.append(row | {
                    "seconds": trace.seconds,
                    "clips/s": trace.throughput,
                    "staleness": sum(k * n for k, n in stale.items()) / total,
                    "largest": max(stale, default=0),
                    "deaths": sum(e["event"] in ("died", "restored") for e in trace.events),
                    "steps lost": sum(e["end"] - e["first"] for e in trace.events if e["event"] == "lost"),
                    "loss": float(np.mean(trace.loss[-width:])) if trace.loss else float("nan"),
                    "hit1": 100 * evaluate(one.net, test_set, mode=s.inference).hit1 if finite else float("nan"),
                })  # fmt: skip
                traces += [trace] if trace.time else []
    out = Path(out)
    about = {"settings": asdict(settings), "downpour": asdict(downpour), "cluster": asdict(cluster), "rows": rows}
    write_json(out / "simulate.json", about)
    write_figure(out / "simulate.png", picture(traces, width), dpi=100, bbox_inches="tight")
    return table(rows)


def compare(job, counts, given, address=None):
    """The training of `job`, simulated and really on Ray, for each number of replicas: the table as text.

    given: fields of a `Cluster` that are not measured: hosts, latency, bandwidth and the like. address: of a Ray
    cluster of so many hosts as this one; None: this machine alone.
    """
    rows = []
    for R in counts:
        d = replace(job.downpour, replicas=R)
        one = Job(deepcopy(job.net), job.dataset, job.settings, replace(d, replicas=-(-R // given["hosts"])))
        cluster = measured(one, **given)
        trace = Simulation(Job(deepcopy(job.net), job.dataset, job.settings, d), cluster).run()
        with tempfile.TemporaryDirectory() as folder:
            real = run_on_ray(deepcopy(job.net), job.dataset, job.settings, d, address, folder=folder, progress=False)
        for name, stale, seconds, waiting in (
            ("simulated", trace.staleness, trace.seconds, trace.waiting),
            ("real", real["staleness"], real["seconds"], real["waiting"]),
        ):
            mean = sum(k * n for k, n in stale.items()) / sum(stale.values())
            about = {"seconds": seconds, "clips/s": trace.samples[-1] / seconds, "waiting, %": 100 * waiting}
            rows.append({"run": name, "replicas": R, **about, "staleness": mean, "largest": max(stale)})
    return table(rows)


def table(rows):
    """Rows, dicts, as a table in Markdown."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return markdown_table(columns, [[row.get(key, "") for key in columns] for row in rows])


def picture(traces, width):
    """Loss by time and by clips, staleness, throughput."""
    figure = new_figure(11, 7)
    (by_time, by_clips), (stale, rate) = figure.subplots(2, 2)
    for i, trace in enumerate(traces):
        style = f"C{i}{'-' if trace.staleness else '--'}"
        time, samples, loss = trace.smooth(width)
        by_time.plot(time, loss, style, label=trace.name)
        by_clips.plot(samples, loss, style, label=trace.name)
        if trace.staleness:
            k, n = zip(*sorted(trace.staleness.items()), strict=True)
            stale.plot(k, np.array(n) / sum(n), style, marker=".")
    by_time.set(xlabel="simulated seconds", ylabel="training loss (nats)", xscale="log", ylim=(0, None))
    by_clips.set(xlabel="clips", ylabel="training loss (nats)", ylim=(0, None))
    stale.set(xlabel="staleness (updates between fetch and push)", ylabel="share of pushes")
    colours = [f"C{i}" for i in range(len(traces))]
    rate.barh([trace.name for trace in traces], [trace.throughput for trace in traces], color=colours)
    rate.invert_yaxis()
    rate.set(xlabel="clips per second")
    by_clips.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figure
