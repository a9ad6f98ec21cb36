"""Course assignments: what students and teachers receive, and the commands they use."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import jupytext
import nbformat
import numpy as np
import pytest
from course import A5, SEED, answer, write_work
from waiting import HANG

from snippets.training.assignments import manifest
from snippets.training.assignments.cut import body_of, functions_of, leaks
from snippets.training.assignments.release import answers_of, labels, release
from snippets.training.assignments.submit import unpack
from snippets.training.cli.main import main

pytestmark = pytest.mark.assignments
TWIST = A5.twists[SEED % len(A5.twists)]


def test_points_add_up():
    assert sum(question.total for question in A5.questions) == 100
    shown = dict(re.findall(r"^\| (5\.\d) \| (\d+) \|", (A5.folder / "README.md").read_text(), re.M))
    assert shown == {question.id: str(question.total) for question in A5.questions}


def test_nothing_leaks(student, grader):
    bodies, texts = [], {}
    for file, functions in labels(A5).items():
        bodies += [body_of(node) for node in functions_of(answer(file), functions, file)]
    for root in (student, grader):
        for path in sorted(root.rglob("*")):
            if path.is_file():
                texts[str(path.relative_to(root))] = path.read_bytes().decode("latin-1")
    with zipfile.ZipFile(grader / "a5-autograder.zip") as archive:
        texts |= {f"zip {name}": archive.read(name).decode("latin-1") for name in archive.namelist()}
    for path in sorted(grader.rglob("*.npz")):
        with zipfile.ZipFile(path) as archive:
            texts |= {f"{path.name} {name}": archive.read(name).decode("latin-1") for name in archive.namelist()}
    assert not leaks(bodies, texts)
    kinds = {name.rpartition(".")[2] for name in texts if not name.startswith("zip")}
    assert not kinds & {"pyc", "cu", "so", "git", "egg-info"}, kinds
    derived = ("delta_o = dh tanh", "dc_{t-1} = dc f", "da_t = (dh_t", "dW_co = sum")
    assert not [name for name, text in texts.items() for line in derived if line in text]
    others = [name for name in A5.twists if name != TWIST]
    assert not [name for name, text in texts.items() if re.search(rf"twists/({'|'.join(others)})\.py", text)]


def test_a_leak_is_found_with_other_names_too(tmp_path):
    body = [body_of(node) for node in functions_of(answer("layers/lstm.py"), ["gates_backward"], "")]
    kept = "delta_f[:] = dc * c_prev * f * (1 - f)"
    assert leaks(body, {"a.md": f"so `{kept}`"}) and not leaks(body, {"a.md": kept.replace("c_prev", "c")})
    renamed = "def step():\n    dcell = dcell + grad * out * (1 - th * th) + d_out * peep"
    assert leaks(body, {"a.py": renamed})
    with pytest.raises(ValueError, match="layers/conv_lstm.py: .*gates_backward"):
        release(replace(A5, also_cut={}), tmp_path / "none", SEED)
    assert not (tmp_path / "none").exists()


def test_what_a_student_sees(student, solved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(student / "layers")
    assert (
        main(["assignment", "check", "gain"]) == 1
        and "5.6 gain: not right yet\n    not written" in capsys.readouterr().out
    )
    assert main(["assignment", "submit", "--out", str(tmp_path / "a.zip")]) == 1
    assert "not written yet: 5.1 rnn_backward" in capsys.readouterr().err
    assert main(["assignment", "check", "5.9"]) == 1 and "no question '5.9'" in capsys.readouterr().err
    monkeypatch.chdir(solved)
    assert main(["assignment", "check", "5.3", "gain"]) == 0 and main(["assignment", "hunt"]) == 0
    assert re.search(r"public: (\d+) of \1 bugs found", capsys.readouterr().out)
    assert main(["assignment", "submit", "--out", str(tmp_path / "a.zip")]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["assignment", "check"]) == 1 and "no assignment here" in capsys.readouterr().err


def test_what_a_teacher_sees(grader, tmp_path, capsys):
    assert main(["assignment", "list"]) == 0 and "5.3 gates_backward" in capsys.readouterr().out
    assert main(["assignment", "release", "a5", "--out", str(grader)]) == 1 and "not empty" in capsys.readouterr().err
    assert main(["assignment", "release", "a9", "--out", str(tmp_path / "b")]) == 1 and "a5" in capsys.readouterr().err
    work = write_work(tmp_path / "my work", rnn="def rnn_backward(dh, cache):\n    return (\n")
    command = ["assignment", "grade", str(work), "--grader", str(grader), "--out", str(tmp_path / "r.json")]
    assert main(command) == 0 and "SyntaxError" in capsys.readouterr().out


def test_files_are_found_where_students_put_them(tmp_path):
    work = write_work(tmp_path / "my work")
    flat, zipped = tmp_path / "flat", tmp_path / "nested.zip"
    flat.mkdir()
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in A5.files:
            shutil.copy(work / file, flat)
            archive.write(work / file, f"Jo's a5/{file}")
    wanted = unpack(work, A5.files, tmp_path / "one")
    assert unpack(flat, A5.files, tmp_path / "two") == unpack(zipped, A5.files, tmp_path / "three") == wanted
    (flat / "rnn.py").unlink()
    with pytest.raises(ValueError, match="layers/rnn.py is missing"):
        unpack(flat, A5.files, tmp_path / "two")


def test_the_hand_out_is_a_pair_and_its_milestone_runs(solved, tmp_path):
    cells = jupytext.read(A5.folder / "a5.py").cells
    kept = nbformat.read(A5.folder / "a5.ipynb", as_version=4)
    assert [(cell.cell_type, cell.source) for cell in cells] == [(cell.cell_type, cell.source) for cell in kept.cells]
    assert not any(cell.get("outputs") for cell in kept.cells)
    (tmp_path / "snippets").mkdir()
    for name in ("layers", "nets", "data", "training"):
        shutil.copytree(solved / name, tmp_path / "snippets" / name)
    milestone = "import numpy as np\n" + [cell.source for cell in cells if cell.cell_type == "code"][-1]
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", milestone]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=HANG)
    pooling, lstm = (float(share) for share in re.findall(r"([\d.]+)%", done.stdout))
    assert pooling == 50 and lstm > 80, done.stdout + done.stderr


def test_the_demo_says_whose_code_it_ran(student, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("snippets.training.cli.experiments.demo", lambda *args: None)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0 and "computed by" not in capsys.readouterr().out
    monkeypatch.setattr(manifest, "ROOT", student)
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    assert "computed by your layers/rnn.py, layers/lstm.py, nets/frame_predictions.py\n" in capsys.readouterr().out


def test_inputs_come_from_the_seed():
    def hidden(seed):
        return answers_of(A5, A5.question("lstm"), ("hidden",), np.random.default_rng([seed, 1]), seed).right

    first, again, other = hidden(SEED), hidden(SEED), hidden(SEED + 1)
    assert all(np.array_equal(again[key], a) for key, a in first.items())
    assert not np.array_equal(other["hidden/wide/h"], first["hidden/wide/h"])
