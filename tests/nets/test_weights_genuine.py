"""The genuine GoogLeNet of Caffe on real frames: what ONNX Runtime computes with the same weights."""

import numpy as np
import pytest
from caffe_graph import caffe_graph

from snippets.data.decoder import Decoder
from snippets.data.layouts.splits import Video
from snippets.data.loader import ClipSet, Preprocessing
from snippets.training.cli.main import main
from snippets.training.model import load_model

onnx = pytest.importorskip("onnx", reason="the graph to compare with needs one more package: pip install onnx")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="what runs that graph is one more package: pip install onnxruntime"
)


@pytest.fixture(scope="module")
def weights(shared):
    path = shared / "weights" / "bvlc_googlenet.npz"
    if not path.is_file():
        pytest.skip(f"needs the weights of Caffe's BVLC GoogLeNet as {path}")
    return path


def graph_of(weights, path, **pools):
    """Caffe's graph (tests/kit/caffe_graph.py) with these weights in place of its own."""
    model = onnx.load(caffe_graph(np.random.default_rng(0), path, **pools))
    with np.load(weights) as file:
        for tensor in model.graph.initializer:
            tensor.CopyFrom(onnx.numpy_helper.from_array(file[tensor.name], tensor.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1000
    onnx.save(model, path)
    return str(path)


@pytest.mark.parametrize(
    "variant, pools", [("caffe", {"ceil_mode": 1}), ("caffe", {"pads": (0, 0, 1, 1)}), ("onnx", {})], ids=str
)
def test_real_frames_get_the_scores_of_onnx_runtime(weights, shared, variant, pools, tmp_path):
    model = tmp_path / "model.npz"
    command = ["import", str(weights), "--variant", variant, "--keep-classifier", "--out", str(model)]
    assert main(command) == 0
    model = load_model(model)
    session = onnxruntime.InferenceSession(graph_of(weights, tmp_path / "net.onnx", **pools))
    clips = sorted((shared / "clips").glob("v_*.avi"))
    videos = [Video(path, 0, path.name, path.name) for path in clips]
    seen = Preprocessing(224, model.data.mean, model.data.scale)
    frames = ClipSet(["?"], videos, Decoder(261), 1, seen)
    assert len(clips) == 4
    for i in range(len(clips)):
        x = next(frames.test_clips(i))  # (1, 224, 224, 3), RGB less the mean
        found = model.net.layers["tower"].predict(x[None])[0, 0]
        (expected,) = session.run(None, {"data_0": np.ascontiguousarray(x[..., ::-1].transpose(0, 3, 1, 2))})
        assert np.abs(expected).max() > 5
        np.testing.assert_allclose(found, expected[0], rtol=1e-4, atol=1e-4)
