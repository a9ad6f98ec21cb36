"""One process on its own: what training asks of many ranks (`training.distributed.ranks`), and the trivial answers."""


class Ranks:
    """This process is rank 0 of 1. `stop`: somebody has pressed Ctrl-C."""

    rank, size, stop = 0, 1, False

    def __init__(self):
        self.host = self  # the ranks of this machine

    def backward(self, params):
        """A function (net, dscores, cache) -> gradients of `params`, a dict, summed over ranks."""
        return lambda net, dscores, cache: net.backward(dscores, cache)[1]

    def sum(self, *arrays):
        """Add up NumPy arrays over ranks, in place."""

    def same(self, value):
        """Rank 0's value, on every rank: any small Python object, or a dict of arrays, which is filled in place."""
        return value

    def check_same(self, arrays):
        """RuntimeError if the ranks' arrays have drifted apart."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


ALONE = Ranks()
