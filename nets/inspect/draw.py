"""Draw a network as the paper's Figure 2 does: time to the right, depth upwards, a box for each layer and time.

`drawn_layers` reads the picture off the net itself: which layers it has, what each place in time of each layer reads of
the layer below, the shape that stands there, and the parameters, which all places of a layer share. `draw` paints it.
"""

from typing import NamedTuple

from snippets.data.files import write_figure
from snippets.layers.conv_lstm import ConvLSTM
from snippets.layers.core.base import Sequential
from snippets.layers.linear import Flatten, Linear
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.rnn import RNN
from snippets.layers.temporal import TemporalAvgPool, TemporalMaxPool, windows
from snippets.layers.time_conv import TimeConv, window_starts
from snippets.nets.frames import OverFrames
from snippets.nets.inspect.fake import FakeArray, Meter, fake
from snippets.nets.inspect.figure import new_figure
from snippets.nets.inspect.summary import layer_rows

COLOURS = {  # the paper's, and two more
    "frame": "#e8eaee",
    "convolutions": "#f4b9c7",
    "pooling": "#9cc4ea",
    "time-domain convolution": "#a8d8a2",
    "recurrent": "#cdb8ec",
    "fully connected": "#f8e08e",
    "softmax": "#f6b26b",
}
KINDS = {  # of the layers that are drawn, and what stands in their boxes
    OverFrames: ("convolutions", "C"),
    TimeConv: ("time-domain convolution", "conv"),
    TemporalMaxPool: ("pooling", "max"),
    TemporalAvgPool: ("pooling", "mean"),
    RNN: ("recurrent", "RNN"),
    PeepholeLSTM: ("recurrent", "LSTM"),
    ConvLSTM: ("recurrent", "ConvLSTM"),
    Linear: ("fully connected", "FC"),
}


class DrawnLayer(NamedTuple):
    """A layer that is drawn."""

    name: str  # in net.layers
    kind: str  # in COLOURS
    label: str
    spans: list  # (start, stop) of the frames over which each place in time lies
    reads: list  # for each place, the places of the layer below that it reads
    shape: tuple  # of one place's output
    params: int


def drawn_layers(net, shape):
    """The DrawnLayers of `net` on clips of `shape` (N, T, ...), from the frames up, without ReLU and the like."""
    x, T = FakeArray(Meter(), (1, *shape[1:])), shape[1]
    found = [DrawnLayer("frames", "frame", "", [(t, t + 1) for t in range(T)], [], x.shape[2:], 0)]
    timed = True  # whether the second axis is time
    for name, layer in _chain(net):
        y = fake(layer).predict(x)
        if isinstance(layer, (TemporalMaxPool, TemporalAvgPool)):
            timed = getattr(layer, "window", None) is not None
        elif isinstance(layer, Flatten):
            timed = timed and layer.start >= 2
        if type(layer) in KINDS and not (isinstance(layer, OverFrames) and not layer.params):  # pool and norm alone
            kind, label = ("softmax", "S") if name == "scores" else KINDS[type(layer)]
            below = found[-1].spans
            reads = _reads(layer, len(below), timed)
            spans = [(below[read[0]][0], below[read[-1]][1]) for read in reads]
            params = sum(row.params for row in layer_rows(layer, x.shape))
            found.append(DrawnLayer(name, kind, label, spans, reads, y.shape[2:] if timed else y.shape[1:], params))
        x = y
    return found


def _chain(layer, name=""):
    """(name, layer) of the layers in a chain, and in the chains that it holds."""
    if not isinstance(layer, Sequential):
        return [(name, layer)]
    return [pair for key, child in layer.layers.items() for pair in _chain(child, f"{name}/{key}".strip("/"))]


def _reads(layer, n, timed):
    """Of n places in the layer below, those that each place of the layer reads."""
    if not timed:
        return [list(range(n))]
    if isinstance(layer, TimeConv):
        kt = layer.params["W"].shape[0]
        return [list(range(start, start + kt)) for start in window_starts(n, kt, layer.stride)]
    if isinstance(layer, TemporalMaxPool):
        return [list(range(*span)) for span in windows(n, layer.window, layer.stride)]
    return [[m] for m in range(n)]


def shape_text(shape):
    """7 × 7 × 256."""
    return " × ".join(map(str, shape))


def draw(net, shape, path, title=""):
    """Write the picture of `net` on clips of `shape` to the file `path` (PNG, SVG, PDF ...)."""
    from matplotlib.patches import FancyBboxPatch

    found, T = drawn_layers(net, shape), shape[1]
    unit, pitch = 6.0 / T, 0.72  # inches per frame, and from row to row
    width, height = 6.0 + 4.3, pitch * len(found) + 1.0
    figure = new_figure(width, height, facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1), xlim=(-0.3, width - 0.3), ylim=(-0.42, height - 0.42))
    ax.axis("off")
    tops, tall = [], 0.0  # of the row below: the middles of its boxes, and their height
    for level, row in enumerate(found):
        bottom, high = level * pitch, 0.42 if row.kind != "frame" else 0.3
        centres = [unit * (start + stop) / 2 for start, stop in row.spans]
        apart = min((b - a for a, b in zip(centres, centres[1:], strict=False)), default=6.0)
        room = min(apart, unit * (row.spans[0][1] - row.spans[0][0]))
        if len(centres) == 1 and row.kind in ("fully connected", "softmax"):
            room *= 0.5
        wide = room - min(0.12, 0.25 * room)
        for centre, read in zip(centres, row.reads or [[]] * T, strict=True):
            for below in read:
                end = min(max(tops[below], centre - 0.4 * wide), centre + 0.4 * wide)
                ax.plot([tops[below], end], [bottom - pitch + tall, bottom], color="#8a8f99", lw=0.8, zorder=1)
            box = FancyBboxPatch(
                (centre - wide / 2, bottom), wide, high, boxstyle="round,pad=0,rounding_size=0.05",
                facecolor=COLOURS[row.kind], edgecolor="#5b616e", lw=0.9, zorder=2,
            )  # fmt: skip
            ax.add_patch(box)
            label = row.label if row.kind != "frame" else str(row.spans[centres.index(centre)][0] + 1)
            label = "softmax" if label == "S" and wide > 0.8 else label
            points = min(11, 72 * wide / (0.85 * max(2, len(label))))  # as large as fits
            ax.text(
                centre, bottom + high / 2, label, ha="center", va="center", fontsize=points, color="#23262d", zorder=3
            )
        if row.kind == "recurrent":
            for left, right in zip(centres, centres[1:], strict=False):
                ax.annotate(
                    "", (right - wide / 2, bottom + high / 2), (left + wide / 2, bottom + high / 2),
                    arrowprops=dict(arrowstyle="-|>", color="#5b3f94", lw=1.2, shrinkA=0, shrinkB=0, mutation_scale=8),
                    zorder=3,
                )  # fmt: skip
        ax.text(6.25, bottom + high / 2, row.name, va="center", fontsize=10.5, weight="bold", color="#23262d")
        ax.text(7.55, bottom + high / 2, shape_text(row.shape), va="center", fontsize=9.5, color="#444a55")
        if row.params:
            ax.text(width - 0.42, bottom + high / 2, f"{row.params:,}", va="center", ha="right", fontsize=9.5)
        tops, tall = centres, high
    ax.annotate("", (6.0, -0.16), (0.0, -0.16), arrowprops=dict(arrowstyle="-|>", color="#8a8f99", lw=1.0))
    ax.text(3.0, -0.31, "time", ha="center", va="center", fontsize=9, color="#6b717d")
    top = pitch * len(found) - 0.1
    ax.text(0.0, top + 0.42, title, fontsize=13.5, weight="bold", color="#23262d", va="center")
    for x, text, side in ((6.25, "layer", "left"), (7.55, "each place", "left"), (width - 0.42, "parameters", "right")):
        ax.text(x, top + 0.08, text, fontsize=9, color="#6b717d", va="center", ha=side)
    write_figure(path, figure, dpi=130)
