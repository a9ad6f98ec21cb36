"""How gradients leave a rank: in chunks of a megabyte from the end, as soon as they are complete; NCCL's calls."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.layers.core.base import Sequential
from snippets.layers.linear import Linear
from snippets.training.distributed import ranks as module
from snippets.training.distributed.column_parallel import ColumnLinear
from snippets.training.distributed.ranks import NCCL, MPIRanks, Reducer


class Team:
    """Ranks of whom all others send zeros."""

    def __init__(self):
        self.sent, self.finished = [], []

    def start(self, part):
        self.sent.append(part.copy())
        return len(self.sent)

    def finish(self, pending):
        self.finished.append(list(pending))


def net(rng):
    """6 + 2, 6 + 3 and 12 + 4 parameters, of float64."""
    found = Sequential(a=Linear(3, 2, rng), b=Linear(2, 3, rng), c=Linear(3, 4, rng))
    found.convert(lambda a: a.astype(np.float64))
    return found


@pytest.mark.parametrize(
    "chunk, frozen, sizes",
    [
        (80, "", [[10], [10], [10, 3]]),  # ten numbers: 16, 25 and 33 are complete
        (128, "", [[16], [], [16, 1]]),
        (136, "", [[], [17], [16]]),
        (1, "", [[1] * 16, [1] * 9, [1] * 8]),
        (8 * 33, "", [[], [], [33]]),
        (8 * 34, "", [[], [], [33]]),
        (80, "b/", [[10], [], [10, 4]]),
        (80, "c/", [[], [], [10, 7]]),
        (1 << 20, "", [[], [], [33]]),
    ],
)
def test_what_is_complete_travels_at_once(chunk, frozen, sizes, rng):
    """From the vector's end; a frozen layer completes nothing; the sums are there when all have been waited for."""
    one, team = net(rng), Team()
    trained = {key: a for key, a in one.params.items() if not frozen or not key.startswith(frozen)}
    reducer, seen = Reducer(team, trained, chunk), []
    for layer in one.layers.values():
        backward = layer.backward
        layer.backward = lambda dy, cache, backward=backward: seen.append(len(team.sent)) or backward(dy, cache)
    x, dy = rng.standard_normal((5, 3)), rng.standard_normal((5, 4))
    for _ in range(2):
        team.sent.clear()
        team.finished.clear()
        seen.clear()
        y, cache = one.forward(x)
        grads = reducer(one, dy, cache)
        lengths = [part.size for part in team.sent]
        assert seen == [0, len(sizes[0]), len(sizes[0] + sizes[1])] and lengths == sum(sizes, [])
        assert team.finished == [list(range(1, len(lengths) + 1))]
        np.testing.assert_array_equal(np.concatenate(team.sent[::-1]), reducer.flat)
    want = net_gradients(one, x, dy)
    assert grads is reducer.grads and list(grads) == list(trained)
    for key, g in grads.items():
        np.testing.assert_array_equal(g, want[key])
    assert all(not g.any() for g in reducer(one, None, None).values())


def test_a_net_of_another_kind_is_sent_when_all_of_it_is_there(rng):
    one, team = net(rng), Team()
    other = type("Other", (Sequential,), {})(**one.layers)
    x, dy = rng.standard_normal((5, 3)), rng.standard_normal((5, 4))
    y, cache = other.forward(x)
    for key, g in Reducer(team, other.params, 136)(other, dy, cache).items():
        np.testing.assert_array_equal(g, net_gradients(one, x, dy)[key])
    assert [part.size for part in team.sent] == [17, 16]


def net_gradients(one, x, dy):
    y, cache = one.forward(x)
    return one.backward(dy, cache)[1]


def test_a_chunk_is_a_megabyte_unless_told():
    params = {"W": np.zeros(300_000, np.float32)}
    team = Team()
    Reducer(team, params)(None, None, None)
    assert [part.nbytes for part in team.sent] == [1 << 20, 1_200_000 - (1 << 20)]
    assert Reducer(team, params, 3).chunk == 1  # a number at least


class Stream:
    """Of CUDA: waits and marks in the order in which they were asked for."""

    def __init__(self, name, told):
        self.name, self.told, self.ptr = name, told, f"{name}'s pointer"

    def record(self):
        return f"mark of {self.name}"

    def wait_event(self, event):
        self.told.append(f"{self.name} waits for {event}")


def test_gpus_add_up_on_a_stream_of_their_own(monkeypatch):
    """Behind the computation of a part, which goes on behind the sums; nobody else waits."""
    told = []

    class Communicator:
        def __init__(self, *args):
            told.append(args)

        def allReduce(self, *args):
            told.append(args)

    nccl = SimpleNamespace(
        available=True,
        get_unique_id=lambda: "id",
        NcclCommunicator=Communicator,
        NCCL_FLOAT32=7,
        NCCL_FLOAT64=8,
        NCCL_SUM=0,
    )
    main = Stream("computation", told)
    cuda = SimpleNamespace(
        nccl=nccl, get_current_stream=lambda: main, Stream=lambda *, non_blocking: Stream(f"own {non_blocking}", told)
    )
    for name, found in (("cupy", SimpleNamespace(cuda=cuda)), ("cupy.cuda", cuda)):
        monkeypatch.setitem(sys.modules, name, found)
    monkeypatch.setattr(module, "xp_of", lambda a: "cupy")
    team = MPIRanks.__new__(MPIRanks)
    team.size, team.rank, team.nccl, team.crowded = 3, 2, None, True
    team.same = lambda value: f"rank 0's {value}"
    parts = [SimpleNamespace(dtype=np.dtype(kind), data=SimpleNamespace(ptr=1000), size=5) for kind in ("f4", "f8")]
    pending = [team.start(part) for part in parts]
    assert told[0] == (3, "rank 0's id", 2) and len(told) == 5  # one communicator for all parts
    for i, kind in enumerate((7, 8)):
        assert told[1 + 2 * i] == "own True waits for mark of computation"
        assert told[2 + 2 * i] == (1000, 1000, 5, kind, 0, "own True's pointer")
    team.finish(pending)
    assert told[5:] == ["computation waits for mark of own True"] * 2
    nccl.available = False
    with pytest.raises(OSError, match="needs NCCL, which this CuPy does not find: pip install"):
        NCCL(team)
    del nccl.available
    with pytest.raises(OSError, match="needs NCCL"):
        NCCL(team)


@pytest.mark.parametrize("R", [1, 2, 3])
def test_the_columns_of_ranks_add_up_to_the_whole_layer(R, rng):
    """Five columns; each rank adds its own to zeros, its part of dx to the others', and keeps its gradients."""
    whole = Linear(3, 5, rng)
    x, dy = rng.standard_normal((2, 4, 3)).astype(np.float32), rng.standard_normal((2, 4, 5)).astype(np.float32)
    y, cache = whole.forward(x)
    dx, grads = whole.backward(dy, cache)
    added, ends = [], []
    for rank in range(R):
        team = SimpleNamespace(rank=rank, size=R, sum=lambda a: added.append(a.copy()))
        part = ColumnLinear(team, **whole.params)
        mine, cache = part.forward(x)
        assert mine.dtype == np.float32 and part.params["W"].flags["C_CONTIGUOUS"]
        found = part.backward(dy, cache)[1]
        for key in ("W", "b"):
            np.testing.assert_array_equal(part.params[key], whole.params[key][..., part.columns])
            np.testing.assert_allclose(found[key], grads[key][..., part.columns], rtol=1e-5)
        assert not np.shares_memory(part.params["b"], whole.params["b"])
        ends.append((part.columns.start, part.columns.stop))
    assert ends == {1: [(0, 5)], 2: [(0, 2), (2, 5)], 3: [(0, 1), (1, 3), (3, 5)]}[R]
    np.testing.assert_allclose(sum(added[::2]), y, rtol=1e-5)
    np.testing.assert_allclose(sum(added[1::2]), dx, rtol=1e-4, atol=1e-6)
