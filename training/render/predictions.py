"""`snippets predict --render`: a video, and beside it a network's predictions while it watches.

The network goes first, in constant memory, and leaves a timeline of its predictions (`nets.streaming.timeline`); then
the video is read again and each frame drawn: the picture, the classes sorted by their probability at this moment, their
curves up to now bright and from now on dim. A still is the decisive frame, under the whole curves.
"""

import itertools
from pathlib import Path

import numpy as np
from tqdm import tqdm

from snippets.data import listing
from snippets.data.files import write
from snippets.data.video import open_film, read_header, write_film
from snippets.nets.frame_predictions import Running
from snippets.nets.frames import one_blas_thread
from snippets.nets.streaming.stream import parts_in_time
from snippets.nets.streaming.timeline import Timeline, follow
from snippets.training.render.canvas import curve_mask, draw_box, draw_text, fitted, level, mix

WIDTH, HEIGHT = 1280, 720
PICTURE = (32, 60, 640, 480)  # left, top, width, height: UCF-101's 320 x 240 twice as large
PANEL, RIGHT = 712, 1248  # edges of the classes
CHART = (80, 576, 1168, 100)
BACKGROUND, TRACK, DIM, BRIGHT = (16, 18, 24), (40, 44, 56), (140, 148, 162), (236, 239, 246)
COLOURS = [(255, 159, 28), (86, 180, 233), (46, 204, 146), (240, 228, 88), (238, 118, 178)]
SUFFIXES = (".mp4", ".avi", ".png")


def render(path, out, model, frames):
    """Draw the video at `path` into `out` (.mp4 or .avi; .png: its decisive frame alone); returns the answer (K,).

    model: a `training.model.Model` with a tower. frames: the video as the network wants it, blocks (t, H, W, 3).
    Raises ValueError for another suffix and for a video without frames.
    """
    path, out = Path(path), Path(out)
    if out.suffix not in SUFFIXES:
        raise ValueError(f"--render {out}: expected a file that ends in {', '.join(SUFFIXES)}")
    with tqdm(frames, desc=listing.shown(path.name), unit="frame") as bar:
        timeline, answer = watch(model, bar)
    header = read_header(path, model.data.picture_fps)

    def content(file):
        times = moments(path, model, timeline.frames)
        seconds = decisive(times, timeline, answer, model) if out.suffix == ".png" else None
        images = draw(path, header, times, timeline, answer, model, seconds)
        if out.suffix == ".png":
            from imageio.v3 import imwrite

            imwrite(file, next(images)[2], extension=".png")
            return
        with tqdm(images, desc=listing.shown(out.name), unit="frame", total=header.frames or None) as bar:
            codec = "libx264" if out.suffix == ".mp4" else "mpeg4"
            write_film(file.name, bar, header.beat or 25, codec=codec, container=out.suffix[1:])

    write(out, content)
    return answer


@one_blas_thread
def watch(model, frames):
    """The network's predictions as a Timeline, and its answer (K,) to the whole video, which is `whole_answer`'s."""
    alone = model.config.head == "single"
    each = alone or parts_in_time(model.net)[1] is None  # it predicts at each frame, and these become one
    timeline, answer = Timeline(), Running("sum" if alone else model.mode if each else "last")
    for p, t in follow(model.net, frames, alone):
        timeline.add(p, t)
        answer.add(p)
    if not timeline.frames:
        raise ValueError("the video has no frames")
    return timeline, answer.result()


def moments(path, model, T):
    """Times (T,) in seconds of the network's predictions; where it sees every frame, the frames' own times."""
    rate = seen_rate(model.data)
    if rate:
        return np.arange(T) / rate
    with open_film(path, model.data.picture_fps) as film:
        return np.fromiter(itertools.islice(film.times(), T), float)


def decisive(times, timeline, answer, model):
    """When, in seconds, the frame was shown that decided for the answer.

    Where each frame has a prediction of its own: the one that gives the answer the highest probability. Where frames
    are pooled: the one that raised it most.
    """
    p = timeline.curves()[:, int(answer.argmax())]
    pooled = model.config.head != "single" and parts_in_time(model.net)[1] is not None
    row = int(np.argmax(np.diff(p, prepend=1 / len(model.classes)) if pooled else p))
    return float(times[min(row * timeline.step, len(times) - 1)])


def draw(path, header, times, timeline, answer, model, still=None):
    """Start and end in seconds and image uint8 (HEIGHT, WIDTH, 3) of each frame; times (T,): of the predictions.

    still: seconds of the only frame to draw, under the whole curves; a video that ends before has its last one drawn.
    """
    curves = timeline.curves()
    best = int(answer.argmax())
    others = [int(k) for k in np.argsort(-curves.max(axis=0), kind="stable") if k != best]
    shown = [best, *others][: len(COLOURS)]  # the answer, then whatever was most probable at some time
    left, top, width, height = PICTURE
    scale = min(width / header.width, height / header.height)
    size = max(round(header.height * scale), 1), max(round(header.width * scale), 1)
    top, left = top + (height - size[0]) // 2, left + (width - size[1]) // 2
    even = latest(times, np.linspace(0, times[-1], len(curves)))  # the chart's axis is time
    ground, chart = background(path, model, curves[even // timeline.step][:, shown], shown, answer, times[-1])

    def drawn(start, picture):
        image = ground.copy()
        image[top : top + size[0], left : left + size[1]] = picture
        draw_classes(image, [model.classes[k] for k in shown], curves[latest(times, start) // timeline.step, shown])
        draw_moment(image, chart, min(start / max(times[-1], 1e-6), 1), start, still is not None)
        return image

    with open_film(path, model.data.picture_fps) as film:
        for start, end, picture in film.pictures(size=size):
            if still is None:
                yield start, end, drawn(start, picture)
            elif end > still + 1e-6:
                break
        if still is not None:
            yield start, end, drawn(start, picture)


def latest(times, seconds):
    """Which of the times is the last one up to `seconds`."""
    return np.maximum(np.searchsorted(times, seconds + 1e-6, "right") - 1, 0)


def background(path, model, curves, shown, answer, last):
    """What is the same in every frame, its curves dim, and the chart (height, width, 3) as it is in the end.

    last: seconds, up to which the curves go.
    """
    image = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    left, top, width, height = PICTURE
    draw_box(image, left, top, width, height, (0, 0, 0))
    draw_text(image, fitted(listing.shown(path.name), width - 100, 20), (left, 40), BRIGHT, 20)
    draw_text(image, about(model), (PANEL, 40), DIM, 16)
    name = fitted(f"whole video: {listing.shown(model.classes[shown[0]])}", RIGHT - PANEL - 90, 20, "bold")
    text = f"{name}, {100 * answer[shown[0]]:.0f} %"
    draw_text(image, text, (PANEL, top + height - 6), COLOURS[0], 20, "bold")
    left, top, width, height = CHART
    for share in (0, 0.5, 1):
        y = top + round(level(share, height))
        draw_box(image, left, y, width, 1, TRACK)
        draw_text(image, f"{100 * share:.0f} %", (left - 10, y + 5), DIM, 14, align="right")
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800) if last <= 12 * s), last)
    for n in range(int(last / step) + 1):
        x = left + n * step / max(last, step) * (width - 1)
        draw_text(image, f"{n * step:g} s", (x, top + height + 24), DIM, 14, align="centre")
    chart = image[top : top + height, left : left + width]  # a view
    bright = chart.copy()
    for i in reversed(range(len(shown))):  # the answer's curve on top
        line = curve_mask(curves[:, i], width, height)
        mix(bright, 0, 0, line, COLOURS[i])
        mix(chart, 0, 0, 0.3 * line, COLOURS[i])
    return image, bright


def about(model):
    """One line on what the curves are."""
    head, pool = model.config.head, parts_in_time(model.net)[1]
    what = "at each frame" if pool is None else "from the frames so far"
    if head == "single":
        what = "from each frame alone"
    rate, images = seen_rate(model.data), "flow images" if model.data.stream == "flow" else "frames"
    return f"{model.config.tower} + {head}: prediction {what}" + (f", {rate:g} {images} per second" if rate else "")


def seen_rate(data):
    """Frames per second that the network sees, None where it sees every frame of the video."""
    return data.fps or (data.flow_fps if data.stream == "flow" else None)


def class_row(i):
    """The baseline of a class's name."""
    return PICTURE[1] + 36 + 82 * i


def draw_classes(image, names, p):
    """Names, bars and per cent of the classes shown, sorted by their probabilities p at this moment."""
    for row, i in enumerate(np.argsort(-p, kind="stable")):
        y = class_row(row)
        draw_text(image, fitted(listing.shown(names[i]), RIGHT - PANEL - 100, 22), (PANEL, y), BRIGHT, 22)
        draw_text(image, f"{100 * p[i]:.0f} %", (RIGHT, y), BRIGHT, 22, "bold", "right")
        draw_box(image, PANEL, y + 14, RIGHT - PANEL, 16, TRACK)
        draw_box(image, PANEL, y + 14, max((RIGHT - PANEL) * float(p[i]), 1), 16, COLOURS[i])


def draw_moment(image, chart, part, seconds, whole=False):
    """The chart up to this moment, or whole, a line there, and the time; part: where in the chart's width that is."""
    left, top, width, height = CHART
    x = round(part * (width - 1)) + 1
    seen = width if whole else x
    image[top : top + height, left : left + seen] = chart[:, :seen]
    draw_box(image, left + x - 1, top - 8, 2, height + 16, BRIGHT)
    draw_text(image, f"{seconds:.1f} s", (PICTURE[0] + PICTURE[2], 40), BRIGHT, 20, align="right")
