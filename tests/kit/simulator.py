"""Two mistakes of the simulated GPU (cudasim), mended from outside, so that what it reports is ours."""

import ctypes
import os

from snippets.layers.device import launch

RACE_RECORDS = ctypes.c_void_p(0x230000000000), ctypes.c_size_t(8 << 36)  # where, how many bytes: its sim_abi.h
MADV_DONTNEED = 4  # the pages read as zeros afterwards, which is "no access yet"


def keep_to_whole_pages(cupy):
    """Freeing a large array clears its pages to their ends, where the next array may begin: let none begin there."""
    memory = cupy.cuda.Memory
    whole_pages = lambda size: size if size < 2**20 else -(-size // 4096) * 4096  # noqa: E731
    cupy.cuda.set_allocator(lambda size: cupy.cuda.MemoryPointer(memory(whole_pages(size)), 0))


def forget_old_accesses(cudasim):
    """Clear the race checker's records in time.

    A record tells its launch from the running one by 14 bits, so after 16384 launches an access to a reused address
    counts as one of this launch, and a kernel without a race is reported. Launches that are recorded (ours) all come by
    `launch.compiled`.
    """
    compiled, libc, last = launch.compiled, ctypes.CDLL(None, use_errno=True), cudasim.launches()

    def clearing(*args):
        nonlocal last
        if cudasim.launches() - last >= 8192:
            last = cudasim.launches()
            if libc.madvise(*RACE_RECORDS, MADV_DONTNEED):
                raise OSError(ctypes.get_errno(), "cannot clear the race checker's records")
        return compiled(*args)

    launch.compiled = clearing


def mend(cupy, cudasim):
    """Both."""
    keep_to_whole_pages(cupy)
    if os.environ.get("CUDASIM_RACECHECK", "0") != "0":
        forget_old_accesses(cudasim)
