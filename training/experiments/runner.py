"""Commands as parts of something longer: each is done once, and goes on where it was interrupted.

An experiment is a list of `Command`s, each of them one that anybody can type, and the file that it leaves behind. So
what an experiment does can be printed, done by hand, stopped and repeated.
"""

import contextlib
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from snippets.data.store.processes import in_processes


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


def run(commands, execute, log=None, workers=1):
    """Do what has not been done, each command once; what they print goes to the file `log` (None: to the screen).

    execute: runs one command of the command line, given its arguments; its errors are raised.
    workers: processes, for commands that know nothing of each other.
    Raises FileNotFoundError if a command ends without its product.
    """
    todo, how = [c for c in dict.fromkeys(commands) if not c.done], (execute, log)
    if workers > 1 and len(todo) > 1:
        done = in_processes(run_one, how, todo, workers)
    else:  # one after the other, for what one leaves another may need
        done = (run_one(how, c) for c in todo)
    for seconds, product in done:
        print(f"{seconds:7.1f} s  {product}", flush=True)


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
