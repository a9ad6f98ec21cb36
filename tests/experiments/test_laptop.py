"""UCF-101 at the laptop scale: its commands, a run on a stand-in that is interrupted, and prices."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_tables import SMALL, TINY

from snippets.data.layouts.table import VideoFolder
from snippets.data.mini.make import make_mini
from snippets.nets.zoo import NetConfig, build
from snippets.training.bench import seconds
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.cli.main import execute, main, parsed, parser
from snippets.training.experiments import price, tables
from snippets.training.experiments.paper import NETS, ROWS
from snippets.training.experiments.price import Hosts, Price, Prices, duration, price_rows, summed
from snippets.training.experiments.runner import run, stages
from snippets.training.experiments.scales import LAPTOP, MINI, MINI_IMPORTED, PAPER
from snippets.training.experiments.trial import Trial
from snippets.training.settings import Settings

QUICK = replace(
    LAPTOP,
    frames={1: 1, 15: 3, 30: 3, 120: 4},
    head={"fc": 6, "dropout": 0.1, "units": 5, "depth": 1},
    training=dict.fromkeys(LAPTOP.training, "--epochs 1 --batch 8 --lr 0.02 --views 2"),
    flow="--stream flow --bound 4 --tvl1 scales=2,warps=1,iterations=5",
    rates={("flow", None): 3},
)
IMPORTED = MINI_IMPORTED.training.keys() - MINI.training.keys() | {"googlenet single"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three groups of a clip for each class, in UCF-101's layout."""
    root = tmp_path_factory.mktemp("laptop")
    return make_mini(root / "UCF-101", seed=0, groups=3, clips=1, frames=16, side=38)


def small_import(arguments):
    """In place of `snippets import`: an untrained tower of 8 numbers, for frames or flow."""
    args = parser("import").parse_args(arguments)
    config = NetConfig(8, "googlenet", "single", 1, 32, width=0.03, vector=8, fc=0, dropout=0.0)
    pixels = {name: getattr(args, name) for name in ("stream", "bound", "tvl1")}
    about = {"config": vars(config), "data": pixels, "classes": [str(k) for k in range(8)]}
    save(args.out, Checkpoint(build(config).params, **about))


def executing(told):
    """`execute`, but for imports; and what is done is noted."""

    def doing(arguments):
        told.append(arguments[0])
        return small_import(arguments) if arguments[0] == "import" else execute(arguments)

    return doing


def one_process(commands, execute, log=None, workers=1, ray=None):
    """`run` in this process, where `executing` is, stage by stage."""
    for stage in stages(dict.fromkeys(commands)):
        run(stage, execute, log)


def test_every_row_of_tables_6_and_7_has_its_commands(tmp_path):
    trial = Trial("UCF-101", LAPTOP, 0, tmp_path, "cache", weights="w.npz", available=True)
    native = replace(trial, scale=replace(LAPTOP, fps=None))
    for row in (row for row in ROWS if row.table >= 6):
        commands, why = trial.row_commands(row), trial.missing(row)
        assert bool(commands) != bool(why), row.title
        assert "--native-rate" not in why or native.row_commands(row)
        for c in commands:
            args = parser().parse_args(c.arguments)
            assert args.command == "import" or args.available
            if args.command == "train":
                assert args.fold == "all" and (args.count == 15) == ("tower-flow" in args.features_of)
                T = {NETS[name].frames for name in row.nets if trial.folder(name) == c.folder}
                assert args.frames == min(*T, args.count or 999)
    without = [row.title for row in ROWS if row.table >= 6 and trial.missing(row)]
    assert without == [
        "Conv Pooling, 30 frames at 30 fps", "Conv Pooling, 120 frames at 30 fps",
        "Improved Dense Trajectories (IDT)", "Slow Fusion [14]",
    ]  # fmt: skip
    assert (
        trial.folder("googlenet-conv-30")
        == trial.folder("googlenet-conv-30-6fps")
        != native.folder("googlenet-conv-30")
    )
    assert "not at this scale" in trial.missing(next(row for row in ROWS if row.title == "LSTM + AlexNet (fc)"))
    done = next(c for c in trial.commands("googlenet-conv-30") if c.arguments[0] == "features")
    assert not done.done and done.product is None


def test_a_stand_in_is_run_interrupted_and_goes_on(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tables, "run", one_process)
    trial = Trial(str(data), QUICK, 0, tmp_path, str(tmp_path / "cache"), weights="w.npz")
    told = []

    def stopping(arguments):
        if told.count("train") == 3:
            raise KeyboardInterrupt
        return executing(told)(arguments)

    with pytest.raises(KeyboardInterrupt):
        tables.tables((7,), [trial], None, stopping)
    assert told[:2] == ["import", "import"] and told[2:4] == ["features", "features"]
    doing = executing(told)
    told.clear()
    records = {r["row"]: r for r in tables.tables((7,), [trial], None, doing)}
    assert "import" not in told and told.count("train") == 8 - 3 and told.count("evaluate") == 6
    for title, rate in (("Two-stream, SVM [19]", ""), ("LSTM on both, 30 frames", "6 frames per second; ")):
        assert 0 <= records[title]["ours"]["hit1"][0] <= 100
        assert f"tower as trained on ImageNet; {rate}3 flow images per video" in records[title]["differs"]
    assert not records["Slow Fusion [14]"]["ours"] and "GoogLeNet alone" in records["Slow Fusion [14]"]["differs"]
    assert "--scale laptop --weights w.npz" in json.loads((tmp_path / "tables.json").read_text())["command"]
    told.clear()
    tables.tables((7,), [trial], None, doing)
    assert told == ["features", "features"], "what is there is not done again"


def test_the_mini_tables_with_an_imported_googlenet(data, tmp_path):
    """AlexNet's rows as without it, GoogLeNet's on features of the imported tower."""
    scale = replace(TINY, training=TINY.training | dict.fromkeys(IMPORTED, "--epochs 1 --batch 8 --views 2"))
    scale = replace(scale, tower=scale.tower | {"googlenet": "--size 32"}, weights=True, flow=QUICK.flow)
    trial, told = Trial(str(data), scale, 0, tmp_path, str(tmp_path / "cache"), weights="w.npz"), []
    records = {r["row"]: r for r in tables.tables((2, 4), [trial], SMALL, executing(told))}
    assert all(0 <= r["ours"]["hit1"][0] <= 100 for r in records.values()) and told.count("import") == 2
    about = {title: records[title]["differs"] for title in records}
    assert about["AlexNet single frame"] == "mini data set; thin alexnet"
    assert about["GoogLeNet single frame"] == "mini data set; tower as trained on ImageNet"
    assert "; tower as trained on ImageNet; 9 flow images per video; one layer" in about["LSTM on both"]
    assert "--data mini --weights w.npz --table" in json.loads((tmp_path / "tables.json").read_text())["command"]
    assert (tmp_path / "seed0" / "alexnet-single" / "features16.npz").exists()
    assert not (tmp_path / "seed0" / "googlenet-single" / "features16.npz").exists()


def test_prices_add_up_what_was_measured(data, tmp_path, monkeypatch):
    """Where a frame takes 2 s, a step 3 s + 0.5 s per frame, a test frame 0.25 s, a save 1 s, to read a clip 3 s."""
    monkeypatch.setattr(price, "frame_seconds", lambda source, videos: 2.0)
    monkeypatch.setattr(price, "step_seconds", lambda net, config, settings: (3.0, 0.5, 0.25, 1.0))
    monkeypatch.setattr(price, "reading_seconds", lambda videos, config: len(videos) / 16)
    monkeypatch.setattr(price, "usable_cores", lambda: 2)
    trial = Trial(str(data), QUICK, 0, tmp_path, str(tmp_path / "cache"), weights="w.npz")
    commands = trial.commands("googlenet-conv-30-flow")
    run(commands[:1], executing([]))
    V, sides = 48, [(len(s.train), len(s.test)) for s in Prices(trial, parsed, commands).folds.values()]
    assert sides == [(32, 16)] * 3
    found = Prices(trial, parsed, commands).of(commands[2])
    features, training = found.values()
    assert features.frames == 2 * V * 3 and features.disk == V * 3 * 8 * 2  # 3 images of a video, 8 numbers of 2 bytes
    steps, seen, tested = 3 * 4, 3 * 32 * 3, 3 * 16 * 3 * 3  # T = 3, the test after the epoch and two views
    assert training.training == (3 * steps + 1.5 * seen + 3 * 1 + 1.25 * tested) / 2
    params = 4 * (2 * 8 + 8 * 6 + 6 + 6 * 6 + 6 + 6 * 16 + 16)  # mean and std, three layers
    assert training.disk == 3 * (2 * params - 4 * 2 * 8)
    four = Prices(trial, parsed, commands, Hosts(4, 1e3))
    features, training = four.of(commands[2]).values()
    reduced = steps * 1.5 * (params - 4 * 2 * 8) / 1e3
    assert features.frames == V * 3 * 2 / 4
    assert training.training == pytest.approx((3 * steps + reduced + 3 + (1.5 * seen + 1.25 * tested) / 4) / 2)
    text = price_rows([row for row in ROWS if row.table == 7], [trial], parsed, Hosts(), executing([]))
    lines = [line.split("|") for line in text.splitlines()]
    assert len(lines) == 2 + 10 + 1 and "not built here" in lines[2][3]
    assert lines[8][3:5] == [" 0.0 min ", " 0.0 min "], "the second single-frame row needs nothing that is not there"
    assert summed([Price(1, 2, 3, 4), Price(10, 20, 1, 40)]) == (11, 22, 3, 44) and summed([]) == (0, 0, 0, 0)
    assert duration(7199) == "120.0 min" and duration(9000) == "2.5 h"


@pytest.mark.parametrize("scale", [MINI, PAPER], ids=["mini", "paper"])
def test_every_network_has_a_price(scale, data, tmp_path, monkeypatch):
    """Nothing is run for it, and no network of the paper's size is timed here."""
    monkeypatch.setattr(price, "frame_seconds", lambda source, videos: 0.1)
    monkeypatch.setattr(price, "step_seconds", lambda net, config, settings: (1.0, 0.1, 0.1, 0.0))
    monkeypatch.setattr(price, "reading_seconds", lambda videos, config: 0.0)
    monkeypatch.setattr(price, "build", lambda config, seed=None: build(config, None))
    monkeypatch.setattr(price, "move_to_device", lambda net, device: net)
    trial, told = Trial(str(data), scale, 0, tmp_path, str(tmp_path / "cache")), []
    rows = [row for row in ROWS if row.table in (2, 7)]
    lines = price_rows(rows, [trial], parsed, Hosts(), executing(told)).splitlines()
    assert not told and len(lines) == 2 + len(rows) + 1 and not list(tmp_path.iterdir())
    assert "0.0 GiB" not in lines[-1]


def test_measured_seconds(data):
    """They are of the right order: more frames take longer, and nothing is negative."""
    config = NetConfig(16, "features", "conv", 6, features=8, fc=6, dropout=0.0)
    found = seconds.step_seconds(build(config), config, Settings(batch=8))
    assert len(found) == 4 and all(np.isfinite(found)) and found[0] >= 0 and min(found[1:]) > 0
    videos = VideoFolder(data).load(1).test
    assert 0 < seconds.reading_seconds(videos, config) < 1
    small = NetConfig(16, "alexnet", "conv", 30, size=32, width=0.03, fc=6)
    assert seconds.short(small) == seconds.SHORT and seconds.short(replace(small, head="local")) == 30
    assert min(seconds.step_seconds(build(replace(small, frames=10)), small, Settings())[1:3]) > 0


@pytest.mark.parametrize(
    "words, error",
    [
        ("--scale laptop", "--scale laptop with --data mini"),
        ("--data DATA --scale laptop", "--scale laptop needs --weights FILE"),
        ("--data DATA --weights w.npz", "--scale laptop needs --weights FILE, which mini takes, too"),
        ("--native-rate", "it alone takes --native-rate"),
        ("--data DATA --scale mini", "--scale mini with --data"),
    ],
)
def test_options_of_the_scales(words, error, data, capsys):
    assert main(["tables", *words.replace("DATA", str(data)).split(), "--dry-run"]) == 1
    assert error in capsys.readouterr().err
