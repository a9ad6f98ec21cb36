"""A1, back-propagation: right and wrong answers (course.py says what the names are for)."""

import re

HUNT = """
import numpy as np
from snippets.layers.loss import softmax, softmax_loss

def check(inputs, outputs):
    loss, dscores = softmax_loss(**inputs)
    for name, right in dict(p=softmax(inputs["scores"]), loss=loss, dscores=dscores).items():
        assert np.allclose(outputs[name], right, rtol=1e-9), name
"""
DERIVED = ("dx = dy W^T", "dW = sum_rows", "w_r (p_rk - t_rk)")
NOT_ASKED = {
    "a map of one pixel has its features along the rows",
    "Flatten takes the columns first",
    "the bias is compared with the wrong sign",
    "the bias is not added",
    "the bias is added in place only",
    "db is a mean",  # of add_bias_backward; linear_backward's is asked
    "db keeps its last block only",
    "the mask of a convolution's ReLU is y >= 0, which is always true",
    "the mask of a convolution's ReLU is that of dy",
    "dy is overwritten by its mask",
    "the cache is kept on the layer",
    "labels count from one",
    "the labels of a batch are repeated as a whole",
    "labels out of range are accepted",
    "the target of several labels is not divided by their number",
    "the examples of a batch share their mask",
    "a clip's mask is that of its first frame's number",
    "every chunk of frames starts with the first clip",
    "frames draw a mask of their own in a tower",
    "all layers of a tower have a mask per clip",
}
_DX = "(drows @ W.T).reshape(x.shape)"
WRONG = [  # question, what stands there, what a student wrote, what must be said
    ("linear", f"{_DX}, rows.T @ drows,", f"-{_DX}, rows.T @ drows,", "opposite sign"),
    ("linear", "rows.T @ drows,", "drows.T @ rows,", "transposed"),
    ("linear", "return y.reshape(*x.shape[:-1], W.shape[1]), (x, W)", "return y, (x, W)", "y has shape (6, 5)"),
    ("linear", "y = rows @ W\n", "y = rows @ W.astype(float)\n", "dtype of the inputs"),
    ("relu", "maximum(x, 0)", "minimum(x, 0)", "y["),
    ("relu", "dy * (cache > 0)", "2 * dy * (cache > 0)", "2 times what it should be"),
    ("softmax_loss", "return loss, p.reshape(scores.shape)", "return loss, 0.5 * p.reshape(scores.shape)", "0.5 times"),
    ("softmax_loss", "return loss, p.reshape(scores.shape)", "return loss, p", "shape"),
    ("softmax_loss", "(np.log(Z)[row] - true)", "(true - np.log(Z)[row])", "opposite sign"),
    ("softmax_loss", "p *= (w / Z)[:, None]", "p *= w[:, None]", "dscores["),
    ("dropout", "return x * mask, mask", "return x * mask, 1 - mask", "dx["),
    ("dropout", "mask /= 1 - p", "mask /= (1 - p) ** 2", "times what it should be"),
    ("dropout", "draws >= p", "draws > 1 - p", "y["),
]  # fmt: skip
_TWICE = [["(drows @ W.T)", "(2 * drows @ W.T)"], ["rows.T @ drows", "2 * rows.T @ drows"]]
_DOUBLE = [["- true)[counts]).sum()", "- true)[counts]).sum() * 2"]]
FOLLOW_THROUGH = [  # question, changes of the forward pass, changes of the backward pass
    ("linear", [["y = rows @ W\n", "y = 2 * rows @ W\n"]], _TWICE),
    ("softmax_loss", _DOUBLE, [["return loss, p", "return loss, 2 * p"]]),
]


def milestone(printed):
    """Nearly all strokes are named."""
    before, after = (float(share) for share in re.findall(r"training +([\d.]+)%", printed))
    assert before < 45 and after > 90, printed
