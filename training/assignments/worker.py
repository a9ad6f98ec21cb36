"""Runs one question on a student's tree, as a program of its own that sees neither answers nor the installed package.

    python -I -B worker.py TREE FILE FUNCTIONS QUESTION MEMORY

in a folder with cases.py and inputs.npz. Writes out/outputs.npz: arrays `case/name`, texts `case/error`, and
`source/function`, the file that a function comes from. Imports nothing of snippets but what the tree has.
"""

import importlib
import os
import runpy
import sys
import traceback
import types
import warnings
from functools import reduce

import numpy as np


def views(a):
    """The same numbers in memory that is not contiguous."""
    return np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a


def wrong_syntax(error, tree=""):
    """A SyntaxError in one sentence: the file, by its path from the tree if it lies there, the line, and its text."""
    file = error.filename or "a file"
    if tree and file.startswith(tree):
        file = os.path.relpath(file, tree)
    text = f": {error.text.strip()}" if error.text and error.text.strip() else ""
    return f"{file}, line {error.lineno}, is not Python ({error.msg}){text}"


def where(error, tree):
    """An error in one line, with the last line of the tree's code that it passed through."""
    if isinstance(error, SyntaxError):
        return wrong_syntax(error, tree)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if tree and frame.filename.startswith(tree):
            return f"{text}\n  {os.path.relpath(frame.filename, tree)}, line {frame.lineno}: {frame.line}"
    return text


def run_cases(module, calls, question, inputs, tree=""):
    """Calls the question's function on read-only inputs {part/case: {name: array}}; outputs {part/case/name: array}.

    What a case raises becomes the text part/case/error.
    """
    found = {}
    for case, arrays in inputs.items():
        part, kind = case.split("/")
        given = {name: views(a) if kind == "views" else a.copy() for name, a in arrays.items()}
        for a in given.values():
            a.flags.writeable = False
        try:
            with warnings.catch_warnings(action="ignore"):
                outputs = calls["OWN" if part == "own" else "CALLS"][question][1](module, **given)
            arrays = {name: np.asarray(a) for name, a in outputs.items()}
            wrong = [name for name, a in arrays.items() if a.dtype.kind not in "biuf"]
            if wrong:
                raise TypeError(f"{wrong[0]} is {type(outputs[wrong[0]]).__name__}, expected an array of numbers")
            found |= {f"{case}/{name}": a for name, a in arrays.items()}
        except Exception as error:  # whatever a student's code does
            found[f"{case}/error"] = np.array(where(error, tree))
    return found


def main(tree, file, functions, question, memory):
    """The program; see above. memory: in MiB, of address space."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(memory) << 20,) * 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20,) * 2)
    package = types.ModuleType("snippets")
    package.__path__ = [tree]
    sys.modules["snippets"] = package
    calls = runpy.run_path("cases.py")
    inputs = {}
    with np.load("inputs.npz", allow_pickle=False) as arrays:
        for key in arrays.files:
            case, _, name = key.rpartition("/")
            inputs.setdefault(case, {})[name] = arrays[key]
    try:
        if file.endswith(".cu"):
            path = os.path.join(tree, file)
            module = importlib.import_module("snippets.training.assignments.kernels").read(path, file)
            found = {f"source/{name}": np.array(path) for name in functions.split(",")}
        else:
            module = importlib.import_module("snippets." + file.removesuffix(".py").replace("/", "."))
            codes = {name: reduce(getattr, name.split("."), module).__code__ for name in functions.split(",")}
            found = {f"source/{name}": np.array(code.co_filename) for name, code in codes.items()}
        found |= run_cases(module, calls, question, inputs, "" if file.endswith(".cu") else tree)
    except Exception as error:
        found = {f"{case}/error": np.array(where(error, tree)) for case in inputs}
    np.savez("out/outputs.npz", **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
