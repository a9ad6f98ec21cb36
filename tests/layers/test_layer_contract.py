"""Every layer keeps every promise of contract.py, and no layer is missing from the table."""

import importlib
import pkgutil

import numpy as np
import pytest
from contract import PROMISES
from layer_cases import CASES, generator

from snippets import layers, nets
from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Layer
from snippets.layers.core.check import check_layer
from snippets.layers.lcn import LCN
from snippets.layers.lrn import LRN
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.pool import MaxPool2D
from snippets.layers.temporal import TemporalMaxPool

NOT_LAYERS = {
    "Container",
    "Recurrent",
    "Cells",
    "AuxiliaryNet",
    "FakeLayer",
}  # shared; a net of test_auxiliary.py; no layer


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_promise(case, promise):
    promise(case)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_check_layer_agrees(case):
    """The project's own checker finds what contract.gradient found by other means."""
    errors = check_layer(case.layer(), case.input(), rtol=1e-6)
    assert set(errors) == {"x", *case.layer().params}


def subclasses(cls):
    """All classes below cls, in any depth."""
    return {sub for child in cls.__subclasses__() for sub in {child, *subclasses(child)}}


def test_every_layer_is_in_the_table():
    for package in (layers, nets):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    found = {
        c.__name__ for c in subclasses(Layer) if c.__module__.startswith(("snippets.layers.", "snippets.nets."))
    } - NOT_LAYERS
    tested = {type(case.layer()).__name__ for case in CASES}
    assert found == tested, f"not in the table: {sorted(found - tested)}; no longer there: {sorted(tested - found)}"


@pytest.mark.parametrize("case", [case for case in CASES if case.layer().params], ids=lambda c: c.name)
def test_a_layer_in_float32_refuses_float64(case):
    """A float64 input would quietly make everything behind it slow."""
    layer = case.layer().convert(lambda a: a.astype(np.float32))
    with pytest.raises(TypeError, match="float64.*float32"):
        layer.forward(case.input())


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_new_layers_are_float32_and_seeded(case):
    """Two layers from one seed start alike, in float32, with the weights drawn and not all equal."""
    first, second = (case.make(importlib.import_module(case.module)) for _ in range(2))
    for name, value in first.params.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, second.params[name])
        if name.endswith(("W", "W_x", "W_h")):
            assert value.std() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(1, 1, 3, pad="sane", rng=generator()), "'sane'.*'same'"),
        (lambda: Conv2D(1, 1, 3, pad=3, rng=generator()), "pad is 3"),
        (lambda: MaxPool2D(3, 2, "sane"), "'sane'.*'same'"),
        (lambda: MaxPool2D(3, 2, 3), "pad is 3"),
        (lambda: LRN(n=4), "n is 4"),
        (lambda: LCN(size=4), "size is 4"),
        (lambda: TemporalMaxPool(window=10), "stride"),
        (lambda: TemporalMaxPool(window=0, stride=1), "window 0"),
        (lambda: TemporalMaxPool(window=2, stride=3), "window 2.*stride 3"),
        (
            lambda: PeepholeLSTM(3, 4, generator()).scan(np.zeros((2, 5, 3), "f"), [np.zeros((3, 4), "f")] * 2),
            r"\(3, 4\)",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
