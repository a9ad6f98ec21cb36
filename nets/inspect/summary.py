"""A network as a table (`snippets summary`): layer, output shape, parameters, multiply-adds, bytes of activations."""

from typing import NamedTuple

import numpy as np

from snippets.layers.core.base import Sequential
from snippets.layers.core.branches import Branches
from snippets.nets.auxiliary import SideHeads
from snippets.nets.frames import OverFrames, fold, unfold
from snippets.nets.inspect.cost import Ghost, Meter, stand_in


class Row(NamedTuple):
    name: str
    kind: str
    shape: tuple  # of the output
    params: int
    madds: int  # multiply-adds of the matrix products of one forward pass
    bytes: int  # of the output


def walk(layer, x, name=""):
    """A Row for each layer inside of `layer`, for an input x, a Ghost; returns the output."""
    if isinstance(layer, SideHeads):
        return (yield from walk(layer.trunk, x, name))  # the side heads are for training only
    if isinstance(layer, Sequential):
        for child_name, child in layer.layers.items():
            x = yield from walk(child, x, f"{name}/{child_name}".strip("/"))
        return x
    if isinstance(layer, Branches):
        outputs = []
        for child_name, child in layer.layers.items():
            outputs.append((yield from walk(child, x, f"{name}/{child_name}".strip("/"))))
        return np.concatenate(outputs, axis=-1)
    if isinstance(layer, OverFrames):
        y = yield from walk(layer.layer, fold(x), name)
        return unfold(y, x.shape[1])
    y = stand_in(layer).predict(x)
    # each weight matrix (one with an input and an output axis) is used once for every position of the output
    matrices = [a for key, a in layer.params.items() if key.startswith("W") and key != "W_c"]
    positions = y.size // y.shape[-1]
    madds = positions * sum(a.size for a in matrices)
    yield Row(name, type(layer).__name__, y.shape, sum(a.size for a in layer.params.values()), madds, y.nbytes)
    return y


def rows(net, shape):
    """The Rows of `net` for an input of `shape`."""
    return list(walk(net, Ghost(Meter(), shape)))


def table(net, shape):
    """The summary as text."""
    lines = [f"{'layer':34} {'kind':16} {'output':>22} {'parameters':>12} {'multiply-adds':>16} {'activations':>12}"]
    found = rows(net, shape)
    for row in found:
        size = " x ".join(map(str, row.shape))
        lines.append(
            f"{row.name:34} {row.kind:16} {size:>22} {row.params:12,} {row.madds:16,} {row.bytes / 1e6:9.2f} MB"
        )
    params, madds, size = (sum(getattr(row, field) for row in found) for field in ("params", "madds", "bytes"))
    total = f"total, input {' x '.join(map(str, shape))}"
    lines.append(f"{total:74} {params:12,} {madds:16,} {size / 1e6:9.2f} MB")
    return "\n".join(lines)
