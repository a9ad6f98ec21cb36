"""Every outcome of a training that a test or a notebook asserts: experiments, limits, and how far they keep away.

    python -m tests.outcomes [--seeds 5] [--kernels Haswell ...] [--only demo ...]      the table of docs/reliability.md

A training is chaotic in its last bits, and these differ from one OpenBLAS kernel to the next, so an outcome of one seed
on one processor says little. An experiment here is a function of a seed, of which all draws come, the data's too but
for Downpour's. A test of the default run holds its outcomes for one seed; `pytest -m outcomes` (test_outcomes.py) for
SEEDS of them under each kernel of KERNELS that this processor has, every kernel in processes of its own.
"""

import argparse
import ast
import contextlib
import functools
import json
import operator
import os
import pkgutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from numbers import Number
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = map(str, (ROOT / "tests").iterdir())

SEEDS = 5
KERNELS = ("Nehalem", "Sandybridge", "Haswell", "SkylakeX")  # OpenBLAS's for x86, of SSE, AVX, AVX2 and AVX-512
EXPERIMENTS = {  # name: where the function is, as `pkgutil.resolve_name` finds it; test files import this one
    "training loop": "test_loop:learning",
    "simulated deaths": "test_simulate:deaths",
    "Adagrad": "test_downpour:adagrad",
    "notebook 1": "outcomes:strokes",
    "notebook 2": "outcomes:symbols",
    "notebook 3": "outcomes:wrong_gradients",
    "notebook 8": "outcomes:leak",
    "notebook 9": "outcomes:ranking",
    "notebook 10": "outcomes:expansion",
    "notebook 12": "outcomes:asynchrony",
    "small sets": "test_small_sets:small_heads",
    "quick demo": "test_demo:quick_demo",
    "demo": "test_demo:full_demo",
}
LONG = ("demo", *(f"notebook {n}" for n in (3, 8, 9, 10, 12)))  # not in `pytest -m outcomes`
SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.GtE: ">=", ast.Gt: ">"}
HOLDS = {"<": operator.lt, "<=": operator.le, "==": operator.eq, ">=": operator.ge, ">": operator.gt}


class Outcome(NamedTuple):
    """What was measured, the number, and the limit that it keeps on that side of."""

    name: str
    value: float
    sign: str  # of HOLDS
    limit: float

    @property
    def holds(self):
        return HOLDS[self.sign](self.value, self.limit)

    @property
    def room(self):
        """How far the number is from the limit, on the right side of it."""
        if self.sign == "==":
            return -abs(self.value - self.limit)
        return self.limit - self.value if "<" in self.sign else self.value - self.limit


def hold(outcomes):
    """Asserts every outcome."""
    broken = [f"{o.name} is {o.value:.4g}, expected {o.sign} {o.limit:g}" for o in outcomes if not o.holds]
    assert not broken, "; ".join(broken)


# Notebooks: their own cells, under other seeds


def asserted(notebook, sections, seed):
    """Runs cells of a notebook with SEED set to `seed`; the comparisons that they assert are its outcomes."""
    sys.path.insert(0, str(ROOT / "notebooks"))  # where a notebook finds walk.py
    try:
        with contextlib.chdir(ROOT / "notebooks"):
            return compared_in(notebook, sections, seed)
    finally:
        sys.path.remove(str(ROOT / "notebooks"))


def compared_in(notebook, sections, seed):
    """`asserted`, in the folder of the notebook."""
    import jupytext
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    plt.show = lambda: plt.close("all")
    cells, section, found = jupytext.read(ROOT / "notebooks" / notebook).cells, "", []
    names = {"__name__": "__main__"}
    first = next(cell.source for cell in cells if cell.cell_type == "code")  # imports
    exec(first, names)
    for cell in cells:
        if cell.cell_type != "code":
            headings = [line.split()[1] for line in cell.source.splitlines() if line.startswith("## ")]
            section = headings[-1] if headings else section
        elif section in sections:
            for statement in ast.parse(cell.source).body:
                if isinstance(statement, ast.Assert):
                    found += [compared(test, names) for test in getattr(statement.test, "values", [statement.test])]
                    continue
                exec(compile(ast.Module([statement], []), notebook, "exec"), names)
                if "SEED" in names and "SEED" in ast.unparse(statement).split("=")[0]:
                    names["SEED"] = seed
    return found


def compared(test, names):
    """The Outcome of what is asserted (an ast node), worked out in `names`; of two numbers compared both."""
    match test:
        case ast.Compare(left, [op], [limit]) if type(op) in SIGNS:
            sides = [eval(ast.unparse(side), names) for side in (left, limit)]
            if all(isinstance(side, Number) for side in sides):
                return Outcome(f"`{ast.unparse(left)}`", float(sides[0]), SIGNS[type(op)], float(sides[1]))
    return Outcome(f"`{ast.unparse(test)}`", float(bool(eval(ast.unparse(test), names))), "==", 1.0)


def strokes(seed):
    """Notebook 1: a convolutional network trained in twenty lines, and its filters."""
    return asserted("01_backpropagation_by_hand.py", ("1.9", "1.10"), seed)


def symbols(seed):
    """Notebook 2: three LSTMs and max-pooling on the order of two symbols, and an LSTM that remembers motion."""
    return asserted("02_peephole_lstm.py", ("2.10", "2.11"), seed)


def wrong_gradients(seed):
    """Notebook 3: an LSTM under each of the planted bugs."""
    return asserted("03_wrong_gradients_learn_too.py", ("3.1", "3.2", "3.3", "3.4"), seed)


def leak(seed):
    """Notebook 8: a linear classifier on splits at random and by film, with true labels and with a coin per film."""
    return asserted("08_how_much_is_a_leak_worth.py", ("8.1", "8.2", "8.3", "8.4"), seed)


def ranking(seed):
    """Notebook 9: five heads on real features, sixteen seeds each."""
    return asserted("09_can_one_seed_tell_the_truth.py", ("9.1", "9.2", "9.3", "9.4"), seed)


def expansion(seed):
    """Notebook 10: a single-frame network expanded to 24 frames."""
    return asserted("10_can_one_frame_become_120.py", ("10.1", "10.2", "10.3", "10.4", "10.5"), seed)


def asynchrony(seed):
    """Notebook 12: Downpour SGD with 1 to 50 replicas and four values of momentum."""
    return asserted("12_do_fifty_machines_agree.py", ("12.1", "12.2", "12.3", "12.4"), seed)


# Kernels, each in a process of its own


def run_kernel(kernel, experiment, seeds):
    """Outcomes of an experiment for that many seeds under an OpenBLAS kernel; RuntimeError if it broke."""
    command = [sys.executable, "-W", "error", __file__, "--here", experiment, "--seeds", str(seeds)]
    env = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{experiment} under {kernel}: {done.stderr[-2000:]}")
    return [Outcome(*one) for one in json.loads(done.stdout.splitlines()[-1])]


@functools.cache
def lacking(kernel):
    """Why this kernel cannot be tried here, or None."""
    code = "import numpy, threadpoolctl; a = numpy.ones((9, 9), 'f'); a @ a; print(threadpoolctl.threadpool_info())"
    env = {**os.environ, "OPENBLAS_CORETYPE": kernel}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    if done.returncode:
        return f"this processor cannot run OpenBLAS's {kernel} kernels"
    if f"'architecture': '{kernel}'" not in done.stdout:
        return f"NumPy's BLAS does not take the {kernel} kernels here"
    return None


def main(args):
    if args.here:
        experiment, found = pkgutil.resolve_name(EXPERIMENTS[args.here]), []
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            for seed in range(args.seeds):
                found += [tuple(map(simple, one)) for one in experiment(seed)]
        print(json.dumps(found))
        return
    missing = {kernel: lacking(kernel) for kernel in args.kernels}
    kernels = [kernel for kernel in args.kernels if not missing[kernel]]
    for reason in filter(None, missing.values()):
        print(reason, file=sys.stderr)
    print(f"Seeds 0 to {args.seeds - 1} under {', '.join(kernels)}.\n")
    print("| experiment | outcome | limit | worst of all |\n|---|---|---|---|")
    with ThreadPoolExecutor(2) as pool:
        for experiment in args.only:
            runs = pool.map(lambda kernel, experiment=experiment: run_kernel(kernel, experiment, args.seeds), kernels)
            worst = {}
            for o in (o for run in runs for o in run):
                worst[o.name] = min(worst.get(o.name, o), o, key=lambda o: o.room)
            for o in worst.values():
                found = f"{o.value:.3g}" + ("" if o.holds else " BROKEN")
                print(f"| {experiment} | {o.name} | {o.sign} {o.limit:.3g} | {found} |", flush=True)


def simple(x):
    """A NumPy number as one of Python's."""
    return x.item() if isinstance(x, np.generic) else x


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="the worst value of every outcome over seeds and kernels")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--kernels", nargs="+", default=KERNELS)
    parser.add_argument(
        "--only", nargs="+", default=[name for name in EXPERIMENTS if name not in LONG], choices=EXPERIMENTS
    )
    parser.add_argument("--here", choices=EXPERIMENTS, help=argparse.SUPPRESS)
    main(parser.parse_args())
