"""Commands as parts of something longer: each is done once, and goes on where it was interrupted.

An experiment is a list of `Command`s, each of them one that anybody can type, and the file that it leaves behind. So
what an experiment does can be printed, done by hand, stopped and repeated.

    stage 1     train ... --out single          features of several videos: here, and they use all cores by themselves
    stage 2     features ... --out f.npz
    stage 3     train f.npz ... --out lstm0     side by side, in processes or as Ray's tasks on many hosts
                train f.npz ... --out lstm1
"""

import contextlib
import os
import shlex
import socket
import sys
import threading
import time
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from snippets.data.store.processes import in_processes
from snippets.training.distributed.hosts import SEEN, mark_in


@dataclass(frozen=True)
class Command:
    """`snippets` with these arguments; `product` is there when it has been done.

    None: no file says so, and the command itself finds out what is left to do.
    """

    arguments: tuple
    product: Path | None
    folder: Path | None = None  # of a training run, which can go on from its checkpoint

    def __str__(self):
        return "snippets " + shlex.join(self.arguments)

    @property
    def done(self):
        """Whether its product is there."""
        return self.product is not None and self.product.exists()

    @property
    def begun(self):
        """Whether a training run was interrupted."""
        places = [self.folder, *(self.folder / f"fold{k}" for k in (1, 2, 3))] if self.folder else []
        return any((place / name).exists() for place in places for name in ("checkpoint.npz", "heads.json"))


def command(*words, product, folder=None):
    """A `Command` of words, None among them left out; a str of several options counts as several words.

    Of an option that is there twice the last one counts, and stands alone.
    """
    parts = [shlex.split(w) if isinstance(w, str) and w.startswith("-") else [str(w)] for w in words if w is not None]
    options, name = {"": []}, ""  # name: [it and its values]
    for part in (part for some in parts for part in some):
        if part.startswith("--"):
            name = part.partition("=")[0]
            options[name] = []
        options[name].append(part)
    return Command(tuple(part for some in options.values() for part in some), product, folder)


def training_command(data, *words, out, product="predictions.npz"):
    """`snippets train` on `data` into the folder `out`; product: the file in it that is written last."""
    return command("train", data, *words, "--out", out, product=out / product, folder=out)


def run(commands, execute, log=None, workers=1, ray=None):
    """Do what has not been done, each command once; what they print goes to the file `log` (None: to the screen).

    execute: runs one command of the command line, given its arguments; its errors are raised.
    workers: processes, for commands that do not need each other; or ray: a `RayTasks` for them, and `log` is a file.
    Raises FileNotFoundError if a command ends without its product; OSError if a host does not see the folder of `log`.
    """
    todo = [c for c in dict.fromkeys(commands) if not c.done]
    together = ray or (workers > 1 and len(todo) > 1)
    done = side_by_side(todo, (execute, log), workers, ray) if together else (run_one((execute, log), c) for c in todo)
    for seconds, product in done:
        print(f"{seconds:7.1f} s  {product}", flush=True)


def stages(commands) -> list[list[Command]]:
    """The commands, in order, in lists of which each needs only what is in those before it: what its words name."""
    found, known = [], []  # known: (how words name what a command leaves, its stage)
    for c in commands:
        named = {place for word in c.arguments for place in (Path(word), *Path(word).parents)}
        stage = 1 + max((stage for left, stage in known if left & named), default=-1)
        models = {Path(word) for word in c.arguments if word.endswith(".npz")}  # whose features go into a cache
        known.append(({c.product, c.folder} if c.product else models, stage))
        found += [[]] if stage == len(found) else []
        found[stage].append(c)
    return found


def side_by_side(commands, how, workers, ray):
    """What `run_one` returns for each command, those of a stage at the same time; but `features` one by one.

    They take all cores, or all hosts, themselves. how: (execute, log).
    """
    (execute, log), more = how, ("--ray", ray.address) if ray else ()
    for stage in stages(commands):
        for c in (c for c in stage if c.arguments[0] == "features"):
            yield run_one((execute, None), replace(c, arguments=(*c.arguments, *more)))
        rest = [c for c in stage if c.arguments[0] != "features"]
        if ray and rest:
            with mark_in(log.parent) as mark:
                steps = [Step(c.product, str(c.product), c) for c in rest]
                yield from ray.map(do_step, Steps(how, os.getcwd(), mark), steps, done_step)
        else:
            yield from in_processes(run_one, how, rest, workers)


class Step(NamedTuple):
    """A command as an item of a job over videos: its product, which is not there yet, in place of a video's file."""

    path: Path
    name: str
    command: Command


class Steps(NamedTuple):
    """What such a job needs in place of a source: (execute, log), the folder that words mean, and a mark in OUT."""

    how: tuple
    cwd: str
    mark: Path

    def one_thread(self):
        """`run_one` sees to that."""

    def compute_on(self, xp):
        """The command's own --device does."""


def do_step(steps, step):
    """Do a command on whatever host; yields the seconds so far, for who sends nothing seems lost, and in the end all.

    OSError names the host, if it does not share OUT, or lacks what the command reads.
    """
    where, result, until = f"host {socket.gethostname()}", Future(), time.monotonic() + SEEN
    while not steps.mark.exists():
        if time.monotonic() > until:
            raise OSError(f"{where} does not see {steps.mark.parent}: share that folder between all hosts")
        time.sleep(0.1)

    def work():
        try:
            os.chdir(steps.cwd)
            result.set_result(run_one(steps.how, step.command)[0])
        except BaseException as error:
            error.add_note(f"on {where}")
            result.set_exception(error)

    started = time.perf_counter()
    threading.Thread(target=work, daemon=True).start()
    while not wait([result], timeout=1).done:
        yield time.perf_counter() - started
    yield result.result()


def done_step(step, produced):
    """(seconds, product) of a command, from what `do_step` yields."""
    *_, seconds = produced
    return seconds, step.path


def run_one(how, c):
    """Do a command; (seconds, its product or itself). how: (execute, log) of `run`.

    BLAS keeps to one thread: frames run in parallel, and the matrices are small where this is used most.
    """
    execute, log = how
    if c.product:
        c.product.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with threadpool_limits(1, "blas"), into(log, c):
        execute([*c.arguments, *(["--resume"] if c.begun else [])])
    if c.product and not c.done:
        raise FileNotFoundError(f"{c} ended without {c.product}")
    return time.perf_counter() - started, c.product or c


@contextlib.contextmanager
def into(log, command):
    """Output and progress bars of the block go to the end of the file `log`."""
    if log is None:
        print(command, file=sys.stderr)
        yield
        return
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        print(command, flush=True)
        yield
