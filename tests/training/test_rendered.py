"""Where a rendered picture's texts, boxes and curves stand, written down: whoever moves one has to mean it.

After a change that is meant:
`PYTHONPATH=tests/kit python tests/training/test_rendered.py > tests/training/rendered.txt`.
"""

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from seen import figure_lines
from small_nets import net_and_video
from written import assert_written, numbers

from snippets.data.open import DataSettings
from snippets.data.video import read_header, write_video
from snippets.nets.inspect.figure import new_figure
from snippets.nets.streaming.timeline import Timeline
from snippets.training.render import charts, page
from snippets.training.render import predictions as render

WRITTEN = Path(__file__).with_name("rendered.txt")
CLASSES = ["Archery", "Bowling", "Eating and drinking at a very large number of tables", "Diving", "Fencing", "Golf"]


class Fixed(Timeline):
    """Probabilities at five moments, none of which is near another."""

    def curves(self):
        p = np.array([[9, 20, 5, 3, 30, 1], [11, 25, 7, 33, 2, 4], [40, 3, 21, 8, 9, 5], [60, 2, 4, 10, 6, 12],
                      [55, 21, 1, 7, 3, 8]])  # fmt: skip
        return p / 100


def drawings(folder):
    """Lines: the calls that draw a video's first and last frame, and its still; then the charts of pages."""
    config = SimpleNamespace(tower="alexnet", head="lstm")
    net, _ = net_and_video(3, tower="features", features=6, head="lstm", frames=3)
    answer = np.array([0.41, 0.2, 0.19, 0.05, 0.1, 0.05])
    kept = {name: getattr(render, name) for name in ("draw_text", "draw_box", "mix")}
    told = []

    def noted(name, image, *how):
        said = [
            f"{a!r}" if isinstance(a, str) else f"({numbers(*a)})" if isinstance(a, tuple) else numbers(a)
            for a in how if not isinstance(a, np.ndarray)
        ]  # fmt: skip
        sums = [f"covers {a.sum():.0f}" for a in how if isinstance(a, np.ndarray)]
        told.append(" ".join([name.removeprefix("draw_"), f"on {numbers(*image.shape[:2])}:", *said, *sums]))
        kept[name](image, *how)

    def text(image, words, place, colour, size=18, weight="normal", align="left"):
        noted("draw_text", image, words, place, colour, size, weight, align)

    render.draw_text, render.draw_box = text, lambda *how: noted("draw_box", *how)
    render.mix = lambda *how: noted("mix", *how)
    try:
        for name, seconds, still, data in (
            ("v.avi", 0.4, None, {}), ("v.avi", 0.4, 0.2, {"fps": 12.5}),
            ("a very long name of a video of people who eat.avi", 40, None, {"stream": "flow", "flow_fps": 5.0}),
        ):  # fmt: skip
            path = Path(folder, name)
            write_video(path, [np.full((60, 80, 3), 40 * n, np.uint8) for n in range(5)], 12.5)
            model = SimpleNamespace(config=config, net=net, classes=CLASSES, data=DataSettings(**data))
            times = np.linspace(0, seconds, 5)
            frames = list(render.draw(path, read_header(path), times, Fixed(), answer, model, still))
            told.append(f"== {name}: {len(frames)} frames from {numbers(*(start for start, _, _ in frames))}")
            yield from told
            told.clear()
            yield f"shades {[int(image[300, 300, 0] / 20 + 0.5) for _, _, image in frames]}"
            yield f"ground ({numbers(*frames[0][2][0, 0])})"
    finally:
        for name, function in kept.items():
            setattr(render, name, function)
    past = [{"epoch": 1, "loss": 2.0, "accuracy": 0.25}, {"epoch": 2, "loss": 0.5, "accuracy": 0.75}]
    yield from ("== learning curves, without a test", *figure_lines(charts.curves(past, "A")))
    yield charts.curves_in_words(past, "A")
    past[1]["test"] = {"hit1": 0.5}
    yield from ("== learning curves", *figure_lines(charts.curves(past, "A")), charts.curves_in_words(past, "A"))
    for label in ("seconds", "frame"):
        curves = charts.over_time(np.arange(5), Fixed().curves(), CLASSES, label, bold=2)
        yield from (f"== probabilities over {label}", *figure_lines(curves))


def test_pictures_are_drawn_as_is_written_down(tmp_path):
    assert_written(drawings(tmp_path), WRITTEN)


def test_pictures_in_a_page_are_whole():
    """A drawing with sharp edges, cut to what is drawn; a photograph, hardly changed."""
    import base64
    import io

    from imageio.v3 import imread

    def stored(picture):
        kind, _, data = page.uri(picture).partition(";base64,")
        return kind, imread(io.BytesIO(base64.b64decode(data)))

    figure = new_figure(2, 1)
    figure.text(0.5, 0.5, "middle")
    kind, image = stored(figure)
    assert kind == "data:image/png" and image.shape[0] < 100 and 60 < image.shape[1] < 200
    photograph = np.kron(np.random.default_rng(0).integers(0, 256, (4, 6, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    kind, image = stored(photograph)
    assert kind == "data:image/jpeg" and image.shape == (64, 96, 3)
    assert np.abs(image.astype(int) - photograph).mean() < 12


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        print(*drawings(folder), sep="\n")
