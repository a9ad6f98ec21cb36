"""`snippets demo`: the paper in miniature, from rendered videos to a report.

The mini data set has classes that differ in one frame, classes that differ only in motion, only in order, or only in a
short moment, so that each network shows what it can and cannot see. Three networks on an AlexNet tower:

    single frame    trained through its tower
    Conv Pooling    trained through its tower, from the single frame's parameters
    LSTM            on the tower of Conv Pooling, as it is; the label at every frame, the gain rising over the clip

The result of one training depends on the last bits of the machine's arithmetic, so one training says little about a
network. Each tower, once trained, computes the features of all frames; on these the layers behind it are trained again
from several seeds, which takes seconds. The table has the median of these heads, and the lowest and the highest; the
one in the middle is joined with the tower and kept as the stage's checkpoint.
"""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from snippets.data.features import FeatureSet, StoredFeatures
from snippets.data.loader import ClipSet
from snippets.data.mini.make import KIND_NAMES, KINDS, QUICK, make_mini
from snippets.data.open import DataSettings, DataSpec, open_data
from snippets.layers.core.base import Layer
from snippets.layers.device.xp import to_numpy
from snippets.nets.expand import warm_start
from snippets.nets.frame_features import frame_features
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, load, save
from snippets.training.evaluate import Result, evaluate
from snippets.training.experiments.demo_page import write_page
from snippets.training.loop import train
from snippets.training.parameters import move_to_device
from snippets.training.settings import Settings

SIZE = 55  # crops of 55 from 64 pixels are the paper's 220 from 256
HEADS = 5  # heads of each kind, from as many seeds


@dataclass(frozen=True)
class Stage:
    """One network of the demo."""

    title: str
    head: str
    frames: int
    heads: Settings  # of what stands behind the tower
    tower: Settings | None = None  # of the whole network; None: the tower of `start` as it is
    start: str | None = None  # stage whose parameters it starts from
    views: int = 1  # clips per test video


STAGES = {
    "single": Stage("Single frame", "single", 1, Settings(40, 16, 0.02, 0.95), Settings(60, 32, 0.02, 0.962), views=24),
    "conv": Stage("Conv Pooling", "conv", 16, Settings(20, 16, 0.02, 0.9), Settings(8, 8, 0.02, 0.8), "single"),
    "lstm": Stage("LSTM", "lstm", 20, Settings(25, 16, 0.05, 0.94), start="conv"),
}
QUICK_STAGES = {  # for fewer clips
    "single": replace(STAGES["single"], tower=Settings(50, 8, 0.02, 0.96)),
    "conv": replace(STAGES["conv"], tower=Settings(6, 8, 0.02, 0.75)),
    "lstm": replace(STAGES["lstm"], heads=Settings(60, 16, 0.05, 0.97)),
}


class Trained(NamedTuple):
    """What a stage leaves behind."""

    net: Layer  # the tower and the middle head
    results: list  # a `Result` per head, the middle one's first
    history: list  # of the tower, or of the middle head where the tower was there: a record per epoch, some tested
    test_set: ClipSet

    @property
    def result(self) -> Result:
        """The middle head's, and so the network's."""
        return self.results[0]


def by_kind(result):
    """Accuracy of each kind of class, the mean over its classes, and overall: {kind: share}."""
    shares = dict(zip(result.classes, result.per_class, strict=True))
    kinds = {kind: float(np.mean([shares[name] for name in shares if KINDS[name] == kind])) for kind in KIND_NAMES}
    return {**kinds, "overall": result.hit1}


def accuracy_table(accuracies):
    """{title: {kind: shares of its heads}} as text."""
    columns = (*KIND_NAMES, "overall")
    lines = [f"{'video Hit@1, %':14}" + "".join(f"{name:>17}" for name in columns)]
    for title, row in accuracies.items():
        shares = [[100 * f(row[name]) for f in (np.median, min, max)] for name in columns]
        lines.append(f"{title:14}" + "".join(f"{f'{m:.0f} ({low:.0f} to {high:.0f})':>17}" for m, low, high in shares))
    return "\n".join([*lines, f"median of {len(row['overall'])} heads (lowest to highest)"])


def train_tower(stage, net, start, sets, **options):
    """Train the whole network, or go on where an interrupted demo stopped; returns its history. sets: train, test."""
    resume = (options["folder"] / "checkpoint.npz").exists()
    if start and not resume:
        warm_start(net, load(start).params)
    print(f"{stage.title}: {stage.tower.epochs} epochs of {len(sets[0])} clips of {stage.frames} frames")
    options |= dict(test=sets[1], evaluate_every=tested_every(stage.tower))
    return train(net, sets[0], resume=resume, fold=1, data=asdict(DataSettings()), workers=1, **options)


def tested_every(settings):
    """Epochs between the points of a learning curve: about eight of them."""
    return max(1, settings.epochs // 8)


def features_of(net, videos, frames):
    """The features of all frames of all videos from the net's tower: a data set of clips x (T, D)."""
    feat = np.stack([frame_features(net.layers["tower"], videos.whole_video(i)) for i in range(len(videos))])
    stored, rows = StoredFeatures(feat, np.ones(1)), np.arange(len(feat))
    return FeatureSet(stored, rows, videos.labels, videos.classes, videos.names, frames, videos.groups)


def run_stage(name, stage, root, out, seed, device="cpu"):
    """Train a tower, unless it is there, and heads on its features; returns what is `Trained`."""
    sets = open_data(DataSpec(root, SIZE, cache=out / "cache", progress=False), stage.frames)
    fc = 128 if stage.tower else 0  # the LSTM reads the maps themselves
    config = NetConfig(
        len(sets[0].classes), "alexnet", stage.head, stage.frames, SIZE,
        width=0.25, fc=fc, dropout=0.3, units=128, depth=1,
    )  # fmt: skip
    net, history = move_to_device(build(config, seed, chunk=16), device), None
    start = stage.start and out / stage.start / "tower" / "checkpoint.npz"
    if stage.tower:
        settings, folder = replace(stage.tower, seed=seed), out / name / "tower"
        history = train_tower(stage, net, start, sets, settings=settings, folder=folder, config=asdict(config))
    else:
        warm_start(net, load(start).params)
    train_set, test_set = (features_of(net, videos, stage.frames) for videos in sets)
    above = replace(config, tower="features", features=train_set.dim)
    found = []
    for n in tqdm(range(HEADS), desc=f"{stage.title}: heads on its features", unit="head", disable=None):
        settings = replace(stage.heads, seed=seed * HEADS + n)
        head = move_to_device(build(above, settings.seed), device)
        curve = train(head, train_set, settings, progress=False, test=test_set, evaluate_every=tested_every(settings))
        found.append((evaluate(head, test_set, stage.views), head, settings, curve))
    found.sort(key=lambda one: one[0].hit1)
    result, head, settings, curve = found.pop(len(found) // 2)
    warm_start(net, head.params)
    params = {key: to_numpy(a) for key, a in net.params.items()}
    about = dict(data=asdict(DataSettings()), classes=list(sets[0].classes), fold=1, seed=seed, videos=len(train_set))
    save(out / name / "checkpoint.npz", Checkpoint(params, {}, asdict(config), asdict(settings), **about))
    return Trained(net, [result, *(other for other, *_ in found)], history or curve, sets[1])


def demo(out, seed=0, quick=False, device="cpu"):
    """Render, train, test, report; returns {title: {kind: accuracies of its heads}}."""
    started = time.perf_counter()
    out = Path(out)
    root = make_mini(out / "data", seed, **(QUICK if quick else {}))
    trained, accuracies, stages = {}, {}, QUICK_STAGES if quick else STAGES
    with threadpool_limits(1, "blas"):  # frames run in parallel; these matrices are too small to share between cores
        for name, stage in stages.items():
            trained[stage.title] = run_stage(name, stage, root, out, seed, device)
            kinds = [by_kind(result) for result in trained[stage.title].results]
            accuracies[stage.title] = {k: [one[k] for one in kinds] for k in kinds[0]}
    table = accuracy_table(accuracies)
    print(table)
    typed = f"snippets demo --seed {seed}" + (" --quick" if quick else "")
    page = write_page(out / "report.html", trained, accuracies, {s.title: s for s in stages.values()}, typed)
    print(f"{page}\n{time.perf_counter() - started:.0f} s")
    return accuracies
