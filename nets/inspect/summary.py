"""A network as a table (`snippets summary`): layer, output shape, parameters, multiply-adds, bytes of activations."""

import math
from typing import NamedTuple

from snippets.nets.inspect.fake import FakeArray, Meter, fake
from snippets.nets.inspect.layer_memory import size_of


class LayerRow(NamedTuple):
    """A layer of a network, as the summary shows it."""

    name: str
    kind: str
    shape: tuple  # of the output
    params: int
    madds: int  # multiply-adds of the matrix products of one forward pass
    bytes: int  # of the output


def layer_rows(net, shape):
    """A LayerRow for each layer that is no container, for an input of `shape`; auxiliary heads are left out."""
    meter, found = Meter(), {}
    fake(net).predict(FakeArray(meter, shape))
    for name, layer, y in meter.calls:  # a tower's layer is called for each chunk of frames
        frames = found[name][1][0] if name in found else 0
        found[name] = layer, (frames + y[0], *y[1:])
    return [_row(name, layer, y) for name, (layer, y) in found.items()]


def _row(name, layer, y):
    # each weight matrix (one with an input and an output axis) is used once for every position of the output
    matrices = [a for key, a in layer.params.items() if key.startswith("W") and key != "W_c"]
    madds = math.prod(y[:-1]) * sum(a.size for a in matrices)
    return LayerRow(name, type(layer).__name__, y, sum(a.size for a in layer.params.values()), madds, size_of(*y))


def summary(net, shape):
    """The table as text, for an input of `shape`."""
    lines = [f"{'layer':34} {'kind':16} {'output':>22} {'parameters':>12} {'multiply-adds':>16} {'activations':>12}"]
    rows = layer_rows(net, shape)
    for row in rows:
        size = " x ".join(map(str, row.shape))
        lines.append(
            f"{row.name:34} {row.kind:16} {size:>22} {row.params:12,} {row.madds:16,} {row.bytes / 1e6:9.2f} MB"
        )
    params, madds, size = (sum(getattr(row, field) for row in rows) for field in ("params", "madds", "bytes"))
    total = f"total, input {' x '.join(map(str, shape))}"
    lines.append(f"{total:74} {params:12,} {madds:16,} {size / 1e6:9.2f} MB")
    return "\n".join(lines)
