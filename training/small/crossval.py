"""Heads by cross-validation over groups, with several ways to deal the groups into folds, and a regression beside them.

A job is one head on one fold of one draw: its rate, decay and length are chosen on held-out groups of the training
side (`tune`), then it is trained from several seeds, whose predictions are averaged (`training.fusion`). Jobs know
nothing of each other, so that they run in any number of processes with the same results, and what is done stays done.

The regression reads the same features, pooled over time by their mean or by their maximum, standardised; its C is
chosen like the heads' settings. It needs scikit-learn, is no part of any network, and is left out without it.
"""

import warnings
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.data.augment import Views
from snippets.data.loader import Subset
from snippets.data.options import Options, option
from snippets.layers.features.differences import differences_forward
from snippets.nets.frames import one_blas_thread
from snippets.nets.zoo import HEADS, build
from snippets.training.evaluate import evaluate, result_of
from snippets.training.fusion import fuse_mean
from snippets.training.loop import train
from snippets.training.predictions import Predictions, load_predictions, save_predictions
from snippets.training.settings import Settings
from snippets.training.small.folds import by_group, held_out, single_labels
from snippets.training.small.standardise import standardise_inputs
from snippets.training.small.tune import FOLDS, Candidates, tuned

REGRESSIONS = {"regression on the mean": np.mean, "regression on the maximum": np.max}  # name -> over time
STRENGTHS = tuple(10.0**k for k in range(-4, 1))  # C of which the best on held-out groups is taken


@dataclass(frozen=True)
class Plan(Options):
    """Which heads are tried, and on how many splits."""

    heads: str | tuple = option(
        (), "try these on folds made by group, train the best on all videos, and print a table", tuple(HEADS), nargs="+"
    )
    folds: int = option(5, "with --heads: folds, each of which tests once", least=2, most=100)
    draws: int = option(3, "with --heads: ways to deal groups into folds", least=1, most=1000)
    seeds: int = option(3, "with --heads: networks, whose predictions are averaged", least=1, most=1000)
    regressions: bool = option(True, "with --heads: logistic regressions beside them, which need scikit-learn")
    split_by: str = option(
        "group", "with --heads: folds keep groups on one side; or deal videos as if there were none, to see what that "
        "is worth", ("group", "video"),
    )  # fmt: skip


class Trial(NamedTuple):
    """What is common to all jobs.

    data: a data set. given: the folds that it has of itself, (rows that train, rows that test) of each; (): they are
    made by group. fold: number of the first of these, if it has one. configs: {head: NetConfig}. out: folder for
    predictions; None keeps none.
    """

    data: object
    configs: dict
    settings: Settings
    candidates: Candidates
    plan: Plan
    out: Path | None = None
    views: int = 1
    given: tuple = ()
    fold: int | None = None

    def jobs(self):
        """(name, draw, fold), each of which is a part of the table."""
        names = (*self.configs, *self.baselines)
        draws, folds = (1, len(self.given)) if self.given else (self.plan.draws, self.plan.folds)
        return [(name, draw + 1, fold + 1) for draw in range(draws) for fold in range(folds) for name in names]

    @property
    def baselines(self):
        """Names of the regressions: none where they are not asked for, or without scikit-learn."""
        return tuple(REGRESSIONS) if self.plan.regressions and find_spec("sklearn") else ()

    def splits(self, draw, frames=None):
        """What trains and what tests in each fold of a draw; frames: of a clip, None: all that the data set has."""
        data = self.data.in_clips(frames)
        if self.given:
            return [tuple(Subset(data, rows) for rows in sides) for sides in self.given]
        return by_group(data, self.plan.folds, draw)

    def split(self, name, draw, fold):
        """What trains and what tests in a job, in clips of as many frames as its head reads."""
        frames = self.configs[name].frames if name in self.configs else None
        return self.splits(draw, frames)[fold - 1]

    def hopeless(self):
        """How many test videos of the first draw have a class of which there is no training video."""
        sides = [(set(single_labels(learn)), single_labels(test)) for learn, test in self.splits(1)]
        return sum(label not in known for known, labels in sides for label in labels)

    def check(self):
        """ValueError where a class has too few groups for these splits, or to choose settings on its training side."""
        for draw in {job[1] for job in self.jobs()}:
            for learn, _ in self.splits(draw):
                held_out(learn, FOLDS)

    def file(self, name, draw, fold):
        """Where the predictions of a job are kept."""
        return self.out and self.out / name.replace(" ", "-") / f"draw{draw}" / f"fold{fold}.npz"


@one_blas_thread
def run_job(trial, job):
    """Does a job that is not done yet, and returns (job, its `Result` on the fold)."""
    name, file = job[0], trial.file(*job)
    if file and file.exists():
        return job, load_predictions(file).result
    learn, test = trial.split(*job)
    if name in REGRESSIONS:
        differences = any(config.differences for config in trial.configs.values())
        p = regression(learn, test, REGRESSIONS[name], differences)
        result = result_of(test.classes, test.names, test.labels, p)
    else:
        result = head_on_fold(trial, trial.configs[name], learn, test)
    result = replace(result, groups=list(test.groups))
    if file:
        save_predictions(file, Predictions(result, None, mode=trial.settings.inference))
    return job, result


def head_on_fold(trial, config, learn, test):
    """Chooses and trains; the `Result` of the mean over seeds."""
    settings, _ = chosen_settings(trial, config, learn)
    results = []
    for seed in range(settings.seed, settings.seed + trial.plan.seeds):
        net = new_net(config, seed, learn)
        train(net, learn, replace(settings, seed=seed), progress=False)
        every = config.head == "single" and test.stored.spread  # all frames, each alone
        views = Views(every or trial.views, settings.view_starts)
        results.append(evaluate(net, test, views, settings.batch, settings.inference))
    p = fuse_mean([r.probabilities for r in results])
    return result_of(test.classes, test.names, test.labels, p)


def chosen_settings(trial, config, learn):
    """The settings for these training videos, and what was chosen in words."""
    if not trial.candidates:
        return trial.settings, "settings as given"
    return tuned(trial.settings, trial.candidates, lambda videos: new_net(config, trial.settings.seed, videos), learn)


def new_net(config, seed, videos):
    """A new head that knows the means of these training videos."""
    net = build(config, seed)
    standardise_inputs(net, videos)
    return net


def regression(learn, test, pool, differences):
    """Class probabilities (V, K) of a logistic regression on features pooled over time; C as the module says."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def pooled(videos):
        clips = (videos.whole_video(i) for i in range(len(videos)))
        return np.stack([pool(differences_forward(x[None])[0][0] if differences else x, axis=0) for x in clips])

    def probabilities(C, x, labels, x_test):
        with warnings.catch_warnings():  # of few videos of many classes, which are no reason to doubt the classes
            warnings.filterwarnings("ignore", "The number of unique classes")
            model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000)).fit(x, labels)
        p = np.full((len(x_test), len(test.classes)), 1e-12)
        p[:, model.classes_] = np.maximum(model.predict_proba(x_test), 1e-12)
        return p

    def loss(C):
        parts = [(np.array(a.rows), np.array(b.rows)) for a, b in held_out(learn, FOLDS)]
        found = [(labels[b], probabilities(C, x[a], labels[a], x[b])) for a, b in parts]
        return -sum(np.log(p[np.arange(len(k)), k]).sum() for k, p in found)

    x, labels = pooled(learn), np.array(single_labels(learn))
    return probabilities(min(STRENGTHS, key=loss), x, labels, pooled(test))
