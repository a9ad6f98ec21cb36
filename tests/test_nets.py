"""Whole networks: gradients along random directions, shapes, seeds and configs."""

import dataclasses
import json

import numpy as np
import pytest
from contract import assert_same_bits
from test_invariants import SMALL, name, net_and_clips

from layers.loss import softmax_loss
from nets.zoo import HEADS, TOWERS, NetConfig, build, input_shape

CONFIGS = [
    dict(tower=tower, head=head, **({"features": 8} if tower == "features" else {}))
    for tower in TOWERS
    for head in HEADS
] + [dict(tower="alexnet", norm="lcn")]


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_gradient_of_a_whole_net_along_random_directions(config):
    """Two runs, a step ahead and a step back along a random direction through all parameters; dropout stands still."""
    T = 1 if config.get("head") == "single" else 3
    net, x = net_and_clips(T=T, **config)
    recurrent = config.get("head") == "lstm"
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
    config = {**SMALL, "frames": 1 if config.get("head") == "single" else 4, **config}
    net, shape = build(NetConfig(**config)), input_shape(NetConfig(**config), N=3)
    y = net.predict(np.zeros(shape, np.float32))
    assert y.shape == ((3, 4, 5) if config.get("head") == "lstm" else (3, 5))
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
        (dict(classes=0), "classes is 0"),
    ],
    ids=str,
)
def test_configs_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        NetConfig(**{"classes": 5, **wrong})
