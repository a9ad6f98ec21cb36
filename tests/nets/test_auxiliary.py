"""GoogLeNet's auxiliary heads in a whole net: their loss, their gradients, and that inference does not know them."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from contract import assert_same_bits
from layer_cases import spaced
from small_nets import SMALL

from snippets.layers.loss import softmax_loss
from snippets.nets.inspect.memory import StepMemory
from snippets.nets.inspect.summary import layer_rows
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.cli.main import main
from snippets.training.evaluate import evaluate
from snippets.training.loop import train
from snippets.training.model import load_model
from snippets.training.objective import Weighting, loss_and_gradient
from snippets.training.settings import Settings

CONFIG = NetConfig(**{**SMALL, "tower": "googlenet", "frames": 3, "auxiliary": 0.3})
LABELS = np.array([3, 0])


class Pictures:
    """Eight random clips of one frame, five classes."""

    def __init__(self, shape):
        self.x = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
        self.labels, self.classes, self.names = np.arange(8) % 5, list("abcde"), list("stuvwxyz")

    def __len__(self):
        return len(self.x)

    def train_clip(self, i, rng):
        return self.x[i]

    def test_clips(self, i, views, rng):
        yield self.x[i]


def net_and_clips(head):
    config = replace(CONFIG, head=head)
    net = build(config, 7).convert(lambda a: a.astype(np.float64))
    for key, a in net.params.items():
        a += 0.3 * key.endswith("/b")  # no unit dead
    return net, spaced(input_shape(config, 2), 2)


@pytest.mark.parametrize("loss", ["mean", "sum"])
@pytest.mark.parametrize("head", ["conv", "lstm"])
def test_losses_of_single_frames_are_added_with_their_weight(head, loss):
    net, x = net_and_clips(head)
    (scores, sides), _ = net.forward(x, np.random.default_rng(4))
    assert sides.shape == (2, 3, 2, 5)
    weight = np.full(2, 1.0) if head == "conv" else np.tile([1 / 3, 2 / 3, 1], (2, 1))
    weight /= weight.size if loss == "mean" else 1
    frames = np.stack([weight / 3] * 3, axis=1) if head == "conv" else weight
    wanted = float(softmax_loss(scores, LABELS, weight)[0])
    for side in (0, 1):
        for t in range(3):
            wanted += 0.3 * float(softmax_loss(sides[:, t, side], LABELS, frames[:, t])[0])
    value, main_scores, weights, _ = loss_and_gradient(net, x, LABELS, np.random.default_rng(4), Weighting(loss))
    assert value == pytest.approx(wanted, rel=1e-12)
    assert weights.sum() == pytest.approx(weight.sum() + 2 * 0.3 * frames.sum())
    assert_same_bits(main_scores, scores, "scores")


@pytest.mark.parametrize("head", ["conv", "lstm"])
def test_gradient_along_random_directions(head):
    """Of the whole loss, the sides' included, dropout standing still; and without dropout, the sides silent."""
    net, x = net_and_clips(head)
    for train_it in (True, False):

        def run(train_it=train_it):
            return loss_and_gradient(net, x, LABELS, np.random.default_rng(4) if train_it else None)

        grads = run()[3]
        assert set(grads) == set(net.params)
        silent = {key for key, g in grads.items() if not g.any()}
        assert silent == (set() if train_it else {key for key in grads if "/aux" in key})
        rng, step = np.random.default_rng(6), 1e-8
        for keys in (
            list(grads),
            [key for key in grads if "/aux" in key],
            [key for key in grads if "tower/conv" in key],
        ):
            v = {key: rng.normal(size=grads[key].shape) for key in keys}
            ends = []
            for sign in (1, -2, 1):
                for key in keys:
                    net.params[key] += sign * step * v[key]
                ends.append(run()[0])
            analytic = sum(float((grads[key] * v[key]).sum()) for key in keys)
            size = sum(float(np.abs(grads[key] * v[key]).sum()) for key in keys)
            assert abs((ends[0] - ends[1]) / (2 * step) - analytic) <= 1e-6 * size


def test_inference_and_the_summary_do_not_know_them():
    net, plain = build(CONFIG, 3), build(replace(CONFIG, auxiliary=0.0), 3)
    for key, a in plain.params.items():
        a[...] = net.params[key]
    x = spaced(input_shape(CONFIG, 2), 2).astype(np.float32)
    assert_same_bits(net.predict(x), plain.predict(x), "scores")
    assert_same_bits(net.forward(x)[0], plain.predict(x), "scores of a forward pass that draws nothing")
    assert layer_rows(net, x.shape) == layer_rows(plain, x.shape)
    trunk = sum(a.size for key, a in plain.params.items())
    assert sum(row.params for row in layer_rows(net, x.shape)) == trunk < sum(a.size for a in net.params.values())
    assert StepMemory(net, x.shape).parts()["parameters"] > StepMemory(plain, x.shape).parts()["parameters"]


def test_a_net_trained_with_them_is_saved_used_and_expanded(tmp_path, capsys):
    config = replace(CONFIG, head="single", frames=1, size=48)
    data = Pictures((1, 48, 48, 3))
    net = build(config, 1)
    before = net.params["tower/aux1/fc/W"].copy()
    train(net, data, Settings(epochs=2, batch=4), folder=tmp_path, config=asdict(config), data={}, progress=False)
    assert np.abs(net.params["tower/aux1/fc/W"] - before).max() > 0
    model = load_model(tmp_path / "checkpoint.npz")
    assert evaluate(model.net, data).hit1 == evaluate(net, data).hit1
    out = tmp_path / "conv.npz"
    assert main(["expand", str(tmp_path / "checkpoint.npz"), "--frames", "4", "--out", str(out)]) == 0
    expanded = load_model(out)
    assert expanded.config.auxiliary == 0 and not [key for key in expanded.net.params if "/aux" in key]


@pytest.mark.parametrize("wrong", [dict(tower="alexnet"), dict(head="conv", tap="maps"), dict(auxiliary=-1)], ids=str)
def test_they_belong_to_googlenet_that_ends_in_a_vector(wrong):
    with pytest.raises(ValueError, match="auxiliary is"):
        replace(CONFIG, **wrong)
