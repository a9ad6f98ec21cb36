"""What a pass through a layer really allocates: NumPy reports every array to Python's tracemalloc, which looks on."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import threadpoolctl

import snippets.nets.frames
from snippets.nets.inspect.fake import PassMemory


def traced(work):
    """work() in a new thread, and the tower's in new ones, so that their scratch buffers are seen being made."""

    def watch():
        tracemalloc.start()
        try:
            return work()
        finally:
            tracemalloc.stop()

    snippets.nets.frames._pool.cache_clear()
    with threadpoolctl.threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as thread:
        return thread.submit(watch).result()


def used(start=0, worst=False):
    """Bytes allocated beyond `start` now, or in the worst moment since the last question."""
    size = tracemalloc.get_traced_memory()[worst] - start
    tracemalloc.reset_peak()
    return size


def allocated(layer, shape, given=True):
    """The PassMemory that `nets.inspect.fake.pass_memory` predicts, by running the layer."""

    def work():
        start = used()
        both_passes(layer, shape, given)
        scratch = used(start)  # of a pass only these stay
        return PassMemory(*both_passes(layer, shape, given), scratch)

    return traced(work)


def both_passes(layer, shape, given):
    """All of a PassMemory but the scratch buffers."""
    rng = np.random.default_rng(0)
    x = rng.random(shape, np.float32) if given else None
    start = used()
    # an input that is made inside the call has no name here that would keep it alive
    y, cache = layer.forward(rng.random(shape, np.float32) if x is None else x, rng)
    forward, (y, y_shape, output) = used(start, worst=True), (None, y.shape, y.nbytes)
    kept = used(start)
    result = layer.backward(np.ones(y_shape, np.float32), cache)
    backward, after = used(start, worst=True), used(start)
    del result
    return y_shape, output, kept, forward, backward, after
