"""The inputs of A5's questions, and how each function is called; it has no answers.

CASES: the sizes of each case: N clips, T frames, D features, M units. CALLS: for each question a function that draws
inputs and one that calls the student's function on them. OWN: the same, for whether a backward pass is the derivative
of the forward pass beside it: slopes along a random direction.
"""

CASES = {
    "public": {"small": {}, "views": {"N": 3}},
    "hidden": {
        "wide": dict(N=3, T=5, D=2, M=5),
        "one frame": dict(T=1),
        "one clip": dict(N=1, T=6, ends=False),
        "views": dict(N=3, T=3),
        "float32": {},
    },
    "own": {"slope": {}},
}
HUNT = "lstm"  # the question whose function is run by others in the bug hunt
STEP = 1e-5


def slope(f, arrays, directions):
    """df/dt of a number f(arrays + t directions) at t = 0."""
    moved = [{key: a + t * directions[key] for key, a in arrays.items()} for t in (STEP, -STEP)]
    return (f(**moved[0]) - f(**moved[1])) / (2 * STEP)


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


def draw_slope(lstm, rng, **sizes):
    arrays = draw_gates(lstm, rng, **sizes)
    names = ("to_a", "to_c_prev", "dh", "dc")
    shapes = (arrays["a"].shape, *[arrays["c_prev"].shape] * 3)
    return arrays | {name: rng.standard_normal(shape) for name, shape in zip(names, shapes, strict=True)}


def slope_of(forward, backward, a, c_prev, W_c, to_a, to_c_prev, dh, dc):
    """Slopes of <dh, h> + <dc, c> by a step's backward and by its forward pass."""
    _, c, gates = forward(a, c_prev, W_c)
    delta, dc_prev = backward(dh, dc, gates, c_prev, c, W_c)

    def loss(a, c_prev):
        h, c, _ = forward(a, c_prev, W_c)
        return (dh * h).sum() + (dc * c).sum()

    numeric = slope(loss, dict(a=a, c_prev=c_prev), dict(a=to_a, c_prev=to_c_prev))
    return dict(analytic=(delta * to_a).sum() + (dc_prev * to_c_prev).sum(), numeric=numeric)


def gates_slope(lstm, **arrays):
    return slope_of(lstm.gates_forward, lstm.gates_backward, **arrays)


def twist_slope(twist, **arrays):
    return slope_of(twist.twist_forward, twist.twist_backward, **arrays)


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
    moved = [name for name in arrays if not name.startswith("d")]
    return arrays | {f"to_{name}": rng.standard_normal(arrays[name].shape) for name in moved}


def lstm_slope(lstm, **given):
    directions = {name[3:]: a for name, a in given.items() if name.startswith("to_")}
    upstream = {name: given[name] for name in ("dh", "dhT", "dcT")}
    arrays = {name: given[name] for name in directions}

    def loss(**arrays):
        h, (hT, cT), _ = lstm.lstm_forward(**arrays)
        return (upstream["dh"] * h).sum() + (upstream["dhT"] * hT).sum() + (upstream["dcT"] * cT).sum()

    outputs = whole(lstm, **upstream, **arrays)
    analytic = sum((outputs[f"d{name}"] * directions[name]).sum() for name in directions)
    return dict(analytic=analytic, numeric=slope(loss, arrays, directions))


def draw_length(module, rng, T=4, **unused):
    return dict(T=T)


def rising(module, T):
    return dict(g=module.rising(int(T)))


def twist(module, a, c_prev, W_c, dh, dc):
    h, c, gates = module.twist_forward(a, c_prev, W_c)
    delta, dc_prev = module.twist_backward(dh, dc, gates, c_prev, c, W_c)
    return dict(h=h, c=c, gates=gates, delta=delta, dc_prev=dc_prev)


def draw_twist(module, rng, **sizes):
    arrays = draw_gates(module, rng, **sizes)
    dh, dc = rng.standard_normal((2, *arrays["c_prev"].shape))
    return arrays | dict(dh=dh, dc=dc)


def hunt(module, **run):
    """1 if the student's check refuses a recorded run, else 0."""
    inputs = {name[3:]: a for name, a in run.items() if name.startswith("in_")}
    outputs = {name[4:]: a for name, a in run.items() if name.startswith("out_")}
    try:
        module.check(inputs, outputs)
    except AssertionError:
        return dict(verdict=1)
    return dict(verdict=0)


CALLS = {
    "rnn_backward": (draw_rnn, rnn_backward),
    "gates_forward": (draw_gates, gates_forward),
    "gates_backward": (draw_delta, gates_backward),
    "peephole_grads": (draw_peepholes, peephole_grads),
    "lstm": (draw_lstm, whole),
    "gain": (draw_length, rising),
    "twist": (draw_twist, twist),
    "hunt": (None, hunt),
}
OWN = {
    "gates_backward": (draw_slope, gates_slope),
    "lstm": (draw_lstm_slope, lstm_slope),
    "twist": (draw_slope, twist_slope),
}
