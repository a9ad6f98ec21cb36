"""The inputs of A6's questions, and how each kernel is run; it has no answers.

CASES: the sizes of each case: a grid of so many blocks and threads; N clips, T frames, D features (channels, units).
CALLS: for each question a function that draws inputs and one that runs the student's kernels on them, on the host.
Besides the results it returns how often each element of them was written.
"""

import numpy as np

from snippets.training.assignments.calls import hunt

CASES = {
    "public": {"small": {}, "more threads than work": dict(blocks=3, threads=16, N=1, T=3), "float32": {}},
    "hidden": {
        "one thread": dict(blocks=1, threads=1, N=3),
        "wide": dict(blocks=2, threads=32, N=3, T=11, D=7, window=4, stride=3, r=3),
        "one frame": dict(T=1, window=1, stride=1, r=1),
        "one clip": dict(blocks=5, threads=3, N=1, T=9, stride=1, r=8),
        "no remainder": dict(blocks=4, threads=5, T=4, D=5, window=2, stride=2),
        "clipped window": dict(blocks=3, threads=7, T=10, window=5, stride=4, beta=0.5),
        "float32": {},
    },
    "own": {},
}
NEVER = -12345  # stands where nothing has been written


def fresh(shape, like):
    """A new array for results."""
    return np.full(shape, NEVER, like.dtype)


def results(notes, **arrays):
    """The arrays that a kernel has written, with how often each element was."""
    counts = {f"writes of each element of {name}": notes.writes(name) for name in arrays}
    return counts | arrays


def draw_grid(blocks=2, threads=4, **unused):
    return dict(blocks=blocks, threads=threads)


def draw_relu(module, rng, N=2, T=5, D=3, **sizes):
    y = np.maximum(rng.standard_normal(N * T * D), 0)
    return draw_grid(**sizes) | dict(dy=rng.standard_normal(y.size), y=y)


def relu_backward(module, blocks, threads, dy, y):
    dx = fresh(y.shape, y)
    notes = module.run("relu_backward", (int(blocks), int(threads)), dy, y, dx, y.size)
    return results(notes, dx=dx)


def draw_temporal_max(module, rng, N=2, T=6, D=3, window=3, stride=2, **sizes):
    """x has ties; the winners of the backward pass are drawn, each in its window."""
    from snippets.layers.temporal import windows

    frames = np.array([stop - start for start, stop in windows(T, window, stride)])
    winner = rng.integers(0, frames[:, None], (N, len(frames), D))
    x, dy = rng.integers(0, 3, (N, T, D)) - 4.0, rng.standard_normal(winner.shape)
    return draw_grid(**sizes) | dict(x=x, dy=dy, winner=winner, window=window, stride=stride)


def temporal_max(module, blocks, threads, x, dy, winner, window, stride):
    """The forward kernel on x, and the backward kernel on dy and the winners given."""
    (_, T, D), M, grid = x.shape, dy.shape[1], (int(blocks), int(threads))
    sizes = T, D, int(window), int(stride), M
    y, dx, found = fresh(dy.shape, x), fresh(x.shape, x), np.full(dy.shape, 999, np.uint16)
    there = module.run("temporal_max_forward", grid, np.ascontiguousarray(x), y, found, *sizes, y.size)
    winner = np.ascontiguousarray(winner, np.uint16)
    back = module.run("temporal_max_backward", grid, np.ascontiguousarray(dy), winner, dx, *sizes, dx.size)
    return results(there, y=y, winner=found) | results(back, dx=dx)


def draw_lrn(module, rng, N=2, T=4, D=5, r=2, beta=0.75, **sizes):
    """N T pixels of D channels; k, a, beta of the norm, r channels on either side."""
    x, dy = rng.standard_normal((2, N * T, D))
    return draw_grid(**sizes) | dict(dy=dy, x=x, k=rng.uniform(1, 2), a=rng.uniform(0.5, 1), beta=beta, r=r)


def lrn_backward(module, blocks, threads, dy, x, k, a, beta, r):
    dx, numbers = fresh(x.shape, x), (float(k), float(a), float(beta), int(r), x.shape[1], x.size)
    grid, inputs = (int(blocks), int(threads)), [np.ascontiguousarray(one) for one in (dy, x)]
    return results(module.run("lrn_backward", grid, *inputs, dx, *numbers), dx=dx)


def draw_gates(module, rng, N=2, T=3, D=4, **sizes):
    """N T clips of D units."""
    rows = (N * T, D)
    arrays = {name: rng.standard_normal(rows) for name in ("dh", "dh_next", "dc", "c_prev", "c")}
    return (
        draw_grid(**sizes)
        | arrays
        | dict(gates=rng.uniform(-0.9, 0.9, (N * T, 4 * D)), W_c=rng.standard_normal((3, D)))
    )


def gates_backward(module, blocks, threads, dh, dh_next, dc, c_prev, c, gates, W_c):
    inputs = [np.ascontiguousarray(one) for one in (dh, dh_next, gates, c_prev, c, W_c)]
    delta, dc_prev, M = fresh(gates.shape, gates), dc.copy(order="C"), dh.shape[1]
    notes = module.run("gates_backward", (int(blocks), int(threads)), *inputs, delta, dc_prev, M, dh.size)
    return results(notes, delta=delta, dc=dc_prev)


CALLS = {
    "relu_backward": (draw_relu, relu_backward),
    "temporal_max": (draw_temporal_max, temporal_max),
    "lrn_backward": (draw_lrn, lrn_backward),
    "gates_backward": (draw_gates, gates_backward),
    "hunt": (None, hunt),
}
HUNT = "temporal_max", draw_temporal_max  # the question whose kernels others have written in the hunt, and its inputs
OWN = {}
