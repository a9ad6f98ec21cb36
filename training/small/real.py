"""`snippets real`: the paper's networks on real clips, tested on films that they have not seen; what a leak is worth.

A folder of clips whose films are known (a column `group` in videos.csv), and GoogLeNet's trained weights. They stay as
they are but in `pixels`: the rows are the paper's "(fc)". Every head is trained by `snippets train --preset features
--heads` (`training.small.crossval`), which chooses its settings on held-out films and tests each clip once per draw.

    film     folds keep the clips of a film on one side
    random   clips are dealt as if nobody knew of films: most test clips have their film among the training clips; for
             the heads on frames alone
    pixels   one network from pixels on, with its tower as it was and fine-tuned: on the folder's own folds by film

Late fusion is the mean of the class probabilities of a network on frames and one on flow. The SVM learns from the same
probabilities of the other folds' test clips, which the networks that gave them had not seen.

`real_page` writes what came out. Read PARTS first.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.layers.device.xp import usable_cores
from snippets.training.evaluate import result_of
from snippets.training.experiments import statistics
from snippets.training.experiments.compare import compare
from snippets.training.experiments.runner import command, run, training_command
from snippets.training.fusion import fuse_mean, fuse_svm
from snippets.training.predictions import aligned, load_predictions
from snippets.training.small.crossval import REGRESSIONS
from snippets.training.small.real_page import compared, write_page
from snippets.training.small.table import hits_by_draw, records_of


class Part(NamedTuple):
    """Heads that one command tries: {head: title of its row}, and what it says besides the preset."""

    heads: dict
    options: str = ""
    stream: str = "rgb"
    plain: bool = False  # frames alone: with the regressions beside them, and once more on a random split


FLOW = "--stream flow --size 112 --bound 20"  # as at the laptop scale of `snippets tables`, see `scales`
FC = "--fc 64 --dropout 0.3"  # of the heads that are nothing without fully connected layers
QUICK = "--epochs 12 --tune-lr 0.001 0.003 0.01 --tune-weight-decay 0.1"  # half of what the preset tries
PARTS = {
    "frames": Part(
        {"single": "single frame", "average": "average pooling", "conv": "Conv Pooling",
         "timeconv": "Time-Domain Convolution", "lstm": "LSTM, 1 layer"}, plain=True,
    ),
    "layers": Part({"late": "Late Pooling", "slow": "Slow Pooling", "local": "Local Pooling"}, FC),
    "deep": Part({"lstm": "LSTM, 5 layers"}, "--depth 5"),
    "flow": Part({"conv": "Conv Pooling on flow", "lstm": "LSTM on flow"}, stream="flow"),
}  # fmt: skip
PIXELS = (  # small enough for both passes through the tower; nothing of it was chosen by trying
    "--tower googlenet --variant caffe --tap vector --head conv --fc 0 --standardise --size 112 --count 8 --frames 8 "
    "--epochs 6 --evaluate-every 6 --batch 16 --lr 0.003 --decay 0.85 --weight-decay 0.01 --fold all"
)
TUNED = {"tower as it was": "--freeze tower/", "fine-tuned": "--lr-group tower/=0.1"}  # from pixels on
SPLITS = {"film": "--split-by group", "random": "--split-by video"}
FUSED = {"Conv Pooling": "conv", "LSTM": "lstm"}  # of the parts `frames` and `flow`
BASELINE = "single frame"
UCF = {  # options of `snippets compare`, set once
    "fc": 256, "units": 256, "depth": 1, "dropout": 0.3, "epochs": 6, "batch": 16, "lr": 0.02, "decay": 0.8,
    "clip_norm": 5.0,
}  # fmt: skip
UCF_HEADS = ("average", "single", "conv", "late", "slow", "local", "timeconv", "fcpool", "rnn", "lstm")


class Plan(NamedTuple):
    """What is run: videos and weights, a file of features or None, and how much of everything."""

    videos: str
    weights: str
    features: str | None
    out: Path
    cache: str
    draws: int = 3
    folds: int = 5
    seeds: int = 10  # per head on the file of features
    published: str = ""  # a result on these clips to stand beside, in words

    def tower(self, stream):
        """The file of the network that sees frames or flow images."""
        return self.out / f"tower-{stream}.npz"

    def folder(self, split, part):
        """Where the heads of a part are."""
        return self.out / split / part.replace(" ", "-")

    def commands(self):
        """All that is run on videos, in order."""
        found = []
        for stream, options in (("rgb", ""), ("flow", FLOW)):
            tower = self.tower(stream)
            words = "import", self.weights, "--keep-classifier", options or None, "--out", tower
            found.append(command(*words, product=tower))
        for split, how in SPLITS.items():
            for name, part in parts(split).items():
                out = self.folder(split, name)
                found.append(command(
                    "train", self.videos, "--preset", "features", "--no-differences", part.options or None, QUICK, how,
                    "--features-of", self.tower(part.stream), "--draws", self.draws, "--folds", self.folds,
                    "--heads " + " ".join(part.heads), None if part.plain else "--no-regressions",
                    "--cache", self.cache, "--out", out, product=out / "model.npz", folder=out,
                ))  # fmt: skip
        for name, how in TUNED.items():
            found.append(training_command(
                self.videos, PIXELS, how, "--init", self.tower("rgb"), "--cache", self.cache,
                out=self.folder("pixels", name), product="fold3/predictions.npz",
            ))  # fmt: skip
        return found


def parts(split):
    """The PARTS of a split: of the random one those that tell what a leak is worth."""
    return {name: part for name, part in PARTS.items() if split == "film" or part.plain}


def real(plan, execute):
    """Do what is not done yet, then print the page and write it into plan.out; execute: see `runner.run`."""
    run(plan.commands(), execute, plan.out / "output.txt")
    by_split = {split: results(plan, split) for split in SPLITS}
    records = {split: records_of(found, (BASELINE,)) for split, found in by_split.items()}
    hits, groups = hits_of(by_split)
    film = {row["head"]: row for row in records["film"]}
    for row in records["random"]:
        leak = hits["random"][row["head"]] - hits["film"][row["head"]]
        film[row["head"]] |= {"random": row["mean"], "leak": [100 * x for x in statistics.bootstrap(leak, groups)]}
    ucf = None
    if plan.features:
        out, cores = plan.out / "ucf101", usable_cores()
        ucf = compare(plan.features, UCF_HEADS, plan.seeds, out, UCF, execute=execute, workers=cores)
    records["pixels"] = records_of(tuned(plan), (next(iter(TUNED)),))
    write_page(plan, records, list(compared(hits["film"], groups)), ucf, by_split["film"])


def results(plan, split):
    """{title of a row: [each draw's list of `Result`s of its folds]}."""
    found = {}
    for name, part in parts(split).items():
        rows = part.heads | ({r: r for r in REGRESSIONS} if part.plain else {})
        for head, title in rows.items():
            files = prediction_files(plan, split, name, head)
            found[title] = [[load_predictions(file).result for file in draw] for draw in files]
        if name == "flow":
            for title, head in FUSED.items():
                mean, svm = fused(*(prediction_files(plan, split, of, head) for of in ("frames", "flow")))
                found |= {f"{title}, both by the mean": mean, f"{title}, both by SVM": svm}
    return found


def tuned(plan):
    """{name of TUNED: [list of the `Result`s of the folder's folds]}."""
    files = {name: sorted(plan.folder("pixels", name).glob("fold*/predictions.npz")) for name in TUNED}
    return {name: [[load_predictions(file).result for file in some]] for name, some in files.items()}


def prediction_files(plan, split, part, head):
    """The files of predictions of a head: a list of each draw's folds."""
    folder = plan.folder(split, part) / head.replace(" ", "-")
    return [[folder / f"draw{d + 1}" / f"fold{k + 1}.npz" for k in range(plan.folds)] for d in range(plan.draws)]


def fused(*streams):
    """`Result`s of each draw's folds by the mean and by the SVM, as the module says; streams: `prediction_files`."""
    means, svms = [], []
    for files in zip(*streams, strict=True):  # of a draw
        folds = [aligned(some) for some in zip(*files, strict=True)]  # (the first stream's Predictions, [p of each])
        means.append([result_like(first.result, fuse_mean(p)) for first, p in folds])
        draw = []
        for k, (first, p) in enumerate(folds):
            others = folds[:k] + folds[k + 1 :]
            learn = [np.concatenate([p[s] for _, p in others]) for s in range(len(streams))]
            labels = np.concatenate([other.result.labels for other, _ in others])
            draw.append(result_like(first.result, fuse_svm(learn, labels, p)))
        svms.append(draw)
    return means, svms


def result_like(result, scores):
    """The `Result` of other scores (V, K) on the same videos."""
    return replace(result_of(result.classes, result.names, result.labels, scores), groups=result.groups)


def hits_of(by_split):
    """{split: {title: hits (draws, V)}} on the same videos in one order, and the film of each."""
    film = {name: group for r in by_split["film"][BASELINE][0] for name, group in zip(r.names, r.groups, strict=True)}
    names = sorted(film)
    hits = {split: {title: hits_by_draw(draws, names) for title, draws in found.items()}
            for split, found in by_split.items()}  # fmt: skip
    return hits, [film[name] for name in names]
