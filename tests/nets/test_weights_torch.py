"""Imported networks give the scores that they gave elsewhere: Caffe's graph and torchvision's network, in torch."""

import numpy as np
import pytest
from caffe_graph import caffe_graph
from contract import assert_close
from imported_weights import imported, pixels, write_safetensors

from snippets.nets.pretrained.names import read_weights
from snippets.training.cli.main import main
from snippets.training.model import load_model

torch = pytest.importorskip("torch", reason="the networks to compare with are written in torch: pip install torch")
onnx = pytest.importorskip("onnx", reason="reading ONNX needs one more package: pip install onnx")
import torch_graphs  # noqa: E402  (needs torch)


def as_caffe_reads(image):
    """What Caffe makes of an RGB image: blue, green, red less 104, 117, 123, channels first."""
    bgr = np.stack([image[..., c] - np.float32(m) for c, m in ((2, 104), (1, 117), (0, 123))], axis=1)
    return torch.tensor(bgr)


@pytest.mark.parametrize("size", [220, 224])
@pytest.mark.parametrize(
    "borders, variant",
    [(dict(), "onnx"), (dict(pads=(0, 0, 1, 1)), "caffe"), (dict(ceil_mode=1), "caffe")],
    ids=["pools round down", "pools padded at the end", "pools round up"],
)
def test_caffes_graph_gives_the_same_scores(borders, variant, size, rng, tmp_path):
    path = caffe_graph(rng, tmp_path / "net.onnx", width=1 / 4, size=size, **borders)
    assert read_weights(path).variant == variant
    net, found = imported(path, 1 / 4)
    assert len(found.used) == 2 * 58 and found.left == [] and "116 tensors used, none missing" in str(found)
    image = pixels(size)
    wanted = torch_graphs.run_graph(path, as_caffe_reads(image)).numpy()
    y = net.predict(image - np.array([123, 117, 104], np.float32))
    assert np.ptp(wanted) > 1  # there is something to tell apart
    assert_close(y, wanted, f"scores at {size}", rtol=1e-4)
    other, _ = imported(path, 1 / 4, variant={"onnx": "caffe", "caffe": "onnx"}[variant])
    assert np.abs(other.predict(image - np.array([123, 117, 104], np.float32)) - wanted).max() > 1e-2


def test_the_light_graph_with_random_weights(shared, rng, tmp_path):
    """The stored output is the same for all classes, which many wrong networks give too; so the same graph again."""
    model = onnx.load(shared / "weights" / "light_inception_v1.onnx")
    shapes = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in [n for n in model.graph.node if n.op_type == "ConstantOfShape"]:
        shape = shapes[node.input[0]]
        a = rng.standard_normal(shape) * (np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1)
        model.graph.initializer.append(onnx.numpy_helper.from_array(a.astype(np.float32), node.output[0]))
        model.graph.node.remove(node)
    onnx.save(model, tmp_path / "random.onnx")
    assert main(["import", str(tmp_path / "random.onnx"), "--keep-classifier", "--out", str(tmp_path / "g.npz")]) == 0
    image, net = pixels(224), load_model(tmp_path / "g.npz").net
    wanted = torch_graphs.run_graph(tmp_path / "random.onnx", as_caffe_reads(image)).numpy()
    y = net.predict(image[None] - np.array([123, 117, 104], np.float32))
    assert wanted.max() > 0.005
    assert_close(np.exp(y) / np.exp(y).sum(), wanted, "probabilities", rtol=1e-4)


@pytest.fixture(scope="module")
def torchvision(tmp_path_factory):
    """(network, .safetensors, .npz) of torchvision's GoogLeNet with random weights and statistics."""
    net, folder = torch_graphs.TorchGoogLeNet(width=1 / 4), tmp_path_factory.mktemp("torchvision")
    arrays = {name: a.numpy() for name, a in net.state_dict().items()}
    np.savez(folder / "net.npz", **arrays)
    write_safetensors(folder / "net.safetensors", arrays)
    return net, folder / "net.safetensors", folder / "net.npz"


@pytest.mark.parametrize("size", [220, 224, 97])
@pytest.mark.parametrize("file", [1, 2], ids=["safetensors", "npz"])
def test_torchvisions_state_dict_gives_the_same_scores(torchvision, file, size):
    net, found = imported(torchvision[file], 1 / 4)
    assert len(found.used) == 57 * 5 + 2
    assert {name.split(".")[-1] for name in found.left} == {"num_batches_tracked", "weight", "bias"}
    assert len(found.left) == 57 + 2  # a counter of each batch norm, and the auxiliary head
    x = np.random.default_rng(2).uniform(-1, 1, (2, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        wanted = torchvision[0](torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    assert np.ptp(wanted) > 0.5
    assert_close(net.predict(x), wanted, f"scores at {size}", rtol=1e-4)


def test_kept_classes_of_torchvision(tmp_path, capsys):
    """The command from end to end at full width: the network's own scores at the other end of the checkpoint."""
    net = torch_graphs.TorchGoogLeNet(classes=12)
    write_safetensors(tmp_path / "g.safetensors", {name: a.numpy() for name, a in net.state_dict().items()})
    args = ["import", str(tmp_path / "g.safetensors"), "--out", str(tmp_path / "g.npz"), "--keep-classifier"]
    assert main(args) == 0
    out = capsys.readouterr().out
    assert "inception3a.branch3.1.conv.weight            -> inception3a/conv5/conv" in out
    assert "aux1.weight" in out and "287 tensors used, none missing, 59 left over" in out
    x = np.random.default_rng(2).uniform(-1, 1, (1, 1, 64, 64, 3)).astype(np.float32)
    with torch.no_grad():
        wanted = net(torch.tensor(x[0].transpose(0, 3, 1, 2))).numpy()
    assert_close(load_model(tmp_path / "g.npz").net.predict(x), wanted, "scores of the classes kept", rtol=1e-4)
    assert main([*args, "--variant", "caffe"]) == 1
    assert "expected torchvision" in capsys.readouterr().err
