"""The mutation command on a library of one file: which changes it makes, and what it says of each."""

import ast
import subprocess

from mutants import mutants
from mutate import LISTINGS, ROOT, copy_tree, draw, judge, stages
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
        (8, "arguments", "max(w, 1)", "max(1, w)"),
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


def test_tests_that_name_a_module_come_first_and_none_is_left_out():
    near, others = stages("layers/lrn.py")
    assert "test_oracles" in near and "test_layer_contract" in near  # by the files of tests/ that they import
    assert not set(near) & set(others) and "test_planted_bugs" not in near + others
    assert len(near + others) == len(list((ROOT / "tests").rglob("test_*.py"))) - len(LISTINGS)
    assert "test_tables" in stages("training/experiments/paper.py")[0] and stages("training/cli/experiments.py")[0]


def test_a_mutant_dies_survives_or_runs_out_of_time(tmp_path):
    root, tree = tmp_path / "root", tmp_path / "tree"
    (root / "layers").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / ".links" / "snippets").mkdir(parents=True)
    (root / ".links" / "snippets" / "layers").symlink_to("../../layers")
    (root / "layers" / "a.py").write_text("K = 7\n\n\ndef f(n):\n    while n > 0:\n        n -= 2\n    return n\n")
    (root / "tests" / "conftest.py").write_text("from snippets.layers import a\n\nassert a.K == 7\n")
    (root / "tests" / "test_a.py").write_text(
        "from snippets.layers.a import f\n\n\ndef test_f():\n    assert f(5) == -1\n"
    )
    (root / "ignored").touch()
    (root / ".gitignore").write_text("ignored\n")
    (root / "setup.cfg").write_text("[tool:pytest]\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    copy_tree(root, tree)
    assert not (tree / "ignored").exists() and stages("layers/a.py", root) == (["test_a"], [])
    wanted = {
        ("n > 0", "(n >= 0)"): ("survived", "all tests"),
        ("n -= 2", "pass"): ("timed out", "test_a.py:5 test_f"),
        ("2", "1"): ("died", "tests/test_a.py::test_f"),
        ("7", "8"): ("died", "tests/conftest.py"),
    }
    drawn = {(m.old, m.new): m for m in draw("layers", 20, 0, root)}
    assert {change: judge(drawn[change], tree, False, 1) for change in wanted} == wanted
    assert (tree / "layers" / "a.py").read_text() == (root / "layers" / "a.py").read_text()


def test_fixes_that_are_undone_are_still_there():
    for fix in FIXES:
        source(fix)  # raises Stale
        name, tests = named(fix)
        assert name and all(len(list((ROOT / "tests").rglob(f"{test}.py"))) == 1 for test in tests), fix.name
