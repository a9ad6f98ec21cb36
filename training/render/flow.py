"""Optical flow to look at: a picture of some moments of a video, or a video of it, frames beside flow in colours."""

import itertools
from pathlib import Path

import numpy as np

from snippets.data.files import write, write_figure
from snippets.data.flow.images import colours
from snippets.data.video import SUFFIXES, read_header, write_video
from snippets.nets.inspect.figure import new_figure

MOMENTS = 6  # of the video in a picture
SAMPLE = 60  # images of it that tell how much motion there is
WIDEST = 4  # times its side, for a picture of the flow


def render_flow(path, decoder, out):
    """Write the flow that a FlowDecoder finds in the video `path` to `out`, a video by its suffix, else a picture.

    Colours: the hue is the direction, and full colour the motion that one vector in a hundred exceeds. Returns `out`.
    """
    out = Path(out)
    header, count = read_header(path), decoder.length(path)
    sample = np.unique(np.linspace(0, count - 1, SAMPLE).round().astype(int)).tolist()  # in memory, whatever the length
    pairs = list(decoder.flows(path, sample))
    largest = float(np.percentile([np.hypot(*u[::4, ::4].reshape(-1, 2).T) for _, u in pairs], 99))
    largest = max(largest, 0.1)  # pixels
    if out.suffix.lower() in SUFFIXES:
        rows, columns = as_shown(decoder.side, header)

        def shown():
            for frame, u in decoder.flows(path):
                yield np.hstack([image[rows][:, columns] for image in (frame, colours(u, largest))])

        container = out.suffix.lower()[1:]
        write(out, lambda file: write_video(file.name, shown(), decoder.rate, container=container))
        return out
    times = np.linspace(0, len(pairs) - 1, min(MOMENTS, len(pairs))).round().astype(int)
    figure = new_figure(2 * len(times) + 1.6, 3.4, layout="constrained")
    axes = figure.subplots(2, len(times) + 1)
    for axis, t in zip(axes.T, times, strict=False):
        for place, image in zip(axis, (pairs[t][0], colours(pairs[t][1], largest)), strict=True):
            place.imshow(image, aspect=header.height / header.width)  # stored as squares
        axis[0].set_title(f"{sample[t] / decoder.rate:.1f} s", fontsize=9)
    v, u = np.mgrid[-1:1:129j, -1:1:129j]
    wheel = np.where((np.hypot(u, v) <= 1)[..., None], colours(np.stack([u, v], axis=-1), 1.0), 255).astype(np.uint8)
    axes[1, -1].imshow(wheel)
    axes[1, -1].set_title(f"radius: {largest:.1f} pixels", fontsize=9)
    for place in itertools.chain(*axes):
        place.set_axis_off()
    write_figure(out, figure, dpi=80)
    return out


def as_shown(side, header):
    """Which rows and columns of a square picture to repeat for the video's own shape; even, as codecs want them."""
    shape = header.width / header.height
    longer = side * min(max(shape, 1 / shape), WIDEST)
    sizes = longer * min(1 / shape, 1), longer * min(shape, 1)
    return [np.arange(n) * side // n for n in (max(round(size / 2), 1) * 2 for size in sizes)]
