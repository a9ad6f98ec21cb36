"""The walkthroughs: both halves of each pair agree, the stored outputs are fit to publish, everything still runs, and
the exercises' checks accept a right answer and no wrong one."""

import ast
import contextlib
import importlib.util
import io
import os
import re
import shutil

import jupytext
import nbformat
import pytest
from conftest import ROOT
from waiting import HANG

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


def test_every_walkthrough_is_a_pair_and_listed():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {source.stem for source in SOURCES}
    for page in (FOLDER / "README.md", ROOT / "README.md"):
        text = page.read_text(encoding="utf-8")
        missing = [source.stem for source in SOURCES if source.stem not in text]
        assert not missing, f"{page} does not name {missing}"
    for source in SOURCES:  # what the last line of a walkthrough names
        following = re.findall(r"\*\*Next:\*\* `(\w+)`", source.read_text(encoding="utf-8"))
        assert all((FOLDER / f"{name}.py").exists() for name in following), f"{source.stem}: {following}"


BETS = [source for source in SOURCES if source.name[:2] not in ("01", "02")]


@pytest.mark.parametrize("source", BETS, ids=lambda source: source.stem)
def test_a_walkthrough_bets_shows_and_asks(source):
    text = source.read_text(encoding="utf-8")
    assert re.search(r"^MY_BET = ", text, re.M) and "bet(" in text
    assert "**What to see:**" in text and "## Exercises" in text and "assert " in text
    assert not re.search(r"print\([^)]*\$\\", text), "TeX in printed output"


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
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
    text = re.sub(r'"image/png": ".*?"', "", source.with_suffix(".ipynb").read_text())
    assert not re.search(r"/(home|root|tmp|work|usr|Users)/|[A-Z]:\\\\", text)
    assert not re.search(r"iopub|shell\.execute|\d{4}-\d\d-\d\dT\d\d", text)  # run times
    assert source.with_suffix(".ipynb").stat().st_size < 1_200_000


@pytest.mark.notebooks
@every_pair
def test_runs(source):
    if source.name.startswith("13") and not shutil.which(os.environ.get("CXX", "g++").split()[0]):
        pytest.skip("needs g++, or a compiler in $CXX")
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
        dx = dc.copy()
        for t in reversed(range(x.shape[1] - 1)):
            dx[:, t] += 0.9 * dx[:, t + 1]
        return dx""",
    ("02", "coupled_backward"): "return dc * (C_PREV - G) * logistic(a) * (1 - logistic(a))",
    ("03", "softsign_backward"): "return dy / (1 + abs(x)) ** 2",
    ("03", "gated_backward"): """
        o = 1 / (1 + np.exp(-BEFORE - PEEPHOLE * c))
        return dh * o * (1 - np.tanh(c) ** 2) + dh * np.tanh(c) * o * (1 - o) * PEEPHOLE""",
    ("04", "cols_backward"): """
        dx = np.zeros_like(x)
        for i in range(3):
            dx[i : len(x) - 2 + i] += dy[:, i]
        return dx""",
    ("04", "saving"): "return (t * k / (t + k - 1)) ** 2",
    ("05", "divisive_backward"): """
        s = 1 + (x**2).sum(axis=1, keepdims=True)
        return dy / s - 2 * x * (dy * x).sum(axis=1, keepdims=True) / s**2""",
    ("05", "one_sided_backward"): """
        s = 1 + np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1) ** 2
        dx = dy / s
        dx[:, :-1] -= 2 * x[:, :-1] * (dy * x / s**2)[:, 1:]
        return dx""",
    ("06", "inception_parameters"): """
        n1, r3, n3, r5, n5, proj = row
        return C * (n1 + r3 + r5 + proj) + 9 * r3 * n3 + 25 * r5 * n5 + sum(row)""",
    ("06", "convolution_products"): "return k * k * C * F * Ho * Wo",
    ("07", "windows_backward"): """
        dx = np.zeros_like(x)
        for m in range(len(dy)):
            dx[2 * m + x[2 * m : 2 * m + 4].argmax()] += dy[m]
        return dx""",
    ("07", "soft_backward"): "return dy * np.exp(x) / np.exp(x).sum(axis=0)",
    ("08", "acquainted"): "return np.mean([f in films[~test] for f in films[test]])",
    ("08", "coin_accuracy"): "return share + (1 - share) / 2",
    ("09", "my_wilson"): """
        z = 1.96
        q = np.roots([1 + z**2 / n, -2 * p - z**2 / n, p * p])
        return tuple(np.sort(q.real))""",
    ("09", "upset"): "return norm.cdf((b - a) / np.hypot(s, s))",
    ("10", "max_backward"): "return dy[:, None] * (x == x.max(axis=1, keepdims=True))",
    ("10", "mean_backward"): "return np.broadcast_to(dy[:, None] / x.shape[1], x.shape).copy()",
    ("11", "difference_backward"): """
        dx = np.zeros_like(x)
        dx[:, 1:] += dy[:, :-1]
        dx[:, :-1] -= dy[:, :-1]
        return dx""",
    ("11", "read_backward"): """
        left, dx = np.floor(PLACES).astype(int), np.zeros_like(x)
        np.add.at(dx, left, (1 - PLACES + left) * dy)
        np.add.at(dx, left + 1, (PLACES - left) * dy)
        return dx""",
    ("12", "late"): """
        w = {t: 1.0 for t in range(-delay, 1)}
        for t in range(steps):
            w[t + 1] = w[t] - rate * w[t - delay]
        return [w[t] for t in range(1, steps + 1)]""",
    ("12", "synchronous_step"): "return 2 - 1 / (R + 1)",
    ("14", "looks_like_a_maximum"): """
        x = np.random.default_rng(5).standard_normal((2, 6, 3)) - 9
        same = np.array_equal(pool(x), pool(x[:, ::-1]))
        higher = x.copy()
        higher[:, 2] += 99
        return same and np.array_equal(pool(x[:, :1]), x[:, 0]) and np.array_equal(pool(higher), higher[:, 2])""",
    ("14", "upstream_that_tells"): "return np.eye(y.shape[1])[y.argmax(axis=1)]",
    ("13", "elements_of"): "return list(range(block * threads + thread, n, blocks * threads))",
    ("13", "sectors_of"): "return len({4 * stride * t // 32 for t in range(32)})",
}


@pytest.mark.parametrize("number, name", SOLUTIONS)
def test_exercise(number, name, monkeypatch):
    """The cells from "Exercises" on, run with an answer in place of the dots."""
    (source,) = FOLDER.glob(f"{number}_*.py")
    monkeypatch.syspath_prepend(str(FOLDER))
    cells = jupytext.read(source).cells
    first = next(cell.source for cell in cells if cell.cell_type == "code")
    imports = "\n".join(ast.unparse(s) for s in ast.parse(first).body if isinstance(s, ast.Import | ast.ImportFrom))
    start = next(n for n, cell in enumerate(cells) if "## Exercises" in cell.source)
    code = [cell.source for cell in cells[start:] if cell.cell_type == "code"]
    at = next(n for n, text in enumerate(code) if f"def {name}(" in text)
    assert code[at].rstrip().endswith("...")  # still to be written
    (function,) = [f for f in ast.parse(code[at]).body if isinstance(f, ast.FunctionDef) and f.name == name]
    header, arguments = f"def {name}({ast.unparse(function.args)}):", [a.arg for a in function.args.args]

    def answer(body):
        """What the check prints for that body of the function."""
        names = {}
        exec(imports, names)
        exec(code[at], names)
        body = "\n".join("    " + line.removeprefix(" " * 8) for line in body.splitlines())
        exec(f"{header}\n{body}", names)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code[at + 1], names)
        return printed.getvalue()

    assert "right" in answer(SOLUTIONS[number, name])
    assert "not written yet" in answer("...")
    gradient = len(arguments) == 2 and arguments[0].startswith("d")
    wrong = ["return [0, 0, 0]", "return -1.5"]
    if gradient:
        dy, x = arguments
        wrong = [f"return np.zeros_like({x})", f"return np.resize({dy}, {x}.shape)"]
    for body in wrong:
        with pytest.raises((AssertionError, ValueError)):
            answer(body)
