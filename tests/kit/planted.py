"""Plant a wrong line in a layer and see which check notices.

planted_bugs.txt lists the bugs: a file's name after "==", then for each bug its name after "*", the text that is there
after "-" and what to write instead after "+". Every check must fail on a wrong version, or it proves nothing.
"""

import types
from pathlib import Path
from typing import NamedTuple

import pytest
from contract import PROMISES
from layer_cases import CASES
from oracle_table import CHECKS

HERE = Path(__file__).resolve().parent


class Bug(NamedTuple):
    """A wrong version of one file: changes is a list of (old text, new text)."""

    name: str
    file: str
    changes: list

    @property
    def module(self):
        return "snippets." + self.file.removesuffix(".py").replace("/", ".")


class Stale(Exception):
    """The text that a planted bug replaces is not in the file exactly once."""


def read_bugs(text):
    """The bugs that a listing in the format of planted_bugs.txt describes."""
    bugs, file, above = [], None, ""
    for line in text.splitlines():
        mark, rest = line[:1], line[2:]
        if line.startswith("=="):
            file = rest.strip()
        elif mark == "*":
            bugs.append(Bug(rest, file, []))
        elif mark == "-" and above == "-":
            bugs[-1].changes[-1][0] += "\n" + rest
        elif mark == "-":
            bugs[-1].changes.append([rest, ""])
        elif mark == "+":
            bugs[-1].changes[-1][1] += ("\n" if above == "+" else "") + rest
        elif line.strip() and mark != "#":
            raise ValueError(f"planted bugs: a line starts with {mark!r}, expected one of == * - + #: {line}")
        above = mark
    return bugs


def source(bug):
    """The text of the bug's file with its changes made."""
    text = (HERE.parents[1] / bug.file).read_text()
    for old, new in bug.changes:
        if text.count(old) != 1:
            raise Stale(
                f"planted bug {bug.name!r}: the text to replace occurs {text.count(old)} times in {bug.file}, expected "
                f"once; update tests/kit/planted_bugs.txt. The text: {old}"
            )
        text = text.replace(old, new)
    return text


def load(bug):
    """A fresh module made from the wrong text; the real one stays as it is."""
    module = types.ModuleType("planted_" + bug.module.replace(".", "_"))
    module.__file__ = bug.file
    exec(compile(source(bug), f"{bug.file} with {bug.name}", "exec"), module.__dict__)
    return module


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
        except (AssertionError, ValueError, IndexError, Warning, pytest.fail.Exception):
            return what
    return None


BUGS = read_bugs((HERE / "planted_bugs.txt").read_text())
MODULES = sorted({bug.module for bug in BUGS})


def unchanged(name):
    """The module of this name, loaded as the planted ones are."""
    return load(Bug("nothing", name.removeprefix("snippets.").replace(".", "/") + ".py", []))
