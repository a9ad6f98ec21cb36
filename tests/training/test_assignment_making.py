"""How an assignment is made, of a checkout of a few lines: what is cut, what is drawn, which bugs are told apart."""

import runpy
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.files import read_json
from snippets.training.assignments import bugs, manifest, release
from snippets.training.assignments.bugs import Bug
from snippets.training.assignments.cut import cut_functions
from snippets.training.assignments.grade import read_answers
from snippets.training.assignments.manifest import Question, names, read_assignment, released

LINE = "    y = 3 * x * k + helper(x) - 1\n"
FILES = {  # of the checkout
    "setup.cfg": "cfg", "pyproject.toml": "toml", "LICENSE": "mine", "training/render/page.css": "css",
    "training/__init__.py": "", "training/assignments/grade.py": "grade", "data/__init__.py": "",
    "data/files.py": "files", "data/lock.py": "lock", "data/other.py": "other", "layers/sub/empty.py": "# é\n",
    "layers/lin.py": f'"""Line.\n\nThe equation\nKept.\n"""\n\n\ndef forward(x, k):\n{LINE}    return y\n\n\n'
                     "def helper(x):\n    return abs(x)\n",
    "layers/twin.py": f"def twin(x, k, helper):\n{LINE}    return y\n",
    "tests/kit/planted_bugs.txt": "== layers/lin.py\n* plus\n- - 1\n+ + 1\n* never\n- helper(x) -\n+ helper(-x) -\n",
    "tests/kit/planted_kernel_bugs.txt": "== layers/lin.cu\n* one\n- a\n+ b\n",
    "notebooks/assignments/common/README.md": "common", "notebooks/assignments/common/HELP.md": "help",
    "notebooks/assignments/common/x.png": "png", "notebooks/assignments/b1/README.md": "own",
    "notebooks/assignments/b1/b1.py": "book", "notebooks/assignments/b1/b1.ipynb": "{}",
    "notebooks/assignments/b1/twists/one.py": "def twist(x):\n    return x + 1\n",
    "notebooks/assignments/b1/twists/two.py": "def twist(x):\n    return x + 2\n",
    "notebooks/assignments/b1/cases.py": """
def draw(module, rng, n=3):
    return dict(x=rng.standard_normal(n), k=rng.integers(2, 9))
def forward(module, x, k):
    return dict(y=module.forward(x, k))
CALLS = {"forward": (draw, forward), "twist": (draw, lambda module, x, k: dict(y=module.twist(x)))}
OWN = {"forward": (draw, lambda module, x, k: dict(analytic=1.0, numeric=1.0))}
CASES = {"public": {"small": {}}, "hidden": {"wide": dict(n=5), "float32": dict(n=4)}, "own": {"slope": dict(n=2)}}
HUNT = ("forward", draw)
""",
    "notebooks/assignments/b1/assignment.toml": """
title = "T"
paper = "P"
hours = "H"
twists = ["one", "two"]
release = ["layers/**/*", "data/*.py"]
also_cut = { "layers/twin.py" = ["twin"] }
equations = [{ file = "layers/lin.py", first = "The equation", until = "Kept", instead = "Yours." }]
[[question]]
id = "1.1"
name = "forward"
file = "layers/lin.py"
functions = ["forward"]
points = { public = 2, hidden = 3, own = 4 }
mistakes = [
    { bug = "plus", hint = "Plus." }, { old = "- 1", new = "+ 1 * 1", hint = "Again." },
    { old = "3 * x", new = "2 * x", hint = "Two." }, { old = "3 * x", new = "x * 3", hint = "Same." },
    { old = "helper(x) -", new = "helper(*[x] * (1 + len(x) // 5)) -", hint = "Error." },
]
[[question]]
id = "1.2"
name = "twist"
file = "layers/twist.py"
functions = ["twist"]
points = { public = 1, hidden = 0, own = 0 }
needs = ["forward"]
mistakes = [
    { twist = "one", old = "1", new = "3", hint = "One." }, { twist = "two", old = "2", new = "3", hint = "Two." },
    { old = "x +", new = "x -", hint = "Minus." },
]
[[question]]
id = "1.3"
name = "hunt"
file = "hunt.py"
functions = ["check"]
points = { public = 1, hidden = 1, own = 0 }
hunt = true
""",
}  # fmt: skip
Y = {"right": (3, -1, 1), "plus": (3, 1, 1), "Again.": (3, 1, 1), "Two.": (2, -1, 1)}  # y = a x k + b + |x|


@pytest.fixture(autouse=True)
def checkout(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    for file, text in FILES.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(text.encode())
    for module in (bugs, manifest, release):
        monkeypatch.setattr(module, "ROOT", root)
        monkeypatch.setattr(module, "FOLDER", root / "notebooks" / "assignments", raising=False)
    return root


@pytest.fixture
def b1():
    return read_assignment("b1")


def by_hand(name, x, k):
    a, b, _ = Y[name]
    return a * x * k + b + np.abs(x)


def test_what_an_assignment_says(b1, tmp_path):
    assert names() == ["b1"] and (b1.name, b1.title, b1.paper, b1.hours) == ("b1", "T", "P", "H")
    assert b1.files == ["layers/lin.py", "layers/twist.py", "hunt.py"] and b1.questions[0].total == 9
    assert [question.hunt for question in b1.questions] == [False, False, True]
    release.release(b1, tmp_path / "tree", 0)
    again = released(tmp_path / "tree" / "assignment")
    plain = [replace(question, mistakes=[]) for question in b1.questions]
    assert again == manifest.Assignment("b1", "T", "P", "H", plain)
    assert replace(plain[0], needs=[], hunt=False) == Question("1.1", "forward", "layers/lin.py", ["forward"],
                                                               {"public": 2, "hidden": 3, "own": 4})  # fmt: skip


def test_files_that_a_student_wrote(b1, tmp_path, monkeypatch):
    """Of a released tree those that are loaded, elsewhere none."""
    monkeypatch.setitem(manifest.sys.modules, "snippets.layers.twist", None)
    assert manifest.files_of_student() == []
    release.release(b1, tmp_path / "tree", 0)
    monkeypatch.setattr(manifest, "ROOT", tmp_path / "tree")
    assert manifest.files_of_student() == ["layers/twist.py"]


def test_what_is_cut_and_its_solutions(b1):
    assert release.labels(b1) == {
        "layers/lin.py": {"forward": "1.1 forward"}, "layers/twist.py": {"twist": "1.2 twist"},
        "layers/twin.py": {"twin": "left out of B1"},
    }  # fmt: skip
    for seed, name in ((0, "one"), (1, "two"), (2, "one")):
        assert release.twist_of(b1, seed).name == f"{name}.py"
        twist = FILES[f"notebooks/assignments/b1/twists/{name}.py"]
        assert release.solution(b1, "layers/twist.py", seed) == twist
    assert release.twist_of(replace(b1, twists=[]), 0) is None
    assert release.solution(b1, "layers/lin.py", 0) == FILES["layers/lin.py"]
    assert release.solution(b1, "hunt.py", 0) == ""


def test_what_students_receive(b1):
    texts = release.student_files(b1, 1)
    given = ("setup.cfg", "pyproject.toml", "LICENSE", "training/render/page.css", "layers/sub/empty.py",
             "data/__init__.py", "data/files.py", "data/lock.py", "data/other.py")  # fmt: skip
    place = "notebooks/assignments/"
    cut = cut_functions(FILES["layers/lin.py"], {"forward": "1.1 forward"}, "layers/lin.py")
    assert texts == {file: FILES[file] for file in given} | {
        "README.md": "own", "HELP.md": "help", "b1.py": "book", "b1.ipynb": "{}",
        "assignment/cases.py": FILES[place + "b1/cases.py"],
        "layers/lin.py": cut.replace("The equation\n", "Yours.\n\n"),
        "layers/twist.py": 'def twist(x):\n    raise NotImplementedError("1.2 twist")\n',
        "layers/twin.py": 'def twin(x, k, helper):\n    raise NotImplementedError("left out of B1")\n',
    }  # fmt: skip


def test_a_solution_that_stands_elsewhere_is_told(b1, checkout, tmp_path):
    words = f"b1 would give away 1 statements:\n  layers/twin.py: {LINE.strip()}"
    with pytest.raises(ValueError) as info:
        release.release(replace(b1, also_cut={}), tmp_path / "out", 0)
    assert str(info.value) == words and not (tmp_path / "out").exists()
    for n in range(11):
        (checkout / "layers" / f"copy{n:02}.py").write_text(FILES["layers/twin.py"])
    with pytest.raises(ValueError) as info:
        release.student_files(b1, 0)
    lines = str(info.value).splitlines()
    assert lines[0] == "b1 would give away 11 statements:" and lines[-1] == f"  layers/copy09.py: {LINE.strip()}"
    assert len(lines) == 11  # no more than ten of them


def test_mistakes_are_planted_bugs_or_changes_of_the_solution(b1):
    assert set(release.planted()) == {"layers/lin.py", "layers/lin.cu"}
    assert list(release.planted()["layers/lin.py"]) == ["plus", "never"]
    found = release.bugs_of(b1, b1.question("forward"), 0)
    assert [hint for _, hint in found] == ["Plus.", "Again.", "Two.", "Same.", "Error."]
    assert [bug.name for bug, _ in found] == ["plus", "Again.", "Two.", "Same.", "Error."]
    assert found[0][0].changes == [["- 1", "+ 1"]]
    assert found[2][0] == Bug("Two.", "layers/lin.py", [["3 * x", "2 * x"]])
    for seed, own in ((0, "One."), (1, "Two.")):
        assert [hint for _, hint in release.bugs_of(b1, b1.question("1.2"), seed)] == [own, "Minus."]
    alone = replace(b1, twists=[])
    assert [hint for _, hint in release.bugs_of(alone, b1.question("1.2"), 0)] == ["Minus."]


def test_inputs_of_the_parts_that_have_points(b1):
    cases = runpy.run_path(str(b1.folder / "cases.py"))
    found = release.drawn(None, b1.question("forward"), cases, ("public", "hidden", "own"), np.random.default_rng(5))
    assert {case: (a["x"].shape, a["x"].dtype, a["k"].dtype.kind) for case, a in found.items()} == {
        "public/small": ((3,), np.float64, "i"), "hidden/wide": ((5,), np.float64, "i"),
        "hidden/float32": ((4,), np.float32, "i"), "own/slope": ((2,), np.float64, "i"),
    }  # fmt: skip
    first = np.random.default_rng(5).standard_normal(3)
    np.testing.assert_array_equal(found["public/small"]["x"], first)
    flat = release.flat(found)
    assert list(flat)[:3] == ["public/small/x", "public/small/k", "hidden/wide/x"] and len(flat) == 8
    found = release.drawn(None, b1.question("twist"), cases, ("public", "hidden", "own"), np.random.default_rng(5))
    assert list(found) == ["public/small"]


def test_answers_hold_the_outputs_of_bugs_that_can_be_told_apart(b1, tmp_path):
    """Of several alike under the hints of all; none that raises, and none that differs nowhere."""
    found = release.answers_of(b1, b1.question("forward"), ("public", "hidden", "own"), np.random.default_rng(5), 0)
    asked = ("public/small", "hidden/wide", "hidden/float32")
    assert found.cases == [*asked, "own/slope"] and list(found.right) == [f"{case}/y" for case in asked]
    assert list(found.bugs) == ["Plus. Or: Again.", "Two."]
    for outputs, name in (
        (found.right, "right"),
        (found.bugs["Plus. Or: Again."], "plus"),
        (found.bugs["Two."], "Two."),
    ):
        for case in asked:
            y = by_hand(name, found.inputs[f"{case}/x"], found.inputs[f"{case}/k"])
            np.testing.assert_allclose(outputs[f"{case}/y"], y, rtol=1e-6)
    for seed, more in ((0, 1), (1, 2)):
        found = release.answers_of(b1, b1.question("twist"), ("public",), np.random.default_rng(5), seed)
        np.testing.assert_array_equal(found.right["public/small/y"], found.inputs["public/small/x"] + more)
    (b1.folder / "twists" / "one.py").write_text("def twist(x):\n    return nothing\n")
    with pytest.raises(ValueError, match=r"^1.2 twist: the solution fails: NameError: name 'nothing' is not defined"):
        release.answers_of(b1, b1.question("twist"), ("public",), np.random.default_rng(5), 0)


def runs_of(found, part):
    """{whose formula gives y, of each recorded run: its verdict}."""
    whose = {}
    for key, verdict in found.right.items():
        if key.startswith(part):
            run = key.removesuffix("/verdict")
            x, k, y = (found.inputs[f"{run}/{name}"] for name in ("in_x", "in_k", "out_y"))
            (name,) = (name for name in ("right", "plus", "Two.") if np.allclose(y, by_hand(name, x, k)))
            whose.setdefault(name, []).append(int(verdict))
    return whose


def test_a_hunt_is_of_right_runs_and_of_those_with_bugs(b1):
    found = release.answers_of(b1, b1.question("hunt"), ("public", "hidden", "own"), np.random.default_rng(1), 0)
    assert runs_of(found, "hidden") == {"right": [0] * 4, "plus": [1, 1], "Two.": [1]}  # plus and Again. are alike
    assert runs_of(found, "public") == {"right": [0] * 4, "plus": [1]}  # every second bug
    assert found.cases == [f"public/run{n}" for n in range(5)] + [f"hidden/run{n}" for n in range(7)]
    order = [int(a) for key, a in found.right.items() if key.startswith("hidden")]
    assert order not in (sorted(order), sorted(order)[::-1]) and found.bugs == {}


@pytest.mark.parametrize("tries, shows", [(1, True), (20, True), (21, False)])
def test_a_bug_that_hardly_shows_is_looked_for(b1, tries, shows):
    """It shows where k is 0, which is drawn once: after four right runs, at the try that is said."""
    draws = []

    def draw(module, rng):
        draws.append(None)
        return {"k": int(len(draws) != 4 + tries), "x": np.ones(2)}

    (b1.folder.parents[2] / "tests/kit/planted_bugs.txt").write_text("== layers/lin.py\n* rare\n- - 1\n+ - (k != 0)\n")
    question = replace(b1.question("forward"), mistakes=[])
    asked = SimpleNamespace(twists=[], question=lambda name: question)
    cases = {"HUNT": ("forward", draw), "CALLS": {"forward": (None, lambda module, x, k: {"y": module.forward(x, k)})}}
    found = release.runs_to_judge(asked, cases, ("hidden",), np.random.default_rng(0), 0)
    assert sorted(int(a) for a in found.right.values()) == [0] * 4 + [1] * shows
    assert len(draws) == 4 + min(tries, 20)


def test_the_folders_of_students_and_teachers(b1, tmp_path):
    path = release.release_grader(b1, tmp_path / "grader", 3)
    release.release(b1, str(tmp_path / "tree"), 3)

    def files(folder):
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    student, teacher = files(tmp_path / "tree"), files(tmp_path / "grader")
    made = {f"assignment/{name}" for name in ("questions.json", "forward.npz", "twist.npz", "hunt.npz")}
    texts = {file: text.encode() for file, text in release.student_files(b1, 3).items()}
    assert student.keys() == texts.keys() | made and texts.items() <= student.items()
    assert {file.removeprefix("tree/"): text for file, text in teacher.items() if file.startswith("tree/")} == student
    own = ("training/__init__.py", "training/assignments/grade.py", "data/__init__.py", "data/files.py", "data/lock.py")
    assert {f: text.decode() for f, text in teacher.items() if f.startswith("snippets/")} == {
        f"snippets/{file}": FILES[file] for file in own
    }
    assert teacher["answers/cases.py"].decode() == FILES["notebooks/assignments/b1/cases.py"]
    for name, text in release.SCRIPTS.items():
        assert teacher[name].decode() == text
    assert path == tmp_path / "grader" / "b1-autograder.zip"
    with zipfile.ZipFile(path) as archive:
        kept = {info.filename: (archive.read(info), info.external_attr >> 16) for info in archive.infolist()}
    assert {name: text for name, (text, _) in kept.items()} == {k: v for k, v in teacher.items() if k != path.name}
    assert {name for name, (_, mode) in kept.items() if mode & 0o111} == set(release.SCRIPTS)
    for place, seed, parts in (("tree/assignment", 0, ["public", "own"]),
                               ("grader/answers", [3, 1], ["public", "hidden", "own"])):  # fmt: skip
        found, rng = read_answers(tmp_path / place / "forward.npz"), np.random.default_rng(seed)
        assert list(dict.fromkeys(case.split("/")[0] for case in found.cases)) == parts
        np.testing.assert_array_equal(found.inputs["public/small/x"], rng.standard_normal(3))
        assert (found.right["public/small/y"] != 0).all()
        twist = read_answers(tmp_path / place / "twist.npz")  # of a course of seed 3: two
        np.testing.assert_array_equal(twist.right["public/small/y"], twist.inputs["public/small/x"] + 2)
        assert [q["name"] for q in read_json(tmp_path / place / "questions.json")["questions"]] == [
            "forward", "twist", "hunt"
        ]  # fmt: skip
