"""Which options a run takes from the checkpoint that it resumes or starts from, and what a loaded model is made of."""

from argparse import Namespace
from dataclasses import asdict, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from small_nets import SMALL

from snippets.data.decoder import Decoder
from snippets.data.open import DataSettings, DataSpec
from snippets.layers.core.base import Sequential
from snippets.layers.pool import GlobalAvgPool
from snippets.layers.relu import ReLU
from snippets.nets.auxiliary import PLACES
from snippets.nets.frames import OverFrames
from snippets.nets.zoo import NetConfig, build
from snippets.training import model
from snippets.training.alone import Ranks
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.settings import Settings

PIXELS = {f.name for f in fields(DataSettings) if "help" in f.metadata}
ANY = {"width", "standardise", "differences"}  # of every network
MAXIMUM = {"fc", "dropout", "dropout_mask"}  # of a head that takes the maximum of GoogLeNet's vectors
GOOGLENET = {"tower", "size", "vector", "tap", "variant", "tower_dropout"}


def checkpoint(data=None, settings=None, **config):
    """One whose numbers are none of the defaults; data, settings: what differs."""
    config = asdict(NetConfig(3, **{"frames": 7, "size": 36, "width": 0.25, **config}))
    data = asdict(DataSettings()) | {"fps": 5.0, "mean": 100.0, "stored_tap": "maps", **(data or {})}
    return Checkpoint(
        {}, config=config, data=data, settings=asdict(Settings(lr=0.5, batch=9)) | (settings or {}), fold=2
    )


def options(given="", **values):
    """As the command line gives them: the defaults, but for `values`, whose names are `given`, too."""
    usual = {"head": "conv", "tower": "alexnet", "stream": "rgb", "data": "videos", "features_of": None, "fold": None}
    usual |= {"init": None, "out": None, "resume": False, "lr_group": [], "freeze": []}
    return Namespace(**usual | values, given=[*given.split()])


@pytest.mark.parametrize(
    "old, args, names",
    [
        ({}, options(), {"head", "tower", "size", "vector", "norm", "fc", "dropout", "frames", *ANY, *PIXELS}),
        (dict(tower="googlenet"), options(), {"head", "frames", *MAXIMUM, *GOOGLENET, *ANY, *PIXELS}),
        (dict(tower="googlenet"), options("head", head="late"),
         {"frames", *MAXIMUM, *GOOGLENET, *ANY, *PIXELS}),
        (dict(tower="googlenet"), options("head", head="lstm"), {"frames", *GOOGLENET, *ANY, *PIXELS} - {"tap"}),
        (dict(tower="googlenet", head="single", frames=1), options(),
         {"fc", "dropout", *GOOGLENET, *ANY, *PIXELS}),
        (dict(tower="googlenet"), options("head", head="single"), {"fc", "dropout", *GOOGLENET, *ANY, *PIXELS}),
        (dict(tower="googlenet"), options("tower", tower="alexnet"),
         {"head", "fc", "dropout", "frames", "tower", "size", *ANY, *PIXELS}),
        (dict(tower="features", features=4), options(data="f.npz"), {"head", "fc", "dropout", "frames", *ANY}),
        (dict(tower="features", features=4), options(features_of="t.npz"), {"head", "fc", "dropout", "frames", *ANY}),
        (dict(tower="features", features=4), options(), set()),
        ({}, options(data="f.npz"), set()),
        ({}, options(features_of="t.npz"), set()),
    ],
)  # fmt: skip
def test_what_a_network_takes_from_the_one_that_it_starts_from(old, args, names):
    old = checkpoint(**old)
    assert model.of_start(args, old) == sorted((name, (old.config | old.data)[name]) for name in names)


@pytest.mark.parametrize(
    "stream, old, without",
    [
        ("flow", "rgb", {"mean", "tvl1"}),
        ("rgb", "flow", {"mean", "tvl1"}),
        ("flow", "flow", set()),
        ("rgb", "rgb", set()),
    ],
)
def test_another_stream_has_pixels_of_its_own(stream, old, without):
    old = checkpoint({"stream": old})
    found = dict(model.of_start(options("stream", stream=stream), old))
    assert {"mean", "tvl1"} - found.keys() == without and found["scale"] == 127.5
    assert "mean" in dict(model.of_start(options(stream=stream), old)), "where no stream is given the old one stays"
    del old.data["stream"]  # of older versions, which knew frames alone
    found = dict(model.of_start(options("stream", stream=stream), old))
    assert ("mean" in found) == (stream == "rgb") and "stream" not in found


def test_what_a_run_takes_from_itself():
    old = checkpoint(settings={"groups": {"tower/": 0.5, "scores/": 0}})
    named = {cls: {f.name for f in fields(cls) if "help" in f.metadata} for cls in (NetConfig, DataSettings, Settings)}
    values = {**old.config, **old.data, **old.settings}
    usual = {name: values[name] for name in set().union(*named.values())}
    assert "groups" not in usual and "stored_tap" not in usual and "classes" not in usual
    groups = {"lr_group": ["tower/=0.5", "scores/=0"]}
    assert dict(model.of_run(options(), old)) == {**usual, **groups, "fold": 2}
    assert dict(model.of_run(options(fold=1), old)) == {**usual, **groups}
    for typed in (dict(lr_group=["a=1"]), dict(freeze=["a"]), dict(lr_group=["a=1"], freeze=["a"])):
        assert dict(model.of_run(options(fold=1, **typed), old)) == usual
    on_features = {name: value for name, value in usual.items() if name not in ("tower", "tap")}
    assert dict(model.of_run(options(fold=1, data="f.npz"), old)) == {**on_features, **groups}
    assert dict(model.of_run(options(fold=1, features_of="t"), old)) == {**on_features, **groups, "tap": "maps"}
    del old.data["stored_tap"], old.settings["groups"], old.data["fps"]  # of older versions
    found = dict(model.of_run(options(fold=1, features_of="t"), old))
    assert (found["tap"], found["lr_group"]) == ("auto", []) and "fps" not in found


class Team(Ranks):
    """A rank that is told what the first one has found."""

    def __init__(self, rank, told=None):
        super().__init__()
        self.rank, self.told = rank, told

    def same(self, value):
        return value if self.told is None else self.told


@pytest.fixture
def read(monkeypatch):
    """The checkpoints that are read; each has a rate of 2, a batch of 3 and a seed of 4."""
    paths, found = [], [("lr", 2), ("batch", 3), ("weight_decay", 4)]
    monkeypatch.setattr(model, "load", lambda path: paths.append(str(path)))
    for name in ("of_run", "of_start"):
        monkeypatch.setattr(model, name, lambda args, loaded: found)
    return paths


def test_the_run_that_is_resumed_is_found(read, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def resumed(made, **given):
        (tmp_path / made).mkdir(parents=True)
        (tmp_path / made / "checkpoint.npz").touch()
        args = options("lr", resume=True, lr=1, batch=1, weight_decay=4, **given)
        model.inherit(args, Ranks())
        return (args.lr, args.batch, args.weight_decay)

    assert resumed("other", out="run") == (1, 1, 4) and read == [] and capsys.readouterr().out == ""
    assert resumed("run/fold3", out="run") == (1, 1, 4) and read == []
    assert resumed("run/fold4", out="run", fold="all") == (1, 3, 4) and read.pop() == "run/fold3/checkpoint.npz"
    assert capsys.readouterr().out == "as in run/fold3/checkpoint.npz, unless given: batch 3\n"
    assert resumed("run/fold1", out="run", fold="all") == (1, 3, 4) and read.pop() == "run/fold1/checkpoint.npz"
    assert resumed("b/fold2", out="b", fold="all") == (1, 3, 4) and read.pop() == "b/fold2/checkpoint.npz"
    assert resumed("runs/conv", init="a.npz") == (1, 3, 4) and read.pop() == "runs/conv/checkpoint.npz"
    args = options(resume=True, lr=1, heads=["conv"])
    model.inherit(args, Ranks())
    assert args.lr == 1 and read == []


@pytest.mark.parametrize("fold, number", [(1, 1), (2, 2), (3, 3), ("all", 1), (None, 1)])
def test_the_network_to_start_from_is_that_of_the_fold(fold, number, read, capsys):
    args = options(init="runs/fold{fold}/a.npz", fold=fold, lr=2, batch=3, weight_decay=1)
    model.inherit(args, Ranks())
    assert read == [f"runs/fold{number}/a.npz"] and args.weight_decay == 4
    assert capsys.readouterr().out == f"as in {read[0]}, unless given: weight-decay 4\n"
    args = options(init="a.npz", lr=2, batch=3, weight_decay=4)
    del args.resume, args.given  # of a command that resumes nothing
    model.inherit(args, Ranks())
    assert read[1:] == ["a.npz"] and capsys.readouterr().out == ""  # all of it is so already


@pytest.mark.parametrize("given", [dict(init="a.npz"), dict(resume=True)])
def test_other_ranks_read_nothing_and_are_told(given, read, capsys):
    args = options(lr=1, **given)
    model.inherit(args, Team(1, [("lr", 7)]))
    assert args.lr == 7 and read == [] and capsys.readouterr().out == ""


def test_a_model_has_the_threads_that_it_is_asked_for(tmp_path):
    config = {**SMALL, "tower": "alexnet", "frames": 2}
    net = build(NetConfig(**config), 3)
    save(tmp_path / "a.npz", Checkpoint(net.params, config=asdict(NetConfig(**config)), classes=list("abcde")))
    for threads in (None, 3):
        assert model.load_model(tmp_path / "a.npz", threads=threads).net.layers["tower"].threads == threads


def test_loose_videos_are_decoded_and_kept_nowhere():
    videos = model.video_set(["a/x.avi", "y.mp4"], 3, 27, DataSettings(mean=7.0, scale=2.0, seconds=2.0, fps=5.0))
    assert type(videos.source) is Decoder and videos.names == ["x", "y"] and videos.classes == ["unknown"]
    assert (videos.frames, *videos.preprocessing) == (3, 27, 7.0, 2.0)


@pytest.mark.parametrize("device, workers", [("cpu", 5), ("cuda:1", 1)])
def test_features_are_computed_by_processes_or_on_the_gpu(device, workers, monkeypatch):
    asked = []
    loaded = model.Model(None, None, None, Checkpoint({}, fold=2))
    monkeypatch.setattr(model, "usable_cores", lambda: 5)
    monkeypatch.setattr(model, "load_model", lambda path, **how: asked.append((path, how)) or loaded)
    monkeypatch.setattr(model, "with_features", lambda spec, model: spec)
    spec = model.features_of(DataSpec("videos", fold=2), "fold{fold}.npz", device)
    assert spec.executor == model.Processes(workers) and asked == [("fold2.npz", {"device": device})]
    for fold, refused in ((1, True), ("all", False)):
        if refused:
            with pytest.raises(ValueError, match="a.npz was trained with fold 2, this run has 1; it has seen test"):
                model.features_of(DataSpec("videos", fold=fold), "a.npz")
        else:
            model.features_of(DataSpec("videos", fold=fold), "a.npz")
    loaded.checkpoint.fold = None
    model.features_of(DataSpec("videos", fold=1), "a.npz")


def test_a_prediction_is_the_mean_over_clips():
    net = build(NetConfig(3, "features", "lstm", 4, features=2, units=5, depth=1), 1)
    net.params["scores/W"] *= 20
    clips = np.random.default_rng(0).standard_normal((2, 4, 2)).astype(np.float32)
    for mode in ("last", "sum"):
        loaded = model.Model(net, None, None, Checkpoint({}, settings={"inference": mode}))
        scores = net.predict(clips)
        p = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
        expected = p[:, -1] if mode == "last" else p.mean(axis=1)
        np.testing.assert_allclose(model.predict_clips(loaded, clips), expected.mean(axis=0), rtol=1e-4)
    assert model.Model(net, None, None, Checkpoint({})).mode == "weighted"


def test_features_are_known_by_the_tower_that_made_them(tmp_path):
    """The settings of the tower, but for those of the videos' own, and the name under which features are kept."""
    tower = OverFrames(Sequential(average=GlobalAvgPool()))
    config = NetConfig(3, "googlenet", frames=2, size=36, width=0.25, vector=7)
    data = DataSettings(mean=7.0, scale=2.0, fps=5.0, count=4, dtype="float16")
    made = model.Model(SimpleNamespace(layers={"tower": tower}), config, data, Checkpoint({}))
    spec = model.with_features(DataSpec(tmp_path, settings=DataSettings(fps=2.0), cache=tmp_path / "cache"), made)
    expected = DataSettings(mean=7.0, scale=2.0, fps=2.0, count=4, stored_as=spec.settings.stored_as)
    assert (spec.size, spec.settings) == (36, expected) and not list(tmp_path.iterdir())
    source = replace(spec, cache=None).source()
    assert source.name == expected.stored_as and source.name.startswith("42px_2fps_4spread_googlenet_")
    about = {
        "tower": "googlenet",
        "width": 0.25,
        "norm": "lrn",
        "vector": 7,
        "variant": config.variant,
        "tap": "vector",
    }
    assert source.about == about and (source.settings.seen, source.settings.spread) == ((36, 7.0, 2.0), 4)
    assert source.tower is tower and type(source.source) is Decoder
    trained = DataSettings(fps=2.0, stored_as=source.name)  # of a head on these features
    assert model.with_features(DataSpec(tmp_path, settings=trained), made).settings == expected
    with pytest.raises(ValueError, match=f"trained on features {source.name}, but these are 42px_5fps_4spread_"):
        model.with_features(DataSpec(tmp_path, settings=replace(trained, fps=5.0)), made)
    for wrong, told in (
        (dict(mean=9.0), "--mean is 9.0, but the tower has 7.0"),
        (dict(flow_fps=9.0), "--flow-fps is 9.0"),
    ):
        with pytest.raises(ValueError, match=f"{told}.*: leave it out"):
            model.with_features(DataSpec(tmp_path, settings=DataSettings(**wrong)), made)
    with pytest.raises(ValueError, match="--size is 40, but the tower has 36: leave it out"):
        model.with_features(DataSpec(tmp_path, size=40), made)
    assert model.with_features(DataSpec(tmp_path, size=36, settings=DataSettings(mean=7.0)), made).size == 36
    with pytest.raises(ValueError, match="the model has no tower that sees single frames"):
        model.with_features(DataSpec(tmp_path), replace(made, net=SimpleNamespace(layers={"tower": Sequential()})))


def test_a_tower_ends_where_it_is_tapped():
    """Its layers up to there, without auxiliary heads, and its chunk."""
    names = ("conv1", "aux1", "inception5b", "average", "dropout", "vector")
    tower = OverFrames(Sequential(**{name: ReLU() for name in names}), 3)

    def config(tap, tower="googlenet"):
        return SimpleNamespace(tower=tower, tapped=tap)

    assert model.tapped_tower(tower, config("vector"), "vector") is tower
    for tap, kept in (("maps", names[:3]), ("average", names[:4])):
        found = model.tapped_tower(tower, config("vector"), tap)
        assert found.chunk == 3 and list(found.layer.layers) == [name for name in kept if name not in PLACES]
        assert all(layer is tower.layer.layers[name] for name, layer in found.layer.layers.items())
    for end, tap, of in (
        ("maps", "average", "googlenet"),
        ("average", "vector", "googlenet"),
        ("vector", "maps", "alexnet"),
    ):
        with pytest.raises(ValueError, match=f"tap is {tap}, but the model's tower, {of}, ends at {end}"):
            model.tapped_tower(tower, config(end, of), tap)
