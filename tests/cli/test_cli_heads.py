"""Every head, every gain and mode, learning-rate groups and network expansion from the command line, on features."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from snippets.data.features import save_features
from snippets.nets.frame_predictions import MODES
from snippets.nets.zoo import HEAD_OPTIONS, HEADS, NetConfig, build, options_read
from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.log import read_log
from snippets.training.settings import GAINS

SMALL = "--batch 3 --epochs 1".split()
SIZES = {"fc": 6, "units": 4, "depth": 2}


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Eight videos of 12 frames of two classes, told apart by their first feature; half of them for testing."""
    x = np.random.default_rng(0).normal(size=(8, 12, 5)).astype(np.float32)
    x[:4, :, 0] += 3
    path = tmp_path_factory.mktemp("features") / "f.npz"
    names = np.array([f"{c}/v_{c}_g{g:02d}_c01.avi" for c in "ab" for g in range(4)])
    save_features(path, x, np.repeat([1, 2], 4), np.arange(8) % 2 == 0, name=names)
    return path


def train(data, out, *options):
    head = options[options.index("--head") + 1]
    sizes = [f"--{name}={size}" for name, size in SIZES.items() if name in options_read(head, "features")]
    return main(["train", str(data), "--out", str(out), *SMALL, *sizes, *options])


@pytest.fixture(scope="module")
def single(features, tmp_path_factory):
    """A trained single-frame network on them."""
    out = tmp_path_factory.mktemp("single")
    assert train(features, out, "--head", "single", "--frames", "1") == 0
    return out / "checkpoint.npz"


@pytest.mark.parametrize("head", [head for head in HEADS if HEADS[head].reads != "clips"])
def test_every_head_trains_on_features_and_is_evaluated(features, head, tmp_path, capsys):
    frames = ["--frames", "1"] if head == "single" else []
    assert train(features, tmp_path, "--head", head, *frames) == 0
    checkpoint = load(tmp_path / "checkpoint.npz")
    assert checkpoint.config["head"] == head and checkpoint.config["frames"] == (1 if head == "single" else 12)
    assert main(["evaluate", str(tmp_path / "checkpoint.npz"), str(features)]) == 0
    assert "video Hit@1" in capsys.readouterr().out


@pytest.mark.parametrize(("loss", "gain", "mode"), list(itertools.product(("mean", "sum"), GAINS, MODES)))
def test_every_gain_and_every_way_of_inference(features, loss, gain, mode, tmp_path, capsys):
    options = ["--head", "lstm", "--loss", loss, "--gain", gain, "--inference", mode]
    assert train(features, tmp_path, *options) == 0
    trained = capsys.readouterr().out.splitlines()[-2]
    settings = load(tmp_path / "checkpoint.npz").settings
    assert (settings["loss"], settings["gain"], settings["inference"]) == (loss, gain, mode)
    assert main(["evaluate", str(tmp_path / "checkpoint.npz"), str(features)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == trained  # the mode that it was trained with
    assert main(["evaluate", str(tmp_path / "checkpoint.npz"), str(features), "--mode", "last"]) == 0


def test_learning_rate_groups(features, single, tmp_path, capsys):
    """A frozen layer stays, a slowed one moves a tenth as far, as --lr-group and --freeze say."""
    options = ["--head", "conv", "--init", str(single), "--epochs", "1", "--batch", "4", "--dropout", "0"]
    moved = {}
    for name, groups in {
        "all": [],
        "slow": ["--lr-group", "fc2/=0.1", "scores/W=0.5", "scores/=0"],
        "frozen": ["--freeze", "fc1/"],
    }.items():
        assert train(features, tmp_path / name, *options, *groups) == 0
        said, (record, *_) = capsys.readouterr().out, read_log(tmp_path / name / "log.jsonl")
        rates = {"fc2/": 0.1 * record["lr"], "scores/W": 0.5 * record["lr"], "scores/": 0.0}
        assert record.get("lr_groups") == {"all": None, "slow": rates, "frozen": {"fc1/": 0.0}}[name]
        assert name == "all" or "learning rates: " in said and f"all else {record['lr']:g}" in said
        before, after = load(single).params, load(tmp_path / name / "checkpoint.npz").params
        moved[name] = {key: after[key] - before[key] for key in after}
    np.testing.assert_allclose(moved["slow"]["fc2/W"], 0.1 * moved["all"]["fc2/W"], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(moved["slow"]["scores/W"], 0.5 * moved["all"]["scores/W"], rtol=1e-4, atol=1e-7)
    assert not moved["slow"]["scores/b"].any() and moved["all"]["scores/b"].any()
    assert not moved["frozen"]["fc1/W"].any() and moved["frozen"]["fc2/W"].any()
    assert load(tmp_path / "slow" / "checkpoint.npz").settings["groups"] == {"fc2/": 0.1, "scores/W": 0.5, "scores/": 0}
    for wrong, told in [
        ("fc2/", "--lr-group fc2/: expected PREFIX=FACTOR"),
        ("fc2/=x", "--lr-group fc2/=x: expected"),
        ("tower/=0.1", "'tower/' fits no parameter"),
    ]:
        assert train(features, tmp_path / "wrong", *options, "--lr-group", wrong) == 1
        assert told in capsys.readouterr().err


def expand(model, out, *options):
    return main(["expand", str(model), "--out", str(out), *options])


def test_a_single_frame_network_is_expanded_step_by_step(features, single, tmp_path, capsys):
    """Single -> 6 -> 12 frames: the parameters are the same, the config says how many frames, training begins anew."""
    first, second = tmp_path / "conv6.npz", tmp_path / "conv12.npz"
    assert expand(single, first, "--head", "conv", "--frames", "6") == 0
    assert expand(first, second, "--head", "late", "--frames", "12") == 0
    assert "6 arrays copied, none new" in capsys.readouterr().out
    old, new = load(single), load(second)
    assert new.config == {**old.config, "head": "late", "frames": 12}
    assert (new.epoch, new.steps, new.history, new.velocity) == (0, 0, [], {}) and old.epoch == 1
    assert (new.classes, new.fold, new.settings) == (old.classes, old.fold, old.settings)
    for key, a in old.params.items():
        np.testing.assert_array_equal(new.params[key], a)
    assert main(["evaluate", str(second), str(features)]) == 0
    assert train(features, tmp_path / "on", "--head", "late", "--init", str(second)) == 0
    assert "new: none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (
            "local",
            r"the first scores/W, \(18, 2\) in the new network and \(6, 2\) in the old one; train it with --init",
        ),
        ("fcpool", r"the first fc1/W, \(150, 6\) in the new network and \(5, 6\)"),
        ("timeconv", "the first timeconv/W"),
        ("lstm", "none of the 6 parameters given fits this network .its first is lstm1/W_x"),
        ("single", "reads one frame"),
    ],
)
def test_what_cannot_be_expanded_is_refused(single, head, told, tmp_path, capsys):
    frames = "20" if head == "local" else "30"  # three windows
    assert expand(single, tmp_path / "x.npz", "--head", head, "--frames", frames) == 1
    assert re.search(told, capsys.readouterr().err)
    assert not (tmp_path / "x.npz").exists()


def test_local_pooling_cannot_grow_and_nothing_is_left_behind(features, single, tmp_path, capsys):
    assert train(features, tmp_path / "local", "--head", "local") == 0
    assert expand(tmp_path / "local" / "checkpoint.npz", tmp_path / "x.npz", "--head", "local", "--frames", "120") == 1
    assert "scores/W, (138, 2) in the new network and (12, 2) in the old one" in capsys.readouterr().err
    assert train(features, tmp_path / "time", "--head", "timeconv", "--fc", "0", "--width", "0.02") == 0  # 5 filters
    assert expand(tmp_path / "time" / "checkpoint.npz", tmp_path / "x.npz") == 1
    assert "timeconv/W, timeconv/b of the old network would be left behind" in capsys.readouterr().err
    assert expand(single, tmp_path / "time" / "checkpoint.npz") == 1
    assert "exists: choose another file" in capsys.readouterr().err


def test_other_classes_get_a_new_softmax_layer(features, single, tmp_path, capsys):
    with np.load(features) as file:
        arrays = {key: file[key] for key in file.files}
    arrays["name"] = np.char.replace(np.char.replace(arrays["name"], "a/", "x/"), "b/", "y/")
    np.savez(tmp_path / "other.npz", **arrays)
    assert train(tmp_path / "other.npz", tmp_path / "run", "--head", "conv", "--init", str(single)) == 0
    assert "new: scores/W, scores/b" in capsys.readouterr().out


OTHER = {"fc": 7, "dropout": 0.25, "dropout_mask": "frame", "units": 3, "depth": 1, "activation": "tanh"}
OTHER |= {"forget_bias": 0.5}


@pytest.mark.parametrize("tower", ["features", "alexnet", "googlenet"])
@pytest.mark.parametrize("head", HEADS)
def test_a_head_reads_the_options_that_its_row_names_and_no_others(head, tower):
    """An option that is read gives other layers; one that is not gives the same."""
    if HEADS[head].reads == "clips" and tower != "alexnet":
        return
    frames, features = (1 if head == "single" else 12), (5 if tower == "features" else 0)
    config = NetConfig(
        2, tower, head, frames, 36, 0.05, features=features, vector=6, fc=6, dropout=0.5, units=4, depth=2
    )

    def layers(config):
        found, todo = [], [build(config, seed=0)]
        while todo:
            layer = todo.pop()
            own = {name: value for name, value in vars(layer).items() if isinstance(value, (str, int, float))}
            shapes = {key: a.shape for key, a in layer.params.items()}
            biases = layer.params["b"].tolist() if "b" in shapes else None
            found.append((type(layer).__name__, own, shapes, biases, getattr(layer, "activation", None)))
            todo += getattr(layer, "layers", {}).values()
        return found

    for name in HEAD_OPTIONS:
        changed = layers(replace(config, **{name: OTHER[name]})) != layers(config)
        assert changed == (name in options_read(head, tower)), name


@pytest.mark.parametrize(
    ("head", "option", "told"),
    [
        ("conv", "--units 4", "--units 4: head conv does not read it on tower features; use --fc, --dropout"),
        ("average", "--depth 2", "--depth 2: head average does not"),
        ("lstm", "--activation tanh", "--activation tanh: head lstm does not read it on tower features; use --units"),
        ("lstm", "--fc 8", "--fc 8: head lstm does not"),
        ("conv", "--dropout-mask frame", "--dropout-mask frame: head conv does not"),
        ("rnn", "--dropout 0.5", "--dropout 0.5: head rnn does not"),
        ("convlstm", "--units 4", "head convlstm does not read it on tower features; use --dropout, --depth"),
    ],
)
def test_an_option_that_the_head_does_not_read_is_refused(features, head, option, told, tmp_path, capsys):
    assert main(["train", str(features), "--out", str(tmp_path / "x"), "--head", head, *option.split()]) == 1
    assert told in capsys.readouterr().err and not (tmp_path / "x").exists()
    assert main(["compare", str(features), "--out", str(tmp_path / "x"), "--heads", head, *option.split()]) == 1
    assert told in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_an_option_of_one_head_among_several_goes_to_that_head(features, tmp_path):
    words = "--heads conv lstm --seeds 1 --epochs 1 --fc 6 --units 4 --depth 1".split()
    assert main(["compare", str(features), "--out", str(tmp_path), *words]) == 0
    configs = [load(tmp_path / head / "seed0" / "checkpoint.npz").config for head in ("conv", "lstm")]
    assert [(c["fc"], c["units"], c["depth"]) for c in configs] == [(6, 512, 5), (4096, 4, 1)]


@pytest.mark.parametrize("command", ["summary", "scaling"])
def test_alexnets_own_layers_are_options_of_a_network_that_reads_vectors(command, capsys):
    small = "--size 36 --width 0.05 --fc 8 --units 4 --depth 1 --head lstm".split()
    if command == "summary":
        assert main([command, *small]) == 0
    assert main([command, *small, "--tower", "googlenet"]) == 1
    assert "--fc 8: head lstm does not read it on tower googlenet; use --units, --depth" in capsys.readouterr().err
