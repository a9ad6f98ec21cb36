"""`snippets flow --render`: a picture of some moments of a video and their flow, or a video, frames beside flow."""

from pathlib import Path

import numpy as np

from snippets.data.files import write, write_figure
from snippets.data.flow.images import colours
from snippets.data.video import SUFFIXES, read_header, write_video
from snippets.nets.inspect.figure import new_figure

MOMENTS = 6  # of the video in a picture
SAMPLE = 60  # images of it from which the largest motion is found
WIDEST = 4  # times its side, for a picture of the flow


def render_flow(path, decoder, out):
    """Write the flow that a FlowDecoder finds in the video `path` to `out`, a video by its suffix, else a picture.

    Colours: the hue is the direction, and full colour the motion that one vector in a hundred exceeds, in pixels per
    pair of frames. Returns `out`.
    """
    out, header, count = Path(out), read_header(path), decoder.length(path)
    sample = np.unique(np.linspace(0, count - 1, SAMPLE).round().astype(int)).tolist()  # in memory, whatever the length
    pairs = list(decoder.flows(path, sample))
    largest = float(np.percentile([np.hypot(*u[::4, ::4].reshape(-1, 2).T) for _, u in pairs], 99))
    largest = max(largest, 0.1)  # pixels
    if out.suffix.lower() in SUFFIXES:
        container, images = out.suffix.lower()[1:], beside(decoder.flows(path), largest, decoder.side, header)
        write(out, lambda file: write_video(file.name, images, decoder.rate, container=container))
    else:
        chosen = np.linspace(0, len(pairs) - 1, min(MOMENTS, len(pairs))).round().astype(int)
        moments = {sample[t] / decoder.rate: pairs[t] for t in chosen}
        write_figure(out, picture(moments, largest, header.height / header.width), dpi=80)
    return out


def beside(pairs, largest, side, header):
    """Images of a video: each frame and its flow side by side, in the video's own shape."""
    rows, columns = as_shown(side, header)
    for frame, u in pairs:
        yield np.hstack([image[rows][:, columns] for image in (frame, colours(u, largest))])


def picture(moments, largest, aspect):
    """A Figure of frames and their flow, {seconds: (frame, u)}, and the wheel of colours; aspect: height / width."""
    figure = new_figure(2 * len(moments) + 1.6, 3.4, layout="constrained")
    axes = figure.subplots(2, len(moments) + 1)
    for (above, below), (seconds, (frame, u)) in zip(axes.T, moments.items(), strict=False):
        above.imshow(frame, aspect=aspect)  # stored as squares
        below.imshow(colours(u, largest), aspect=aspect)
        above.set_title(f"{seconds:.1f} s", fontsize=9)
    v, u = np.mgrid[-1:1:129j, -1:1:129j]
    wheel = np.where((np.hypot(u, v) <= 1)[..., None], colours(np.stack([u, v], axis=-1), 1.0), 255).astype(np.uint8)
    axes[1, -1].imshow(wheel)
    axes[1, -1].set_title(f"radius: {largest:.1f} pixels", fontsize=9)
    for place in axes.flat:
        place.set_axis_off()
    return figure


def as_shown(side, header):
    """Rows and columns of a square picture to repeat for the video's own shape; even numbers, as codecs want them."""
    shape = header.width / header.height
    longer = side * min(max(shape, 1 / shape), WIDEST)
    sizes = longer * min(1 / shape, 1), longer * min(shape, 1)
    return [np.arange(n) * side // n for n in (max(round(size / 2), 1) * 2 for size in sizes)]
