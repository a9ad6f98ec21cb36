r"""Synchronous training on simulated time, beside `training.distributed.simulate`: one step of all ranks after another.

The run takes R batches per step, adds their gradients and multiplies lr by `boost`; a step takes as long as the slowest
of R draws and a ring all-reduce, 2 (R - 1) / R * bytes / bandwidth + 2 (R - 1) * latency.
"""

import math
from dataclasses import replace

import numpy as np

from snippets.training.distributed.simulate import Trace
from snippets.training.step import Run, optimiser


def synchronous(job, cluster, boost=1.0):
    """The same number of batches, R per step and lr times `boost`: a Trace; trained parameters stay in the job's net.

    A death costs `restart` and all the work since the last of the checkpoints, one per `checkpoint_every` steps.
    """
    c, d, R = cluster, job.downpour, job.downpour.replicas
    s = replace(job.settings, lr=job.settings.lr * boost)
    run = Run(job.net, s, optimiser(job.net.params, s, job.per_epoch / R), len(job.dataset.classes))
    params = run.opt.params.values()
    rng, trace = np.random.default_rng(c.cluster_seed), Trace(f"{R} synchronous, lr x {boost:g}")
    bytes = c.grow * sum(a.nbytes for a in params)
    talk = 2 * (R - 1) / R * bytes / c.bandwidth + 2 * (R - 1) * c.latency
    turns = math.ceil(R / ((c.hosts or R) * c.cores or R))  # R gradients on so many cores
    now = work = 0.0  # work: seconds since the last checkpoint, which a death throws away
    for step, first in enumerate(range(0, job.total, R)):
        numbers, total, records = range(first, min(first + R, job.total)), None, []
        for number in numbers:
            found, record = job.gradient(run, number)
            total = found.grads if total is None else {key: total[key] + g for key, g in found.grads.items()}
            records.append(record)
        run.opt.step({key: g / len(numbers) for key, g in total.items()})
        took = turns * c.compute * math.exp(c.std * rng.standard_normal(R).max()) + talk
        took += c.apply * c.grow * sum(a.size for a in params)
        work += took
        if c.mtbf and rng.random() < 1 - math.exp(-R * took / c.mtbf):
            took += c.restart + work
            trace.events.append({"event": "died", "time": now})
        now += took
        if (step + 1) % d.checkpoint_every == 0:
            work = 0.0
        for record in records:
            trace.add(now, record)
    return trace
