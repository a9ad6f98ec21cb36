"""The inputs of A1's questions, and how each function is called; it has no answers.

CASES: the sizes of each case: N rows or clips, T frames (None: no such axis), D features, K units or classes, and what
is special about it. CALLS: for each question a function that draws inputs and one that calls the student's function on
them. OWN: the same, for whether a backward pass is the derivative of the forward pass beside it.
"""

from functools import partial

import numpy as np

from snippets.training.assignments.calls import hunt, slopes, with_directions

CASES = {
    "public": {"small": {}, "views": {"N": 3}, "float32": {}},
    "hidden": {
        "frames": dict(N=2, T=3),
        "square": dict(N=3, T=3, gain=True),
        "one row": dict(N=1),
        "large numbers": dict(scale=1e3),
        "several labels": dict(several=True),
        "impossible classes": dict(T=3, several=True, never="classes"),
        "no weight": dict(T=3, never="a label without weight"),
        "infinite": dict(T=3, never="a label"),
        "views": dict(N=4, D=2),
        "float32": {},
    },
    "own": {"slope": {}},
}


def axes(N, T):
    return (N,) if T is None else (N, T)


def draw_linear(linear, rng, N=4, T=None, D=3, K=5, scale=1, **unused):
    shapes = dict(x=(*axes(N, T), D), W=(D, K), b=(K,), dy=(*axes(N, T), K))
    return {name: scale * rng.standard_normal(shape) for name, shape in shapes.items()}


def linear(module, x, W, b, dy):
    y, cache = module.linear_forward(x, W, b)
    dx, dW, db = module.linear_backward(dy, cache)
    return dict(y=y, dx=dx, dW=dW, db=db)


def draw_linear_slope(linear, rng, **sizes):
    return with_directions(draw_linear(linear, rng, **sizes), rng, ["x", "W", "b"])


def draw_relu(relu, rng, N=4, T=None, D=5, **unused):
    """Many zeros among x."""
    shape = (*axes(N, T), 2 * D)
    return dict(x=np.rint(rng.standard_normal(shape)), dy=rng.standard_normal(shape))


def relu(module, x, dy):
    y, cache = module.relu_forward(x)
    return dict(y=y, dx=module.relu_backward(dy, cache))


def draw_loss(loss, rng, N=4, T=None, K=5, scale=1, **special):
    """several: more than one true label; gain: one weight per frame; never: what has a score of -inf."""
    scores = scale * rng.standard_normal((*axes(N, T), K))
    label = rng.integers(K, size=N)
    weight = rng.uniform(0.5, 2, T if "gain" in special else axes(N, T))
    true = np.arange(K) == label[:, None]  # (N, K)
    if "several" in special:
        true |= rng.permuted(np.tile(np.arange(K), (N, 1)), axis=1) < 2
    if "never" in special:
        scores[:, 0] = np.where(true, scores[:, 0], -np.inf)
        scores[0, 0, (label[0] + 1) % K] = 0.5
        if special["never"] != "classes":
            scores[1, 1, label[1]], weight[1, 1] = -np.inf, 0
        if special["never"] == "a label":
            scores[2, 1, label[2]] = -np.inf
    labels = true if "several" in special else label
    return dict(scores=scores, labels=labels, weight=weight)


def draw_any_loss(loss, rng):
    """A case of any kind."""
    never = dict(never="a label without weight"), dict(never="a label")
    kind = [dict(several=True), dict(scale=1e3), *never][rng.integers(4)]
    return draw_loss(loss, rng, N=3, T=4, **kind)


def softmax_loss(module, scores, labels, weight):
    loss, dscores = module.softmax_loss(scores, labels, weight)
    return dict(p=module.softmax(scores), loss=loss, dscores=dscores)


def loss_slope(module, dloss, **arrays):
    return softmax_loss(module, **arrays)


def draw_loss_slope(loss, rng, **sizes):
    return with_directions(draw_loss(loss, rng, **sizes) | dict(dloss=np.ones(())), rng, ["scores"])


def draw_dropout(dropout, rng, N=4, T=None, D=5, **unused):
    """With an axis of time, all frames of a clip share a mask, and the rows are numbered from a later one on."""
    rows = N * (T or 1)
    x, dy = rng.standard_normal((2, rows, 4 * D))
    return dict(x=x, dy=dy, p=0.4, seed=rng.integers(1000), T=T or 1, first=T and T + 1 or 0)


def dropout(module, x, dy, p, seed, T, first):
    y, cache = module.dropout_forward(x, float(p), np.random.default_rng(int(seed)), int(T), int(first))
    unchanged, nothing = module.dropout_forward(x, float(p), None)
    inference = dict(y_inference=unchanged, dx_inference=module.dropout_backward(dy, nothing))
    return dict(y=y, dx=module.dropout_backward(dy, cache)) | inference


def draw_twist(twist, rng, N=4, K=5, scale=1, **unused):
    return draw_loss(twist, rng, N, None, K, scale)


def twist(module, scores, labels, weight):
    loss, dscores = module.twist_loss(scores, labels, weight)
    return dict(loss=loss, dscores=dscores)


def twist_slope(module, dloss, **arrays):
    return twist(module, **arrays)


def draw_twist_slope(module, rng, **sizes):
    return with_directions(draw_twist(module, rng, **sizes) | dict(dloss=np.ones(())), rng, ["scores"])


CALLS = {
    "linear": (draw_linear, linear),
    "relu": (draw_relu, relu),
    "softmax_loss": (draw_loss, softmax_loss),
    "dropout": (draw_dropout, dropout),
    "twist": (draw_twist, twist),
    "hunt": (None, hunt),
}
HUNT = "softmax_loss", draw_any_loss  # the question whose function is run by others in the bug hunt, and its inputs
OWN = {
    "linear": (draw_linear_slope, partial(slopes, linear)),
    "softmax_loss": (draw_loss_slope, partial(slopes, loss_slope)),
    "twist": (draw_twist_slope, partial(slopes, twist_slope)),
}
