"""Walkthroughs that have arrays to move run on CuPy as they stand, but for sizes: without real data, and smaller.

What they assert of trainings that have not been finished is left out; all else that they assert holds.
"""

import sys

import jupytext
import matplotlib.pyplot as plt
import pytest
from conftest import ROOT

pytestmark = pytest.mark.cuda

UNTRAINED = {  # asserted after trainings
    'assert np.mean(coin["at random"]) > 65 and abs(np.mean(coin["by film"]) - 50) < 12': "",
    "assert by_length[24] > by_length[1] + 0.2": "",
    "assert fine_curve[-1] > 0.7 and scratch_curve[-1] > 0.9": "",
}
SIZES = {  # walkthrough: {what stands there: what is run}
    "05": {"range(4)": "range(1)", "16, 224)[::4]": "16, 224)[::16]"},
    "07": {"T, FPS = 30": "T, FPS = 6", "(won > 0).sum() > 5": "(won > 0).sum() > 4", "range(2000)": "range(100)",
           "seed < 200": "seed < 20", "shuffled, axis=0)[9]": "shuffled, axis=0)[5]"},
    "08": {"for film in range(32)": "for film in range(8)", "DRAWS = 20": "DRAWS = 1", "range(150)": "range(10)"},
    "10": {"render(range(40))": "render(range(2))", "render(range(100, 125))": "render(range(100, 102))",
           "steps=400": "steps=2", "steps=160": "steps=2", "steps=60": "steps=2",
           "(1, 2, 3, 4, 6, 8, 12, 24)": "(1, 24)", "frame[None, None], 120": "frame[None, None], 12"},
    "11": {"H, W, COUNT = 120, 160, 16": "H, W, COUNT = 60, 80, 2", "(1, 2, 5, 10, 20, 50, 100, 300)": "(1, 20)",
           "for _ in range(8)": "for _ in range(1)"},
}  # fmt: skip


@pytest.mark.parametrize("number", SIZES)
def test_a_walkthrough_runs_on_cupy(cp, number, tmp_path, monkeypatch):
    (source,) = (ROOT / "notebooks").glob(f"{number}_*.py")
    text, _, _ = source.read_text(encoding="utf-8").partition("# ## Exercises")
    for there, run in SIZES[number].items():
        assert text.count(there) == 1, f"{source.name}: {there}"
        text = text.replace(there, run)
    for there, run in UNTRAINED.items():
        text = text.replace(there, run)
    monkeypatch.setenv("SNIPPETS_DEVICE", "cuda")
    monkeypatch.setenv("SNIPPETS_SHARED", str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "notebooks"))
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.delitem(sys.modules, "walk", raising=False)
    plt.switch_backend("agg")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    names = {"__name__": "__main__"}
    for cell in jupytext.reads(text, fmt="py:percent").cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, source.name, "exec"), names)
    assert sys.modules.pop("walk").xp is cp
