"""What drawings of networks hold, written down a second time: whoever changes a drawing has to mean it, and look at it.

After a change that is meant: `PYTHONPATH=tests/kit python tests/nets/test_drawings.py > tests/nets/drawings.txt`.
"""

import sys
from pathlib import Path

from written import assert_written, numbers

import snippets.nets.inspect.draw as drawing
from snippets.nets.zoo import NetConfig, build, input_shape

DRAWINGS = Path(__file__).with_name("drawings.txt")
HEADS = {"conv": 2, "local": 12, "lstm": 3}  # head: frames


def drawings():
    """Lines: the boxes, lines and texts of some drawings, places in inches, sizes in points."""
    for head, frames in HEADS.items():
        config = NetConfig(5, head=head, frames=frames, size=36, width=1 / 12, fc=24, units=6, depth=2, dropout=0.0)
        figures, kept = [], drawing.write_figure
        drawing.write_figure = lambda path, figure, into=figures, **_: into.append(figure)
        try:
            drawing.draw(build(config), input_shape(config), "net.png", head)
        finally:
            drawing.write_figure = kept
        ax = figures[0].axes[0]
        yield f"{head}: {numbers(*figures[0].get_size_inches())}, axes {numbers(*ax.get_xlim(), *ax.get_ylim())}"
        for box in (p for p in ax.patches if hasattr(p, "get_boxstyle")):
            x, y, width, height = box.get_x(), box.get_y(), box.get_width(), box.get_height()
            yield f"box {numbers(x, y, width, height)} {numbers(*box.get_facecolor())}"
        for line in ax.lines:
            (x0, x1), (y0, y1) = line.get_data()
            yield f"line {numbers(x0, y0, x1, y1)}"
        for text in ax.texts:
            to = f" from {numbers(*text.xy)}" if hasattr(text, "xy") else ""
            side = f"{text.get_ha()} {text.get_va()} {text.get_weight()}"
            yield f"text {text.get_text()!r} {numbers(*text.get_position(), text.get_fontsize())} {side}{to}"


def test_drawings_hold_what_is_written_down():
    assert_written(drawings(), DRAWINGS)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print(*drawings(), sep="\n")
