"""Sentences of the paper about frames and time that hold exactly, each one a test; small nets in float64."""

import numpy as np
import pytest
from contract import assert_close, upstream
from small_nets import SMALL, name, net_and_clips

from snippets.layers.loss import softmax_loss
from snippets.layers.lstm import PeepholeLSTM
from snippets.nets.expand import expand, warm_start
from snippets.nets.zoo import HEADS, NetConfig, build

ALEXNET, GOOGLENET, FEATURES = dict(tower="alexnet"), dict(tower="googlenet"), dict(tower="features", features=8)
POOLED = [ALEXNET, GOOGLENET, FEATURES]
RECURRENT = [{**base, "head": head} for base in (ALEXNET, FEATURES) for head in ("lstm", "rnn", "convlstm")]


def of_heads(*heads):
    """AlexNet and precomputed features under each of these heads; GoogLeNet pooled at each of its three places."""
    configs = [{**base, "head": head} for base in (ALEXNET, FEATURES) for head in heads]
    return configs + [dict(tower="googlenet", head=heads[0], tap=tap) for tap in ("maps", "average", "vector")]


CONFIGS = [{**base, "head": head} for base in POOLED for head in HEADS if head not in ("single", "slowfusion")]


@pytest.mark.parametrize("config", POOLED, ids=name)
def test_one_frame_is_the_single_frame_network(config):
    """Pooled net at T = 1 = single-frame net: the frame's own tower and classifier, run by hand, score alike."""
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


@pytest.mark.parametrize("config", of_heads("conv", "late", "slow", "local", "average", "fcpool"), ids=name)
def test_every_pooled_net_at_one_frame_is_the_single_frame_network(config):
    """Pooled net at T = 1 = single-frame net, with its parameters; Time-Domain Convolution and Slow Fusion need ten."""
    single, x = net_and_clips(T=1, **{**config, "head": "single"})
    net, _ = net_and_clips(T=1, **config)
    expand(net, single.params)
    assert_close(net.predict(x), single.predict(x), "scores", rtol=1e-12)


@pytest.mark.parametrize("config", of_heads("conv", "late", "average"), ids=name)
def test_repeating_frames_leaves_pooling_over_all_frames_unchanged(config):
    """Repeating frames leaves Conv Pooling unchanged; and what else pools over all frames at once."""
    net, x = net_and_clips(**config)
    y = net.predict(x)
    assert_close(net.predict(np.concatenate([x, x], axis=1)), y, "scores of the clip twice over", rtol=1e-12)
    assert_close(net.predict(np.repeat(x, 3, axis=1)), y, "scores of every frame three times", rtol=1e-12)


@pytest.mark.parametrize("mask", ["clip", "frame"])
@pytest.mark.parametrize("base", [ALEXNET, FEATURES, GOOGLENET], ids=name)
@pytest.mark.parametrize("head", ["conv", "late", "slow", "local"])
def test_a_still_video_trains_as_one_of_its_frames(base, head, mask):
    """Dropout in front of a maximum has one mask per clip: else the maximum would find the frames that kept a unit."""
    config = {**base, "head": head, "dropout_mask": mask}
    net, x = net_and_clips(T=1, dropout=0.5, **config)
    still, _ = net_and_clips(T=1 if head == "local" else 20, dropout=0.5, **config)
    T = 4 if head == "local" else 20
    if head == "local":  # it has weights for one window: that of up to ten frames
        still.layers["length"].T = T
    for layers in (net.layers, still.layers):
        if "tower" in layers:
            layers["tower"].chunk = 100
    alone, moving = (n.forward(np.repeat(x, t, axis=1), np.random.default_rng(3))[0] for n, t in ((net, 1), (still, T)))
    read = head in ("late", "slow") or base is GOOGLENET
    assert np.allclose(moving, alone, rtol=1e-9, atol=0) == (mask == "clip" or not read)


@pytest.mark.parametrize("config", of_heads("conv", "late", "slow", "average"), ids=name)
def test_expansion_is_exact_on_a_still_video(config):
    """Expansion exact on a still video: single -> 12 -> 30 frames, shown one frame over and over."""
    single, x = net_and_clips(T=1, **{**config, "head": "single"})
    params = single.params
    for T in (12, 30):
        expanded, _ = net_and_clips(T=T, **config)
        for value in expanded.params.values():
            value *= -0.5  # as if it had been drawn from another seed
        expand(expanded, params)
        still = np.repeat(x, T, axis=1)
        assert_close(expanded.predict(still), single.predict(x), f"scores of {T} equal frames", rtol=1e-12)
        params = expanded.params


def test_a_network_of_scores_alone_starts_from_its_like_and_no_other_does():
    """What fits is the last layer alone: all that one network has, and an accident in another."""
    last, more = (net_and_clips(**FEATURES, head="average", fc=fc)[0] for fc in (0, FEATURES["features"]))
    other = {key: a + 1 for key, a in last.params.items()}
    assert warm_start(last, other) == (list(other), [])
    assert all((last.params[key] == a).all() for key, a in other.items())
    assert more.params["scores/W"].shape == other["scores/W"].shape
    with pytest.raises(ValueError, match="none of the 2 parameters given fits"):
        warm_start(more, other)


@pytest.mark.parametrize("config", of_heads("conv", "late", "average"), ids=name)
def test_the_order_of_frames_means_nothing_to_max_pooling(config):
    """Permuting frames leaves max-pooling equal; but frames of another clip are seen: the axes are not confused."""
    net, x = net_and_clips(**config)
    assert_close(net.predict(x[:, [2, 0, 3, 1]]), net.predict(x), "scores of shuffled frames", rtol=1e-12)
    other = x.copy()
    other[0] = x[0, ::-1]
    other[0, 0] = x[1, 0]
    assert np.abs(net.predict(other)[0] - net.predict(x)[0]).max() > 1e-6


IN_WINDOWS = ("slow", "local", "timeconv", "fcpool")


@pytest.mark.parametrize(
    "config", RECURRENT + of_heads(*IN_WINDOWS)[:8] + [dict(tower="alexnet", head="slowfusion")], ids=name
)
def test_the_order_of_frames_matters_to_the_lstm(config):
    """Permuting frames changes the LSTM, and what reads windows or places in time."""
    net, x = net_and_clips(T=20, **config)
    y, shuffled = net.predict(x), net.predict(x[:, np.random.default_rng(0).permutation(20)])
    if y.ndim == 3:
        y, shuffled = y[:, -1], shuffled[:, -1]
    assert np.abs(y - shuffled).max() > 1e-6, "the scores forgot the order"


@pytest.mark.parametrize("config", [{**base, "head": "slow"} for base in POOLED], ids=name)
def test_slow_pooling_cannot_tell_a_clip_from_its_reverse(config):
    """Whole windows backwards are the same sets of frames, and a maximum does not ask in which order they come."""
    net, x = net_and_clips(T=20, **config)
    assert_close(net.predict(x[:, ::-1]), net.predict(x), "scores of the clip played backwards", rtol=1e-12)


@pytest.mark.parametrize("config", RECURRENT, ids=name)
def test_the_lstm_does_not_see_the_future(config):
    """A recurrent network's scores at a frame depend on it and on those before it."""
    net, x = net_and_clips(**config)
    later = x.copy()
    later[:, 2:] = -x[:, 2:]
    assert_close(net.predict(later)[:, :2], net.predict(x)[:, :2], "scores before the change", rtol=1e-12)


@pytest.mark.parametrize("pieces", [[1] * 7, [3, 4], [5, 1, 1], [7]], ids=str)
def test_streaming_equals_batch(rng, pieces):
    """Streaming = batch: a clip in pieces, the state carried along and its gradient carried back, is the whole clip."""
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


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_number_of_parameters_does_not_depend_on_the_number_of_frames(config):
    """Parameter count independent of T, except for Local and fully connected pooling, where it grows."""
    short, long = (build(NetConfig(**{**SMALL, "frames": T, **config})) for T in (12, 120))
    shapes, longer = ({key: a.shape for key, a in net.params.items()} for net in (short, long))
    grown = {key for key in shapes if shapes[key] != longer[key]}
    assert shapes.keys() == longer.keys()
    assert grown == {"local": {"scores/W"}, "fcpool": {"fc1/W"}}.get(config["head"], set())


@pytest.mark.parametrize("config", RECURRENT, ids=name)
def test_gradients_weighted_by_gain_are_the_gradient_of_the_weighted_loss(config):
    """Sum of g-weighted gradients = gradient of the weighted loss, g_t = t / T, the label sent back at every frame."""
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


@pytest.mark.parametrize("config", [ALEXNET, {**GOOGLENET, "head": "lstm"}, {**ALEXNET, "head": "convlstm"}], ids=name)
def test_a_third_channel_of_zero_neither_learns_nor_counts(config):
    """Zero third channel -> zero gradient: optical flow has two; the third is 0 after mean subtraction."""
    net, x = net_and_clips(**config)
    x[..., 2] = 0
    y, cache = net.forward(x)
    first = net.backward(upstream(y), cache)[1]["tower/conv1/W"]
    assert not first[:, :, 2].any() and np.abs(first[:, :, :2]).min(axis=(0, 1, 2)).all()
    net.params["tower/conv1/W"][:, :, 2] += 100.0
    assert_close(net.predict(x), y, "scores with other weights of the third channel", rtol=0)
