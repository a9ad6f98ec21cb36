"""Plant a wrong line in a layer and see which check notices.

planted_bugs.txt lists the bugs, in the format of `snippets.training.assignments.bugs`. Every check must fail on a
wrong version, or it proves nothing.
"""

from pathlib import Path

import pytest
from contract import PROMISES
from layer_cases import CASES
from oracle_table import CHECKS

from snippets.training.assignments.bugs import Bug, Stale, load, read_bugs, source

HERE = Path(__file__).resolve().parent
SEEN = (AssertionError, ValueError, IndexError, Warning, pytest.fail.Exception)  # what a failing check raises
__all__ = [
    "BUGS",
    "HERE",
    "MODULES",
    "SEEN",
    "Bug",
    "Stale",
    "checks_of",
    "killer",
    "load",
    "read_bugs",
    "source",
    "unchanged",
]


def checks_of(name):
    """(what, check) of every oracle and every promise that concerns the module of this name; check takes a module."""
    for check in CHECKS.get(name, []):
        yield f"oracle {check.__name__}", check
    for case in CASES:
        if case.module == name:
            for promise in PROMISES:
                yield f"{case.name} {promise.__name__}", lambda module, p=promise, c=case: p(c, module)


def killer(bug):
    """The first check that fails on the wrong version, or None if it survives them all.

    Any other exception is no kill but an error of the test: the planted text is not a program.
    """
    module = load(bug)
    for what, check in checks_of(bug.module):
        try:
            check(module)
        except SEEN:
            return what
    return None


BUGS = read_bugs((HERE / "planted_bugs.txt").read_text())
MODULES = sorted({bug.module for bug in BUGS})


def unchanged(name):
    """The module of this name, loaded as the planted ones are."""
    return load(Bug("nothing", name.removeprefix("snippets.").replace(".", "/") + ".py", []))
