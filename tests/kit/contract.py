"""What every layer promises, one function a promise: promise(case, module) raises AssertionError when it is broken."""

from dataclasses import replace

import numpy as np
import pytest

EPSILON = 1e-5


def assert_close(got, wanted, name, rtol=1e-9):
    """Equal to rtol of the largest wanted entry; the message names the array, the index and both numbers."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape, f"{name} has shape {got.shape}, expected {wanted.shape}"
    if got.size == 0:
        return
    scale = max(float(np.abs(wanted).max()), 1e-12)
    error = np.nan_to_num(np.abs(got - wanted) / scale, nan=np.inf)
    worst = np.unravel_index(np.argmax(error), error.shape)
    index = tuple(int(i) for i in worst)
    numbers = f"{got[worst]:.12g}, expected {wanted[worst]:.12g}: off by {error[worst]:.2g} of the largest entry"
    assert error[worst] <= rtol, f"{name}{list(index)} is {numbers}"


def assert_same_bits(got, wanted, name):
    """Bit for bit the same numbers, shape and dtype."""
    assert got.dtype == wanted.dtype, f"{name} is {got.dtype}, expected {wanted.dtype}"
    assert_close(got, wanted, name, rtol=0)


def numeric_gradient(f, x):
    """Central differences of a scalar f at every entry of x, which is shifted in place and put back."""
    dx = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + EPSILON
        above = f()
        x[place] = kept - EPSILON
        below = f()
        x[place] = kept
        dx[place] = (above - below) / (2 * EPSILON)
    return dx


def draws(case):
    """The generator of a training pass: the same draws at every call; None for layers that draw nothing."""
    return np.random.default_rng(5) if case.random else None


def upstream(y, seed=3):
    """A random dy, never ones: a softmax or a normalisation whose gradient is lost passes under ones."""
    return np.random.default_rng(seed).normal(0, 1, y.shape).astype(y.dtype)


def run(layer, x, case, dy=None):
    """y, dx, grads of one forward and one backward pass."""
    y, cache = layer.forward(x, draws(case))
    dx, grads = layer.backward(upstream(y) if dy is None else dy, cache)
    return y, dx, grads


def gradient(case, module=None):
    """dx and every parameter gradient are the central differences of <dy, forward>, entry by entry."""
    layer, x = case.layer(module), case.input()
    y, dx, grads = run(layer, x, case)
    dy = upstream(y)

    def loss():
        return float((dy * layer.forward(x, draws(case))[0]).sum())

    assert_close(dx, numeric_gradient(loss, x), "dx", rtol=1e-6)
    assert set(grads) == set(layer.params), f"grads has {sorted(grads)}, params has {sorted(layer.params)}"
    for name, value in layer.params.items():
        assert_close(grads[name], numeric_gradient(loss, value), "d" + name, rtol=1e-6)


def reentrant(case, module=None):
    """Two forwards and then their two backwards, and a backward done twice, equal runs on their own, bit for bit."""
    layer = case.layer(module)
    inputs = [case.input(seed=2), case.input(seed=12, batch=case.shape[0] + 1)]
    wanted = [run(case.layer(module), x, case) for x in inputs]
    passes = [layer.forward(x, draws(case)) for x in inputs]
    for again in ("", " of a second backward"):
        for (y, cache), (y_alone, dx_alone, grads_alone) in zip(passes, wanted, strict=True):
            dx, grads = layer.backward(upstream(y), cache)
            assert_same_bits(y, y_alone, "y" + again)
            assert_same_bits(dx, dx_alone, "dx" + again)
            for name in grads_alone:
                assert_same_bits(grads[name], grads_alone[name], f"d{name}{again}")


def halves_add_up(case, module=None):
    """The examples of a batch do not see each other: y and dx are those of its parts and the gradients their sums."""
    layer, x = case.layer(module), case.input(batch=3)
    quiet = replace(case, random=False)  # a mask differs between a batch and its parts
    y, dx, grads = run(layer, x, quiet)
    dy = upstream(y)
    parts = [run(layer, x[s], quiet, dy[s]) for s in (slice(0, 1), slice(1, 3))]
    assert_close(np.concatenate([part[0] for part in parts]), y, "y", rtol=1e-12)
    assert_close(np.concatenate([part[1] for part in parts]), dx, "dx", rtol=1e-12)
    for name, value in grads.items():
        assert_close(parts[0][2][name] + parts[1][2][name], value, "d" + name, rtol=1e-11)


def keeps_dtype(case, module=None):
    """float32 in, float32 out, and float64 likewise: y, dx and gradients with the keys and shapes of params."""
    for dtype in (np.float32, np.float64):
        layer = case.layer(module)
        assert layer.convert(lambda a, d=dtype: a.astype(d)) is layer, "convert must return the layer"
        y, dx, grads = run(layer, case.input().astype(dtype), case)
        assert y.dtype == dtype, f"y is {y.dtype} for {dtype.__name__} inputs"
        assert dx.dtype == dtype and dx.shape == case.shape, (
            f"dx is {dx.dtype} {dx.shape}, x {dtype.__name__} {case.shape}"
        )
        assert set(grads) == set(layer.params), f"grads has {sorted(grads)}, params has {sorted(layer.params)}"
        for name, value in layer.params.items():
            got = grads[name]
            assert got.dtype == dtype and got.shape == value.shape, (
                f"d{name} is {got.dtype} {got.shape}, {name} {value.shape}"
            )


def writes_into_nothing(case, module=None):
    """x, dy and every parameter may be read-only while a layer runs."""
    layer, x = case.layer(module), case.input()
    dy = upstream(layer.forward(x, draws(case))[0])
    for array in (x, dy, *layer.params.values()):
        array.flags.writeable = False
    try:
        run(layer, x, case, dy)
    except ValueError as error:
        raise AssertionError(f"{case.name} writes into an argument: {error}") from error


def any_memory_layout(case, module=None):
    """A transposed or strided view gives the numbers of its contiguous copy, forwards and backwards."""
    layer, x = case.layer(module), case.input()
    y, dx, grads = run(layer, x, case)
    dy = upstream(y)
    strided = [np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]]
    for view in strided:
        assert not view(x).flags.c_contiguous or min(x.ndim, x.shape[-1]) == 1
        y_view, dx_view, grads_view = run(layer, view(x), case, view(dy))
        assert_close(y_view, y, "y of a view", rtol=1e-12)
        assert_close(dx_view, dx, "dx of a view", rtol=1e-12)
        for name, value in grads.items():
            assert_close(grads_view[name], value, f"d{name} of a view", rtol=1e-11)


def predicts(case, module=None):
    """predict(x) is what forward(x) returns when nothing is drawn, bit for bit."""
    layer, x = case.layer(module), case.input()
    assert_same_bits(layer.predict(x), layer.forward(x)[0], "predict(x)")


def draws_from_rng_alone(case, module=None):
    """The same generator state gives the same bits, another gives others, and without one nothing is drawn."""
    layer, x = case.layer(module), case.input()
    y = layer.forward(x, draws(case))[0]
    assert_same_bits(layer.forward(x, draws(case))[0], y, "y of the same draws")
    assert_same_bits(layer.forward(x)[0], layer.forward(x)[0], "y without draws")
    if case.random:
        assert (layer.forward(x, np.random.default_rng(99))[0] != y).any(), "another generator gives the same y"


def refuses_integers(case, module=None):
    """Integer frames are an error that names the dtype: x = (uint8 - mean) / scale was forgotten."""
    layer = case.layer(module)
    for dtype in ("uint8", "int64"):
        with pytest.raises((TypeError, ValueError), match=dtype):
            layer.forward(np.ones(case.shape, dtype))


def refuses_wrong_shapes(case, module=None):
    """A wrong number of dimensions or of channels is one error whose message shows the shape that was found."""
    layer = case.layer(module)
    for shape in case.wrong:
        with pytest.raises(ValueError) as caught:
            layer.forward(np.ones(shape))
        message = str(caught.value)
        assert str(tuple(shape)) in message, f"for x {shape} the message does not show what was found: {message}"


def refuses_a_state_of_another_shape(case, module=None):
    """A recurrent layer's state that would be broadcast is an error that shows its shape and the right one."""
    layer, x = case.layer(module), case.input()
    if not hasattr(layer, "scan"):
        return
    _, state, _ = layer.scan(x)
    for part in range(len(state)) if isinstance(state, tuple) else [None]:
        one = state if part is None else state[part]
        wrong = one[:1]  # of one clip: it would be broadcast to all
        changed = wrong if part is None else tuple(wrong if p == part else a for p, a in enumerate(state))
        with pytest.raises(ValueError) as caught:
            layer.scan(x, changed)
        assert str(wrong.shape) in str(caught.value) and str(one.shape) in str(caught.value), str(caught.value)


PROMISES = [
    gradient,
    reentrant,
    halves_add_up,
    keeps_dtype,
    writes_into_nothing,
    any_memory_layout,
    predicts,
    draws_from_rng_alone,
    refuses_integers,
    refuses_wrong_shapes,
    refuses_a_state_of_another_shape,
]
