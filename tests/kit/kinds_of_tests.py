"""Seven kinds of tests that people hold layers against, to see which planted bugs each of them notices.

A kind is a function of a planted module: it raises what a failing test raises, or returns None for "passed". What is
not to be tried on a module (it has no layer, or no oracle) raises `NotApplicable`.
"""

import functools

import numpy as np
from contract import PROMISES, assert_close, draws, gradient, keeps_dtype, numeric_gradient, run
from layer_cases import CASES, Case, spaced
from oracle_table import CHECKS

from snippets.layers.core.base import Layer

STEP = 1e-2  # of the float32 gradient checks in Caffe's layer tests: GradientChecker(1e-2, 1e-3)
THRESHOLDS = (1e-3, 1e-2, 1e-1)  # theirs, and those that it is raised to where the right layer fails
RATES = (0.1, 1.0, 0.01, 0.3, 0.03, 0.003)  # of learning, tried in turn
STEPS = 200


class NotApplicable(Exception):
    """There is nothing in this module for this kind of test."""


class LossLayer(Layer):
    """softmax_loss as a layer: scores in, the loss of fixed labels and weights out; its cache is dscores."""

    def __init__(self, module):
        super().__init__()
        self.softmax_loss = module.softmax_loss

    def forward(self, x, rng=None):
        labels, weight = np.array([[1, 0, 3], [2, 2, 0]]), np.array([0.5, 2.0, 1.5])
        return self.softmax_loss(x, labels, weight.astype(x.dtype))

    def backward(self, dy, cache):
        return dy * cache, {}


LOSS = Case("softmax_loss", "snippets.layers.loss", LossLayer, (2, 3, 4))


@functools.cache
def cases_of(name):
    """The cases of a module's layers."""
    return [case for case in [*CASES, LOSS] if case.module == name]


def every_case(check):
    """A kind of test from a function of (case, module)."""

    @functools.wraps(check)
    def kind(module, name):
        if not cases_of(name):
            raise NotApplicable
        for case in cases_of(name):
            check(case, module)

    return kind


def numbers(case, module, dy):
    """dx and the parameters' gradients beside central differences of <dy, forward>: (name, analytic, numerical)."""
    layer, x = case.layer(module), case.input()
    _, dx, grads = run(layer, x, case, dy)

    def loss():
        return float((dy * layer.forward(x, draws(case))[0]).sum())

    yield "dx", dx, numeric_gradient(loss, x)
    for key, value in layer.params.items():
        yield f"d{key}", grads[key], numeric_gradient(loss, value)


@every_case
def gradient_check(case, module):
    """Central differences in float64 against a random upstream gradient, every entry, to 1e-6."""
    gradient(case, module)


@every_case
def with_ones_upstream(case, module):
    """The same with an upstream gradient of ones: the loss is the sum of the outputs."""
    y = case.layer(module).forward(case.input(), draws(case))[0]
    for key, analytic, numerical in numbers(case, module, np.ones_like(y)):
        assert_close(analytic, numerical, key, rtol=1e-6)


@every_case
def in_float32(case, module):
    """In float32 with the loss |y|^2 / 2 and step 1e-2, as in Caffe's tests, to the threshold that the layer needs."""
    worst, threshold = float32_error(case, module), float32_threshold(case.name)
    assert worst <= threshold, f"off by {worst:.2g}, allowed {threshold}"


@functools.cache
def float32_threshold(name):
    """The smallest of THRESHOLDS that the right layer passes."""
    (case,) = [case for case in [*CASES, LOSS] if case.name == name]
    return min(threshold for threshold in THRESHOLDS if float32_error(case) <= threshold)


def float32_error(case, module=None):
    """The worst difference to numerical derivatives by the larger one or 1; kinks are left out."""
    layer, x = case.layer(module).convert(lambda a: a.astype(np.float32)), case.input().astype(np.float32)
    y = layer.forward(x, draws(case))[0]
    _, dx, grads = run(layer, x, case, y)

    def loss():
        return float((layer.forward(x, draws(case))[0].astype(np.float64) ** 2).sum() / 2)

    here, worst = loss(), 0.0
    for value, analytic in [(x, dx), *((value, grads[key]) for key, value in layer.params.items())]:
        for place in np.ndindex(value.shape):
            kept, found = value[place], []
            for step in (STEP, -STEP):
                value[place] = kept + step
                found.append(loss())
            value[place] = kept
            numerical, bend = (found[0] - found[1]) / (2 * STEP), abs(found[0] - 2 * here + found[1]) / STEP
            size = max(abs(numerical), abs(analytic[place]), 1)
            error = abs(numerical - analytic[place]) / size
            worst = max(worst, error if bend < 0.1 * size else 0.0)
    return worst


@every_case
def shapes(case, module):
    """y, dx and the gradients have the shapes and dtypes that they should have."""
    wanted = run(case.layer(), case.input(), case)[0].shape
    found = np.shape(run(case.layer(module), case.input(), case)[0])
    assert found == wanted, f"y has shape {found}, expected {wanted}"
    if case is not LOSS:
        keeps_dtype(case, module)


def oracle(module, name):
    """Slow plain loops, written from the formula by someone who has not seen the code."""
    if not CHECKS.get(name):
        raise NotApplicable
    for check in CHECKS[name]:
        check(module)


@every_case
def invariants(case, module):
    """Promises that need no right answer: two passes at once, parts of a batch, read-only inputs, strided inputs ..."""
    for promise in PROMISES:
        if promise not in (gradient, keeps_dtype) and case is not LOSS:
            promise(case, module)


@every_case
def it_still_learns(case, module):
    """Gradient descent from other weights (or inputs) towards the right layer's output at least halves the error."""
    target = 0.0 if case is LOSS else case.layer(seed=11).forward(case.input(seed=12), draws(case))[0]
    assert any(halves_the_error(case, module, target, rate) for rate in RATES), f"at none of {len(RATES)} rates"


def halves_the_error(case, module, target, rate):
    """Within STEPS of gradient descent; x is learned where there are no parameters, or only some units are kept."""
    layer, x = case.layer(module), case.input(seed=12)
    learns_x = not layer.params or case.random
    if learns_x:
        x = spaced(x.shape, 13)
    first = None
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            y, cache = layer.forward(x, draws(case))
            error = float(y) if case is LOSS else 0.5 * float(((y - target) ** 2).sum())
            first = error if first is None else first
            if error < first / 2 or not error < 1e6 * first:
                return error < first / 2
            dx, grads = layer.backward(np.ones_like(y) if case is LOSS else y - target, cache)
            for key, value in layer.params.items():
                value -= rate * grads[key] / len(x)
            if learns_x:
                x = x - rate * dx
    return False


KINDS = {
    "gradient check": gradient_check,
    "ones upstream": with_ones_upstream,
    "float32": in_float32,
    "shapes": shapes,
    "invariants": invariants,
    "it still learns": it_still_learns,
    "oracle": oracle,
}
MODULES = {case.module for case in [*CASES, LOSS]}
