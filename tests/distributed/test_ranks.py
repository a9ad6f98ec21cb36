"""One of several ranks, with MPI replaced: who is one, and what it sends to the others and gets."""

import os
import sys
import warnings
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from mpi_stand_in import Comm, mpi_stand_in

from snippets.training.alone import ALONE
from snippets.training.distributed import ranks as module
from snippets.training.distributed.ranks import LAUNCHERS, MPIRanks, print_traceback, ranks


@pytest.fixture(autouse=True)
def mpi(monkeypatch):
    """On a machine of four cores."""
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    return mpi_stand_in(monkeypatch)


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
