"""Undo the fixes of faults one by one: the tests that came with each must fail without it.

    python -m tests.undo                    all fixes of tests/kit/undone_fixes.txt, some minutes
    python -m tests.undo --only clock       those with this word in their name

A fix is undone in a temporary copy of the tree. A test that hangs without it has noticed, too.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "kit")]

from mutate import copy_tree, run_tests  # noqa: E402
from planted import read_bugs, source  # noqa: E402

FIXES = read_bugs((ROOT / "tests" / "kit" / "undone_fixes.txt").read_text(encoding="utf-8"))


def named(fix):
    """The name of a fix, and the test files that must notice."""
    name, tests = re.fullmatch(r"(.+) \[(.+)\]", fix.name).groups()
    return name, tests.split(", ")


def main(argv=None):
    """Prints a line per fix; returns 1 if some fix can be undone and no test notices."""
    parser = argparse.ArgumentParser("python -m tests.undo", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", metavar="WORD", help="fixes with this word in their name")
    parser.add_argument("--patience", type=int, default=120, help="seconds that one test may take (default: 120)")
    args = parser.parse_args(argv)
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="undo-") as folder:
        tree = Path(folder) / "tree"
        copy_tree(ROOT, tree)
        for fix in FIXES:
            name, tests = named(fix)
            if args.only not in name:
                continue
            (tree / fix.file).write_text(source(fix), encoding="utf-8")
            files = [str(path) for test in tests for path in (tree / "tests").rglob(f"{test}.py")]
            found = run_tests(tree, files, args.patience)
            (tree / fix.file).write_text((ROOT / fix.file).read_text(encoding="utf-8"), encoding="utf-8")
            unnoticed += found is None
            print(f"{'unnoticed' if found is None else 'noticed':10} {fix.file}: {name}  [{found}]", flush=True)
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())
