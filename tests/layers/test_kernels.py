"""The CUDA kernels without CUDA: compiled for the host they keep every promise of their layers, and no bug hides."""

import importlib

import numpy as np
import pytest
from contract import PROMISES, run
from devices import (
    BUGS,
    LARGER,
    USERS,
    WITH_KERNELS,
    by_numpy,
    checks_of,
    flow_like_numpys,
    iterations,
    kernels_on_host,
    larger,
    long_rows,
    planted,
    small_blocks,
    updates_like_numpys,
)
from layer_cases import CASES
from oracle_checks_conv import conv
from oracle_table import CHECKS
from planted import Bug

from snippets.layers.device import on_host as host_kernels
from snippets.layers.device.cu_source import ROOT
from snippets.layers.device.launch import LARGEST, launch, row_stride
from snippets.layers.loss import softmax_loss, softmax_loss_cuda
from snippets.layers.lrn import CUDA_CHANNELS, LRN
from snippets.layers.temporal import TemporalMaxPool
from snippets.training.sgd import tables

FUSED = [case for case in CASES if case.module in (*WITH_KERNELS, *USERS)]


@pytest.fixture
def host():
    with kernels_on_host():
        yield


@pytest.mark.parametrize("case", FUSED, ids=lambda c: c.name)
def test_promises(host, case):
    for promise in PROMISES:
        promise(case)


@pytest.mark.parametrize("name", WITH_KERNELS)
def test_oracles(host, name):
    for check in CHECKS[name]:
        check(importlib.import_module(name))


def test_convolution_image_by_image(host):
    with small_blocks():
        conv(importlib.import_module("snippets.layers.conv"))


def on_host(number, dtype):
    wanted = by_numpy(number, dtype)  # before the kernels take over
    assert wanted
    with kernels_on_host():
        larger(number, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", range(len(LARGER)), ids=lambda n: f"{LARGER[n][0][7:-3]}-{n}")
def test_larger_arrays(number, dtype):
    on_host(number, dtype)


def losses(dtype):
    def on_kernels(*args):
        with kernels_on_host():
            return softmax_loss(*args)

    long_rows(dtype, on_kernels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_over_many_classes(dtype):
    losses(dtype)


def flow(dtype):
    wanted = iterations(dtype)
    with kernels_on_host():
        flow_like_numpys(dtype, wanted=wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_iterations_of_optical_flow(dtype):
    flow(dtype)


def test_sgd_on_one_vector():
    updates_like_numpys()


def a_label_that_is_no_class(labels):
    """Nobody looks at labels that are on a GPU already; the loss then says that something is wrong."""
    scores = np.zeros((2, 5))
    return softmax_loss_cuda(scores, np.array(labels), np.ones(2))[0]


def test_a_label_that_is_no_class_makes_the_loss_nan():
    assert a_label_that_is_no_class([0, 4]) > 0
    assert np.isnan(a_label_that_is_no_class([0, 5])) and np.isnan(a_label_that_is_no_class([-1, 0]))


def own_checks(file):
    """The checks of this file that run the kernels of a `.cu` file."""
    for number, (about, *_) in enumerate(LARGER):
        if about == file:
            yield lambda n=number: on_host(n, np.float64)
    if file == "data/flow/tvl1.cu":
        yield lambda: flow(np.float64)
    if file == "training/sgd.cu":
        yield updates_like_numpys
    if file == "layers/loss.cu":
        yield lambda: losses(np.float64)
        yield test_a_label_that_is_no_class_makes_the_loss_nan


def killer(bug):
    """Whether a check fails with this bug in its kernels."""
    with planted(bug):
        try:
            for check in own_checks(bug.file):
                check()
            with kernels_on_host():
                for name, check in checks_of(bug.file):
                    check(importlib.import_module(name))
        except (AssertionError, ValueError, IndexError, Warning):
            return True
    return False


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.file}: {bug.name}")
def test_planted_bug_is_killed(bug, record_property):
    record_property("planted_bug", bug.name)
    assert killer(bug), f"{bug.file} passes every check with this bug planted: {bug.name}"


def test_there_is_a_bug_for_every_kernel():
    files = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("[ldt]*/**/*.cu")}
    assert {bug.file for bug in BUGS} == files


def test_numpy_arrays_go_to_no_kernel(monkeypatch):
    """There they would give the same numbers, a hundred times slower, and need a compiler."""
    monkeypatch.setattr(host_kernels, "run", None)
    for case in FUSED:
        run(case.layer(), case.input(), case)
    softmax_loss(np.zeros((2, 5)), np.array([0, 4]))
    iterations(np.float32)


def relu_backward(dy, y, dx, n):
    launch("layers/relu.cu", "relu_backward", 4, dy, y, dx, n)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda dy, y, dx, n: (dy.astype(np.float32), y, dx, n), TypeError, "y is float64, expected float32"),
        (lambda dy, y, dx, n: (dy, y.astype(int), dx, n), TypeError, "y is int64, expected float64"),
        (lambda dy, y, dx, n: (dy, y[::-1], dx, n), ValueError, "y is not contiguous"),
        (lambda dy, y, dx, n: (dy, list(y), dx, n), TypeError, "y is a list"),
        (lambda dy, y, dx, n: (dy, y, dx, 3.5), ValueError, "n is 3.5, expected a whole number"),
        (lambda dy, y, dx, n: (dy, y, dx, 2**31), ValueError, "n is 2147483648"),
    ],
)
def test_arguments_that_a_kernel_does_not_declare_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        relu_backward(*change(*np.ones((3, 4)), 4))


def test_what_else_launch_refuses():
    with pytest.raises(TypeError, match="takes 4 arguments, got 1"):
        launch("layers/relu.cu", "relu_backward", 4, np.ones(4))
    with pytest.raises(ValueError, match="no kernel 'relu_sideways', found relu_backward, add_bias"):
        launch("layers/relu.cu", "relu_sideways", 4)
    with pytest.raises(ValueError, match="fewer frames at a time"):
        launch("layers/relu.cu", "relu_backward", 2**31, *np.ones((3, 4)), 4)
    with pytest.raises(ValueError, match="-1 threads"):
        launch("layers/relu.cu", "relu_backward", -1, *np.ones((3, 4)), 4)
    endless = np.broadcast_to(np.zeros(()), (LARGEST + 1,))
    with pytest.raises(ValueError, match=f"{LARGEST + 1} elements .* fewer frames at a time"):
        launch("layers/relu.cu", "relu_backward", 4, endless, *np.ones((2, 4)), 4)

    few = np.lib.stride_tricks.as_strided(np.zeros(1), (3, 4), (8 * 2**30, 8))  # its last row begins after 2^31 numbers
    with pytest.raises(ValueError, match=f"{3 * 2**30} elements .* fewer frames at a time"):
        launch("layers/relu.cu", "add_bias_backward", 4, few, 2**30, *np.ones((3, 3, 4)), 0, 3, 3, 4, 4)
    with pytest.raises(ValueError, match=f"n is {LARGEST + 1}"):
        relu_backward(*np.ones((3, 4)), LARGEST + 1)
    ((_, n),) = tables({"W": np.broadcast_to(np.zeros(()), (2**31 + 5,))})
    assert n == 2**31 + 5, "the number of parameters has wrapped around"


def test_winners_of_clips_and_windows_of_any_length():
    """On a CPU: 256 and 65,536 frames are the most that one byte and two bytes can tell apart."""
    for T in (255, 256, 257, 2**16, 2**16 + 1):
        x = np.zeros((1, T, 1))
        x[0, -1] = 1
        for pool in (TemporalMaxPool(), TemporalMaxPool(T, 1)):
            y, cache = pool.forward(x)
            assert (pool.backward(np.ones(y.shape), cache)[0] == x).all(), T


def test_a_window_that_the_kernels_have_no_room_for_is_refused(host):
    x = np.zeros((1, 2**16 + 1, 1))
    x[0, 2**16 - 1] = 1
    y, cache = TemporalMaxPool(2**16, 1).forward(x)
    assert y[0, 0] == 1 and TemporalMaxPool().backward(np.ones(y.shape), cache)[0][0, 2**16 - 1] == 2
    for pool in (TemporalMaxPool(), TemporalMaxPool(2**16 + 1, 1)):
        with pytest.raises(ValueError, match="65537 frames, expected at most 65536"):
            pool.forward(x)
    x = np.random.default_rng(0).normal(size=(2, 150))
    y = LRN(CUDA_CHANNELS).forward(x)[0]
    np.testing.assert_allclose(y, LRN(CUDA_CHANNELS).predict(x), rtol=1e-12)
    with pytest.raises(ValueError, match="n is 131, expected at most 129"):
        LRN(131).forward(x)


def test_writing_and_reading_outside_of_an_array_is_noticed():
    dx = np.zeros(4)
    with pytest.raises(IndexError, match="outside of dx"):
        relu_backward(np.ones(5), np.ones(5), dx, 5)
    dx = np.zeros(5)
    relu_backward(np.ones(4), np.ones(5), dx, 5)
    assert np.isnan(dx[4])


def test_rows_of_a_wider_array():
    wide = np.zeros((2, 3, 8))
    assert row_stride(wide) == 8 and row_stride(wide[..., 2:5]) == 8 and row_stride(wide[:, :2]) is None
    assert row_stride(wide[..., ::2]) is None and row_stride(wide[:1, :, :2]) == 8
    assert row_stride(np.zeros((1, 1, 5))) == 5


def test_a_kernel_that_is_no_program_says_why():
    wrong = Bug(
        "a letter is missing", "layers/relu.cu", [["dx[k] = dy[k] * (y[k] > 0);", "dx[k] = dy[k] * (y[k > 0);"]]
    )
    with planted(wrong), pytest.raises(ValueError, match="kernel.cu:6"):
        relu_backward(*np.ones((3, 4)), 4)
