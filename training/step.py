r"""One training step: a batch in; loss, gradients, update. Whoever trains takes this one.

    x'        = frozen(x)               layers in front that are not trained: no gradient goes through them
    loss, dL  : training/objective.py   forward and backward
    update    : training/sgd.py

`gradient` is everything but the update, `step` is everything. The loops on a CPU (loop.py) and on a GPU (gpu_loop.py),
ranks, the replicas of Downpour and the benchmark differ in what they do between the two: add up over ranks, send to
shards, wait for the GPU or not.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from snippets.layers.core.base import Layer
from snippets.nets.frame_predictions import clip_probabilities
from snippets.training.alone import ALONE, Ranks
from snippets.training.checkpoint import Checkpoint
from snippets.training.evaluate import check_outputs, hit_at_k
from snippets.training.log import Log
from snippets.training.objective import Weighting, loss_and_gradient, on_device, split_frozen
from snippets.training.settings import Settings
from snippets.training.sgd import SGD, exponential, gradient_norm

DROPOUT = 1  # keeps the net's generators (seed, epoch, step, DROPOUT + rank) apart from the loader's


@dataclass
class Run:
    """What belongs to a training run. ValueError if every parameter is frozen.

    frozen and trained are the two parts of `net` (`objective.split_frozen`).
    """

    net: Layer
    settings: Settings
    opt: SGD
    classes: int | None = None  # K of the data set; None: not compared with the net's
    videos: int = 0  # in the data set
    state: Checkpoint | None = None  # what is kept of the run, and its position
    ranks: Ranks = ALONE
    log: Log | None = None

    def __post_init__(self):
        self.frozen, self.trained = split_frozen(self.net, self.settings.groups)
        self.backward = self.ranks.backward(self.opt.params)

    @property
    def per_epoch(self):
        """Steps of an epoch."""
        return self.settings.steps_per_epoch(self.videos)

    @property
    def where(self):
        """Position, counted from one as people do: epoch, step in it, updates in all."""
        return {"epoch": self.state.epoch + 1, "step": self.state.step, "steps": self.state.steps}

    def generator(self, epoch, step):
        """Of the dropout in that step on this rank: every draw of a run comes from (seed, epoch, step)."""
        return np.random.default_rng([self.settings.seed, epoch, step, DROPOUT + self.ranks.rank])

    def bar(self, progress):
        """A progress bar of the epoch under way."""
        about = f"epoch {self.state.epoch + 1}/{self.settings.epochs}"
        quiet = self.ranks.rank > 0 or not progress
        return tqdm(total=self.per_epoch, initial=self.state.step, desc=about, disable=quiet)

    def update(self, found):
        """Changes parameters and position together: within `defer_interrupt`."""
        self.opt.step(found.grads, found.norm)
        self.state.step, self.state.steps = self.state.step + 1, self.opt.steps

    def record(self, done, norm, lr, where):
        """Adds the sums of a step to those of the epoch, and a line to the log."""
        for key, value in done.items():
            self.state.partial[key] = self.state.partial.get(key, 0) + value
        rates = {prefix: factor * lr for prefix, factor in self.settings.groups.items()}
        rates = {"lr": lr} | ({"lr_groups": rates} if rates else {})
        self.log.write({"event": "step", **where, **rates, "grad_norm": norm, **means(done)})

    def diverged(self, found, lr):
        """The error that says where and what to try."""
        return FloatingPointError(
            f"training has diverged in epoch {self.state.epoch + 1} after its step {self.state.step} (lr {lr:g}): "
            f"{found}; the last good checkpoint is kept. Try lr {lr / 10:g} or a clip_norm, and check that the input "
            "is scaled to about one"
        )


class Gradient(NamedTuple):
    """What a forward and a backward pass over clips have found. On a GPU loss, scores and norm stay there, unread."""

    loss: float  # weighted sum
    scores: np.ndarray | None  # (N, K) or (N, T, K); None: no clips
    weight: float  # sum of all weights
    grads: dict  # of the trained parameters
    norm: float  # of all of them together


def optimiser(params, s, every, kind=SGD):
    """The optimiser of `Settings` s for a dict of parameters; `every`: updates over which lr falls by `decay`."""
    rate = exponential(s.lr, s.decay, every)
    return kind(params, rate, s.momentum, s.weight_decay, s.clip_norm, s.groups, s.decay_biases)


def gradient(run, x, labels, rng=None, clips=None):
    """A `Gradient` over clips x (N, T, ...), labels (N,) or (N, K); None for both: this rank has no clip of the batch.

    clips: of the whole batch, where x is a part of it. ValueError if the net has another number of outputs than K.
    """
    if x is None:
        loss, scores, weight, grads = 0.0, None, 0.0, run.backward(run.trained, None, None)
    else:
        s = run.settings
        weighting = Weighting(s.loss, s.gain, len(x) / (clips or len(x)) if s.loss == "mean" else 1.0)
        x = x if run.frozen is None else run.frozen.predict(on_device(run.frozen, x))
        loss, scores, weight, grads = loss_and_gradient(run.trained, x, labels, rng, weighting, run.backward)
        weight = float(weight.sum())
        if run.classes is not None:
            check_outputs(scores.shape[-1], run.classes)
    grads = run.opt.trained(grads)
    return Gradient(loss, scores, weight, grads, gradient_norm(grads))


def step(run, x, labels, rng=None, clips=None):
    """`gradient` and the update; returns the `Gradient`."""
    found = gradient(run, x, labels, rng, clips)
    run.opt.step(found.grads, found.norm)
    return found


def sums_of(found, labels, mode):
    """Of a `Gradient`, sums over its clips on the host: loss, weight, hits (at 1, joined by `mode`), clips."""
    loss, N = float(found.loss), 0 if found.scores is None else len(found.scores)
    hits = 0
    if N and math.isfinite(loss):
        hits = int(hit_at_k(clip_probabilities(found.scores, mode), labels, 1).sum())
    return {"loss": loss, "weight": found.weight, "hits": hits, "clips": N}


def means(sums, digits=None):
    """Sums over steps as means: loss per unit of weight (ln K for a guess, whatever the options), accuracy, seconds."""
    out = {"loss": sums["loss"] / sums["weight"], "accuracy": sums["hits"] / sums["clips"]}
    out |= {f"{key}_seconds": sums[key] for key in ("data", "compute") if key in sums}
    return out if digits is None else {key: round(value, digits) for key, value in out.items()}
