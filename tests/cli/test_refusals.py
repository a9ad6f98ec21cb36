"""Sentences of refusal that no test of a command or of a file format meets, and what each is said to."""

import dataclasses
import errno
from argparse import Namespace
from contextlib import nullcontext

import numpy as np
import onnx
import pytest
from caffe_graph import caffe_graph
from small_nets import SMALL

import snippets.data.decoder
from snippets.data.decoder import Decoder
from snippets.data.layouts.folder import list_part_folders
from snippets.data.layouts.hmdb51 import read_split_file
from snippets.data.layouts.manifest import list_manifest
from snippets.data.layouts.splits import Video
from snippets.data.video import VideoError, write_film
from snippets.layers.conv import sliding_windows
from snippets.nets.pretrained import files
from snippets.nets.pretrained.names import Source, vector_length
from snippets.training.bench.run import bench
from snippets.training.checkpoint import Checkpoint, CheckpointError, load, save
from snippets.training.cli import doctor, train
from snippets.training.cli.options import ray_tasks
from snippets.training.evaluate import result_of
from snippets.training.model import load_model
from snippets.training.predictions import Predictions, load_predictions, save_predictions
from snippets.training.render.predictions import render


def said(kind, call, *args, **options):
    """What a call says that must raise an error of this very kind."""
    with pytest.raises(kind) as info:
        call(*args, **options)
    assert type(info.value) is kind
    return str(info.value)


@pytest.mark.parametrize("H, W, kernel, stride, fits", [(5, 7, (3, 3), 2, True), (4, 7, (3, 3), 2, False),
                                                       (5, 6, (3, 3), 2, False)])  # fmt: skip
def test_windows_that_reach_over_the_edge(H, W, kernel, stride, fits):
    x = np.zeros((1, H, W, 2))
    if fits:
        assert sliding_windows(x, *kernel, stride, 2, 3).shape == (1, 2, 3, 3, 6)
    else:
        words = f"2 x 3 windows of 3 x 3, stride 2, do not fit into {H} x {W} pixels"
        assert said(ValueError, sliding_windows, x, *kernel, stride, 2, 3) == words


def test_folders_without_what_a_layout_consists_of(tmp_path):
    words = f"{tmp_path}: no folders train and test, or train and val"
    assert said(FileNotFoundError, list_part_folders, tmp_path, None, (), []) == words
    assert f"{tmp_path}: no videos.csv there; expected a list of videos with columns" in said(
        FileNotFoundError, list_manifest, tmp_path, None, (), []
    )
    (tmp_path / "a_test_split1.txt").write_text("x.avi 1\ny.avi 2\nx.avi 0\n")
    assert "a_test_split1.txt: x.avi is listed twice" in said(
        ValueError, read_split_file, tmp_path / "a_test_split1.txt"
    )


def test_a_video_that_cannot_be_read_or_written(tmp_path, monkeypatch):
    (tmp_path / "a.avi").write_bytes(b"some")

    def broken(*args, **options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(snippets.data.decoder, "checksum", broken)
    words = f"{tmp_path / 'a.avi'}: cannot be read (Input/output error)"
    assert said(VideoError, Decoder().checksum, Video(tmp_path / "a.avi", 0, "a", "")) == words
    out = tmp_path / "missing" / "out.mp4"
    with pytest.raises(OSError, match="cannot write this video") as info:
        write_film(out, iter([(0.0, 0.04, np.zeros((16, 16, 3), np.uint8))]), 25)
    assert (info.value.errno, info.value.strerror, info.value.filename) == (
        errno.ENOENT, "cannot write this video (No such file or directory)", str(out)
    )  # fmt: skip


def test_onnx_tensors_of_equal_elements(rng, tmp_path, monkeypatch):
    """One number stands for a whole tensor, which is made unless it is absurdly large."""
    path = caffe_graph(rng, tmp_path / "g.onnx", width=1 / 16)
    model = onnx.load(path)
    bias = next(t for t in model.graph.initializer if t.name == "conv1/7x7_s2_b_0")
    shape = list(bias.dims)
    model.graph.initializer.remove(bias)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape), "shape"))
    value = onnx.numpy_helper.from_array(np.array([0.5], np.float32))
    for kind, told in ((dict(value=value), 0.5), ({}, 0.0)):
        node = onnx.helper.make_node("ConstantOfShape", ["shape"], ["conv1/7x7_s2_b_0"], **kind)
        model.graph.node.insert(0, node)
        onnx.save(model, tmp_path / "equal.onnx")
        found = files.read_onnx(tmp_path / "equal.onnx")[0]["conv1/7x7_s2_b_0"]
        np.testing.assert_array_equal(found, np.full(shape, told, np.float32), strict=True)
        model.graph.node.pop(0)
    monkeypatch.setattr(files, "LARGE", shape[0] - 1)
    assert "not an ONNX file with its weights in it" in said(ValueError, files.read_onnx, tmp_path / "equal.onnx")


@pytest.mark.parametrize("tensors", [{}, {"loss3/classifier_w_0": np.zeros(3)}], ids=["missing", "a vector"])
def test_weights_without_their_last_layer(tmp_path, tensors):
    words = f"{tmp_path} lacks its last layer, loss3/classifier_w_0"
    assert said(ValueError, vector_length, Source(tmp_path, tensors, "caffe", "caffe")) == words
    whole = {"loss3/classifier_w_0": np.zeros((1, 1, 7, 5))}
    assert vector_length(Source(tmp_path, whole, "caffe", "caffe")) == 7


def test_checkpoints_of_wrong_contents(tmp_path):
    def checkpoint(**changed):
        save(tmp_path / "a.npz", dataclasses.replace(Checkpoint({"W": np.zeros(1)}, config=SMALL), **changed))
        return tmp_path / "a.npz"

    assert load(checkpoint()).epoch == 0
    for changed, words in (
        ({"epoch": "two"}, "epoch is 'two', expected"),
        ({"videos": None}, "videos is None, expected"),
    ):
        path = checkpoint(**changed)
        assert said(CheckpointError, load, path).startswith(f"{path}: {words} {int}")
    for changed in ({"config": SMALL | {"width": "wide"}}, {"config": SMALL | {"tower": "lenet"}}):
        path = checkpoint(**changed)
        words = f"{path} describes a network that this version cannot build: "
        assert said(CheckpointError, load_model, path).startswith(words)


def test_predictions_whose_parts_do_not_go_together(tmp_path):
    r = result_of(list("xyz"), list("ab"), np.array([0, 2]), np.full((2, 3), 1 / 3), 2, [0.5, 0.5])
    path = tmp_path / "p.npz"
    for changed, words in (
        ({"names": list("abc")}, "2 x 3 probabilities do not go with its names, classes and labels"),
        ({"classes": list("xy")}, "2 x 3 probabilities do not go with its names, classes and labels"),
        ({"labels": np.zeros(3, int)}, "2 x 3 probabilities do not go with its names, classes and labels"),
        ({"labels": np.zeros((2, 2), bool)}, "2 x 3 probabilities do not go with its names, classes and labels"),
        ({"groups": list("abc")}, "it has groups (3,) for 2 videos"),
        ({"names": list("aa")}, "it names a video or a class twice"),
        ({"classes": list("xyx")}, "it names a video or a class twice"),
    ):
        save_predictions(path, Predictions(dataclasses.replace(r, **changed), 1))
        assert said(ValueError, load_predictions, path).endswith(f"({words})")
    save_predictions(path, Predictions(dataclasses.replace(r, groups=list("gh")), 1))
    assert load_predictions(path).result.groups == list("gh")


def test_pictures_of_predictions(tmp_path):
    words = f"--render {tmp_path / 'out.gif'}: expected a file that ends in .mp4, .avi, .png"
    assert said(ValueError, render, tmp_path / "a.avi", tmp_path / "out.gif", None, []) == words


class Team:
    """What `ranks` gives where mpiexec has started two processes."""

    size, rank = 2, 0


def test_what_does_not_run_on_several_ranks(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "ranks", lambda report: nullcontext(Team()))
    monkeypatch.setattr(train, "inherit", lambda args, team: None)
    args = dict(downpour=0, address=None, out="run", fold="all", heads=None, tune_lr=None, tune_weight_decay=None)
    words = "--fold all runs on one rank: leave out mpiexec, or train one fold after the other"
    assert said(ValueError, train.run_train, Namespace(**args)) == words
    words = "--heads and --tune-lr run on one rank: leave out mpiexec"
    for option in ("heads", "tune_lr", "tune_weight_decay"):
        assert said(ValueError, train.run_train, Namespace(**args | {"fold": 1, "weights": None, option: [1]})) == words
    args = Namespace(downpour=2, device="cpu")
    words = "--downpour starts its replicas itself: leave out mpiexec, or leave out --downpour"
    assert said(ValueError, train.train_fold, args, 1, tmp_path, False, Team()) == words
    args.device = "cuda:1"
    words = "--downpour computes on CPUs, --device is cuda:1: leave one of them out"
    assert said(ValueError, train.train_fold, args, 1, tmp_path, False) == words
    assert not list(tmp_path.iterdir())


def test_options_that_ask_for_two_things(tmp_path, monkeypatch):
    words = "--workers are processes of this machine, --ray takes the cores that Ray has: leave one out"
    assert said(ValueError, ray_tasks, Namespace(ray="here", workers=2), "cpu") == words
    assert ray_tasks(Namespace(ray=None, workers=2), "cpu") is None
    assert said(ValueError, bench, repeat=0) == "repeat is 0, expected at least 1"
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    words = f"{tmp_path}: no tests here, which the museum consists of; run it in a checkout (git clone)"
    assert said(FileNotFoundError, doctor.run_museum, Namespace(only=None)) == words
