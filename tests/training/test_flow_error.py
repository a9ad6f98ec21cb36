"""The table of `snippets flow-error`: who is asked for flow of which pairs, and what is said of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.flow.known import SCENES, KnownPair
from snippets.data.flow.tvl1 import TVL1
from snippets.training.bench import flow_truth
from snippets.training.bench.flow_truth import PEERS, cell, measured, methods, painted, table
from snippets.training.bench.jobs import flow


def test_ours_and_a_peer_get_the_first_frame_first(monkeypatch):
    """Ours with the parameters that are given, else the defaults."""
    asked = []
    monkeypatch.setattr(flow_truth, "tvl1", lambda *how: asked.append(how) or "ours")
    runs = SimpleNamespace(run=lambda: {"u": "theirs"})
    for name in ("opencv", "scikit-image"):
        job = {flow: lambda I0, I1, name=name: asked.append((name, I0, I1)) or runs}
        peer = SimpleNamespace(missing=lambda device: "", counterparts=lambda device, job=job: job)
        monkeypatch.setitem(PEERS, name, peer)
    few = TVL1(warps=1)
    by = methods(few, ("opencv", "scikit-image"))
    assert {name: method(1, 2) for name, method in by.items()} == {
        "ours": "ours", "opencv": "theirs", "scikit-image": "theirs",
    }  # fmt: skip
    assert asked == [(1, 2, few), ("opencv", 1, 2), ("scikit-image", 1, 2)]
    (ours,) = methods().values()
    ours(1, 2)
    assert asked[-1] == (1, 2, TVL1())
    monkeypatch.setitem(PEERS, "opencv", SimpleNamespace(missing=lambda device: f"not on {device}"))
    with pytest.raises(ValueError, match="--against opencv: not on cpu"):
        methods(against=["opencv"])


def test_each_scene_is_painted_three_times(monkeypatch):
    asked = []
    monkeypatch.setattr(flow_truth, "known_pair", lambda *how: asked.append(how) or how)
    monkeypatch.setattr(flow_truth, "measured", lambda pairs, by: (pairs, by))
    found = painted("methods")
    assert list(found) == list(SCENES) and asked == [(name, (240, 320), seed) for name in SCENES for seed in range(3)]
    assert all(
        pairs == [(name, (240, 320), n) for n in range(3)] and by == "methods" for name, (pairs, by) in found.items()
    )
    assert [pairs for pairs, _ in painted("methods", 1, (4, 5)).values()] == [[(name, (4, 5), 0)] for name in SCENES]


def test_errors_where_there_is_something_to_see_and_elsewhere():
    """More than a pixel off is wrong; what has no true flow counts nowhere."""
    truth = np.zeros((2, 4, 2))
    truth[1, 3] = np.nan
    visible = np.array([[True] * 4, [True, False, False, False]])
    pair = KnownPair(np.full((2, 4), 1.0), np.full((2, 4), 2.0), truth, visible)
    off = np.zeros((2, 4, 2))
    off[..., 0] = [[0.5, 1.0, 1.5, 0], [2, 4, 6, 99]]
    asked = []
    found = measured([pair, pair], {"a": lambda I0, I1: asked.append((I0, I1)) or np.stack([off, off])})
    assert found == {"a": (1.0, 0.4, 5.0)}
    assert [(frame.shape, frame.min(), frame.max()) for frame in asked[0]] == [((2, 2, 4), 1, 1), ((2, 2, 4), 2, 2)]
    whole = KnownPair(pair.I0, pair.I1, np.zeros((2, 4, 2)), np.ones((2, 4), bool))
    error, far, hidden = measured([whole], {"a": lambda I0, I1: off[None]})["a"]
    assert (error, far) == (114 / 8, 5 / 8) and np.isnan(hidden)


def test_a_cell_says_error_share_and_what_is_hidden():
    assert cell(0.1234, 0.0567, np.nan) == "0.123 (5.7%)" and cell(1, 1, 2.346) == "1.000 (100.0%; hidden 2.35)"
    lines = table({"x": {"a": (1, 0, np.nan), "b": (2, 0, np.nan)}, "y": {"a": (3, 0, 4), "b": (5, 0, 6)}}).splitlines()
    cells = [[text.strip() for text in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["", "a", "b"] and cells[2:] == [
        ["x", "1.000 (0.0%)", "2.000 (0.0%)"], ["y", "3.000 (0.0%; hidden 4.00)", "5.000 (0.0%; hidden 6.00)"],
    ]  # fmt: skip
