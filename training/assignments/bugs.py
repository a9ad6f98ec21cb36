"""Planted bugs: realistic wrong versions of a file, for tests that must fail and for hints that name a mistake.

A listing has a file's name after "==", then for each bug its name after "*", the text that is there after "-" and what
to write instead after "+".
"""

import contextlib
import functools
import importlib
import types
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


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
    """The bugs of a listing. ValueError for a line that is none of its kinds."""
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


def source(bug, text=None):
    """The text of the bug's file, or the text given, with the bug's changes made. Stale if they do not fit."""
    text = (ROOT / bug.file).read_text(encoding="utf-8") if text is None else text
    for old, new in bug.changes:
        if text.count(old) != 1:
            raise Stale(
                f"planted bug {bug.name!r}: the text to replace occurs {text.count(old)} times in {bug.file}, expected "
                f"once; update the listing. The text: {old}"
            )
        text = text.replace(old, new)
    return text


def load(bug, text=None):
    """A fresh module made from the wrong text, of a `.cu` file its `Kernels`; the real one stays as it is."""
    if bug.file.endswith(".cu"):
        from snippets.training.assignments.kernels import Kernels  # which a grader has in its students' tree only

        return Kernels(source(bug, text), bug.file)
    module = types.ModuleType("planted_" + bug.module.replace(".", "_"))
    module.__file__ = bug.file
    exec(compile(source(bug, text), f"{bug.file} with {bug.name}", "exec"), module.__dict__)
    return module


@contextlib.contextmanager
def planted(bug):
    """In this block the running library has the bug: its functions run the wrong code, from wherever they are called.

    Functions keep their identity and get the code of the wrong version, so that modules which have imported them, and
    classes that hold them, are wrong as well. Constants are replaced in the bug's own module and classes alone.
    """
    right, undo = importlib.import_module(bug.module), []
    try:
        _replace(right, load(bug), right.__name__, undo)
        yield
    finally:
        for restore in reversed(undo):
            restore()


def _replace(right, wrong, module, undo):
    """Gives what `right`, a module or class, defines the code and values of `wrong`; undo: functions that take it back.

    What both have imported is the same object, and left alone.
    """
    for name, value in list(vars(wrong).items()):
        old = vars(right).get(name)
        if name.startswith("__") and name not in ("__init__", "__call__", "__post_init__") or old is value:
            continue
        if isinstance(old, type) and old.__module__ == module:
            _replace(old, value, module, undo)
        elif (function := _function(old)) and (new := _function(value)):
            for field in ("__code__", "__defaults__", "__kwdefaults__"):
                undo.append(functools.partial(setattr, function, field, getattr(function, field)))
                setattr(function, field, getattr(new, field))
            clear = getattr(old, "cache_clear", lambda: None)  # what a cache holds came from the other code
            undo.append(clear)
            clear()
        elif not isinstance(value, type):
            back = (setattr, right, name, old) if name in vars(right) else (delattr, right, name)
            undo.append(functools.partial(*back))
            setattr(right, name, value)


def _function(value):
    """The plain function in a function, a static method, a property or a wrapper of them; None for other things."""
    value = getattr(value, "fget", value)
    while hasattr(value, "__wrapped__"):
        value = value.__wrapped__
    return value if isinstance(value, types.FunctionType) else None
