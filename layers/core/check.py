r"""Gradient checks: does the backward pass compute the derivative of the forward pass?

For a scalar function f and a small h, Taylor's series gives

    D(h) = (f(x + h) - f(x - h)) / 2h = f'(x) + O(h^2)        and        (4 D(h) - D(2h)) / 3 = f'(x) + O(h^4)

so two central differences make one of ten digits, in float64. Where they disagree, a ReLU or a max switches between
x - 2h and x + 2h: that entry is tried again with a smaller h, then left out as a kink.

A layer's output is no scalar, so it is checked through L = sum(r * y) with a random upstream gradient r. Never use
ones: a softmax whose backward returns zero would pass. For large arrays a few random directions u are checked instead
of every entry: d/dt f(x + t u) = sum(dx * u).
"""

import functools

import numpy as np

H = 1e-4


class GradientError(AssertionError):
    """The backward pass is not the derivative of the forward pass; the message says where and by how much."""


def _slope(f, x, u, here):
    """df(x + t u)/dt at t = 0 by two central differences; None at a kink. here: f(x)."""
    for step in (H, H / 30, H / 900):
        right, left, far_right, far_left = (f(x + t * step * u) for t in (1, -1, 2, -2))
        near, far = (right - left) / (2 * step), (far_right - far_left) / (4 * step)
        size = max(abs(near), abs(far))
        beside_a_kink = abs(near - far) > 1e-5 * size + 1e-7
        # exactly on a kink central differences agree, but the slopes right and left of it differ by as much at h as
        # at 2 h; on smooth ground that difference is h f'' and doubles
        bend, far_bend = abs(right - 2 * here + left) / step, abs(far_right - 2 * here + far_left) / (2 * step)
        on_a_kink = bend > 1e-6 * size + 1e-7 and far_bend < 1.5 * bend
        if not (beside_a_kink or on_a_kink):
            return (4 * near - far) / 3
    return None


def check_gradient(f, x, dx, name="x", rtol=1e-6, directions=None, seed=0):
    """Compare dx with numerical derivatives of f at x; returns the worst relative error.

    f: array like x -> float; x, dx: float64 arrays of one shape; directions: how many random directions to check, None
    for every entry. The error is relative to the larger number, or to the gradient's root mean square where that is
    larger. Raises GradientError for an error over rtol, and for kinks at more than a tenth of the entries.
    """
    x, dx = np.asarray(x), np.asarray(dx)
    if x.dtype != np.float64 or dx.dtype != np.float64:
        raise TypeError(f"{name} is {x.dtype} and its gradient {dx.dtype}, expected float64 for a numerical check")
    if dx.shape != x.shape:
        raise GradientError(f"gradient of {name} has shape {dx.shape}, expected {x.shape}")
    rng = np.random.default_rng(seed)
    scale = np.sqrt(np.mean(dx * dx)) if dx.size else 0.0
    trials = x.size if directions is None else directions
    worst, kinks, here = 0.0, 0, f(x)
    rounding = 1e-5 * (1 + abs(here))  # times rtol: what the last digits of f do to a difference over h
    for trial in range(trials):
        if directions is None:
            u = np.zeros_like(x)
            u.flat[trial] = 1.0
            where = f"{name}[{', '.join(map(str, np.unravel_index(trial, x.shape)))}]"
        else:
            u = rng.standard_normal(x.shape)
            u /= max(np.linalg.norm(u), 1e-300)
            where = f"{name} along random direction {trial}"
        numerical, analytic = _slope(f, x, u, here), float((dx * u).sum())
        if numerical is None:
            kinks += 1
            continue
        size = max(abs(numerical), abs(analytic), scale, rounding)
        error = abs(numerical - analytic) / size
        if not error <= rtol:  # also when NaN
            raise GradientError(
                f"gradient of {where}: backward gives {analytic:.10g}, differences of the forward pass give "
                f"{numerical:.10g}; relative error {error:.2g}, allowed {rtol:.2g}"
            )
        worst = max(worst, error)
    if kinks > max(trials // 10, 1) or 0 < kinks == trials:
        raise GradientError(f"{kinks} of {trials} derivatives of {name} lie at a kink; choose an input without ties")
    return worst


def check_layer(layer, x, seed=0, rtol=1e-6, directions=None, train=True):
    """Check dx and every parameter's gradient of a float64 layer at x; returns {name: worst relative error}.

    train: the forward pass gets a Generator of the same seed each time, so that dropout's mask stays the same. Raises
    GradientError.
    """

    def run(x):
        return layer.forward(x, np.random.default_rng(seed) if train else None)

    y, cache = run(x)
    upstream = np.random.default_rng(seed + 1).standard_normal(y.shape)
    dx, grads = layer.backward(upstream, cache)
    if set(grads) != set(layer.params):
        raise GradientError(f"backward returned gradients of {sorted(grads)}, expected {sorted(layer.params)}")

    def loss(x):
        return float((run(x)[0] * upstream).sum())

    def loss_at(value, param):
        kept = param.copy()
        param[...] = value
        result = loss(x)
        param[...] = kept
        return result

    errors = {} if dx is None else {"x": check_gradient(loss, x, dx, "x", rtol, directions, seed)}
    for name, param in layer.params.items():
        f = functools.partial(loss_at, param=param)
        errors[name] = check_gradient(f, param.copy(), grads[name], name, rtol, directions, seed)
    return errors
