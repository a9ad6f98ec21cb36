"""A command line as a step of something longer: done once, gone on with where it was interrupted.

An experiment is a list of `Step`s, each of them a command that anybody can type, and a file that it leaves behind. So
what an experiment does can be printed, done by hand, stopped and repeated.
"""

import contextlib
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Step:
    """`snippets` with these arguments; `product` is there when it has been done."""

    arguments: tuple
    product: Path
    folder: Path | None = None  # of a training run, which can go on from its checkpoint

    def __str__(self):
        return "snippets " + shlex.join(self.arguments)

    @property
    def begun(self):
        """Whether a training run was interrupted."""
        places = [self.folder, *(self.folder / f"fold{k}" for k in (1, 2, 3))] if self.folder else []
        return any((place / "checkpoint.npz").exists() for place in places)


def step(*words, product, folder=None):
    """A `Step` of words, None among them left out; a str of several options counts as several words."""
    parts = [shlex.split(w) if isinstance(w, str) and w.startswith("-") else [str(w)] for w in words if w is not None]
    return Step(tuple(part for some in parts for part in some), Path(product), folder and Path(folder))


def run(steps, execute, log=None, progress=print):
    """Do what has not been done, each step once; what they print goes to the file `log` (None: to the screen).

    execute: runs one command of the command line, given its arguments; its errors are raised.
    BLAS keeps to one thread: frames run in parallel, and the matrices are small where this is used most.
    """
    for s in dict.fromkeys(steps):
        if s.product.exists():
            continue
        s.product.parent.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with threadpool_limits(1, "blas"), into(log, s):
            execute([*s.arguments, *(["--resume"] if s.begun else [])])
        if not s.product.exists():
            raise FileNotFoundError(f"{s} ended without {s.product}")
        progress(f"{time.perf_counter() - started:7.1f} s  {s.product}")


@contextlib.contextmanager
def into(log, s):
    """Output and progress bars of the block go to the end of the file `log`."""
    if log is None:
        print(s, file=sys.stderr)
        yield
        return
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        print(s, flush=True)
        yield
