"""Mutants: small seeded changes of the library, each of which some test should notice.

    python -m tests.mutate --package layers --n 60 --seed 2
    python -m tests.mutate --package training --n 30 --seed 5 --only 4 17 --quick

A mutant is one change of one place in one file, drawn from its syntax tree: an operator, a comparison, a constant, an
axis, a condition, a call. It is made in a temporary copy of the tree and never in the checkout. Tests run in two
stages and stop at the first failure: the test files that name the module (themselves, or a file of tests/ that they
import does), then all others of the default suite. A mutant that no test notices survives: then a test is missing, or
the change makes no difference that matters, which a person has to decide.

Left out of the draw: texts (docstrings, messages, annotations), and files that need a GPU or PyTorch (ELSEWHERE).
Left out of the tests: those that compare source with a listing, and notice any change of a line (LISTINGS).
"""

import argparse
import ast
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
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("layers", "nets", "data", "training")
ELSEWHERE = (  # run on a GPU, or beside PyTorch, only
    "gpu_loop.py", "on_host.py", "launch.py", "peers.py", "torch_twins.py",
)  # fmt: skip
LISTINGS = ("test_planted_bugs.py", "test_mutate.py")
SWAPS = {  # an operator or a comparison, and what is written instead
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,), ast.Pow: (ast.Mult,), ast.And: (ast.Or,), ast.Or: (ast.And,), ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,), ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
PAIRS = (
    ("min", "max"), ("any", "all"), ("floor", "ceil"), ("argmin", "argmax"), ("sum", "mean"), ("zeros", "ones"),
    ("minimum", "maximum"), ("sqrt", "square"),
)  # fmt: skip
NAMES = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}


class Mutant(NamedTuple):
    """One change: bytes start to end of the file become `new`."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    old: str
    new: str

    def __str__(self):
        old, new = (re.sub(r"\s+", " ", text) for text in (self.old, self.new))
        return f"{self.file}:{self.line}  {self.kind}: {old[:70]}  ->  {new[:70]}"


def mutants(file, source):
    """All mutants of a file's text, in its order."""
    data, starts = source.encode(), [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(node):
        return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset

    found = []
    for node in code(ast.parse(source)):
        for kind, what, new in changes(node):
            start, end = place(what)
            old = data[start:end].decode()
            if old != new:
                found.append(Mutant(file, what.lineno, kind, start, end, old, new))
    return found


def code(node):
    """The nodes of a tree that are no text, annotation or decorator; of a `raise` the statement alone."""
    if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
        return
    yield node
    if isinstance(node, (ast.Raise, ast.JoinedStr)):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from code(child)


def changes(node):
    """(kind, node to replace, text instead) of one node."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS and not any(map(is_text, (node.left, node.right))):
        for op in SWAPS[type(node.op)]:
            yield "operator", node, f"({ast.unparse(ast.BinOp(node.left, op(), node.right))})"
    elif isinstance(node, ast.BoolOp):
        yield "condition", node, f"({ast.unparse(ast.BoolOp(SWAPS[type(node.op)][0](), node.values))})"
    elif isinstance(node, ast.Compare):
        for i, old in enumerate(node.ops):
            for op in SWAPS[type(old)]:
                ops = [*node.ops[:i], op(), *node.ops[i + 1 :]]
                yield "comparison", node, f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "operator", node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        v = node.value
        for new in (not v,) if isinstance(v, bool) else (v + 1, v - 1) if isinstance(v, int) else (2 * v or 1.0,):
            yield "constant", node, f"({new!r})" if new is not True and new is not False and new < 0 else repr(new)
    elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name in NAMES:
            yield "name", node, ast.unparse(node)[: -len(name)] + NAMES[name]
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield "condition", node.test, f"(not ({ast.unparse(node.test)}))"
    for test in getattr(node, "ifs", ()):
        yield "condition", test, f"(not ({ast.unparse(test)}))"
    if isinstance(node, ast.Call):
        yield from calls(node)
    if droppable(node):
        yield "dropped", node, "pass"


def calls(node):
    """Changes of one call: its first two arguments swapped, an argument by name left out, another axis."""
    args, told = node.args, ast.unparse(node.func)
    if (
        len(args) > 1
        and not any(isinstance(a, ast.Starred) for a in args[:2])
        and told not in ("isinstance", "getattr")
    ):
        yield "arguments", node, ast.unparse(ast.Call(node.func, [args[1], args[0], *args[2:]], node.keywords))
    for i, keyword in enumerate(node.keywords):
        if keyword.arg == "axis" and isinstance(keyword.value, (ast.Constant, ast.UnaryOp)):
            yield "axis", keyword.value, "1" if ast.unparse(keyword.value) == "0" else "0"
        elif keyword.arg and not is_text(keyword.value):
            yield "keyword", node, ast.unparse(ast.Call(node.func, args, node.keywords[:i] + node.keywords[i + 1 :]))


def droppable(node):
    """Whether `pass` can stand where this statement stands, and no name is missing then."""
    if isinstance(node, ast.Assign):
        return all(isinstance(target, (ast.Subscript, ast.Attribute)) for target in node.targets)
    call = isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.YieldFrom))
    return call or isinstance(node, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break))


def is_text(node):
    return isinstance(node, ast.JoinedStr) or isinstance(node, ast.Constant) and isinstance(node.value, str)


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
            sys.executable, "-m", "pytest", *files, "-x", "-q", "-p", "no:cacheprovider",
            "-o", f"faulthandler_timeout={patience}", "-o", "faulthandler_exit_on_timeout=true",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, cwd=tree, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            output = process.communicate(timeout=30 * patience)[0]
        except subprocess.TimeoutExpired:
            output = "Timeout (all tests together)"
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # what a test may have started and left
            except ProcessLookupError:
                pass
        process.wait()
    if process.returncode in (0, 5):  # 5: no test here
        return None
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
