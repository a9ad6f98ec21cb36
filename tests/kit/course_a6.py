"""A6, CUDA without a GPU: right and wrong answers (course.py says what the names are for)."""

import re

HUNT = """
import numpy as np
from snippets.layers.temporal import temporal_max_forward, windows

def check(inputs, outputs):
    x, dy, given = inputs["x"], inputs["dy"], inputs["winner"]
    window, stride = int(inputs["window"]), int(inputs["stride"])
    y, (_, spans, winners, _) = temporal_max_forward(x, window, stride)
    dx = np.zeros(x.shape)
    for m, (start, _) in enumerate(spans):
        for t in range(x.shape[1]):
            dx[:, t] += dy[:, m] * (given[:, m] == t - start)
    right = dict(y=y, winner=np.stack(winners, axis=1), dx=dx)
    for name, a in right.items():
        assert np.allclose(outputs[name], a, rtol=1e-7), name
        assert (outputs[f"writes of each element of {name}"] == 1).all(), name
"""
DERIVED = ("dx[k] = dy[k] * (y[k] > 0);",)
NOT_ASKED = {
    # bias and ReLU
    "the bias is that of the row",
    "the ReLU is always there",
    "the ReLU comes before the bias",
    "the mask of a convolution is y >= 0",
    "db is summed before the mask",
    "the rows of a joined gradient are taken to be as wide as the branch",
    "the last row of a chunk is left out",
    # what lrn_forward needs as well
    "the window runs over from one pixel to the next",
    "the window looks at the channels before only",
    "the margin before a block is lost",
    "the margin after a block is lost",
    "the margin begins one too late",
    "s^beta takes one root too few",
    # the LSTM forward, and its weights
    "i and f are swapped",
    "the peephole of f is that of i",
    "the output gate sees the old cell",
    "the input gate has no peephole",
    "the bias of g is that of f",
    "dW_co is taken at the old cell",
    "db misses the first frame",
}
WRONG = [  # question, what stands there, what a student wrote, what must be said
    ("relu_backward", "dx[k] = dy[k] * (y[k] > 0);", "dx[k] = -dy[k] * (y[k] > 0);", "opposite sign"),
    ("relu_backward", "dx[k] = dy[k] * (y[k] > 0);", "dx[k] = 2 * dy[k] * (y[k] > 0);", "dx is 2 times what it"),
    ("relu_backward", "dx[k] = dy[k] * (y[k] > 0);", "dx[k] = dy[k], dx[k] *= y[k] > 0;", "dx[0] is 2, expected 1"),
    ("relu_backward", "dx[k] = dy[k] * (y[k] > 0);", "dx[k] = dy[k * (y[k] > 0);", "relu.cu, line 6, is not C++"),
    ("relu_backward", "dx[k] = dy[k] * (y[k] > 0);", "dx[k + 1] = dy[k] * (y[k] > 0);", "writes dx[30], but dx has 30"),
    ("temporal_max", "REAL best = frame[0];", "REAL best = 0;", "y["),
    ("temporal_max", "clip = k / D / M, first = 0", "clip = k / M / D, first = 1", "winner["),
    ("temporal_max", "start = k / D % M * stride", "start = k / D % M * window", "Error"),
    ("temporal_max", "        dx[k] = sum;", "        dx[k] += sum;", "dx["),
    ("lrn_backward", "- 2 * a * beta * xs", "+ 2 * a * beta * xs", "dx["),
    ("lrn_backward", "fetch(dy, direct, start, r, n);", "fetch(dy, direct, start, 0, n);", "dx["),
    ("lrn_backward", "dx[start + i] = direct", "dx[i] = direct", "writes of each element of dx["),
    ("gates_backward", "dc[k] = dc_t * f +", "dc[k] += dc_t * f +", "dc["),
    ("gates_backward", "dc[k] + dh_t * o", "dc[k] - dh_t * o", "delta["),
    ("gates_backward", "const REAL *W_c, REAL *delta, REAL *dc, int M, int n)",
     "const REAL *W_c, REAL *delta, REAL *dc, int n)", "gates_backward takes"),
]  # fmt: skip
FOLLOW_THROUGH = []


def milestone(printed):
    """The kernels train the network that NumPy trains."""
    first, last, first_kernels, last_kernels = (float(a) for a in re.findall(r"(?:loss|to) ([\d.]+)", printed))
    assert (first, last) == (first_kernels, last_kernels) and last < 0.7 * first, printed
    assert float(re.search(r"difference (\S+)", printed)[1]) < 1e-10
