"""What small data sets need: folds by group, settings chosen on held-out groups, heads beside a regression."""

from dataclasses import replace

import numpy as np
import pytest
from film_features import T, config, videos
from outcomes import Outcome, hold

from snippets.layers.loss import softmax
from snippets.training.evaluate import result_of
from snippets.training.loop import train
from snippets.training.predictions import load_predictions
from snippets.training.settings import Settings
from snippets.training.small import tune
from snippets.training.small.crossval import REGRESSIONS, Plan, Trial, new_net, regression, run_job
from snippets.training.small.folds import by_group, held_out
from snippets.training.small.table import hits_by_draw, records_of, table_of
from snippets.training.small.tune import Candidates, tuned


def test_films_stay_on_one_side_and_every_video_tests_once():
    data, seen = videos(7), set()
    for draw in range(3):
        tests = []
        for learn, test in by_group(data, 3, draw):
            assert not set(learn.groups) & set(test.groups)
            assert sorted(learn.names + test.names) == sorted(data.names)
            tests += test.names
            for i in (0, len(test) - 1):
                row = data.names.index(test.names[i])
                assert test.labels[i] == data.labels[row] and test.checksum(i) == data.checksum(row)
                np.testing.assert_array_equal(test.whole_video(i), data.whole_video(row))
                np.testing.assert_array_equal(next(test.test_clips(i)), next(data.test_clips(row)))
        assert sorted(tests) == sorted(data.names)
        seen.add(tuple(tests))
    assert len(seen) == 3, "draws deal the films alike"


def test_of_several_classes_the_first_counts():
    data = videos()
    several = videos()
    several.labels = np.stack([data.labels == 0, np.ones(len(data), bool)], axis=1)
    for ours, theirs in zip(by_group(several, 3), by_group(data, 3), strict=True):
        assert ours[1].names == theirs[1].names and ours[1].labels.shape == (len(theirs[1]), 2)


def test_a_class_of_one_film_cannot_be_held_out():
    data = videos(3)
    data.groups = ["film0"] * len(data)
    with pytest.raises(ValueError, match="class a has 1 group of clips, expected at least 2"):
        by_group(data, 3)


def test_a_class_of_one_film_always_trains():
    """So do all videos of that film, and those of classes that have no other film then."""
    data = videos(5, 2)  # a film has a clip of each class
    for i, label in ((0, 2), (2, 3), (3, 2)):  # film 0: 2 and 1; film 1: 3 and 2
        data.labels[i] = label
    data.classes = list("abcd")
    parts = held_out(data, 3)
    always = {0, 1, 2, 3}  # class 3 has film 1 alone, and without it class 2 has film 0 alone
    tests = []
    for learn, held in parts:
        assert always <= set(learn.rows) and not set(learn.rows) & set(held.rows)
        assert not set(learn.groups) & set(held.groups)
        assert [data.names[i] for i in learn.rows] == learn.names and sorted(learn.rows + held.rows) == list(range(10))
        tests += held.rows
    assert sorted(tests) == list(range(4, 10))
    for mine, plain in zip(held_out(videos(), 3), by_group(videos(), 3), strict=True):
        assert (mine[0].rows, mine[1].rows) == (plain[0].rows, plain[1].rows)
    with pytest.raises(ValueError, match="have one group .film. of every class"):
        held_out(videos(1), 3)


def rule(curves, monkeypatch, candidates):
    """What the rule chooses where losses after each epoch are as said: {(lr, decay): (epochs,)}; and the splits."""
    seen = []

    def losses(settings, make, learn, held):
        seen.append((settings, learn, held))
        curve = curves[settings.lr, settings.weight_decay]
        if curve is None:
            raise FloatingPointError("diverged")
        return len(held) * np.array(curve, float)

    monkeypatch.setattr(tune, "losses", losses)
    data = videos()
    chosen, about = tuned(Settings(epochs=3, lr=0.5, weight_decay=0.25), candidates, None, data)
    return chosen, about, seen, data


def test_the_rule_takes_the_lowest_mean_loss_of_held_out_films(monkeypatch):
    candidates = Candidates((0.1, 0.2, 0.3), (0.0, 1.0))
    curves = {(0.1, 0.0): [0.9, 0.5, 0.6], (0.2, 0.0): [0.4, 0.8, 0.9], (0.3, 0.0): None, (0.2, 1.0): [0.9, 0.39, 1.0]}
    chosen, about, seen, data = rule(curves, monkeypatch, candidates)
    assert (chosen.lr, chosen.weight_decay, chosen.epochs) == (0.2, 1.0, 2)  # not the last epoch, nor the first pair
    assert "2 epochs" in about and "loss 0.390" in about and "0.693" in about
    whole = [s for s in seen if s[0].lr == 0.1 and s[0].weight_decay == 0.0]
    assert len(whole) == 3 and all(s.epochs == 3 for s, *_ in seen)
    assert sorted(name for _, _, held in whole for name in held.names) == sorted(data.names)
    assert not any(set(learn.groups) & set(held.groups) for _, learn, held in seen)
    chosen, *_ = rule(curves | {(0.2, 1.0): [0.9, 0.41, 1.0]}, monkeypatch, candidates)
    assert (chosen.lr, chosen.weight_decay, chosen.epochs) == (0.2, 0.0, 1)


def test_rates_are_tried_until_one_does_worse(monkeypatch):
    curves = {(0.1, 0.25): [0.9], (0.2, 0.25): [0.8], (0.3, 0.25): [0.85], (0.4, 0.25): [0.1]}
    chosen, _, seen, _ = rule(curves, monkeypatch, Candidates((0.1, 0.2, 0.3, 0.4)))
    assert chosen.lr == 0.2 and [s.lr for s, *_ in seen[::3]] == [0.1, 0.2, 0.3]


def test_what_is_not_among_the_candidates_stays(monkeypatch):
    chosen, *_ = rule({(0.1, 0.25): [1, 0.5, 2], (0.3, 0.25): [1, 1, 1]}, monkeypatch, Candidates((0.1, 0.3)))
    assert chosen == Settings(epochs=2, lr=0.1, weight_decay=0.25)
    chosen, *_ = rule({(0.5, 0.1): [1, 2, 3], (0.5, 0.2): [3, 2, 0.5]}, monkeypatch, Candidates((), (0.1, 0.2)))
    assert chosen == Settings(epochs=3, lr=0.5, weight_decay=0.2) and not Candidates()


def test_rates_that_all_diverge_are_an_error(monkeypatch):
    with pytest.raises(FloatingPointError, match="--tune-lr: add smaller ones"):
        rule({(0.1, 0.25): None}, monkeypatch, Candidates((0.1,)))


def test_the_loss_of_each_epoch_is_that_of_the_held_out_videos(monkeypatch):
    """The real one: a network that learns does better than a guess on other films, and goes on doing so."""
    data = videos(size=2.0)
    (learn, held), *_ = by_group(data, 3)
    settings = Settings(epochs=8, batch=4, lr=0.02)

    def make(some):
        return new_net(config("average", differences=True), 0, some)

    found = tune.losses(settings, make, learn, held) / len(held)
    assert found.shape == (8,) and found[-1] < 0.6 * np.log(2) and found[-1] < found[0]
    diverged = replace(settings, lr=1e20, clip_norm=None)
    with pytest.raises(FloatingPointError):
        tune.losses(diverged, make, learn, held)


def test_loss_of_a_result():
    p = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    one = result_of(list("ab"), list("xyz"), np.array([0, 0, 1]), p)
    assert one.loss == pytest.approx(-np.log([0.5, 0.9, 0.8]).mean())
    both = result_of(list("ab"), ["x"], np.array([[True, True]]), np.array([[0.25, 0.75]]))
    assert both.loss == pytest.approx(-np.log([0.25, 0.75]).mean()) and both.summary()["loss"] == round(both.loss, 6)
    assert np.isfinite(result_of(list("ab"), ["x"], np.array([0]), np.array([[0.0, 1.0]])).loss)


PLAN = Plan(("average", "lstm"), 3, 2, 2)


def trial(tmp_path=None, differences=True, plan=PLAN):
    configs = {head: config(head, differences=differences) for head in plan.heads}
    settings = Settings(epochs=3, batch=8, decay=0.9)
    return Trial(videos(size=2.0), configs, settings, Candidates((0.003, 0.02)), plan, tmp_path)


def test_a_job_is_done_once_and_is_a_mean_over_seeds(tmp_path):
    t, job = trial(tmp_path), ("average", 1, 2)
    assert len(t.jobs()) == 2 * 3 * (2 + len(REGRESSIONS)) and job in t.jobs()
    _, first = run_job(t, job)
    learn, test = t.split("average", 1, 2)
    assert first.names == test.names and first.groups == test.groups and not set(first.groups) & set(learn.groups)
    file = t.file(*job)
    np.testing.assert_array_equal(load_predictions(file).result.probabilities, first.probabilities)
    before = file.read_bytes()
    _, again = run_job(t._replace(settings=Settings(epochs=1, lr=1e-9), candidates=Candidates()), job)
    np.testing.assert_array_equal(again.probabilities, first.probabilities)
    assert file.read_bytes() == before
    alone = [run_job(t._replace(out=None, settings=replace(t.settings, seed=s), candidates=Candidates(),
             plan=replace(t.plan, seeds=1)), job)[1].probabilities for s in (0, 1)]  # fmt: skip
    both = run_job(t._replace(out=None, candidates=Candidates()), job)[1].probabilities
    np.testing.assert_allclose(both, np.mean(alone, axis=0), rtol=1e-6)
    assert not np.allclose(alone[0], alone[1])


def test_a_regression_of_few_videos_of_many_classes_does_not_warn():
    """scikit-learn asks then whether numbers of classes are meant as amounts; here warnings are errors."""
    data = videos(24, 1)
    data.labels, data.classes = np.arange(24) % 13, [str(k) for k in range(13)]
    p = regression(data, data, np.mean, False)
    assert p.shape == (24, 13) and np.isfinite(p).all()


def test_a_single_frame_learns_from_frames_and_answers_with_the_mean_over_all():
    one = config("single", frames=1)
    t = trial()._replace(plan=Plan(("single",), 3, 1, 1), configs={"single": one}, candidates=Candidates())
    _, found = run_job(t, ("single", 1, 1))
    learn, test = t.split("single", 1, 1)
    assert learn.frames == test.frames == 1 and t.split(next(iter(REGRESSIONS)), 1, 1)[0].frames == T
    net = new_net(one, 0, learn)
    train(net, learn, t.settings, progress=False)
    for i in (0, 3):
        frames = test.whole_video(i)[:, None]  # T clips of one frame
        np.testing.assert_allclose(found.probabilities[i], softmax(net.predict(frames)).mean(axis=0), rtol=1e-5)


def small_heads(seed):
    """Motion that no frame shows: heads with differences see it, those without do not; so does the regression."""
    found = {}
    for differences in (True, False):
        t = trial(differences=differences, plan=Plan(("average",), 3, 1, 1))._replace(
            data=videos(8, 6, 2.0, seed),
            settings=Settings(epochs=8, batch=8, lr=0.02, seed=seed),
            candidates=Candidates(),
        )
        for name in ("average", "regression on the mean"):
            results = [run_job(t, (name, 1, fold))[1] for fold in (1, 2, 3)]
            found[name, differences] = float(np.mean([r.hit1 for r in results]))
    return [
        Outcome("head with differences, Hit@1", found["average", True], ">=", 0.9),
        Outcome("head without, Hit@1", found["average", False], "<=", 0.8),
        Outcome("regression with differences, Hit@1", found["regression on the mean", True], ">=", 0.9),
        Outcome("regression without, Hit@1", found["regression on the mean", False], "<=", 0.8),
    ]


def test_differences_show_motion_to_heads_and_to_the_regression():
    hold(small_heads(0))


def test_the_table_counts_each_video_once_and_draws_films():
    names = [f"v{i}" for i in range(4)]
    labels = np.array([0, 1, 0, 1])

    def result(rows, right):
        p = np.where((labels[rows] == 0)[:, None] == np.array([True, False]), 0.8, 0.2)
        p = np.where(np.array(right)[:, None], p, p[:, ::-1])
        names_, groups = [names[i] for i in rows], [f"g{i // 2}" for i in rows]
        return replace(result_of(list("ab"), names_, labels[rows], p), groups=groups)

    twice = [result([0, 1, 2], [0, 1, 1]), result([0, 2, 3], [1, 1, 1])]  # video 0 tests in both folds
    draws = [[result([0, 1], [1, 1]), result([2, 3], [1, 0])], twice]
    np.testing.assert_array_equal(hits_by_draw(draws, names), [[1, 1, 1, 0], [0.5, 1, 1, 1]])
    low = [[result([0, 1], [0, 0]), result([2, 3], [1, 0])]] * 2
    mid = [[result([0, 1], [0, 1]), result([2, 3], [1, 0])]] * 2
    records = records_of({"conv": draws, "regression A": low, "regression B": mid}, ("regression A", "regression B"))
    assert [r["head"] for r in records] == ["conv", "regression A", "regression B"]
    assert records[0]["each"] == [75.0, 87.5] and records[0]["to"] == "regression B" and records[0]["groups"] == 2
    assert [r["to"] for r in records_of({"a": low, "b": draws}, ())] == ["b", "b"]  # the best, where there is none
    assert [r["to"] for r in records_of({"a": draws, "b": low}, ())] == ["a", "a"]
    sure = [[result([0, 1], [1, 1]), result([2, 3], [1, 1])]]
    (whole,) = records_of({"a": sure}, ())
    assert whole["mean"] == 100 and whole["interval"] == [100, 100]
    np.testing.assert_array_equal(hits_by_draw([[result([2], [1])]], names), [[0, 0, 1, 0]])  # tested nowhere: no hit
    assert records[0]["difference"][0] == pytest.approx(81.25 - 50) and records[2]["difference"] == [0.0, 0.0, 0.0]
    lines = table_of(records).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["conv", "regression B", "regression A"]
    assert "75.0 87.5" in lines[2] and "+31.2 [" in lines[2] and lines[3].rstrip("| ").endswith("–")
    assert "| by draw |" in lines[0]
    own = records_of({"conv": [twice]}, (), given=True)  # folds that the data say: their mean, and no regression
    assert own[0]["each"] == pytest.approx([200 / 3, 100.0]) and own[0]["mean"] == pytest.approx(250 / 3)
    assert own[0]["to"] == "conv" and "| by fold |" in table_of(own)
