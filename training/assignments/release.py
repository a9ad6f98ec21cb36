"""What students and teachers receive: the library with holes, and a grader with stored answers.

A released tree is all that the allow-list names, with the bodies of the questions' functions cut; it runs as the
library does. Answers are computed here, by the library, on inputs drawn from a seed, for every planted bug, too: what
a student's function returns on them is compared with both, so neither tree nor grader holds a solution. Before
anything is written the whole release is searched for statements of what was cut.
"""

import runpy
from pathlib import Path

import numpy as np

from snippets.data.files import write, write_json
from snippets.training.assignments.bugs import ROOT, Bug, load, read_bugs
from snippets.training.assignments.compare import differ
from snippets.training.assignments.cut import body_of, cut_functions, cut_lines, functions_of, leaks
from snippets.training.assignments.grade import Answers, write_answers
from snippets.training.assignments.manifest import FOLDER, for_students
from snippets.training.assignments.submit import write_zip
from snippets.training.assignments.worker import run_cases

PROJECT = ("setup.cfg", "pyproject.toml", "LICENSE", "training/render/page.css")  # without which nothing runs
GRADER = ("training/__init__.py", "training/assignments/*.py", "data/__init__.py", "data/files.py", "data/lock.py")
RIGHT_RUNS = 4  # of each part of a bug hunt
TRIES = 20  # inputs on which a bug may show, before it is left out of the hunt
PUBLIC_SEED = 0
SCRIPTS = {
    "setup.sh": """#!/usr/bin/env bash
set -e
apt-get update && apt-get install -y python3 python3-venv g++
python=python3
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    apt-get install -y python3.11 python3.11-venv
    python=python3.11
fi
"$python" -m venv /autograder/venv
/autograder/venv/bin/pip install "numpy >= 2.2, < 3" "av >= 18, < 20" threadpoolctl tqdm
""",
    "run_autograder": """#!/usr/bin/env bash
chmod 700 /autograder/source /autograder/results
cd /autograder/source
/autograder/venv/bin/python -m snippets.training.assignments.grade \\
    /autograder/submission . /autograder/results/results.json --user nobody
""",
}


def twist_of(assignment, seed):
    """The file of the twist that a course of this seed gets, None for an assignment without."""
    return (
        assignment.folder / "twists" / f"{assignment.twists[seed % len(assignment.twists)]}.py"
        if assignment.twists
        else None
    )


def solution(assignment, file, seed):
    """The text that answers a question's file: the library's, or the twist's; "" for what has no solution."""
    if file.endswith("/twist.py"):
        return twist_of(assignment, seed).read_text(encoding="utf-8")
    return (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""


def labels(assignment):
    """{file: {function: what stands in its stub}} of all that is cut."""
    found = {}
    for question in assignment.questions:
        if not question.hunt:
            found.setdefault(question.file, {}).update(dict.fromkeys(question.functions, question.title))
    for file, functions in assignment.also_cut.items():
        found.setdefault(file, {}).update(dict.fromkeys(functions, f"left out of {assignment.name.upper()}"))
    return found


def matching(patterns):
    """Files of the checkout that match, by their paths from its root."""
    paths = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def student_files(assignment, seed):
    """{path: text} of the released tree, but for the answers. ValueError if it holds anything of the solutions."""
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file in (*PROJECT, *matching(assignment.release))}
    for folder in (FOLDER / "common", assignment.folder):
        texts |= {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())
                  if path.suffix in (".md", ".py", ".ipynb")}  # fmt: skip
    texts["assignment/cases.py"] = texts.pop("cases.py")
    bodies = []
    for file, functions in labels(assignment).items():
        text = solution(assignment, file, seed)
        bodies += [body_of(node) for node in functions_of(text, functions, file)]
        texts[file] = cut_functions(text, functions, file)
    for span in assignment.equations:
        file = span["file"]
        texts[file] = cut_lines(texts[file], span["first"], span["until"], span["instead"], file)
    found = leaks(bodies, texts)
    if found:
        told = "\n  ".join(f"{file}: {statement}" for file, statement in found[:10])
        raise ValueError(f"{assignment.name} would give away {len(found)} statements:\n  {told}")
    return texts


def planted():
    """{file: {name: Bug}} of planted_bugs.txt and planted_kernel_bugs.txt."""
    found = {}
    for listing in ("planted_bugs.txt", "planted_kernel_bugs.txt"):
        for bug in read_bugs((ROOT / "tests" / "kit" / listing).read_text(encoding="utf-8")):
            found.setdefault(bug.file, {})[bug.name] = bug
    return found


def bugs_of(assignment, question, seed):
    """[(Bug, hint)] of a question's mistakes. ValueError for a name that planted_bugs.txt does not have."""
    known, twist, found = planted().get(question.file, {}), twist_of(assignment, seed), []
    for mistake in question.mistakes:
        name, hint = mistake.get("bug"), mistake["hint"]
        if name and name not in known:
            raise ValueError(f"{question.title}: planted_bugs.txt has no bug {name!r} of {question.file}")
        if mistake.get("twist") in (None, twist and twist.stem):
            bug = known[name] if name else Bug(hint, question.file, [[mistake["old"], mistake["new"]]])
            found.append((bug, hint))
    return found


def drawn(module, question, cases, parts, rng):
    """Inputs {part/case: {name: array}} of a question, float64 but for the case named float32."""
    found = {}
    for part in parts:
        table = cases["OWN" if part == "own" else "CALLS"]
        for kind, sizes in cases["CASES"][part].items():
            if question.name in table and question.points[part]:
                arrays = {name: np.asarray(a) for name, a in table[question.name][0](module, rng, **sizes).items()}
                if kind == "float32":
                    arrays = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}
                found[f"{part}/{kind}"] = arrays
    return found


def flat(inputs):
    """{part/case: {name: array}} as {part/case/name: array}."""
    return {f"{case}/{name}": a for case, arrays in inputs.items() for name, a in arrays.items()}


def answers_of(assignment, question, parts, rng, seed):
    """The Answers of a question: inputs, right outputs, and the outputs of every planted bug that they tell apart."""
    cases = runpy.run_path(str(assignment.folder / "cases.py"))
    if question.hunt:
        return runs_to_judge(assignment, cases, parts, rng, seed)
    text = solution(assignment, question.file, seed)
    module = load(Bug("nothing", question.file, []), text)
    inputs = drawn(module, question, cases, parts, rng)
    asked = {case: arrays for case, arrays in inputs.items() if not case.startswith("own/")}
    right = run_cases(module, cases, question.name, asked)
    failed = [str(a) for key, a in right.items() if key.endswith("/error")]
    if failed:
        raise ValueError(f"{question.title}: the solution fails: {failed[0]}")
    outputs = {}  # by hint: bugs whose outputs are the same share one
    for bug, hint in bugs_of(assignment, question, seed):
        found = run_cases(load(bug, text), cases, question.name, asked)
        if not any(key.endswith("/error") for key in found) and differ(found, right):
            twin = next((other for other, arrays in outputs.items() if not differ(found, arrays)), None)
            outputs[f"{twin} Or: {hint}" if twin else hint] = outputs.pop(twin) if twin else found
    return Answers(flat(inputs), right, outputs)


def run_one(module, cases, question, arrays):
    """The outputs of a question's call on some arrays, None if it raises."""
    given = {"public/run": {name: np.asarray(a) for name, a in arrays.items()}}
    found = run_cases(module, cases, question.name, given)
    return None if "public/run/error" in found else {key.rpartition("/")[2]: a for key, a in found.items()}


def runs_to_judge(assignment, cases, parts, rng, seed):
    """The Answers of a bug hunt: recorded runs of the right and of wrong implementations, in random order."""
    name, draw = cases["HUNT"]
    question = assignment.question(name)
    mistakes = {bug.name: bug for bug, _ in bugs_of(assignment, question, seed)}
    wrong = planted().get(question.file, {}) | mistakes
    right_module = load(Bug("nothing", question.file, []))
    inputs, verdicts = {}, {}
    for part in (part for part in parts if part != "own"):
        runs = []
        for bug in [None] * RIGHT_RUNS + list(wrong.values()):
            module = load(bug) if bug else right_module
            for _ in range(TRIES if bug else 1):
                arrays = draw(right_module, rng)
                right, found = (run_one(m, cases, question, arrays) for m in (right_module, module))
                if bug is None or (found is not None and differ(found, right)):
                    given = {f"in_{name}": np.asarray(a) for name, a in arrays.items()}
                    runs.append((given | {f"out_{name}": a for name, a in found.items()}, bug is not None))
                    break
        keep = range(len(runs)) if part == "hidden" else [n for n, (_, bug) in enumerate(runs) if not bug or n % 2]
        for n, at in enumerate(rng.permutation(keep)):
            inputs |= {f"{part}/run{n}/{name}": a for name, a in runs[at][0].items()}
            verdicts[f"{part}/run{n}/verdict"] = np.array(int(runs[at][1]))
    return Answers(inputs, verdicts, {})


def write_tree(assignment, out, seed):
    """Write the students' tree, with the answers to its public part, into the folder out."""
    for file, text in student_files(assignment, seed).items():
        write(out / file, text)
    write_folder(assignment, out / "assignment", ("public", "own"), np.random.default_rng(PUBLIC_SEED), seed)


def write_folder(assignment, folder, parts, rng, seed):
    """Write questions.json and each question's answers into a folder."""
    write_json(folder / "questions.json", for_students(assignment))
    for question in assignment.questions:
        write_answers(folder / f"{question.name}.npz", answers_of(assignment, question, parts, rng, seed))


def new_folder(out):
    """The folder, which must be empty or not there yet. ValueError else."""
    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; choose a new folder")
    return out


def release(assignment, out, seed):
    """Write the students' tree of an assignment into a new folder. ValueError if it would give a solution away."""
    write_tree(assignment, new_folder(out), seed)


def release_grader(assignment, out, seed):
    """Write the teacher's grader into a new folder, and beside its files the zip of them; returns the zip's path."""
    out = new_folder(out)
    write_tree(assignment, out / "tree", seed)
    write_folder(assignment, out / "answers", ("public", "hidden", "own"), np.random.default_rng([seed, 1]), seed)
    write(out / "answers" / "cases.py", (assignment.folder / "cases.py").read_text(encoding="utf-8"))
    for file in matching(GRADER):
        write(out / "snippets" / file, (ROOT / file).read_text(encoding="utf-8"))
    for file, text in SCRIPTS.items():
        write(out / file, text)
    members = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    path = out / f"{assignment.name}-autograder.zip"
    write_zip(path, members, executable=SCRIPTS)
    return path
