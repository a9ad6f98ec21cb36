"""What pages and figures show, as lines of text that can be written down and compared."""

import re

import numpy as np
from matplotlib.colors import to_hex
from written import numbers

BLOCKS = r"\n|(?=<(?:p|h\d|tr|div|figure|img|table|body|title)[ >])|; (?=axis|line|bar|image|text)"


def page_lines(text):
    """Lines of a page in HTML, a paragraph or row each, without its style; pictures as `drawn` put them there."""
    return list(filter(None, re.split(BLOCKS, re.sub(r"<style>.*?</style>", "", text, flags=re.S))))


def drawn(picture):
    """In place of `training.render.page.uri`: a Figure in words, of an image its size."""
    return "; ".join(figure_lines(picture)) if hasattr(picture, "axes") else f"image {numbers(*picture.shape[:2])}"


def figure_lines(figure):
    """Lines: the axes of a matplotlib Figure, what is drawn there, every text; lengths in inches, sizes in points."""
    yield f"figure {numbers(*figure.get_size_inches())}"
    for axis in figure.axes:
        title = axis.get_title() or axis.get_title(loc="left")
        yield (
            f"axis {title!r} x {axis.get_xlabel()!r} {axis.get_xscale()} {numbers(*axis.get_xlim())} "
            f"y {axis.get_ylabel()!r} {axis.get_yscale()} {numbers(*axis.get_ylim())} {axis.get_aspect()}"
            + ("" if axis.axison else " off")
        )
        for line in axis.lines:
            look = f"{line.get_linestyle()} {line.get_linewidth():g} {line.get_marker()} {line.get_markersize():g}"
            x, y = (np.asarray(data, float) for data in line.get_data())
            yield f"line {line.get_label()!r} {to_hex(line.get_color())} {look} x {numbers(*x)} y {numbers(*y)}"
        for bar in axis.patches:
            place = bar.get_x(), bar.get_y(), bar.get_width(), bar.get_height()
            yield f"bar {numbers(*place)} {to_hex(bar.get_facecolor())} {bar.get_label()!r}"
        for image in axis.images:
            yield f"image {numbers(*image.get_array().shape[:2])}"
        for legend in filter(None, [axis.get_legend()]):
            texts = [(text.get_text(), text.get_fontsize()) for text in legend.get_texts()]
            place = f"{numbers(*legend.get_bbox_to_anchor().bounds)} {legend._loc} {legend._ncols}"
            yield f"text legend {texts} {place} {legend.get_frame_on()}"
        x, y = ([text.get_text() for text in ticks] for ticks in (axis.get_xticklabels(), axis.get_yticklabels()))
        yield f"text ticks {x} {y}, title {axis.title.get_fontsize():g}"
