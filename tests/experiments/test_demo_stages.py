"""What the demo does, by what it hands on: nothing is rendered or trained, every call is noted."""

import re
from contextlib import nullcontext
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.mini.make import KIND_NAMES, QUICK
from snippets.data.open import DataSettings
from snippets.nets.zoo import NetConfig
from snippets.training.experiments import demo
from snippets.training.experiments.demo import QUICK_STAGES, STAGES, run_stage
from snippets.training.settings import Settings


def test_the_stages_of_the_quick_demo():
    """Those of the full one stand on its page, in pages.txt."""
    towers = {"single": Settings(50, 8, 0.02, 0.96), "conv": Settings(6, 8, 0.02, 0.75), "lstm": None}
    assert {name: stage.tower for name, stage in QUICK_STAGES.items()} == towers
    heads = Settings(60, 16, 0.05, 0.97)
    assert QUICK_STAGES["lstm"] == replace(STAGES["lstm"], heads=heads)
    for name in ("single", "conv"):
        assert QUICK_STAGES[name] == replace(STAGES[name], tower=towers[name])
    assert [(stage.head, stage.start, stage.views) for stage in STAGES.values()] == [
        ("single", None, 24), ("conv", "single", 1), ("lstm", "conv", 1)
    ]  # fmt: skip
    assert [demo.tested_every(Settings(epochs=n)) for n in (1, 7, 8, 15, 16, 60)] == [1, 1, 1, 1, 2, 7]


class Videos:
    """As many videos of two classes."""

    classes = ["a", "b"]

    def __init__(self, side, count):
        self.side, self.labels = side, np.arange(count) % 2
        self.names, self.groups = [f"{side}{i}" for i in range(count)], [f"g{i}" for i in range(count)]

    def __len__(self):
        return len(self.names)

    def whole_video(self, i):
        return self.names[i]


HITS = (0.3, 0.9, 0.1, 0.5, 0.7)  # of the heads; in the middle is the fourth


@pytest.fixture
def told(monkeypatch):
    """{function: [(arguments, options)]} of what a stage calls; a net knows what it was built from."""
    calls, sets, hits = {}, (Videos("train", 3), Videos("test", 2)), iter(HITS)

    def stand_in(name, answer):
        def called(*args, **options):
            calls.setdefault(name, []).append((args, options))
            return answer(*args, **options)

        monkeypatch.setattr(demo, name, called)

    def build(config, seed, chunk=None):
        about = SimpleNamespace(config=config, seed=seed, chunk=chunk)
        return SimpleNamespace(about=about, params={"W": np.array([float(seed)])}, layers={"tower": "the tower"})

    stand_in("open_data", lambda spec, frames: sets)
    stand_in("build", build)
    stand_in("move_to_device", lambda net, device: net)
    stand_in("load", lambda path: SimpleNamespace(params=("those of", path)))
    stand_in("warm_start", lambda net, params: None)
    stand_in("train", lambda net, *_, **how: [("history", net.about.seed)])
    stand_in("frame_features", lambda tower, name: np.full((4, 6), int(name[-1])))
    stand_in("evaluate", lambda *_: SimpleNamespace(hit1=next(hits)))
    stand_in("save", lambda path, checkpoint: None)
    return calls, sets


@pytest.mark.parametrize("name, begun", [("single", False), ("conv", False), ("conv", True), ("lstm", False)])
def test_a_stage_trains_its_tower_and_five_heads_and_keeps_the_middle_one(name, begun, told, tmp_path, capsys):
    calls, sets = told
    stage, folder = STAGES[name], tmp_path / name / "tower"
    if begun:
        folder.mkdir(parents=True)
        (folder / "checkpoint.npz").touch()
    found = run_stage(name, stage, "root", tmp_path, 2, "cuda:1")
    (((spec, frames), _),) = calls["open_data"]
    assert (spec.path, spec.size, spec.cache, spec.progress, frames) == (
        "root", 55, tmp_path / "cache", False, stage.frames
    )  # fmt: skip
    given = dict(width=0.25, fc=0 if name == "lstm" else 128, dropout=0.3, units=128, depth=1)
    config = NetConfig(2, "alexnet", stage.head, stage.frames, 55, **given)
    above = replace(config, tower="features", features=6)
    nets = [net for (net, device), _ in calls["move_to_device"] if device == "cuda:1"]
    seeds = [10, 11, 12, 13, 14]  # five for every seed of the demo
    assert [(net.about.config, net.about.seed) for net in nets] == [(config, 2), *((above, seed) for seed in seeds)]
    assert nets[0].about.chunk == 16

    starts = [(("those of", tmp_path / stage.start / "tower" / "checkpoint.npz"), nets[0])] if stage.start else []
    starts = [] if begun else starts  # the demo was interrupted and goes on
    starts.append((nets[4].params, nets[0]))
    assert [(params, net) for (net, params), _ in calls["warm_start"]] == starts
    trained = calls["train"]
    if stage.tower:
        (net, videos), how = trained.pop(0)
        assert net is nets[0] and videos is sets[0] and how.pop("test") is sets[1]
        assert how == {
            "settings": replace(stage.tower, seed=2), "folder": folder, "config": asdict(config), "resume": begun,
            "fold": 1, "data": asdict(DataSettings()), "workers": 1, "evaluate_every": stage.tower.epochs // 8,
        }  # fmt: skip
    for ((net, videos, settings), how), head, seed in zip(trained, nets[1:], seeds, strict=True):
        assert net is head and settings == replace(stage.heads, seed=seed)
        assert (how["progress"], how["evaluate_every"]) == (False, stage.heads.epochs // 8) and len(how) == 3
        for features, kind in ((videos, 0), (how["test"], 1)):
            assert (features.names, features.groups) == (sets[kind].names, sets[kind].groups)
            assert features.labels is sets[kind].labels and features.classes == ["a", "b"]
            assert features.stored.feat[:, 0, 0].tolist() == list(range(len(sets[kind])))
            assert features.frames == stage.frames and features.stored.scale.tolist() == [1.0]
    assert {tower for (tower, _), _ in calls["frame_features"]} == {"the tower"}
    assert [args for args, _ in calls["evaluate"]] == [(net, how["test"], stage.views) for net in nets[1:]]

    (((path, kept), _),) = calls["save"]
    assert path == tmp_path / name / "checkpoint.npz" and list(kept.params) == ["W"] and kept.velocity == {}
    assert kept.params["W"].tolist() == [2.0] and kept.config == asdict(config)
    assert kept.settings == asdict(replace(stage.heads, seed=13)) and kept.data == asdict(DataSettings())
    assert (kept.classes, kept.fold, kept.seed, kept.videos) == (["a", "b"], 1, 2, 3)
    assert found.net is nets[0] and found.test_set is sets[1] and found.result is found.results[0]
    assert [result.hit1 for result in found.results] == [0.5, 0.1, 0.3, 0.7, 0.9]
    assert found.history == [("history", 2 if stage.tower else 13)]
    out, err = capsys.readouterr()
    begins = f"{stage.title}: {stage.tower.epochs} epochs of 3 clips of {stage.frames} frames\n" if stage.tower else ""
    assert (out, err) == (begins, "")  # no bar where nobody looks


@pytest.mark.parametrize("given", [(), (3, True, "cuda:1")])
def test_the_demo_runs_its_stages_and_prints_where_its_page_is(given, monkeypatch, tmp_path, capsys):
    seed, quick, device = given or (0, False, "cpu")
    told, pages, limits = [], [], []
    shares = {"Single frame": [0.5, 0.25], "Conv Pooling": [0.75, 0.5], "LSTM": [1.0, 0.75]}

    def stage(*args):
        told.append(args)
        return SimpleNamespace(results=shares[args[1].title])

    monkeypatch.setattr(demo, "make_mini", lambda *args, **options: (args, options))
    monkeypatch.setattr(demo, "run_stage", stage)
    monkeypatch.setattr(demo, "by_kind", lambda share: dict.fromkeys((*KIND_NAMES, "overall"), share))
    monkeypatch.setattr(demo, "write_page", lambda *args: pages.append(args) or args[0])
    monkeypatch.setattr(demo, "threadpool_limits", lambda *args: limits.append(args) or nullcontext())
    accuracies = demo.demo(str(tmp_path), *given)
    root = (tmp_path / "data", seed), QUICK if quick else {}
    stages = QUICK_STAGES if quick else STAGES
    assert told == [(name, stage, root, tmp_path, seed, device) for name, stage in stages.items()]
    assert limits == [(1, "blas")]
    assert accuracies == {title: dict.fromkeys((*KIND_NAMES, "overall"), share) for title, share in shares.items()}
    ((path, trained, known, by_title, typed),) = pages
    assert (path, known, typed) == (
        tmp_path / "report.html", accuracies, f"snippets demo --seed {seed}{' --quick' if quick else ''}"
    )  # fmt: skip
    assert {title: one.results for title, one in trained.items()} == shares
    assert by_title == {stage.title: stage for stage in stages.values()} and list(by_title) == list(shares)
    table, printed = demo.accuracy_table(accuracies), capsys.readouterr().out
    assert re.fullmatch(re.escape(f"{table}\n{path}\n") + r"\d+ s\n", printed)
