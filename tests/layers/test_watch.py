"""Kernels that are watched: who reads and writes what, and that every result is written by one thread, once."""

import numpy as np
import pytest

from snippets.layers.device.cu_source import source
from snippets.layers.device.on_host import library
from snippets.layers.device.watch import watch

RELU = source("layers/relu.cu")
LOOP = "k < n; k += gridDim.x * blockDim.x)\n        dx[k] = dy"


def relu(text=RELU, n=5, grid=(2, 2), elements=5):
    """The notes of relu_backward on arrays of so many elements, for the first n of them."""
    dy, y = np.ones((2, elements))
    return watch(text, "relu_backward", grid, dy, y, np.zeros(elements), n)


def test_a_map_says_which_thread_touches_what():
    notes = relu()
    assert notes.map("dx").splitlines() == [
        "dx",
        "block 0 thread 0  w . . . w",
        "block 0 thread 1  . w . . .",
        "block 1 thread 0  . . w . .",
        "block 1 thread 1  . . . w .",
    ]
    assert notes.map("y") == notes.map("dx").replace("w", "r").replace("dx", "y")
    assert notes.writes("dx").tolist() == [1] * 5 and notes.writes("y").tolist() == [0] * 5


def test_what_is_written_twice_or_never_is_counted():
    changed = {"k < n; k++)": [1, 2, 3, 4, 4], "k < n; k = n)": [1, 1, 1, 1, 0]}
    for loop, counts in changed.items():
        wrong = RELU.replace(LOOP, f"{loop}\n        dx[k] = dy")
        assert wrong != RELU and relu(wrong).writes("dx").tolist() == counts
    twice = RELU.replace("dx[k] = dy[k] * (y[k] > 0);", "dx[k] = 0, dx[k] += dy[k];")
    assert relu(twice).map("dx").splitlines()[1] == "block 0 thread 0  W . . . W"


def test_the_thread_that_leaves_an_array_is_named():
    with pytest.raises(IndexError, match=r"thread 1 of block 0 reads dy\[5\], but dy has 5 elements"):
        relu(n=6)
    wrong = RELU.replace("dx[k] = dy[k] * (y[k] > 0);", "dx[k - 1] = dy[k] * (y[k] > 0);")
    with pytest.raises(IndexError, match=r"thread 0 of block 0 writes dx\[-1\], but dx has 5 elements"):
        relu(wrong)


def test_shared_memory_holds_nothing_when_a_block_begins():
    """What a block left behind must not be what the next one finds by chance: a missing barrier has to show."""
    text = """
    extern "C" __global__ void f(const REAL *x, REAL *y, int n)
    {
        __shared__ REAL tile[4];
        int k = blockIdx.x * blockDim.x + threadIdx.x;
        y[k] = tile[threadIdx.x] == x[k];
        tile[threadIdx.x] = x[k];
        __syncthreads();
    }"""
    y = np.full(8, np.nan)
    watch(text, "f", (2, 4), np.zeros(8), y, 8)
    assert (y == 0).all()


RUNS = {  # kernel: its file, and arguments by (rng, empty): results are those that `empty` makes
    "temporal_max_forward": ("layers/temporal.cu", lambda rng, empty: (
        rng.random((2, 7, 3)), empty((2, 3, 3)), empty((2, 3, 3), np.uint16), 7, 3, 3, 2, 3, 18)),
    "temporal_max_backward": ("layers/temporal.cu", lambda rng, empty: (
        rng.random((2, 3, 3)), np.zeros((2, 3, 3), np.uint16), empty((2, 7, 3)), 7, 3, 3, 2, 3, 42)),
    "lrn_forward": ("layers/lrn.cu", lambda rng, empty: (rng.random((5, 4)), empty((5, 4)), 1, 0.5, 0.75, 2, 4, 20)),
    "lrn_backward": ("layers/lrn.cu", lambda rng, empty: (
        rng.random((5, 4)), rng.random((5, 4)), empty((5, 4)), 1, 0.5, 0.75, 2, 4, 20)),
    "gates_forward": ("layers/lstm.cu", lambda rng, empty: (
        *rng.random((2, 5, 12)), rng.random(12), rng.random((5, 3)), rng.random((3, 3)),
        empty((5, 12)), empty((5, 3)), empty((5, 3)), 3, 15)),
    "gates_backward": ("layers/lstm.cu", lambda rng, empty: (
        *rng.random((2, 5, 3)), rng.random((5, 12)), *rng.random((2, 5, 3)), rng.random((3, 3)),
        empty((5, 12)), empty((5, 3)), 3, 15)),
    "peephole_grads": ("layers/lstm.cu", lambda rng, empty: (
        rng.random((5, 12)), *rng.random((2, 5, 3)), empty((3, 3)), empty(12), 5, 3, 12)),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_every_element_of_a_result_is_written_once(name):
    file, arguments = RUNS[name]
    results = []

    def empty(shape, dtype=float):
        results.append(np.zeros(shape, dtype))
        return results[-1]

    args = arguments(np.random.default_rng(0), empty)
    notes = watch(source(file), name, (2, 4), *args)
    names = [p for p, a in zip(notes.sizes, args, strict=True) if any(a is result for result in results)]
    assert len(names) == len(results)
    for result in names:
        assert (notes.writes(result) == 1).all(), result


def test_what_cannot_be_run_says_why(monkeypatch):
    with pytest.raises(TypeError, match="relu_backward takes 4 arguments, got 1"):
        watch(RELU, "relu_backward", (1, 1), np.zeros(3))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(FileNotFoundError, match="no C\\+\\+ compiler 'no-such-compiler': install g\\+\\+ or set CXX"):
        library(RELU + "\n", "double")
