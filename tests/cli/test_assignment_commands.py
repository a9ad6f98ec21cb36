"""`snippets assignment`: what it says of answers, lists and files, and what it hands on: stand-ins do the work."""

from functools import partial
from types import SimpleNamespace

import pytest
import recorded_calls

from snippets.training.assignments.manifest import Question
from snippets.training.cli import assignment
from snippets.training.cli.main import main


@pytest.fixture
def record(monkeypatch, tmp_path):
    """`recorded_calls.record` of what the commands call, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(recorded_calls.record, monkeypatch, assignment)


@pytest.fixture
def student(record, tmp_path):
    """A student's folder with three questions, and how each is graded: {name: (right, text, printed)}."""
    questions = [
        Question(f"1.{n}", name, "a.py", ["f", "g"], {"public": n, "hidden": 1}) for n, name in enumerate("xyz", 1)
    ]
    questions.append(Question("1.4", "hunt", "hunt.py", ["check"], {"public": 1}, hunt=True))
    asked = SimpleNamespace(
        name="a9", title="Title", paper="a paper", hours="3", questions=questions,
        question=lambda name: next(q for q in questions if name in (q.id, q.name)),
    )  # fmt: skip
    graded = {q.name: (True, "fine", "") for q in questions}
    record("student_tree", tmp_path)
    of = record("released", asked)

    def grade(question, *places):
        right, text, printed = graded[question.name]
        return SimpleNamespace(right=right, text=text), printed

    grades = record("grade_question", grade)
    return asked, graded, grades, of


def test_checked_questions_are_told_one_by_one(student, tmp_path, capsys):
    """What they print, up to forty lines; how to try again where there is something to try."""
    asked, graded, grades, of = student
    graded["y"] = (False, "not right\nat all", "\n".join(f"line {n}" for n in range(41)))
    graded["z"] = (False, "not written yet", "")
    assert main("assignment check".split()) == 1
    lines = ["1.1 x: right", "    fine", "1.2 y: not right yet", "    not right", "    at all"]
    lines += [f"    printed: line {n}" for n in range(40)]
    lines += ["    again: snippets assignment check y   (inputs and calls: assignment/cases.py)"]
    lines += ["1.3 z: not right yet", "    not written yet", "1.4 hunt: right", "    fine"]
    assert capsys.readouterr().out.splitlines() == lines
    assert grades == [(question, tmp_path, tmp_path / "assignment") for question in asked.questions]
    assert of == [(tmp_path / "assignment",)]
    assert main("assignment check 1.1 y".split()) == 1 and main("assignment check x".split()) == 0
    assert main(["assignment", "hunt"]) == 0
    assert [question.name for question, *_ in grades[4:]] == ["x", "y", "x", "hunt"]


def test_assignments_are_listed_with_their_points(student, record, tmp_path, capsys):
    """All of the library, or a student's own."""
    asked, *_ = student
    rows = [f"    1.{n} {name:18}   {n + 1}   f, g in a.py" for n, name in enumerate("xyz", 1)]
    rows.append("    1.4 hunt                 1   check in hunt.py")
    own = ["a9  Title: a paper, 3 hours", *rows]
    for names, times in ([], 1), (["b1", "b2"], 2):
        record("names", names)
        read = record("read_assignment", asked)
        assert main(["assignment", "list"]) == 0
        assert capsys.readouterr().out.splitlines() == own * times and read == [(name,) for name in names]


def test_what_teachers_and_students_write(student, record, tmp_path, capsys):
    asked, *_ = student
    record("read_assignment", lambda name: f"the assignment {name}")
    submitted, graded = record("submit", "a.zip"), record("grade")
    released, grader = record("release"), record("release_grader", "grader.zip")
    for command, told in (
        ("submit --out a.zip --partial", "a.zip: hand in this file\n"), ("submit", "a.zip: hand in this file\n"),
        ("release a9 --out there --seed 3", "there: hand this out, or work in it (README.md says how); it holds no"),
        ("release a9 --out there --seed 3 --instructor",
         "grader.zip: upload this to Gradescope, or: snippets assignment grade SUBMISSION --grader there\n"),
        ("grade s.zip --grader there --out r.json", ""),
    ):  # fmt: skip
        assert main(["assignment", *command.split()]) == 0
        assert capsys.readouterr().out.startswith(told)
    assert submitted == [(asked, tmp_path, "a.zip", True), (asked, tmp_path, "submission.zip", False)]
    assert released == grader == [("the assignment a9", "there", 3)] and graded == [("s.zip", "there", "r.json")]
    for command, file in (("submit --out", "s.zip"), ("grade s.zip --grader there --out", "r.json")):
        (tmp_path / file).write_text("notes")
        assert main(["assignment", *command.split(), file]) == 1
        assert f"{file} exists, and this command writes no such file" in capsys.readouterr().err
        (tmp_path / file).unlink()
    assert len(submitted) == 2 and len(graded) == 1
