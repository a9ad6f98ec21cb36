"""How a student's code is run: apart, with little of the surroundings, within limits; and a whole submission graded."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from waiting import until

from snippets.data.files import write_json
from snippets.training.assignments import grade as module
from snippets.training.assignments.grade import Answers, as_user, grade, imported, results, run, stop, write_answers
from snippets.training.assignments.manifest import Assignment, Question, for_students
from snippets.training.assignments.worker import run_cases

QUESTION = Question("1.1", "f", "sub/a.py", ["f", "A.g"], {"public": 3, "hidden": 10, "own": 4})
INPUTS = {"public/small/x": np.arange(3.0), "public/small/n": np.array(2), "own/slope/x": np.ones(1)}
CALLS = "CALLS = {'f': (None, lambda m, x, n: dict(y=m.f(x, n)))}\nOWN = {'f': (None, lambda m, x: {})}\n"
RIGHT = "def f(x, n):\n    return n * x\nclass A:\n    def g(self): pass\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "cases.py").write_text(CALLS)
    return tmp_path / "answers"


def tree(folder, text):
    """A tree of the one file of QUESTION."""
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "sub" / "a.py").write_text(text)
    return folder


class Started:
    """Stands in for a process; what it was given, and what it finds in its folder."""

    def __init__(self, command, cwd, env, stdin, stdout, stderr, start_new_session, **other):
        self.command, self.env, self.other, self.limit = command, env, other, None
        assert stdin == subprocess.DEVNULL and stdout is stderr and start_new_session
        self.files = {path.name: path.read_bytes() for path in cwd.iterdir() if path.is_file()}
        self.modes = [path.stat().st_mode & 0o777 for path in (cwd, cwd / "out")]
        with np.load(cwd / "inputs.npz") as arrays:
            self.inputs = {key: arrays[key] for key in arrays.files}
        np.savez(cwd / "out" / "outputs.npz", **{"public/small/y": np.ones(2)})
        stdout.write(b"a" * 4000 + b"b")
        started.append(self)

    def wait(self, limit):
        self.limit = limit
        return 0


started = []


@pytest.fixture
def starts(monkeypatch):
    """No process is started; what it would have been is in the list."""
    started.clear()
    monkeypatch.setattr(module.subprocess, "Popen", Started)
    monkeypatch.setattr(module, "stop", lambda process: process.__setattr__("stopped", True))
    return started


def test_what_a_process_is_given(folder, starts, monkeypatch):
    for name in ("PATH", "LD_LIBRARY_PATH", "TEMP", "PYTHONPATH", "SECRET", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, f"my {name}")
    for name in ("CXX", "SYSTEMROOT", "TMP"):
        monkeypatch.delenv(name, raising=False)
    outputs, printed = run(QUESTION, folder / ".." / "tree", folder, INPUTS)
    (one,), place = starts, os.path.realpath(folder.parent / "tree")
    assert outputs.keys() == {"public/small/y"} and printed == "a" * 4000
    assert one.command == [sys.executable, "-I", "-B", "worker.py", place, "sub/a.py", "f,A.g", "f", "2048"]
    assert one.env == {name: f"my {name}" for name in ("PATH", "TEMP", "LD_LIBRARY_PATH")} | {
        "OPENBLAS_NUM_THREADS": "1"
    }
    assert one.files.keys() == {"worker.py", "cases.py", "inputs.npz"} and one.files["cases.py"].decode() == CALLS
    assert one.inputs.keys() == INPUTS.keys() and one.limit == 7 and one.other == {} and one.stopped


def test_a_folder_that_is_gone_is_no_error(folder, starts, tmp_path, monkeypatch):
    """A student's code may do anything to the folder that it runs in, but costs no more than its own question."""

    class Hostile(Started):
        def __init__(self, command, cwd, **more):
            super().__init__(command, cwd, **more)
            shutil.rmtree(cwd)
            cwd.touch()

    monkeypatch.setattr(module.subprocess, "Popen", Hostile)
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    outputs, _ = run(QUESTION, folder, folder, INPUTS)
    told = "the process ended with status 0 and left no results"
    assert {key: str(a) for key, a in outputs.items()} == {"public/small/error": told, "own/slope/error": told}


@pytest.mark.skipif(os.name == "nt", reason="there are no users to change to on Windows")
def test_a_process_of_another_user(folder, starts, monkeypatch):
    monkeypatch.setitem(sys.modules, "pwd", SimpleNamespace(getpwnam=lambda name: SimpleNamespace(pw_gid=len(name))))
    given = {"user": "nobody", "group": 6, "extra_groups": []}
    assert (as_user(None), as_user("nobody")) == ({}, given)
    run(QUESTION, folder, folder, INPUTS, "nobody", 2.5)
    assert (starts[0].other, starts[0].modes, starts[0].limit) == (given, [0o755, 0o777], 2.5)


def test_what_runs_sees_its_own_tree_alone(folder):
    """The real worker: results, what was printed, where functions come from, and what surrounds them."""
    text = "import sys, os\nprint(sys.flags.isolated, sys.dont_write_bytecode, sys.stdin.read() == '')\n" + RIGHT
    place = tree(folder.parent / "tree", text)
    outputs, printed = run(QUESTION, place, folder, INPUTS, seconds=600)
    assert outputs["public/small/y"].tolist() == [0, 2, 4] and printed.split() == ["1", "True", "True"]
    file = os.path.realpath(place / "sub" / "a.py")
    assert {key: str(a) for key, a in outputs.items() if key != "public/small/y"} == {
        "source/f": file, "source/A.g": file
    }  # fmt: skip


@pytest.mark.parametrize(
    "text, told",
    [
        ("import os\nos._exit(3)", "the process ended with status 3 and left no results"),
        ("while True: pass", "it took over 1 seconds and was stopped: an endless loop?"),
        pytest.param(
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
            f"the process ended with status -{int(signal.SIGSEGV)} (memory outside of an array?) and left no results",
            marks=pytest.mark.skipif(os.name == "nt", reason="signals end no processes on Windows"),
        ),
    ],
)
def test_what_leaves_no_results_is_told_of_every_case(folder, text, told):
    seconds = 1 if "while" in text else 600
    outputs, _ = run(QUESTION, tree(folder.parent / "tree", text), folder, INPUTS, seconds=seconds)
    assert {key: str(a) for key, a in outputs.items()} == {"public/small/error": told, "own/slope/error": told}
    assert imported(outputs) == ("endless" in told)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes that have a name")
def test_all_that_a_process_started_ends_with_it(tmp_path):
    """Its child holds the end of a pipe, which is closed when nobody lives who has it."""
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        child = "import sys, time; print('there', flush=True); time.sleep(600)"
        code = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {child!r}])"
        with open(tmp_path / "pipe", "wb") as out:
            process = subprocess.Popen([sys.executable, "-c", code], stdout=out, start_new_session=True)

        def heard():
            try:
                return os.read(pipe, 100)
            except BlockingIOError:
                return None

        assert until(lambda: heard() or None) == b"there\n"
        stop(process)
        assert process.returncode == -signal.SIGKILL
        assert until(lambda: heard() == b"", seconds=60)
        stop(process)  # one that has ended
    finally:
        os.close(pipe)


@pytest.fixture
def source(folder):
    """A grader of two questions: 1.1 in sub/a.py, 1.2 in b.py, in whose tree nothing is answered."""
    other = Question("1.2", "h", "b.py", ["h"], {"public": 5, "hidden": 0, "own": 0})
    calls = CALLS + "CALLS['h'] = (None, lambda module, x: dict(y=module.h(x)))\n"
    (folder / "cases.py").write_text(calls)
    write_json(folder / "questions.json", for_students(Assignment("a1", "t", "p", "h", [QUESTION, other])))
    inputs = {key: a for key, a in INPUTS.items() if key.startswith("public")}
    write_answers(folder / "f.npz", Answers(inputs, {"public/small/y": np.array([0.0, 2.0, 4.0])}, {}))
    write_answers(folder / "h.npz", Answers({"public/a/x": np.ones(2)}, {"public/a/y": np.ones(2)}, {}))
    (tree(folder.parent / "tree", "stub") / "b.py").write_text("stub")
    (folder.parent / "tree" / "given.py").touch()
    return folder.parent


def work(folder, a, b):
    """A submission of two files."""
    (tree(folder, a) / "b.py").write_text(b)
    return folder


@pytest.fixture
def runs(source, monkeypatch):
    """Questions are run in this process; a list of (question, tree, user, seconds) of each."""
    found, calls = [], {}
    exec((source / "answers" / "cases.py").read_text(), calls)

    def in_process(question, place, folder, inputs, user=None, seconds=None):
        assert folder == source / "answers" and (place / "given.py").is_file() and place != source / "tree"
        found.append(
            (question.name, {file: (place / file).read_text() for file in ("sub/a.py", "b.py")}, user, seconds)
        )
        if "broken" in "".join(found[-1][1].values()):
            return {"public/small/error": np.array("E: broken"), "public/a/error": np.array("E: broken")}, ""
        names = {}
        exec((place / question.file).read_text(), names)
        cases = {}
        for key, a in inputs.items():
            case, _, name = key.rpartition("/")
            cases.setdefault(case, {})[name] = a
        outputs = run_cases(SimpleNamespace(**names), calls, question.name, cases)
        own = place if "elsewhere" not in names else place.parent
        return outputs | {f"source/{question.name}": np.array(str(own / question.file))}, "printed"

    monkeypatch.setattr(module, "run", in_process)
    return found


def test_a_submission_is_graded_question_by_question(source, runs, tmp_path, monkeypatch, capsys):
    written = []
    monkeypatch.setattr(module, "write_json", lambda path, what: written.append((path, json.loads(json.dumps(what)))))
    right, wrong = RIGHT, "def h(x):\n    return -x\n"
    path = tmp_path / "results.json"
    found = grade(work(tmp_path / "work", right, wrong), str(source), path, user="someone", seconds=3)
    files = {"sub/a.py": right, "b.py": wrong}
    assert runs == [("f", files, "someone", 3), ("h", files, "someone", 3)]
    told = "every case: y[0] is -1, expected 1 (shape (2,))\n  y has the opposite sign"
    tests = [
        {"name": "1.1 f", "score": 3.0, "max_score": 17, "status": "passed", "output": "right"},
        {"name": "1.2 h", "score": 0.0, "max_score": 5, "status": "failed", "output": told},
    ]
    todo = tests[1] | {"output": "not graded yet"}
    assert [one for _, one in written[:2]] == [
        {"score": 3.0, "tests": [tests[0], todo]},
        {"score": 3.0, "tests": tests},
    ]
    assert {one for one, _ in written} == {path} and written[2:] == [(path, found)]
    assert {key: found[key] for key in ("score", "tests")} == written[1][1]
    names = [line.partition(" sha256 ")[0::2] for line in found["output"].splitlines()]
    assert [(name, len(value)) for name, value in names] == [("sub/a.py", 64), ("b.py", 64)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["1.1 f: 3 of 17", "1.2 h: 0 of 5"] and lines[-1] == f"3 of 22 points; {path}"
    assert (source / "tree" / "b.py").read_text() == "stub"
    runs.clear()
    grade(tmp_path / "work", source, path, log=lambda text: None)
    assert [one[2:] for one in runs] == [(None, module.SECONDS)] * 2 and not capsys.readouterr().out


def test_a_question_is_tried_alone_where_nothing_can_be_imported(source, runs, tmp_path):
    """In a tree with the student's file of this question and none of the others."""
    right = "def h(x):\n    return 1 * x\n"
    found = grade(work(tmp_path / "work", "broken", right), source, tmp_path / "r.json", log=lambda text: None)
    assert [test["output"] for test in found["tests"]] == ["every case: E: broken", "right"] and found["score"] == 5
    both, stub = {"sub/a.py": "broken", "b.py": right}, {"sub/a.py": "stub", "b.py": "stub"}
    assert [one[:2] for one in runs] == [
        ("f", both), ("f", stub | {"sub/a.py": "broken"}), ("h", both), ("h", stub | {"b.py": right})
    ]  # fmt: skip


def test_a_function_from_elsewhere_gets_nothing(source, runs, tmp_path):
    text = "elsewhere = 1\n" + RIGHT
    found = grade(
        work(tmp_path / "work", text, "def h(x): return x"), source, tmp_path / "r.json", log=lambda text: None
    )
    assert "which is not in" in found["tests"][0]["output"] and found["score"] == 5


@pytest.mark.skipif(os.name == "nt", reason="files have no such modes on Windows")
def test_another_user_may_enter_the_folder(source, runs, tmp_path, monkeypatch):
    modes, once = [], module.grade_question

    def seen(question, place, *more):
        modes.append(place.parent.stat().st_mode & 0o777)
        return once(question, place, *more)

    monkeypatch.setattr(module, "grade_question", seen)
    for user in (None, "someone"):
        grade(work(tmp_path / "work", RIGHT, RIGHT), source, tmp_path / "r.json", user, log=lambda text: None)
    assert modes == [0o700, 0o700, 0o755, 0o755]


def test_points_of_all_questions_are_rounded():
    grades = {"a": module.Grade(1.111, True, ""), "b": module.Grade(2.222, False, "why")}
    asked = [replace(QUESTION, name=name, id=f"1.{n}") for n, name in enumerate("abc", 1)]
    found = results(SimpleNamespace(questions=asked), grades)
    assert found["score"] == 3.33 and [test["score"] for test in found["tests"]] == [1.111, 2.222, 0.0]
    assert [(test["name"], test["status"], test["output"]) for test in found["tests"]] == [
        ("1.1 a", "passed", "right"), ("1.2 b", "failed", "why"), ("1.3 c", "failed", "not graded yet")
    ]  # fmt: skip
