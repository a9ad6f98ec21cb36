"""Grading: each question in a process of its own, answers compared here, results.json rewritten after every question.

    python -m snippets.training.assignments.grade SUBMISSION SOURCE RESULTS [--user NAME]

SOURCE is what `snippets assignment release --instructor` wrote: the released tree, and the answers as .npz files. No
solution is needed. A student's `check` is the same on the public part. results.json has Gradescope's format.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.data.files import read_npz, write_json, write_npz
from snippets.training.assignments.compare import hints, of_case, report
from snippets.training.assignments.manifest import released
from snippets.training.assignments.submit import unpack

SECONDS, MEMORY = 7, 2048  # for one question; MiB of address space
PARTS = ("public", "hidden", "own")
LATE = "and was stopped: an endless loop?"


class Answers(NamedTuple):
    """What is known about a question: {part/case/name: array}, and of each planted bug {hint: such a dict}."""

    inputs: dict
    right: dict
    bugs: dict

    @property
    def cases(self):
        return list(dict.fromkeys(key.rpartition("/")[0] for key in self.inputs))


class Grade(NamedTuple):
    """The outcome of one question."""

    score: float
    right: bool
    text: str


def write_answers(path, answers):
    """Write a question's answers as one .npz file."""
    arrays = {f"in/{key}": a for key, a in answers.inputs.items()} | {
        f"right/{key}": a for key, a in answers.right.items()
    }
    for n, (hint, bug) in enumerate(answers.bugs.items()):
        arrays |= {f"hint/{n}": np.array(hint)} | {f"bug{n}/{key}": a for key, a in bug.items()}
    write_npz(path, arrays, compress=True)


def read_answers(path):
    """The answers that `write_answers` wrote."""
    groups = {}
    for key, a in read_npz(path, optional=("*",)).items():
        group, _, rest = key.partition("/")
        groups.setdefault(group, {})[rest] = a
    bugs = {str(hint): groups[f"bug{n}"] for n, hint in groups.get("hint", {}).items()}
    return Answers(groups["in"], groups.get("right", {}), bugs)


def run(question, tree, folder, inputs, user=None, seconds=SECONDS):
    """(outputs {part/case/name: array}, what the student's code printed) of one question, run apart from this process.

    folder: where cases.py is. Whatever happens there becomes the text part/case/error of every case.
    """
    cases = list(dict.fromkeys(key.rpartition("/")[0] for key in inputs))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        work = Path(work)
        (work / "out").mkdir()
        shutil.copy(Path(__file__).with_name("worker.py"), work)
        shutil.copy(Path(folder) / "cases.py", work)
        write_npz(work / "inputs.npz", inputs)
        if user:
            work.chmod(0o755)
            (work / "out").chmod(0o777)
        arguments = [os.path.realpath(tree), question.file, ",".join(question.functions), question.name, str(MEMORY)]
        keep = ("PATH", "CXX", "SYSTEMROOT", "TEMP", "TMP", "LD_LIBRARY_PATH")
        env = {key: os.environ[key] for key in keep if key in os.environ} | {"OPENBLAS_NUM_THREADS": "1"}
        with tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                [sys.executable, "-I", "-B", "worker.py", *arguments], cwd=work, env=env, stdin=subprocess.DEVNULL,
                stdout=printed, stderr=printed, start_new_session=True, **as_user(user),
            )  # fmt: skip
            try:
                status = process.wait(seconds)
                crash = " (memory outside of an array?)" if status == -signal.SIGSEGV else ""
                ended = f"the process ended with status {status}{crash} and left no results"
            except subprocess.TimeoutExpired:
                ended = f"it took over {seconds} seconds {LATE}"
            finally:
                stop(process)
            printed.seek(0)
            text = printed.read(4000).decode(errors="replace")
        try:
            return read_npz(work / "out" / "outputs.npz", optional=("*",)), text
        except (OSError, ValueError):
            return {f"{case}/error": np.array(ended) for case in cases}, text


def as_user(name):
    """Arguments of Popen that give up the rights of root, for a user's name; {} for None."""
    if name is None:
        return {}
    import pwd  # there is none on Windows

    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def stop(process):
    """End a process and all that it started."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
    process.wait()


def judge(question, answers, outputs, tree=None):
    """The Grade of a question from its outputs; tree: where its functions must come from (None: not asked)."""
    if tree and (text := stranger(outputs, tree)):
        return Grade(0.0, False, text)
    said = {
        case: report(case, of_case(outputs, case), of_case(answers.right, case), question.title)
        for case in answers.cases
    }
    fine = {case: is_right for case, (is_right, _) in said.items()}
    if question.hunt:
        return hunted(question, answers, outputs, fine)
    score, own = 0.0, [case for case in fine if case.startswith("own/")]
    others = [case for case in fine if case not in own]
    for part in PARTS:
        of_part = [case for case in fine if case.startswith(part + "/")]
        passed = sum(fine[case] or (part == "own" and all(fine[other] for other in others)) for case in of_part)
        score += question.points[part] * passed / len(of_part) if of_part else 0.0
    if all(fine[case] for case in others):
        return Grade(round(score, 2), True, "")
    known = hints({key: a for key, a in outputs.items() if not key.startswith("own/")}, answers.bugs)
    told = {}  # {what is wrong: the cases}
    for case in others:
        if not fine[case]:
            told.setdefault(said[case][1], []).append(case)
    texts = [
        text if text == "not written yet" else f"{'every case' if cases == others else ', '.join(cases)}: {text}"
        for text, cases in list(told.items())[:4]
    ]
    if own and all(fine[case] for case in own):
        texts.append("but the backward pass is the derivative of your forward pass")
    if question.needs and texts != ["not written yet"]:
        texts.append(f"it builds on {', '.join(question.needs)}, which must be right first")
    return Grade(round(score, 2), False, "\n".join([*(f"likely: {hint}" for hint in known), *texts]))


def hunted(question, answers, outputs, fine):
    """The Grade of a bug hunt: the share of bugs found, nothing if a right run is refused. A verdict of 1 is a bug."""
    share, texts = {}, []
    for part in PARTS:
        cases = [case for case in fine if case.startswith(part + "/")]
        bug = {case: bool(answers.right[f"{case}/verdict"]) for case in cases}
        errors = [str(outputs[f"{case}/error"]) for case in cases if f"{case}/error" in outputs]
        refused = [case for case in cases if not bug[case] and not fine[case]]
        found = sum(bug[case] and fine[case] for case in cases)
        share[part] = 0.0 if refused or not cases else found / sum(bug.values())
        if errors:
            texts.append(report(cases[0], {"error": errors[0]}, {}, question.title)[1])
        elif refused:
            texts.append(f"{part}: the check refuses {len(refused)} of {len(cases) - sum(bug.values())} right runs")
        elif cases:
            texts.append(f"{part}: {found} of {sum(bug.values())} bugs found, and every right run passes")
    score = sum(question.points[part] * share[part] for part in PARTS)
    asked = [part for part in PARTS if any(case.startswith(part) for case in fine)]
    return Grade(round(score, 2), all(share[part] == 1 for part in asked), "\n".join(dict.fromkeys(texts)))


def stranger(outputs, tree):
    """What to say if a function comes from outside of the tree, "" if none does."""
    root = Path(tree).resolve()
    for key, file in outputs.items():
        if key.startswith("source/") and root not in Path(str(file)).resolve().parents:
            return (
                f"{key.removeprefix('source/')} comes from {file}, which is not in {root}: define it in your own file"
            )
    return ""


def grade_question(question, tree, folder, user=None, seconds=SECONDS, alone=None):
    """Grade and printed text of one question of the tree, by the answers in a folder.

    alone: gives for a question a tree in which nothing else is answered, for when the tree's files cannot be imported.
    """
    answers = read_answers(Path(folder) / f"{question.name}.npz")
    outputs, printed = run(question, tree, folder, answers.inputs, user, seconds)
    if alone and not imported(outputs):
        tree = alone(question)
        outputs, printed = run(question, tree, folder, answers.inputs, user, seconds)
    return judge(question, answers, outputs, tree), printed


def imported(outputs):
    """Whether the question's file could be imported, as far as is known: after too long a time nothing is."""
    return any(key.startswith("source/") or LATE in str(a) for key, a in outputs.items())


def results(assignment, grades):
    """The content of results.json; questions without a grade yet count zero."""
    tests = [
        {
            "name": question.title,
            "score": grades[question.name].score if question.name in grades else 0.0,
            "max_score": question.total,
            "status": "passed" if question.name in grades and grades[question.name].right else "failed",
            "output": (grades[question.name].text or "right") if question.name in grades else "not graded yet",
        }
        for question in assignment.questions
    ]
    return {"score": round(sum(test["score"] for test in tests), 2), "tests": tests}


def grade(submission, source, path, user=None, log=print, seconds=SECONDS):
    """Grade a submission, a folder or a zip, and write results.json to path; returns its content.

    source: the folder of the instructor's release. ValueError if a file to hand in is missing.
    """
    source = Path(source)
    assignment = released(source / "answers")
    with tempfile.TemporaryDirectory() as work:
        tree = Path(work, "tree")
        shutil.copytree(source / "tree", tree)
        hashes = unpack(submission, assignment.files, tree)

        def alone(question):
            """The released tree with no other file of the student's."""
            shutil.copytree(source / "tree", Path(work, question.name))
            shutil.copy(tree / question.file, Path(work, question.name, question.file))
            return Path(work, question.name)

        if user:
            Path(work).chmod(0o755)
        grades = {}
        for question in assignment.questions:
            grades[question.name], _ = grade_question(question, tree, source / "answers", user, seconds, alone)
            write_json(path, results(assignment, grades))
            show(question, grades[question.name], log)
    found = results(assignment, grades)
    found["output"] = "\n".join(f"{file} sha256 {value}" for file, value in hashes.items())
    write_json(path, found)
    log(f"{found['score']:g} of {sum(question.total for question in assignment.questions)} points; {path}")
    return found


def show(question, outcome, log=print):
    """One question and what is to be said about it."""
    log(f"{question.title}: {outcome.score:g} of {question.total}")
    for line in outcome.text.splitlines():
        log(f"    {line}")


if __name__ == "__main__":
    grade(*sys.argv[1:4], user=sys.argv[5] if sys.argv[4:5] == ["--user"] else None)
