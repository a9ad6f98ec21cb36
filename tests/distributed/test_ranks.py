"""One of several ranks, with MPI replaced: what it tells the others, how it shares its machine, how all of them end."""

import os
import signal
import sys
import warnings
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from snippets.training.alone import ALONE
from snippets.training.distributed import ranks as module
from snippets.training.distributed.hosts import installed
from snippets.training.distributed.ranks import LAUNCHERS, MPIRanks, print_traceback, ranks

IN_PLACE, SHARED = "in place", "by memory"


class Request:
    """Something under way, which is done at the n-th look, or once it is waited for."""

    def __init__(self, looks=0):
        self.looks, self.waited = looks, 0

    def Test(self):
        self.looks -= 1
        return self.looks < 0

    def Wait(self):
        self.waited += 1


class Comm:
    """A communicator as one rank sees it. root: what rank 0 sends; others: what the other ranks have gathered."""

    def __init__(self, rank=0, size=1, host=None):
        self.rank, self.size, self.hosts, self.told, self.others = rank, size, host, [], []
        self.requests, self.left = [], 0

    def Split_type(self, kind):
        assert kind == SHARED
        return self.hosts or self

    def Dup(self):
        self.second = Comm(self.rank, self.size)
        return self.second

    def bcast(self, value):
        return self.root if self.rank else value

    def Bcast(self, a):
        assert a.flags["C_CONTIGUOUS"]
        a[...] = self.root[a.shape] if self.rank else a

    def allgather(self, value):
        return [*self.others, value]

    def Iallreduce(self, how, a):
        assert how == IN_PLACE
        self.told.append(a.copy())
        self.requests.append(Request(self.left))
        return self.requests[-1]

    def Ibarrier(self):
        self.requests.append(Request(self.left))
        return self.requests[-1]

    def Abort(self, code):
        self.told.append(f"abort {code}")


@pytest.fixture(autouse=True)
def mpi(monkeypatch):
    """mpi4py, started by nobody; its library is that of two lines. World: one rank, unless a test takes another."""
    for name in (*LAUNCHERS, "MPI_LOCALNRANKS", "UCX_NET_DEVICES", "HYDI_CONTROL_FD"):
        monkeypatch.setenv(name, "")  # which it is again afterwards, whatever the code sets
        monkeypatch.delenv(name)
    mpi = SimpleNamespace(
        COMM_WORLD=Comm(), IN_PLACE=IN_PLACE, COMM_TYPE_SHARED=SHARED, Get_library_version=lambda: " MPI 4 \nsecond"
    )
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    return mpi


@pytest.fixture
def forgotten(monkeypatch):
    """The ranks that have unlinked the memory that they share."""
    found = []
    monkeypatch.setattr(module, "forget_shared_memory", lambda: found.append(1))
    return found


@pytest.mark.parametrize("name", LAUNCHERS)
def test_who_has_been_started_by_mpiexec(name, mpi, forgotten, monkeypatch):
    """Any launcher says how many there are; one alone needs no MPI."""
    assert ranks() is ALONE
    monkeypatch.setenv(name, "1")
    assert ranks() is ALONE
    monkeypatch.setenv(name, "2")
    with pytest.raises(
        OSError, match=r"^mpiexec started 2 processes, but mpi4py sees 1: .* \(MPI 4\); use the mpiexec"
    ):
        ranks()
    mpi.COMM_WORLD = Comm(1, 2)
    team = ranks(print)
    assert (team.rank, team.size, team.stop, team.report, team.library) == (1, 2, False, print, "MPI 4")
    assert ranks().report is print_traceback


def test_an_error_of_no_command_is_a_traceback(capsys):
    for who, start in (((), "ValueError: broken"), (("rank 1: ",), "rank 1: ValueError: broken")):
        print_traceback(ValueError("broken"), *who)
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(start)


@pytest.mark.parametrize(
    "local, size, devices", [("2", "2", "lo"), ("1", "2", None), (None, "2", None), (None, None, None)]
)
def test_ranks_of_one_machine_listen_to_no_other(local, size, devices, forgotten, monkeypatch):
    for name, value in (("MPI_LOCALNRANKS", local), ("PMI_SIZE", size)):
        monkeypatch.setenv(name, value) if value else None
    MPIRanks()
    assert os.environ.get("UCX_NET_DEVICES") == devices
    monkeypatch.setenv("UCX_NET_DEVICES", "mine")
    MPIRanks()
    assert os.environ["UCX_NET_DEVICES"] == "mine"


def test_other_warnings_of_mpi4py_are_not_hidden(forgotten, monkeypatch):
    """It warns of two MPIs, which is said as an error, and better."""

    class Warns(ModuleType):
        kind = RuntimeWarning

        def __getattr__(self, name):
            warnings.warn("of mpi4py", self.kind, stacklevel=1)
            raise ImportError("no library\nat all")

    found = Warns("mpi4py")
    monkeypatch.setitem(sys.modules, "mpi4py", found)
    with pytest.raises(ModuleNotFoundError, match=r"mpiexec needs mpi4py .* \(no library\)$"):
        MPIRanks()
    found.kind = DeprecationWarning
    with pytest.raises(DeprecationWarning, match="of mpi4py"):
        MPIRanks()


@pytest.mark.parametrize("of_host, unlinks, crowded", [((0, 4), 1, False), ((1, 4), 0, False), ((0, 5), 1, True)])
def test_the_first_rank_of_a_machine_unlinks_what_its_ranks_share(of_host, unlinks, crowded, forgotten):
    team = MPIRanks(8, Comm(3, 8, Comm(*of_host)))
    assert len(forgotten) == unlinks and team.crowded == crowded


def test_shared_memory_of_this_mpi_alone_is_unlinked(monkeypatch):
    """As /proc/self/maps lists it; a file that is gone already does not matter, nor does a system without that list."""
    shared = [f"7f00-7f01 rw-s 00000000 00:1a {i} /dev/shm/mpich_shm_{i}" for i in range(2)]
    maps = ["7f00-7f01 rw-p 00000000 00:00 0", *shared, "7f02-7f03 r--p 0 0:0 9 /dev/shm/other", *shared[:1]]
    gone = []

    def unlink(path):
        if path in gone:
            raise FileNotFoundError(path)
        gone.append(path)

    monkeypatch.setattr(module.os, "unlink", unlink)
    monkeypatch.setattr(module, "Path", lambda path: SimpleNamespace(read_text=lambda: read(path)))

    def read(path):
        assert path == "/proc/self/maps"
        return "\n".join(maps)

    module.forget_shared_memory()
    assert gone == [f"/dev/shm/mpich_shm_{i}" for i in range(2)]

    def read(path):  # noqa: F811
        raise OSError("no such file")

    module.forget_shared_memory()


def test_values_of_rank_0(forgotten):
    """Objects as they are, arrays into those that are there; a dict with anything else is an object."""
    comm = Comm(1, 2)
    team = MPIRanks(comm=comm)
    for value in ({"a": np.zeros(2), "b": 3}, {}, 5, None):
        comm.root = {"of": "rank 0"} if value else {(): None}
        if value != {}:
            assert team.same(value) is comm.root
    comm.root = {(2, 3): np.arange(6.0).reshape(2, 3), (2,): [7, 8]}
    arrays = {"W": np.zeros((3, 2)).T, "b": np.zeros(2, np.float32)}
    assert team.same(arrays) is arrays
    np.testing.assert_array_equal(arrays["W"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(arrays["b"], np.array([7, 8], np.float32), strict=True)


def test_a_rank_that_has_drifted_names_five_arrays(forgotten):
    arrays = {f"p{i}": np.full(3, float(i)) for i in range(8)}
    first = Comm(0, 2)
    MPIRanks(comm=first).check_same(arrays)
    comm = Comm(1, 2)
    team = MPIRanks(comm=comm)
    comm.root = [module.zlib.crc32(a) for a in arrays.values()]
    team.check_same(arrays)
    for i in range(7):
        comm.root[7 - i] += 1
    with pytest.raises(RuntimeError, match="^rank 1 has other numbers than rank 0 in p1, p2, p3, p4, p5$"):
        team.check_same(arrays)


@pytest.mark.parametrize("crowded, naps, waited", [(False, [], [3, 3]), (True, [0] * 6, [-1, -1])])
def test_ranks_that_outnumber_the_cores_do_not_wait_in_a_busy_loop(crowded, naps, waited, forgotten, monkeypatch):
    found = []
    monkeypatch.setattr(module.time, "sleep", found.append)
    comm = Comm(0, 2, Comm(0, 5 if crowded else 2))
    comm.left = 3
    MPIRanks(comm=comm).sum(np.ones(2), np.zeros(1))
    assert found == naps and [request.looks for request in comm.requests] == waited
    assert [request.waited for request in comm.requests] == [1, 1]
    assert [a.tolist() for a in comm.told] == [[1, 1], [0]]


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
def test_ranks_share_the_cores_of_their_machine(rank, size, bound, process, forgotten):
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


def test_a_system_that_binds_no_process(process, forgotten, monkeypatch):
    monkeypatch.delattr(module.os, "sched_setaffinity")
    with MPIRanks(comm=Comm(0, 2)):
        assert not process.threads


@pytest.mark.parametrize("rank", [0, 1])
def test_rank_0_speaks_for_all(rank, process, forgotten):
    before = sys.stdout
    with MPIRanks(comm=Comm(rank, 2)):
        now = sys.stdout
    assert (now is before) == (rank == 0) == (sys.stdout is before)  # to the end of the process
    if rank:
        assert now.name == os.devnull and now.writable()
        now.close()


@pytest.mark.parametrize("hosts", [1, 2])
def test_hosts_compare_what_is_installed(hosts, process, forgotten, capsys):
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
def test_an_error_ends_all_ranks(rank, hosts, together, process, forgotten, monkeypatch):
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


def test_who_ends_the_other_ranks(process, forgotten, monkeypatch):
    """MPICH's mpiexec does it by itself; what a user has asked for is no error."""
    comm = Comm(0, 2)
    team = MPIRanks(comm=comm, report=lambda *args: None)
    for kind in (None, KeyboardInterrupt, SystemExit):
        team.__exit__(kind, kind and kind(), None)
    assert not process.ended and not comm.told and not comm.second.requests
    monkeypatch.setenv("HYDI_CONTROL_FD", "7")
    team.__exit__(OSError, OSError("full"), None)
    assert process.ended == [1] and not comm.told
