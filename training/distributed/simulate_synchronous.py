r"""Synchronous training on simulated time, beside `training.distributed.simulate`: a step of all ranks after the other.

The run takes R batches a step, adds their gradients and multiplies lr by `boost`; a step takes as long as the slowest
of R draws and a ring all-reduce, 2 (R - 1) / R * bytes / bandwidth + 2 (R - 1) * latency.
"""

import math

import numpy as np

from snippets.training.distributed.downpour import backward
from snippets.training.distributed.simulate import Trace
from snippets.training.loop import DROPOUT, gradient
from snippets.training.objective import split_frozen
from snippets.training.sgd import SGD, exponential


def synchronous(job, cluster, boost=1.0):
    """The same number of batches, R a step and lr times `boost`: a Trace; the trained parameters stay in the job's net.

    A death costs `restart` and all the work since the last of the checkpoints, one every `keep` steps.
    """
    s, c, d, R = job.settings, cluster, job.downpour, job.downpour.replicas
    frozen, net = split_frozen(job.net, s.groups)
    rate = exponential(s.lr * boost, s.decay, every=job.per_epoch / R)
    opt = SGD(job.net.params, rate, s.momentum, s.weight_decay, s.clip_norm, s.groups, s.decay_biases)
    rng, trace = np.random.default_rng(c.chance), Trace(f"{R} synchronous, lr x {boost:g}")
    bytes = c.grow * sum(a.nbytes for a in opt.params.values())
    talk = 2 * (R - 1) / R * bytes / c.bandwidth + 2 * (R - 1) * c.latency
    turns = math.ceil(R / (c.cores or R))  # R gradients on so many cores
    now = work = 0.0  # work: seconds since the last checkpoint, which a death throws away
    for step, first in enumerate(range(0, job.total, R)):
        numbers, total, records = range(first, min(first + R, job.total)), None, []
        for n in numbers:
            epoch, at = divmod(n, job.per_epoch)
            x, labels, _ = job.batch(n)
            draw = np.random.default_rng([s.seed, epoch, at, DROPOUT])
            record, grads = gradient(net, frozen, x, labels, draw, s, len(x), backward, len(job.dataset.classes))
            grads = opt.trained(grads)
            total = grads if total is None else {key: total[key] + g for key, g in grads.items()}
            records.append(record)
        opt.step({key: g / len(numbers) for key, g in total.items()})
        took = turns * c.compute * math.exp(c.spread * rng.standard_normal(R).max()) + talk
        took += c.apply * c.grow * sum(a.size for a in opt.params.values())
        work += took
        if c.mtbf and rng.random() < 1 - math.exp(-R * took / c.mtbf):
            took += c.restart + work
            trace.events.append({"event": "died", "time": now})
        now += took
        if (step + 1) % d.keep == 0:
            work = 0.0
        for record in records:
            trace.add(now, record)
    return trace
