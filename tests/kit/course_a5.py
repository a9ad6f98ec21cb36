"""A5, the peephole LSTM: right and wrong answers (course.py says what the names are for)."""

import re

HUNT = """
import numpy as np
from snippets.layers.lstm import lstm_backward, lstm_forward

def check(inputs, outputs):
    names = ("x", "h0", "c0", "W_x", "W_h", "W_c", "b")
    h, (hT, cT), cache = lstm_forward(*(inputs[name] for name in names))
    dx, dh0, dc0, grads = lstm_backward(inputs["dh"], cache, inputs["dhT"], inputs["dcT"])
    right = dict(h=h, hT=hT, cT=cT, dx=dx, dh0=dh0, dc0=dc0, **{"d" + name: a for name, a in grads.items()})
    for name in right:
        assert np.allclose(outputs[name], right[name], rtol=1e-7), name
"""
DERIVED = ("delta_o = dh tanh", "dc_{t-1} = dc f", "da_t = (dh_t", "dW_co = sum")
NOT_ASKED = {
    "i and f are swapped in the order of the gates",
    "a step returns its gradient of h as that of c",
    "every frame starts from the initial state",
    "the initial state is ignored",
    "the logistic function overflows",
}
WRONG = [  # question, what stands there, what a student wrote, what must be said
    ("rnn_backward", "return dx, dh_next,", "return -dx, dh_next,", "opposite sign"),
    ("rnn_backward", "return dx, dh_next, x.reshape(N * T, D).T @ rows,", "return dx, dh_next, rows,", "shape"),
    ("rnn_backward", "h_prev.T @ rows,", "(h_prev.T @ rows) / N,", "times what it should be"),
    ("rnn_backward", "h_prev.T @ rows,", "(h_prev.T @ rows).T,", "transposed"),
    ("gates_forward", "return o * xp.tanh(c), c, gates", "return c, o * xp.tanh(c), gates", "another order"),
    ("gates_forward", "gates = xp.empty_like(a)", "gates = xp.empty(a.shape)", "dtype of the inputs"),
    ("gates_backward", "return delta, dc * f", "return 0 * delta, dc * f", "zero everywhere"),
    ("gates_backward", "delta = xp.empty_like(gates)", "delta = gates", "writes into one of its arguments"),
    ("peephole_grads", "(delta_o * c).sum(axis=0)])", "(delta_o * c).sum(axis=0)]).T", "transposed"),
    ("peephole_grads", "(delta_o * c).sum", "(2 * delta_o * c).sum", "only at index 2 of axis 0"),
    ("lstm", "return h[:, 1:], (h[:, T]", "return h[:, :-1], (h[:, T]", "h["),
    ("lstm", '"b": rows.sum(axis=0)', '"b": rows.sum(axis=0) * np.nan', "not finite"),
    ("gain", "np.arange(1, T + 1) / T", "np.arange(1, T + 1)", "times what it should be"),
]  # fmt: skip
_BACKWARD = [
    [" + delta_o * W_co", ""],
    ["dc * f + delta_i * W_ci", "dc * f + delta_o * W_co + delta_i * W_ci"],
    ["(delta_o * c).sum", "(delta_o * c_prev).sum"],
]
FOLLOW_THROUGH = [  # question, changes of the forward pass, changes of the backward pass
    (name, [["a_o + W_co * c)", "a_o + W_co * c_prev)"]], _BACKWARD) for name in ("gates_backward", "lstm")
]  # fmt: skip


def milestone(printed):
    """Order by the LSTM, not by the maximum."""
    pooling, lstm = (float(share) for share in re.findall(r"([\d.]+)%", printed))
    assert pooling == 50 and lstm > 80, printed
