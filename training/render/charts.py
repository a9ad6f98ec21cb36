"""What the pages of `training.render.page` draw: learning curves, probabilities over time, frames of a video."""

import numpy as np

from snippets.data.pictures import PICTURE_FPS
from snippets.data.video import open_film, read_header
from snippets.nets.inspect.figure import new_figure
from snippets.training.render.page import COLOURS, DASHES

SIDE = 240  # pixels, the longer side of a frame on a page


def curves(history, title):
    """A Figure: of each epoch the accuracy on training clips and on test videos, and the training loss.

    history: that of a checkpoint, records with "epoch", "accuracy", "loss" and, where there was a test, "test".
    """
    figure = new_figure(4.6, 2.9, layout="constrained")
    axis = figure.subplots()
    epochs = [record["epoch"] for record in history]
    tested = [record for record in history if "test" in record]
    axis.plot(epochs, [100 * r["accuracy"] for r in history], DASHES[0], color=COLOURS[0], label="training clips")
    if tested:
        marks = {"marker": "o", "ms": 4, "color": COLOURS[1], "label": "test videos"}
        axis.plot([r["epoch"] for r in tested], [100 * r["test"]["hit1"] for r in tested], DASHES[1], **marks)
    axis.set(xlabel="epoch", ylabel="right (%)", ylim=(0, 102), title=title)
    loss = axis.twinx()
    loss.plot(epochs, [r["loss"] for r in history], DASHES[3], color="#555555", label="training loss")
    loss.set(ylabel="loss (nats)", ylim=(0, None))
    lines = [*axis.get_lines(), *loss.get_lines()]
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 3}
    axis.legend(lines, [line.get_label() for line in lines], frameon=False, fontsize=8, **below)
    return figure


def curves_in_words(history, title):
    """What `curves` shows, for those who cannot see it."""
    last, tested = history[-1], [record["test"]["hit1"] for record in history if "test" in record]
    test = f", test videos {100 * tested[-1]:.0f} %" if tested else ""
    return f"Learning curves, {title}: after {last['epoch']} epochs training {100 * last['accuracy']:.0f} %{test}."


def over_time(times, p, names, xlabel="seconds", bold=0):
    """A Figure: class probabilities p (T, n) of n classes at the times (T,); bold: which is drawn thick."""
    figure = new_figure(4.6, 2.7, layout="constrained")
    axis = figure.subplots()
    for n, name in enumerate(names):
        style = {"lw": 2.6 if n == bold else 1.4, "marker": "o^sDv"[n % 5], "ms": 3}
        axis.plot(times, 100 * p[:, n], DASHES[n % 4], color=COLOURS[n % len(COLOURS)], label=name, **style)
    axis.set(xlabel=xlabel, ylabel="probability (%)", ylim=(0, 102))
    if xlabel != "seconds":
        axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
    return figure


def frames_of(path, count, picture_fps=PICTURE_FPS):
    """`count` frames spread evenly over a video, in their true shape: seconds (count,) and a list of images uint8."""
    header = read_header(path, picture_fps)
    scale = min(1, SIDE / max(header.height, header.width))
    size = None if scale == 1 else (max(round(header.height * scale), 1), max(round(header.width * scale), 1))
    with open_film(path, picture_fps) as film:
        times = np.array(list(film.times()))
    chosen = set(np.linspace(0, len(times) - 1, count).round().astype(int).tolist())
    with open_film(path, picture_fps) as film:
        found = [image for n, (_, _, image) in enumerate(film.pictures(size=size)) if n in chosen]
    return times[sorted(chosen)], found
