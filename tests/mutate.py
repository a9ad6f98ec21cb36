"""Mutants: small seeded changes of the library, each of which some test should notice.

    python -m tests.mutate --seed 2 --jobs 2
    python -m tests.mutate --package training --n 60 --seed 5 --only 4 17 --quick

A mutant is one change of one place in one file, drawn from its syntax tree: an operator, a comparison, a constant, an
axis, a condition, a call. It is made in a temporary copy of the tree and never in the checkout. First the default
suite runs once, to find out which test runs which function. Then each mutant meets the tests that run the function it
is in, quickest first, and after them all of the default suite and of the assignments, until one fails. A mutant that
no test notices survives: then a test is missing, or the change makes no difference that matters, which a person has to
decide.

Left out of the draw: texts (docstrings, messages, annotations), and files that need a GPU or PyTorch (ELSEWHERE).
Left out of the tests: those that compare source with a listing, and notice any change of a line (LISTINGS).
"""

import argparse
import ast
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = map(str, (ROOT / "tests", ROOT / "tests" / "kit"))
from mutants import mutants  # noqa: E402

PACKAGES = ("layers", "nets", "data", "training")
ELSEWHERE = (  # run on a GPU, or beside PyTorch, only
    "gpu.py", "gpu_loop.py", "on_host.py", "launch.py", "peers.py", "graph_jobs.py", "torch_jobs.py", "torch_twins.py",
)  # fmt: skip
MARKS = "not slow and not outcomes and not hosts"  # the default suite and the assignments
LISTINGS = ("test_planted_bugs.py", "test_museum.py", "test_mutate.py")
MOST = 120  # seconds of tests that run a mutant's function, before all others
FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda


def draw(package, n, seed, root=ROOT):
    """n mutants of a package: each time a kind is drawn, then one of the mutants of that kind that are left."""
    rng, kinds = random.Random(seed), {}
    for path in sorted((root / package).rglob("*.py")):
        if path.name not in ELSEWHERE:
            for mutant in mutants(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")):
                kinds.setdefault(mutant.kind, []).append(mutant)
    chosen = []
    while len(chosen) < n and kinds:
        kind = rng.choice(sorted(kinds))
        left = kinds[kind]
        chosen.append(left.pop(rng.randrange(len(left))))
        if not left:
            del kinds[kind]
    return chosen


class Reach(NamedTuple):
    """Which tests of the default suite run which functions: {file: {line where it begins: {test}}}, {test: seconds}."""

    functions: dict
    seconds: dict

    def tests(self, mutant, source):
        """The tests that run the innermost function around a mutant, quickest first, MOST seconds of them.

        Where none does (it is in no function, or runs in other processes), those that run anything of its file.
        """
        lines = self.functions.get(mutant.file, {})
        around = [node for node in ast.walk(ast.parse(source)) if isinstance(node, FUNCTIONS)]  # the outer ones first
        around = [begin(node) for node in around if begin(node) <= mutant.line <= node.end_lineno]
        found = [lines[line] for line in around if line in lines] or [set().union(*lines.values())]
        chosen, left = [], MOST
        for test in sorted(found[-1], key=lambda test: (self.seconds[test], test)):
            left -= self.seconds[test]
            if chosen and left < 0:
                break
            chosen.append(test)
        return chosen


def begin(function):
    """The line at which Python says that a function begins: that of its first decorator."""
    return min(node.lineno for node in (function, *getattr(function, "decorator_list", ())))


def reach(tree, jobs):
    """The `Reach` of the default suite, run once in a tree (tests/kit/reached.py). RuntimeError if a test fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-p", "reached", "-q", "-p", "no:cacheprovider", "-n", str(jobs)]
        env = environment(tree) | {"REACHED": folder}
        if subprocess.run([*command, *ignored(tree)], cwd=tree, env=env, stdin=subprocess.DEVNULL).returncode:
            raise RuntimeError("the default suite fails, see above: mend that first")
        functions, seconds = {}, {}
        for path in Path(folder).glob("*.json"):
            found = json.loads(path.read_text(encoding="utf-8"))
            seconds |= found["seconds"]
            for place, tests in found["functions"].items():
                file, _, line = place.rpartition(":")
                functions.setdefault(file, {}).setdefault(int(line), set()).update(tests)
    return Reach(functions, seconds)


def environment(tree):
    """Variables for pytest in a tree: its own library and tools, and real clips where this checkout has some."""
    path = os.pathsep.join(map(str, (tree / ".links", tree / "tests" / "kit")))
    clips = os.environ.get("SNIPPETS_SHARED", str(ROOT.parent / "shared" / "data"))
    # no bytecode: a change within a second that keeps a file's size would not be seen
    return os.environ | {"PYTHONPATH": path, "SNIPPETS_SHARED": clips, "PYTHONDONTWRITEBYTECODE": "1"}


def ignored(tree):
    """Options that leave out the LISTINGS."""
    return [f"--ignore={path}" for name in LISTINGS for path in sorted((tree / "tests").rglob(name))]


def copy_tree(root, folder):
    """The files that git knows or does not ignore, into a new folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=root, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (root / name).is_file() or (root / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name, follow_symlinks=False)


def run_tests(tree, tests, patience):
    """None if all pass, else the test that failed or, after "timed out: ", the one that took over `patience` s.

    tests: arguments of pytest.
    """
    with tempfile.TemporaryDirectory() as temporary:
        env = environment(tree) | {"TMPDIR": temporary}
        command = [
            sys.executable, "-m", "pytest", *tests, "-x", "-q", "-p", "no:cacheprovider", "-m", MARKS,
            "-o", f"faulthandler_timeout={patience}", "-o", "faulthandler_exit_on_timeout=true",
        ]  # fmt: skip
        log = Path(temporary, "output")  # no pipe, which children of a test that hangs would keep open
        with open(log, "wb") as file:
            process = subprocess.Popen(
                command, cwd=tree, env=env, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        late = ""
        try:
            process.wait(timeout=30 * patience)
        except subprocess.TimeoutExpired:
            late = "Timeout (all tests together)"
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # what a test may have started and left
            except ProcessLookupError:
                pass
        process.wait()
        output = late or log.read_text(encoding="utf-8", errors="replace")
    if process.returncode in (0, 5):  # 5: no test here
        return None
    if "ImportError while loading conftest" in output:
        return "tests/conftest.py"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.M)
    if process.returncode == 4 and not failed:  # else a file of tests, of which some were asked for, breaks on its own
        raise RuntimeError(f"pytest does not accept its command: {output}")
    if "Timeout (" in output:
        where = re.findall(r'File "[^"]*tests/(\w+\.py)", line (\d+) in (\w+)', output)
        return "timed out: " + ("{0[0]}:{0[1]} {0[2]}".format(where[-1]) if where else "no test told")
    return failed[1] if failed else output.strip().splitlines()[-1][:100]


def judge(mutant, tree, near, quick, patience):
    """Make the mutant in the tree, run the tests, mend it; (outcome, what noticed it). near: the tests to run first."""
    path = tree / mutant.file
    data = path.read_bytes()
    path.write_bytes(data[: mutant.start] + mutant.new.encode() + data[mutant.end :])
    try:
        for tests in [near] * bool(near) + [ignored(tree)] * (not quick):
            if found := run_tests(tree, tests, patience):
                return ("timed out", found[11:]) if found.startswith("timed out: ") else ("died", found)
        return "survived", f"{len(near)} tests" if quick else "all tests"
    finally:
        path.write_bytes(data)


def main(argv=None):
    parser = argparse.ArgumentParser("python -m tests.mutate", description=__doc__.split("\n")[0])
    parser.add_argument("--package", choices=PACKAGES, nargs="+", default=PACKAGES, help="default: all four")
    parser.add_argument("--n", type=int, default=30, help="mutants to draw of each package (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--only", type=int, nargs="+", metavar="I", help="of the mutants drawn, these numbers alone")
    parser.add_argument("--list", action="store_true", help="show the mutants and run no test")
    parser.add_argument("--quick", action="store_true", help="only the tests that run the changed function")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time, each in its own copy (default: 1)")
    parser.add_argument("--patience", type=int, default=300, help="seconds that one test may take (default: 300)")
    args = parser.parse_args(argv)
    drawn = list(enumerate((m for package in args.package for m in draw(package, args.n, args.seed)), 1))
    drawn = [(i, mutant) for i, mutant in drawn if not args.only or i in args.only]
    if args.list:
        print(*(f"{i:4}  {mutant}" for i, mutant in drawn), sep="\n")
        return 0
    counts = Counter()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(args.jobs) as pool:
        trees = [Path(folder) / f"tree{i}" for i in range(args.jobs)]
        for tree in trees:
            copy_tree(ROOT, tree)
        reached = reach(trees[0], args.jobs)

        def work(pair):
            tree, started = trees.pop(), time.monotonic()
            try:
                near = reached.tests(pair[1], (tree / pair[1].file).read_text(encoding="utf-8"))
                return *pair, *judge(pair[1], tree, near, args.quick, args.patience), time.monotonic() - started
            finally:
                trees.append(tree)

        for i, mutant, outcome, told, seconds in pool.map(work, drawn):
            counts[mutant.file.partition("/")[0], outcome] += 1
            print(f"{i:4}  {outcome:9}  {mutant}  [{told}, {seconds:.0f} s]", flush=True)
    for package in args.package:
        told = ", ".join(f"{counts[package, outcome]} {outcome}" for outcome in ("died", "timed out", "survived"))
        print(f"{package}, seed {args.seed}: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
