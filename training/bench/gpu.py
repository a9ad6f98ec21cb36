"""`snippets bench --device cuda`: what differs from a CPU. Arguments move to the GPU, and its own events are the clock.

An event is a mark in the GPU's queue: two of them take the time of all that was queued between them, whoever queued it,
and of every moment in which the queue was empty. A peer that works on the same GPU uses the same queue.
"""

import os

import numpy as np

from snippets.layers.core.base import Layer
from snippets.layers.device.xp import xp_of
from snippets.training.parameters import flatten, move_to_device, use_device, views


def to_device(a, device):
    """An argument of a job on a device: layers with all their parameters, dicts of arrays in one vector, arrays."""
    if isinstance(a, Layer):
        return move_to_device(a, device)
    if isinstance(a, dict):
        return views(use_device(device).asarray(flatten(a)), a)
    return use_device(device).asarray(a) if isinstance(a, np.ndarray) else a


def sample(run, calls):
    """Seconds per call on the current GPU, the mean over `calls`."""
    import cupy

    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(start, end) / 1000 / calls


def peak_memory(job, arguments):
    """Bytes that CuPy's memory pool takes from the GPU for the arguments, already there, and one run of ours."""
    import cupy

    before, pool = cupy.cuda.get_allocator(), cupy.cuda.MemoryPool()
    cupy.cuda.set_allocator(pool.malloc)
    try:
        job(*arguments).run()
        return pool.total_bytes() + sum(nbytes(a) for a in arguments)
    finally:
        cupy.cuda.set_allocator(before)


def nbytes(a):
    """Bytes of arrays in an argument of a job."""
    arrays = a.params if isinstance(a, Layer) else a if isinstance(a, dict) else {"": a}
    return sum(part.nbytes for part in arrays.values() if xp_of(part) is not np)


def best(run):
    """Seconds of the fastest of seven calls."""
    run()
    return min(sample(run, 1) for _ in range(7))


def gpu_info(device, quick=False):
    """What a benchmark on a GPU depends on; sgemm_gflops and copy_gbs are measured now (quick: badly)."""
    xp = use_device(device)
    about, n, size = xp.cuda.runtime.getDeviceProperties(xp.cuda.runtime.getDevice()), 64 if quick else 8192, 2**28
    a, b = xp.ones((2, n, n), np.float32)
    source = xp.zeros(2**20 if quick else size, np.uint8)
    target = xp.empty_like(source)
    return {
        "device": device,
        "gpu": about["name"].decode(),
        "gpu_gb": about["totalGlobalMem"] / 1e9,
        "cupy": xp.__version__,
        "tf32": "on" if tf32() else "off",
        "sgemm_gflops": 2 * n**3 / best(lambda: xp.matmul(a, b)) / 1e9,
        "copy_gbs": 2 * source.nbytes / best(lambda: xp.copyto(target, source)) / 1e9,
    }


def tf32():
    """Whether CuPy rounds float32 factors to ten bits for the tensor cores; a peer is set to do the same."""
    return os.environ.get("CUPY_TF32", "0") not in ("", "0")
