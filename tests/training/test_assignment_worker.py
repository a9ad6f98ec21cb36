"""What a student reads: of an error the last own line that it passed through, of wrong numbers their kind."""

import numpy as np
import pytest

from snippets.training.assignments.compare import hints, report
from snippets.training.assignments.worker import where


def raised(tree):
    """An error of NumPy's that a function in tree/layers/linear.py makes."""
    path = tree / "layers" / "linear.py"
    path.parent.mkdir()
    path.write_text("def forward(np, x):\n    return np.linalg.solve(x, x)\n")
    names = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    with pytest.raises(np.linalg.LinAlgError) as caught:
        names["forward"](np, np.zeros((2, 2)))
    return caught.value


def test_an_error_names_the_students_line_and_not_the_librarys(tmp_path):
    error = raised(tmp_path)
    text = f"LinAlgError: {error}"
    assert where(error, str(tmp_path)).splitlines() == [
        text, "  layers/linear.py, line 2: return np.linalg.solve(x, x)"
    ]  # fmt: skip
    assert where(error, str(tmp_path / "elsewhere")) == text and where(error, "") == text


RIGHT = {"dW": np.array([[3.0, -1.0, 2.0], [5.0, 4.0, -6.0]]), "db": np.array([[7.0, 8.0], [1.0, 9.0]])}
RIGHT["dx"] = np.array([[2.0, 8.0, 1.0], [-7.0, 0.5, 4.0]])
WRONG = {  # kind: (what is returned in place of the right numbers, what is said of it)
    "sign": ({"dW": -RIGHT["dW"]}, "dW[1, 2] is 6, expected -6 (shape (2, 3))\n  dW has the opposite sign"),
    "zero": ({"dW": np.zeros((2, 3))}, "dW[1, 2] is 0, expected -6 (shape (2, 3))\n  dW is zero everywhere"),
    "ratio": ({"dW": RIGHT["dW"] / 2}, "dW is 0.5 times what it should be, everywhere"),
    "transposed": ({"db": RIGHT["db"].T}, "db is transposed"),
    "order": ({"dW": RIGHT["dx"], "dx": RIGHT["dW"]}, "these are the numbers of dx: are the results in another order?"),
    "shape": ({"dW": RIGHT["db"]}, "dW has shape (2, 2), expected (2, 3)"),
    "turned": ({"dW": RIGHT["dW"].T}, "dW has shape (3, 2), expected (2, 3): it is transposed"),
    "dtype": ({"dW": RIGHT["dW"].astype(np.float32)}, "dW is float32, expected float64: results have the dtype"),
    "row": ({"dW": RIGHT["dW"] + [[1], [0]]}, "wrong only at index 0 of axis 0 (of 2); the rest is right"),
    "column": ({"dW": RIGHT["dW"] + [1, 0, 0]}, "wrong only at index 0 of axis 1 (of 3); the rest is right"),
    "finite": ({"dW": RIGHT["dW"] * [1, 1, np.inf]}, "dW holds numbers that are not finite"),
    "missing": ({"dW": None}, "missing: dW; not expected: nothing"),
    "more": ({"dy": RIGHT["dW"]}, "missing: nothing; not expected: dy"),
    "unwritten": ({"error": np.array("NotImplementedError: 1.1 forward")}, "not written yet"),
    "argument": (
        {"error": np.array("ValueError: assignment destination is read-only")},
        "read-only\n  the function writes into one of its arguments; copy it first",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_numbers_are_told_by_their_kind(kind):
    changed, told = WRONG[kind]
    got = {name: a for name, a in (RIGHT | changed).items() if a is not None}
    right, text = report("public/small", got, RIGHT)
    assert not right and told in text


def test_a_stub_of_another_question_is_named():
    stub = {"error": np.array("NotImplementedError: 1.1 forward\n  layers/a.py, line 3: raise")}
    assert report("public/small", stub, {}, "1.1 forward") == (False, "not written yet")
    assert report("public/small", stub, {}, "1.2 backward") == (False, "1.1 forward is not written yet")


def test_truth_values_are_compared():
    right, text = report("public/small", {"hits": np.array([True, True])}, {"hits": np.array([True, False])})
    assert not right and text.startswith("hits[1] is 1, expected 0")


def test_right_numbers_and_equal_slopes_say_nothing():
    assert report("public/small", dict(RIGHT), RIGHT) == (True, "")
    slopes = {"analytic": np.array(2.0), "numeric": np.array(2.0 + 1e-7)}
    assert report("own/slope", slopes, {}) == (True, "")
    right, text = report("own/slope", slopes | {"analytic": np.array(2.001)}, {})
    assert not right and "2.001 by the backward pass, 2.0000001 by the forward pass" in text
    for numeric in (0.0, np.nan):
        assert not report("own/slope", {"analytic": np.array(numeric), "numeric": np.array(numeric)}, {})[0]


def test_a_hint_is_of_the_bug_whose_outputs_are_all_the_students():
    a, b, c = np.ones(3), np.arange(3.0), np.full(3, 7.0)
    bugs = {"both": {"x": a, "y": b}, "one": {"x": a, "y": c}, "alone": {"y": b}, "another": {"x": a, "y": b, "z": c}}
    assert hints({"x": a, "y": b}, bugs) == ["both", "alone"]
    assert hints({"x": np.array("text"), "y": b}, bugs) == ["alone"]
