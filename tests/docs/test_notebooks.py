"""The walkthroughs: both halves of each pair agree, the stored outputs are fit to publish, everything still runs, and
the exercises' checks accept a right answer and no wrong one."""

import contextlib
import importlib.util
import io
import re

import jupytext
import nbformat
import numpy as np
import pytest
from conftest import ROOT
from waiting import HANG

from snippets.layers.core.check import GradientError, check_gradient

FOLDER = ROOT / "notebooks"
SOURCES = sorted(FOLDER.glob("[0-9]*.py"))

every_pair = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def execute_module():
    """notebooks/execute.py, which is no package's."""
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stored(source):
    """The .ipynb of a pair; a missing one is an error that says what to do."""
    path = source.with_suffix(".ipynb")
    assert path.exists(), f"{path.name} is missing: run python notebooks/execute.py {source.name[:2]}"
    return nbformat.read(path, as_version=4)


def test_both_walkthroughs_are_there():
    assert {source.name[:2] for source in SOURCES} >= {"01", "02"}
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {source.stem for source in SOURCES}


@every_pair
def test_pair_is_in_step(source):
    written, kept = jupytext.read(source), stored(source)
    assert [(c.cell_type, c.source) for c in kept.cells] == [(c.cell_type, c.source) for c in written.cells], (
        f"{source.stem}: the .ipynb is not that of the .py; run python notebooks/execute.py {source.name[:2]}"
    )
    assert kept.metadata.kernelspec.name == "python3"
    assert kept.metadata.jupytext.formats == "ipynb,py:percent"


@every_pair
def test_stored_outputs_are_fit_to_publish(source):
    kept = stored(source)
    nbformat.validate(kept)
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))  # run once, from top to bottom
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data"}  # no errors, no stray reprs
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}  # no warnings
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 4
    text = re.sub(r'"image/png": ".*?"', "", source.with_suffix(".ipynb").read_text())
    assert not re.search(r"/(home|root|tmp|work|usr|Users)/|[A-Z]:\\\\", text)
    assert not re.search(r"iopub|shell\.execute|\d{4}-\d\d-\d\dT\d\d", text)  # run times
    assert source.with_suffix(".ipynb").stat().st_size < 600_000


@every_pair
def test_runs(source):
    notebook = execute_module().execute(source, timeout=HANG)
    fresh = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in fresh:  # nothing on stderr: a warning in a cell is a fault, too
        assert not [o.text for o in cell.outputs if o.get("name") == "stderr"], cell.source


SOLUTIONS = {
    ("01", "leaky_backward"): "return dy * np.where(x > 0, 1, 0.1)",
    ("01", "normalise_backward"): """
        size = np.linalg.norm(x, axis=1, keepdims=True)
        return (dy - x / size * (dy * x / size).sum(axis=1, keepdims=True)) / size""",
    ("01", "strided_backward"): """
        dx = np.zeros_like(x)
        for p in range(len(dy)):
            dx[2 * p : 2 * p + 3] += dy[p] * TAPS
        return dx""",
    ("02", "leaky_sum_backward"): """
        dx = dy.copy()
        for t in reversed(range(x.shape[1] - 1)):
            dx[:, t] += 0.9 * dx[:, t + 1]
        return dx""",
    ("02", "coupled_backward"): "return dy * (C_PREV - G) * logistic(x) * (1 - logistic(x))",
}
WRONG = {"nothing": "return np.zeros_like(x)", "the identity": "return np.resize(dy, x.shape)", "no answer yet": "..."}


@pytest.mark.parametrize("number, name", SOLUTIONS)
def test_exercise(number, name):
    """The cells from "Exercises" on, run with an answer in place of the dots."""
    (source,) = FOLDER.glob(f"{number}_*.py")
    cells = jupytext.read(source).cells
    start = next(n for n, cell in enumerate(cells) if "## Exercises" in cell.source)
    code = [cell.source for cell in cells[start:] if cell.cell_type == "code"]
    at = next(n for n, text in enumerate(code) if f"def {name}(" in text)
    assert code[at].rstrip().endswith("...")  # still to be written

    def answer(body):
        """What the check prints for that body of the function."""
        names = {"np": np, "check_gradient": check_gradient}
        exec(code[0], names)  # mark()
        exec(code[at], names)
        body = "\n".join("    " + line.removeprefix(" " * 8) for line in body.splitlines())
        exec(f"def {name}(dy, x):\n{body}", names)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code[at + 1], names)
        return printed.getvalue()

    assert "right" in answer(SOLUTIONS[number, name])
    assert "not written yet" in answer(WRONG["no answer yet"])
    for wrong in ("nothing", "the identity"):
        with pytest.raises(GradientError):
            answer(WRONG[wrong])
