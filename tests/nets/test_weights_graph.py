"""What an ONNX graph says about its network beside the weights."""

import numpy as np
import pytest
from caffe_graph import caffe_graph

from snippets.nets.pretrained.names import read_weights

pytest.importorskip("onnx", reason="reading ONNX needs one more package: pip install onnx")


@pytest.mark.parametrize(
    "pads, ceil_mode, variant",
    [((0, 0, 0, 0), 0, "onnx"), ((0, 0, 1, 1), 0, "caffe"), ((0, 0, 0, 0), 1, "caffe"), ((1, 1, 1, 1), 0, None)]
    + [((0, 0, 2, 1), 0, None), ((0, 0, 1, 1), 1, None), ((0, 0, 0, 1), 0, None), ((1, 0, 1, 1), 0, None)],
)  # fmt: skip
def test_the_graph_says_how_it_pools(pads, ceil_mode, variant, tmp_path):
    """Pads (top, left, bottom, right): a row and a column below and right are what rounding up adds."""
    path = caffe_graph(np.random.default_rng(0), tmp_path / "net.onnx", pads, ceil_mode, width=1 / 16)
    if variant:
        assert read_weights(path).variant == variant
    else:
        with pytest.raises(ValueError, match="is not Caffe's GoogLeNet"):
            read_weights(path)
