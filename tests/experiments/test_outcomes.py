"""Outcomes of trainings hold over seeds and OpenBLAS kernels (`pytest -m outcomes`), and how that is found out."""

import numpy as np
import pytest
from outcomes import EXPERIMENTS, KERNELS, LONG, SEEDS, Outcome, asserted, hold, lacking, run_kernel

# the quick demo takes most of the time: two kernels for it, of AVX and of AVX2; all of them: `python -m tests.outcomes`
DEMO = ("Sandybridge", "Haswell")
TRIED = [(k, e) for k in KERNELS for e in EXPERIMENTS if e not in LONG and (e != "quick demo" or k in DEMO)]


@pytest.mark.outcomes
@pytest.mark.parametrize("kernel, experiment", TRIED)
def test_outcomes_hold_for_all_seeds(kernel, experiment):
    why = lacking(kernel)
    if why:
        pytest.skip(why)
    hold(run_kernel(kernel, experiment, SEEDS))


def test_an_outcome_knows_its_side():
    hold([Outcome("a", 0.5, "==", 0.5), Outcome("b", 1, "<", 2), Outcome("c", 2, ">=", 2)])
    with pytest.raises(AssertionError, match="c is 3, expected < 2"):
        hold([Outcome("a", 0.5, "==", 0.5), Outcome("c", 3, "<", 2)])
    assert Outcome("d", np.nan, ">", 0).holds is False
    assert Outcome("e", 1.5, "<", 2).room == Outcome("f", 2.5, ">", 2).room == 0.5
    assert Outcome("g", 0.6, "==", 0.5).room < 0


def test_a_kernel_that_is_not_there_is_named():
    assert "does not take the Nonsense kernels" in lacking("Nonsense")


def test_the_comparisons_of_a_notebook_are_its_outcomes(tmp_path, monkeypatch):
    text = "# %% [markdown]\n# ## 1.1 A\n\n# %%\nSEED = 0\nx = SEED + 1\nassert x == 1 and len([x]) < 3\n"
    text += "assert set([x]) == {1} and 0 < x < 3\nassert isinstance(x, int)\n"
    text = f"# %%\nimport math\n\n{text}\n# %% [markdown]\n# ## 1.2 B\n\n# %%\nassert x > 99\n"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "n.py").write_text(text)
    monkeypatch.setattr("outcomes.ROOT", tmp_path)
    numbers, others = [Outcome("`x`", 5, "==", 1), Outcome("`len([x])`", 1, "<", 3)], [
        Outcome("`set([x]) == {1}`", 0, "==", 1), Outcome("`0 < x < 3`", 0, "==", 1),
        Outcome("`isinstance(x, int)`", 1, "==", 1),
    ]  # fmt: skip
    assert asserted("n.py", ("1.1",), 4) == numbers + others
