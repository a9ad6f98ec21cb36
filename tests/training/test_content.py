"""A run goes on with the videos that it began with, starts from none that will test it, and knows classes by name."""

import numpy as np
import pytest
from downpour_runs import CONFIG, SETTINGS, clips

from snippets.data.decoder import Decoder
from snippets.data.features import load_features, save_features
from snippets.data.layouts.splits import Video
from snippets.data.loader import ClipSet, Preprocessing
from snippets.data.open import DataSettings
from snippets.data.store.store import Store
from snippets.data.video import write_video
from snippets.layers.core.base import Sequential
from snippets.layers.linear import Linear
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, CheckpointError, load, save, videos_of
from snippets.training.cli.main import main
from snippets.training.distributed.downpour import Downpour, Job
from snippets.training.distributed.ray_engine import downpour
from snippets.training.distributed.shard import Shard
from snippets.training.model import start_from

TRAIN = "--head conv --fc 6 --epochs 1 --batch 4".split()


def features(path, V=12, test=4, swap=(), **changed):
    """A feature file of V videos of three classes, of which the last ones are for testing; returns its path."""
    rng = np.random.default_rng(0)
    label = np.arange(V) % 3 + 1
    arrays = {
        "feat": rng.standard_normal((V, 5, 4)).astype(np.float32), "label": label, "is_test": np.arange(V) >= V - test,
        "name": [f"{'abc'[n - 1]}/v{i}.avi" for i, n in enumerate(label)],
    }  # fmt: skip
    save_features(path, **arrays | changed)
    return str(path)


def changed(name):
    """What differs from `features`: {array: its value}."""
    rng = np.random.default_rng(0)
    feat, label = rng.standard_normal((12, 5, 4)).astype(np.float32), np.arange(12) % 3 + 1
    names = np.array([f"{'abc'[n - 1]}/v{i}.avi" for i, n in enumerate(label)], "<U20")
    if name == "content":
        feat[5, 2, 1] += 1
        return {"feat": feat}
    if name == "scale":
        return {"scale": 2.0}
    if name == "name":
        names[4] = "b/other.avi"
        return {"name": names}
    if name == "label":
        names[[0, 1]], label[[0, 1]] = ["b/v0.avi", "a/v1.avi"], [2, 1]
        return {"label": label, "name": names}
    order = [3, 1, 2, 0, *range(4, 12)]
    return {"feat": feat[order], "label": label[order], "name": names[order]}


@pytest.mark.parametrize(
    "what, told",
    [
        ("content", "1 changed (the first: c/v5.avi) of 8"),
        ("scale", "8 changed (the first: a/v0.avi) of 8"),
        ("name", "1 new (the first: b/other.avi), 1 missing (the first: b/v4.avi) of 8"),
        ("label", "2 new (the first: b/v0.avi), 2 missing (the first: a/v0.avi) of 8"),
        ("order", "another order of 8"),
    ],
)
def test_a_run_goes_on_with_its_own_videos_only(what, told, tmp_path, capsys):
    """As many videos of as many classes, but others: refused with what differs, for an ordinary run."""
    args = [*TRAIN, "--out", str(tmp_path / "run"), "--resume"]
    assert main(["train", features(tmp_path / "f.npz"), *args[:-1]]) == 0
    path = tmp_path / "run" / "checkpoint.npz"
    before = path.read_bytes()
    features(tmp_path / "f.npz", **changed(what))
    capsys.readouterr()
    assert main(["train", str(tmp_path / "f.npz"), *args, "--epochs", "2"]) == 1
    err = capsys.readouterr().err
    assert err == f"snippets: {path} was trained on other videos: {told}; resume it with its own, or start anew\n"
    assert path.read_bytes() == before
    features(tmp_path / "elsewhere.npz")  # the same, in another file
    assert main(["train", str(tmp_path / "elsewhere.npz"), *args, "--epochs", "2"]) == 0
    assert load(path).epoch == 2


def test_another_class_under_the_same_name_is_told(tmp_path):
    data = clips()
    old = videos_of(data)
    data.labels = data.labels.copy()
    data.labels[3] = 2
    hot = clips()
    hot.labels = np.eye(3, dtype=bool)[hot.labels]
    assert videos_of(hot)[4][1] == [1] and old[4][1] == 1
    folder = tmp_path / "run"
    job = Job(build(CONFIG, 1), clips(), SETTINGS, Downpour(1, 2))
    job.content = old
    for i in range(2):
        Shard(job, i).save(folder / "shards" / f"{i}.npz")
    assert load(folder / "shards" / "0.npz").content == old and load(folder / "shards" / "1.npz").content is None
    with pytest.raises(CheckpointError, match=r"1 of another class \(the first: v3\) of 44"):
        downpour(build(CONFIG, 1), data, SETTINGS, Downpour(1, 2), folder=folder, resume=True, progress=False)


def test_a_checkpoint_of_an_older_version_goes_on_and_says_what_it_cannot_tell(tmp_path, capsys):
    args = ["train", features(tmp_path / "f.npz"), *TRAIN, "--out", str(tmp_path / "run")]
    assert main(args) == 0
    path = tmp_path / "run" / "checkpoint.npz"
    checkpoint = load(path)
    assert len(checkpoint.content) == 8
    checkpoint.content = None
    save(path, checkpoint)
    assert main([*args, "--resume", "--epochs", "2"]) == 0
    assert "is of an older version: that its 8 videos were these is not known" in capsys.readouterr().err
    assert len(load(path).content) == 8
    checkpoint = load(path)
    checkpoint.content = None
    save(path, checkpoint)
    features(tmp_path / "f.npz", V=13)
    assert main([*args, "--resume", "--epochs", "3"]) == 1
    assert "was trained with videos 8, this run has 9" in capsys.readouterr().err


@pytest.mark.parametrize("cached", [True, False])
def test_videos_are_known_by_what_is_in_their_files(cached, tmp_path):
    def content():
        source = Store(tmp_path / "cache", Decoder(8)) if cached else Decoder(8)
        return videos_of(ClipSet(["x"], videos, source, 2, Preprocessing(8)))

    videos = [Video(tmp_path / f"{i}.avi", 0, f"x/{i}.avi", "g") for i in range(2)]
    for i, video in enumerate(videos):
        write_video(video.path, np.full((3, 16, 16, 3), 40 * i, np.uint8), 25)
    old = content()
    assert [name for name, *_ in old] == ["x/0.avi", "x/1.avi"] and content() == old
    write_video(videos[1].path, np.full((3, 16, 16, 3), 200, np.uint8), 25)
    assert content()[0] == old[0] and content()[1] != old[1]


def test_no_start_from_a_network_that_has_learned_what_is_to_test_this_one(tmp_path, capsys):
    start = ["train", features(tmp_path / "f.npz"), *TRAIN, "--out", str(tmp_path / "a")]
    assert main(start) == 0
    init = str(tmp_path / "a" / "checkpoint.npz")
    other = features(tmp_path / "g.npz", is_test=np.arange(12) < 4)
    capsys.readouterr()
    for command in (["train", *TRAIN], ["simulate", "--head", "conv", "--fc", "6", "--batch", "4", "--epochs", "1"]):
        args = [command[0], other, *command[1:], "--init", init, "--out", str(tmp_path / "b")]
        assert main(args) == 1
        err = capsys.readouterr().err
        assert f"{init} was trained on 4 of this run's 4 test videos, the first a/v0.avi" in err
    feat = np.random.default_rng(1).standard_normal((12, 5, 4)).astype(np.float32)  # others of the same names
    other = features(tmp_path / "h.npz", is_test=np.arange(12) < 4, feat=feat)
    assert main(["train", other, *TRAIN, "--init", init, "--out", str(tmp_path / "c")]) == 0


def test_a_start_knows_classes_by_their_names(tmp_path):
    """The same classes in another order keep their weights; others get new ones."""
    assert main(["train", features(tmp_path / "f.npz"), *TRAIN, "--out", str(tmp_path / "a")]) == 0
    old = load(tmp_path / "a" / "checkpoint.npz")
    assert old.classes == ["a", "b", "c"]
    order = np.array([0, 2, 3, 1])  # a is 2, b is 3, c is 1
    label = order[np.arange(12) % 3 + 1]
    other = features(tmp_path / "g.npz", label=label)
    assert load_features(other)[0].classes == ["c", "a", "b"]
    names = [f"{'xyz'[i % 3]}/v{i}.avi" for i in range(12)]
    for path, told in ((other, "new: none"), (features(tmp_path / "h.npz", name=names), "new: scores/W, scores/b")):
        net = build(NetConfig(**old.config), 7)
        was = net.params["scores/W"].copy()
        sets = load_features(path)
        said = start_from(tmp_path / "a" / "checkpoint.npz", net, NetConfig(**old.config), DataSettings(), 1, *sets)
        assert told in said
        expected = old.params["scores/W"][:, [2, 0, 1]] if path == other else was
        np.testing.assert_array_equal(net.params["scores/W"], expected)
        np.testing.assert_array_equal(net.params["fc1/W"], old.params["fc1/W"])


def test_auxiliary_heads_know_classes_by_name_too(tmp_path, rng):
    config, data = NetConfig(2, "googlenet"), clips(4)
    layers = dict(fc=Linear(3, 4, rng), aux1=Sequential(scores=Linear(3, 2, rng)))
    net = Sequential(tower=Sequential(**layers), scores=Linear(4, 2, rng))
    old = {key: a.copy() for key, a in net.params.items()}
    for theirs, ours in ((["a", "b"], ["b", "a"]), (["a", "b"], ["b", "c"])):
        save(tmp_path / "c.npz", Checkpoint(old, config=vars(config), classes=theirs))
        for a in net.params.values():
            a[...] = 9
        data.classes = ours
        start_from(tmp_path / "c.npz", net, config, DataSettings(), None, data, data)
        for key in ("tower/aux1/scores/W", "scores/W"):
            assert (net.params[key] == (old[key][:, ::-1] if ours == ["b", "a"] else 9)).all(), key
        assert (net.params["tower/fc/W"] == old["tower/fc/W"]).all()
