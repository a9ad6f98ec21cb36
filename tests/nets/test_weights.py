"""Reading and mapping weights: every tensor accounted for, other files refused. Scores: test_weights_torch.py."""

import pickle
import sys
import zipfile

import numpy as np
import pytest
from caffe_graph import caffe_graph
from contract import assert_close
from imported_weights import imported, pixels, write_safetensors

from snippets.nets.googlenet import googlenet
from snippets.nets.pretrained.files import read_safetensors
from snippets.nets.pretrained.names import PIXELS, fold_batch_norm, map_tensors, read_weights
from snippets.training.checkpoint import load, load_into
from snippets.training.cli.main import main
from snippets.training.model import load_model

onnx = pytest.importorskip("onnx", reason="reading ONNX needs one more package: pip install onnx")


def test_same_padding_is_caffes_at_224_but_for_the_first_convolution(rng, tmp_path):
    """Pools agree at even sizes, where "same" pads the end only; the first windows begin 2 pixels early and not 3."""
    path = caffe_graph(rng, tmp_path / "net.onnx", ceil_mode=1, width=1 / 8)
    caffe, _ = imported(path, 1 / 8)
    ours, _ = imported(path, 1 / 8, variant="paper")
    for size, same in ((224, True), (220, False)):
        for name in ("conv1", "pool1", "pool2", "pool3", "pool4"):
            a, b = caffe.layers[name], ours.layers[name]
            if name == "conv1":
                x = np.random.default_rng(1).random((1, size, size, 3), np.float32)
                assert np.abs(a.predict(x) - b.predict(x)).max() > 0.1
                x = y = a.predict(x)
            else:
                x, y = a.predict(x), b.predict(y)
        assert (x.shape == y.shape and (x == y).all()) == same, f"pools at {size}: {x.shape} {y.shape}"


def test_the_light_file_gives_its_stored_output(shared):
    """Caffe's GoogLeNet as exported, its tensors one number each: 1000 classes alike, as the file beside it says.

    Held is the scores' likeness, not the softmax: they are of the order 1e21, and it would blow up their last bit.
    """
    folder = shared / "weights"
    source = read_weights(folder / "light_inception_v1.onnx")
    assert (source.program, source.variant) == ("caffe", "onnx")
    net = googlenet(np.random.default_rng(0), variant=source.variant)
    found = map_tensors(source, net.params)
    assert len(found.used) == 116 and sorted(found.left) == ["OC2_DUMMY_1", "OC2_DUMMY_3"]
    load_into(net.params, found.params)
    wanted = onnx.TensorProto.FromString((folder / "light_inception_v1_output_0.pb").read_bytes())
    p, scores = onnx.numpy_helper.to_array(wanted), net.predict(pixels(224) - np.array([123, 117, 104], np.float32))
    assert_close(p, np.full((1, 1000), 0.001), "stored output", rtol=1e-6)
    assert_close(scores, np.full((1, 1000), scores.mean()), "scores", rtol=1e-6)


@pytest.fixture(scope="module")
def caffe(tmp_path_factory):
    """Caffe's GoogLeNet with 10 classes and random weights: .safetensors and .npz."""
    folder = tmp_path_factory.mktemp("caffe")
    path = caffe_graph(np.random.default_rng(0), folder / "net.onnx", width=1 / 4)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    np.savez(folder / "net.npz", **arrays)
    write_safetensors(folder / "net.safetensors", arrays)
    return folder / "net.safetensors", folder / "net.npz"


def test_what_torchvision_does_to_pixels_is_what_the_network_gets():
    """ToTensor, Normalize and transform_input come to (pixel - 127.5) / 127.5."""
    image = pixels(8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = (image / 255 - mean) / std
    wanted = normalised * (std / 0.5) + (mean - 0.5) / 0.5
    mean, scale = PIXELS["torchvision"].values()
    np.testing.assert_allclose((image - mean) / scale, wanted, atol=1e-12)


def test_a_convolution_takes_its_batch_norm_in(rng):
    """By loops over filters and pixels: y = gamma (conv(x) - mean) / sqrt(var + 0.001) + beta."""
    W, x = rng.standard_normal((3, 2, 2, 2)), rng.standard_normal((5, 2, 2, 2))  # five positions of the kernel
    gamma, beta, mean, var = (
        rng.standard_normal(3),
        rng.standard_normal(3),
        rng.standard_normal(3),
        1 + 3 * rng.random(3),
    )
    folded, b = fold_batch_norm(W, gamma, beta, mean, var)
    for f in range(3):
        for patch in x:
            y = gamma[f] * ((W[f] * patch).sum() - mean[f]) / (var[f] + 0.001) ** 0.5 + beta[f]
            assert (folded[f] * patch).sum() + b[f] == pytest.approx(y, rel=1e-12)


def test_the_reader_agrees_with_the_package_safetensors(rng, tmp_path):
    pytest.importorskip("safetensors", reason="pip install safetensors")
    from safetensors.numpy import save_file

    arrays = {
        "a": rng.standard_normal((2, 3)).astype(np.float32), "b": rng.standard_normal(4).astype(np.float16),
        "c": np.array(7), "d": np.zeros((0, 3)), "e": np.array([True, False]),
    }  # fmt: skip
    save_file(arrays, tmp_path / "x.safetensors", {"about": "test"})
    tensors, _ = read_safetensors(tmp_path / "x.safetensors")
    assert set(tensors) == set(arrays)
    for name, a in arrays.items():
        assert tensors[name].dtype == a.dtype and tensors[name].shape == a.shape
        np.testing.assert_array_equal(tensors[name], a)


def change(path, to, **arrays):
    """A copy of an .npz file with some arrays replaced, or left out (None)."""
    with np.load(path) as file:
        everything = {name: file[name] for name in file.files} | arrays
    np.savez(to, **{name: a for name, a in everything.items() if a is not None})
    return to


def test_one_file_in_three_formats(caffe):
    """The same arrays in each; only the graph says how it pools, so that the others are taken for Caffe's own."""
    nets = [imported(path, 1 / 4) for path in (caffe[0].with_suffix(".onnx"), *caffe)]
    for net, found in nets:
        assert len(found.used) == 2 * 58 and found.left == []
        for key, a in net.params.items():
            np.testing.assert_array_equal(a, nets[0][0].params[key])
    assert [read_weights(path).variant for path in (caffe[0].with_suffix(".onnx"), *caffe)] == [
        "onnx",
        "caffe",
        "caffe",
    ]


def test_missing_and_wrong_tensors_are_named(caffe, tmp_path):
    to = tmp_path / "wrong.npz"
    change(caffe[1], to, **{"inception_4b/3x3_b_0": None, "loss3/classifier_b_0": None, "more": np.zeros(2)})
    with pytest.raises(ValueError, match=r"wrong.npz lacks 2 of the 116.*inception_4b/3x3_b_0, loss3/classifier_b_0$"):
        imported(to, 1 / 4)
    change(caffe[1], to, **{"inception_3a/5x5_w_0": np.zeros((8, 4, 3, 3), np.float32)})
    with pytest.raises(
        ValueError, match=r"inception_3a/5x5_w_0 is float32 \(8, 4, 3, 3\), expected .*\(8, 4, 5, 5\) for"
    ):
        imported(to, 1 / 4)
    change(caffe[1], to, **{"conv2/3x3_reduce_b_0": np.float32([np.nan] + [0] * 15)})
    with pytest.raises(ValueError, match="conv2/3x3_reduce_b_0 holds NaN"):
        imported(to, 1 / 4)
    change(caffe[1], to, **{"conv2/3x3_reduce_b_0": np.arange(16)})
    with pytest.raises(ValueError, match=r"conv2/3x3_reduce_b_0 is int64 \(16,\), expected floating-point"):
        imported(to, 1 / 4)
    change(caffe[1], to, more=np.zeros(2))
    assert imported(to, 1 / 4)[1].left == ["more"]


def refused(path, capsys):
    assert main(["import", str(path), "--out", str(path.parent / "out.npz")]) == 1
    assert not (path.parent / "out.npz").exists()
    err = capsys.readouterr().err
    assert err.startswith("snippets: ") and err.count("\n") == 1 and path.name in err
    return err


def test_pickles_are_never_loaded(tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "went off"), "w"))

    for name in ("net.pth", "net.pt", "net.pkl", "torch.npz", "raw.npz", "objects.npz"):
        path = tmp_path / name
        if name == "torch.npz":  # what torch.save writes, under another name
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("archive/data.pkl", pickle.dumps(Bomb()))
        elif name == "objects.npz":
            np.savez(path, a=np.array([Bomb()], object))
        else:
            path.write_bytes(pickle.dumps(Bomb()))
        err = refused(path, capsys)
        assert ("save_file" in err) == (name not in ("raw.npz", "objects.npz")), err
    assert not (tmp_path / "went off").exists()


def test_other_files_are_told(caffe, tmp_path, capsys):
    whole = caffe[0].read_bytes()
    for name, content, told in [
        ("cut.safetensors", whole[:-1000], "cut short"),
        ("head.safetensors", whole[:500], "cut short"),
        ("text.safetensors", b"hello, this is text\n", "not a .safetensors file"),
        ("empty.safetensors", b"", "not a .safetensors file"),
        ("cut.npz", caffe[1].read_bytes()[:-5000], "damaged"),
        ("net.caffemodel", b"x", "ends in .onnx, .safetensors, .npz"),
    ]:
        (tmp_path / name).write_bytes(content)
        assert told in refused(tmp_path / name, capsys)
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    assert "its tensors are weights" in refused(tmp_path / "other.npz", capsys)
    assert "no such file" in refused(tmp_path / "nothing.onnx", capsys)


def option(node, name, **values):
    """Changes an attribute of a node."""
    attribute = next(a for a in node.attribute if a.name == name)
    attribute.CopyFrom(type(attribute)(name=name, type=attribute.type, **values))


def test_other_graphs_are_told(rng, tmp_path, capsys, monkeypatch):
    path = caffe_graph(rng, tmp_path / "net.onnx", width=1 / 16)
    for what, spoil in {
        "no LRN": lambda g: g.node.remove(next(n for n in g.node if n.op_type == "LRN")),
        "LRN": lambda g: option(next(n for n in g.node if n.op_type == "LRN"), "size", i=7),
        "border": lambda g: option(g.node[0], "pads", ints=[2, 3, 3, 3]),
    }.items():
        model = onnx.load(path)
        spoil(model.graph)
        onnx.save(model, tmp_path / "other.onnx")
        assert "not Caffe's GoogLeNet" in refused(tmp_path / "other.onnx", capsys), what
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:-3000])
    assert "damaged" in refused(tmp_path / "cut.onnx", capsys)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install onnx" in refused(path, capsys)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Caffe's network at its full width, imported: the file and the checkpoint."""
    folder = tmp_path_factory.mktemp("import")
    path = caffe_graph(np.random.default_rng(0), folder / "g.onnx")
    assert main(["import", str(path), "--out", str(folder / "g.npz"), "--classes", "3", "--size", "64"]) == 0
    return path, folder / "g.npz"


def test_the_command_says_where_each_tensor_went(checkpoint, tmp_path, capsys):
    assert main(["import", str(checkpoint[0]), "--out", str(tmp_path / "g.npz"), "--variant", "caffe"]) == 0
    assert "inception_3a/5x5_w_0                         -> inception3a/conv5/conv" in (out := capsys.readouterr().out)
    assert "116 tensors used, none missing, 0 left over" in out and "101 classes, is untrained" in out
    assert load(tmp_path / "g.npz").config["variant"] == "caffe" and load(checkpoint[1]).config["variant"] == "onnx"
    assert main(["import", str(checkpoint[0]), "--out", str(tmp_path / "g.npz"), "--quiet"]) == 0
    assert "116 tensors used, none missing, 0 left over" in (said := capsys.readouterr().out) and "->" not in said


def test_labels_name_the_classes_kept(checkpoint, tmp_path, capsys):
    (names := tmp_path / "names.txt").write_text("\n".join(f"thing {k}" for k in range(10)) + "\n")
    args = ["import", str(checkpoint[0]), "--out", str(tmp_path / "g.npz"), "--keep-classifier", "--labels", str(names)]
    assert main(args) == 0
    assert load(tmp_path / "g.npz").classes[9] == "thing 9"
    names.write_text("one\ntwo\n")
    assert main(args) == 1
    assert "2 names" in capsys.readouterr().err


def test_an_imported_checkpoint_is_accepted_where_checkpoints_are(checkpoint, tmp_path, capsys):
    from snippets.data.layouts.table import VideoFolder
    from snippets.data.mini.make import make_mini

    _, path = checkpoint
    assert main(["summary", str(path)]) == 0
    assert "tower/inception5b/conv5/conv" in capsys.readouterr().out
    mini = make_mini(tmp_path / "mini", groups=3, clips=1, frames=16, side=32)
    clip = str(VideoFolder(mini).load().test[0].path)
    assert main(["predict", str(path), clip]) == 0
    assert main(["features", clip, "--model", str(path), "--count", "2", "--out", str(tmp_path / "f.npz")]) == 0
    with np.load(tmp_path / "f.npz") as file:
        assert file["feat"].shape == (1, 2, 10)
    capsys.readouterr()
    small = ["--frames", "2", "--epochs", "0", "--fc", "0", "--size", "64", "--vector", "10", "--cache", "none"]
    train = ["train", str(mini), "--tower", "googlenet", "--init", str(path), *small, "--out", str(tmp_path / "run")]
    # other padding or other pixels would go unnoticed
    assert main([*train, "--variant", "paper", "--mean", "104", "117", "123"]) == 1
    assert "--variant onnx --mean 123.0 117.0 104.0; add that" in capsys.readouterr().err
    assert main(train) == 0  # what is not typed is as in the file
    told = capsys.readouterr().out
    assert "mean [123.0, 117.0, 104.0], scale 1.0, variant onnx" in told and "head" not in told.partition("\n")[0]
    assert "116 arrays from" in told


def test_pixels_may_have_a_mean_for_each_channel(checkpoint, tmp_path, capsys):
    """--mean and --scale of three numbers are stored and used; nonsense is refused."""
    from snippets.data.augment import centre_crop, cut

    args = ["import", str(checkpoint[0]), "--out", str(tmp_path / "g.npz")]
    assert main([*args, "--mean", "123.675", "116.28", "103.53", "--scale", "58.395", "57.12", "57.375"]) == 0
    data = load_model(tmp_path / "g.npz").data
    image = pixels(6)
    x = cut(image, slice(None), centre_crop(6, 6, 6), data.mean, data.scale)
    wanted = (image / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-6)
    assert x.dtype == np.float32
    flow = cut(image[..., :2], slice(None), centre_crop(6, 6, 6), data.mean, data.scale)  # has two channels
    np.testing.assert_array_equal(flow[..., :2], x[..., :2])
    assert not flow[..., 2].any()
    capsys.readouterr()
    for wrong in (["--mean", "1", "2"], ["--scale", "0"], ["--scale", "1", "nan", "1"], ["--variant", "paper"]):
        assert main([*args, *wrong]) == 1
        assert wrong[0][2:] in capsys.readouterr().err


def test_a_tower_for_flow(checkpoint, tmp_path):
    """Its pixels are motion: the mean is that of no motion, the scale the one that the weights know."""
    given = "--stream flow --bound 20 --flow-fps 12 --tvl1 warps=2".split()
    assert main(["import", str(checkpoint[0]), "--out", str(tmp_path / "g.npz"), *given]) == 0
    flow, frames = load(tmp_path / "g.npz").data, load(checkpoint[1]).data
    assert (flow["stream"], flow["bound"], flow["flow_fps"], flow["mean"]) == ("flow", 20.0, 12.0, 127.5)
    assert "warps=2" in flow["tvl1"] and flow["scale"] == frames["scale"] and frames["stream"] == "rgb"
