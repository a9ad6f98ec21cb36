"""The machine that a benchmark's numbers belong to: its name, its BLAS, its rates, and the memory of this process."""

import contextlib
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import threadpoolctl

from snippets.layers.device.xp import usable_cores


def together(work, arguments):
    """Seconds in which work(*a) is done for all a in `arguments`, each in a thread of its own; best of seven."""
    seconds = []
    with ThreadPoolExecutor(len(arguments)) as pool:
        for _ in range(7):
            start = time.perf_counter()
            list(pool.map(lambda a: work(*a), arguments))
            seconds.append(time.perf_counter() - start)
    return min(seconds)


def product_rate(n):
    """Operations per second of float32 products of n x n matrices on all cores: one product each, or one for all."""
    products = [tuple(np.ones((n, n), np.float32) for _ in range(3)) for _ in range(usable_cores())]  # a, b, out
    with threadpoolctl.threadpool_limits(1, "blas"):
        each = len(products) * 2 * n**3 / together(np.matmul, products)
    return max(each, 2 * n**3 / together(np.matmul, products[:1]))


def copy_rate(size):
    """Bytes per second that all cores read and write when each copies `size` bytes of its own."""
    arrays = [(np.zeros(size, np.uint8), np.ones(size, np.uint8)) for _ in range(usable_cores())]
    return usable_cores() * 2 * size / together(np.copyto, arrays)


def processor():
    """The processor's name, where the system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine_info(quick=False):
    """What a benchmark depends on; sgemm_gflops and copy_gbs are measured now, with all cores (quick: badly)."""
    blas = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "blas": ", ".join(f"{lib['internal_api']} {lib['version']}" for lib in blas) or "unknown",
        "kernel": ", ".join(lib.get("architecture", "unknown") for lib in blas) or "unknown",
        "threads": max((lib["num_threads"] for lib in blas), default=None),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "sgemm_gflops": product_rate(256 if quick else 1536) / 1e9,
        "copy_gbs": copy_rate(2**20 if quick else 2**26) / 1e9,
    }


def largest_resident():
    """Bytes: the most memory that this process has held so far (its largest resident set)."""
    import resource  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else 1024 * peak
