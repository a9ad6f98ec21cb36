"""A3, LRN and inception: right and wrong answers (course.py says what the names are for)."""

HUNT = """
import numpy as np
from snippets.layers.lrn import lrn_backward, lrn_forward

def check(inputs, outputs):
    n, k, alpha, beta, divide_by_n = (inputs[name].item() for name in ("n", "k", "alpha", "beta", "divide_by_n"))
    y, cache = lrn_forward(inputs["x"], n, k, alpha, beta, divide_by_n)
    for name, right in dict(y=y, dx=lrn_backward(inputs["dy"], cache)).items():
        assert np.allclose(outputs[name], right, rtol=1e-9), name
"""
DERIVED = ("dx_c = dy_c s_c^-beta", "Each branch saw x", "channel c is in the sum")
NOT_ASKED = {
    "AlexNet's k is 1",
    "the 5x5 branch is 3x3",  # a default in the signature, which is given
    "one number of the table is wrong",
    "a pool is missing",
}
_NORM = "        norm2=LRN(k=1.0, divide_by_n=True),\n"
WRONG = [  # question, what stands there, what a student wrote, what must be said
    ("lrn_forward", "return y.reshape(x.shape), (x, s", "return y, (x, s", "y has shape"),
    ("lrn_forward", "(np.empty_like(rows) for _ in range(3))", "(np.empty(rows.shape) for _ in 'ysc')", "dtype of"),
    ("lrn_forward", "        sb *= a\n", "        sb *= a * a\n", "y["),
    ("lrn_backward", "return dx.reshape(x.shape)", "return -dx.reshape(x.shape)", "opposite sign"),
    ("lrn_backward", "return dx.reshape(x.shape)", "return 0 * dx.reshape(x.shape)", "zero everywhere"),
    ("lrn_backward", "        dx[cut] += direct\n", "        dx[cut] += dy_rows[cut]\n", "dx["),
    ("branches", "return add(dxs), grads", "return -add(dxs), grads", "opposite sign"),
    ("branches", "concatenate(outputs, axis=-1)", "concatenate(outputs, axis=0)", "Error"),
    ("branches", "return join([layer.predict(x) for", "return 2 * join([layer.predict(x) for", "y_predict is 2 times"),
    ("inception", "conv1=Conv2D(C, n1, 1, relu=True", "conv1=Conv2D(C, n1, 3, relu=True", "shape of conv1.W"),
    ("inception", "conv=Conv2D(r3, n3, 3, relu=True, rng=rng)),", "conv=Conv2D(r3, n3, 3, rng=rng)),", "y["),
    ("googlenet", _NORM, "        norm2=LRN(divide_by_n=True),\n", "y["),
    ("googlenet", "linear=Linear(C, out, rng)", "fc=Linear(C, out, rng)", "no parameter"),
]  # fmt: skip
FOLLOW_THROUGH = [  # question, changes of the forward pass, changes of the backward pass
    (
        "lrn_backward",
        [["y.reshape(x.shape), (x, s", "2 * y.reshape(x.shape), (x, s"]],
        [["return dx.reshape(x.shape)", "return 2 * dx.reshape(x.shape)"]],
    ),
    (
        "branches",
        [["return join(outputs), (", "return 2 * join(outputs), ("]],
        [["return add(dxs), grads", "return 2 * add(dxs), grads"]],
    ),
]


def milestone(printed):
    """The paper's number of parameters."""
    told = (
        "6,998,552 parameters, 5,973,552 without its last layer\na frame of 220 x 220 pixels becomes a vector of 1000"
    )
    assert told in printed and "set SNIPPETS_WEIGHTS" in printed, printed
