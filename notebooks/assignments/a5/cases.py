"""The inputs of A5's questions, and how each function is called; it has no answers.

CASES: the sizes of each case: N clips, T frames, D features, M units. CALLS: for each question a function that draws
inputs and one that calls the student's function on them. OWN: the same, for whether a backward pass is the derivative
of the forward pass beside it: slopes along a random direction.
"""

from functools import partial

from snippets.training.assignments.calls import hunt, slopes, with_directions

CASES = {
    "public": {"small": {}, "views": {"N": 3}, "float32": {}},
    "hidden": {
        "wide": dict(N=3, T=5, D=2, M=5),
        "one frame": dict(T=1),
        "one clip": dict(N=1, T=6, ends=False),
        "views": dict(N=3, T=3),
        "float32": {},
    },
    "own": {"slope": {}},
}


def draw_rnn(rnn, rng, N=2, T=4, D=3, M=4, ends=True):
    shapes = dict(x=(N, T, D), h0=(N, M), W_x=(D, M), W_h=(M, M), b=(M,), dh=(N, T, M))
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    dh, b = arrays.pop("dh"), arrays.pop("b")
    activation = "logistic" if ends else "tanh"
    h, _ = rnn.rnn_forward(**arrays, b=b, activation=activation)
    return arrays | dict(h=h, dh=dh, activation=activation)


def rnn_backward(rnn, dh, x, h0, h, W_x, W_h, activation):
    dx, dh0, dW_x, dW_h, db = rnn.rnn_backward(dh, (x, h0, h, W_x, W_h, str(activation)))
    return dict(dx=dx, dh0=dh0, dW_x=dW_x, dW_h=dW_h, db=db)


def draw_gates(lstm, rng, N=2, M=4, **unused):
    shapes = dict(a=(N, 4 * M), c_prev=(N, M), W_c=(3, M))
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def gates_forward(lstm, a, c_prev, W_c):
    h, c, gates = lstm.gates_forward(a, c_prev, W_c)
    return dict(h=h, c=c, gates=gates)


def draw_delta(lstm, rng, **sizes):
    arrays = draw_gates(lstm, rng, **sizes)
    _, c, gates = lstm.gates_forward(**arrays)
    dh, dc = rng.standard_normal((2, *c.shape))
    return dict(dh=dh, dc=dc, gates=gates, c_prev=arrays["c_prev"], c=c, W_c=arrays["W_c"])


def gates_backward(lstm, dh, dc, gates, c_prev, c, W_c):
    delta, dc_prev = lstm.gates_backward(dh, dc, gates, c_prev, c, W_c)
    return dict(delta=delta, dc_prev=dc_prev)


def step(forward, backward, a, c_prev, W_c, dh, dc):
    """A step there and back: da is the gradient of a, that is delta."""
    h, c, gates = forward(a, c_prev, W_c)
    delta, dc_prev = backward(dh, dc, gates, c_prev, c, W_c)
    return dict(h=h, c=c, gates=gates, da=delta, dc_prev=dc_prev)


def draw_step(module, rng, **sizes):
    arrays = draw_gates(module, rng, **sizes)
    dh, dc = rng.standard_normal((2, *arrays["c_prev"].shape))
    return arrays | dict(dh=dh, dc=dc)


def gates(lstm, **arrays):
    return step(lstm.gates_forward, lstm.gates_backward, **arrays)


def draw_slope(module, rng, **sizes):
    return with_directions(draw_step(module, rng, **sizes), rng, ["a", "c_prev"])


def draw_peepholes(lstm, rng, N=2, T=4, M=4, **unused):
    rows = N * T
    return dict(
        delta=rng.standard_normal((rows, 4 * M)),
        c_prev=rng.standard_normal((rows, M)),
        c=rng.standard_normal((rows, M)),
    )


def peephole_grads(lstm, delta, c_prev, c):
    return dict(dW_c=lstm.peephole_grads(delta, c_prev, c))


def draw_lstm(lstm, rng, N=2, T=4, D=3, M=4, ends=True):
    shapes = dict(x=(N, T, D), h0=(N, M), c0=(N, M), W_x=(D, 4 * M), W_h=(M, 4 * M), W_c=(3, M), b=(4 * M,))
    shapes |= dict(dh=(N, T, M)) | (dict(dhT=(N, M), dcT=(N, M)) if ends else {})
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def whole(lstm, dh, dhT=None, dcT=None, **arrays):
    h, (hT, cT), cache = lstm.lstm_forward(**arrays)
    dx, dh0, dc0, grads = lstm.lstm_backward(dh, cache, dhT, dcT)
    return dict(h=h, hT=hT, cT=cT, dx=dx, dh0=dh0, dc0=dc0, **{f"d{name}": grads[name] for name in grads})


def draw_lstm_slope(lstm, rng, **sizes):
    arrays = draw_lstm(lstm, rng, **sizes)
    return with_directions(arrays, rng, [name for name in arrays if not name.startswith("d")])


def draw_length(module, rng, T=4, **unused):
    return dict(T=T)


def rising(module, T):
    return dict(g=module.rising(int(T)))


def twist_step(module, **arrays):
    return step(module.twist_forward, module.twist_backward, **arrays)


def twist(module, **arrays):
    outputs = twist_step(module, **arrays)
    return outputs | dict(delta=outputs.pop("da"))


CALLS = {
    "rnn_backward": (draw_rnn, rnn_backward),
    "gates_forward": (draw_gates, gates_forward),
    "gates_backward": (draw_delta, gates_backward),
    "peephole_grads": (draw_peepholes, peephole_grads),
    "lstm": (draw_lstm, whole),
    "gain": (draw_length, rising),
    "twist": (draw_step, twist),
    "hunt": (None, hunt),
}
HUNT = "lstm", draw_lstm  # the question whose function is run by others in the bug hunt, and its inputs
OWN = {
    "gates_backward": (draw_slope, partial(slopes, gates)),
    "lstm": (draw_lstm_slope, partial(slopes, whole)),
    "twist": (draw_slope, partial(slopes, twist_step)),
}
