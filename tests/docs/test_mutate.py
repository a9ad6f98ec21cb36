"""The mutation command on a library of one file: which changes it makes, which tests it runs, and what it says."""

import ast
import shutil
import subprocess

import pytest
from mutants import mutants
from mutate import LISTINGS, MOST, ROOT, Reach, copy_tree, draw, ignored, judge, reach
from planted import source
from undo import FIXES, named

SOURCE = '''"""Text: 1 + 1."""


def area(w, h, flip=False):
    """Width times height, over 2."""
    if w < 0:
        raise ValueError(f"w is {w + 1}")
    return -w * h if flip and h else max(w, 1) * h
'''


def test_mutants_are_the_changes_of_the_code_and_not_of_its_texts():
    found = [(m.line, m.kind, m.old, m.new) for m in mutants("a.py", SOURCE)]
    assert found == [
        (4, "constant", "False", "True"),
        (6, "condition", "w < 0", "(not (w < 0))"),
        (6, "comparison", "w < 0", "(w <= 0)"),
        (6, "comparison", "w < 0", "(w > 0)"),
        (6, "constant", "0", "1"),
        (6, "constant", "0", "(-1)"),
        (7, "dropped", 'raise ValueError(f"w is {w + 1}")', "pass"),
        (8, "condition", "flip and h", "(not (flip and h))"),
        (8, "condition", "flip and h", "(flip or h)"),
        (8, "operator", "-w * h", "(-w / h)"),
        (8, "operator", "-w", "(w)"),
        (8, "operator", "max(w, 1) * h", "(max(w, 1) / h)"),
        (8, "name", "max", "min"),
        (8, "constant", "1", "2"),
        (8, "constant", "1", "0"),
    ]


def test_every_mutant_of_a_file_is_a_program():
    for file in ("layers/lstm.py", "training/distributed/ranks.py"):
        data = (ROOT / file).read_bytes()
        found = mutants(file, data.decode())
        assert len(found) > 100 and len({m.kind for m in found}) >= 8
        for m in found:
            ast.parse(data[: m.start] + m.new.encode() + data[m.end :])


def test_a_seed_draws_the_same_mutants_and_none_twice():
    drawn = draw("layers", 40, seed=3)
    assert len(set(drawn)) == 40 and {m.file.split("/")[0] for m in drawn} == {"layers"}
    assert drawn[:30] == draw("layers", 30, seed=3) != draw("layers", 30, seed=4)


NESTED = """\
K = 7


@once
def f(n):
    def g(x):
        return x + 1

    return max(n, key=lambda m: m - 2) + g(3)
"""


def test_the_tests_of_a_mutant_are_those_of_its_innermost_function_the_quickest_first():
    functions = {"a.py": {4: {"f", "all"}, 6: {"g"}, 9: {"slow", "quick"}}}
    reached = Reach(functions, {"f": 3.0, "all": 1.0, "g": 2.0, "quick": MOST, "slow": MOST + 1})
    found = {(m.old, m.new): reached.tests(m, NESTED) for m in mutants("a.py", NESTED)}
    assert found["x + 1", "(x - 1)"] == ["g"]
    assert found["m - 2", "(m + 2)"] == ["quick"]  # after it there is no time left
    assert found["7", "8"] == ["all", "g", "f"]  # in no function: those of the file, as many as there is time for
    functions["a.py"].pop(6)
    assert reached.tests(next(m for m in mutants("a.py", NESTED) if m.old == "x + 1"), NESTED) == ["all", "f"]
    assert Reach({}, {}).tests(mutants("a.py", NESTED)[0], NESTED) == []


TESTS = """\
import pytest
from snippets.layers.a import f, g

ONE = {1: "one"}[g()]


@pytest.fixture(scope="module")
def made():
    return f(3)


def test_one(made):
    assert made == -1


def test_two(made):
    assert f(5) == made


def test_three():
    assert g() == 1
"""


def test_a_mutant_dies_survives_or_runs_out_of_time(tmp_path, capfd):
    root, tree = tmp_path / "root", tmp_path / "tree"
    (root / "layers").mkdir(parents=True)
    (root / "tests" / "kit").mkdir(parents=True)
    (root / ".links" / "snippets").mkdir(parents=True)
    (root / ".links" / "snippets" / "layers").symlink_to("../../layers")
    (root / "layers" / "a.py").write_text(
        "K = 7\n\n\ndef f(n):\n    while n > 0:\n        n -= 2\n    return n\n\n\ndef g():\n    return 1\n"
    )
    (root / "tests" / "conftest.py").write_text("from snippets.layers import a\n\nassert a.K == 7\n")
    (root / "tests" / "test_a.py").write_text(TESTS)
    (root / "tests" / "test_museum.py").write_text("assert False\n")  # is left out
    shutil.copy(ROOT / "tests" / "kit" / "reached.py", root / "tests" / "kit")
    (root / "ignored").touch()
    (root / ".gitignore").write_text("ignored\n")
    (root / "setup.cfg").write_text("[tool:pytest]\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    copy_tree(root, tree)
    assert not (tree / "ignored").exists()
    reached = reach(tree, 1)
    one, two, three = (f"tests/test_a.py::test_{name}" for name in ("one", "two", "three"))
    assert reached.functions["layers/a.py"] == {4: {one, two}, 10: {three}}
    assert set(reached.seconds) == {one, two, three} and all(0 < s < 60 for s in reached.seconds.values())
    wanted = {
        ("n > 0", "(n >= 0)"): ("survived", "all tests"),
        ("n -= 2", "pass"): ("timed out", "test_a.py:9 made"),
        ("2", "1"): ("died", one),
        ("1", "2"): ("died", "tests/test_a.py"),
        ("7", "8"): ("died", "tests/conftest.py"),
    }
    drawn = {(m.old, m.new): m for m in draw("layers", 20, 0, root)}
    source = (root / "layers" / "a.py").read_text()
    near = {change: sorted(reached.tests(drawn[change], source)) for change in wanted}
    assert near["n > 0", "(n >= 0)"] == [one, two] and near["7", "8"] == [one, three, two]
    assert {change: judge(drawn[change], tree, near[change], False, 1) for change in wanted} == wanted
    assert judge(drawn["n > 0", "(n >= 0)"], tree, [one, two], True, 1) == ("survived", "2 tests")
    assert judge(drawn["2", "1"], tree, [three], True, 1) == ("survived", "1 tests")
    assert (tree / "layers" / "a.py").read_text() == source
    (tree / "tests" / "test_a.py").write_text("def test():\n    assert False\n")
    with pytest.raises(RuntimeError, match="the default suite fails, see above: mend that first"):
        reach(tree, 1)
    capfd.readouterr()


def test_what_compares_source_with_a_listing_is_left_out():
    assert [option.rpartition("/")[2] for option in ignored(ROOT)] == list(LISTINGS)


def test_fixes_that_are_undone_are_still_there():
    for fix in FIXES:
        source(fix)  # raises Stale
        name, tests = named(fix)
        assert name and all(len(list((ROOT / "tests").rglob(f"{test}.py"))) == 1 for test in tests), fix.name
