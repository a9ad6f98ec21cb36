"""Mutants: small seeded changes of the library, each of which some test should notice.

    python -m tests.mutate --package layers --n 60 --seed 2
    python -m tests.mutate --package training --n 30 --seed 5 --only 4 17 --quick

A mutant is one change of one place in one file, drawn from its syntax tree: an operator, a comparison, a constant, an
axis, a condition, a call. It is made in a temporary copy of the tree and never in the checkout. Tests run in two
stages and stop at the first failure: the test files that name the module (themselves, or a file of tests/ that they
import does), then all others of the default suite and of the assignments. A mutant that no test notices survives: then
a test is missing, or the change makes no difference that matters, which a person has to decide.

Left out of the draw: texts (docstrings, messages, annotations), and files that need a GPU or PyTorch (ELSEWHERE).
Left out of the tests: those that compare source with a listing, and notice any change of a line (LISTINGS).
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = map(str, (ROOT / "tests", ROOT / "tests" / "kit"))
from mutants import mutants  # noqa: E402

PACKAGES = ("layers", "nets", "data", "training")
ELSEWHERE = (  # run on a GPU, or beside PyTorch, only
    "gpu.py", "gpu_loop.py", "on_host.py", "launch.py", "peers.py", "graph_jobs.py", "torch_jobs.py", "torch_twins.py",
)  # fmt: skip
MARKS = "not slow and not outcomes and not hosts"  # the default suite and the assignments
LISTINGS = ("test_planted_bugs.py", "test_museum.py", "test_mutate.py")


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


def stages(file, root=ROOT):
    """The test files that name the module of `file`, those named after it first; and all others.

    Where none names it, those count that name a module that imports it, and so on.
    """
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((root / "tests").rglob("*.py"))}
    tests = [name for name in texts if name.startswith("test_") and f"{name}.py" not in LISTINGS]
    library = {
        path: path.read_text(encoding="utf-8") for package in PACKAGES for path in (root / package).rglob("*.py")
    }
    wanted, stem, near = {root / file}, Path(file).stem, []

    def names(text):
        return any(
            re.search(rf"\b{room}\.{p.stem}\b|from {room} import [^\n]*\b{p.stem}\b", text)
            for p, room in ((p, ".".join(("snippets", *p.parent.relative_to(root).parts))) for p in wanted)
        )

    def concerned(test, seen):
        seen.add(test)
        imported = re.findall(r"^\s*(?:from|import) (?:tests\.)?(\w+)", texts[test], re.M)
        return names(texts[test]) or any(concerned(m, seen) for m in imported if m in texts and m not in seen)

    while not near:
        near = [name for name in tests if name.startswith(f"test_{stem}") or concerned(name, set())]
        more = {path for path, text in library.items() if names(text)} - wanted
        if not more:
            break
        wanted |= more
    near.sort(key=lambda name: (not name.startswith(f"test_{stem}"), len(texts[name])))
    return near, [name for name in tests if name not in near]


def copy_tree(root, folder):
    """The files that git knows or does not ignore, into a new folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=root, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (root / name).is_file() or (root / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name, follow_symlinks=False)


def run_tests(tree, names, patience):
    """None if all pass, else the test that failed or, after "timed out: ", the one that took over `patience` s."""
    with tempfile.TemporaryDirectory() as temporary:
        # no bytecode: a change within a second that keeps a file's size would not be seen
        env = os.environ | {"PYTHONPATH": str(tree / ".links"), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": temporary}
        files = [str(path) for name in names for path in (tree / "tests").rglob(f"{name}.py")]
        command = [
            sys.executable, "-m", "pytest", *files, "-x", "-q", "-p", "no:cacheprovider", "-m", MARKS,
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
    if process.returncode == 4:
        raise RuntimeError(f"pytest does not accept its command: {output}")
    if "Timeout (" in output:
        where = re.findall(r'File "[^"]*tests/(\w+\.py)", line (\d+) in (\w+)', output)
        return "timed out: " + ("{0[0]}:{0[1]} {0[2]}".format(where[-1]) if where else "no test told")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.M)
    return failed[1] if failed else output.strip().splitlines()[-1][:100]


def judge(mutant, tree, quick, patience):
    """Make the mutant in the tree, run the tests, mend it; (outcome, what noticed it)."""
    path = tree / mutant.file
    data = path.read_bytes()
    path.write_bytes(data[: mutant.start] + mutant.new.encode() + data[mutant.end :])
    try:
        for names in stages(mutant.file, tree)[: 1 if quick else 2]:
            found = run_tests(tree, names, patience) if names else None
            if found:
                return ("timed out", found[11:]) if found.startswith("timed out: ") else ("died", found)
        return "survived", "the tests that name its module" if quick else "all tests"
    finally:
        path.write_bytes(data)


def main(argv=None):
    parser = argparse.ArgumentParser("python -m tests.mutate", description=__doc__.split("\n")[0])
    parser.add_argument("--package", choices=PACKAGES, required=True)
    parser.add_argument("--n", type=int, default=30, help="mutants to draw (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--only", type=int, nargs="+", metavar="I", help="of the mutants drawn, these numbers alone")
    parser.add_argument("--list", action="store_true", help="show the mutants and run no test")
    parser.add_argument("--quick", action="store_true", help="only the tests that name the module")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time, each in its own copy (default: 1)")
    parser.add_argument("--patience", type=int, default=300, help="seconds that one test may take (default: 300)")
    args = parser.parse_args(argv)
    if args.list:
        print(*(f"{i:4}  {m}" for i, m in enumerate(draw(args.package, args.n, args.seed), 1)), sep="\n")
        return 0
    counts = {"died": 0, "timed out": 0, "survived": 0}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(args.jobs) as pool:
        trees = [Path(folder) / f"tree{i}" for i in range(args.jobs)]
        for tree in trees:
            copy_tree(ROOT, tree)
        drawn = list(enumerate(draw(args.package, args.n, args.seed, trees[0]), 1))
        drawn = [(i, mutant) for i, mutant in drawn if not args.only or i in args.only]

        def work(pair):
            tree, started = trees.pop(), time.monotonic()
            try:
                return *pair, *judge(pair[1], tree, args.quick, args.patience), time.monotonic() - started
            finally:
                trees.append(tree)

        for i, mutant, outcome, told, seconds in pool.map(work, drawn):
            counts[outcome] += 1
            print(f"{i:4}  {outcome:9}  {mutant}  [{told}, {seconds:.0f} s]", flush=True)
    print(f"{args.package}, seed {args.seed}: " + ", ".join(f"{n} {outcome}" for outcome, n in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
