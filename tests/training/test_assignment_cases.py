"""The worker in this process: what a student's function is given, what is kept of it, and the limits that are set."""

import sys
import types

import numpy as np
import pytest

from snippets.training.assignments import worker
from snippets.training.assignments.worker import main, run_cases, views, wrong_syntax

CALLS = {
    "CALLS": {"f": (None, lambda module, **given: module.f(**given))},
    "OWN": {"f": (None, lambda module, **given: module.own(**given))},
}


def test_views_hold_the_same_numbers_elsewhere():
    a = np.arange(24.0).reshape(2, 3, 4)
    found = views(a)
    np.testing.assert_array_equal(found, a, strict=True)
    assert found.strides == (192, 64, 16) and not found.flags.c_contiguous
    number = np.array(3.0)
    assert views(number) is number


def test_cases_are_copies_that_cannot_be_written():
    seen, x, n = [], np.arange(4.0), np.array(2)
    inputs = {case: {"x": x, "n": n} for case in ("public/small", "public/views", "own/slope")}

    def f(kind, x, n):
        seen.append((kind, x.strides, x.flags.writeable, n.flags.writeable, x.base is None))
        return {"y": n * x, "ok": True}

    module = types.SimpleNamespace(f=lambda **given: f("f", **given), own=lambda **given: f("own", **given))
    found = run_cases(module, CALLS, "f", inputs)
    assert seen == [
        ("f", (8,), False, False, True),
        ("f", (16,), False, False, False),
        ("own", (8,), False, False, True),
    ]
    assert list(found) == [f"{case}/{name}" for case in inputs for name in ("y", "ok")]
    assert all(a.tolist() == ([0, 2, 4, 6] if key.endswith("y") else True) for key, a in found.items())
    assert x.flags.writeable


def test_a_case_that_raises_leaves_the_others():
    def f(x):
        import warnings

        warnings.warn("of which nobody reads", stacklevel=1)
        if x[0] < 0:
            raise KeyError("x")
        x[0] = 1

    inputs = {"public/a": {"x": -np.ones(1)}, "public/b": {"x": np.ones(1)}}
    found = run_cases(types.SimpleNamespace(f=f), CALLS, "f", inputs)
    assert {key: str(a) for key, a in found.items()} == {
        "public/a/error": "KeyError: 'x'", "public/b/error": "ValueError: assignment destination is read-only"
    }  # fmt: skip


def test_wrong_syntax_names_the_file_from_the_tree_on(tmp_path):
    def error(file, text):
        return SyntaxError("bad", (file, 3, 1, text))

    tree, here = str(tmp_path), str(tmp_path / "sub" / "a.py")
    for file, given, told in (
        (here, tree, "sub/a.py"), (here, "", here), ("else/a.py", tree, "else/a.py"), (None, tree, "a file")
    ):  # fmt: skip
        assert wrong_syntax(error(file, " x = \n"), given) == f"{told}, line 3, is not Python (bad): x ="
    for text in (None, " \n"):
        assert wrong_syntax(error("a.py", text)) == "a.py, line 3, is not Python (bad)"


@pytest.fixture
def limits(tmp_path, monkeypatch):
    """In a folder as the worker runs in, with a tree beside it; a dict of the limits that are set."""
    found = {}
    own = dict(RLIMIT_AS="memory", RLIMIT_FSIZE="a file", setrlimit=found.__setitem__)
    monkeypatch.setitem(sys.modules, "resource", types.SimpleNamespace(**own))
    for name in [name for name in sys.modules if name == "snippets" or name.startswith("snippets.")]:
        monkeypatch.setitem(sys.modules, name, sys.modules[name])  # which are there again afterwards
    for name in ("work/out", "tree/sub"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    calls = "CALLS = {'q': (None, lambda module, **given: module.f(**given))}\nOWN = {}\n"
    (tmp_path / "work" / "cases.py").write_text(calls)
    np.savez(
        "inputs.npz", **{"public/small/x": np.arange(3.0), "public/small/n": np.array(2), "hidden/a/x": np.ones(1)}
    )
    yield found
    for name in [name for name in sys.modules if name.startswith("snippets.sub")]:
        del sys.modules[name]


def outputs():
    with np.load("out/outputs.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def test_the_program_runs_the_trees_own_module_within_limits(limits, tmp_path):
    place = tmp_path / "tree" / "sub" / "own_f.py"
    place.write_text("def f(x, n):\n    return dict(y=n * x)\nclass A:\n    def g(self): pass\n")
    main(str(tmp_path / "tree"), "sub/own_f.py", "f,A.g", "q", "3")
    found = outputs()
    assert limits == ({"memory": (3 * 2**20,) * 2, "a file": (2**26,) * 2} if sys.platform != "win32" else {})
    assert list(found) == ["source/f", "source/A.g", "public/small/y", "hidden/a/error"]
    assert found["public/small/y"].tolist() == [0, 2, 4] and str(found["source/A.g"]) == str(place)
    line = "TypeError: f() missing 1 required positional argument: 'n'"
    assert str(found["hidden/a/error"]).startswith(line)


def test_an_error_of_the_tree_is_told_by_its_line(limits, tmp_path):
    place = tmp_path / "tree" / "sub" / "own_f.py"
    place.write_text("def f(x, n=1):\n    return g(x)\ndef g(x):\n    raise KeyError(x.size)\n")
    main(str(tmp_path / "tree"), "sub/own_f.py", "f", "q", "3")
    told = "KeyError: {}\n  sub/own_f.py, line 4: raise KeyError(x.size)"
    assert [str(outputs()[f"{case}/error"]) for case in ("public/small", "hidden/a")] == [
        told.format(3),
        told.format(1),
    ]


def test_a_file_that_cannot_be_imported_is_told_of_every_case(limits, tmp_path):
    (tmp_path / "tree" / "sub" / "own_g.py").write_text("x = 1\nraise OSError\n")
    main(str(tmp_path / "tree"), "sub/own_g.py", "f", "q", "3")
    told = "OSError\n  sub/own_g.py, line 2: raise OSError"
    assert {key: str(a) for key, a in outputs().items()} == dict.fromkeys(
        ("public/small/error", "hidden/a/error"), told
    )


def test_kernels_are_read_and_their_file_is_their_source(limits, tmp_path, monkeypatch):
    """An error in them is told without a line: those of the program that runs them say nothing to a student."""
    read = types.ModuleType("snippets.training.assignments.kernels")
    read.read = lambda path, file: types.SimpleNamespace(f=lambda x, n=None: {"y": 1 / np.array([])[0], "told": file})
    monkeypatch.setitem(sys.modules, read.__name__, read)
    monkeypatch.setattr(worker.importlib, "import_module", {read.__name__: read}.__getitem__)
    main(str(tmp_path / "tree"), "sub/a.cu", "f,g", "q", "3")
    found, path = {key: str(a) for key, a in outputs().items()}, str(tmp_path / "tree" / "sub" / "a.cu")
    assert (found.pop("source/f"), found.pop("source/g")) == (path, path)
    told = "IndexError: index 0 is out of bounds for axis 0 with size 0"
    assert found == {"public/small/error": told, "hidden/a/error": told}


def test_inputs_that_are_programs_are_not_read(limits, tmp_path):
    np.savez("inputs.npz", **{"public/small/x": np.array([{}], object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        main(str(tmp_path / "tree"), "sub/own_f.py", "f", "q", "3")
