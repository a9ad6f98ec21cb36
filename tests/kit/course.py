"""A5 as a course gives it out: its answers, and wrong answers judged in this process."""

import shutil

from snippets.training.assignments.bugs import Bug, load, source
from snippets.training.assignments.grade import judge, read_answers
from snippets.training.assignments.manifest import read_assignment
from snippets.training.assignments.release import solution
from snippets.training.assignments.worker import run_cases

A5 = read_assignment("a5")
SEED = 7
HUNT = """
import numpy as np
from snippets.layers.lstm import lstm_backward, lstm_forward

def check(inputs, outputs):
    names = ("x", "h0", "c0", "W_x", "W_h", "W_c", "b")
    h, (hT, cT), cache = lstm_forward(*(inputs[name] for name in names))
    dx, dh0, dc0, grads = lstm_backward(inputs["dh"], cache, inputs["dhT"], inputs["dcT"])
    right = dict(h=h, hT=hT, cT=cT, dx=dx, dh0=dh0, dc0=dc0, **{"d" + name: a for name, a in grads.items()})
    for name in right:
        assert np.allclose(outputs[name], right[name], rtol=1e-7), name
"""


def answer(file):
    """The text that answers a file of A5."""
    return HUNT if file == "hunt.py" else solution(A5, file, SEED)


def solve(student, tree):
    """A copy of a student's tree in which everything is right."""
    shutil.copytree(student, tree)
    for file in A5.files:
        (tree / file).write_text(answer(file))
    return tree


def judged(question, text, grader):
    """The Grade of a wrong version of a question's file, run in this process."""
    answers, cases = read_answers(grader / "answers" / f"{question.name}.npz"), {}
    for key, a in answers.inputs.items():
        case, _, name = key.rpartition("/")
        cases.setdefault(case, {})[name] = a
    module = load(Bug("nothing", question.file, []), text)
    calls = {}
    exec((A5.folder / "cases.py").read_text(), calls)
    return judge(question, answers, run_cases(module, calls, question.name, cases))


def changed(question, *changes):
    return source(Bug("wrong", question.file, list(changes)), answer(question.file))


def write_work(folder, **texts):
    """A submission in a folder: right answers, but for the files given by their names without an ending."""
    for file in A5.files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts.get(path.stem, answer(file)))
    return folder
