"""The pictures that are drawn of predictions while a video is being watched; the predictions: test_timeline.py."""

import tracemalloc
from dataclasses import asdict
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from contract import assert_close
from films import film, number, numbered, quadrants, set_matrix
from small_nets import SMALL, net_and_video

from snippets.data.video import Film, read_frames, write_video
from snippets.layers.loss import softmax
from snippets.nets.streaming.stream import stream
from snippets.nets.streaming.timeline import Timeline
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.cli.main import main
from snippets.training.render import canvas
from snippets.training.render import predictions as render

pytestmark = pytest.mark.usefixtures("short_blocks")

FEATURES = dict(tower="features", features=6)


CLASSES = ["Archery", "Bowling", "Cricket", "Diving", "Eating and drinking at a very large number of tables", "Fencing"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Checkpoints of small networks with random weights, by head, and of one that sees optical flow."""
    folder, paths = tmp_path_factory.mktemp("models"), {}
    for head in ("single", "conv", "lstm", "local", "flow"):
        frames, kind = {"single": 1, "local": 12}.get(head, 4), "conv" if head == "flow" else head
        config = NetConfig(**{**SMALL, "classes": 6, "tower": "alexnet", "head": kind, "frames": frames, "size": 36})
        net = build(config, seed=2)
        for key, a in net.params.items():
            a *= 4 if key == "scores/W" else 1  # opinions that differ
        data = {"conv": {"fps": 5.0}, "flow": {"stream": "flow", "flow_fps": 4.0}}.get(head, {})
        paths[head] = folder / f"{head}.npz"
        save(paths[head], Checkpoint(net.params, config=asdict(config), data=data, classes=CLASSES))
    return paths


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video of 20 frames, 80 x 60, at 10 frames a second: black that turns to white."""
    path = tmp_path_factory.mktemp("clip") / "v_Archery_g01_c01.avi"
    write_video(path, (np.full((60, 80, 3), 12 * t + 5, np.uint8) for t in range(20)), 10)
    return path


@pytest.mark.parametrize(
    "head, suffix", [("lstm", ".mp4"), ("conv", ".avi"), ("single", ".mp4"), ("conv", ".mp4"), ("flow", ".avi")]
)
def test_a_rendered_video_has_all_frames_and_its_picture(models, clip, head, suffix, tmp_path, capsys):
    out = tmp_path / "new folder" / f"out{suffix}"
    assert main(["predict", str(models[head]), str(clip), "--render", str(out), "--top", "2"]) == 0
    text = capsys.readouterr().out
    assert f"wrote {out}" in text and text.count("%") == 2
    frames = np.stack(list(read_frames(out)))
    assert frames.shape == (20, 720, 1280, 3)
    left, top, width, height = render.PICTURE
    inside = frames[:, top + 20 : top + height - 20, left + 20 : left + width - 20].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(inside, 12 * np.arange(20) + 5, atol=6)
    assert [p.name for p in out.parent.iterdir()] == [out.name]


def test_bars_and_curves_show_the_predictions(models, clip, tmp_path):
    """Pixels of each class's colour: the bar is as long as the probability, the curve stands at its height."""
    from snippets.training.cli.predict import whole_video
    from snippets.training.model import load_model

    model = load_model(models["lstm"])
    blocks = list(whole_video(clip, model))
    p = softmax(model.net.predict(np.stack(blocks, axis=1)))[0]
    timeline, answer = render.watch(model, blocks)
    assert_close(timeline.curves(), p, "predictions", rtol=1e-4)
    assert_close(answer, stream(model.net, blocks, "weighted"), "answer", rtol=1e-5)
    times = np.arange(20) / 10
    images = [x for _, _, x in render.draw(clip, render.read_header(clip), times, timeline, answer, model)]
    best, (left, top, width, height) = int(answer.argmax()), render.CHART
    order = [best, *sorted({*range(6)} - {best}, key=lambda k: -p[:, k].max())]
    for t in (0, 7, 19):
        colours = dict(zip(order, render.COLOURS, strict=False))
        for n, k in enumerate(sorted(colours, key=lambda k: -p[t, k])):  # sorted at this moment
            colour = colours[k]
            bar = images[t][render.class_row(n) + 20, render.PANEL : render.RIGHT].astype(int)
            filled = (np.abs(bar - colour).max(axis=1) < 3).sum()
            assert filled == pytest.approx(p[t, k] * (render.RIGHT - render.PANEL), abs=1.5)
        head = left + round(t / 19 * (width - 1))
        assert (images[t][top - 6, head] == render.BRIGHT).all()  # the line that marks the moment
    column = left + round(7 / 19 * (width - 1))
    near = np.abs(images[19][top : top + height, column].astype(int) - render.COLOURS[0]).max(axis=1)
    assert abs(np.argmin(near) - canvas.level(p[7, best], height)) < 3
    assert (
        images[0][top : top + height, column].astype(int).sum() < images[19][top : top + height, column].sum()
    ).all()


def test_a_rendered_frame_says_what_it_shows(models, clip, monkeypatch):
    """Every text of the picture: the file, the network, each class, the answer, both axes, each bar's number."""
    from snippets.training.cli.predict import whole_video
    from snippets.training.model import load_model

    model, written, draw_text = load_model(models["lstm"]), [], canvas.draw_text

    def noted(image, text, *place, **align):
        written.append(text)
        draw_text(image, text, *place, **align)

    monkeypatch.setattr(render, "draw_text", noted)
    timeline, answer = render.watch(model, whole_video(clip, model))
    frames = render.draw(clip, render.read_header(clip), np.arange(20) / 10, timeline, answer, model)
    next(frames)
    shown = min(len(model.classes), len(render.COLOURS))
    best = model.classes[int(answer.argmax())]
    assert written[:2] == [clip.name, render.about(model)]
    name, _, percent = written[2].rpartition(", ")  # of a long name the end is left out, but not the number
    assert percent == f"{100 * answer.max():.0f} %" and f"whole video: {best}".startswith(name.removesuffix("…"))
    assert written[3:6] == ["0 %", "50 %", "100 %"]
    assert written[6:16] == [f"{n / 5:g} s" for n in range(10)]
    rows = written[16 : 16 + 2 * shown]
    names = [next(k for k in model.classes if k.startswith(text.removesuffix("…"))) for text in rows[::2]]
    assert best in names and len(set(names)) == shown
    p = softmax(model.net.predict(np.stack(list(whole_video(clip, model)), axis=1)))[0]
    first = [p[0, model.classes.index(name)] for name in names]
    assert rows[1::2] == [f"{100 * x:.0f} %" for x in first] and first == sorted(first, reverse=True)


def test_memory_does_not_grow_with_the_video(models, tmp_path):
    from snippets.training.cli.predict import whole_video
    from snippets.training.model import load_model

    model, peaks = load_model(models["conv"]), []
    for frames in (20, 60):
        path = tmp_path / f"{frames}.avi"
        write_video(path, (np.full((60, 80, 3), 100, np.uint8) for _ in range(frames)), 10)
        tracemalloc.start()
        timeline, answer = render.watch(model, whole_video(path, model))
        times = render.moments(path, model, timeline.frames)
        count = sum(1 for _ in render.draw(path, render.read_header(path), times, timeline, answer, model))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count == frames
    assert peaks[1] < peaks[0] + 1e6


def picture(image):
    """The video's part of a rendered image, by its edges against black."""
    left, top, width, height = render.PICTURE
    inside = image[top : top + height, left : left + width]
    bright = inside.max(axis=2) > 28
    rows, columns = (np.flatnonzero(bright.sum(axis=axis) > 12) for axis in (1, 0))
    return inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize("head", ["lstm", "conv"])
@pytest.mark.parametrize("source, suffix", [("v.mkv", ".mp4"), ("v.mp4", ".mp4"), ("v.mp4", ".avi")])
def test_a_variable_rate_is_rendered_in_real_time(models, tmp_path, head, source, suffix):
    """20 frames at 25 a second, then 7 at 2.5: each is shown when and as long as it is in the video."""
    times = [n / 25 for n in range(20)] + [0.8 + 0.4 * n for n in range(7)]
    film(tmp_path / source, [numbered(n + 100) for n in range(27)], times, last=0.4)
    out = tmp_path / f"out{suffix}"
    assert main(["predict", str(models[head]), str(tmp_path / source), "--render", str(out)]) == 0
    with Film(out) as opened:
        frames = [(start, end, number(picture(image)) - 100) for start, end, image in opened.pictures()]
        assert opened.clock_fault() is None
    assert [n for _, _, n in frames] == list(range(27))
    assert [start for start, _, _ in frames] == pytest.approx(times, abs=0.002)
    if suffix == ".mp4":  # AVI does not say how long its last frame is shown
        assert frames[-1][1] == pytest.approx(3.6, abs=0.01)


def test_the_chart_of_a_variable_rate_has_time_as_its_axis(models, tmp_path):
    """At half of the time the line stands in the middle, whatever the number of frames before it."""
    times = [n / 25 for n in range(20)] + [0.8 + 0.4 * n for n in range(7)]
    film(tmp_path / "v.mkv", [numbered(n) for n in range(27)], times)
    out = tmp_path / "out.mp4"
    assert main(["predict", str(models["lstm"]), str(tmp_path / "v.mkv"), "--render", str(out)]) == 0
    left, top, width, _ = render.CHART
    for image, seconds in zip(read_frames(out), times, strict=True):
        line = image[top - 6, left - 5 : left + width + 5].astype(int).sum(axis=1)
        assert abs(int(line.argmax()) - 5 - seconds / times[-1] * (width - 1)) < 4


@pytest.mark.parametrize(
    "aspect, matrix, shape",
    [
        (Fraction(8, 3), (1, 0, 0, 1), (180, 640)),  # 32:9
        (None, (0, 1, -1, 0), (480, 360)),  # held upright
        (Fraction(8, 3), (0, 1, -1, 0), (480, 135)),
        (Fraction(16), (1, 0, 0, 1), (30, 640)),
    ],
)
def test_a_picture_is_rendered_as_players_show_it(models, tmp_path, aspect, matrix, shape):
    film(tmp_path / "v.mp4", [quadrants()] * 3, aspect=aspect)
    set_matrix(tmp_path / "v.mp4", matrix)
    out = tmp_path / "out.avi"
    assert main(["predict", str(models["conv"]), str(tmp_path / "v.mp4"), "--render", str(out)]) == 0
    found = picture(next(read_frames(out)))
    np.testing.assert_allclose(found.shape[:2], shape, atol=3)
    first = next(read_frames(tmp_path / "v.mp4"))
    for y, x in ((1, 1), (1, 3), (3, 1), (3, 3)):
        here, there = (a[y * a.shape[0] // 4, x * a.shape[1] // 4].astype(int) for a in (found, first))
        assert np.abs(here - there).max() < 40


@pytest.mark.parametrize("head", ["lstm", "conv", "single"])
def test_a_still_shows_the_decisive_frame(models, clip, head, tmp_path):
    """The highest probability of the answer or, where frames are pooled, its largest rise; the curves are whole."""
    from imageio.v3 import imread

    from snippets.training.cli.predict import whole_video
    from snippets.training.model import load_model

    assert main(["predict", str(models[head]), str(clip), "--render", str(tmp_path / "a.png")]) == 0
    image, model = imread(tmp_path / "a.png"), load_model(models[head])
    assert image.shape == (720, 1280, 3)
    timeline, answer = render.watch(model, whole_video(clip, model))
    p = timeline.curves()[:, answer.argmax()]
    row = int(np.argmax(np.diff(p, prepend=1 / 6) if head == "conv" else p))
    seconds = row / 5 if head == "conv" else row / 10  # conv reads every second frame
    left, top, width, height = render.PICTURE
    shade = image[top + 20 : top + height - 20, left + 20 : left + width - 20].mean()
    assert round((shade - 5) / 12) == pytest.approx(seconds * 10, abs=0.6)
    left, top, width, height = render.CHART
    colour = np.abs(image[top : top + height, left : left + width].astype(int) - render.COLOURS[0]).max(axis=2) < 30
    assert colour.any(axis=0).mean() > 0.9  # bright from the left to the right edge


def test_a_decisive_frame_is_the_largest_rise_of_a_pool_and_else_the_peak():
    class Fixed(Timeline):
        def curves(self):
            return np.array([[0.5, 0.5], [0.2, 0.8], [0.1, 0.9], [0.1, 0.9]])

    timeline, times, answer = Fixed(), np.arange(4) / 10, np.array([0.1, 0.9])
    for head, seconds in (("conv", 0.1), ("single", 0.2), ("lstm", 0.2)):
        net, _ = net_and_video(3, **FEATURES, head=head, frames=1 if head == "single" else 3)
        model = SimpleNamespace(config=SimpleNamespace(head=head), net=net, classes=["a", "b"])
        assert render.decisive(times, timeline, answer, model) == seconds


def test_what_cannot_be_rendered_is_explained_and_costs_nothing(models, clip, tmp_path, capsys):
    def error(model, videos, out):
        assert main(["predict", str(model), *map(str, videos), "--render", str(out)]) == 1
        err = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("snippets:", "error:"))]
        assert len(err) == 1
        return err[0]

    out = tmp_path / "out.mp4"
    out.write_bytes(b"something that took long")
    cut_off = tmp_path / "cut.avi"
    cut_off.write_bytes(clip.read_bytes()[:-3000])
    assert "cut.avi: truncated" in error(models["conv"], [cut_off], out)
    assert "one video at a time, found 2" in error(models["conv"], [clip, clip], out)
    assert "cannot stream" in error(models["local"], [clip], out)
    assert out.read_bytes() == b"something that took long"
    assert "ends in .mp4, .avi, .png" in error(models["conv"], [clip], tmp_path / "out.gif")
    assert "would overwrite" in error(models["conv"], [clip], clip)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.avi", "out.mp4"]
    config = NetConfig(**{**SMALL, **FEATURES, "frames": 4})
    save(tmp_path / "f.npz", Checkpoint(build(config).params, config=asdict(config), classes=list("abcde")))
    assert "reads precomputed features" in error(tmp_path / "f.npz", [clip], out)
