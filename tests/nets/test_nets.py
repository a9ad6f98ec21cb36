"""Whole networks: gradients along random directions, shapes, seeds and configs."""

import dataclasses
import json

import numpy as np
import pytest
from contract import assert_same_bits, upstream
from small_nets import SMALL, name, net_and_clips

from snippets.layers.loss import softmax_loss
from snippets.nets.googlenet import VARIANTS
from snippets.nets.zoo import HEADS, TOWERS, NetConfig, build, build_tower, input_shape

PER_FRAME = ("lstm", "rnn", "convlstm")  # heads whose scores are of each frame

CONFIGS = [
    *[
        dict(tower=tower, head=head, **({"features": 8} if tower == "features" else {}))
        for tower in TOWERS
        for head in HEADS
        if HEADS[head].reads != "clips" or tower == "alexnet"
    ],
    dict(tower="alexnet", norm="lcn"),
    *[dict(tower="googlenet", head="conv", tap=tap) for tap in ("maps", "average")],
    dict(tower="googlenet", head="lstm", tap="average"),
    *[dict(tower="googlenet", variant="caffe", tap=tap) for tap in ("maps", "vector")],
    dict(tower="features", head="rnn", activation="tanh", features=8),
    *[dict(tower="features", head=head, fc=0, features=8) for head in ("late", "local", "average", "fcpool")],
    dict(tower="alexnet", head="lstm", fc=0),
]


def frames_for(head="conv", **_):
    """A few frames, or as many as the head needs and some more."""
    return 1 if head == "single" else 3 if HEADS[head].least == 1 else HEADS[head].least + 3


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_gradient_of_a_whole_net_along_random_directions(config):
    """Two runs, a step ahead and a step back along a random direction through all parameters; dropout stands still."""
    T = frames_for(**config)
    net, x = net_and_clips(T=T, **config)
    recurrent = config.get("head") in PER_FRAME
    labels, weight = np.array([3, 0]), np.arange(1, T + 1) / T if recurrent else 0.5

    def run():
        scores, cache = net.forward(x, np.random.default_rng(4))
        loss, dscores = softmax_loss(scores, labels, weight)
        return float(loss), dscores, cache

    _, dscores, cache = run()
    _, grads = net.backward(dscores, cache)
    assert set(grads) == set(net.params)
    assert not [key for key, value in grads.items() if np.abs(value).max() < 1e-6], (
        "nothing to check where all units died"
    )
    rng, step = np.random.default_rng(6), 1e-8  # so near that no ReLU or maximum changes its mind
    everything = list(net.params)
    for keys in (everything, everything, everything[:2], everything[-2:]):
        v = {key: rng.normal(size=net.params[key].shape) for key in keys}
        ends = []
        for sign in (1, -2):  # to +step, then to -step
            for key in keys:
                net.params[key] += sign * step * v[key]
            ends.append(run()[0])
        for key in keys:
            net.params[key] += step * v[key]
        numerical = (ends[0] - ends[1]) / (2 * step)
        analytic = sum(float((grads[key] * v[key]).sum()) for key in keys)
        size = sum(float(np.abs(grads[key] * v[key]).sum()) for key in keys)
        assert abs(numerical - analytic) <= 1e-6 * size, (
            f"{keys[0]}..{keys[-1]}: {analytic:.10g}, runs {numerical:.10g}"
        )


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_scores_have_the_heads_shape(config):
    config = {**SMALL, "frames": frames_for(**config), **config}
    net, shape = build(NetConfig(**config)), input_shape(NetConfig(**config), N=3)
    y = net.predict(np.zeros(shape, np.float32))
    assert y.shape == ((3, config["frames"], 5) if config.get("head") in PER_FRAME else (3, 5))
    assert y.dtype == np.float32


def test_nets_are_seeded_and_rebuilt_from_their_config():
    config = NetConfig(**{**SMALL, "tower": "googlenet", "head": "lstm"})
    again = NetConfig(**json.loads(json.dumps(dataclasses.asdict(config))))
    assert again == config
    first, second, other = build(config, seed=3).params, build(again, seed=3).params, build(config, seed=4).params
    for key, value in first.items():
        assert_same_bits(value, second[key], key)
    assert any((value != other[key]).any() for key, value in first.items())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(tower="vgg"), "tower is 'vgg'.*alexnet"),
        (dict(head="mean"), "head is 'mean'.*conv"),
        (dict(head="single", frames=30), "one frame.*30"),
        (dict(tower="features"), "features"),
        (dict(features=8), "features"),
        (dict(depth=0), "depth is 0"),
        (dict(tower="googlenet", variant="v3"), "variant is 'v3'.*torchvision"),
        (dict(tower="alexnet", variant="caffe"), "only tower googlenet"),
        (dict(classes=0), "classes is 0"),
        (dict(head="timeconv", frames=9), "'timeconv' needs clips of at least 10 frames, but frames is 9"),
        (dict(head="slowfusion", frames=9), "'slowfusion' needs clips of at least 10 frames"),
        (dict(head="slowfusion", tower="googlenet"), "alexnet's convolutions.*'googlenet'"),
        (dict(tap="maps"), "tap is 'maps': only tower googlenet"),
        (dict(tower="googlenet", head="lstm", tap="maps"), "'lstm' reads vectors"),
        (dict(tower="googlenet", head="timeconv", tap="vector"), "'timeconv' reads maps"),
        (dict(head="slow", fc=0), "fc is 0"),
        (dict(tower="googlenet", norm="lcn"), "norm is 'lcn'"),
    ],
    ids=str,
)
def test_configs_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        NetConfig(**{"classes": 5, **wrong})


@pytest.mark.parametrize("head", ["local", "fcpool"])
@pytest.mark.parametrize("config", [dict(tower="alexnet"), dict(tower="features", features=8)], ids=name)
def test_weights_for_places_in_time_refuse_clips_of_another_length(config, head):
    """Also where as many windows would come out: 12 and 15 frames are both two."""
    net, _ = net_and_clips(T=12, head=head, **config)
    _, x = net_and_clips(T=15, head=head, **config)
    reader = "scores" if head == "local" else "fc1"
    with pytest.raises(ValueError, match=f"clips have 15 frames, expected 12: layer {reader} has weights"):
        net.predict(x)


@pytest.mark.parametrize(
    "config",
    [dict(head="slowfusion", size=20, width=0.25), dict(tower="features", features=8, head="timeconv", width=1.0)],
    ids=name,
)
def test_every_frame_counts_however_many_there_are(config):
    """The gradient of the scores reaches every frame of a clip, also where windows of the stride leave some over."""
    for T in range(10, 42):
        net, x = net_and_clips(N=1, T=T, **config)
        if "tower" in net.layers:
            net.layers["tower"].layers["conv1"].input_grad, x = True, x[:, :, :20, :20]
        y, cache = net.forward(x)
        dx, _ = net.backward(upstream(y), cache)
        unread = [t for t in range(T) if not dx[0, t].any()]
        assert not unread, f"of {T} frames, the scores do not depend on {unread}"


def test_windows_and_softmax_rows_of_local_pooling():
    """30 frames are 5 windows and 120 are 23, each with rows of its own in the softmax layer."""
    for T, m in [(30, 5), (120, 23), (9, 1)]:
        net = build(NetConfig(**{**SMALL, "tower": "features", "features": 8, "head": "local", "frames": T}))
        assert net.params["scores/W"].shape == (m * SMALL["fc"], 5)


@pytest.mark.parametrize(("end", "D"), [("maps", 7 * 7 * 1024), ("average", 1024), ("vector", 1000)])
def test_the_three_places_where_googlenet_is_pooled(end, D):
    assert np.prod(build_tower(NetConfig(5, "googlenet", "conv", tap=end), None)[1]) == D
    config = NetConfig(5, "googlenet", "conv", 2, 70, 1 / 16, tap=end, vector=9, fc=4)
    frame_net, shape = build_tower(config, np.random.default_rng(0))
    assert frame_net.predict(np.zeros((2, 70, 70, 3), np.float32)).shape == (2, *shape)


@pytest.mark.parametrize(("size", "width"), [(36, 1 / 24), (220, 1 / 32), (57, 1 / 12)])
def test_maps_of_alexnet_have_the_size_predicted(size, width):
    assert build_tower(NetConfig(5), None)[1] == (7, 7, 256)
    frame_net, shape = build_tower(NetConfig(5, size=size, width=width), np.random.default_rng(0))
    assert frame_net.predict(np.zeros((1, size, size, 3), np.float32)).shape == (1, *shape)


@pytest.mark.parametrize("variant", VARIANTS)
def test_maps_have_the_size_predicted(variant):
    for size in (220, 224, 97):
        config = NetConfig(5, "googlenet", "conv", 2, size, 1 / 32, tap="maps", variant=variant)
        frame_net, shape = build_tower(config, np.random.default_rng(0))
        x = np.zeros((1, size, size, 3), np.float32)
        assert frame_net.predict(x).shape == (1, *shape), size
    net = build(NetConfig(5, "googlenet", "single", 1, 97, 1 / 32, variant=variant, vector=9, fc=4, auxiliary=0.3))
    net.forward(x[None], np.random.default_rng(0))  # its auxiliary heads read the maps half-way up
