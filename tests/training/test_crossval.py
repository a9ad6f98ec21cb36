"""Jobs of a cross-validation: which there are, what each hands on, and the regression, by hand. Nothing is trained."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from film_features import T, config, videos

from snippets.data.augment import Views
from snippets.data.loader import Subset
from snippets.nets.frames import one_blas_thread
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.evaluate import result_of
from snippets.training.predictions import load_predictions
from snippets.training.settings import Settings
from snippets.training.small import crossval, tune
from snippets.training.small.crossval import REGRESSIONS, STRENGTHS, Plan, Trial, chosen_settings, regression, run_job
from snippets.training.small.folds import by_group, held_out
from snippets.training.small.tune import Candidates, losses

SETTINGS = Settings(batch=7, inference="last", view_starts="random", seed=5)


def trial(*heads, **more):
    """On six films; config.frames of head single is 1."""
    plan = more.pop("plan", Plan(heads, 3, 2, 2))
    configs = {head: config(head, frames=1 if head == "single" else T, differences=head == "conv") for head in heads}
    return Trial(videos(), configs, SETTINGS, Candidates(), plan, **more)


def test_how_much_may_be_asked_for():
    assert Plan() == Plan((), 5, 3, 3, True, "group") and Candidates() == Candidates((), ())
    for cls, name, right, wrong in (
        (Plan, "folds", (2, 100), (1, 101)), (Plan, "draws", (1, 1000), (0, 1001)),
        (Plan, "seeds", (1, 1000), (0, 1001)),
        (Candidates, "tune_lr", ((1e-30,), (1e30,)), ((0,), (1.5e30,))),
        (Candidates, "tune_weight_decay", ((0,), (1e3,)), ((-1e-30,), (1.5e3,))),
    ):  # fmt: skip
        for value in right:
            assert getattr(cls(**{name: value}), name) == value
        for value in wrong:
            with pytest.raises(ValueError, match=f"{name} is .*, expected"):
                cls(**{name: value})


def test_jobs_go_fold_by_fold_through_all_rows():
    t, names = trial("conv", "single"), ("conv", "single", *REGRESSIONS)
    assert t.jobs() == [(name, draw, fold) for draw in (1, 2) for fold in (1, 2, 3) for name in names]
    t = t._replace(plan=replace(t.plan, regressions=False), given=((range(4), range(4, 8)), (range(4, 8), range(4))))
    assert t.baselines == ()
    assert t.jobs() == [(name, 1, fold) for fold in (1, 2) for name in ("conv", "single")]
    assert [[side.rows for side in t.split("conv", 1, fold)] for fold in (1, 2)] == [
        [[0, 1, 2, 3], [4, 5, 6, 7]], [[4, 5, 6, 7], [0, 1, 2, 3]]
    ]  # fmt: skip
    assert t.file("regression on the mean", 2, 3) is None
    t = t._replace(out=Path("out"))
    assert t.file("regression on the mean", 2, 3) == Path("out/regression-on-the-mean/draw2/fold3.npz")


def test_regressions_need_scikit_learn(monkeypatch):
    asked = []
    monkeypatch.setattr(crossval, "find_spec", asked.append)  # which finds nothing
    t = trial("conv")
    assert t.baselines == () and asked == ["sklearn"]
    monkeypatch.setattr(crossval, "find_spec", lambda name: "there")
    assert t.baselines == ("regression on the mean", "regression on the maximum")
    assert t._replace(plan=replace(t.plan, regressions=False)).baselines == ()


def test_test_videos_of_classes_without_training_videos_are_counted():
    t = trial("conv")
    assert t.hopeless() == 0
    t.data.labels, t.data.classes = np.arange(24) % 5, list("abcde")
    sides = (([0, 1, 2], range(5, 10)), ([0, 1, 2, 3], range(10, 24)))  # classes 0 to 2, and 0 to 3
    assert t._replace(given=tuple(sides)).hopeless() == 2 + 2


def test_every_draw_is_checked_before_anything_is_trained(monkeypatch):
    seen = []
    monkeypatch.setattr(crossval, "held_out", lambda learn, folds: seen.append((learn.names, folds)))
    t = trial("conv")
    t.check()
    assert [folds for _, folds in seen] == [3] * 6
    assert sorted(names for names, _ in seen) == sorted(learn.names for draw in (1, 2) for learn, _ in t.splits(draw))


class Net:
    """Stands in for a network: what it was made with."""

    def __init__(self, config, seed):
        self.config, self.seed, self.calls = config, seed, []


@pytest.fixture
def made(monkeypatch):
    """Networks that were made, each with the calls it was given to; their answers are of the seed alone."""
    found = []

    def build(config, seed):
        found.append(Net(config, seed))
        return found[-1]

    def train(net, data, settings, progress):
        net.calls.append(("train", data.rows, data.frames, settings, progress))

    def evaluate(net, test, *options):
        net.calls.append(("evaluate", test.rows, test.frames, options))
        p = np.full((len(test), 2), 0.5)
        p[:, 0] = 0.1 * net.seed
        return result_of(test.classes, test.names, test.labels, p)

    monkeypatch.setattr(crossval, "build", build)
    monkeypatch.setattr(crossval, "standardise_inputs", lambda net, data: net.calls.append(("standardise", data.rows)))
    monkeypatch.setattr(
        crossval,
        "train",
        lambda net, data, s, progress: net.calls.append(("train", data.rows, data.frames, s, progress)),
    )
    monkeypatch.setattr(crossval, "evaluate", evaluate)
    return found


def test_what_a_head_is_trained_and_tested_with(made, tmp_path):
    t = trial("conv", "single", out=tmp_path, views=3)
    for name, frames, count in (("conv", T, 3), ("single", 1, T)):  # of a single frame all, each alone
        made.clear()
        learn, test = t.split(name, 2, 3)
        assert [net.calls for net in (run_job(t, (name, 2, 3)), made)[1]] == [
            [
                ("standardise", learn.rows), ("train", learn.rows, frames, replace(SETTINGS, seed=seed), False),
                ("evaluate", test.rows, frames, (Views(count, "random"), 7, "last")),
            ]
            for seed in (5, 6)
        ]  # fmt: skip
        assert [(net.config, net.seed) for net in made] == [(t.configs[name], seed) for seed in (5, 6)]
        kept = load_predictions(tmp_path / name / "draw2" / "fold3.npz")
        assert (kept.mode, kept.fold, kept.result.names, kept.result.groups) == ("last", None, test.names, test.groups)
        np.testing.assert_allclose(kept.result.probabilities, [[0.55, 0.5]] * len(test))


def test_what_settings_are_chosen_with(made, monkeypatch):
    t = trial("conv")
    assert chosen_settings(t, t.configs["conv"], t.data) == (SETTINGS, "settings as given")
    t, told = t._replace(candidates=Candidates((0.1,))), []
    monkeypatch.setattr(crossval, "tuned", lambda *given: told.append(given) or ("settings", "words"))
    assert chosen_settings(t, t.configs["conv"], t.data) == ("settings", "words")
    ((settings, candidates, make, data),) = told
    assert (settings, candidates, data) == (SETTINGS, t.candidates, t.data)
    some = t.split("conv", 1, 1)[0]
    net = make(some)
    assert (net.config, net.seed, net.calls) == (t.configs["conv"], 5, [("standardise", some.rows)])


def test_what_a_regression_is_given(monkeypatch):
    """Differences where some head has them; its answers are kept as those of heads are."""
    told = []
    monkeypatch.setattr(crossval, "regression", lambda *given: told.append(given) or np.full((8, 2), 0.5))
    for heads, differences in ((("average", "conv"), True), (("average", "lstm"), False)):
        for name, pool in (("regression on the mean", np.mean), ("regression on the maximum", np.max)):
            t = trial(*heads)
            _, found = run_job(t, (name, 1, 2))
            (learn, test), (a, b, *more) = t.split(name, 1, 2), told.pop()
            assert (a.rows, b.rows, more) == (learn.rows, test.rows, [pool, differences]) and found.names == test.names


def test_losses_of_a_candidate_are_sums_over_its_videos(monkeypatch):
    given = {}

    def stand_in(net, learn, settings, **how):
        given.update(net=net, learn=learn, settings=settings, **how)
        return [{"test": {"loss": loss}} for loss in (0.5, 0.25)]

    monkeypatch.setattr(tune, "train", stand_in)
    assert losses("settings", "a net of {}".format, "learn", "held").tolist() == [2.0, 1.0]  # of len(held) videos
    assert given == dict(net="a net of learn", learn="learn", settings="settings", test="held", progress=False)


def test_what_was_chosen_is_said_and_kept_for_a_run_that_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tune, "tuned", lambda *given: (given, "words"))
    assert tune.tuned_once(SETTINGS, Candidates(), tmp_path, "make", "data") is SETTINGS
    for folder in (None, tmp_path):
        given = (SETTINGS, Candidates((0.1,)), "make", "data")
        assert tune.tuned_once(*given[:2], folder, *given[2:]) == given and capsys.readouterr().out == "chosen: words\n"
    own = asdict(replace(SETTINGS, lr=0.125, weight_decay=0.25, epochs=9, batch=1))
    save(tmp_path / "checkpoint.npz", Checkpoint({"W": np.zeros(1)}, settings=own))
    found = tune.tuned_once(SETTINGS, Candidates((0.1,)), tmp_path, "make", "data")
    assert found == replace(SETTINGS, lr=0.125, weight_decay=0.25, epochs=9) and not capsys.readouterr().out


def test_a_choice_that_is_no_better_than_a_guess_is_told(monkeypatch):
    guess = np.log(2)
    for loss, told in ((guess - 0.001, False), (guess, True), (guess + 0.001, True)):
        monkeypatch.setattr(
            tune, "losses", lambda s, make, learn, held, loss=loss: len(held) * np.array([1.0, loss, 2.0])
        )
        data = videos()
        chosen, about = tune.tuned(Settings(epochs=3), Candidates((0.25,), (0.5,)), None, data)
        assert about.startswith(f"lr 0.25, weight decay 0.5, 2 epochs: loss {loss:.3f} on held-out groups of the 24 ")
        assert ("nothing was learned" in about) == told and "a guess has 0.693" in about


@one_blas_thread
def test_a_regression_by_hand(monkeypatch):
    """scikit-learn's own, on pooled and standardised features; C by the loss of held-out films."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    assert np.allclose(STRENGTHS, [1e-4, 1e-3, 1e-2, 1e-1, 1])
    monkeypatch.setattr(crossval, "STRENGTHS", (1e-4, 1e-2, 1.0))
    data = videos(6, 4, 0.3)
    data.labels = np.where(np.arange(24) % 4 == 3, 2, data.labels)  # classes 0, 1, 2 in every film
    data.classes = list("abc")
    learn, test = by_group(data, 3)[0]
    some = Subset(learn, np.flatnonzero(learn.labels != 1))

    def answer(C, x, labels, x_test):
        scale = StandardScaler().fit(x)
        model = LogisticRegression(C=C, max_iter=2000).fit(scale.transform(x), labels)
        p = np.full((len(x_test), 3), 1e-12)
        p[:, model.classes_] = np.maximum(model.predict_proba(scale.transform(x_test)), 1e-12)
        return p

    for side, differences, best in ((learn, True, 1.0), (some, False, 1e-2)):
        x, x_test = np.stack([side.whole_video(i) for i in range(len(side))]), test.dataset.stored.feat[test.rows]
        if differences:
            x, x_test = (np.concatenate([a, abs(np.diff(a, axis=1, prepend=a[:, :1]))], axis=2) for a in (x, x_test))
        x, x_test, labels, loss = x.max(axis=1), x_test.max(axis=1), np.array(side.labels), {}
        for C in crossval.STRENGTHS:
            parts = [(answer(C, x[a.rows], labels[a.rows], x[b.rows]), labels[b.rows]) for a, b in held_out(side, 3)]
            loss[C] = -sum(np.log(p[np.arange(len(k)), k]).sum() for p, k in parts)
        assert min(loss, key=loss.get) == best
        found = regression(side, test, np.max, differences)
        np.testing.assert_allclose(found, answer(best, x, labels, x_test), rtol=1e-9)


def test_a_class_that_is_never_seen_gets_hardly_any_probability():
    data = videos()
    data.classes = list("abc")
    found = regression(data, data, np.mean, False)
    assert (found[:, 2] == 1e-12).all() and np.allclose(found[:, :2].sum(axis=1), 1)
