"""`snippets features`: what it hands on to what computes, prices and writes, and what it says: stand-ins record it."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.layouts.splits import Video
from snippets.data.open import DataSettings
from snippets.data.video import VideoError
from snippets.training.cli import features
from snippets.training.cli.features import Item
from snippets.training.cli.main import main, parsed

VIDEOS = [Video(Path(name), 0, name, "") for name in ("a/1.avi", "b/2.avi", "b/3.avi")]


class Source:
    """Features (3, 5) of a video: its number; some videos are damaged or gone."""

    folder, shape, dtype, spread = Path("store"), (5,), np.dtype(np.float16), 3

    def __init__(self, bad=()):
        self.bad, self.filled = bad, []

    def fill(self, videos, executor, check):
        self.filled.append((list(videos), executor))
        check(videos[1:])
        return {video.name: f"{video.name} is damaged" for video in videos if video.name in self.bad}

    def frames(self, video):
        if video.name == "b/2.avi":
            raise VideoError("2 is damaged")
        if video.name == "gone.avi":
            raise FileNotFoundError("gone")
        return np.full((3, 5), int(video.path.stem), np.float16)


@pytest.fixture
def running(monkeypatch, tmp_path):
    """The calls of a run over the three videos; `source` and `spec` are those it finds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    calls, source, spec = {}, Source(), SimpleNamespace(cache="c")

    def record(name, answer=None):
        def call(*args, **options):
            calls.setdefault(name, []).append((*args, *options.items()))
            return answer(*args) if callable(answer) else answer

        monkeypatch.setattr(features, name, call)

    items = [Item(video, video.name, 1, video.name, False) for video in VIDEOS]
    for name, answer in {
        "one_run": lambda *args: nullcontext(), "load_model": "model", "untrained_model": "untrained", "spec_of": spec,
        "folder_items": lambda *_: (items, source, {"fold": 2}), "file_items": lambda *_: (items, source, {}),
        "others": lambda *_: VIDEOS[:1], "executor": "how", "export": None, "price_cache": None,
    }.items():  # fmt: skip
        record(name, answer)
    return calls, source, spec


@pytest.mark.parametrize(
    "options, device, of",
    [
        ("--device cuda:1", "cuda:1", "untrained_model"), ("--device cuda:1 --model m.npz", "cuda:1", "load_model"),
        ("--device cuda:1 --ray head:1", "cpu", "untrained_model"),
        ("--device cuda:1 --model m.npz --ray head:1", "cpu", "load_model"),
    ],
)  # fmt: skip
def test_features_of_a_folder_are_kept_in_the_cache(running, capsys, options, device, of):
    """Those of other folds, too; with Ray the model travels from the CPU to the tasks' device."""
    calls, source, _ = running
    assert main(["features", "data", *options.split()]) == 0
    assert capsys.readouterr() == ("store\n", "")
    assert source.filled == [([*VIDEOS, VIDEOS[0]], "how")] and calls["price_cache"] == [
        ([*VIDEOS[1:], VIDEOS[0]], source)
    ]
    (asked,) = calls[of]
    assert asked[-1] == (device if of == "untrained_model" else ("device", device))
    assert calls["executor"][0][1] == "cuda:1" and calls["one_run"] == [(None, ("file", True))]
    ((_, model, folder),) = calls["spec_of"]
    assert (model, folder) == ("model" if of == "load_model" else "untrained", True)
    assert {"export", "file_items"}.isdisjoint(calls)


@pytest.mark.parametrize(
    "inputs, folder", [("data", True), ("1.avi", False), ("data 1.avi", False), ("1.avi 2.avi", False)]
)
@pytest.mark.parametrize("cache", ["c", None])
def test_a_file_of_features(running, capsys, inputs, folder, cache):
    """Of a folder or of video files; without a cache all is computed while it is written."""
    calls, source, spec = running
    spec.cache = cache
    assert main(["features", *inputs.split(), "--out", "f.npz", "--cache", cache or "none"]) == 0
    assert capsys.readouterr().out == "f.npz\n" and "others" not in calls
    assert source.filled == ([(VIDEOS, "how")] if cache else [])
    ((out, items, of, about, bad),) = calls["export"]
    assert (out, [i.video for i in items], of, about, bad) == (
        "f.npz",
        VIDEOS,
        source,
        {"fold": 2} if folder else {},
        {},
    )
    assert calls["spec_of"][0][2] == folder and calls["one_run"] == [("f.npz", ("file", True))]


@pytest.mark.parametrize(
    "command, what",
    [
        ("data --cache none", "features that no cache keeps"), ("1.avi", "features of video files"),
        ("1.avi --cache none", "features that no cache keeps"), ("data 1.avi", "features of video files"),
    ],
)  # fmt: skip
def test_features_that_go_nowhere(running, capsys, command, what):
    assert main(["features", *command.split()]) == 1
    assert capsys.readouterr() == ("", f"snippets: {what} go into a file: add --out FILE.npz\n")
    assert not running[0]


def test_videos_without_features_are_told_one_by_one(running, capsys):
    calls, source, _ = running
    source.bad = ("a/1.avi", "b/2.avi")
    assert main(["features", "data", "--out", "f.npz"]) == 1
    out, err = capsys.readouterr()
    assert out == "f.npz\n" and err.startswith(
        "error: a/1.avi is damaged\nerror: b/2.avi is damaged\n2 of 3 videos are"
    )
    assert sorted(calls["export"][0][4]) == ["a/1.avi", "b/2.avi"]


def test_a_file_has_what_could_be_computed(monkeypatch):
    videos = [*VIDEOS, VIDEOS[0]._replace(name="gone.avi"), VIDEOS[0]._replace(path=Path("9.avi"), name="known.avi")]
    items = [Item(v, f"name {v.name}", n, f"group {n}", n == 2) for n, v in enumerate(videos)]
    written, bad = [], {"known.avi": "damaged"}
    monkeypatch.setattr(features, "save_features", lambda *args, **options: written.append((args, options)))
    features.export("f.npz", items, Source(), {"fold": 2}, bad)
    (((out, feat), options),) = written
    assert out == "f.npz" and feat.dtype == np.float16 and feat.shape == (2, 3, 5) and feat[:, 2, 4].tolist() == [1, 3]
    assert options == dict(
        label=[0, 2], is_test=[False, True], name=["name a/1.avi", "name b/3.avi"], group=["group 0", "group 2"], fold=2
    )
    assert bad == {"known.avi": "damaged", "b/2.avi": "2 is damaged", "gone.avi": "gone"}
    with pytest.raises(VideoError, match="1 of 1 videos cannot be used"):
        features.export("f.npz", items[1:2], Source(), {}, {})
    assert len(written) == 1


def test_the_price_of_a_file(monkeypatch):
    """Six videos of 3 x 5 numbers of two bytes, twice in memory."""
    found = []
    monkeypatch.setattr(features, "check_memory", lambda *args: found.append(args))
    monkeypatch.setattr(features, "check_room", lambda *args: found.append(args[:3]))
    features.check_price(SimpleNamespace(out=None), Source(), [range(4), range(2)])
    assert not found
    features.check_price(SimpleNamespace(out="f.npz"), Source(), [range(4), range(2)])
    what = "a file of 6 x 3 x 5 features"
    assert found == [(what, 2 * 180), ("f.npz", 180, what)]


def test_video_files_and_their_classes(monkeypatch):
    """The folder of a file is its class, classes are numbered by their names; none is for testing."""
    source, priced = Source(), []
    monkeypatch.setattr(features, "check_price", lambda *args: priced.append(args))
    args = SimpleNamespace(inputs=["z/x.avi", "y/v_y_g07_c01.avi", "z/v_z_g01_c02.avi"])
    items, of, about = features.file_items(args, SimpleNamespace(source=lambda: source))
    paths = [Path(path) for path in args.inputs]
    assert (of, about, priced) == (source, {}, [(args, source, [paths])])
    assert [item.video for item in items] == [Video(path, 0, str(path.resolve()), "") for path in paths]
    assert [item[1:] for item in items] == [
        ("z/x.avi", 2, "z/x.avi", False), ("y/v_y_g07_c01.avi", 1, "y/g07", False),
        ("z/v_z_g01_c02.avi", 2, "z/g01", False),
    ]  # fmt: skip


@pytest.mark.parametrize("count, frames", [(7, None), (None, 1)])
@pytest.mark.parametrize("hot", [False, True])
def test_videos_of_a_folder_and_their_labels(monkeypatch, count, frames, hot):
    """Labels count from 1; several of a video stay rows, also where one side has no videos."""
    labels, source, calls = np.eye(3, dtype=bool)[[2, 0]] if hot else np.array([2, 0]), Source(), []
    sets = [
        SimpleNamespace(classes=list("abc"), labels=of, stored=SimpleNamespace(videos=videos, source=source))
        for of, videos in ((labels, VIDEOS[:2]), (np.array([], int) if hot else np.array([1]), VIDEOS[2:][: 1 - hot]))
    ]

    def open_data(*args, check, **how):
        calls.append((*args, how))
        check(*sets)
        return sets

    monkeypatch.setattr(features, "open_data", open_data)
    monkeypatch.setattr(features, "check_price", lambda *args: calls.append(args))
    spec = SimpleNamespace(settings=SimpleNamespace(count=count), fold=2)
    items, of, about = features.folder_items("args", spec)
    assert (of, about) == (source, {"fold": 2, "classes": ["a", "b", "c"]})
    assert calls[0] == (spec, frames, {"build": False})
    assert calls[1][:2] == ("args", source) and list(calls[1][2]) == sets
    found = [(item.video, item.name, item.group, item.is_test) for item in items]
    assert found == [(v, v.name, v.group, v is VIDEOS[2]) for v in VIDEOS[: 3 - hot]]
    assert [np.asarray(item.label).tolist() for item in items] == (labels.tolist() if hot else [3, 1, 2])


@pytest.mark.parametrize(
    "options, own, fold, count, checked",
    [
        ("data", None, 1, None, False), ("data --out f.npz", None, 1, 25, False), ("data --count 4", None, 1, 4, False),
        ("data --model m.npz", 3, 3, None, False), ("data --model m.npz --out f.npz --fold 2", 3, 2, 25, True),
        ("data --model m.npz --out f.npz --count 4 --tap average", 3, 3, 4, True),
        ("data --model m.npz --out f.npz --count 4", None, 1, 4, False),
        ("1.avi --out f.npz --fold 2", None, None, 25, False),
    ],
)  # fmt: skip
def test_how_the_videos_are_read(monkeypatch, options, own, fold, count, checked):
    """With the fold of the model, which a file of features must have."""
    checks = []
    monkeypatch.setattr(features, "fold_for", lambda path, asked: asked or 1)
    monkeypatch.setattr(features, "check_fits", lambda *args, **expected: checks.append((*args, expected)))
    monkeypatch.setattr(features, "with_features", lambda spec, model: (spec, model))
    args = parsed(f"features {options} --skip s.txt --available --size 40 --cache c --mean 9".split())
    model = SimpleNamespace(checkpoint=SimpleNamespace(fold=own))
    folder, tap = options.startswith("data"), "average" if "--tap" in options else "auto"
    spec, of = features.spec_of(args, model, folder)
    assert of is model and checks == [(model.checkpoint, "m.npz", {"fold": fold})] * checked
    assert (spec.path, spec.size, spec.fold) == ("data" if folder else ".", 40, fold)
    assert (spec.cache, spec.skip, spec.available) == ("c", "s.txt", True)
    assert spec.settings == DataSettings(features="raw", count=count, stored_tap=tap, mean=9.0)


def test_an_untrained_tower(monkeypatch, capsys):
    """Priced with the frames that it sees at a time, before there are any weights."""
    found = []
    monkeypatch.setattr(features, "prediction_memory", lambda *args: found.append(args) or 99)
    monkeypatch.setattr(features, "check_memory", lambda *args: found.append(args))
    monkeypatch.setattr(features, "move_to_device", lambda net, device: found.append((net, device)) or "moved")
    words = "features data --tower googlenet --tap average --size 36 --width 0.05 --seed 3 --fps 5"
    model = features.untrained_model(parsed(words.split()), "cuda:1")
    assert capsys.readouterr() == ("", "no --model: the tower's weights are random\n")
    (net, shape), asked, (tower, device) = found
    assert (shape, asked, device) == ((1, features.CHUNK, 36, 36, 3), ("the tower", 99), "cuda:1")
    assert not any(any(a.strides) for a in net.params.values() if a.ndim == 4), "weights were made"
    assert (model.net, model.checkpoint, model.data) == ("moved", None, DataSettings(fps=5.0))
    config = {name: getattr(model.config, name) for name in ("tower", "tap", "size", "width", "head", "classes")}
    assert config == dict(tower="googlenet", tap="average", size=36, width=0.05, head="lstm", classes=1)
    expected = features.build_tower(model.config, np.random.default_rng(3))[0]
    assert all((tower.params[f"tower/{key}"] == a).all() for key, a in expected.params.items())


@pytest.mark.parametrize("official", [True, False])
def test_other_folds_of_published_lists_may_have_more_videos(tmp_path, official):
    """All that any fold has, but those that are known and those to skip."""
    for kind in "ab":
        (tmp_path / "data" / kind).mkdir(parents=True)
        for g in (1, 2, 3, 4):
            (tmp_path / "data" / kind / f"v_{kind}_g0{g}_c01.avi").touch()
    lists = tmp_path / "data" / "ucfTrainTestlist"
    if official:
        lists.mkdir()
        (lists / "classInd.txt").write_text("1 a\n2 b\n")
        for fold, test in ((1, 1), (2, 2), (3, 4)):
            for name, groups in (("train", (3,)), ("test", (test,))):
                (lists / f"{name}list0{fold}.txt").write_text(
                    "\n".join(f"{k}/v_{k}_g0{g}_c01.avi {1 + (k == 'b')}" for g in groups for k in "ab")
                )
    (tmp_path / "skip.txt").write_text("b/v_b_g02_c01.avi\n")
    spec = SimpleNamespace(path=tmp_path / "data", skip=None, available=False)
    known = features.VideoFolder(spec.path).load(1)
    more = {"a/v_a_g02_c01.avi", "b/v_b_g02_c01.avi", "a/v_a_g04_c01.avi", "b/v_b_g04_c01.avi"} if official else set()
    assert {video.name for video in features.others(spec, known.train + known.test)} == more
    spec.skip = tmp_path / "skip.txt"
    found = {video.name for video in features.others(spec, known.train + known.test)}
    assert found == more - {"b/v_b_g02_c01.avi"}
    (tmp_path / "data" / "a" / "v_a_g04_c01.avi").unlink()
    if official:
        spec.available = True
        assert {v.name for v in features.others(spec, known.train + known.test)} == found - {"a/v_a_g04_c01.avi"}
