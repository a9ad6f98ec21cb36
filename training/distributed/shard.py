"""A parameter shard of Downpour SGD (downpour.py): a range of the vector, its optimiser, a memory of pushes.

Momentum and Adagrad work number by number, so a shard runs the very optimiser that training in one process runs, on
parts of the parameters under their own names: the names say what is decayed and which rate it has. The one thing that
a part cannot know is the norm of the whole gradient; it comes with the push.
"""

from collections import Counter
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from snippets.data.options import renamed
from snippets.training.checkpoint import Checkpoint, check_fits, check_same_videos, load, load_into, save
from snippets.training.distributed.downpour import Downpour
from snippets.training.parameters import flatten, slices, views
from snippets.training.sgd import SGD


class Adagrad(SGD):
    """Rates that fall with the gradients seen, parameter by parameter; `velocity` holds G, momentum plays no part."""

    def change(self, w, v, g, lr, shrink, decay, eps=1e-8):
        """G += a^2; w = w - lr a / (sqrt(G) + eps), a the gradient with weight decay, for a piece of a parameter."""
        g = shrink * g + decay * w
        v += g * g
        w -= lr * g / (np.sqrt(v) + eps)


class Answer(NamedTuple):
    """A shard's part of the parameters, the updates that made it, and the least steps that any replica has done."""

    vector: np.ndarray
    version: int
    slowest: int


class Shard:
    """A range of the vector, its optimiser, and what has come from each replica."""

    def __init__(self, job, index):
        self.job, self.index = job, index
        trained, (first, end) = job.trained(), job.range(index)
        inside = {key: (max(w.start, first), min(w.stop, end)) for key, w in slices(trained).items()}
        vector = flatten(trained)
        parts = {key: vector[a:b] for key, (a, b) in inside.items() if a < b}
        self.vector = flatten(parts)
        self.params = views(self.vector, parts)  # key -> (part of its values,): the optimiser works by key, as ever
        self.opt = job.optimiser(self.params, Adagrad if job.downpour.rule == "adagrad" else SGD)
        self.done = [0] * job.downpour.replicas  # steps of each replica that are in the vector, or lost
        self.clock = {}  # replica -> its step, for those at work
        self.staleness, self.events, self.records = Counter(), [], []

    def join(self, replica, step):
        self.clock[replica] = step

    def leave(self, replica):
        self.clock.pop(replica, None)

    def fetch(self, replica, step, part=None):
        """An `Answer` to a replica that is at this step; part: of a push that came with the call, applied before."""
        if part is not None:
            self.push(replica, part)
        self.clock[replica] = step
        return Answer(self.vector.copy(), self.opt.steps, min(self.clock.values()))

    def push(self, replica, part):
        """Apply the sum of a replica's gradients, a `Part` of its push; returns whether a checkpoint is due.

        It is due after every checkpoint_every updates. Each step counts once: what comes twice is dropped, what never
        came is noted by `lost`. `staleness` counts the push under the number of updates since its version, 0 at least;
        the records of its steps are kept for the next report.
        """
        if part.end <= self.done[replica]:
            return False
        if part.first > self.done[replica]:
            self.lost(replica, part.first)
        self.done[replica] = part.end
        self.staleness[max(0, self.opt.steps - part.version)] += 1  # one that came back counts from its checkpoint
        self.opt.step(views(part.gradient, self.params), part.norm)
        self.records.extend(part.records)
        return self.opt.steps % self.job.downpour.checkpoint_every == 0

    def progress(self, replica):
        return self.done[replica]

    def finish(self):
        """No push will come any more."""
        for replica in range(self.job.downpour.replicas):
            if self.done[replica] < (end := len(self.job.batches_of(replica))):
                self.lost(replica, end)

    def lost(self, replica, before):
        """Note that steps up to `before` of a replica have not arrived and never will."""
        first = self.done[replica]
        self.events.append({"event": "lost", "shard": self.index, "replica": replica, "first": first, "end": before})
        self.done[replica] = before

    def report(self):
        """What has happened since the last report; the records are those of the steps that came in."""
        events, self.events, records, self.records = self.events, [], self.records, []
        return {"version": self.opt.steps, "done": list(self.done), "events": events, "records": records}

    def save(self, path):
        about = {"done": self.done, "staleness": sorted(self.staleness.items())}
        position = {"shard": self.index, **asdict(self.job.downpour)}
        settings = asdict(self.job.settings)
        save(path, Checkpoint(self.params, self.opt.velocity, settings=settings, data=position, partial=about,
                              steps=self.opt.steps, videos=len(self.job.dataset),
                              content=None if self.index else self.job.content))  # fmt: skip

    def restore(self, path):
        old = load(path)
        old.data = renamed(Downpour, old.data)
        settings = asdict(self.job.settings) | {"epochs": old.settings.get("epochs")}
        position = {"shard": self.index, **asdict(self.job.downpour)}
        check_fits(old, str(path), settings=settings, data=position)
        if self.index == 0 and self.job.content is not None:
            check_same_videos(old, self.job.content, path)
        load_into(self.params, old.params, str(path))
        load_into(self.opt.velocity, old.velocity, f"velocity in {path}")
        self.opt.steps, self.done = old.steps, old.partial["done"]
        self.staleness = Counter({int(k): n for k, n in old.partial["staleness"]})
        self.events.append({"event": "restored", "shard": self.index, "version": old.steps, "done": list(self.done)})
