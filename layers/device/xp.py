"""Which array library a function works with: the one that its argument comes from.

A function asks once, at its top, `xp = xp_of(x)`; there is no global switch, and CuPy is imported only with its first
array.
"""

import math
import os
import sys
import threading

import numpy as np

from snippets.layers.device.container import processors

DEVICES = "cpu, cuda, or cuda:N for one of several GPUs"


def xp_of(x):
    """The module whose array `x` is: numpy, or cupy for an array on a GPU."""
    return sys.modules["cupy"] if type(x).__module__.startswith("cupy") else np


def on_gpu(x):
    """Whether the array is on a GPU, where a layer's `.cu` file takes over."""
    return xp_of(x) is not np


def to_numpy(a):
    """The array on the host: a CuPy array is copied, a NumPy array returned as it is."""
    return a.get() if hasattr(a, "get") else np.asarray(a)


def usable_cores():
    """How many processors this process may use: those it is bound to, at most the time that its container allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, math.ceil(processors() or cores))


_buffers = threading.local()


def scratch(name, shape, dtype, xp=np):
    """An uninitialised array for work inside one function; a thread gets the same memory again under the same name.

    Fresh memory of some megabytes costs as much as computing on it, because the system clears it. Never return such an
    array or keep it in a cache. CuPy has a memory pool, without this cost.
    """
    if xp is not np:
        return xp.empty(shape, dtype)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = getattr(_buffers, name, None)
    if buffer is None or buffer.nbytes < size:
        buffer = np.empty(size, np.uint8)
        setattr(_buffers, name, buffer)
    return buffer[:size].view(dtype).reshape(shape)
