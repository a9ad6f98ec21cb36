"""Checkpoints of earlier versions, whose settings have other names, load, predict the same and go on.

tests/kit/old/ was made before `tap`, `warm_start_steps` and `checkpoint_every` had these names: run.npz after two of
three epochs on the videos below, expected.npz with its predictions and the parameters after the third, and shard.npz
of a Downpour run.
"""

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from snippets.data.features import FeatureSet, StoredFeatures
from snippets.data.open import DataSettings
from snippets.data.options import add_options, chosen
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, CheckpointError, load, save
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.machines import Cluster
from snippets.training.distributed.shard import Shard
from snippets.training.evaluate import evaluate
from snippets.training.loop import train
from snippets.training.model import load_model
from snippets.training.settings import Settings

OLD = Path(__file__).parents[1] / "kit" / "old"
CONFIG = NetConfig(3, "features", "conv", 4, fc=6, dropout=0.3, features=5)
SETTINGS = Settings(3, 4, 0.05, clip_norm=1.0)


@pytest.fixture(scope="module")
def expected():
    with np.load(OLD / "expected.npz") as file:
        return dict(file)


def videos(V=9):
    rng, labels = np.random.default_rng(0), np.arange(V) % 3
    feat = (2 * rng.standard_normal((3, 4, 5))[labels] + rng.standard_normal((V, 4, 5))).astype(np.float32)
    stored = StoredFeatures(feat, np.ones(1))
    return FeatureSet(stored, np.arange(V), labels, ["a", "b", "c"], [f"v{i}" for i in range(V)])


def test_an_old_network_predicts_the_same(expected):
    model = load_model(OLD / "run.npz")
    assert model.config == CONFIG and "end" not in model.checkpoint.config
    found = evaluate(model.net, videos()).probabilities
    np.testing.assert_allclose(found, expected["probabilities"], rtol=1e-5)


def test_an_old_run_goes_on(expected, tmp_path):
    shutil.copy(OLD / "run.npz", tmp_path / "checkpoint.npz")
    net = build(CONFIG)
    how = dict(config=asdict(CONFIG), data={}, progress=False)
    assert len(train(net, videos(), SETTINGS, folder=tmp_path, resume=True, **how)) == 3
    for key, value in net.params.items():
        np.testing.assert_allclose(value, expected[f"params/{key}"], rtol=1e-4, atol=1e-6, err_msg=key)
    with pytest.raises(CheckpointError, match="config {'tap': 'auto'}, this run has {'tap': 'maps'}"):
        train(
            net, videos(), SETTINGS, folder=tmp_path, resume=True, **how | {"config": {**asdict(CONFIG), "tap": "maps"}}
        )


@pytest.mark.parametrize(
    "head, tower, mask",
    [("late", "features", "frame"), ("slow", "alexnet", "frame"), ("conv", "googlenet", "frame"),
     ("conv", "alexnet", "clip"), ("lstm", "googlenet", "clip")],
)  # fmt: skip
def test_an_old_run_keeps_its_dropout_masks(head, tower, mask, tmp_path):
    """A mask for each frame where there was no choice; what has no dropout in front of a maximum reads none."""
    old = asdict(NetConfig(3, tower, head, features=5 * (tower == "features")))
    del old["dropout_mask"]
    save(tmp_path / "old.npz", Checkpoint({"W": np.ones(1)}, config=old))
    assert load(tmp_path / "old.npz").config == old | {"dropout_mask": mask}


def test_an_old_run_has_the_settings_that_came_later(tmp_path):
    """With the values that they had before there was a choice, so that it is resumed with them."""
    data = asdict(DataSettings(fps=6.0))
    old = {name: value for name, value in data.items() if name not in ("picture_fps", "count", "dtype", "stored_as")}
    new = ("augmentation", "view_starts")
    settings = {name: value for name, value in asdict(SETTINGS).items() if name not in new}
    save(tmp_path / "old.npz", Checkpoint({"W": np.ones(1)}, data=old, settings=settings))
    assert load(tmp_path / "old.npz").data == data and load(tmp_path / "old.npz").settings == asdict(SETTINGS)


def test_an_old_shard_goes_on():
    downpour = Downpour(2, 2, 1, 1, warm_start_steps=1, checkpoint_every=3)
    shard = Shard(Job(build(CONFIG, 1), videos(), SETTINGS, downpour), 0)
    shard.restore(OLD / "shard.npz")
    assert shard.opt.steps == 1 and shard.done == [1, 0]
    np.testing.assert_array_equal(shard.vector, np.concatenate([a for a in load(OLD / "shard.npz").params.values()]))


@pytest.mark.parametrize(
    "cls, old, new",
    [
        (NetConfig, "--end maps", {"tap": "maps"}),
        (Downpour, "--warm 7 --keep 5", {"warm_start_steps": 7, "checkpoint_every": 5}),
        (Cluster, "--chance 3 --spread 0.5", {"cluster_seed": 3, "std": 0.5}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_old_option_names_still_work_and_are_not_shown(cls, old, new):
    parser = argparse.ArgumentParser()
    add_options(parser, cls, "options")
    assert chosen(parser.parse_args(old.split()), cls).items() >= new.items()
    shown = parser.format_help().replace("[", " ").split()
    assert not [word for word in old.split() if word.startswith("--") and word in shown]
