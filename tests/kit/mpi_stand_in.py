"""MPI as one rank sees it, in this process: what the others send is told beforehand, and what it is asked is noted."""

import sys
from types import SimpleNamespace

from snippets.training.distributed.ranks import LAUNCHERS

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


def mpi_stand_in(monkeypatch):
    """`from mpi4py import MPI` gives what this returns, of a world of one rank, as if mpiexec had started nothing."""
    for name in (*LAUNCHERS, "MPI_LOCALNRANKS", "UCX_NET_DEVICES", "HYDI_CONTROL_FD"):
        monkeypatch.setenv(name, "")  # which it is again afterwards, whatever the code sets
        monkeypatch.delenv(name)
    mpi = SimpleNamespace(
        COMM_WORLD=Comm(), IN_PLACE=IN_PLACE, COMM_TYPE_SHARED=SHARED, Get_library_version=lambda: " MPI 4 \nsecond"
    )
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))
    return mpi
