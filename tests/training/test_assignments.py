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
from course import A5, SEED, answer, changed, judged, write_work
from waiting import HANG

from snippets.training.assignments.bugs import source
from snippets.training.assignments.grade import grade, grade_question, write_answers
from snippets.training.assignments.release import answers_of, bugs_of, planted, solution
from snippets.training.assignments.submit import submit

pytestmark = pytest.mark.assignments
questions = pytest.mark.parametrize("question", A5.questions, ids=lambda question: question.name)
written = [question for question in A5.questions if not question.hunt]
NOT_ASKED = {  # bugs in functions that students do not write
    "i and f are swapped in the order of the gates",
    "a step returns its gradient of h as that of c",
    "every frame starts from the initial state",
    "the initial state is ignored",
    "the logistic function overflows",
}


def test_the_zip_grades_a_right_submission_in_an_empty_folder(grader, solved, tmp_path):
    """As Gradescope does: unpacked, started from there, and nothing else of this project on the path."""
    place, results = tmp_path / "auto grader", tmp_path / "results" / "results.json"
    with zipfile.ZipFile(grader / "a5-autograder.zip") as archive:
        archive.extractall(place)
        assert archive.getinfo("run_autograder").external_attr >> 16 == 0o755
    assert b"\r" not in (place / "run_autograder").read_bytes()
    sent = submit(A5, solved, tmp_path / "handed in.zip")
    command = [sys.executable, "-m", "snippets.training.assignments.grade", sent, place, results]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(command, cwd=place, env=env, check=True, timeout=HANG)
    found = json.loads(results.read_text())
    assert found["score"] == 100, found
    assert {test["status"] for test in found["tests"]} == {"passed"}
    assert sum(test["max_score"] for test in found["tests"]) == 100
    assert len(re.findall(r"sha256 [0-9a-f]{64}", found["output"])) == len(A5.files)


@questions
def test_a_stub_gets_nothing_for_its_question(question, grader, solved, student, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(solved, tree)
    shutil.copy(student / question.file, tree / question.file)
    outcome, _ = grade_question(question, tree, grader / "answers")
    assert (outcome.score, outcome.right) == (0, False), outcome
    assert "not written yet" in outcome.text or question.hunt


@pytest.mark.parametrize("question", written, ids=lambda question: question.name)
def test_every_planted_bug_costs_a_point_and_gets_its_hint(question, grader):
    assert judged(question, answer(question.file), grader).score == question.total
    for bug, hint in bugs_of(A5, question, SEED):
        outcome = judged(question, source(bug, answer(question.file)), grader)
        assert outcome.score <= question.total - min(1, question.points["hidden"] / 5), (bug.name, outcome)
        crashed = "Error: " in outcome.text
        assert crashed or (outcome.text.startswith("likely: ") and hint in outcome.text), (bug.name, outcome)


@pytest.mark.parametrize("seed", range(len(A5.twists)))
def test_every_twist_has_its_bugs(seed, tmp_path):
    question, parts = A5.question("twist"), ("public", "hidden", "own")
    answers = answers_of(A5, question, parts, np.random.default_rng(seed), seed)
    write_answers(tmp_path / "grader" / "answers" / "twist.npz", answers)
    solved = solution(A5, question.file, seed)
    assert judged(question, solved, tmp_path / "grader").score == question.total
    bugs = bugs_of(A5, question, seed)
    assert len(bugs) >= 4
    for bug, hint in bugs:
        outcome = judged(question, source(bug, solved), tmp_path / "grader")
        assert outcome.score <= question.total - 1 and hint in outcome.text, (bug.name, outcome)


def test_every_planted_bug_of_these_files_is_asked_about():
    for file in ("layers/rnn.py", "layers/lstm.py"):
        asked = {mistake.get("bug") for question in written if question.file == file for mistake in question.mistakes}
        assert not planted()[file].keys() - asked - NOT_ASKED


WRONG = [  # question, what stands there, what a student wrote, what must be said
    ("rnn_backward", "return dx, dh_next,", "return -dx, dh_next,", "opposite sign"),
    ("rnn_backward", "return dx, dh_next, x.reshape(N * T, D).T @ rows,", "return dx, dh_next, rows,", "shape"),
    ("rnn_backward", "h_prev.T @ rows,", "(h_prev.T @ rows) / N,", "times what it should be"),
    ("rnn_backward", "h_prev.T @ rows,", "(h_prev.T @ rows).T,", "transposed"),
    ("gates_forward", "return o * xp.tanh(c), c, gates", "return c, o * xp.tanh(c), gates", "another order"),
    ("gates_forward", "gates = xp.empty_like(a)", "gates = xp.empty(a.shape)", "dtype of the inputs"),
    ("gates_backward", "return delta, dc * f", "return 0 * delta, dc * f", "zero everywhere"),
    ("gates_backward", "delta = xp.empty_like(gates)", "delta = gates", "writes into one of its arguments"),
    ("peephole_grads", "(delta_o * c).sum(axis=0)])", "(delta_o * c).sum(axis=0)]).T", "transposed"),
    ("peephole_grads", "(delta_o * c).sum", "(2 * delta_o * c).sum", "only at index 2 of axis 0"),
    ("lstm", "return h[:, 1:], (h[:, T]", "return h[:, :-1], (h[:, T]", "h["),
    ("lstm", '"b": rows.sum(axis=0)', '"b": rows.sum(axis=0) * np.nan', "not finite"),
    ("gain", "np.arange(1, T + 1) / T", "np.arange(1, T + 1)", "times what it should be"),
]  # fmt: skip


@pytest.mark.parametrize("name, old, new, told", WRONG)
def test_a_wrong_answer_that_nobody_planted(name, old, new, told, grader):
    question = A5.question(name)
    outcome = judged(question, changed(question, [old, new]), grader)
    assert outcome.score < question.total and not outcome.right
    assert told in outcome.text and "likely" not in outcome.text, outcome.text


@pytest.mark.parametrize("name", ["gates_backward", "lstm"])
def test_own_points_are_for_the_derivative_of_ones_own_forward_pass(name, grader):
    question = A5.question(name)
    forward = ["a_o + W_co * c)", "a_o + W_co * c_prev)"]
    right = [
        [" + delta_o * W_co", ""],
        ["dc * f + delta_i * W_ci", "dc * f + delta_o * W_co + delta_i * W_ci"],
        ["(delta_o * c).sum", "(delta_o * c_prev).sum"],
    ]
    outcome = judged(question, changed(question, forward, *right), grader)
    assert outcome.score == question.points["own"] and "derivative of your forward pass" in outcome.text
    assert judged(question, changed(question, *right), grader).score == 0


def test_loops_bombs_and_exits_cost_their_own_question(grader, tmp_path, capsys):
    texts = {
        "rnn": answer("layers/rnn.py").replace("    x, h0, h, W_x", "    while True: pass\n    x, h0, h, W_x"),
"frame_predictions": "import numpy as np\ndef rising(T):\n    return np.ones(10**12)\n",
        "twist": "import sys\nsys.exit(0)\n",
        "hunt": "def check(inputs, outputs):\n    assert False\n",
    }  # fmt: skip
    found = grade(write_work(tmp_path / "my work", **texts), grader, tmp_path / "results.json", seconds=4)
    scores = {test["name"].split()[1]: test for test in found["tests"]}
    lost = {name for name, test in scores.items() if test["score"] == 0}
    assert lost == {"rnn_backward", "gain", "twist", "hunt"}
    assert found["score"] == sum(question.total for question in A5.questions if question.name not in lost)
    assert "endless loop" in scores["rnn_backward"]["output"] and "MemoryError" in scores["gain"]["output"]
    assert "refuses" in scores["hunt"]["output"] and json.loads((tmp_path / "results.json").read_text()) == found


def test_a_file_that_cannot_be_imported_costs_its_own_questions(grader, tmp_path):
    work = write_work(tmp_path / "my work", rnn="def rnn_backward(dh, cache):\n    return (\n", hunt="import nothing\n")
    found = grade(work, grader, tmp_path / "results.json", log=lambda text: None)
    texts = {test["name"]: test["output"] for test in found["tests"] if test["score"] < test["max_score"]}
    assert texts.keys() == {"5.1 rnn_backward", "5.8 hunt"} and found["score"] == 100 - 14 - 13
    assert texts["5.1 rnn_backward"].startswith("every case: SyntaxError: '(' was never closed (rnn.py, line 2)")
    assert texts["5.8 hunt"].startswith("ModuleNotFoundError")


def test_a_function_from_elsewhere_does_not_count(solved, grader, tmp_path):
    tree, other = tmp_path / "tree", tmp_path / "elsewhere"
    shutil.copytree(solved, tree)
    other.mkdir()
    (other / "theirs.py").write_text(answer("layers/rnn.py"))
    path = tree / "layers" / "rnn.py"
    path.write_text(f"import sys\nsys.path.append({str(other)!r})\nfrom theirs import *\n")
    outcome, _ = grade_question(A5.question("rnn_backward"), tree, grader / "answers")
    assert outcome.score == 0 and "theirs.py, which is not in" in outcome.text
