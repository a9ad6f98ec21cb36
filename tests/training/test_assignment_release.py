"""Course assignments: what students and teachers receive, and the commands they use."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pytest
from course import NAMES, SEED
from waiting import HANG

from snippets.training.assignments import manifest
from snippets.training.assignments.cut import body_of, functions_of, leaks
from snippets.training.assignments.release import answers_of, labels, release
from snippets.training.assignments.submit import unpack
from snippets.training.cli.main import main
from snippets.training.render.page import page

pytestmark = pytest.mark.assignments
courses = pytest.mark.parametrize("course", NAMES, indirect=True)


@courses
def test_points_add_up(course):
    questions = course.assignment.questions
    assert sum(question.total for question in questions) == 100
    shown = re.findall(r"^\| (\d\.\d) \| (\d+) \|", (course.assignment.folder / "README.md").read_text(), re.M)
    assert shown == [(question.id, str(question.total)) for question in questions]
    headings = re.findall(r"^# ## (\d\.\d) .*\((\d+) points\)", course.hand_out.read_text(), re.M)
    assert headings == shown


def texts_of(folder):
    """{name: text} of all files below a folder, and of what is in archives; of arrays, those that hold text."""
    texts = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                texts |= {f"{name} {key}": str(arrays[key]) for key in arrays.files if arrays[key].dtype.kind == "U"}
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as place:
                archive.extractall(place)
                texts |= {f"{name} {member}": text for member, text in texts_of(Path(place)).items()}
        else:
            texts[name] = path.read_bytes().decode("latin-1")
    return texts


@courses
def test_nothing_leaks(course):
    assignment, bodies = course.assignment, []
    for file, functions in labels(assignment).items():
        bodies += [body_of(node) for node in functions_of(course.answer(file), functions, file)]
    found = [*texts_of(course.grader).items(), *texts_of(course.student).items()]
    texts = {name: text for text, name in {text: name for name, text in found}.items()}  # most are there three times
    assert not leaks(bodies, texts)
    asked = tuple(file for file in assignment.files if file.endswith(".cu"))
    kinds = {name.rpartition(".")[2] for name, _ in found if not name.endswith(asked)}
    assert not kinds & {"pyc", "cu", "so", "git", "egg-info"}, kinds
    assert not [name for name, text in texts.items() for line in course.kit.DERIVED if line in text]
    others = [name for n, name in enumerate(assignment.twists) if n != SEED % len(assignment.twists)]
    assert not [name for name, text in texts.items() if re.search(rf"twists/({'|'.join(others)})\.py", text)]


def test_a_leak_is_found_with_other_names_too(a5, tmp_path):
    body = [body_of(node) for node in functions_of(a5.answer("layers/lstm.py"), ["gates_backward"], "")]
    kept = "delta_f[:] = dc * c_prev * f * (1 - f)"
    assert leaks(body, {"a.md": f"so `{kept}`"}) and not leaks(body, {"a.md": kept.replace("c_prev", "c")})
    renamed = "def step():\n    dcell = dcell + grad * out * (1 - th * th) + d_out * peep"
    assert leaks(body, {"a.py": renamed})
    with pytest.raises(ValueError, match="layers/conv_lstm.py: .*gates_backward"):
        release(replace(a5.assignment, also_cut={}), tmp_path / "none", SEED)
    assert not (tmp_path / "none").exists()


@courses
def test_all_answers_are_right_in_the_students_tree(course, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(course.solved)
    assert main(["assignment", "check"]) == 0, capsys.readouterr().out
    assert re.search(r"public: (\d+) of \1 bugs found", capsys.readouterr().out)
    assert main(["assignment", "submit", "--out", str(tmp_path / "a.zip")]) == 0
    monkeypatch.chdir(course.student)
    assert main(["assignment", "submit", "--out", str(tmp_path / "b.zip")]) == 1
    assert f"not written yet: {course.assignment.questions[0].title}" in capsys.readouterr().err


def test_what_a_student_sees(a5, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(a5.student / "layers")
    assert main(["assignment", "check", "gain"]) == 1
    assert "5.6 gain: not right yet\n    not written" in capsys.readouterr().out
    assert main(["assignment", "check", "5.9"]) == 1 and "no question '5.9'" in capsys.readouterr().err
    monkeypatch.chdir(a5.solved)
    assert main(["assignment", "check", "5.3", "gain"]) == 0 and main(["assignment", "hunt"]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["assignment", "check"]) == 1 and "no assignment here" in capsys.readouterr().err


def run_in(tree, tmp_path, *arguments):
    """A program of the tree's own package, in the tree: its exit status, and what it printed."""
    if not (tmp_path / "snippets").exists():
        (tmp_path / "snippets").mkdir()
        for name in ("layers", "nets", "data", "training"):
            shutil.copytree(tree / name, tmp_path / "snippets" / name)
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=env, capture_output=True, text=True, timeout=HANG
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@courses
def test_the_whole_program_starts_in_a_students_tree(course, tmp_path):
    status, printed = run_in(course.student, tmp_path, "-m", "snippets.training.cli.main", "--help")
    assert status == 0 and "make-data" in printed, printed


def test_wrong_syntax_is_one_sentence(a5, tmp_path):
    tree, command = tmp_path / "tree", ["-m", "snippets.training.cli.main"]
    shutil.copytree(a5.solved, tree)
    (tree / "layers" / "lstm.py").write_text("def gates_forward(a, c_prev, W_c):\n    return (a\n")
    status, printed = run_in(tree, tmp_path, *command, "assignment", "check", "gates_forward", "rnn_backward")
    told = "layers/lstm.py, line 2, is not Python ('(' was never closed): return (a"
    assert status == 1 and f"5.2 gates_forward: not right yet\n    every case: {told}" in printed
    assert "5.1 rnn_backward: right" in printed and "Traceback" not in printed
    status, printed = run_in(tree, tmp_path, *command, "summary", "--tower", "alexnet")
    assert status == 1 and printed.endswith(f"{told}\n") and printed.startswith("snippets: ")
    status, printed = run_in(tree, tmp_path, *command, "assignment", "submit", "--out", str(tmp_path / "a.zip"))
    assert status == 1 and printed == f"snippets: {told}\n"


def test_what_a_teacher_sees(a5, tmp_path, capsys):
    grader = str(a5.grader)
    assert main(["assignment", "list"]) == 0 and "5.3 gates_backward" in capsys.readouterr().out
    assert main(["assignment", "release", "a5", "--out", grader]) == 1 and "not empty" in capsys.readouterr().err
    assert main(["assignment", "release", "a9", "--out", str(tmp_path / "b")]) == 1 and "a5" in capsys.readouterr().err
    work = a5.write_work(tmp_path / "my work", rnn="def rnn_backward(dh, cache):\n    return (\n")
    command = ["assignment", "grade", str(work), "--grader", grader, "--out", str(tmp_path / "r.json")]
    assert main(command) == 0 and "layers/rnn.py, line 2, is not Python" in capsys.readouterr().out


def test_files_are_found_where_students_put_them(a5, tmp_path):
    work, files = a5.write_work(tmp_path / "my work"), a5.assignment.files
    flat, zipped = tmp_path / "flat", tmp_path / "nested.zip"
    flat.mkdir()
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in files:
            shutil.copy(work / file, flat)
            archive.write(work / file, f"Jo's a5/{file}")
    wanted = unpack(work, files, tmp_path / "one")
    assert unpack(flat, files, tmp_path / "two") == unpack(zipped, files, tmp_path / "three") == wanted
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as archive:
        for file in files:
            info = zipfile.ZipInfo("x")
            info.filename = f"Jo's a5/{file}".replace("/", "\\")  # given at once, it would be changed
            archive.writestr(info, (work / file).read_bytes())
    assert unpack(tmp_path / "windows.zip", files, tmp_path / "four") == wanted
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:  # a copy deeper down does not count
        for file in files:
            archive.writestr(f"a copy/of/{file}", "")
            archive.write(work / file, f"of/{file}")
    assert unpack(tmp_path / "twice.zip", files, tmp_path / "five") == wanted
    (flat / "rnn.py").unlink()
    with pytest.raises(ValueError, match="layers/rnn.py is missing"):
        unpack(flat, files, tmp_path / "two")


RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}


@courses
def test_a_released_tree_can_lie_on_windows(course):
    """Names without the characters and words that Windows keeps for itself, short, and apart also in small letters."""
    names = [path.relative_to(course.student).as_posix() for path in course.student.rglob("*")]
    assert len({name.lower() for name in names}) == len(names) and max(map(len, names)) < 120
    for part in {part for name in names for part in name.split("/")}:
        assert not re.search(r'[<>:"|?*\\\x00-\x1f]|[. ]$', part) and part.split(".")[0].lower() not in RESERVED


def test_a_file_with_windows_ends_of_lines_is_handed_in_and_right(a5, tmp_path, monkeypatch, capsys):
    tree = shutil.copytree(a5.solved, tmp_path / "tree")
    for file in a5.assignment.files:
        (tree / file).write_bytes((tree / file).read_text(encoding="utf-8").replace("\n", "\r\n").encode())
    monkeypatch.chdir(tree)
    assert main(["assignment", "check", "gates_forward"]) == 0, capsys.readouterr().out
    assert main(["assignment", "submit", "--out", str(tmp_path / "a.zip")]) == 0


def milestone(course):
    """The program in the last cell of the hand-out."""
    cells = jupytext.read(course.hand_out).cells
    return "import numpy as np\n" + [cell.source for cell in cells if cell.cell_type == "code"][-1]


@courses
def test_the_hand_out_is_a_pair_and_its_milestone_runs(course, tmp_path):
    cells = jupytext.read(course.hand_out).cells
    kept = nbformat.read(course.hand_out.with_suffix(".ipynb"), as_version=4)
    assert [(cell.cell_type, cell.source) for cell in cells] == [(cell.cell_type, cell.source) for cell in kept.cells]
    assert not any(cell.get("outputs") for cell in kept.cells)
    status, printed = run_in(course.solved, tmp_path, "-c", milestone(course))
    assert status == 0, printed
    course.kit.milestone(printed)


@pytest.mark.parametrize("course", ["a3"], indirect=True)
def test_the_students_googlenet_names_what_is_in_a_clip(course, shared, tmp_path, monkeypatch):
    files = dict(WEIGHTS="weights/bvlc_googlenet.npz", LABELS="weights/imagenet_synset_words.txt")
    for name, file in (files | dict(CLIP="clips/v_Basketball_g01_c01.avi")).items():
        monkeypatch.setenv(f"SNIPPETS_{name}", str(shared / file))
    status, printed = run_in(course.solved, tmp_path, "-c", milestone(course))
    (course.solved / "googlenet.npz").unlink()
    assert status == 0 and re.search(r"7\d\.\d %  volleyball", printed), printed


def test_the_demo_says_whose_code_it_ran(a5, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("snippets.training.cli.experiments.demo", lambda *args: None)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0 and "computed by" not in capsys.readouterr().out
    assert "omputed by" not in page("", "", [])
    monkeypatch.setattr(manifest, "ROOT", a5.student)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    assert "computed by your layers/rnn.py, layers/lstm.py, nets/frame_predictions.py\n" in capsys.readouterr().out
    assert "Computed by your layers/rnn.py, layers/lstm.py, nets/frame_predictions.py." in page("", "", [])


def test_inputs_come_from_the_seed(a5):
    def hidden(seed):
        rng, question = np.random.default_rng([seed, 1]), a5.assignment.question("lstm")
        return answers_of(a5.assignment, question, ("hidden",), rng, seed).right

    first, again, other = hidden(SEED), hidden(SEED), hidden(SEED + 1)
    assert all(np.array_equal(again[key], a) for key, a in first.items())
    assert not np.array_equal(other["hidden/wide/h"], first["hidden/wide/h"])
