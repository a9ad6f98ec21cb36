"""What one forward and backward pass through a layer costs in memory: run it, and let tracemalloc look on.

NumPy reports every array to Python's tracemalloc, so that nothing here needs to know what a layer keeps for its
backward pass, or which temporary arrays it makes.
"""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import threadpoolctl


class Cost(NamedTuple):
    """Bytes of one forward and backward pass through a layer; parameters and scratch buffers are left out."""

    output: float
    kept: float  # between the two passes, the output left out
    forward: float  # in the worst moment
    backward: float  # in the worst moment, what was kept included
    after: float  # at the end: dx, the gradients, and the cache that the caller still holds


def measure(layer, *shapes, given=False, train=True):
    """Costs of float32 inputs of each of `shapes`, bytes of scratch buffers of each, shape of the last output.

    given: the input's own bytes are not part of the cost. train=False: inference, no cache and no backward pass.
    """

    def watch():
        start, scratch = used(), []
        for shape in shapes:
            both_passes(layer, shape, given, train)
            scratch.append(used(start))  # this thread is new, and only its scratch buffers outlive a pass
        costs, (*_, y_shape) = zip(*(both_passes(layer, shape, given, train) for shape in shapes), strict=True)
        return costs, scratch, y_shape

    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        with threadpoolctl.threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as thread:
            return thread.submit(watch).result()
    finally:
        if not tracing:
            tracemalloc.stop()


def used(start=0, worst=False):
    """Bytes allocated beyond `start` now, or in the worst moment since the last question."""
    size = tracemalloc.get_traced_memory()[worst] - start
    tracemalloc.reset_peak()
    return size


def both_passes(layer, shape, given, train):
    """The Cost of one input of `shape`, and the output's shape."""
    rng = np.random.default_rng(0)
    x = rng.random(shape, np.float32) if given else None
    start = used()
    # an input that is made inside the call has no name here that would keep it alive
    run = (lambda x: layer.forward(x, rng)) if train else (lambda x: (layer.predict(x), None))
    y, cache = run(rng.random(shape, np.float32) if x is None else x)
    forward, (y, y_shape, output) = used(start, worst=True), (None, y.shape, y.nbytes)
    kept = used(start)
    if not train:
        return Cost(output, 0, forward, 0, 0), y_shape
    result = layer.backward(np.ones(y_shape, np.float32), cache)
    backward, after = used(start, worst=True), used(start)
    del result
    return Cost(output, kept, forward, backward, after), y_shape
