"""`train --heads`: what each step hands on to the next, with made-up results; nothing is trained or decoded."""

import json
from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from film_features import T, config, videos

from snippets.data.features import FeatureSet, StoredFeatures, save_features
from snippets.data.open import DataSettings, DataSpec
from snippets.training.cli.main import parser
from snippets.training.distributed.ray_tasks import RayTasks
from snippets.training.evaluate import result_of
from snippets.training.experiments import statistics
from snippets.training.settings import Settings
from snippets.training.small import heads
from snippets.training.small.crossval import Plan, Trial
from snippets.training.small.tune import Candidates


def typed(*words):
    """Arguments of `snippets train`."""
    return parser("train").parse_args(["train", *map(str, words)])


def test_options_that_make_no_sense_with_heads(tmp_path):
    words = "--heads makes and tests its own folds, on CPUs: leave out --fold, --downpour, --init, --whole and --device"
    for name, value in dict(fold=1, downpour=2, init="a.npz", whole=True, device="cuda:0").items():
        args = typed("f.npz", "--heads", "conv")
        setattr(args, name, value)
        with pytest.raises(ValueError) as info:
            heads.train_heads(args, tmp_path)
        assert str(info.value) == words, name


def test_heads_need_features_of_some_kind(tmp_path, monkeypatch):
    """A file of them, a tower or weights; then it depends on the folder."""
    (tmp_path / "heads.json").write_text("{}")
    for words in (["f.npz"], ["videos", "--features-of", "t.npz"], ["videos", "--weights", "w.npz"]):
        with pytest.raises(FileExistsError, match="holds a run: go on with it by --resume, or choose another --out"):
            heads.train_heads(typed(*words, "--heads", "conv"), tmp_path)
    with pytest.raises(ValueError, match="^--heads needs features: .* or a file of features instead of videos$"):
        heads.train_heads(typed("videos", "--heads", "conv"), tmp_path)


@pytest.fixture
def file(tmp_path):
    """Features of `videos`, of which the last eight are for testing."""
    data = videos()
    place = tmp_path / "f.npz"
    save_features(place, data.stored.feat, data.labels + 1, np.arange(24) >= 16, name=data.names, group=data.groups)
    return place


@pytest.fixture
def steps(monkeypatch):
    """What was handed on: jobs get made-up results, of which head `average` is right; nothing is finished."""
    found = {}

    def jobs(run, trial, some, workers):
        found.update(run=run, trial=trial, workers=workers)
        for job in some:
            test = trial.split(*job)[1]
            p = np.full((len(test), 2), 0.25)
            right = test.labels if job[0] == "average" else 1 - test.labels
            p[np.arange(len(test)), right] = 0.75
            yield job, replace(result_of(test.classes, test.names, test.labels, p), groups=test.groups)

    def bar(some, **how):
        found["bar"] = how
        return some

    monkeypatch.setattr(statistics, "bootstrap", partial(statistics.bootstrap, draws=50))
    monkeypatch.setattr(heads, "in_processes", jobs)
    monkeypatch.setattr(heads, "usable_cores", lambda: 3)
    monkeypatch.setattr(heads, "tqdm", bar)
    monkeypatch.setattr(heads, "finish", lambda *given: found.update(finish=given))
    return found


ASKED = "--heads lstm average --draws 2 --folds 3 --seeds 2 --no-regressions --frames 4 --views 3 --tune-lr 0.5".split()


def test_a_table_is_made_of_jobs_and_the_best_head_is_trained(file, steps, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    heads.train_heads(typed(file, *ASKED), out)
    trial, (same, best, spec, content, folder) = steps["trial"], steps["finish"]
    assert (same, best, folder) == (trial, "average", out) and steps["run"] is heads.run_job and steps["workers"] == 3
    assert steps["bar"] == dict(desc="heads", unit="fold", total=12, disable=None)
    assert (trial.views, trial.candidates, trial.out, trial.given) == (
        3,
        Candidates((0.5,) if False else [0.5]),
        out,
        (),
    )
    assert [c.frames for c in trial.configs.values()] == [4, 4] and trial.data.frames == 4
    assert len(content) == 24 and content == heads.videos_of(heads.joined(*heads.open_data(spec, 4)))
    assert (spec.path, spec.fold, spec.features) == (str(file), None, None)
    page, kept = (out / "heads.md").read_text(), json.loads((out / "heads.json").read_text())
    assert capsys.readouterr().out == page + "\n"
    rows = {r["head"]: (r["each"], r["videos"], r["groups"]) for r in kept.pop("rows")}
    assert rows == {"lstm": ([0, 0], 24, 6), "average": ([100, 100], 24, 6)}
    assert kept == heads.plan_of(trial, spec, content)
    args = typed(file, *ASKED, "--resume")
    heads.train_heads(args, out)
    assert (out / "heads.md").read_text() == page
    with pytest.raises(ValueError, match="holds a run of other plan: choose another folder, or delete it"):
        heads.train_heads(typed(file, *ASKED, "--resume", "--seeds", "3"), out)


def test_a_missing_scikit_learn_is_told_where_regressions_are_asked_for(file, steps, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("snippets.training.small.crossval.find_spec", lambda name: None)
    for n, (option, told) in enumerate((("--regressions", True), ("--no-regressions", False))):
        (tmp_path / str(n)).mkdir()
        heads.train_heads(typed(file, *ASKED, option), tmp_path / str(n))
        assert ("no regression beside the heads: it needs scikit-learn" in capsys.readouterr().out) == told


def test_what_a_run_depends_on():
    trial = Trial(videos(), {"conv": config("conv")}, Settings(lr=0.5), Candidates((0.25,)), Plan(("conv",)), views=3)
    spec, content = DataSpec("f.npz", settings=DataSettings(count=7)), [["a", 1]]
    found = heads.plan_of(trial, spec, content)
    assert set(found) == {"heads", "data", "settings", "candidates", "plan", "views", "videos", "folds"}
    assert found["heads"]["conv"]["features"] == 4 and found["data"]["count"] == 7 and found["settings"]["lr"] == 0.5
    assert found["candidates"]["tune_lr"] == [0.25] and found["plan"]["heads"] == ["conv"]
    assert (found["views"], found["videos"]) == (3, content)
    other = heads.plan_of(trial._replace(given=(([0], [1]),)), spec, content)
    assert {key for key in found if found[key] != other[key]} == {"folds"}


def test_a_run_of_something_else_is_not_gone_on_with(tmp_path):
    heads.keep_plan({"a": 1, "b": 2, "c": 3}, tmp_path)
    assert json.loads((tmp_path / "heads.json").read_text()) == {"a": 1, "b": 2, "c": 3}
    heads.keep_plan({"a": 1, "b": 2}, tmp_path)
    with pytest.raises(ValueError, match=f"^{tmp_path} holds a run of other b, d: choose another folder"):
        heads.keep_plan({"a": 1, "b": 3, "d": 4}, tmp_path)
    assert json.loads((tmp_path / "heads.json").read_text()) == {"a": 1, "b": 2}


def test_what_features_are_read(tmp_path, monkeypatch):
    """A file as it is; of videos those by a tower, for which weights are imported once."""
    asked, done = [], []
    monkeypatch.setattr(heads, "features_of", lambda spec, tower: asked.append(tower) or spec)
    words = ["--size", 32, "--cache", "c", "--skip", "list", "--available", "--count", 7, "--tap", "vector"]
    plain = DataSpec("f.npz", 32, DataSettings(count=7), None, "c", "list", True)
    assert heads.features_spec(typed("f.npz", *words), tmp_path) == plain and not asked
    args = typed("videos", *words, "--features-of", "t.npz")
    of_tower = replace(plain, path="videos", fold="all", settings=replace(plain.settings, stored_tap="vector"))
    assert heads.features_spec(args, tmp_path) == of_tower and asked.pop() == "t.npz"
    args.ray = "here"
    found = heads.features_spec(args, tmp_path)
    assert isinstance(found.executor, RayTasks) and found.executor.address == "here"
    assert replace(found, executor=of_tower.executor) == of_tower
    tower = str(tmp_path / "tower.npz")
    flow = ["--stream", "flow", "--flow-fps", 5, "--bound", 15]
    for more in ([], flow):
        args = typed("videos", *words, *more, "--weights", "w.npz")
        args.execute = done.append
        heads.features_spec(args, tmp_path)
        assert asked[-1] == tower
    base = ["import", "w.npz", "--keep-classifier", "--quiet", "--out", tower]
    s = heads.features_spec(args, tmp_path).settings
    assert done[:2] == [base, [*base, "--stream=flow", "--flow-fps=5.0", "--bound=15.0", f"--tvl1={s.tvl1}"]]
    (tmp_path / "tower.npz").touch()
    heads.features_spec(args, tmp_path)
    assert len(done) == 3


def test_two_sides_of_a_file_become_one():
    data = videos()
    sides = [FeatureSet(data.stored, rows, data.labels[rows], data.classes, [data.names[i] for i in rows], 3,
                        [data.groups[i] for i in rows]) for rows in (np.arange(5, 24), np.arange(5))]  # fmt: skip
    found = heads.joined(*sides)
    order = [*range(5, 24), *range(5)]
    assert found.rows.tolist() == order and found.labels.tolist() == data.labels[order].tolist()
    assert found.names == [data.names[i] for i in order] and found.groups == [data.groups[i] for i in order]
    assert (found.frames, found.classes, found.stored) == (3, data.classes, data.stored)
    nothing = FeatureSet(data.stored, [], data.labels[:0], data.classes, [], 3, [])
    assert heads.joined(nothing, sides[0]) is sides[0]


def test_features_that_fit_are_kept_in_memory(monkeypatch):
    assert heads.LARGEST == 2**28
    data = videos().in_clips(3)
    data.stored = StoredFeatures(data.stored.feat, np.full(1, 2.0, np.float32))
    size = 4 * 24 * T * 4
    monkeypatch.setattr(heads, "LARGEST", size)
    found = heads.in_memory(data)
    np.testing.assert_array_equal(found.stored.feat, 2 * data.stored.feat, strict=True)
    assert (
        found.stored.scale.tolist() == [1]
        and found.stored.scale.dtype == np.float32
        and list(found.rows) == [*range(24)]
    )
    assert all(getattr(found, name) is getattr(data, name) for name in ("labels", "classes", "names", "groups"))
    assert found.frames == 3
    monkeypatch.setattr(heads, "LARGEST", size - 1)
    assert heads.in_memory(data) is data
    other = SimpleNamespace(stored=SimpleNamespace(spread=None))  # videos of other lengths
    assert heads.in_memory(other) is other


def test_what_a_head_is_made_with(file):
    data = videos().in_clips(5)
    args = typed(file, "--heads", "conv", "--fc", 8, "--differences", "--tower", "googlenet", "--frames", 5)
    own = dict(tower="features", tap="auto", variant="paper", features=4, classes=2, fc=8)
    for head, more in (("conv", dict(frames=5, differences=True)), ("single", dict(frames=1, differences=False))):
        found = asdict(heads.config_of(args, head, data))
        assert {key: found[key] for key in own | more} == own | more and found["head"] == head
