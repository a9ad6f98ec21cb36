"""`snippets demo`: the paper in miniature, from rendered videos to a report.

Three networks on the same AlexNet tower, each started from the one before: the single frame; Conv Pooling over many;
the LSTM, the label at every frame and the gain rising over the clip. The mini data set has classes that one frame
tells apart, classes that only motion, only order, or only a short moment tells apart, so that each network shows what
it can and cannot see.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from data.mini import KINDS, QUICK, make_mini
from nets.expand import warm_start
from nets.zoo import NetConfig, build
from training.checkpoint import load
from training.device import move
from training.evaluate import evaluate
from training.loop import Settings, train
from training.report import write_report
from training.sources import DataSettings, open_data

SIZE = 55  # crops of 55 from 64 pixels are the paper's 220 from 256
KIND_NAMES = ("appearance", "motion", "order", "moment")


@dataclass(frozen=True)
class Stage:
    """One network of the demo."""

    title: str
    head: str
    frames: int
    settings: Settings
    start: str | None = None  # stage whose parameters it starts from
    views: int = 1  # clips a test video


STAGES = {
    "single": Stage("Single frame", "single", 1, Settings(120, 32, 0.02, 0.981, clip_norm=5.0), views=8),
    "conv": Stage("Conv Pooling", "conv", 16, Settings(14, 16, 0.02, 0.86, clip_norm=5.0), start="single"),
    "lstm": Stage("LSTM", "lstm", 20, Settings(15, 8, 0.05, 0.92, clip_norm=5.0), start="conv"),
}
QUICK_STAGES = {  # for a quarter of the clips
    "single": Stage("Single frame", "single", 1, Settings(100, 16, 0.02, 0.98, clip_norm=5.0), views=4),
    "conv": Stage("Conv Pooling", "conv", 16, Settings(8, 8, 0.02, 0.8, clip_norm=5.0), start="single"),
    "lstm": Stage("LSTM", "lstm", 20, Settings(14, 8, 0.05, 0.9, clip_norm=5.0), start="conv"),
}


def by_kind(result):
    """Accuracy of each kind of class, the mean over its classes, and overall: {kind: share}."""
    shares = dict(zip(result.classes, result.per_class, strict=True))
    kinds = {kind: float(np.mean([shares[name] for name in shares if KINDS[name] == kind])) for kind in KIND_NAMES}
    return {**kinds, "overall": result.hit1}


def table(accuracies):
    """{title: {kind: share}} as text."""
    columns = (*KIND_NAMES, "overall")
    lines = [f"{'video Hit@1, %':16}" + "".join(f"{name:>12}" for name in columns)]
    lines += [
        f"{title:16}" + "".join(f"{100 * row[name]:12.1f}" for name in columns) for title, row in accuracies.items()
    ]
    return "\n".join(lines)


def run_stage(name, stage, root, out, seed, device="cpu"):
    """Train one network, or go on where an interrupted demo stopped; returns net, result, history, test set."""
    train_set, test_set = open_data(root, stage.frames, SIZE, cache=out / "cache", progress=False)
    config = NetConfig(
        len(train_set.classes), "alexnet", stage.head, stage.frames, SIZE,
        width=0.25, fc=128, dropout=0.3, units=128, depth=1,
    )  # fmt: skip
    settings = Settings(**{**asdict(stage.settings), "seed": seed})
    net = move(build(config, seed, chunk=16), device)
    folder = out / name
    resume = (folder / "checkpoint.npz").exists()
    if stage.start and not resume:
        warm_start(net, load(out / stage.start / "checkpoint.npz").params)
    print(f"{stage.title}: {settings.epochs} epochs of {len(train_set)} clips of {stage.frames} frames")
    history = train(
        net, train_set, settings, folder=folder, resume=resume,
        config=asdict(config), fold=1, data=asdict(DataSettings()), workers=1,
    )  # fmt: skip
    return net, evaluate(net, test_set, views=stage.views), history, test_set


def demo(out, seed=0, quick=False, device="cpu"):
    """Render, train, test, report; returns {title: {kind: accuracy}}."""
    started = time.perf_counter()
    out = Path(out)
    root = make_mini(out / "data", seed, **(QUICK if quick else {}))
    nets, results, histories, accuracies = {}, {}, {}, {}
    with threadpool_limits(1, "blas"):  # frames run in parallel; these matrices are too small to share between cores
        for name, stage in (QUICK_STAGES if quick else STAGES).items():
            nets[name], results[name], histories[name], test_set = run_stage(name, stage, root, out, seed, device)
            accuracies[stage.title] = by_kind(results[name])
    print(table(accuracies))
    page = write_report(out, STAGES, nets["lstm"], test_set, results, histories, accuracies, table(accuracies))
    print(f"{page}\n{time.perf_counter() - started:.0f} s")
    return accuracies
