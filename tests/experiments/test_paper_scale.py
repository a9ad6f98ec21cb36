"""The rows of Tables 1 to 7 at the paper's scale, from end to end, on stand-ins of Sports-1M and UCF-101.

In the default run the networks are thin and see 32 pixels; `pytest -m paper` has those of the paper. Everything else is
the same: the commands of `PAPER`, but for one epoch and two views.
"""

import re
from dataclasses import replace

import numpy as np
import pytest

from snippets.data.mini.make import clip_path, look_of, paint_clip, write_avi, write_lines
from snippets.data.video import write_video
from snippets.training.checkpoint import load
from snippets.training.cli.main import execute, main
from snippets.training.experiments.paper import ROWS
from snippets.training.experiments.scales import PAPER
from snippets.training.experiments.tables import tables
from snippets.training.experiments.trial import Trial
from snippets.training.predictions import load_predictions

FULL = replace(
    PAPER,
    training={
        kind: re.sub("--views 240", "--views 2", re.sub(r"--epochs \d+", "--epochs 1", options))
        for kind, options in PAPER.training.items()
    },
)
THIN = replace(
    FULL,
    tower={tower: f"{option} --size 32 --width 0.03" for tower, option in PAPER.tower.items()},
    head={"fc": 8, "units": 8},
    flow="--tvl1 scales=2,warps=1,iterations=5",
)
SIZES = [pytest.param(THIN, id="thin"), pytest.param(FULL, id="full", marks=pytest.mark.paper)]
CLASSES = ("BallRising", "StarDance")


def ucf101(root, side=64):
    """Two classes of three clips; each fold trains on one clip of either and tests one."""
    for name in CLASSES:
        for group in (1, 2, 3):
            pixels = paint_clip(name, look_of(name, 0, group), np.random.default_rng(group), 30, side)
            path = root / clip_path(name, group, 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_avi(path, pixels)
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    write_lines(lists / "classInd.txt", [f"{k} {name}" for k, name in enumerate(CLASSES, 1)])
    for fold in (1, 2, 3):
        learn = [f"{clip_path(name, fold, 1)} {k}" for k, name in enumerate(CLASSES, 1)]
        write_lines(lists / f"trainlist{fold:02d}.txt", learn)
        write_lines(lists / f"testlist{fold:02d}.txt", [clip_path(CLASSES[fold % 2], fold % 3 + 1, 1)])
    return root


def sports1m(root, side=64):
    """Three videos of nine seconds that are there, two to learn from, and one that is not."""
    ids, labels = ("aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc", "gone_______"), ("0", "1", "0,1", "1")
    (root / "original").mkdir(parents=True)
    (root / "labels.txt").write_text("curling\nfencing\n")
    lines = [f"https://www.youtube.com/watch?v={i} {label}\n" for i, label in zip(ids, labels, strict=True)]
    (root / "original" / "train_partition.txt").write_text(lines[0] + lines[1] + lines[3])
    (root / "original" / "test_partition.txt").write_text(lines[2])
    for k, name in enumerate(ids[:3]):
        pixels = paint_clip(CLASSES[k % 2], look_of(CLASSES[k % 2], 0, k), np.random.default_rng(k), 18, side)
        write_video(root / f"{name}.mp4", pixels, fps=2)
    return root


def run_rows(numbers, data, scale, tmp_path, **options):
    """Run these tables; the trial and their records, all of which must be measured."""
    trial = Trial(str(data), scale, 0, tmp_path / "out", str(tmp_path / "cache"), **options)
    records = tables(numbers, [trial], None, execute)
    for row, record in zip((row for row in ROWS if row.table in numbers), records, strict=True):
        assert bool(row.nets) == bool(record["ours"]), record
        assert all(0 <= values[0] <= 100 for values in record["ours"].values())
    return trial, {(r["table"], r["row"]): r for r in records}


@pytest.mark.parametrize("scale", SIZES)
def test_every_row_on_sports_1m(scale, tmp_path):
    data = sports1m(tmp_path / "Sports-1M")
    trial, found = run_rows((1, 2, 3, 4, 5), data, replace(scale, fold=""), tmp_path, available=True)
    assert all(v["ours"].keys() >= {"hit1", "hit5"} for v in found.values())
    assert found[3, "LSTM, 30 frames"]["ours"].keys() >= {"clip"}
    frozen = trial.folder("googlenet-lstm-30-fc")
    about, whole = load(frozen / "checkpoint.npz"), load_predictions(frozen / "predictions.npz")
    assert about.settings["augmentation"] == "none" and whole.views == 0  # each of 300 seconds whole
    assert (about.settings["lr"], about.settings["clip_norm"], about.settings["loss"]) == (3e-4, np.inf, "sum")
    tuned = load(trial.folder("googlenet-lstm-30") / "checkpoint.npz")
    assert (tuned.settings["augmentation"], tuned.settings["view_starts"]) == ("random", "random")
    tower = [key for key in about.params if key.startswith("tower/")]
    assert all((about.params[k] == load(trial.checkpoint("googlenet-single")).params[k]).all() for k in tower)
    assert any((about.params[k] != tuned.params[k]).any() for k in tower)


@pytest.mark.parametrize("scale", SIZES)
def test_every_row_on_ucf_101(scale, tmp_path):
    trial, found = run_rows((6, 7), ucf101(tmp_path / "UCF-101"), scale, tmp_path)
    assert found[7, "Improved Dense Trajectories (IDT)"]["differs"].startswith("hand-made")
    single = load(trial.folder("googlenet-single") / "fold2" / "checkpoint.npz")
    pooled = load(trial.folder("googlenet-conv-120") / "fold2" / "checkpoint.npz")
    assert "fc1/W" in pooled.params and "fc1/W" not in single.params  # the paper adds them for pooling
    if scale is FULL:
        sizes = {"tower/conv1/W": (7, 7, 3, 64), "fc1/W": (1000, 4096), "fc2/W": (4096, 4096), "scores/W": (4096, 2)}
        assert {key: pooled.params[key].shape for key in sizes} == sizes


def test_what_has_one_split_has_no_folds(tmp_path, capsys):
    data = sports1m(tmp_path / "Sports-1M")
    options = ["--table", "2", "--seeds", "1", "--available", "--dry-run", "--out", str(tmp_path / "out")]
    assert main(["tables", "--data", str(data), *options]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("snippets train")]
    assert lines and not any("fold" in line for line in lines) and all("--available" in line for line in lines)
