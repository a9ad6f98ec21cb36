"""What a price is made of, by hand: folds, frames, saves, memory, disk; and what the measurements are asked for."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.nets.inspect.memory import GIB, bytes_of, plan_memory
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.bench.seconds import short
from snippets.training.cli.main import parsed
from snippets.training.experiments import price
from snippets.training.experiments.price import Hosts, Price, Prices, duration
from snippets.training.experiments.runner import training_command

NET = "--head conv --tower alexnet --size 32 --width 0.03 --fc 6 --frames 12 --epochs 5 --batch 8 --views 2"
CONFIG = NetConfig(16, "alexnet", "conv", 12, size=32, width=0.03, fc=6)
FOLDS = {fold: SimpleNamespace(train=range(8 * fold), test=range(fold), classes="ab") for fold in (1, 2, 3)}


@pytest.fixture
def prices(mini, monkeypatch):
    """Where a step takes 3 s + 0.5 s per frame, a test frame 0.25 s and a save 2 s; `told`: what was asked for."""
    trial = SimpleNamespace(data=str(mini), available=False, device="cuda:1", scale=SimpleNamespace(all_imported=False))
    found, told = Prices(trial, parsed, []), []

    def noted(name, answer):
        monkeypatch.setattr(price, name, lambda *args, **how: told.append((name, *args, *how.items())) or answer(*args))

    noted("build", lambda config, seed=0: build(config, None))
    noted("move_to_device", lambda net, device: net)
    noted("step_seconds", lambda net, config, settings: (3.0, 0.5, 0.25, 2.0))
    noted("frames_per_video", lambda videos, source, sample: 11)
    noted("frame_seconds", lambda source, videos: 2.0)
    noted("prediction_memory", lambda tower, shape: 1000)
    noted("load_model", lambda path: f"model of {path}")
    return SimpleNamespace(of=found, told=told)


def test_what_is_measured_is_the_network_of_the_command_on_its_device(prices):
    """A shorter clip of it where that is as good; once for all commands that train the same."""
    source = SimpleNamespace(shape=(32, 32, 3))
    args = parsed(["train", "DATA", *NET.split(), "--freeze", "tower/", "--device", "cuda:1"])
    prices.of.training(args, source)
    (_, measured), (_, _, device), (_, _, config, settings), (_, whole, seed) = prices.told
    assert (measured, device, config) == (replace(CONFIG, frames=short(CONFIG)), "cuda:1", CONFIG)
    assert measured.frames < 12 and (whole, seed) == (CONFIG, ("seed", None))
    assert (settings.epochs, settings.batch, settings.groups) == (5, 8, {"tower/": 0.0})
    prices.told.clear()
    prices.of.training(args, source)
    assert [name for name, *_ in prices.told] == ["build"]


@pytest.mark.parametrize(
    "words, folds, last",
    [
        ("", [1], 24), ("--fold 2", [2], 24), ("--fold all", [1, 2, 3], 24), ("--views 5", [1], 60),
        ("--whole", [1], 11), ("--evaluate-every 4", [1], 24), ("--evaluate-every 5", [1], 24),
        ("--freeze tower/", [3], 24),
    ],
)  # fmt: skip
def test_a_training_on_frames(words, folds, last, prices):
    prices.of.folds = FOLDS if folds != [3] else {None: FOLDS[3]}  # what has one split has no folds
    found = prices.of.training(
        parsed(["train", "DATA", *f"{NET} {words}".split()]), source := SimpleNamespace(shape=(32, 32, 3))
    )
    steps, seen = 5 * sum(folds), 5 * 8 * sum(folds) * 12  # batches of 8 from 8, 16 and 24 videos
    tested = sum(folds) * (12 + last)  # after the last epoch, and the clips of the final test
    assert found.frames == 0 and found.training == 3 * steps + 10 * len(folds) + 0.5 * seen + 0.25 * tested
    net = build(CONFIG, None)
    trained = bytes_of(a for name, a in net.params.items() if "freeze" not in words or not name.startswith("tower/"))
    kept = 1 if words == "--evaluate-every 5" else 2  # the best network, where there are several tests
    assert found.disk == len(folds) * (kept * bytes_of(net.params.values()) + trained)
    assert found.memory == 0.2 * GIB + plan_memory(net, input_shape(CONFIG, 8), ahead=8).total
    if "whole" in words:
        assert prices.told[-1] == ("frames_per_video", prices.of.videos, source, 200)


@pytest.mark.parametrize("tower", [None, "a tower"])
def test_what_is_kept_of_all_frames(tower, prices):
    """48 videos of 11 frames of 4 x 4 x 3 numbers of two bytes; four hosts."""
    source = SimpleNamespace(name="s", shape=(4, 4, 3), dtype=np.dtype(np.float16))
    if tower:
        source = SimpleNamespace(**vars(source), tower=tower, settings=SimpleNamespace(seen=SimpleNamespace(size=32)))
    prices.of.hosts = Hosts(4)
    memory = 0.2 * GIB + 64 * 96 + (1000 if tower else 0)
    for _ in "ab":
        assert prices.of.frames(source) == {"s": Price(2 * 48 * 11 / 4, 0.0, memory, 48 * 11 * 96)}
    assert [told for told in prices.told if told[0] != "frames_per_video"] == [
        ("frame_seconds", source, prices.of.videos),  # once
        *[("prediction_memory", tower, (1, 32, 32, 32, 3))] * (2 if tower else 0),
    ]
    assert prices.told[1] == ("frames_per_video", prices.of.videos, source, 200)


def test_towers_are_loaded_or_built_where_they_compute_and_nothing_is_cached(prices, tmp_path, monkeypatch):
    monkeypatch.setattr(price, "with_features", lambda spec, model: SimpleNamespace(source=lambda: (spec, model)))
    made, missing = (training_command("DATA", NET, out=tmp_path / name) for name in ("made", "missing"))
    made.product.parent.mkdir()
    made.product.touch()
    prices.of.makers = {str(c.folder / "checkpoint.npz"): c for c in (made, missing)}
    for c in (made, missing):
        tower = str(c.folder / "checkpoint.npz")
        args = parsed(f"train DATA --head late --size 32 --fps 5 --features unit --features-of {tower}".split())
        spec, model = prices.of.features(args, tower)
        assert (spec.size, spec.cache, spec.settings.fps, spec.settings.features) == (args.size, None, 5, "raw")
        assert prices.of.features(args, tower)[1] is model  # once
    (loaded, (built, config), (moved, _, device)) = prices.told
    assert loaded == ("load_model", str(made.folder / "checkpoint.npz"), ("device", "cuda:1"))
    assert (built, config, moved, device) == ("build", CONFIG, "move_to_device", "cuda:1")
    assert model.config == CONFIG and prices.of.spec(parsed(["train", "DATA", "--cache", "some"])).cache is None


def test_prices_begin_at_nothing_and_links_are_of_a_gigabit():
    assert Price() == (0, 0, 0, 0) and Hosts() == (1, 1e9 / 8) and Hosts().reduce(100) == 0
    assert Hosts(4, 100.0).reduce(100) == 2 * 3 / 4
    assert duration(7200) == "2.0 h" and duration(60) == "1.0 min"
