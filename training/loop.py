r"""The training loop: batches in, parameters changed, one log line a step, one checkpoint an epoch.

Every random draw of step s of epoch e comes from a generator of (seed, e, s). Stopped anywhere, even by Ctrl-C in the
middle of an epoch, and resumed, a run ends with the same bits as one that was never stopped; so does one with another
number of threads or less memory, on the same kind of processor. Many ranks (training/distributed/ranks.py) run this
same loop, each on its part of every batch.
"""

import importlib
import math
import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from snippets.data.loader import Position, batches
from snippets.data.lock import one_run
from snippets.data.options import Options, Range, check, option
from snippets.layers.device.xp import xp_of
from snippets.nets.frames import one_blas_thread
from snippets.training.checkpoint import Checkpoint, check_fits, load, load_into, save
from snippets.training.content import check_same, content_of
from snippets.training.distributed.ranks import ALONE
from snippets.training.evaluate import MODES, clip_probabilities, evaluate, hit_at_k
from snippets.training.interrupts import undisturbed
from snippets.training.log import Log
from snippets.training.objective import GAINS, loss_and_gradient, on_device, split_frozen
from snippets.training.sgd import SGD, exponential, gradient_norm

DROPOUT = 1  # keeps the net's generators (seed, epoch, step, DROPOUT + rank) apart from the loader's
POSITION = ("epoch", "step", "steps", "partial", "history")  # of a run: fields of its checkpoint


@dataclass(frozen=True)
class Settings(Options):
    """How to train. Stored in the checkpoint; a resumed run may change `epochs` and nothing else."""

    epochs: int = option(10, "passes over the training set", least=0, most=1e6)
    batch: int = option(16, "clips per step", least=1, most=1e9)
    lr: float = option(0.01, "learning rate at the start", above=0, most=1e30)
    decay: float = option(1.0, "factor on the learning rate over one epoch, applied step by step", above=0, most=1)
    momentum: float = option(0.9, "share of the last step that goes on", least=0, below=1)
    weight_decay: float = option(0.0005, "pull of the weights towards zero", least=0, most=1e3)
    decay_biases: bool = False
    clip_norm: float | None = option(5.0, "longest gradient let through; inf: any", above=0)
    groups: dict = field(default_factory=dict)  # key prefix -> factor on lr, 0 = frozen
    loss: str = option("mean", "mean over clips and frames, or the paper's sum", ("mean", "sum"))
    gain: str = option("linear", "weight of each frame's loss: rising over the clip, equal, last frame", GAINS)
    inference: str = option("weighted", "how the frames' predictions become one", MODES)
    seed: int = option(0, "of weights, order, crops and dropout", least=0, most=2**63)

    def __post_init__(self):
        super().__post_init__()
        for prefix, factor in self.groups.items():
            check(f"the factor of group {prefix!r}", factor, Range(least=0, most=1e6))


@one_blas_thread
def train(
    net, dataset, settings=None, *, test=None, evaluate_every=1, folder=None, resume=False,
    config=None, fold=None, data=None, workers=0, progress=True, ranks=ALONE,
):  # fmt: skip
    """Trains `net` in place; returns the history, a list with one dict per epoch.

    test      data set to evaluate on after each `evaluate_every` epochs and after the last
    folder    gets checkpoint.npz and log.jsonl; None keeps nothing
    resume    go on from folder's checkpoint; settings, fold, classes, config, data and videos must equal its own
    config, fold, data    net, split and data settings, kept in the checkpoint
    ranks     processes that share every batch, see `training.distributed.ranks`; the first of them keeps checkpoint and
    log FloatingPointError if the loss or a parameter is no longer a number; the last good checkpoint stays.
    """
    s = settings or Settings()
    if len(dataset) == 0:
        raise ValueError("cannot train on a data set without videos")
    frozen, trained = split_frozen(net, s.groups)
    per_epoch = math.ceil(len(dataset) / s.batch)
    rate = exponential(s.lr, s.decay, every=per_epoch)
    opt = SGD(net.params, rate, s.momentum, s.weight_decay, s.clip_norm, s.groups, s.decay_biases)
    state = Checkpoint(
        net.params, opt.velocity, config or {}, asdict(s), data or {}, list(dataset.classes), fold, s.seed, len(dataset)
    )
    path = Path(folder) / "checkpoint.npz" if folder is not None and ranks.rank == 0 else None
    state.content = path and content_of(dataset)
    if resume and ranks.rank == 0:
        restore(state, path)
    elif path is not None and path.exists():
        raise FileExistsError(f"{path} exists: resume that run, or choose another folder")
    share(state, ranks)
    opt.steps = state.steps
    backward = ranks.backward(opt.params)

    part, left = (ranks.rank, ranks.size), s.epochs - state.epoch
    source = batches(dataset, s.batch, Position(s.seed, state.epoch, state.step), left, workers, part)
    file = path and path.with_name("log.jsonl")
    with one_run(path and path.parent), Log(file, keep=state.steps) as log, closing(source):  # ends its threads
        try:
            while state.epoch < s.epochs:
                if opt.vector is None or ranks.size > 1:
                    train_epoch(trained, frozen, dataset, source, opt, s, state, log, progress, ranks, backward)
                else:
                    on_a_gpu().train_epoch(trained, frozen, dataset, source, opt, s, state, log, progress)
                check_finite(state, opt.lr)
                ranks.check_same(state.params)
                last = state.epoch + 1 == s.epochs
                tested = None
                if test is not None and (last or (state.epoch + 1) % evaluate_every == 0):
                    tested = evaluate(net, test, batch=s.batch, mode=s.inference, seed=s.seed, ranks=ranks).summary()
                with undisturbed():
                    finish_epoch(state, opt, log, tested)
                if path is not None:
                    save(path, state)
        except KeyboardInterrupt:
            if path is None:
                raise
            with suppress(KeyboardInterrupt), undisturbed():  # a second Ctrl-C waits for the end of the save
                check_finite(state, opt.lr)
                save(path, state)
            at = f"after step {state.step} of {per_epoch} in epoch {state.epoch + 1} of {s.epochs}"
            raise KeyboardInterrupt(f"stopped {at}; saved {path}: run again with resume to go on from there") from None
    return state.history


def on_a_gpu():
    """The module that has the same for a net on a GPU; imported late, for it imports this one."""
    return importlib.import_module("snippets.training.gpu_loop")


def train_epoch(net, frozen, dataset, source, opt, s, state, log, progress, ranks, backward):
    """Runs what `source` has of epoch `state.epoch`, from `state.step` on; `state` is right after every step."""
    per_epoch, quiet = math.ceil(len(dataset) / s.batch), ranks.rank > 0 or not progress
    bar = tqdm(total=per_epoch, initial=state.step, desc=f"epoch {state.epoch + 1}/{s.epochs}", disable=quiet)
    with bar:
        started = time.perf_counter()
        for x, labels, _ in islice(source, per_epoch - state.step):
            loaded = time.perf_counter()
            rng = np.random.default_rng([s.seed, state.epoch, state.step, DROPOUT + ranks.rank])
            clips = min(s.batch, len(dataset) - state.step * s.batch)  # of all ranks
            with np.errstate(over="ignore", invalid="ignore"):  # looked for below
                done, grads = gradient(net, frozen, x, labels, rng, s, clips, backward, len(dataset.classes))
                sums = np.array([*done.values(), ranks.stop], np.float64)
                ranks.sum(sums)
                done, stop = dict(zip(done, sums.tolist(), strict=False)), sums[-1] > 0
                grads = opt.trained(grads)
                norm = gradient_norm(grads)
            if not math.isfinite(done["loss"] + float(norm)):
                raise diverged(f"loss {done['loss']}, gradient norm {norm}", state, opt.lr)
            with undisturbed(), np.errstate(over="ignore", invalid="ignore"):
                lr = opt.lr
                opt.step(grads, norm)
                state.step, state.steps = state.step + 1, opt.steps
                times = {"data": loaded - started, "compute": time.perf_counter() - loaded}
                for key, value in (done | times).items():
                    state.partial[key] = state.partial.get(key, 0) + value
                log.write(
                    {"event": "step", **where(state), "lr": lr, "grad_norm": float(norm), **measures(done | times)}
                )
            if stop:
                raise KeyboardInterrupt
            bar.update()
            bar.set_postfix(measures(state.partial, digits=3), refresh=False)
            started = time.perf_counter()


def gradient(net, frozen, x, labels, rng, s, clips, backward, K):
    """Sums over this rank's clips (loss, weight, hits, clips) and the gradients as `backward` gives them.

    clips: of the whole batch, of which x (N, T, ...) may be a part, or None for no clip at all.
    """
    if x is None:
        return {"loss": 0.0, "weight": 0.0, "hits": 0, "clips": 0}, backward(net, None, None)
    x = x if frozen is None else frozen.predict(on_device(frozen, x))
    share = len(x) / clips if s.loss == "mean" else 1.0
    loss, scores, weight, grads = loss_and_gradient(net, x, labels, rng, s.loss, s.gain, share, backward)
    if scores.shape[-1] != K:
        raise ValueError(f"the net tells {scores.shape[-1]} classes apart, the data set has {K}")
    hits = hit_at_k(clip_probabilities(scores, s.inference), labels, 1) if math.isfinite(loss) else np.zeros(len(x))
    return {"loss": float(loss), "weight": float(weight.sum()), "hits": int(hits.sum()), "clips": len(hits)}, grads


def finish_epoch(state, opt, log, tested=None):
    """Closes an epoch: its record goes into the history and the log, and the position moves to the next."""
    record = {**where(state), "lr": opt.schedule(opt.steps - 1), **measures(state.partial)}
    if tested is not None:
        record["test"] = tested
    state.history.append(record)
    state.epoch, state.step, state.partial = state.epoch + 1, 0, {}
    log.write({"event": "epoch", **record})


def restore(state, path):
    """Fills a fresh `state` from the checkpoint at `path`."""
    if path is None:
        raise ValueError("resume needs the folder of the run")
    old = load(path)
    settings = {**state.settings, "epochs": old.settings.get("epochs")}
    known = {name: getattr(state, name) for name in ("config", "fold", "classes", "data")}
    check_fits(old, str(path), settings=settings, **known)
    check_same(old, state.content, path)
    load_into(state.params, old.params)
    load_into(state.velocity, old.velocity, "velocity in the checkpoint")
    for name in POSITION:
        setattr(state, name, getattr(old, name))


def share(state, ranks):
    """Every rank goes on from the bits and the position of the first."""
    ranks.same(state.params)
    ranks.same(state.velocity)
    for name, value in ranks.same({name: getattr(state, name) for name in POSITION}).items():
        setattr(state, name, value)


def check_finite(state, lr):
    """Before parameters are saved or evaluated: an overflow in the last update has not shown in any loss yet."""
    for key, w in state.params.items():
        if not bool(xp_of(w).isfinite(w).all()):
            raise diverged(f"parameter {key} is no longer finite", state, lr)


def diverged(found, state, lr):
    """The error that says where and what to try."""
    return FloatingPointError(
        f"training has diverged in epoch {state.epoch + 1} after its step {state.step} (lr {lr:g}): {found}; the last "
        f"good checkpoint is kept. Try lr {lr / 10:g} or a clip_norm, and check that the input is scaled to about one"
    )


def where(state):
    """Position in a run, counted from one as people do: epoch, step in it, updates in all."""
    return {"epoch": state.epoch + 1, "step": state.step, "steps": state.steps}


def measures(sums, digits=None):
    """Sums over steps as means: loss per unit of weight (ln K for a guess, whatever the options), accuracy, seconds."""
    out = {
        "loss": sums["loss"] / sums["weight"],
        "accuracy": sums["hits"] / sums["clips"],
        "data_seconds": sums["data"],
        "compute_seconds": sums["compute"],
    }
    return out if digits is None else {key: round(value, digits) for key, value in out.items()}
