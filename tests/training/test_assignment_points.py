"""Points and words of one question, from outputs that are made up: nothing runs here."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from snippets.training.assignments.grade import Answers, Grade, judge, read_answers, show, stranger, write_answers
from snippets.training.assignments.manifest import Question

QUESTION = Question("1.1", "f", "a.py", ["f"], {"public": 3, "hidden": 10, "own": 4})
CASES = ("public/small", "hidden/small", "hidden/wide", "hidden/odd", "own/slope")
ONE, SIGN = np.arange(1.0, 6), "\n  y has the opposite sign"


def answers(bugs=(), cases=CASES):
    """To cases with an input x and an output y; bugs: factors of y, by their hints."""
    own = {case: case.startswith("own/") for case in cases}
    right = {f"{case}/y": k * ONE for k, case in enumerate(cases, 1) if not own[case]}
    found = {hint: {key: factor * a for key, a in right.items()} for hint, factor in dict(bugs).items()}
    return Answers({f"{case}/x": ONE for case in cases}, right, found)


def outputs(known, slope=1.0, **wrong):
    """Right ones but for cases given by their names (_ for /): a factor of y, or an error's text."""
    found = dict(known.right)
    for case, value in ((name.replace("_", "/"), value) for name, value in wrong.items()):
        y = found.pop(f"{case}/y")
        found[f"{case}/{'error' if isinstance(value, str) else 'y'}"] = (
            np.array(value) if isinstance(value, str) else value * y
        )
    return found | {"own/slope/analytic": np.array(slope), "own/slope/numeric": np.array(1.0)}


def test_points_are_shares_of_each_part():
    known = answers()
    assert judge(QUESTION, known, outputs(known)) == Grade(17.0, True, "")
    text = "hidden/wide: y[4] is -15, expected 15 (shape (5,))" + SIGN
    also = "but the backward pass is the derivative of your forward pass"
    assert judge(QUESTION, known, outputs(known, hidden_wide=-1)) == Grade(13.67, False, f"{text}\n{also}")
    assert judge(QUESTION, known, outputs(known, slope=2.0, hidden_wide=-1)) == Grade(9.67, False, text)
    found = judge(QUESTION, known, outputs(known, public_small=-1))
    assert found == Grade(14.0, False, f"public/small: y[4] is -5, expected 5 (shape (5,)){SIGN}\n{also}")
    # who has all else right has these points, too: a slope that rounding spoils costs nothing
    assert judge(QUESTION, known, outputs(known, slope=2.0)) == Grade(17.0, True, "")
    thirds = replace(QUESTION, points={"public": 1 / 3, "hidden": 4 / 3, "own": 2 / 3})
    assert judge(thirds, known, outputs(known)).score == 2.33
    known = answers(cases=(*CASES, "own/other"))  # of two slopes one is wrong
    found = outputs(known, hidden_wide=-1) | {"own/other/analytic": np.array(2.0), "own/other/numeric": np.array(1.0)}
    assert judge(QUESTION, known, found) == Grade(11.67, False, text)


def test_parts_without_cases_give_nothing():
    known = answers(cases=CASES[:2])
    found = {key: a for key, a in outputs(known, hidden_small="TypeError: no").items() if not key.startswith("own/")}
    assert judge(QUESTION, known, found) == Grade(3.0, False, "hidden/small: TypeError: no")
    assert judge(QUESTION, known, known.right) == Grade(13.0, True, "")


def test_what_is_wrong_is_said_once():
    known, wrong = answers(), {case.replace("/", "_"): "TypeError: no" for case in CASES[:4]}
    assert judge(QUESTION, known, outputs(known, 2.0, **wrong)).text == "every case: TypeError: no"
    wrong = {name: "NotImplementedError: 1.1 f" for name in wrong}
    needy = replace(QUESTION, needs=["g", "h"])
    for question in (QUESTION, needy):
        assert judge(question, known, outputs(known, 2.0, **wrong)) == Grade(0.0, False, "not written yet")
    wrong = dict(public_small="E: 1", hidden_odd="E: 2", hidden_small="E: 1")
    told = "public/small, hidden/small: E: 1\nhidden/odd: E: 2"
    assert judge(QUESTION, known, outputs(known, 2.0, **wrong)) == Grade(3.33, False, told)
    told += "\nit builds on g, h, which must be right first"
    assert judge(needy, known, outputs(known, 2.0, **wrong)) == Grade(3.33, False, told)
    known = answers(cases=(*CASES[:4], "hidden/even"))
    wrong = {case.replace("/", "_"): f"E: {n}" for n, case in enumerate(known.cases)}
    told = "\n".join(f"{case}: E: {n}" for n, case in enumerate(known.cases[:4]))
    assert judge(QUESTION, known, outputs(known, **wrong)).text == told  # no more than four


def test_a_known_mistake_is_named_first():
    known = answers({"Half of it.": 0.5, "The sign.": -1, "Nothing.": 1})
    wrong = {case.replace("/", "_"): -1 for case in CASES[:4]}
    found = judge(QUESTION, known, outputs(known, 2.0, **wrong)).text.splitlines()
    assert found[:2] == ["likely: The sign.", "public/small: y[4] is -5, expected 5 (shape (5,))"]
    assert sum(line.startswith("likely") for line in found) == 1


def test_a_function_from_elsewhere_is_judged_before_anything_else(tmp_path):
    known = answers()
    found = outputs(known) | {"source/f": np.array(str(tmp_path / "tree" / "a.py"))}
    assert judge(QUESTION, known, found, tmp_path / "tree").right and stranger(found, tmp_path / "tree") == ""
    told = (
        f"f comes from {tmp_path / 'tree' / 'a.py'}, which is not in {tmp_path / 'other'}: define it in your own file"
    )
    assert stranger(found, tmp_path / "other") == told
    assert judge(QUESTION, known, found, tmp_path / "other") == Grade(0.0, False, told)
    assert judge(QUESTION, known, found) == Grade(17.0, True, "")


HUNT = Question("1.9", "hunt", "hunt.py", ["check"], {"public": 3, "hidden": 10, "own": 0}, hunt=True)
BUGS = {"public": (0, 1, 1), "hidden": (1, 0, 0, 1, 1)}  # of each recorded run: whether it has a bug


def hunted(public=(0, 1, 1), hidden=(1, 0, 0, 1, 1), parts=("public", "hidden")):
    """The grade of these verdicts, or errors, on the runs of these parts."""
    given, verdicts = dict(public=public, hidden=hidden), {}
    right = {f"{part}/run{n}/verdict": np.array(bug) for part in parts for n, bug in enumerate(BUGS[part])}
    for part in parts:
        for n, verdict in enumerate(given[part]):
            name = "error" if isinstance(verdict, str) else "verdict"
            verdicts[f"{part}/run{n}/{name}"] = np.array(verdict)
    return judge(HUNT, Answers(right, right, {}), verdicts)


def test_a_hunt_counts_bugs_found_where_no_right_run_is_refused():
    public, hidden = (f"{part}: {{}} of {n} bugs found, and every right run passes" for part, n in
                      (("public", 2), ("hidden", 3)))  # fmt: skip
    assert hunted() == Grade(13.0, True, f"{public.format(2)}\n{hidden.format(3)}")
    assert hunted(parts=("public",)) == Grade(3.0, True, public.format(2))
    assert hunted(hidden=(1, 0, 0, 0, 1)) == Grade(9.67, False, f"{public.format(2)}\n{hidden.format(2)}")
    assert hunted(public=(0, 0, 1)) == Grade(11.5, False, f"{public.format(1)}\n{hidden.format(3)}")
    refused = "hidden: the check refuses 1 of 2 right runs"
    assert hunted(hidden=(1, 1, 0, 1, 1)) == Grade(3.0, False, f"{public.format(2)}\n{refused}")
    refused = "public: the check refuses 1 of 1 right runs"
    assert hunted(public=(1, 1, 1)) == Grade(10.0, False, f"{refused}\n{hidden.format(3)}")


@pytest.mark.parametrize(
    "error, told",
    [
        ("NotImplementedError: 1.9 hunt", "not written yet"),
        ("NotImplementedError: 1.1 f", "1.1 f is not written yet"),
        ("KeyError: 'y'", "KeyError: 'y'"),
    ],
)
def test_a_check_that_fails_is_told_once(error, told):
    assert hunted(public=(error,) * 3, hidden=("other", *(error,) * 4)) == Grade(0.0, False, f"{told}\nother")
    assert hunted(public=(error,) * 3, hidden=(error,) * 5) == Grade(0.0, False, told)
    found = hunted(public=(0, 1, error))  # on a run with a bug: what was found counts
    assert found == Grade(11.5, False, f"{told}\nhidden: 3 of 3 bugs found, and every right run passes")


def test_answers_are_kept_with_their_hints(tmp_path):
    known = answers({f"hint {n}": 0.5 + n for n in range(11)})
    write_answers(tmp_path / "f.npz", known)
    with zipfile.ZipFile(tmp_path / "f.npz") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
    found = read_answers(tmp_path / "f.npz")
    assert found.cases == list(CASES) and list(found.bugs) == list(known.bugs)
    for ours, theirs in zip((found.inputs, found.right, *found.bugs.values()),
                            (known.inputs, known.right, *known.bugs.values()), strict=True):  # fmt: skip
        assert ours.keys() == theirs.keys() and all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    write_answers(tmp_path / "own.npz", answers(cases=CASES[4:]))
    found = read_answers(tmp_path / "own.npz")
    assert (found.cases, found.right, found.bugs) == (["own/slope"], {}, {})


def test_a_grade_is_shown_with_its_words_below(capsys):
    show(QUESTION, Grade(13.5, False, "one\ntwo"))
    assert capsys.readouterr().out == "1.1 f: 13.5 of 17\n    one\n    two\n"
