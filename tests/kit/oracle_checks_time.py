"""Layers that see time, and the loss, held against the oracles; see oracle_table.py."""

import numpy as np
import oracles
import oracles_time
import pytest
from agreement import agrees, normal, slopes_agree
from contract import assert_close, upstream
from layer_cases import spaced

from snippets.layers.dropout import Dropout
from snippets.layers.linear import Linear
from snippets.layers.lstm import PeepholeLSTM

WINDOWS = [  # T, window, stride
    (4, None, None),
    (1, None, None),
    (7, 3, 2),
    (8, 3, 2),
    (9, 4, 1),
    (2, 10, 5),
    (10, 10, 5),
    (13, 10, 5),
    (30, 10, 5),
    (6, 2, 2),
]


def temporal_max(module):
    """Whole clips and windows, vectors and maps, the last window clipped; ties go to the first frame, overlaps add."""
    rng = np.random.default_rng(7)
    for T, window, stride in WINDOWS:
        for shape in [(2, T, 3), (2, T, 2, 2, 3)]:
            for x, what in [(spaced(shape, 3), "spaced"), (rng.integers(0, 2, shape) - 5.0, "tied")]:
                winners = oracles_time.temporal_max_winners(x, window, stride)
                y, cache = module.temporal_max_forward(x, window, stride)
                wanted = oracles.take(x, winners)
                name = f"temporal max {window}/{stride} of {T} {what} frames"
                assert_close(y, wanted[:, 0] if window is None else wanted, name + ": y", rtol=0)
                dy = upstream(y)
                dx = oracles.give_back(dy[:, None] if window is None else dy, winners, shape)
                assert_close(module.temporal_max_backward(dy, cache), dx, name + ": dx", rtol=1e-12)


def window_counts(module):
    """The paper's counts: 30 frames make 5 windows of 10 every 5, 120 make 23."""
    for T, m in [(30, 5), (120, 23), (31, 6), (10, 1), (9, 1), (11, 2)]:
        y = module.temporal_max_forward(np.zeros((1, T, 2)), 10, 5)[0]
        assert y.shape == (1, m, 2), f"{T} frames give {y.shape[1]} windows, expected {m}"


def temporal_average(module):
    """The mean over the frames of a clip."""
    layer = module.TemporalAvgPool()
    for shape in [(2, 4, 3), (2, 3, 2, 2, 3)]:
        agrees(
            layer.forward,
            lambda dy, cache: layer.backward(dy, cache)[0],
            lambda x: oracles.average(x, (1,)),
            [spaced(shape, 1)],
            "temporal average",
        )


def differences(module):
    """Features, and beside them the sizes of their changes; the first frame changes from the state, or not at all."""
    for shape in [(2, 4, 3), (2, 1, 3), (2, 3, 2, 2, 3)]:
        before = normal(shape[0], *shape[2:], seed=4)
        for state in (None, before):
            agrees(
                lambda x, state=state: module.differences_forward(x, state),
                module.differences_backward,
                lambda x, state=state: oracles_time.differences(x, state),
                [spaced(shape, 1)],
                f"differences of {shape}, state {state is not None}",
            )
        y, last, _ = module.Differences().scan(spaced(shape, 1), before)
        assert_close(y, oracles_time.differences(spaced(shape, 1), before), "differences from a state", rtol=1e-12)
        assert_close(last, spaced(shape, 1)[:, -1], "state", rtol=0)


def time_conv(module):
    """Windows of frames, the last one at the end, "same" in space; fewer frames than a kernel are an error."""
    for T, kt, kh, kw, stride, relu, space in [
        (5, 3, 3, 3, 2, True, 1),
        (6, 3, 3, 3, 2, False, 1),
        (4, 4, 1, 3, 5, True, 1),
        (7, 2, 2, 1, 3, False, 1),
        (5, 1, 3, 3, 1, False, 1),
        (6, 2, 3, 3, 2, True, 2),
        (4, 3, 5, 4, 1, False, 3),
    ]:
        agrees(
            lambda x, w, b, o=(stride, relu, space): module.time_conv_forward(x, w, b, *o),
            module.time_conv_backward,
            lambda x, w, b, o=(stride, relu, space): oracles_time.time_conv(x, w, b, *o),
            [spaced((2, T, 3, 4, 2), 1), normal(kt, kh, kw, 2, 3), normal(3, seed=5)],
            f"time convolution {kt}x{kh}x{kw}/{stride} of {T} frames",
        )
    with pytest.raises(ValueError, match="3.*4|4.*3"):
        module.time_conv_forward(np.zeros((1, 3, 2, 2, 1)), normal(4, 1, 1, 1, 2), np.zeros(2))
    x, options = spaced((2, 6, 5, 4, 2), 1), dict(kernel=(3, 3, 3), stride=1, space_stride=2)
    layers = [module.TimeConv(2, 3, **options, rng=np.random.default_rng(0)) for _ in range(2)]
    layers[1].input_grad = False
    (dx, grads), (none, same) = (
        layer.backward(upstream(y), cache)
        for layer in layers
        for y, cache in [layer.convert(lambda a: a.astype(np.float64)).forward(x)]
    )
    assert dx.shape == x.shape and none is None and all((grads[key] == same[key]).all() for key in grads)


def fixed_frames(module):
    """Clips of T frames pass as they are, others are an error that names the reader and both lengths."""
    layer, x = module.FixedFrames(4, "scores"), spaced((2, 4, 3), 1)
    assert_close(layer.forward(x)[0], x, "y", rtol=0)
    for T in (3, 5):
        with pytest.raises(ValueError, match=f"{T} frames, expected 4: layer scores"):
            layer.forward(spaced((2, T, 3), 1))


def rnn(module):
    """Equation 1 with both functions, T = 4, N = 2, a state to start from; one step equals a sequence of one."""
    D, M = 3, 4
    arrays = [spaced((2, 4, D), 1), normal(2, M), normal(D, M, seed=5), normal(M, M, seed=6), normal(M, seed=7)]
    for act in ("logistic", "tanh"):
        agrees(
            lambda *a, act=act: module.rnn_forward(*a, activation=act),
            module.rnn_backward,
            lambda *a, act=act: oracles_time.rnn(*a, activation=act),
            arrays,
            f"{act} RNN",
        )
    x, h0, *weights = arrays
    h1 = module.rnn_forward(x[:, :1], h0, *weights)[0]
    assert_close(h1, oracles_time.rnn(x[:, :1], h0, *weights), "RNN of one frame", rtol=1e-12)
    with pytest.raises(ValueError, match="relu6"):
        module.RNN(D, M, activation="relu6", rng=np.random.default_rng(0))


def lstm_arrays(T=4):
    """x, h0, c0, W_x, W_h, W_c, b with N = 2, D = 3, M = 4: states and peepholes of order one."""
    D, M = 3, 4
    shapes = [(2, M), (2, M), (D, 4 * M), (M, 4 * M), (3, M), (4 * M,)]
    return [spaced((2, T, D), 1), *(normal(*shape, seed=20 + k) for k, shape in enumerate(shapes))]


def states_agree(forward, oracle, arrays):
    """Every h, the last h and the last c are the oracle's; the cache, and gradients of the three to send back."""
    h, (hT, cT), cache = forward(*arrays)
    wanted, c_last = oracle(*arrays)
    assert_close(h, wanted, "h", rtol=1e-12)
    assert_close(hT, wanted[:, -1], "last h", rtol=1e-12)
    assert_close(cT, c_last, "last c", rtol=1e-12)
    return cache, (upstream(h, 1), upstream(hT, 2), upstream(cT, 3))


def lstm_whole(module):
    """Equations 3-7 over four frames from non-zero states, with gradients into every h, the last h and the last c."""
    arrays = lstm_arrays()
    cache, (dh, dhT, dcT) = states_agree(module.lstm_forward, oracles_time.lstm, arrays)

    def loss(*a, ends=1):
        h, c = oracles_time.lstm(*a)
        return (dh * h).sum() + ends * ((dhT * h[:, -1]).sum() + (dcT * c).sum())

    for ends in (1, 0):
        states = {"dhT": dhT, "dcT": dcT} if ends else {}
        dx, dh0, dc0, grads = module.lstm_backward(dh, cache, **states)
        gradients = [dx, dh0, dc0, *(grads[name] for name in ("W_x", "W_h", "W_c", "b"))]
        slopes_agree(lambda *a, e=ends: loss(*a, ends=e), arrays, gradients, f"LSTM, last-state gradients {ends}")


def lstm_one_step(module):
    """lstm_step is a sequence of one frame, forwards and backwards."""
    arrays = lstm_arrays(T=1)
    x, *rest = arrays
    h, c, cache = module.lstm_step(x[:, 0], *rest)
    wanted, c_last = oracles_time.lstm(*arrays)
    assert_close(h, wanted[:, 0], "h", rtol=1e-12)
    assert_close(c, c_last, "c", rtol=1e-12)
    dh, dc = upstream(h, 1), upstream(c, 2)
    gradients = module.lstm_step_backward(dh, dc, cache)

    def loss(x_t, *a):
        h, c = oracles_time.lstm(x_t[:, None], *a)
        return (dh * h[:, 0]).sum() + (dc * c).sum()

    slopes_agree(loss, [x[:, 0], *rest], gradients, "LSTM step")


def saturated_gates(module):
    """Inputs of 1e4 give gates of 0 and 1: finite numbers and no overflow warning (warnings are errors)."""
    x, h0, c0, *rest = lstm_arrays()
    h, (_, cT), cache = module.lstm_forward(1e4 * x, h0, c0, *rest)
    dx, *_ = module.lstm_backward(upstream(h), cache)
    assert np.isfinite(h).all() and np.isfinite(cT).all() and np.isfinite(dx).all()
    assert_close(h, oracles_time.lstm(1e4 * x, h0, c0, *rest)[0], "h", rtol=1e-9)


def forget_bias(module):
    """A new LSTM remembers: its forget gates start with bias 1, the other gates with 0."""
    layer = module.PeepholeLSTM(3, 4, rng=np.random.default_rng(0), forget_bias=1.0)
    assert_close(layer.params["b"], np.repeat([0.0, 1.0, 0.0, 0.0], 4), "b", rtol=0)


def conv_lstm(module):
    """Three frames of maps from non-zero states, gradients into every h, the last h and the last c; both parities."""
    for kernel, H, W in [(3, 3, 2), (2, 2, 3), (1, 2, 2)]:
        C, F = 2, 2
        state, filters = (2, H, W, F), [(kernel, kernel, n, 4 * F) for n in (C, F)]
        shapes = [state, state, *filters, (3, F), (4 * F,)]
        arrays = [spaced((2, 3, H, W, C), 1), *(normal(*shape, seed=30 + k) for k, shape in enumerate(shapes))]
        cache, (dh, dhT, dcT) = states_agree(module.conv_lstm_forward, oracles_time.conv_lstm, arrays)

        def loss(*a, dh=dh, dhT=dhT, dcT=dcT):
            h, c = oracles_time.conv_lstm(*a)
            return (dh * h).sum() + (dhT * h[:, -1]).sum() + (dcT * c).sum()

        dx, dh0, dc0, grads = module.conv_lstm_backward(dh, cache, dhT, dcT)
        gradients = [dx, dh0, dc0, *(grads[name] for name in ("W_x", "W_h", "W_c", "b"))]
        slopes_agree(loss, arrays, gradients, f"convolutional LSTM with kernel {kernel}")


def conv_lstm_of_one_pixel(module):
    """On maps of one pixel with a kernel of one pixel it is the peephole LSTM; new, it remembers like one."""
    N, T, C, F = 2, 4, 3, 4
    layer, lstm = module.ConvLSTM(C, F, 1, rng=np.random.default_rng(0)), PeepholeLSTM(C, F, np.random.default_rng(0))
    assert_close(layer.params["b"], lstm.params["b"], "b", rtol=0)
    for layer_ in (layer, lstm):
        layer_.convert(lambda a: a.astype(np.float64))
    for k, (key, a) in enumerate(layer.params.items()):
        a[...] = normal(*a.shape, seed=k)
        lstm.params[key][...] = a.reshape(lstm.params[key].shape)
    x, state = spaced((N, T, C), 1), (normal(N, F, seed=8), normal(N, F, seed=9))
    y, last, _ = layer.scan(x[:, :, None, None], [s[:, None, None] for s in state])
    wanted, wanted_last, _ = lstm.scan(x, state)
    assert_close(y[:, :, 0, 0], wanted, "h", rtol=1e-12)
    for part, wanted_part in zip(last, wanted_last, strict=True):
        assert_close(part[:, 0, 0], wanted_part, "last state", rtol=1e-12)
    with pytest.raises(ValueError, match=r"state h has shape \(2, 4\), expected \(2, 1, 1, 4\)"):
        layer.scan(x[:, :, None, None], state)


def frames(module):
    """Frame t of clip n is row n T + t, and OverFrames does to it what its layer does to a frame alone."""
    x, layer = spaced((2, 5, 3), 1), Linear(3, 4, np.random.default_rng(0)).convert(lambda a: a.astype(np.float64))
    rows = np.array([x[n, t] for n in range(2) for t in range(5)])
    assert_close(module.fold(x), rows, "fold", rtol=0)
    assert_close(module.unfold(rows, 5), x, "unfold", rtol=0)
    for chunk in (1, 3, 10):
        clips = module.OverFrames(layer, chunk=chunk)
        y, cache = clips.forward(x)
        wanted = oracles.linear(x, **layer.params)
        assert_close(y, wanted, "OverFrames", rtol=1e-12)
        assert_close(clips.predict(x), wanted, "OverFrames.predict", rtol=1e-12)
        dy = upstream(y)
        dx, grads = clips.backward(dy, cache)
        arrays, gradients = [x, *layer.params.values()], [dx, grads["W"], grads["b"]]
        slopes_agree(lambda *a, dy=dy: (dy * oracles.linear(*a)).sum(), arrays, gradients, f"chunks of {chunk}")


def masks_of_chunks(module):
    """Every chunk of every call draws its own dropout mask: frames that share one would be dropped together."""
    layer, rng = module.OverFrames(Dropout(0.5), chunk=1), np.random.default_rng(3)
    masks = [layer.forward(np.ones((2, 3, 50)), rng)[0].reshape(6, 50) != 0 for _ in range(2)]
    assert len({mask.tobytes() for both in masks for mask in both}) == 12, "frames share their dropout masks"


def masks_of_clips(module):
    """Where a clip has one mask, it is the same in all chunks that hold a part of the clip."""
    for chunk in (1, 3, 4, 100):
        layer, rng = module.OverFrames(Dropout(0.5, per_clip=True), chunk=chunk), np.random.default_rng(3)
        masks = np.array([layer.forward(np.ones((3, 4, 50)), rng)[0] for _ in range(2)])
        assert_close(masks, masks[:, :, :1].repeat(4, axis=2), f"masks of a clip in chunks of {chunk}", rtol=0)
        assert len({mask.tobytes() for both in masks for mask in both[:, 0]}) == 6, "clips or calls share their masks"


CHECKS = {
    "snippets.layers.temporal": [temporal_max, window_counts, temporal_average, fixed_frames],
    "snippets.layers.features.differences": [differences],
    "snippets.layers.time_conv": [time_conv],
    "snippets.layers.rnn": [rnn],
    "snippets.layers.lstm": [lstm_whole, lstm_one_step, saturated_gates, forget_bias],
    "snippets.layers.conv_lstm": [conv_lstm, conv_lstm_of_one_pixel],
    "snippets.nets.frames": [frames, masks_of_chunks, masks_of_clips],
}
