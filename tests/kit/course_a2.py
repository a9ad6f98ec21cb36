"""A2, convolution and pooling: right and wrong answers (course.py says what the names are for)."""

import re

HUNT = """
import numpy as np
from snippets.layers.pool import max_pool_backward, max_pool_forward

def check(inputs, outputs):
    pad = {-1: "same", -2: "valid", -3: "ceil"}.get(int(inputs["pad"]), int(inputs["pad"]))
    y, cache = max_pool_forward(inputs["x"], int(inputs["size"]), int(inputs["s"]), pad)
    for name, right in dict(y=y, y_inference=y, dx=max_pool_backward(inputs["dy"], cache)).items():
        assert outputs[name].shape == right.shape and np.allclose(outputs[name], right), name
"""
DERIVED = ("dW = cols^T dy", "flip(W", "rotated", "dx[...winner...]", "beats_i")
NOT_ASKED = {
    "a block is one row short at the end",
    "the parts of an image are not equal",
    "a block has one image too many",
    "direct sums are the fast ones",
    "direct sums for ever after",
    "dW keeps its last block only",
    "strides are asked of an axis of length one",
    "the fast algorithms forget the padding",
    "the fast algorithms forget the ReLU",
    "the stride is not asked when an algorithm is chosen",
    "the window over the rows of a block begins where the image's does",
    "a block of rows ends one row early",
    "what the window of the block above sends is overwritten",
    "scratch memory is not cleared for a second block",
    "the average is not divided in the backward pass",
    "a window's average is a sum",
    "the gradients of overlapping averages overwrite each other",
    "the average is taken over rows only",
}
_SUM = "pad2d(x, rows, columns), W, stride, Ho, Wo, b, relu)"
_GRADS = "return dx, conv_filter_grad(dy, pad2d(x, rows, columns), W.shape, stride), db"
_DILATED = "first_column:][:, :, : stride * Wo : stride] = dy"
WRONG = [  # question, what stands there, what a student wrote, what must be said
    ("padding", "return total // 2, total - total // 2, out", "return total // 2, total // 2, out", "[1] is"),
    ("padding", "before = after = 0 if", "before = after = 1 if", "[0] is"),
    ("padding", "kernel) // stride + 1\n    if", "kernel) // stride + 2\n    if", "[2] is"),
    ("conv_forward", _SUM, _SUM.replace(" b,", " -b,"), "y["),
    ("conv_forward", "return cols.reshape(-1, kh * run)", "return cols.reshape(-1, kh * run)[:, ::-1]", "cols["),
    ("conv_forward", "y = out[block].reshape(-1, F)", "y = out[block].reshape(-1, F)[::-1]", "y["),
    ("conv_backward", _GRADS, _GRADS.replace(" db", " -db"), "opposite sign"),
    ("conv_backward", _DILATED, _DILATED.replace("dy", "2 * dy"), "2 times what it should be"),
    ("conv_backward", "return dW.reshape(shape)", "return dW.reshape(shape) / len(dy)", "times what it should be"),
    ("conv_backward", " if input_grad else None\n    return dx", "\n    return dx", "skipped"),
    ("max_pool", "part[:, :, j::stride] = dphase", "part[:, :, j::stride] = -dphase", "opposite sign"),
    ("max_pool", "dx = np.zeros(x_shape, dy.dtype)\n    for out", "dx = np.zeros(x_shape)\n    for out", "dtype of"),
    ("max_pool", "return y, (x.shape, top,", "return y + (winners is False), (x.shape, top,", "y_inference["),
]
_DOUBLE = [
    ["dx = np.zeros(x_shape, dy.dtype)\n    for out", "dy, dx = 2 * dy, np.zeros(x_shape, dy.dtype)\n    for out"]
]
FOLLOW_THROUGH = [  # question, changes of the forward pass, changes of the backward pass
    (
        "conv_backward",
        [["return y, (x, W, y if", "return 2 * y, (x, W, y if"]],
        [["dy, db = add_bias_backward(dy, y)", "dy, db = add_bias_backward(2 * dy, y)"]],
    ),
    ("max_pool", [["return y, (x.shape, top,", "return 2 * y, (x.shape, top,"]], _DOUBLE),
]


def milestone(printed):
    """Nearly all strokes are named, by 1636 weights."""
    before, after = (float(share) for share in re.findall(r"training +([\d.]+)%", printed))
    assert before < 45 and after > 90 and "1636 weights" in printed, printed
