"""The structure of the code: who may import whom, how long files and parameter lists may be, and docstrings."""

import ast
import re
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGES = ("layers", "nets", "data", "training")
ORDER = (  # a module imports only from its own row and from the rows above it
    ("layers/device",),
    ("layers",),
    ("data",),
    ("nets",),
    ("training",),
    (
        "training/distributed",
        "training/experiments",
        "training/small",
        "training/bench",
        "training/render",
        "training/assignments",
    ),
    ("training/cli",),
)
LINES, PARAMETERS, MODULES = 300, 7, 15
OLD_IMPORT = re.compile(
    r"\bfrom (layers|nets|data|training)(\.\w+)* import\b|^\W*import (layers|nets|data|training)(\.\w+)*( as \w+)?\s*$",
    re.M,
)


@cache
def nodes(path):
    """All nodes of the syntax tree of a file of the checkout, the module first."""
    return list(ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))))


def files(*folders, suffix=".py"):
    """Files below the folders, with their paths from the checkout's root."""
    return [p.relative_to(ROOT).as_posix() for folder in folders for p in sorted((ROOT / folder).rglob(f"*{suffix}"))]


def module_file(name):
    """The file of `snippets.a.b`, or None if there is no such module."""
    path = name.removeprefix("snippets.").replace(".", "/")
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if (ROOT / file).is_file()), None)


def imported_names(path):
    """Names that a file imports, inside functions too; of `from a.b import c` both a.b and a.b.c."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import; write it out: from snippets.layers.conv import ..."
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


@cache
def imported(path):
    """The modules of this project that a file of it imports, or names for importlib ("snippets.a.b")."""
    texts = (node.value for node in nodes(path) if isinstance(node, ast.Constant))
    named = [text for text in texts if isinstance(text, str)]
    names = [name for name in (*imported_names(path), *named) if re.fullmatch(r"snippets\.[\w.]+", name)]
    found = {file for file in map(module_file, names) if file} - {path}
    return {file for file in found if not file.endswith("__init__.py")}


def wrong_direction():
    """A module that imports from a row below its own."""

    def row(path):
        return max((len(folder), n) for n, row in enumerate(ORDER) for folder in row if path.startswith(f"{folder}/"))[
            1
        ]

    pairs = [(path, other) for path in files(*PACKAGES) for other in sorted(imported(path))]
    return [f"{path} -> {other}" for path, other in pairs if row(other) > row(path)]


def cycles():
    """Modules that import themselves through others."""
    for start in files(*PACKAGES):
        reached, new = set(), {start}
        while new:
            new = set().union(*map(imported, new)) - reached
            reached |= new
        if start in reached:
            yield start


def long_files():
    """Files of the library and of the tests that are too long."""
    return [
        path
        for path in files(*PACKAGES, "tests")
        if len((ROOT / path).read_text(encoding="utf-8").splitlines()) > LINES
    ]


def long_parameter_lists():
    """Functions with too many parameters, those by keyword counted too, `self` not; dataclasses have none to write."""
    for path in files(*PACKAGES, "tests"):
        for node in nodes(path):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if sum(p.arg not in ("self", "cls") for p in parameters) > PARAMETERS:
                    yield f"{path} {node.name}"


def large_packages():
    """Folders with too many modules, subpackages not counted."""
    for folder in sorted({str(Path(path).parent) for path in files(*PACKAGES)}):
        if len(list((ROOT / folder).glob("*.py"))) - 1 > MODULES:
            yield folder


def missing_docstrings():
    """Public modules, classes and functions without a docstring; methods are explained by their class."""
    for path in files(*PACKAGES):
        for node in (nodes(path)[0], *nodes(path)[0].body):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                name = getattr(node, "name", "(module)")
                if not name.startswith("_") and not ast.get_docstring(node):
                    yield f"{path} {name}"


def old_imports():
    """Imports of the four packages without `snippets.`, in code, notebooks and the code in documents."""
    for path in files(*PACKAGES, "tests", "notebooks"):
        if any(name.split(".")[0] in PACKAGES for name in imported_names(path)):
            yield path
    texts = [*files("docs", suffix=".md"), *files("notebooks", suffix=".ipynb"), "README.md", "CONTRIBUTING.md"]
    for path in texts:
        if OLD_IMPORT.search((ROOT / path).read_text(encoding="utf-8")):
            yield path


def imports_of_tests():
    """Test files that import another test file."""
    for path in files("tests"):
        if any(name.split(".")[0].startswith("test_") for name in imported_names(path)):
            yield path


def files_not_in_the_map():
    """Files of tests/kit that its README does not name."""
    text = (ROOT / "tests" / "kit" / "README.md").read_text(encoding="utf-8")
    for path in files("tests/kit"):
        if not any(fnmatch(Path(path).name, name) for name in re.findall(r"`([\w*]+\.py)`", text)):
            yield path


RULES = {
    wrong_direction: "move the code up to a room that both may import, or hand it over as an argument",
    cycles: "put what both modules need into a third one that imports neither",
    long_files: f"a file has at most {LINES} lines; split it by subject",
    long_parameter_lists: f"a function has at most {PARAMETERS} parameters; group some of them in a dataclass",
    large_packages: f"a package has at most {MODULES} modules; make a subpackage",
    missing_docstrings: "say what it does, with shapes, units and errors where there are any",
    imports_of_tests: "put what they share into tests/kit",
    files_not_in_the_map: "add it to tests/kit/README.md",
    old_imports: "write from snippets.layers.conv import ...",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule(rule):
    found = sorted(set(rule()))
    assert not found, f"{RULES[rule]}:\n" + "\n".join(found)
