"""A wrong version of a small module, loaded beside it and planted in it: what changes, and that all comes back."""

import importlib
import sys

import pytest

from snippets.training.assignments import bugs
from snippets.training.assignments.bugs import Bug, Stale, load, planted, read_bugs, source
from snippets.training.assignments.kernels import Kernels

TEXT = '''"""Small."""
import functools
from math import sqrt

LIMIT = 1
KIND = list


def f(x, y=1, *, z=1):
    return x + y * z + LIMIT


@functools.lru_cache
def cached(x):
    return x + 10


class C:
    """A class."""

    size = 1

    def __init__(self):
        self.value = 1

    def __len__(self):
        return 1

    def method(self):
        return self.value

    @property
    def double(self):
        return 2 * self.value

    @staticmethod
    def still():
        return 1

    class Inner:
        size = 1
'''
CHANGES = {
    '"""Small."""': '"""Wrong."""', "LIMIT = 1": "LIMIT = 2\nMORE = 3", "KIND = list": "KIND = dict",
    "y=1, *, z=1": "y=2, *, z=3", "x + y * z": "x - y * z", "x + 10": "x + 20", "    size = 1\n\n": "    size = 2\n\n",
    "self.value = 1": "self.value = 5", "        return 1\n\n    def method": "        return 9\n\n    def method",
    "return self.value\n": "return -self.value\n", "return 2 *": "return 3 *",
    "def still():\n        return 1": "def still():\n        return 4",
    "class Inner:\n        size = 1": "class Inner:\n        size = 6",
}  # fmt: skip


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The module, as a part of the library."""
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "small.py").write_text(TEXT)
    monkeypatch.setattr(bugs, "ROOT", tmp_path)
    name = "snippets.layers.small"
    spec = importlib.util.spec_from_file_location(name, tmp_path / "layers" / "small.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bug():
    return Bug("all wrong", "layers/small.py", [list(change) for change in CHANGES.items()])


def seen(module, f, cached, C, one):
    """All that a caller sees who has imported it before; one: a C that was made before."""
    made = C()
    return {
        "f": f(10), "cached": cached(1), "size": C.size, "made": made.value, "len": len(one), "method": one.method(),
        "double": one.double, "still": C.still(), "inner": C.Inner.size, "limit": module.LIMIT, "kind": module.KIND,
        "more": getattr(module, "MORE", None), "doc": module.__doc__, "root": module.sqrt(4), "file": module.__file__,
    }  # fmt: skip


def test_a_bug_is_in_all_that_was_imported_and_goes_away(small, bug):
    """Documentation, other methods with two underscores, and a class in place of another stay as they are."""
    imported = small, small.f, small.cached, small.C, small.C()
    before = seen(*imported)
    assert before["f"] == 12 and before["cached"] == 11
    with planted(bug):
        assert seen(*imported) == before | {
            "f": 10 - 2 * 3 + 2, "cached": 21, "size": 2, "made": 5, "method": -1, "double": 3, "still": 4, "inner": 6,
            "limit": 2, "more": 3,
        }  # fmt: skip
    assert seen(*imported) == before and not hasattr(small, "MORE") and vars(small)["f"] is imported[1]
    with pytest.raises(KeyError), planted(bug):
        raise KeyError
    assert seen(*imported) == before


def test_a_bug_that_does_not_fit_changes_nothing(small, bug):
    before = dict(vars(small))
    with (
        pytest.raises(Stale, match="'gone': the text to replace occurs 0 times in layers/small.py"),
        planted(Bug("gone", bug.file, [["nothing", "something"]])),
    ):
        pass
    assert vars(small) == before


def test_a_wrong_version_is_a_module_of_its_own(small, bug):
    module = load(bug)
    assert (module.__name__, module.__file__, module.f(10)) == ("planted_snippets_layers_small", bug.file, 6)
    assert module.f.__code__.co_filename == "layers/small.py with all wrong" and small.f(10) == 12
    assert load(Bug("other", bug.file, [["= 1", "= 7"]]), "LIMIT = 1").LIMIT == 7  # of a text that is given
    assert source(Bug("none", bug.file, [])) == TEXT and bug.module == "snippets.layers.small"
    kernels = load(Bug("in a kernel", "layers/a.cu", [["a", "b"]]), "a kernel")
    assert isinstance(kernels, Kernels) and (kernels.text, kernels.file) == ("b kernel", "layers/a.cu")


def test_lines_of_a_listing_belong_to_the_bug_above_them():
    assert read_bugs("== a.py\n* one\n- a\n+ b\n* two\n- c\n+ d\n- e\n- f\n+ g\n+ h\n") == [
        Bug("one", "a.py", [["a", "b"]]), Bug("two", "a.py", [["c", "d"], ["e\nf", "g\nh"]])
    ]  # fmt: skip
