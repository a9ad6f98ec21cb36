"""Every planted bug is noticed by some check; the terminal summary counts them."""

import importlib
import types

import numpy as np
import pytest
from planted import BUGS, MODULES, Bug, Stale, checks_of, killer, read_bugs, source, unchanged

from snippets.training.assignments.bugs import planted


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.module}: {bug.name}")
def test_planted_bug_is_killed(bug, record_property):
    record_property("planted_bug", bug.name)
    assert killer(bug), f"{bug.file} passes every check with this bug planted: {bug.name}"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_found_in_an_unchanged_module(name):
    """Loaded in the same way but with nothing planted, so that what kills is the bug and not the loading."""
    module = unchanged(name)
    for _, check in checks_of(name):
        check(module)


@pytest.mark.parametrize("file", ["layers/lrn.py", "layers/lstm.py", "layers/fast/winograd.py"])
def test_a_bug_planted_in_the_running_library_is_there_and_goes_away(file):
    """The real module, with the code of each wrong version, fails the checks that its copy fails; then none of them."""
    bugs = [bug for bug in BUGS if bug.file == file]
    module = importlib.import_module(bugs[0].module)
    before = {name: f.__code__ for name, f in vars(module).items() if isinstance(f, types.FunctionType)}
    for bug in bugs:
        with planted(bug), np.errstate(all="ignore"):
            assert survives(module) is False, bug.name
        assert {name: vars(module)[name].__code__ for name in before} == before
    assert survives(module) is True


def survives(module):
    """Whether a module passes all checks."""
    for _, check in checks_of(module.__name__):
        try:
            check(module)
        except (AssertionError, ValueError, IndexError, Warning, pytest.fail.Exception):
            return False
    return True


def test_what_has_imported_a_function_gets_its_bug():
    from snippets.layers.lrn import LRN

    x = np.random.default_rng(0).standard_normal((2, 5))
    layer, right = LRN(alpha=1.0), LRN(alpha=1.0).predict(x)
    with planted(next(bug for bug in BUGS if bug.name == "s^beta takes one root too few")):
        assert not np.allclose(layer.predict(x), right)
    assert np.array_equal(layer.predict(x), right)


def test_there_are_enough_bugs_and_none_twice():
    assert len(BUGS) >= 36
    assert len({(bug.file, bug.name) for bug in BUGS}) == len(BUGS)
    assert len({source(bug) for bug in BUGS}) == len(BUGS)


def test_a_stale_bug_says_which_text_is_gone():
    with pytest.raises(Stale, match="occurs 0 times in layers/relu.py.*no such text"):
        source(Bug("gone", "layers/relu.py", [["no such text", ""]]))
    with pytest.raises(Stale, match=r"occurs \d+ times in layers/relu.py"):
        source(Bug("everywhere", "layers/relu.py", [["cache", ""]]))


def test_the_listing_is_read_as_written():
    bugs = read_bugs("== a/b.py\n# why\n* first\n- x\n-     y\n+ z\n- w\n\n* second\n- v\n+ u\n+   t\n")
    assert bugs == [
        Bug("first", "a/b.py", [["x\n    y", "z"], ["w", ""]]),
        Bug("second", "a/b.py", [["v", "u\n  t"]]),
    ]
    assert bugs[0].module == "snippets.a.b"
    with pytest.raises(ValueError, match="starts with 'x'"):
        read_bugs("== a/b.py\n* first\nx = 1\n")
