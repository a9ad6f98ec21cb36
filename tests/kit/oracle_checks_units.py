"""Linear, ReLU, dropout and the loss held against the oracles; see oracle_table.py."""

import itertools

import numpy as np
import oracles
import pytest
from agreement import agrees, normal
from contract import assert_close, upstream
from layer_cases import spaced

from snippets.layers.core.base import Layer


def expects(module):
    """A layer refuses integers, another precision than its parameters', and other axes than it knows."""
    layer = module.Layer(W=np.zeros((3, 4), np.float32))
    layer.expect(np.zeros((2, 3), np.float32), ndim=2, last=3)
    for x, message in [
        (np.zeros((2, 3), np.uint8), "uint8"),
        ([[1.0, 2.0, 3.0]], "list"),
        (np.zeros((2, 3)), "float64.*W.*float32"),
    ]:
        with pytest.raises(TypeError, match=message):
            layer.expect(x, ndim=2, last=3)
    with pytest.raises(TypeError, match="int64"):
        module.Layer().expect(np.zeros((2, 3), int))
    for shape, message in [((2, 3, 3), r"\(2, 3, 3\).*2 axes"), ((2, 4), r"\(2, 4\).*3 on the last")]:
        with pytest.raises(ValueError, match=message):
            layer.expect(np.zeros(shape, np.float32), ndim=2, last=3)


def linear(module):
    """Vectors, sequences and maps: only the last axis is mixed."""
    for rows in [(3,), (2, 4), (2, 3, 2)]:
        x, W, b = spaced((*rows, 5), 1), normal(5, 4), normal(4, seed=5)
        agrees(module.linear_forward, module.linear_backward, oracles.linear, [x, W, b], f"linear on {x.shape}")
    x = spaced((2, 3, 4, 5), 1)
    y, cache = module.Flatten().forward(x)
    wanted = np.array([[x[n, i, j, c] for i in range(3) for j in range(4) for c in range(5)] for n in range(2)])
    assert_close(y, wanted, "Flatten", rtol=0)
    assert_close(module.Flatten().backward(y, cache)[0], x, "Flatten's dx", rtol=0)


def standardise(module):
    """(x - m) / s for each feature, whatever stands in front; new, it changes nothing."""
    m, s = normal(3, seed=5), 0.5 + abs(normal(3, seed=6))
    for rows in [(4,), (2, 4), (2, 2, 2, 2)]:
        arrays = [spaced((*rows, 3), 1), m, s]
        agrees(
            module.standardise_forward, module.standardise_backward,
            lambda x, m, s: np.stack([(x[..., d] - m[d]) / s[d] for d in range(3)], axis=-1),
            arrays, f"standardise {rows}",
        )  # fmt: skip
    x = spaced((2, 3), 1).astype(np.float32)
    assert_close(module.Standardise(3).forward(x)[0], x, "new", rtol=0)


def as_map(module):
    """The features of a frame become the channels of a map of one pixel, and nothing else moves."""
    layer, x = module.AsMap(), spaced((2, 3, 4), 1)
    y, cache = layer.forward(x)
    assert y.shape == (2, 3, 1, 1, 4) and all((y[n, t, 0, 0] == x[n, t]).all() for n in range(2) for t in range(3))
    assert_close(layer.backward(y, cache)[0], x, "dx", rtol=0)


def relu(module):
    """max(x, 0), and no gradient where x is 0."""
    x = spaced((3, 4, 5), 1)
    x[0, 1, 2] = x[2, 3, 4] = 0.0
    y, cache = module.relu_forward(x)
    dy = upstream(y)
    dx = module.relu_backward(dy, cache)
    for place in np.ndindex(x.shape):
        assert y[place] == max(x[place], 0.0), f"y{place} is {y[place]} for x {x[place]}"
        assert dx[place] == (dy[place] if x[place] > 0 else 0.0), (
            f"dx{place} is {dx[place]} for x {x[place]}, dy {dy[place]}"
        )


def branches_that_pass(module):
    """Branches whose dx is the very array they were given: the gradients add up, and dy stays the caller's."""

    class Same(Layer):
        def forward(self, x, rng=None):
            return x, None

        def backward(self, dy, cache):
            return dy, {}

    x = spaced((2, 3), 1)
    y, cache = module.Branches(a=Same(), b=Same(), c=Same()).forward(x)
    dy = upstream(y)
    kept = dy.copy()
    dx, _ = module.Branches(a=Same(), b=Same(), c=Same()).backward(dy, cache)
    assert_close(dx, kept.reshape(2, 3, 3).sum(axis=1), "dx of three branches", rtol=1e-12)
    assert_close(dy, kept, "dy, which is the caller's", rtol=0)


def bias_and_relu(module):
    """y + b, under ReLU or not; dy where y > 0, and its sum over all pixels; in blocks of one row and in one piece."""
    x, b, wide = spaced((3, 4, 5, 6), 1), np.linspace(-0.5, 0.5, 6), np.empty((3, 4, 5, 8))
    wide[..., 1:7] = upstream(x)
    dy, whole = wide[..., 1:7], module.BLOCK_ELEMENTS  # as from a slice of channels: not contiguous
    for relu, module.BLOCK_ELEMENTS in itertools.product((False, True), (1, whole)):
        wanted = np.maximum(x + b, 0) if relu else x + b
        out = np.empty_like(x)
        assert module.add_bias(x, b, relu, out) is out
        assert_close(out, wanted, "y + b", rtol=1e-12)
        y = x.copy()
        assert_close(module.add_bias(y, b, relu, out=y), wanted, "y + b in place", rtol=1e-12)
        y[0, 0, 0] = 0
        kept = dy.copy()
        through, db = module.add_bias_backward(dy, y if relu else None)
        expected = np.where(y > 0, dy, 0) if relu else dy
        assert_close(through, expected, "dy through the ReLU", rtol=0)
        assert_close(db, expected.reshape(-1, 6).sum(axis=0), "db", rtol=1e-12)
        assert_close(dy, kept, "dy, which is the caller's", rtol=0)
    module.BLOCK_ELEMENTS = whole


def dropout(module):
    """60 % dropped, the others divided by 0.4, each by its own draw; the same mask backwards; nothing at inference."""
    x = spaced((40, 50, 10), 1)
    y, cache = module.dropout_forward(x, 0.6, np.random.default_rng(0))
    kept = y != 0
    assert_close(y[kept], x[kept] / 0.4, "kept entries", rtol=1e-12)
    sigma = (0.6 * 0.4 / x.size) ** 0.5
    assert abs(kept.mean() - 0.4) < 5 * sigma, f"{kept.mean():.4f} of the entries are kept, expected 0.4"
    for axis in range(3):  # a draw shared along an axis would give shares of 0 and 1, whose deviation is 0.49
        assert kept.mean(axis=axis).std() < 0.25, f"entries along axis {axis} share their draw"
    dy = upstream(y)
    assert_close(module.dropout_backward(dy, cache), np.where(kept, dy / 0.4, 0), "dx", rtol=1e-12)
    again, other = (module.dropout_forward(x, 0.6, np.random.default_rng(seed))[0] for seed in (0, 1))
    assert_close(again, y, "the same draw again", rtol=0)
    assert (other != y).any(), "another generator gives the same mask"
    y, cache = module.dropout_forward(x, 0.6, None)
    assert_close(y, x, "dropout at inference", rtol=0)
    assert_close(module.dropout_backward(dy, cache), dy, "dx at inference", rtol=0)
    for p in (-0.1, 1.0, 1.5):
        with pytest.raises(ValueError, match=str(p)):
            module.Dropout(p)


def dropout_per_clip(module):
    """All frames of a clip have one mask, that of its number; a chunk of frames has those of its frames' clips."""
    x = spaced((5, 4, 30), 1)
    masks, _ = module.dropout_forward(np.ones((5, 30)), 0.6, np.random.default_rng(0))
    wanted = x * masks[:, None]
    assert len({mask.tobytes() for mask in masks}) == 5, "clips share their masks"
    y, cache = module.Dropout(0.6, per_clip=True).forward(x, np.random.default_rng(0))
    assert_close(y, wanted, "y", rtol=1e-12)
    assert_close(y.max(axis=1), np.where(masks > 0, x.max(axis=1) / 0.4, 0), "maximum", rtol=1e-12)
    dy = upstream(y)
    assert_close(module.dropout_backward(dy, cache), dy * masks[:, None], "dx", rtol=1e-12)
    frames, layer = x.reshape(20, 30), module.Dropout(0.6, per_clip=True)
    for first, last in ((0, 20), (3, 13), (7, 8), (12, 20)):
        own, common = np.random.default_rng(1), np.random.default_rng(0)
        y, cache = layer.forward(frames[first:last], module.FrameRng(own, common, first, 4))
        assert_close(y, wanted.reshape(20, 30)[first:last], f"frames {first} to {last}", rtol=1e-12)
        dy = upstream(y)
        assert_close(module.dropout_backward(dy, cache) * frames[first:last], dy * y, "dx of frames", rtol=1e-12)
    y, _ = module.Dropout(0.6).forward(frames[3:13], module.FrameRng(np.random.default_rng(0), common, 3, 4))
    assert_close(y, module.dropout_forward(frames[3:13], 0.6, np.random.default_rng(0))[0], "masks per frame", rtol=0)


def softmax_cases():
    """(name, scores, labels, weight, the same targets and weights row by row)."""
    rng, eye = np.random.default_rng(8), np.eye(5)
    still, video = 3 * rng.normal(size=(4, 5)), 3 * rng.normal(size=(2, 3, 5))
    one, frames, clips = np.array([0, 4, 2, 4]), np.array([[1, 0, 4], [3, 3, 2]]), np.array([4, 1])
    several = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [0, 1, 0, 0, 0]])
    share = several / several.sum(axis=1, keepdims=True)
    g = np.arange(1, 4) / 3
    huge = np.array([[1e4, -1e4, 0, 9999, 1e4], [-1e4, -1e4, -1e4, -1e4, 1e4], [0, 1e4, 2, 3, 4], [1e4] * 5])
    return [
        ("one label", still, one, 1.0, eye[one], np.ones(4)),
        ("weights", still, one, np.array([0.5, 2, 0, 1.5]), eye[one], [0.5, 2, 0, 1.5]),
        ("mean", still, one, 0.25, eye[one], np.full(4, 0.25)),
        ("several labels", still, several.astype(bool), 1.0, share, np.ones(4)),
        ("several labels as floats", still, several.astype(float), 0.5, share, np.full(4, 0.5)),
        ("probabilities", still, share, 1.0, share, np.ones(4)),
        ("a label per frame", video, frames, g, eye[frames.ravel()], np.tile(g, 2)),
        ("a label per clip", video, clips, g, eye[np.repeat(clips, 3)], np.tile(g, 2)),
        ("several labels per clip", video, several[:2] > 0, g, np.repeat(share[:2], 3, axis=0), np.tile(g, 2)),
        ("huge scores", huge, one, 1.0, eye[one], np.ones(4)),
    ]


def softmax_loss(module):
    """Weighted sums over samples and frames, stable at scores of 1e4; the target is uniform over the true labels."""
    for name, scores, labels, weight, targets, weights in softmax_cases():
        loss, dscores = module.softmax_loss(scores, labels, weight)
        wanted, slopes = oracles.softmax_loss(scores.reshape(-1, 5), targets, weights)
        assert np.shape(loss) == (), f"{name}: the loss has shape {np.shape(loss)}, expected one number"
        assert abs(loss - wanted) <= 1e-10 * max(abs(wanted), 1), f"{name}: loss {loss:.12g}, expected {wanted:.12g}"
        assert_close(dscores, slopes.reshape(scores.shape), f"{name}: dscores", rtol=1e-10)
        assert module.softmax_loss(scores.astype(np.float32), labels, weight)[1].dtype == np.float32
    scores = softmax_cases()[0][1]
    impossible_classes(module, scores)
    shares = module.softmax(scores)
    assert_close(shares.sum(axis=-1), np.ones(4), "sums of softmax", rtol=1e-12)
    assert_close(shares[1] / shares[1, 0], np.exp(scores[1] - scores[1, 0]), "ratios of softmax", rtol=1e-10)


def impossible_classes(module, scores):
    """A class of score -inf is as good as absent; as the label, it has an infinite loss and a finite gradient."""
    labels, weight, dense = np.array([0, 4, 2, 4]), np.array([0.5, 2, 0, 1.5]), np.eye(5)[[0, 4, 2, 4]]
    without = np.insert(scores[:, 1:], 0, -np.inf, axis=1)  # class 0 cannot be
    rest, slopes = module.softmax_loss(scores[1:, 1:], labels[1:] - 1, weight[1:])
    for targets in (labels, dense):
        loss, dscores = module.softmax_loss(without[1:], targets[1:], weight[1:])
        assert_close(loss, rest, "the loss beside a class of score -inf", rtol=1e-12)
        assert_close(dscores, np.insert(slopes, 0, 0, axis=1), "dscores beside a class of score -inf", rtol=1e-12)
        loss, dscores = module.softmax_loss(without, targets, weight)
        assert loss == np.inf, f"the label's score is -inf: the loss is {loss}, expected inf"
        assert_close(dscores[0, 0], -0.5, "its gradient", rtol=1e-12)
        assert np.isfinite(dscores).all(), "a label of score -inf: its gradient is not finite"
        assert module.softmax_loss(without, targets, weight * [0, 1, 1, 1])[0] < np.inf, "it counts at weight 0"
    with np.errstate(invalid="ignore"):
        for value in (np.nan, np.inf):
            broken = np.where(np.eye(4, 5, 1), value, scores)
            assert np.isnan(module.softmax_loss(broken, labels, 1.0)[0]), f"a score of {value} leaves no trace"


def softmax_refuses(module):
    """Labels outside 0..K-1 would silently take another class's score; a row without a label has no target."""
    scores = np.zeros((2, 5))
    for bad in (5, -1):
        with pytest.raises(ValueError, match=str(bad)):
            module.softmax_loss(scores, np.array([0, bad]))
    with pytest.raises(ValueError, match="without any"):
        module.softmax_loss(scores, np.eye(5)[:2] * [[1], [0]])
    for shape, kind, taken in [
        ((2,), int, True), ((2, 3), int, True), ((2, 5), float, True), ((2, 3, 5), float, True),
        ((2, 3, 5), int, False), ((2, 5), int, False), ((3,), int, False), ((2, 2), int, False),
        ((5,), float, False), ((3, 5), float, False), ((2, 4), float, False), ((2, 2, 5), float, False),
        ((2, 3, 5, 1), float, False), ((2, 3, 5, 5), float, False), ((), int, False), ((), float, False),
    ]:  # fmt: skip
        try:
            module.softmax_loss(np.zeros((2, 3, 5)), np.ones(shape, kind))
            assert taken, (shape, kind)
        except ValueError as error:
            assert not taken and f"labels have shape {shape}" in str(error), (shape, kind)


def checker(module):
    """check_gradient and check_layer find what they are for: a lost gradient, one per cent in one entry, NaN."""
    x = spaced((4, 5), 1)
    kinked = np.where(np.arange(20).reshape(4, 5) == 7, 0.0, x)
    slope = np.where(kinked > 0, 2.0, 0.0)

    def ramp(x):
        return float(2 * np.maximum(x, 0).sum())

    assert module.check_gradient(ramp, kinked, slope) < 1e-8, "a right gradient with one entry on a kink"
    assert module.check_gradient(lambda x: float(np.exp(x).sum()), x, np.exp(x)) < 1e-8, "a right gradient"
    assert module.check_gradient(lambda x: float((x**3).sum()), x, 3 * x**2, directions=4) < 1e-8, "along directions"
    one_per_cent = np.where(np.arange(20).reshape(4, 5) == 19, 1.01, 1.0)
    for what, dx in [
        ("one per cent", np.exp(x) * one_per_cent),
        ("zero", 0 * x),
        ("NaN", x * np.nan),
        ("minus", -np.exp(x)),
    ]:
        with pytest.raises(module.GradientError):
            module.check_gradient(lambda x: float(np.exp(x).sum()), x, dx, name=what)
    with pytest.raises(module.GradientError, match="kink"):
        module.check_gradient(ramp, np.zeros((4, 5)), np.zeros((4, 5)))

    class Mirror(Layer):
        def forward(self, x, rng=None):
            return np.stack([x, -x], axis=-1), None  # sums to exactly 0 under an upstream gradient of ones

        def backward(self, dy, cache):
            return np.zeros(x.shape), {}

    with pytest.raises(module.GradientError):
        module.check_layer(Mirror(), x)


CHECKS = {
    "snippets.layers.core.base": [expects],
    "snippets.layers.core.branches": [branches_that_pass],
    "snippets.layers.linear": [linear, as_map],
    "snippets.layers.features.standardise": [standardise],
    "snippets.layers.relu": [relu, bias_and_relu],
    "snippets.layers.dropout": [dropout, dropout_per_clip],
    "snippets.layers.core.check": [checker],
    "snippets.layers.loss": [softmax_loss, softmax_refuses],
}
