"""A4, video in time: right and wrong answers (course.py says what the names are for)."""

import re

HUNT = """
import numpy as np
from snippets.layers.temporal import temporal_max_backward, temporal_max_forward

def check(inputs, outputs):
    y, cache = temporal_max_forward(inputs["x"], int(inputs["window"]), int(inputs["stride"]))
    right = dict(y=y, dx=temporal_max_backward(inputs["dy"], cache))
    for name, a in right.items():
        assert outputs[name].shape == a.shape and np.allclose(outputs[name], a, rtol=1e-7), name
"""
DERIVED = ("overlapping windows add", "where t is the winner", "sum over the windows that read")
NOT_ASKED = {
    "the average is not divided in the backward pass",
    "a clip that is longer passes where its length is fixed",
    "gradients of chunks are overwritten instead of added",
    "the last, smaller chunk is dropped",
    "every chunk of a clip draws the same mask",
    "chunks use the common generator up one after the other",
    "a chunk does not know where it starts",
}
WRONG = [  # question, what stands there, what a student wrote, what must be said
    ("fold", "return x.reshape(-1, *x.shape[2:])", "return x.reshape(-1, x.shape[-1])", "rows has shape"),
    ("fold", "return y.reshape(-1, T, *y.shape[1:])", "return y.reshape(-1, T, *y.shape[1:])[:, ::-1]", "clips["),
    ("windows", "return [(0, T)]", "return [(0, window or T)]", "stops["),
    ("windows", "min(m * stride + window, T))", "min(m * stride + window, T) + 1)", "stops["),
    ("temporal_max", "part * (winner == t - start)", "-part * (winner == t - start)", "opposite sign"),
    ("temporal_max", "part * (winner == t - start)", "0.5 * part * (winner == t - start)", "dx is 0.5 times"),
    ("temporal_max", "dx = np.zeros(shape, dy.dtype)", "dx = np.zeros(shape)", "dtype of the inputs"),
    ("temporal_max", "x[:, start:stop].max(axis=1)", "x[:, start:stop].min(axis=1)", "y["),
    ("time_conv", "return dx, dW, db", "return dx, db, dW", "dW has shape"),
    ("time_conv", "return dx, dW, db", "return dx, dW, db / N", "times what it should be"),
    ("time_conv", "return None, dW, db", "return 0, dW, db", "not expected: dx"),
    ("check_groups", "group {group} is on both sides", "a group is on both sides", "name of the group in the message"),
    ("hit_at_k", "if not 1 <= k <= K:", "if not 1 <= k:", "refusal of k = K + 1"),
    ("hit_at_k", "if np.isnan(probabilities).any():", "if False:", "refusal of NaN"),
    ("hit_at_k", "labels > 0, top", "labels >= 0, top", "hits with several labels"),
    ("twist", "part.max(axis=1)", "part.mean(axis=1)", "y["),
]  # fmt: skip
FOLLOW_THROUGH = [  # question, changes of the forward pass, changes of the backward pass
    ("temporal_max", [["maxima[0] if window is None else np.stack(", "2 * np.stack(maxima[:1] if window is None else "],
                      ["return y, (x.shape, spans", "return y[:, 0] if window is None else y, (x.shape, spans"]],
     [["dx[:, t] += part", "dx[:, t] += 2 * part"]]),
    ("time_conv", [["space_stride, relu=relu)", "space_stride, relu=relu)\n    y = 3 * y"]],
     [["dy.reshape(-1, *dy.shape[2:])", "3 * dy.reshape(-1, *dy.shape[2:])"]]),
]  # fmt: skip


def milestone(printed):
    """A frame is a guess, 23 to 31 % over five seeds and three kernels; the maximum over frames was right on 100 %."""
    frame, clip = (float(share) for share in re.findall(r"([\d.]+)%", printed))
    assert frame < 45 and clip > 85, printed
