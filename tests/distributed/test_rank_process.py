"""The process of a rank, with MPI replaced: its share of the machine, who speaks for all, how all of them end."""

import os
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from mpi_stand_in import Comm, mpi_stand_in

from snippets.training.distributed import ranks as module
from snippets.training.distributed.hosts import installed
from snippets.training.distributed.ranks import MPIRanks


@pytest.fixture(autouse=True)
def mpi(monkeypatch):
    """On a machine of four cores, whose shared memory stays."""
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    monkeypatch.setattr(module, "forget_shared_memory", lambda: None)
    return mpi_stand_in(monkeypatch)


@pytest.fixture
def process(monkeypatch):
    """What a rank changes of its process: cores, threads, output, the answer to Ctrl-C; `ended` with its code."""
    found = SimpleNamespace(cores=[5, 3, 9], threads=[], handlers={}, ended=[], bound=[])
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(
        module.os, "sched_getaffinity", lambda pid: set(found.cores) if pid == 0 else None, raising=False
    )
    monkeypatch.setattr(module.os, "sched_setaffinity", lambda *args: found.bound.append(args), raising=False)
    monkeypatch.setattr(module, "threadpool_limits", lambda *args: found.threads.append(args))
    monkeypatch.setattr(module.signal, "signal", lambda number, what: found.handlers.update({number: what}))
    monkeypatch.setattr(module.os, "_exit", found.ended.append)
    return found


@pytest.mark.parametrize(
    "rank, size, bound", [(0, 2, [3, 9]), (1, 2, [5]), (4, 5, [5]), (0, 1, None), (3, 3, None)], ids=str
)
def test_ranks_share_the_cores_of_their_machine(rank, size, bound, process):
    """In turn, none without one; a rank alone has all, and so have ranks that mpiexec has bound to others already."""
    apart = rank == size
    host = Comm(rank % size, size)
    host.others = [(1, 2)] if apart else [(3, 5, 9)] * (size - 1)
    with MPIRanks(comm=Comm(0, size, host)) as team:
        assert process.bound == ([(0, bound)] if bound else [])
        assert process.threads == ([(len(bound), "blas")] if bound else [])
        assert not team.stop and list(process.handlers) == [signal.SIGINT]
        process.handlers[signal.SIGINT](signal.SIGINT, None)
        assert team.stop is True


def test_a_system_that_binds_no_process(process, monkeypatch):
    monkeypatch.delattr(module.os, "sched_setaffinity")
    with MPIRanks(comm=Comm(0, 2)):
        assert not process.threads


@pytest.mark.parametrize("rank", [0, 1])
def test_rank_0_speaks_for_all(rank, process):
    before = sys.stdout
    with MPIRanks(comm=Comm(rank, 2)):
        now = sys.stdout
    assert (now is before) == (rank == 0) == (sys.stdout is before)  # to the end of the process
    if rank:
        assert now.name == os.devnull and now.writable()
        now.close()


@pytest.mark.parametrize("hosts", [1, 2])
def test_hosts_compare_what_is_installed(hosts, process, capsys):
    """All ranks find the same error, of which each ends; on one machine there is nothing to compare."""
    said = []
    comm = Comm(1, 4, Comm(1, 4 // hosts))
    comm.host, comm.root = comm.hosts, installed() | {"numpy": "1.0"}
    comm.others = [None, None]
    team = MPIRanks(comm=comm, report=lambda *args: said.append(args))
    with team:
        sys.stdout.close()
    name = os.uname().nodename
    words = f"host {name} (rank 1) has numpy {np.__version__} instead of 1.0: install the same on all hosts"
    assert process.ended == [1] * (hosts - 1) and comm.told == ["abort 1"] * (hosts - 1)
    found = comm.second.requests
    assert len(found) == hosts - 1
    if hosts == 2:
        with pytest.raises(OSError) as error:
            team.check_hosts()
        assert str(error.value) == words
        comm.others, comm.root = [None, OSError("of another rank")], installed()
        with pytest.raises(OSError, match="^of another rank$"):
            team.check_hosts()


@pytest.mark.parametrize("rank, hosts", [(0, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("together", [True, False])
def test_an_error_ends_all_ranks(rank, hosts, together, process, monkeypatch):
    """What all of them find within 3 s is said once, by rank 0; after that a rank speaks for itself."""
    clock, said, error = [0.0], [], ValueError("broken")
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def sleep(seconds):
        clock[0] += seconds
        assert said == ([(error, "")] if rank == 0 else [])

    monkeypatch.setattr(module.time, "sleep", sleep)
    comm = Comm(rank, 4, Comm(rank, 4 // hosts))
    team = MPIRanks(comm=comm, report=lambda *args: said.append(args))
    comm.second.left = 3 if together else 10**6
    team.__exit__(ValueError, error, None)
    where = f" on host {os.uname().nodename}" if hosts > 1 else ""
    alone = [(error, f"rank 2{where}: ")] if rank and not together else []
    assert said == ([(error, "")] if rank == 0 else alone)
    assert clock[0] == pytest.approx(3 * 0.02 if together else 3, abs=0.03)
    assert comm.told == ["abort 1"] and process.ended == [1] and comm.requests == []


def test_who_ends_the_other_ranks(process, monkeypatch):
    """MPICH's mpiexec does it by itself; what a user has asked for is no error."""
    comm = Comm(0, 2)
    team = MPIRanks(comm=comm, report=lambda *args: None)
    for kind in (None, KeyboardInterrupt, SystemExit):
        team.__exit__(kind, kind and kind(), None)
    assert not process.ended and not comm.told and not comm.second.requests
    monkeypatch.setenv("HYDI_CONTROL_FD", "7")
    team.__exit__(OSError, OSError("full"), None)
    assert process.ended == [1] and not comm.told
