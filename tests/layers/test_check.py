"""The gradient checker itself: it finds small errors, says where, lets right gradients pass and steps around kinks."""

import re

import numpy as np
import pytest

from snippets.layers.core.check import GradientError, check_gradient, check_layer
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Linear
from snippets.layers.loss import softmax
from snippets.layers.relu import ReLU
from snippets.layers.temporal import TemporalMaxPool


def wave(x):
    """A smooth function that mixes neighbours."""
    return float(np.sum(np.sin(x) * x + 0.3 * x[..., :1] * x))


def wave_gradient(x):
    """Its gradient by hand."""
    dx = np.cos(x) * x + np.sin(x) + 0.3 * x[..., :1]
    dx[..., 0] += 0.3 * x.sum(axis=-1)
    return dx


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 4))


def spoiled(dx, index, factor):
    """dx with one entry multiplied by factor."""
    dx = dx.copy()
    dx[index] *= factor
    return dx


@pytest.mark.parametrize("directions", [None, 3])
def test_a_right_gradient_passes_with_digits_to_spare(x, directions):
    before = x.copy()
    assert check_gradient(wave, x, wave_gradient(x), directions=directions) < 1e-8
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("index", [(0, 0), (1, 2), (2, 3)])
def test_one_percent_in_one_entry_is_found_and_named(x, index):
    dx = wave_gradient(x)
    with pytest.raises(GradientError) as caught:
        check_gradient(wave, x, spoiled(dx, index, 1.01), name="W_co")
    where, numbers = str(caught.value).split(": ", 1)
    assert f"W_co[{index[0]}, {index[1]}]" in where
    wrong, right = (float(number) for number in re.findall(r"-?\d+\.\d+", numbers)[:2])
    assert (wrong, right) == (pytest.approx(1.01 * dx[index]), pytest.approx(dx[index]))


def test_one_percent_in_one_entry_is_found_along_random_directions(x):
    with pytest.raises(GradientError, match="direction"):
        check_gradient(wave, x, spoiled(wave_gradient(x), (1, 2), 1.01), directions=5)


def test_the_error_is_an_assertion(x):
    with pytest.raises(AssertionError):
        check_gradient(wave, x, -wave_gradient(x))


@pytest.mark.parametrize("factor", [0.0, np.nan, np.inf, 2.0])
def test_zero_nan_infinite_and_doubled_gradients_are_found(x, factor):
    with np.errstate(all="ignore"), pytest.raises(GradientError):
        check_gradient(wave, x, wave_gradient(x) * factor)
    with np.errstate(all="ignore"), pytest.raises(GradientError):
        check_gradient(wave, x, spoiled(wave_gradient(x), (2, 1), factor))


def test_a_forward_pass_that_gives_nan_is_found(x):
    with pytest.raises(GradientError):
        check_gradient(lambda x: float("nan"), x, np.zeros_like(x))


def test_a_function_that_ignores_x_has_gradient_zero(x):
    assert check_gradient(lambda x: 3.0, x, np.zeros_like(x)) == 0
    with pytest.raises(GradientError):
        check_gradient(lambda x: 3.0, x, np.full_like(x, 1e-3))


@pytest.mark.parametrize("shift", [0.0, 1e-5, -3e-5])
def test_a_kink_is_left_out(rng, shift):
    """ReLU at zero or next to it, and two frames that share a maximum: any one-sided slope may stand there."""
    x = rng.permutation(np.arange(40.0) - 20.5).reshape(4, 10)
    x[1, 2] = shift
    assert check_layer(ReLU(), x)["x"] < 1e-8
    x = rng.normal(size=(2, 4, 20))
    x[0, 1, 3] = 5.0
    x[0, 2, 3] = 5.0 + shift
    assert check_layer(TemporalMaxPool(), x)["x"] < 1e-8


def test_a_wrong_gradient_beside_a_kink_is_found(rng):
    x = rng.permutation(np.arange(40.0) - 20.5).reshape(4, 10)
    x[1, 2], x[1, 3] = 0.0, 4.5
    dx = np.where(x > 0, 2.0, 0.0)

    def f(x):
        return float(2 * np.maximum(x, 0).sum())

    assert check_gradient(f, x, dx) < 1e-8
    with pytest.raises(GradientError, match=r"x\[1, 3\]"):
        check_gradient(f, x, spoiled(dx, (1, 3), 1.01))


def test_an_input_full_of_kinks_is_refused():
    """Where most entries tie there is nothing to check, and saying "passed" would be a lie."""
    with pytest.raises(GradientError, match="kink"):
        check_layer(ReLU(), np.zeros((4, 5)))


def test_wrong_shapes_and_dtypes_are_reported(x):
    dx = wave_gradient(x)
    with pytest.raises(GradientError, match=r"x .*\(4, 3\).*\(3, 4\)"):
        check_gradient(wave, x, dx.T)
    with pytest.raises(TypeError, match="float32"):
        check_gradient(wave, x.astype(np.float32), dx)
    with pytest.raises(TypeError, match="float32"):
        check_gradient(wave, x, dx.astype(np.float32))


class WrongLinear(Linear):
    """A Linear whose dW is one per cent too large, or whose gradients lack a name."""

    wrong = ""

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        if self.wrong == "scaled":
            grads["W"] = 1.01 * grads["W"]
        if self.wrong == "missing":
            del grads["b"]
        return dx, grads


def test_check_layer_names_the_wrong_parameter(rng, x):
    layer = WrongLinear(4, 3, rng).convert(lambda a: a.astype(np.float64))
    assert set(check_layer(layer, x)) == {"x", "W", "b"}
    kept = layer.params["W"].copy()
    layer.wrong = "scaled"
    with pytest.raises(GradientError, match=r"W\[0, 0\]"):
        check_layer(layer, x)
    np.testing.assert_array_equal(layer.params["W"], kept)
    layer.wrong = "missing"
    with pytest.raises(GradientError, match="'b'"):
        check_layer(layer, x)


def test_check_layer_uses_a_random_upstream_gradient(rng, x):
    """Under ones, a layer whose outputs always sum to the same passes with gradient zero."""

    class Shares(ReLU):
        def forward(self, x, rng=None):
            p = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
            return p, p

        def backward(self, dy, cache):
            return np.zeros_like(dy), {}

    with pytest.raises(GradientError):
        check_layer(Shares(), x)


def test_check_layer_holds_the_dropout_mask_still(rng):
    x = rng.normal(size=(5, 6))
    assert check_layer(Dropout(0.5), x, seed=4)["x"] < 1e-8
    quiet = Dropout(0.5)
    quiet.backward = lambda dy, cache: (dy, {})  # as if nothing had been dropped
    with pytest.raises(GradientError):
        check_layer(quiet, x, seed=4)


def test_a_gradient_that_only_rounding_tells_from_zero_passes():
    x = np.random.default_rng(0).normal(size=(4, 5))
    check_gradient(lambda x: float(softmax(x).sum()), x, np.zeros_like(x))  # rows sum to one, whatever x


def test_a_check_with_nothing_but_kinks_fails():
    with pytest.raises(GradientError, match="kink"):
        check_gradient(lambda x: float(np.maximum(x, 0).sum()), np.zeros(1), np.array([77.0]))
