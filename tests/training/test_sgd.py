"""The optimiser against closed forms and against the other convention."""

import numpy as np
import pytest

from snippets.training.sgd import SGD, exponential, gradient_norm


def frozen_copy(grads):
    """Gradients that raise when they are written to."""
    for g in grads.values():
        g.flags.writeable = False
    return grads


def test_momentum_and_decay_follow_the_closed_form_on_a_quadratic(rng):
    # L = a w^2 / 2, so one update is the linear map of (w, v): v' = m v - lr (a + wd) w, w' = w + v'
    a, lr, m, wd, w0, n = 1.7, 0.05, 0.9, 0.3, rng.standard_normal(5), 25
    params = {"W": w0.copy()}
    opt = SGD(params, lr, m, wd)
    for _ in range(n):
        opt.step(frozen_copy({"W": a * params["W"]}))
    k = lr * (a + wd)
    power = np.linalg.matrix_power(np.array([[1 - k, m], [-k, m]]), n)
    np.testing.assert_allclose(params["W"], power[0, 0] * w0, rtol=1e-12)
    np.testing.assert_allclose(opt.velocity["W"], power[1, 0] * w0, rtol=1e-12)
    assert opt.steps == n


def test_constant_gradient_sums_to_a_geometric_series():
    lr, m, n = 0.1, 0.8, 7
    params = {"W": np.zeros(1)}
    opt = SGD(params, lr, m, weight_decay=0)
    for _ in range(n):
        opt.step({"W": np.ones(1)})
    np.testing.assert_allclose(params["W"], -lr / (1 - m) * (n - m * (1 - m**n) / (1 - m)), rtol=1e-12)


@pytest.mark.parametrize("changes", [False, True])
def test_agrees_with_the_other_convention_only_while_lr_is_constant(changes):
    rates = [0.1, 0.1, 0.01, 0.01] if changes else [0.1] * 4
    w, u = 1.0, 0.0
    for lr in rates:  # PyTorch: the rate outside the velocity
        u = 0.9 * u + (2 * w + 0.5 * w)
        w -= lr * u
    params = {"W": np.ones(1)}
    opt = SGD(params, lambda step: rates[step], 0.9, 0.5)
    for _ in rates:
        opt.step({"W": 2 * params["W"]})
    assert np.isclose(params["W"][0], w, rtol=1e-12) != changes


def test_biases_are_decayed_only_on_request():
    def after(**options):
        params = {"fc/W": np.ones(2), "fc/b": np.ones(2), "lstm/W_c": np.ones(2), "b": np.ones(2), "web": np.ones(2)}
        SGD(params, 0.1, 0, 0.5, **options).step({key: np.zeros(2) for key in params})
        return {key: float(w[0]) for key, w in params.items()}

    assert after() == {"fc/W": 0.95, "fc/b": 1, "lstm/W_c": 0.95, "b": 1, "web": 0.95}
    assert set(after(decay_biases=True).values()) == {0.95}


def test_groups_scale_the_rate_and_the_longest_prefix_wins(rng):
    names = ("tower/conv1/W", "tower/conv2/W", "head/W")
    params = {key: rng.standard_normal(3) for key in names}
    grads = {key: rng.standard_normal(3) for key in names}
    alone = {}
    for key, lr in zip(names, (0.02, 0.1, 0.2), strict=True):
        alone[key] = params[key].copy()
        one = SGD({key: alone[key]}, lr, 0.9, 0.01)
        one.step({key: grads[key]})
        one.step({key: grads[key]})
    opt = SGD(params, 0.2, 0.9, 0.01, groups={"tower/conv1/": 0.1, "tower/": 0.5})
    opt.step(grads)
    opt.step(grads)
    for key in names:
        np.testing.assert_allclose(params[key], alone[key], rtol=1e-12)


def test_a_frozen_group_keeps_every_bit_and_has_no_velocity(rng):
    params = {"tower/W": rng.standard_normal(4), "head/W": rng.standard_normal(4)}
    before = params["tower/W"].copy()
    opt = SGD(params, 0.1, groups={"tower/": 0})
    opt.step({"head/W": np.ones(4)})  # a frozen parameter needs no gradient …
    opt.step({"head/W": np.ones(4), "tower/W": np.ones(4)})  # … and ignores one
    assert params["tower/W"].tobytes() == before.tobytes()
    assert set(opt.velocity) == {"head/W"}


def test_clip_norm_is_over_all_trained_parameters_together():
    grads = {"A": np.array([3.0, 0.0]), "B": np.array([[0.0], [4.0]]), "tower": np.array([100.0])}
    assert gradient_norm({"A": grads["A"], "B": grads["B"]}) == 5

    def after(clip_norm):
        params = {"A": np.ones(2), "B": np.ones((2, 1)), "tower": np.ones(1)}
        norm = SGD(params, 0.1, 0, 0.5, clip_norm, groups={"tower": 0}).step(grads)
        assert norm == 5  # reported before clipping
        return params

    free, loose, tight = after(None), after(5.0), after(1.0)
    np.testing.assert_allclose(free["A"], [1 - 0.3 - 0.05, 1 - 0.05])
    assert loose["A"].tobytes() == free["A"].tobytes()
    np.testing.assert_allclose(tight["A"], [1 - 0.1 * 3 / 5 - 0.05, 1 - 0.05])  # decay is not clipped
    np.testing.assert_allclose(tight["B"], [[1 - 0.05], [1 - 0.1 * 4 / 5 - 0.05]])


def test_updates_in_place_and_keeps_float32(rng):
    w = rng.standard_normal((3, 2)).astype(np.float32)
    opt = SGD({"W": w}, np.float64(0.1), clip_norm=0.5)
    opt.step(frozen_copy({"W": np.ones((3, 2), np.float32)}))
    assert opt.params["W"] is w and w.dtype == opt.velocity["W"].dtype == np.float32


def test_norm_of_many_float32_values_is_summed_in_float64_over_arrays():
    grads = {str(i): np.full(1, 1e3 if i == 0 else 1e-2, np.float32) for i in range(1000)}
    np.testing.assert_allclose(gradient_norm(grads), np.sqrt(1e6 + 999 * 1e-4), rtol=1e-9)


def test_exponential_decay_is_a_function_of_the_updates_done():
    schedule = exponential(0.1, 0.5, every=10)
    np.testing.assert_allclose(
        [schedule(0), schedule(5), schedule(10), schedule(20)], [0.1, 0.1 * 0.5**0.5, 0.05, 0.025]
    )
    params = {"W": np.zeros(1)}
    opt = SGD(params, exponential(0.1, 0.5, every=1), 0, 0)
    for lr in (0.1, 0.05, 0.025):
        assert opt.lr == lr
        opt.step({"W": np.ones(1)})
    np.testing.assert_allclose(params["W"], -0.175)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"momentum": 1.0}, "momentum is 1.0, expected .*at least 0 and less than 1"),
        ({"weight_decay": -1}, "weight_decay is -1, expected .*at least 0"),
        ({"clip_norm": 0}, "clip_norm is 0, expected .*more than 0"),
        ({"groups": {"towr/": 0}}, "'towr/' fits no parameter; the keys begin with tower/, head"),
        ({"groups": {"tower/": -1}}, "factor of group 'tower/' is -1, expected .*at least 0"),
    ],
)
def test_bad_options_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        SGD({"tower/W": np.ones(1), "tower/b": np.ones(1), "head": np.ones(1)}, 0.1, **wrong)
    with pytest.raises(ValueError, match="exponential needs"):
        exponential(0.1, 1.5, 10)


def test_a_missing_or_misshapen_gradient_is_named_and_nothing_changes():
    params = {"A": np.ones(2), "B": np.ones(3)}
    opt = SGD(params, 0.1)
    with pytest.raises(ValueError, match=r"parameter B needs a gradient of shape \(3,\), got none"):
        opt.step({"A": np.ones(2)})
    with pytest.raises(ValueError, match=r"B needs .* got one of shape \(1,\)"):
        opt.step({"A": np.ones(2), "B": np.ones(1)})  # would broadcast
    assert (params["A"] == 1).all() and opt.steps == 0
