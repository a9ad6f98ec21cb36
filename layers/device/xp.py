"""Which array library a function works with: the one that its argument comes from.

The same code runs on NumPy and on CuPy arrays. A function asks once, at its top, `xp = xp_of(x)`; there is no global
switch, and CuPy is imported only when one of its arrays shows up.
"""

import math
import os
import sys
import threading

import numpy as np

from snippets.layers.device.container import processors


def xp_of(x):
    """The module whose array `x` is: numpy, or cupy for an array on a GPU."""
    return sys.modules["cupy"] if type(x).__module__.startswith("cupy") else np


def on_gpu(x):
    """Whether the kernels beside a layer serve this array: a function that has some asks at its top."""
    return xp_of(x) is not np


def usable_cores():
    """How many processors this process may use: those that it is bound to, or as many as its container has time on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, math.ceil(processors() or cores))


_buffers = threading.local()


def scratch(name, shape, dtype, xp=np):
    """An uninitialised array for work inside one function; the same thread gets the same memory again under that name.

    Fresh memory of some megabytes costs as much as computing on it: the system clears it page by page. Never return
    such an array or keep it in a cache. CuPy's arrays come from its memory pool, which has no such cost.
    """
    if xp is not np:
        return xp.empty(shape, dtype)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = getattr(_buffers, name, None)
    if buffer is None or buffer.nbytes < size:
        buffer = np.empty(size, np.uint8)
        setattr(_buffers, name, buffer)
    return buffer[:size].view(dtype).reshape(shape)
