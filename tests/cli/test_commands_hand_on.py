"""What the smaller commands hand on and print: data sets, imported weights, pictures, the museum."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import recorded_calls

from snippets.data.features import save_features
from snippets.data.open import DataSettings
from snippets.nets.pretrained.names import PIXELS, Source
from snippets.training.checkpoint import load
from snippets.training.cli import dataset, doctor, summary, weights
from snippets.training.cli.main import main


@pytest.fixture
def record(monkeypatch, tmp_path):
    """`recorded_calls.record`, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(recorded_calls.record, monkeypatch)


def test_make_data(record, tmp_path, capsys):
    for name in ("a/1.avi", "a/2.avi", "b/1.avi", "b/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    made = record(dataset, "make_mini", tmp_path)
    assert main("make-data there --seed 1 --groups 4 --clips 5 --frames 6 --side 32".split()) == 0
    assert made == [("there", 1, 4, 5, 6, 32)]
    assert capsys.readouterr().out == f"{tmp_path}: 3 clips; lists in {tmp_path / 'ucfTrainTestlist'}\n"


@pytest.mark.parametrize("wrong, status", [(True, 1), (False, 0), (["a list"], 1)])
def test_check_data(record, monkeypatch, tmp_path, capsys, wrong, status):
    """Videos are read as a network would read them."""
    written = []
    survey = type("Survey", (), {"__str__": lambda self: "a survey", "unusable": ["a", "b"], "wrong": wrong})()
    survey.write_skip = written.append
    (tmp_path / "data").mkdir()
    (tmp_path / "known.txt").write_text("a.avi\n")
    calls = record(dataset, "check_dataset", survey)
    record(dataset, "executor", lambda args: ("how", args.workers))
    decoders = record(dataset, "Decoder", "source")
    words = "check-data data --frames 4 --fps 5 --seconds 2 --picture-fps 7 --workers 3"
    assert main([*words.split(), "--write-skip", "skip.txt", "--skip", "known.txt"]) == status
    assert main(["check-data", "data"]) == status
    assert decoders[0] == (("fps", 5.0), ("limit", 10), ("picture_fps", 7.0))
    assert decoders[1] == (("fps", None), ("limit", None), ("picture_fps", DataSettings.picture_fps))
    assert [(*call[:3], set(call[3]), call[4]) for call in calls] == [
        ("data", "source", 4, {"a.avi"}, ("how", 3)), ("data", "source", 30, set(), ("how", None))
    ]  # fmt: skip
    assert written == ["skip.txt"]
    assert capsys.readouterr().out == "a survey\nskip.txt: 2 videos to skip\na survey\n"


def test_check_data_of_features(tmp_path, capsys):
    """How many there are, and how the classes are spread; a video may have several."""
    feat = np.random.default_rng(0).random((5, 4, 3), np.float32)
    for label, spread in (
        ([1, 2, 2, 1, 2], "2, with 2 (1) to 3 videos (2), median 2.5"),
        (
            np.eye(2, dtype=bool)[[0, 1, 1, 0, 1]] | [True, False],
            "2, with 3 (1) to 5 videos (0), median 4; 3 of 5 videos have several classes",
        ),
    ):
        save_features(tmp_path / "f.npz", feat, label, [0, 0, 0, 1, 1])
        assert main(["check-data", str(tmp_path / "f.npz")]) == 0
        first, classes, last = capsys.readouterr().out.splitlines()
        assert first == f"{tmp_path / 'f.npz'}: 3 training and 2 test videos, 4 frames of 3 features"
        assert (classes, last) == (f"classes   {spread}", "nothing is wrong")


@pytest.mark.parametrize("ray, xp", [([], "cuda:1"), (["--ray", "head:1"], "cpu")])
def test_flow_of_a_folder_is_computed_where_it_is_asked_for(record, tmp_path, capsys, ray, xp):
    (tmp_path / "data").mkdir()
    sets = [SimpleNamespace(source=SimpleNamespace(folder=place)) for place in ("the cache", "another")]
    opened = record(dataset, "open_data", sets)
    record(dataset, "fold_for", 2)
    record(dataset, "use_device", lambda device: f"arrays on {device}")
    how = record(dataset, "executor", "how")
    (tmp_path / "skip.txt").touch()
    words = (
        "flow data --size 40 --cache c --skip skip.txt --fps 5 --flow-fps 10 --bound 9 --picture-fps 7 --device cuda:1"
    )
    assert main([*words.split(), *ray]) == 0
    ((spec, frames),) = opened
    assert (spec.path, spec.size, spec.fold, spec.cache, spec.skip) == ("data", 40, 2, "c", "skip.txt")
    assert (spec.xp, spec.executor, frames, how[0][1]) == (f"arrays on {xp}", "how", 1, "cuda:1")
    assert spec.settings == DataSettings(stream="flow", fps=5.0, flow_fps=10.0, bound=9.0, picture_fps=7.0)
    assert capsys.readouterr().out == "the cache\n"
    assert main(["flow", "data", "--render", "a.png"]) == 1
    assert "data is a data set, but --render shows the flow of one video" in capsys.readouterr().err
    assert len(opened) == 1


def test_flow_of_a_video_is_drawn_without_a_cache(record, monkeypatch, tmp_path, capsys):
    (tmp_path / "a.avi").touch()
    record(dataset, "use_device", lambda device: f"arrays on {device}")
    drawn = record(dataset, "render_flow", "what was drawn")
    monkeypatch.setattr(dataset.DataSpec, "source", lambda self: self)
    assert main("flow a.avi --render a.png --size 40 --bound 9 --device cuda:1".split()) == 0
    ((path, spec, out),) = drawn
    assert (path, spec.path, spec.size, spec.cache, spec.xp, out) == (
        "a.avi",
        "a.avi",
        40,
        None,
        "arrays on cuda:1",
        "a.png",
    )
    assert spec.settings == DataSettings(stream="flow", bound=9.0)
    assert capsys.readouterr().out == "what was drawn\n"
    assert main(["flow", "a.avi"]) == 1
    assert capsys.readouterr().err.startswith("snippets: a.avi: expected a folder or a manifest of videos, or --render")


def test_flow_error_measures_painted_pairs_or_one_of_ones_own(record, capsys):
    record(dataset, "methods", lambda tvl1, peers: (tvl1.warps, peers))
    record(dataset, "painted", lambda by, seeds: ("painted", by, seeds))
    record(dataset, "own_pair", lambda *files: files)
    record(dataset, "measured", lambda pairs, by: (pairs, by))
    record(dataset, "table", repr)
    warps = dataset.TVL1().warps
    for command, told in (
        ("", ("painted", (warps, []), 3)), ("--seeds 2 --tvl1 warps=1", ("painted", (1, []), 2)),
        ("a.png b.png c.flo", {"c.flo": ([("a.png", "b.png", "c.flo")], (warps, []))}),
    ):  # fmt: skip
        assert main(["flow-error", *command.split()]) == 0
        heading, found = capsys.readouterr().out.splitlines()
        assert heading.startswith("mean end-point error in pixels (more than 1 off") and found == repr(told)
    for count in (1, 2, 4):
        assert main(["flow-error", *(["a.png"] * count)]) == 1
        assert f"{count} files, expected two pictures and a file of true flow, or none" in capsys.readouterr().err


@pytest.fixture
def imported(record, monkeypatch):
    """Runs `snippets import` of a small GoogLeNet: what it printed, and the checkpoint."""
    found = type("Map", (), {"__str__": lambda self: "what went where", "total": "all used", "params": {}})()

    def build(config, of=weights.build):
        net = of(replace(config, width=0.05))
        found.params = {key: a + 1 for key, a in net.layers["tower"].params.items()}
        return net

    monkeypatch.setattr(weights, "build", build)
    record(weights, "map_tensors", found)
    record(weights, "vector_length", 6)

    def run(capsys, program, variant, *options):
        record(weights, "read_weights", Source(Path("w"), {}, program, variant))
        status = main(["import", "w.npz", "--out", "g.npz", "--size", "64", *options])
        out, err = capsys.readouterr()
        return (out, load("g.npz"), found.params) if status == 0 else err

    return run


def test_imported_weights_under_a_new_layer(imported, capsys):
    out, c, params = imported(capsys, "caffe", "caffe")
    assert out == (
        "what went where\nvariant caffe: the network sees RGB pixels less [123.0, 117.0, 104.0], divided by 1.0\n"
        "g.npz: the last layer, 101 classes, is untrained\n"
    )
    assert c.classes == [str(k) for k in range(101)] and c.params["scores/W"].shape == (6, 101)
    config = dict(classes=101, tower="googlenet", head="single", frames=1, size=64, vector=6, fc=0, dropout=0.0)
    assert {name: c.config[name] for name in config} == config and c.config["variant"] == "caffe"
    assert (c.data["mean"], c.data["scale"], c.data["stream"]) == ([123.0, 117.0, 104.0], 1.0, "rgb")
    assert all((c.params[f"tower/{key}"] == a).all() for key, a in params.items())
    out, c, _ = imported(capsys, "caffe", "onnx", "--classes", "3", "--mean", "90", "--scale", "2")
    assert (
        "variant onnx: the network sees RGB pixels less 90.0, divided by 2.0\nthe pools in this file round down" in out
    )
    assert (c.data["mean"], c.data["scale"], c.classes) == (90.0, 2.0, ["0", "1", "2"])
    out, c, _ = imported(capsys, "torchvision", "torchvision", "--stream", "flow", "--bound", "9")
    assert "variant torchvision: the network sees flow images less 127.5, divided by 127.5\n" in out
    assert (c.data["stream"], c.data["bound"]) == ("flow", 9.0) and "round down" not in out
    assert imported(capsys, "caffe", "onnx", "--variant", "caffe", "--quiet")[0] == (
        "g.npz: GoogLeNet, variant caffe, all used\n"
    )


def test_imported_weights_with_their_classes(imported, tmp_path, capsys):
    names = ["n02123045 tabby", "n00000001 cat", "n00000002 dog", "n00000003 a", "n00000004 b", "n00000005 c"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    out, c, _ = imported(capsys, "caffe", "caffe", "--keep-classifier", "--labels", "names.txt")
    assert out.endswith("\ng.npz\n") and c.classes == ["tabby", "cat", "dog", "a", "b", "c"]
    np.testing.assert_array_equal(c.params["scores/W"], np.eye(6, dtype=np.float32), strict=True)
    assert imported(capsys, "caffe", "caffe", "--keep-classifier")[1].classes == list("012345")
    names[1] = "cat"  # one that has no number: then all stay as they are
    (tmp_path / "names.txt").write_text("\n".join(names))
    assert weights.read_labels(tmp_path / "names.txt", 6)[:2] == ["n02123045 tabby", "cat"]
    for count in (5, 7):
        with pytest.raises(ValueError, match=f"6 names, expected {count}, one per line and class"):
            weights.read_labels(tmp_path / "names.txt", count)
    for program, variant, words in (
        ("caffe", "torchvision", "--variant is torchvision, expected caffe or onnx for weights of caffe"),
        ("torchvision", "caffe", "--variant is caffe, expected torchvision for weights of torchvision"),
    ):
        assert words in imported(capsys, program, program, "--variant", variant)
    assert sorted(PIXELS) == ["caffe", "torchvision"]


def test_a_network_is_drawn_and_its_memory_told(record, capsys):
    drawn = record(summary, "draw")
    words = "summary --tower alexnet --head late --fc 0 --frames 2 --size 36 --width 0.04 --draw a.svg --batch 3"
    assert main(words.split()) == 0
    ((net, shape, path, title),) = drawn
    assert (shape, path, title) == ((1, 2, 36, 36, 3), "a.svg", "alexnet, head late")
    assert net.params["scores/W"].strides == (0, 0), "weights were made"
    out = capsys.readouterr().out
    table, _, memory = out.partition("\na.svg\n\n")
    found = summary.plan_memory(net, (3, 2, 36, 36, 3))
    assert "scores" in table and memory == f"{found.listing()}\n{found}\n"


def test_what_the_doctors_other_commands_start(record, monkeypatch, capsys):
    measured, started = record(doctor, "bench"), record(doctor.subprocess, "call", 7)
    assert main("bench --rows a b --against best --json j.json --clips . --repeat 2".split()) == 0
    assert measured == [(["a", "b"], ["best"], 2, "j.json", ".", False, "cpu")]
    assert main("museum --only a b".split()) == 7 and main(["museum"]) == 7
    start = [sys.executable, "-m", "tests.museum"]
    assert started == [([*start, "--only", "a", "b"], ("cwd", doctor.ROOT)), (start, ("cwd", doctor.ROOT))]
