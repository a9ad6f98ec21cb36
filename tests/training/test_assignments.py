"""Course assignments: right, wrong and hostile answers, graded."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from course import NAMES, Course
from waiting import HANG

from snippets.training.assignments.bugs import source
from snippets.training.assignments.grade import grade, grade_question, write_answers
from snippets.training.assignments.release import answers_of, bugs_of, planted, solution
from snippets.training.assignments.submit import submit

pytestmark = pytest.mark.assignments
COURSES = [Course(name) for name in NAMES]


def each(name, values, label=str):
    """Parameters: each course with each of what `values` gives for it."""
    found = [(course.assignment.name, value) for course in COURSES for value in values(course)]
    ids = [f"{course}-{label(value)}" for course, value in found]
    return pytest.mark.parametrize(f"course, {name}", found, ids=ids, indirect=["course"])


courses = pytest.mark.parametrize("course", NAMES, indirect=True)


@courses
def test_the_zip_grades_a_right_submission_in_an_empty_folder(course, tmp_path):
    """As Gradescope does: unpacked, started from there, and nothing else of this project on the path."""
    place, results = tmp_path / "auto grader", tmp_path / "results" / "results.json"
    with zipfile.ZipFile(course.grader / f"{course.assignment.name}-autograder.zip") as archive:
        archive.extractall(place)
        assert archive.getinfo("run_autograder").external_attr >> 16 == 0o755
    assert b"\r" not in (place / "run_autograder").read_bytes()
    sent = submit(course.assignment, course.solved, tmp_path / "handed in.zip")
    command = [sys.executable, "-m", "snippets.training.assignments.grade", sent, place, results]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(command, cwd=place, env=env, check=True, timeout=HANG)
    found = json.loads(results.read_text())
    assert found["score"] == 100, found
    assert {test["status"] for test in found["tests"]} == {"passed"}
    assert sum(test["max_score"] for test in found["tests"]) == 100
    assert len(re.findall(r"sha256 [0-9a-f]{64}", found["output"])) == len(course.assignment.files)


@each("question", lambda course: course.assignment.questions, lambda question: question.name)
def test_a_stub_gets_nothing_for_its_question(course, question, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(course.solved, tree)
    shutil.copy(course.student / question.file, tree / question.file)
    outcome, _ = grade_question(question, tree, course.grader / "answers")
    assert (outcome.score, outcome.right) == (0, False), outcome
    assert "not written yet" in outcome.text or question.hunt


@each("question", lambda course: course.written, lambda question: question.name)
def test_every_planted_bug_costs_a_point_and_gets_its_hint(course, question):
    solved = course.answer(question.file)
    assert course.judged(question, solved).score == question.total
    for bug, hint in bugs_of(course.assignment, question, seed=7):
        outcome = course.judged(question, source(bug, solved))
        assert outcome.score <= question.total - min(1, question.points["hidden"] / 5), (bug.name, outcome)
        crashed = "Error: " in outcome.text
        assert crashed or (outcome.text.startswith("likely: ") and hint in outcome.text), (bug.name, outcome)


@each("seed", lambda course: range(len(course.assignment.twists)))
def test_every_twist_has_its_bugs(course, seed, tmp_path):
    question, parts = course.assignment.question("twist"), ("public", "hidden", "own")
    answers = answers_of(course.assignment, question, parts, np.random.default_rng(seed), seed)
    write_answers(tmp_path / "answers" / "twist.npz", answers)
    solved = solution(course.assignment, question.file, seed)
    assert course.judged(question, solved, tmp_path).score == question.total
    bugs = bugs_of(course.assignment, question, seed)
    assert len(bugs) >= 4
    for bug, hint in bugs:
        outcome = course.judged(question, source(bug, solved), tmp_path)
        assert outcome.score <= question.total - 1 and hint in outcome.text, (bug.name, outcome)


@courses
def test_every_planted_bug_of_these_files_is_asked_about(course):
    for file in course.assignment.files:
        questions = [question for question in course.written if question.file == file]
        asked = {mistake.get("bug") for question in questions for mistake in question.mistakes}
        assert not planted().get(file, {}).keys() - asked - course.kit.NOT_ASKED, file


@each("wrong", lambda course: course.kit.WRONG, lambda wrong: f"{wrong[0]}-{wrong[2]}")
def test_a_wrong_answer_that_nobody_planted(course, wrong):
    name, old, new, told = wrong
    question = course.assignment.question(name)
    outcome = course.judged(question, course.changed(question, [old, new]))
    assert outcome.score < question.total and not outcome.right
    assert told in outcome.text and "likely" not in outcome.text, outcome.text


@courses
def test_ten_wrong_answers_that_nobody_planted(course):
    assert len(course.kit.WRONG) >= 10


@each("wrong", lambda course: course.kit.FOLLOW_THROUGH, lambda wrong: wrong[0])
def test_own_points_are_for_the_derivative_of_ones_own_forward_pass(course, wrong):
    name, forward, backward = wrong
    question = course.assignment.question(name)
    outcome = course.judged(question, course.changed(question, *forward, *backward))
    assert outcome.score == question.points["own"] and "derivative of your forward pass" in outcome.text
    assert course.judged(question, course.changed(question, *backward)).score == 0


def test_loops_bombs_and_exits_cost_their_own_question(a5, tmp_path, capsys):
    greedy = "    return np.empty(10**12)\n"
    if sys.platform != "win32":  # where files have a limit, of 64 MiB, and memory has one of 2 GiB
        large = "open('large', 'wb').write(bytes(65 << 20))"
        greedy = f"    try:\n        {large}\n    except OSError:\n        return np.empty(3 << 27)[:T]\n"
    texts = {
        "rnn": a5.answer("layers/rnn.py").replace("    x, h0, h, W_x", "    while True: pass\n    x, h0, h, W_x"),
        "frame_predictions": f"import numpy as np\ndef rising(T):\n{greedy}",
        "twist": "import sys\nsys.exit(0)\n",
        "hunt": "def check(inputs, outputs):\n    assert False\n",
    }  # fmt: skip
    found = grade(a5.write_work(tmp_path / "my work", **texts), a5.grader, tmp_path / "results.json", seconds=4)
    scores = {test["name"].split()[1]: test for test in found["tests"]}
    lost = {name for name, test in scores.items() if test["score"] == 0}
    assert lost == {"rnn_backward", "gain", "twist", "hunt"}
    assert found["score"] == sum(question.total for question in a5.assignment.questions if question.name not in lost)
    assert "endless loop" in scores["rnn_backward"]["output"] and "MemoryError" in scores["gain"]["output"]
    assert "refuses" in scores["hunt"]["output"] and json.loads((tmp_path / "results.json").read_text()) == found


def test_a_file_that_cannot_be_imported_costs_its_own_questions(a5, tmp_path):
    texts = {"rnn": "def rnn_backward(dh, cache):\n    return (\n", "hunt": "import nothing\n"}
    work = a5.write_work(tmp_path / "my work", **texts)
    found = grade(work, a5.grader, tmp_path / "results.json", log=lambda text: None)
    texts = {test["name"]: test["output"] for test in found["tests"] if test["score"] < test["max_score"]}
    assert texts.keys() == {"5.1 rnn_backward", "5.8 hunt"} and found["score"] == 100 - 14 - 13
    wrong = "every case: layers/rnn.py, line 2, is not Python ('(' was never closed): return ("
    assert texts["5.1 rnn_backward"].startswith(wrong)
    assert texts["5.8 hunt"].startswith("ModuleNotFoundError")


def test_a_function_from_elsewhere_does_not_count(a5, tmp_path):
    tree, other = tmp_path / "tree", tmp_path / "elsewhere"
    shutil.copytree(a5.solved, tree)
    other.mkdir()
    (other / "theirs.py").write_text(a5.answer("layers/rnn.py"))
    path = tree / "layers" / "rnn.py"
    path.write_text(f"import sys\nsys.path.append({str(other)!r})\nfrom theirs import *\n")
    outcome, _ = grade_question(a5.assignment.question("rnn_backward"), tree, a5.grader / "answers")
    assert outcome.score == 0 and "theirs.py, which is not in" in outcome.text
