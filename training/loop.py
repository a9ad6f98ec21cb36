r"""The training loop: batches in, parameters changed, a log line per step, a checkpoint per epoch, the best beside it.

Stopped anywhere, even by Ctrl-C in the middle of an epoch, and resumed, a run ends with the same bits as one that was
never stopped; so does one with another number of threads or less memory, on the same kind of processor. Many ranks
(training/distributed/ranks.py) run this same loop, each on its part of every batch. The step is in step.py; gpu_loop.py
has the same epoch for a net on a GPU.
"""

import math
import time
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from snippets.data.loader import Position, batches
from snippets.data.lock import one_run
from snippets.layers.device.xp import xp_of
from snippets.nets.frames import one_blas_thread
from snippets.training import gpu_loop
from snippets.training.checkpoint import check_fits, check_same_videos, checkpoint_of, load, load_into, save, videos_of
from snippets.training.evaluate import evaluate
from snippets.training.interrupts import defer_interrupt
from snippets.training.log import Log
from snippets.training.settings import Conduct, Settings
from snippets.training.step import Run, gradient, means, optimiser, sums_of

POSITION = ("epoch", "step", "steps", "partial", "history")  # of a run: fields of its checkpoint


@one_blas_thread
def train(net, dataset, settings=None, **conduct):
    """Trains `net` in place; returns the history, a list with one dict per epoch. conduct: fields of `Conduct`.

    FloatingPointError if the loss or a parameter is no longer a number; the last good checkpoint stays.
    """
    s, c = settings or Settings(), Conduct(**conduct)
    if len(dataset) == 0:
        raise ValueError("cannot train on a data set without videos")
    run = new_run(net, dataset, s, c)
    state, per_epoch = run.state, run.per_epoch
    path = Path(c.folder) / "checkpoint.npz" if c.folder is not None and c.ranks.rank == 0 else None
    state.content = path and videos_of(dataset)
    if c.resume and c.ranks.rank == 0:
        restore(state, path)
    elif path is not None and path.exists():
        raise FileExistsError(f"{path} exists: resume that run, or choose another folder")
    share(state, c.ranks)
    run.opt.steps = state.steps

    part, left = (c.ranks.rank, c.ranks.size), s.epochs - state.epoch
    source = batches(dataset, s.batch, Position(s.seed, state.epoch, state.step), left, c.workers, part, s.augmentation)
    train_epoch = on_host if run.opt.vector is None or c.ranks.size > 1 else gpu_loop.on_gpu
    file = path and path.with_name("log.jsonl")
    with one_run(path and path.parent), Log(file, keep=state.steps) as run.log, closing(source):  # ends its threads
        try:
            while state.epoch < s.epochs:
                train_epoch(run, source, c.progress)
                check_finite(run)
                c.ranks.check_same(state.params)
                last, tested = state.epoch + 1 == s.epochs, None
                if c.test is not None and (last or (state.epoch + 1) % c.evaluate_every == 0):
                    tested = evaluate(net, c.test, 1, s.batch, s.inference, s.seed, c.ranks).summary()
                with defer_interrupt():
                    finish_epoch(run, tested)
                if tested is not None and c.ranks.rank == 0:
                    report_test(run, c, path)
                if path is not None:
                    save(path, state)
        except KeyboardInterrupt:
            if path is None:
                raise
            with suppress(KeyboardInterrupt), defer_interrupt():  # a second Ctrl-C waits for the end of the save
                check_finite(run)
                save(path, state)
            at = f"after step {state.step} of {per_epoch} in epoch {state.epoch + 1} of {s.epochs}"
            raise KeyboardInterrupt(f"stopped {at}; saved {path}: run again with resume to go on from there") from None
    return state.history


def on_host(run, source, progress):
    """Runs what `source` has of the epoch under way; position and parameters are right after every step."""
    s, state, ranks = run.settings, run.state, run.ranks
    with run.bar(progress) as bar:
        started = time.perf_counter()
        for x, labels, _ in islice(source, run.per_epoch - state.step):
            loaded = time.perf_counter()
            clips = min(s.batch, run.videos - state.step * s.batch)  # of all ranks
            with np.errstate(over="ignore", invalid="ignore"):  # looked for below
                found = gradient(run, x, labels, run.generator(state.epoch, state.step), clips)
                done = sums_of(found, labels, s.inference)
                total = np.array([*done.values(), ranks.stop], np.float64)
                ranks.sum(total)
                *total, stop = total.tolist()
            done, norm = dict(zip(done, total, strict=True)), float(found.norm)
            if not math.isfinite(done["loss"] + norm):
                raise run.diverged(f"loss {done['loss']}, gradient norm {norm}", run.opt.lr)
            with defer_interrupt(), np.errstate(over="ignore", invalid="ignore"):
                lr = run.opt.lr
                run.update(found)
                done |= {"data": loaded - started, "compute": time.perf_counter() - loaded}
                run.record(done, norm, lr, run.where)
            if stop:
                raise KeyboardInterrupt
            bar.update()
            bar.set_postfix(means(state.partial, digits=3), refresh=False)
            started = time.perf_counter()


def new_run(net, dataset, s, c):
    """The `Run` at its start."""
    opt = optimiser(net.params, s, s.steps_per_epoch(len(dataset)))
    state = checkpoint_of(net.params, opt.velocity, dataset, s, c)
    return Run(net, s, opt, len(dataset.classes), len(dataset), state, c.ranks)


def finish_epoch(run, tested=None):
    """Closes an epoch: its record goes into the history and the log, and the position moves to the next."""
    state = run.state
    record = {**run.where, "lr": run.opt.schedule(run.opt.steps - 1), **means(state.partial)}
    if tested is not None:
        record["test"] = tested
    state.history.append(record)
    state.epoch, state.step, state.partial = state.epoch + 1, 0, {}
    run.log.write({"event": "epoch", **record})


def report_test(run, c, path):
    """Says how the last epoch's test went, and keeps the network beside the checkpoint if it is the best so far.

    That is best.npz: parameters to start from or to predict with, without what a resumed run needs. It was chosen by
    the test videos, so its accuracy on these is no result.
    """
    *earlier, last = [record for record in run.state.history if "test" in record]
    best = max(earlier, key=lambda record: record["test"]["hit1"], default=last)  # the first of equals
    if last is best or last["test"]["hit1"] > best["test"]["hit1"]:
        best = last
        if path is not None and c.evaluate_every < run.settings.epochs:
            save(path.with_name("best.npz"), replace(run.state, velocity={}))
    if c.progress:
        test, accuracy = 100 * last["test"]["hit1"], 100 * last["accuracy"]
        also = "the best so far" if best is last else f"best {100 * best['test']['hit1']:.1f} % in {best['epoch']}"
        print(f"epoch {last['epoch']}: test {test:.1f} % ({also}), training {accuracy:.1f} %, loss {last['loss']:.3g}")


def restore(state, path):
    """Fills a fresh `state` from the checkpoint at `path`."""
    if path is None:
        raise ValueError("resume needs the folder of the run")
    old = load(path)
    settings = {**state.settings, "epochs": old.settings.get("epochs")}
    known = {name: getattr(state, name) for name in ("config", "fold", "classes", "data")}
    check_fits(old, str(path), settings=settings, **known)
    check_same_videos(old, state.content, path)
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


def check_finite(run):
    """Before parameters are saved or evaluated: an overflow in the last update has not shown in any loss yet."""
    for key, w in run.state.params.items():
        if not bool(xp_of(w).isfinite(w).all()):
            raise run.diverged(f"parameter {key} is no longer finite", run.opt.lr)
