"""Whether a layer agrees with its oracle: forward entry by entry, backward as the slope of the oracle."""

import numpy as np
from contract import assert_close, upstream


def agrees(forward, backward, oracle, arrays, what):
    """forward equals the oracle, and backward's gradients equal the oracle's slopes along random directions."""
    y, cache = forward(*arrays)
    assert_close(y, oracle(*arrays), f"{what}: y", rtol=1e-10)
    dy = upstream(y)
    gradients = backward(dy, cache)
    slopes_agree(
        lambda *a: (dy * oracle(*a)).sum(), arrays, gradients if isinstance(gradients, tuple) else [gradients], what
    )


def slopes_agree(loss, arrays, gradients, what, epsilon=1e-5):
    """<gradient, v> equals the central difference of loss along v, for two random v in each of the arrays."""
    rng = np.random.default_rng(9)
    for k, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        assert gradient.shape == array.shape, f"{what}: gradient {k} has shape {gradient.shape}, array {array.shape}"
        for _ in range(2):
            v = rng.normal(0, 1, array.shape)
            ends = [loss(*[a + s * epsilon * v if j == k else a for j, a in enumerate(arrays)]) for s in (1, -1)]
            wanted, got = (ends[0] - ends[1]) / (2 * epsilon), float((gradient * v).sum())
            scale = np.abs(gradient * v).sum() + abs(wanted) + 1e-12
            assert abs(got - wanted) <= 1e-6 * scale, (
                f"{what}: slope along argument {k} is {got:.12g}, oracle {wanted:.12g}"
            )


def normal(*shape, seed=4):
    """Random parameters of order one."""
    return np.random.default_rng(seed).normal(0, 1, shape)
