"""Runs under mpiexec, on every rank (test_sync.py): the ranks' summed gradients are the large batch's."""

import itertools
import sys

import numpy as np

from snippets.layers.core.base import Sequential
from snippets.layers.linear import Linear
from snippets.layers.lstm import PeepholeLSTM
from snippets.nets.zoo import NetConfig, build
from snippets.training.distributed.column_parallel import ColumnLinear
from snippets.training.distributed.ranks import MPIRanks, Reducer
from snippets.training.objective import Weighting, loss_and_gradient


def double(net, seed):
    rng = np.random.default_rng(seed)
    net.convert(lambda a: a.astype(np.float64))
    for a in net.params.values():
        a += rng.normal(0, 0.1, a.shape)
    return net


def nets():
    """Nets with their input: a head, a whole tower in chunks, and one that is no Sequential, which is sent at once."""
    small = dict(classes=3, size=36, width=1 / 12, fc=24, units=6, depth=2, dropout=0.0)
    yield build(NetConfig(tower="features", features=8, frames=4, **small), 1), (4, 8)
    yield build(NetConfig(head="lstm", frames=3, **small), 2), (3, 36, 36, 3)
    rng = np.random.default_rng(3)
    yield type("Other", (Sequential,), {})(lstm=PeepholeLSTM(8, 5, rng), scores=Linear(5, 3, rng)), (4, 8)


def check_gradients(ranks):
    for net, shape in nets():
        double(net, 4)
        for chunk in (1 << 20, 1 << 12):
            backward = Reducer(ranks, net.params, chunk)  # for all steps, as in a training
            for loss, N in itertools.product(("sum", "mean"), (8, 7, 2, 1)):  # uneven, and fewer clips than ranks
                rng = np.random.default_rng(N)
                x, labels = rng.standard_normal((N, *shape)), rng.integers(0, 3, N)
                want = loss_and_gradient(net, x, labels, weighting=Weighting(loss))[3]
                mine = slice(ranks.rank, None, ranks.size)
                n = len(labels[mine])
                if n:
                    weighting = Weighting(loss, share=n / N if loss == "mean" else 1.0)
                    got = loss_and_gradient(net, x[mine], labels[mine], None, weighting, backward)[3]
                else:
                    got = backward(net, None, None)
                for key, g in want.items():
                    far = np.abs(got[key] - g).max() / np.abs(g).max()
                    assert far < 1e-12, (shape, loss, N, chunk, key, far)


def check_start(ranks):
    """Ranks that begin apart continue from the bits of rank 0; a rank that drifts is found."""
    arrays = {"W": np.full((3, 2), ranks.rank, np.float32), "b": np.arange(4.0) * ranks.rank}
    ranks.same(arrays)
    assert not arrays["W"].any() and not arrays["b"].any()
    ranks.check_same(arrays)
    assert ranks.same({"step": ranks.rank}) == {"step": 0}


def check_columns(ranks):
    """A layer whose columns are spread over the ranks computes what the whole layer computes."""
    rng = np.random.default_rng(0)
    whole = double(Linear(7, 10, rng), 1)
    split = ColumnLinear(ranks, **whole.params)
    x, dy = rng.standard_normal((2, 5, 7)), rng.standard_normal((2, 5, 10))
    y, cache = whole.forward(x)
    dx, grads = whole.backward(dy, cache)
    got, cache = split.forward(x)
    got_dx, got_grads = split.backward(dy, cache)
    mine = split.columns
    pairs = [(got, y), (got_dx, dx), (got_grads["W"], grads["W"][:, mine]), (got_grads["b"], grads["b"][mine])]
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    widths = ranks.comm.allgather(split.params["W"].size)
    assert sum(widths) == whole.params["W"].size and max(widths) - min(widths) <= 7  # a column at most


def check_listeners():
    """On one machine, ranks listen to no other; what mpiexec itself listens on, they have inherited."""
    import psutil

    me = psutil.Process()
    mine, mpiexec = (
        {c.laddr for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        for process in (me, me.parent())
    )
    assert {address.ip for address in mine - mpiexec} <= {"127.0.0.1", "::1"}, (mine, mpiexec)


if __name__ == "__main__":
    with MPIRanks(int(sys.argv[1])) as ranks:
        check_start(ranks)
        check_listeners()
        check_gradients(ranks)
        check_columns(ranks)
        if ranks.rank == 0:
            print("equal")
