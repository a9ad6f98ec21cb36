"""Sentences of the paper about frames and time that hold exactly, each one a test; small nets in float64."""

import numpy as np
import pytest
from contract import assert_close, upstream
from layer_cases import spaced

from layers.loss import softmax_loss
from layers.lstm import PeepholeLSTM
from nets.expand import warm_start
from nets.zoo import NetConfig, build

SMALL = dict(classes=5, size=36, width=1 / 12, fc=24, units=6, depth=2, vector=9)


def net_and_clips(N=2, T=4, **config):
    """A small net in float64, biases and peepholes away from zero, no unit dead; clips of different frames."""
    config = {**SMALL, "frames": T, **config}
    net = build(NetConfig(**config), seed=7).convert(lambda a: a.astype(np.float64))
    rng = np.random.default_rng(1)
    for key, value in net.params.items():
        spread = min(0.1, 1 / np.sqrt(np.prod(value.shape[:-1])))  # large kernels would make the softmax certain
        value += rng.normal(0.3 if key.endswith("/b") else 0.0, spread, value.shape)
    features = config.get("features")
    return net, spaced((N, T, features) if features else (N, T, 36, 36, 3), seed=2)


POOLED = [dict(tower="alexnet"), dict(tower="googlenet"), dict(tower="features", features=8)]
RECURRENT = [dict(tower="alexnet", head="lstm"), dict(tower="features", features=8, head="lstm")]


def name(config):
    return "-".join(str(v) for v in config.values())


@pytest.mark.parametrize("config", POOLED, ids=name)
def test_one_frame_is_the_single_frame_network(config):
    """Pooling over T = 1 does nothing: the frame's own tower and classifier, run by hand, give the same scores."""
    net, x = net_and_clips(T=1, **config)
    y = x[:, 0]
    for layer_name, layer in net.layers.items():
        if layer_name == "tower":
            y = layer.layer.predict(y)
        elif layer_name != "pool":
            y = layer.predict(y)
    assert_close(net.predict(x), y, "scores", rtol=1e-12)
    single, _ = net_and_clips(T=1, **config, head="single")
    assert_close(single.predict(x), y, "scores of head single", rtol=1e-12)


@pytest.mark.parametrize("config", POOLED, ids=name)
def test_repeating_frames_leaves_conv_pooling_unchanged(config):
    net, x = net_and_clips(**config)
    y = net.predict(x)
    assert_close(net.predict(np.concatenate([x, x], axis=1)), y, "scores of the clip twice over", rtol=1e-12)
    assert_close(net.predict(np.repeat(x, 3, axis=1)), y, "scores of every frame three times", rtol=1e-12)


@pytest.mark.parametrize("config", POOLED, ids=name)
def test_expansion_is_exact_on_a_still_video(config):
    """The single-frame net's parameters in a net of 9 frames, shown one frame 9 times."""
    single, x = net_and_clips(T=1, **config, head="single")
    expanded, _ = net_and_clips(T=9, **config)
    for value in expanded.params.values():
        value *= -0.5  # as if it had been drawn from another seed
    copied, new = warm_start(expanded, single.params)
    assert set(copied) == set(single.params) and not new
    assert_close(expanded.predict(np.repeat(x, 9, axis=1)), single.predict(x), "scores of a still video", rtol=1e-12)


@pytest.mark.parametrize("config", POOLED, ids=name)
def test_the_order_of_frames_means_nothing_to_max_pooling(config):
    net, x = net_and_clips(**config)
    assert_close(net.predict(x[:, [2, 0, 3, 1]]), net.predict(x), "scores of shuffled frames", rtol=1e-12)
    other = x.copy()
    other[0] = x[0, ::-1]
    other[0, 0] = x[1, 0]  # a frame of another clip, however, is seen: the axes are not confused
    assert np.abs(net.predict(other)[0] - net.predict(x)[0]).max() > 1e-6


@pytest.mark.parametrize("config", RECURRENT, ids=name)
def test_the_order_of_frames_matters_to_the_lstm(config):
    net, x = net_and_clips(**config)
    y, shuffled = net.predict(x), net.predict(x[:, [2, 0, 1, 3]])
    assert np.abs(y[:, -1] - shuffled[:, -1]).max() > 1e-6, "the last frame's scores forgot the order before it"


@pytest.mark.parametrize("config", RECURRENT, ids=name)
def test_the_lstm_does_not_see_the_future(config):
    net, x = net_and_clips(**config)
    later = x.copy()
    later[:, 2:] = -x[:, 2:]
    assert_close(net.predict(later)[:, :2], net.predict(x)[:, :2], "scores before the change", rtol=1e-12)


@pytest.mark.parametrize("pieces", [[1] * 7, [3, 4], [5, 1, 1], [7]], ids=str)
def test_streaming_equals_batch(rng, pieces):
    """A clip in pieces, the state carried along and its gradient carried back, is the whole clip."""
    lstm = PeepholeLSTM(3, 4, rng).convert(lambda a: a.astype(np.float64))
    for value in lstm.params.values():
        value[...] = rng.normal(size=value.shape)
    x, state = rng.normal(size=(2, 7, 3)), (rng.normal(size=(2, 4)), rng.normal(size=(2, 4)))
    y, last, cache = lstm.scan(x, state)
    dy, dlast = upstream(y), (upstream(last[0], 4), upstream(last[1], 5))
    dx, dfirst, grads = lstm.scan_backward(dy, cache, dlast)

    ends = np.cumsum(pieces)
    spans = [slice(end - size, end) for end, size in zip(ends, pieces, strict=True)]
    outputs, caches = [], []
    for span in spans:
        h, state, cache = lstm.scan(x[:, span], state)
        outputs.append(h)
        caches.append(cache)
    assert_close(np.concatenate(outputs, axis=1), y, "h", rtol=1e-12)
    dstate, dxs, sums = dlast, [], {key: 0 for key in grads}
    for k in (0, 1):
        assert_close(state[k], last[k], "last " + "hc"[k], rtol=1e-12)
    for span, cache in zip(reversed(spans), reversed(caches), strict=True):
        dpiece, dstate, piece_grads = lstm.scan_backward(dy[:, span], cache, dstate)
        dxs.insert(0, dpiece)
        sums = {key: sums[key] + piece_grads[key] for key in grads}
    assert_close(np.concatenate(dxs, axis=1), dx, "dx", rtol=1e-11)
    for k in (0, 1):
        assert_close(dstate[k], dfirst[k], f"d{'hc'[k]}0", rtol=1e-11)
    for key, value in grads.items():
        assert_close(sums[key], value, "d" + key, rtol=1e-11)


@pytest.mark.parametrize("config", POOLED + RECURRENT, ids=name)
def test_no_parameter_depends_on_the_number_of_frames(config):
    short, long = (build(NetConfig(**{**SMALL, "frames": T, **config})) for T in (2, 120))
    assert {k: v.shape for k, v in short.params.items()} == {k: v.shape for k, v in long.params.items()}


@pytest.mark.parametrize("config", RECURRENT, ids=name)
def test_gradients_weighted_by_gain_are_the_gradient_of_the_weighted_loss(config):
    """Back-propagating the label at every frame, scaled by g_t = t / T, equals weighting the losses of the frames."""
    net, x = net_and_clips(**config)
    labels, g = np.array([1, 4]), np.arange(1, 5) / 4
    scores, cache = net.forward(x)
    loss, dscores = softmax_loss(scores, labels, g)
    _, grads = net.backward(dscores, cache)
    total, sums = 0.0, {key: 0 for key in grads}
    for t in range(4):
        frame_loss, dframe = softmax_loss(scores[:, t], labels)
        dscores = np.zeros_like(scores)
        dscores[:, t] = dframe
        frame_grads = net.backward(dscores, cache)[1]
        total += g[t] * float(frame_loss)
        sums = {key: sums[key] + g[t] * frame_grads[key] for key in grads}
    assert float(loss) == pytest.approx(total, rel=1e-12)
    for key, value in grads.items():
        assert_close(sums[key], value, "d" + key, rtol=1e-10)


@pytest.mark.parametrize("config", [dict(tower="alexnet"), dict(tower="googlenet", head="lstm")], ids=name)
def test_a_third_channel_of_zero_neither_learns_nor_counts(config):
    """Optical flow has two channels; the third is 0 after mean subtraction."""
    net, x = net_and_clips(**config)
    x[..., 2] = 0
    y, cache = net.forward(x)
    first = net.backward(upstream(y), cache)[1]["tower/conv1/W"]
    assert not first[:, :, 2].any() and np.abs(first[:, :, :2]).min(axis=(0, 1, 2)).all()
    net.params["tower/conv1/W"][:, :, 2] += 100.0
    assert_close(net.predict(x), y, "scores with other weights of the third channel", rtol=0)
