"""What the tools of assignments say to teachers and students who got something wrong; none is released here."""

from types import SimpleNamespace

import numpy as np
import pytest

from snippets.training.assignments import bugs, manifest, release
from snippets.training.assignments.calls import hunt, slopes, with_directions
from snippets.training.assignments.cut import cut_functions, cut_lines
from snippets.training.assignments.kernels import Kernels, read
from snippets.training.assignments.manifest import Question, read_assignment, student_tree
from snippets.training.assignments.submit import submit, unpack, unwritten
from snippets.training.assignments.worker import run_cases
from snippets.training.cli.main import main

KERNEL = """\
extern "C" __global__ void twice(REAL *x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = 2 * x[i];
}
"""


def said(call, *args, kind=ValueError):
    with pytest.raises(kind) as info:
        call(*args)
    return str(info.value)


def test_lines_to_cut_are_found_once_and_in_their_order():
    text = 'a = 1\nb = 2\nb = 3\n"""Text."""\nc = 4\n'
    assert cut_lines(text, "b = 2", "c", "cut", "x.py") == "a = 1\ncut\n\nc = 4\n"
    assert cut_lines(text, "a", '"""', "cut", "x.py") == 'cut\n"""Text."""\nc = 4\n'  # no empty line before a docstring
    assert cut_lines("ab\nac\n", "ab", "a", "cut", "x.py") == "cut\n\nac\n"  # until the next such line
    for first, until in (("d", "c"), ("b", "c"), ("c", "a"), ("c", "c"), ("a", "d")):
        words = f"x.py: no single line begins with {first!r}, with one below that begins with {until!r}"
        assert said(cut_lines, text, first, until, "cut", "x.py") == words
    assert "a.py: no function 'g', found f" in said(cut_functions, "def f():\n    return 1\n", {"g": "1.1"}, "a.py")


def test_a_students_kernels(tmp_path, monkeypatch):
    (tmp_path / "own.cu").write_text(KERNEL)
    kernels, x = read(tmp_path / "own.cu", "layers/own.cu"), np.arange(4, dtype=np.float32)
    kernels.run("twice", (1, 4), x, np.int32(4))
    assert x.tolist() == [0, 2, 4, 6]
    assert said(kernels.run, "thrice", (1, 4), x, 4) == "layers/own.cu: no kernel 'thrice', found twice"
    assert said(Kernels("", "layers/own.cu").run, "a", (1, 1)) == "layers/own.cu: no kernel 'a', found none"
    stub = KERNEL.replace("    if (i < n) x[i] = 2 * x[i];\n", '    // raise NotImplementedError("7.1 twice")\n')
    assert said(Kernels(stub, "x.cu").run, "twice", (1, 4), x, 4, kind=NotImplementedError) == "7.1 twice"
    wrong = Kernels(KERNEL.replace("2 * x[i];", "2 * y[i];"), "x.cu")
    told = said(wrong.run, "twice", (1, 4), x, np.int32(4))
    assert told.startswith("x.cu, line 3, is not C++ (") and told.endswith("): if (i < n) x[i] = 2 * y[i];")
    told = said(kernels.run, "twice", (1, 4), x, kind=TypeError)  # our own words, not the compiler's
    assert told == "twice takes 2 arguments, got 1"

    def other(*given):
        raise ValueError("of another kind")

    monkeypatch.setattr("snippets.training.assignments.kernels.watch", other)
    assert said(kernels.run, "twice", (1, 4), x, np.int32(4)) == "of another kind"


def test_what_is_handed_in(tmp_path):
    question = Question("q", "1.1", "a.py", ["f"], {})
    assignment = SimpleNamespace(questions=[question], files=["a.py"])
    out = tmp_path / "work.zip"
    assert said(submit, assignment, tmp_path, out) == f"a.py is missing in {tmp_path}; it answers {question.title}"
    (tmp_path / "a.py").write_text('def f():\n    raise NotImplementedError("1.1 f")\n')
    words = f"not written yet: {question.title}; --partial hands in what there is"
    assert said(submit, assignment, tmp_path, out) == words and not out.exists()
    assert submit(assignment, tmp_path, out, partial=True) == out
    assert list(unpack(out, ["a.py"], tmp_path / "tree")) == ["a.py"]
    assert (tmp_path / "tree" / "a.py").read_bytes() == (tmp_path / "a.py").read_bytes()
    words = f"{out}: b.py is missing, found a.py"
    assert said(unpack, out, ["b.py"], tmp_path / "tree") == words
    assert "a.py, line 2, is not Python ('(' was never closed): return (1" in said(
        unwritten, "def f():\n    return (1\n", ["f"], "a.py"
    )
    out.write_bytes(b"PK")
    assert said(unpack, out, ["a.py"], tmp_path / "tree").startswith(f"{out}: no zip file (")


def test_a_result_that_is_no_array_of_numbers():
    calls = {"CALLS": {"f": (None, lambda module, x: {"y": module(x)})}}
    x = {"public/small": {"x": np.arange(3.0)}}
    for result, told in ((None, "y is NoneType"), ("text", "y is str"), ([1, None], "y is list")):
        found = run_cases(lambda x, result=result: result, calls, "f", x)
        assert f"TypeError: {told}, expected an array of numbers" in str(found["public/small/error"])
    found = run_cases(lambda x: 2 * x, calls, "f", x)
    assert list(found) == ["public/small/y"] and found["public/small/y"].tolist() == [0, 2, 4]


def test_slopes_and_verdicts_of_cases(rng):
    """dy of y = sin x W: along a random direction, by the student's backward pass and by moving x and W."""
    module = SimpleNamespace(factor=1.0)

    def call(module, x, W, dy):
        dx = module.factor * np.cos(x) * (dy @ W.T)
        return dict(y=np.sin(x) @ W, dx=dx, dW=np.sin(x).T @ dy)

    arrays = dict(x=rng.standard_normal((3, 4)), W=rng.standard_normal((4, 2)), dy=rng.standard_normal((3, 2)))
    moved = with_directions(arrays, rng, ["x", "W"])
    assert set(moved) == {"x", "W", "dy", "to_x", "to_W"} and moved["to_W"].shape == (4, 2)
    found = slopes(call, module, **moved)
    by_hand = (np.cos(arrays["x"]) * (arrays["dy"] @ arrays["W"].T) * moved["to_x"]).sum()
    by_hand += (np.sin(arrays["x"]).T @ arrays["dy"] * moved["to_W"]).sum()
    assert found["analytic"] == pytest.approx(by_hand, rel=1e-12)
    assert found["numeric"] == pytest.approx(by_hand, rel=1e-8)
    module.factor = 1.01
    assert abs(slopes(call, module, **moved)["analytic"] - by_hand) > 1e-5

    def check(inputs, outputs):
        assert outputs["y"] == inputs["x"]

    student = SimpleNamespace(check=check)
    assert hunt(student, in_x=2, out_y=2) == {"verdict": 0} and hunt(student, in_x=2, out_y=3) == {"verdict": 1}


def test_what_a_teacher_wrote_wrongly(tmp_path, monkeypatch, capsys):
    a1 = read_assignment("a1")
    question = Question("q", "1.1", "layers/linear.py", ["f"], {}, mistakes=[{"bug": "no such bug", "hint": "why"}])
    words = f"{question.title}: planted_bugs.txt has no bug 'no such bug' of layers/linear.py"
    assert said(release.bugs_of, a1, question, 0) == words
    assert said(a1.question, "9.9").startswith("a1 has no question '9.9', expected one of 1.1 ")
    assert "no assignment 'b9' in " in said(read_assignment, "b9")
    assert f"{tmp_path}: no assignment here; change to the folder" in said(
        student_tree, tmp_path, kind=FileNotFoundError
    )
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "FOLDER", tmp_path)
        assert manifest.names() == []
        assert said(read_assignment, "a1").endswith("; there: none: work in a checkout of the project")
    monkeypatch.chdir(tmp_path)
    assert main(["assignment"]) == 1
    assert capsys.readouterr().err.startswith("snippets: say which: snippets assignment list, check, hunt, submit,")
    assert "a line starts with '?', expected one of == * - + #" in said(bugs.read_bugs, "== bug\n? what\n")
    bug = bugs.Bug("twice", "a.py", [["x", "y"]])
    assert "occurs 2 times in a.py, expected once" in said(bugs.source, bug, "x + x", kind=bugs.Stale)


def test_a_release_goes_into_a_new_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        assert release.new_folder(str(tmp_path / name)) == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    (tmp_path / "empty" / "a").touch()
    for write in (release.release, release.release_grader):
        assert said(write, None, tmp_path / "empty", 0) == f"{tmp_path / 'empty'} is not empty; choose a new folder"
