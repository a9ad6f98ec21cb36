"""What a student reads: of an error the last own line that it passed through, of wrong numbers their kind."""

import numpy as np
import pytest

from snippets.training.assignments.compare import differ, distance, fault, hints, of_case, report, same
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
    "corner": (
        {"dW": RIGHT["dW"] + [[1, 0, 2], [0, 0, 0]]},
        "dW[0, 2] is 4, expected 2 (shape (2, 3))\n  wrong only at index 0 of axis 0 (of 2); the rest is right",
    ),
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


def test_distances_are_shares_of_the_largest_right_number():
    inf, nan = np.inf, np.nan
    found = distance(np.array([3.0, -1.0, inf, nan, nan, 1.0, inf]), np.array([2.0, -4.0, inf, nan, 1.0, inf, -inf]))
    assert found[:4].tolist() == [0.25, 0.75, 0, 0] and (found[4:] > 1e300).all()
    assert distance(np.array([1e-12, 0.0]), np.zeros(2)).tolist() == [1, 0]  # where all right numbers are zero
    one, two = np.array([1.0]), np.array([2.0])
    assert same(two, one, 1.0) and not same(two, one, 0.5) and same(one, two, 0.5) and not same(one, one[0])
    assert of_case({"a/b/x": 1, "a/bb/x": 2, "a/b/y": 3}, "a/b") == {"x": 1, "y": 3}


@pytest.mark.parametrize("dtype, share", [(np.float32, 1e-3), (np.float64, 1e-6)])
def test_numbers_may_differ_by_as_much_as_their_dtype_rounds(dtype, share):
    right = {"y": np.array([1.0, 0.0], dtype)}
    assert fault("y", np.array([1, 0.9 * share], dtype), right) == ""
    assert fault("y", np.array([1, 1.5 * share], dtype), right).startswith(f"y[1] is {1.5 * share:.8g}, expected 0 (")
    assert fault("y", np.array([1, 1e-6]), {"y": np.array([1.0, 0.0])}) == ""  # no further than that


def test_few_numbers_are_not_taken_for_those_of_another_array():
    """Three may be alike by chance; nor is there a rest that is right where an axis has one index alone."""
    for size in (3, 4):
        right = {"db": np.arange(1.0, size + 1), "dh": np.arange(size, 0.0, -1.0) ** 2}
        told = fault("db", right["dh"], right)
        assert told == f"db[0] is {size * size}, expected 1 (shape ({size},))" + (
            "\n  these are the numbers of dh: are the results in another order?" if size == 4 else ""
        )
    right = {"db": np.array([[3.0, 5.0, 4.0]])}
    told = fault("db", right["db"] + [[0, 1, 0]], right)
    assert told.endswith("\n  wrong only at index 1 of axis 1 (of 3); the rest is right")
    assert fault("db", right["db"] + [[1, 2, 0]], right) == "db[0, 1] is 7, expected 5 (shape (1, 3))"


def test_slopes_may_differ_by_a_millionth_of_the_larger_one():
    for analytic, numeric, right in ((1e6, 1e6 - 1, True), (1e6 - 1, 1e6, True), (1e6, 1e6 - 1.5, False)):
        found = report("own/slope", {"analytic": np.array(analytic), "numeric": np.array(numeric)}, {})
        assert found[0] == right and (found[1] == "") == right


def test_names_that_lack_are_listed_up_to_eight():
    names = {f"d{n}": np.zeros(1) for n in range(9)}
    listed = ", ".join(list(names)[:8])
    assert report("public/small", {}, names) == (False, f"missing: {listed}; not expected: nothing")
    assert report("public/small", names, {}) == (False, f"missing: nothing; not expected: {listed}")


def test_hints_are_of_the_same_numbers_to_rounding():
    for dtype, within, beyond in ((np.float32, 9e-6, 1.5e-5), (np.float64, 9e-7, 1.5e-6)):
        bugs = {"hint": {"x": np.array([1.0, 0.0], dtype)}}
        assert hints({"x": np.array([1.0, within], dtype)}, bugs) == ["hint"]
        assert hints({"x": np.array([1.0, beyond], dtype)}, bugs) == []


def test_outputs_differ_in_any_array():
    right = {"x": np.ones(3), "y": np.zeros(2)}
    assert not differ(right | {"z": np.ones(1)}, right)
    assert differ({"x": right["x"]}, right) and differ(right | {"y": np.array([0.0, 1.0])}, right)
