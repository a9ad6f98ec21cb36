r"""Synchronous data parallel: every rank holds the whole net and takes its share of each batch; gradients are added.

    mpiexec -n 4 snippets train DATA ...

The loss is a sum over clips, so the large batch's gradient is the sum of the ranks' gradients, and all ranks make the
same update from it; R ranks are one process with the same batch, only faster. What has to hold for that:

    the same bits at the start      rank 0 sends its parameters, velocity and position in the run
    disjoint data                   rank r takes rows r, r + R, r + 2R ... of each batch, which may be none
    the same decision everywhere    losses are added before anyone looks at them, and so is "somebody pressed Ctrl-C"

The gradient is one vector (training/parameters.py), filled from its end because the backward pass begins with the last
layer. Whatever part is complete travels in chunks while the layers before it are still computing. NumPy arrays go
through MPI; CuPy arrays through NCCL, one device per rank.
"""

import contextlib
import os
import signal
import socket
import sys
import time
import traceback
import warnings
import zlib
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import to_numpy, usable_cores, xp_of
from snippets.training.alone import ALONE, Ranks
from snippets.training.distributed.hosts import check_installed, installed
from snippets.training.parameters import empty_like, slices, views

CHUNK = 1 << 20  # bytes in one all-reduce
TOGETHER = 3  # seconds in which all ranks find what all of them find; after that, a rank speaks for itself
LAUNCHERS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE")  # set by mpiexec


def print_traceback(error, who=""):
    """Print an error as Python does. who: the rank that it is of, if not the first."""
    print(who, end="", file=sys.stderr)
    traceback.print_exception(error)


def ranks(report=print_traceback):
    """The ranks that mpiexec started, or this process alone. ModuleNotFoundError without mpi4py.

    report: is called with an error that ends them all, and with words that name the rank, if it is not the first.
    """
    started = max(int(os.environ.get(name, 1)) for name in LAUNCHERS)
    return MPIRanks(started, report=report) if started > 1 else ALONE


class MPIRanks(Ranks):
    """The ranks of an MPI communicator. As a context: shares out cores, stops on Ctrl-C at one step, fails together."""

    def __init__(self, started=None, comm=None, report=print_traceback):
        if os.environ.get("MPI_LOCALNRANKS", "") == os.environ.get("PMI_SIZE"):  # all on this machine
            os.environ.setdefault("UCX_NET_DEVICES", "lo")  # so MPICH need not listen to others
        try:
            with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # said better below
                from mpi4py import MPI
        except (ImportError, RuntimeError) as error:  # RuntimeError: there is mpi4py, but no MPI for it
            found = str(error).partition("\n")[0]
            raise ModuleNotFoundError(
                f'mpiexec needs mpi4py and an MPI library: pip install -e ".[mpi]", or the system\'s own MPI where pip '
                f"has no MPICH ({found})"
            ) from error
        self.comm = comm or MPI.COMM_WORLD
        self.rank, self.size, self.in_place = self.comm.rank, self.comm.size, MPI.IN_PLACE
        self.library = MPI.Get_library_version().split("\n")[0].strip()
        if started not in (None, self.size):
            raise OSError(
                f"mpiexec started {started} processes, but mpi4py sees {self.size}: they belong to two different MPIs "
                f"({self.library}); use the mpiexec that was installed with it"
            )
        self.host = self.comm.Split_type(MPI.COMM_TYPE_SHARED)  # the ranks of this machine
        self.crowded = self.host.size > usable_cores()
        self.failed = self.comm.Dup()  # for those that have, so that they meet beside whatever the others wait for
        if self.host.rank == 0:
            forget_shared_memory()
        self.stop, self.nccl, self.report = False, None, report

    def backward(self, params):
        return Reducer(self, params)

    def sum(self, *arrays):
        self.finish([self.comm.Iallreduce(self.in_place, a) for a in arrays])

    def same(self, value):
        if not isinstance(value, dict) or not all(hasattr(a, "dtype") for a in value.values()):
            return self.comm.bcast(value)
        for a in value.values():
            sent = np.ascontiguousarray(to_numpy(a))
            self.comm.Bcast(sent)
            a[...] = xp_of(a).asarray(sent)
        return value

    def check_same(self, arrays):
        sums = [zlib.crc32(np.ascontiguousarray(to_numpy(a))) for a in arrays.values()]
        if sums != self.comm.bcast(sums):
            keys = [key for key, s, zero in zip(arrays, sums, self.comm.bcast(sums), strict=True) if s != zero]
            raise RuntimeError(f"rank {self.rank} has other numbers than rank 0 in {', '.join(keys[:5])}")

    def start(self, part):
        """Begin to add a contiguous part of the gradient over ranks; returns what `finish` waits for."""
        if xp_of(part) is np:
            return self.comm.Iallreduce(self.in_place, part)
        self.nccl = self.nccl or NCCL(self)
        return self.nccl.start(part)

    def finish(self, pending):
        """Wait; ranks that outnumber the cores give theirs to each other, where MPI alone would wait in a busy loop."""
        for request in pending:
            while self.crowded and not request.Test():
                time.sleep(0)
            request.Wait()

    def __enter__(self):
        """Each rank gets its part of the cores of its machine, unless mpiexec has bound it already."""
        if hasattr(os, "sched_setaffinity") and self.host.size > 1:
            cores = sorted(os.sched_getaffinity(0))
            if len(set(self.host.allgather(tuple(cores)))) == 1:
                mine = cores[self.host.rank :: self.host.size] or [cores[self.host.rank % len(cores)]]
                os.sched_setaffinity(0, mine)
                threadpool_limits(len(mine), "blas")
        if self.rank:
            sys.stdout = open(os.devnull, "w")  # rank 0 speaks for all, to the end of the process
        signal.signal(signal.SIGINT, lambda *_: setattr(self, "stop", True))
        if self.host.size < self.size:
            try:
                self.check_hosts()
            except OSError as error:
                self.__exit__(type(error), error, None)
        return self

    def check_hosts(self):
        """OSError, on all ranks the same, if a host has other code or other versions than that of rank 0."""
        mine, wrong = installed(), None
        try:
            check_installed(self.comm.bcast(mine), mine, f"host {socket.gethostname()} (rank {self.rank})")
        except OSError as error:
            wrong = error
        for error in filter(None, self.comm.allgather(wrong)):
            raise error

    def __exit__(self, kind, error, _):
        """An error on one rank ends them all: the others would wait for it for ever."""
        if kind is None or issubclass(kind, (KeyboardInterrupt, SystemExit)):
            return
        if self.rank == 0:
            self.report(error, "")
        others, until = self.failed.Ibarrier(), time.monotonic() + TOGETHER
        while not (all_failed := others.Test()) and time.monotonic() < until:
            time.sleep(0.02)
        if self.rank and not all_failed:  # what all ranks have found, rank 0 says once
            where = f" on host {socket.gethostname()}" if self.host.size < self.size else ""
            self.report(error, f"rank {self.rank}{where}: ")
        if "HYDI_CONTROL_FD" not in os.environ:  # MPICH's mpiexec ends the others by itself, and clears up only then
            self.comm.Abort(1)
        os._exit(1)


def forget_shared_memory():
    """Unlinks MPICH's file in /dev/shm, which all ranks here have mapped by now and which a killed one would leave."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            if (path := line.split()[-1]).startswith("/dev/shm/mpich_shm"):
                os.unlink(path)


class Reducer:
    """The backward pass whose gradients come out summed over ranks; call it once per step, on every rank.

    `params`: the trained parameters. Chunks are cut from the end of the vector at the same places on all ranks.
    """

    def __init__(self, ranks, params, chunk=CHUNK):
        self.ranks, self.where = ranks, slices(params)
        self.flat = empty_like(params, 0)
        self.grads = views(self.flat, params)
        self.chunk = max(1, chunk // self.flat.itemsize)

    def __call__(self, net, dscores, cache):
        """The gradients of the trained parameters, summed over ranks: `grads`, the views of `flat`, written anew.

        A chunk starts on its way as soon as all of it is computed, the last and perhaps smaller one at the end, and
        the sums are there when `finish` has waited for all. dscores None: this rank had no clip in the batch; it adds
        zeros.
        """
        pending, sent = [], self.flat.size  # what stands at or after `sent` is on its way
        if dscores is None:
            self.flat.fill(0)
        else:
            for grads in backward_in_parts(net, dscores, cache):
                keys = [key for key in grads if key in self.grads]  # the others are frozen
                for key in keys:
                    self.grads[key][...] = grads[key]
                complete = min((self.where[key].start for key in keys), default=sent)
                while sent - complete >= self.chunk:
                    pending.append(self.ranks.start(self.flat[sent - self.chunk : sent]))
                    sent -= self.chunk
        while sent > 0:
            first = max(0, sent - self.chunk)
            pending.append(self.ranks.start(self.flat[first:sent]))
            sent = first
        self.ranks.finish(pending)
        return self.grads


def backward_in_parts(net, dy, cache):
    """`net.backward`, handing out the gradients of a Sequential layer by layer, the last layer's first."""
    if type(net) is not Sequential:
        yield net.backward(dy, cache)[1]
        return
    for (name, layer), layer_cache in zip(reversed(net.layers.items()), reversed(cache), strict=True):
        dy, grads = layer.backward(dy, layer_cache)
        yield {f"{name}/{key}": g for key, g in grads.items()}


class NCCL:
    """All-reduce between GPUs, on a stream of its own beside the computation. OSError where NCCL is absent."""

    def __init__(self, ranks):
        import cupy

        with warnings.catch_warnings(action="ignore"):  # said better below
            from cupy.cuda import nccl
        if not getattr(nccl, "available", False):
            raise OSError(
                "summing gradients over GPUs needs NCCL, which this CuPy does not find: pip install nvidia-nccl-cu13 "
                "(cu12 for CUDA 12), or train on the CPU, or with one rank"
            )
        self.cupy, self.lib = cupy, nccl
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.comm = nccl.NcclCommunicator(ranks.size, ranks.same(nccl.get_unique_id()), ranks.rank)

    def start(self, part):
        kind = {"float32": self.lib.NCCL_FLOAT32, "float64": self.lib.NCCL_FLOAT64}[part.dtype.name]
        here = self.cupy.cuda.get_current_stream()
        self.stream.wait_event(here.record())  # not before this part is computed
        pointer = part.data.ptr
        self.comm.allReduce(pointer, pointer, part.size, kind, self.lib.NCCL_SUM, self.stream.ptr)
        return self

    def Test(self):
        return True

    def Wait(self):
        """The computation goes on when the sums are there; the host does not wait."""
        self.cupy.cuda.get_current_stream().wait_event(self.stream.record())
