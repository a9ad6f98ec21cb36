"""`train --heads`, its beginning and its end: which folds there are and what is said of them, and what is kept."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from film_features import T, config, videos

from snippets.data.features import FeatureSet
from snippets.data.open import DataSettings, DataSpec
from snippets.nets.inspect.fake import output_shape
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, load
from snippets.training.cli.main import parser
from snippets.training.settings import Settings
from snippets.training.small import heads
from snippets.training.small.crossval import Plan, Trial
from snippets.training.small.tune import Candidates

FOLDS = (([0, 1, 2, 3, 9], range(4, 8)), (range(4, 8), range(4)))


def test_a_head_joins_its_tower_where_both_give_and_read_the_same(monkeypatch):
    """Behind maps: one that reads anything, but for differences, which are of vectors. Behind vectors: all but maps."""
    asked, shape = [], []
    monkeypatch.setattr(heads, "output_shape", lambda layer, given: asked.append((layer, given)) or shape)
    found = {}
    for shape in ((1, 12), (1, 7, 7, 12)):
        for reads in ("any", "vectors", "maps"):
            for differences in (False, True):
                c = SimpleNamespace(reads=reads, differences=differences)
                found[len(shape), reads, differences] = heads.joins(SimpleNamespace(layer="a tower"), c)
    assert {key for key, yes in found.items() if yes} == {
        (2, "any", False), (2, "any", True), (2, "vectors", False), (2, "vectors", True), (4, "any", False)
    }  # fmt: skip
    assert set(asked) == {("a tower", (1, 224, 224, 3))}


@pytest.mark.parametrize("tower, head, tap", [("googlenet", "lstm", "vector"), ("alexnet", "conv", "auto")])
def test_a_head_behind_its_tower_is_a_network_for_videos(tower, head, tap):
    """The tower as it was trained, the head as it was trained on features."""
    model = NetConfig(2, tower, "single", 1, 36, 0.05, vector=12, fc=6, dropout=0.5)
    known = build(model, seed=1).layers["tower"]
    model = replace(model, auxiliary=0.3) if tower == "googlenet" else model  # of training alone
    dim, differences = int(np.prod(output_shape(known.layer, (1, 36, 36, 3))[1:])), head == "lstm"
    own = NetConfig(3, "features", head, 7, features=dim, units=4, depth=2, fc=5, differences=differences,
                    standardise=True)  # fmt: skip
    state = Checkpoint(build(own, seed=2).params, config=asdict(own), classes=list("abc"), fold=2, seed=9, videos=5)
    pixels = DataSettings(fps=5.0, count=None, mean=99.0)
    features = SimpleNamespace(model=SimpleNamespace(config=model, data=pixels), tower=known, about={"tap": "vector"})
    spec = SimpleNamespace(features=features, settings=DataSettings(fps=2.0, seconds=3.0, count=7, mean=1.0))
    found = heads.behind_tower(state, own, spec)
    wanted = {"head": head, "frames": 7, "classes": 3, "units": 4, "depth": 2, "fc": own.fc, "dropout": own.dropout}
    wanted |= {"differences": differences, "standardise": True, "auxiliary": 0.0, "tap": tap}
    assert found.config == asdict(model) | wanted
    assert found.data == asdict(replace(pixels, fps=2.0, seconds=3.0, count=7))
    assert (found.classes, found.fold, found.seed, found.videos) == (list("abc"), 2, 9, 5)
    params = {f"tower/{key}": a for key, a in known.params.items()} | state.params
    assert found.params.keys() == params.keys()
    for key, a in params.items():
        np.testing.assert_array_equal(found.params[key], a)


@pytest.fixture
def kept(monkeypatch):
    """What is trained, with settings that are chosen: a list of (settings, rows, frames, options)."""
    found, chosen = [], replace(Settings(), lr=0.5, seed=3)

    def train(net, data, settings, **how):
        found.append((settings, list(data.rows), data.frames, how))
        net.params["scores/b"][:] = 7

    monkeypatch.setattr(heads, "train", train)
    monkeypatch.setattr(heads, "chosen_settings", lambda trial, config, data: (chosen, f"{len(data)} seen"))
    return found, chosen


@pytest.mark.parametrize(
    "given, rows, told",
    [
        ((), range(24), "all 24 videos"),
        (FOLDS[:1], [0, 1, 2, 3, 9], "the 5 training videos"),
        (FOLDS, [0, 1, 2, 3, 9], "the 5 training videos of the first fold"),
    ],
)
def test_the_best_head_is_trained_and_kept(given, rows, told, kept, tmp_path, capsys):
    (trained, chosen), rows = kept, list(rows)
    configs = {"conv": config("conv", frames=4), "single": config("single", frames=1)}
    trial = Trial(videos(), configs, Settings(), Candidates(), Plan(), given=given, fold=2 if given else None)
    spec = DataSpec("f.npz", settings=DataSettings(count=7))
    for head, frames in (("conv", 4), ("single", 1)):
        heads.finish(trial, head, spec, [[f"video {i}", i] for i in range(24)], tmp_path)
        assert trained.pop() == (chosen, rows, frames, {"progress": False})
        path = tmp_path / "model.npz"
        assert capsys.readouterr().out.splitlines() == [
            f"the best head, {head}, trained on {told}; {len(rows)} seen", f"{path}: reads features, not videos"
        ]  # fmt: skip
        found = load(path)
        assert found.config == asdict(configs[head]) and found.data["count"] == 7
        assert (found.fold, found.seed, found.videos) == (trial.fold, 3, len(rows))
        assert found.content == [[f"video {i}", i] for i in rows] and found.settings["lr"] == 0.5
        assert (found.params["scores/b"] == 7).all() and (found.params["standardise/std"] != 1).any()
        assert not found.velocity and found.classes == ["a", "b"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_head_that_joins_its_tower_is_kept_behind_it(whole, kept, tmp_path, monkeypatch, capsys):
    asked, saved = [], []
    trial = Trial(videos(), {"conv": config("conv")}, Settings(), Candidates(), Plan())
    spec = replace(DataSpec("videos"), features=SimpleNamespace(tower="a tower"))
    monkeypatch.setattr(heads, "joins", lambda *given: asked.append(given) or whole)
    monkeypatch.setattr(heads, "behind_tower", lambda state, *given: (state.config, *given))
    monkeypatch.setattr(heads, "save", lambda *given: saved.append(given))
    heads.finish(trial, "conv", spec, [["v", 1]] * 24, tmp_path)
    c, ((path, state),) = trial.configs["conv"], saved
    assert asked == [("a tower", c)] and path == tmp_path / "model.npz"
    assert state == (asdict(c), c, spec) if whole else state.config == asdict(c)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        f"{path}; next: snippets predict {path} CLIP.mp4" if whole else f"{path}: reads features, not videos"
    )


@pytest.fixture
def opened(monkeypatch):
    """Where videos would be read and folds looked up: calls by name, of which some may be set to other answers."""
    found = SimpleNamespace(calls=[], folds=(None, ()), data=videos())

    def open_data(spec, frames, check):
        nothing = FeatureSet(found.data.stored, [], found.data.labels[:0], found.data.classes, [], frames, [])
        sides = nothing, found.data.in_clips(frames)
        found.checked = check(*sides)
        found.calls.append(("open", spec, frames))
        return sides

    monkeypatch.setattr(heads, "open_data", open_data)
    monkeypatch.setattr(heads, "folds_in", lambda *given: found.calls.append(("folds", *given)) or found.folds)
    monkeypatch.setattr(heads, "check_unseen_videos", lambda content, tests, path: found.calls.append(
        ("unseen", content, tests.rows, path)))  # fmt: skip
    monkeypatch.setattr(heads, "layout_of", lambda data: SimpleNamespace(name=f"layout of {data}"))
    return found


def trial_of(opened, tmp_path, data, *words, tower=None):
    """The trial of what is typed."""
    opened.calls.clear()
    args = parser("train").parse_args(["train", data, "--heads", "conv", "--folds", "3", *words])
    model = SimpleNamespace(checkpoint=tower)
    spec = SimpleNamespace(features=SimpleNamespace(model=model) if tower else None)
    found = heads.open_trial(args, spec, Plan(**heads.chosen(args, Plan)), tmp_path)
    assert (opened.checked.configs, opened.checked.given, found.out) == (found.configs, found.given, tmp_path)
    return found


def test_how_many_frames_are_read(opened, tmp_path):
    """As typed; else all of a file, and 30 of videos."""
    for data, words, frames in (
        ("f.npz", (), None), ("f.npz", ("--count", "5"), 5), ("f.npz", ("--count", "5", "--frames", "3"), 3),
        ("videos", (), 30), ("videos", ("--count", "5"), 5),
    ):  # fmt: skip
        found = trial_of(opened, tmp_path, data, *words)
        assert opened.calls[-1][0] == "open" and opened.calls[-1][2] == frames
        assert found.configs["conv"].frames == (frames or T)
    assert [name for name, *_ in opened.calls] == ["open"]  # without a tower nobody has seen these videos


def test_videos_may_count_as_films_of_their_own(opened, tmp_path):
    for how, groups in (("group", opened.data.groups), ("video", opened.data.names)):
        opened.data = videos()
        assert trial_of(opened, tmp_path, "f.npz", "--split-by", how).data.groups == groups


def test_a_tower_must_not_have_seen_what_tests(opened, tmp_path, capsys):
    tower = SimpleNamespace(content=[["v", 1]], fold=2)
    seen = ("--features-of", "t.npz")
    found = trial_of(opened, tmp_path, "videos", *seen, tower=tower)
    assert opened.calls[0][::3] == ("folds", 2) and opened.calls[0][1] == "videos"
    assert opened.calls[1] == ("unseen", tower.content, [*range(24)], "t.npz")
    assert (found.given, found.fold) == ((), None) and not capsys.readouterr().out
    opened.folds = (1, folds := ((range(16), range(16, 24)), (range(8, 24), range(8))))
    found = trial_of(opened, tmp_path, "videos", *seen, tower=tower)
    assert [call[2] for call in opened.calls if call[0] == "unseen"][:2] == [[*range(16, 24)], [*range(8)]]
    assert (found.given, found.fold) == (folds, 1)
    told = "layout of videos: tested on {}, not on folds made by group"
    assert capsys.readouterr().out.splitlines() == [told.format("the data's own 2 folds")]
    opened.folds = (None, (([0, 1, 4, 5, 8, 9, 12, 13], [6, 7, 10]),))
    opened.data.labels, opened.data.classes = np.where(np.arange(24) == 7, 2, opened.data.labels), list("abc")
    trial_of(opened, tmp_path, "videos", *seen, tower=tower)
    assert capsys.readouterr().out.splitlines() == [
        told.format("the data's own test videos"),
        "note: 1 of the test videos are of classes without a training video: they cannot be right",
    ]


def test_folds_are_checked_before_anything_is_read(opened, tmp_path):
    opened.data.groups = ["one film"] * 24
    with pytest.raises(ValueError, match="class a has 1 group of clips"):
        trial_of(opened, tmp_path, "f.npz")
    assert not opened.calls
