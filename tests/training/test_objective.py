"""What training minimises, and that frozen parts stay as they are."""

import math
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from toy_clips import Clips, bits, pooled, quiet, recurrent

from snippets.layers.core.base import Sequential
from snippets.layers.linear import Linear
from snippets.layers.loss import softmax_loss
from snippets.layers.relu import ReLU
from snippets.training.checkpoint import load
from snippets.training.log import read_log
from snippets.training.objective import Weighting, gain, loss_and_gradient, split_frozen
from snippets.training.settings import Settings
from snippets.training.sgd import SGD

# What is minimised


def test_gain_and_weights():
    np.testing.assert_allclose(gain(4), [0.25, 0.5, 0.75, 1])
    assert gain(3, "ones").tolist() == [1, 1, 1] and gain(3, "last").tolist() == [0, 0, 1]
    np.testing.assert_allclose(Weighting("sum").of((2, 4, 7)), [[0.25, 0.5, 0.75, 1]] * 2)
    np.testing.assert_allclose(Weighting("mean", "last").of((2, 4, 7)), [[0, 0, 0, 1 / 8]] * 2)
    assert Weighting("mean").of((4, 7)).tolist() == [0.25] * 4 and Weighting("sum").of((4, 7)).tolist() == [1] * 4
    for call in (lambda: gain(3, "cubic"), lambda: Weighting("average").of((2, 3)), lambda: Weighting().of((2,))):
        with pytest.raises(ValueError, match="must"):
            call()


def test_sum_of_gain_weighted_frame_gradients_is_the_gradient_of_the_weighted_loss(rng):
    net = recurrent().convert(lambda a: a.astype(np.float64))
    x, labels = rng.standard_normal((2, 4, 3)), np.array([0, 2])
    _, _, _, grads = loss_and_gradient(net, x, labels, weighting=Weighting("sum"))
    total = {key: 0 for key in grads}
    for t in range(4):  # the loss of frame t alone, sent back by itself, scaled by g_t afterwards
        scores, cache = net.forward(x)
        _, d = softmax_loss(scores[:, t], labels)
        dscores = np.zeros_like(scores)
        dscores[:, t] = d
        for key, g in net.backward(dscores, cache)[1].items():
            total[key] = total[key] + (t + 1) / 4 * g
    for key, g in grads.items():
        np.testing.assert_allclose(g, total[key], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make, count", [(pooled, 5), (recurrent, 5 * 4)])
def test_a_rate_times_n_with_the_mean_is_the_rate_with_the_sum(make, count, rng):
    x, labels = rng.standard_normal((5, 4, 3)), rng.integers(0, 3, 5)
    after = []
    for loss, lr in (("sum", 0.01), ("mean", 0.01 * count)):
        net = make().convert(lambda a: a.astype(np.float64))
        opt = SGD(net.params, lr, momentum=0, weight_decay=0)
        for _ in range(3):
            opt.step(loss_and_gradient(net, x, labels, np.random.default_rng(1), Weighting(loss))[3])
        after.append(net.params)
    for key in after[0]:
        np.testing.assert_allclose(after[0][key], after[1][key], rtol=1e-9, atol=1e-12)


def test_the_logged_loss_of_a_guess_is_ln_k_whatever_the_options(tmp_path):
    for n, (make, options) in enumerate([(pooled, {}), (recurrent, {"loss": "sum"}), (recurrent, {"gain": "last"})]):
        net = make()
        net.params["scores/W"][:] = 0
        quiet(net, Clips(), Settings(epochs=1, batch=10, lr=1e-9, **options), folder=tmp_path / str(n))
        first = read_log(tmp_path / str(n) / "log.jsonl")[0]
        assert first["loss"] == pytest.approx(math.log(3), rel=1e-5)


# Frozen parts


def test_a_frozen_tower_is_neither_changed_nor_sent_back_through(tmp_path, monkeypatch):
    net = pooled()
    before = bits(net.params)

    def never(*_):
        raise AssertionError("backward of a frozen layer")

    monkeypatch.setattr(net.layers["tower"], "backward", never)
    quiet(net, Clips(), Settings(epochs=1, batch=4, groups={"tower/": 0}), folder=tmp_path)
    after = bits(net.params)
    assert all((after[key] == before[key]) == key.startswith("tower/") for key in before)
    checkpoint = load(tmp_path / "checkpoint.npz")
    assert set(checkpoint.params) == set(before) and set(checkpoint.velocity) == {"scores/W", "scores/b"}


def test_freezing_cuts_after_the_last_frozen_layer_and_gives_the_same_gradient(rng):
    net = pooled()
    x, labels = rng.standard_normal((3, 4, 3)).astype(np.float32), np.array([0, 1, 2])
    frozen, rest = split_frozen(net, {"tower/": 0})
    assert list(frozen.layers) == ["tower"] and list(rest.layers) == ["pool", "drop", "scores"]
    whole = loss_and_gradient(net, x, labels, np.random.default_rng(1))
    part = loss_and_gradient(rest, frozen.predict(x), labels, np.random.default_rng(1))
    assert whole[0] == part[0] and all(part[3][key].tobytes() == whole[3][key].tobytes() for key in rest.params)
    assert split_frozen(net, {})[0] is None
    assert split_frozen(net, {"tower/": 0.1})[0] is None
    assert split_frozen(net, {"scores/": 0}) == (None, net)  # frozen at the end: nothing to cut
    with pytest.raises(ValueError, match="nothing to train"):
        split_frozen(net, {"": 0})


def test_a_clip_without_frames_has_no_gain():
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        gain(0)


def test_weights_of_short_clips_and_of_parts():
    for mode in ("linear", "ones", "last"):
        assert gain(1, mode).tolist() == [1]
    assert gain(3, "last").tolist() == [0, 0, 1] and Weighting() == Weighting("mean", "linear", 1.0)
    assert Weighting(share=0.5).of((2, 7)).tolist() == [0.25, 0.25]
    assert Weighting("sum", "ones", 0.5).of((1, 2, 7)).tolist() == [[0.5, 0.5]]
    for shape in ((2,), (2, 3, 4, 5)):
        with pytest.raises(ValueError, match=rf"scores must have shape \(N, K\) or \(N, T, K\), got \({shape[0]},"):
            Weighting().of(shape)


def test_layers_between_frozen_ones_are_run_with_them(rng):
    layers = dict(a=Linear(3, 3, rng), relu=ReLU(), b=Linear(3, 3, rng), last=ReLU(), c=Linear(3, 3, rng))
    for groups, cut in (({"a/": 0}, 1), ({"a/": 0, "b/": 0}, 3), ({"b/": 0}, 0), ({"a/W": 0}, 0), ({"a/": 1e-9}, 0)):
        frozen, rest = split_frozen(Sequential(**layers), groups)
        assert list(frozen.layers if frozen else ()) == list(layers)[:cut] and list(rest.layers) == list(layers)[cut:]
    assert split_frozen(layers["a"], {"W": 0}) == (None, layers["a"])  # no chain: there is nothing to cut


def test_losses_of_auxiliary_heads_add_to_that_of_the_clip(rng):
    """Two heads that read each of three frames: each has 1/3 of the clip's weight, or its frame's, times 0.5."""
    labels, told = np.array([1, 0]), []
    auxiliary = rng.standard_normal((2, 3, 2, 4))

    def backward(net, dscores, cache):
        told.append(dscores)
        return "gradients"

    for scores, weights in ((rng.standard_normal((2, 4)), np.full((2, 3), 0.5 / 3)),
                            (rng.standard_normal((2, 3, 4)), np.tile([1 / 3, 2 / 3, 1], (2, 1)) / 6)):  # fmt: skip
        net = SimpleNamespace(
            weight=0.5, params={"W": np.zeros(1)}, forward=lambda x, rng, s=scores: ((s, auxiliary), 0)
        )
        value, given, weight, grads = loss_and_gradient(net, np.zeros(1), labels, backward=backward)
        frames = np.repeat(0.5 * weights[..., None], 2, axis=2)
        clip, dclip = softmax_loss(scores, labels, Weighting().of(scores.shape))
        heads, dheads = softmax_loss(auxiliary, labels, frames)
        assert value == pytest.approx(clip + heads) and given is scores and grads == "gradients"
        np.testing.assert_allclose(told[-1][0], dclip)
        np.testing.assert_allclose(told[-1][1], dheads)
        assert weight.sum() == pytest.approx(Weighting().of(scores.shape).sum() + frames.sum())
        assert weight.size == Weighting().of(scores.shape).size + 12


def test_weights_are_copied_to_a_gpu_once(monkeypatch):
    """To the device of the scores, in their dtype; the next step finds them there."""
    copied, devices = [], []
    cupy = SimpleNamespace(
        asarray=lambda a, dtype: copied.append((a.tolist(), dtype)) or len(copied),
        cuda=SimpleNamespace(Device=lambda number: devices.append(number) or nullcontext()),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    on_gpu = type("ndarray", (), {"__module__": "cupy", "device": SimpleNamespace(id=3), "dtype": np.dtype("f4")})
    scores, weighting = on_gpu(), Weighting("sum", "ones", share=0.123)
    scores.shape = (2, 4)
    assert weighting.like(scores) == weighting.like(scores) == 1 and copied == [([0.123] * 2, "f")] and devices == [3]
    scores.shape = (1, 4)
    assert weighting.like(scores) == 2 and copied[1][0] == [0.123]
    np.testing.assert_array_equal(weighting.like(np.zeros((2, 4))), [0.123] * 2)
