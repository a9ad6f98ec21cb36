"""Predictions while a video is being watched, and the pictures drawn of them."""

import tracemalloc
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from contract import assert_close
from films import film, number, numbered, quadrants, set_matrix
from small_nets import SMALL, cut, name, net_and_video

from snippets.data.video import Film, read_frames, write_video
from snippets.layers.loss import softmax
from snippets.nets.streaming.stream import BLOCK, stream
from snippets.nets.streaming.timeline import Timeline, follow
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.cli.main import main
from snippets.training.render import canvas
from snippets.training.render import predictions as render

pytestmark = pytest.mark.usefixtures("short_blocks")

FEATURES = dict(tower="features", features=6)


@pytest.mark.parametrize(
    "config", [FEATURES, dict(tower="alexnet"), {**FEATURES, "head": "late"}, {**FEATURES, "head": "average"}], ids=name
)
def test_a_pooling_net_says_at_each_frame_what_it_says_of_the_video_so_far(config):
    T = BLOCK + 5 if config["tower"] == "features" else 11
    net, x = net_and_video(T, np.float64, **config)
    found = list(follow(net, cut(x)))
    p = np.concatenate([rows for rows, _ in found])
    assert [len(rows) for rows, _ in found] == [t for _, t in found] and len(p) == T
    for t in range(T):
        assert_close(p[t], softmax(net.predict(x[None, : t + 1]))[0], f"after frame {t}", rtol=1e-10)


def test_the_lstm_says_at_each_frame_what_it_predicts_there():
    net, x = net_and_video(BLOCK + 5, np.float64, **FEATURES, head="lstm")
    p = np.concatenate([rows for rows, _ in follow(net, cut(x))])
    assert_close(p, softmax(net.predict(x[None]))[0], "predictions", rtol=1e-10)


def test_single_frames_are_seen_alone():
    net, x = net_and_video(9, np.float64, tower="alexnet", head="single", frames=1)
    p = np.concatenate([rows for rows, _ in follow(net, cut(x), alone=True)])
    assert_close(p, softmax(net.predict(x[:, None])), "predictions", rtol=1e-10)


@pytest.mark.parametrize("head", ["slow", "timeconv"])
def test_windows_give_fewer_predictions_the_last_of_which_is_the_answer(head):
    net, x = net_and_video(2 * BLOCK + 7, np.float64, **FEATURES, head=head)
    found = list(follow(net, cut(x)))
    assert sum(len(p) for p, _ in found) < len(x)
    assert_close(found[-1][0][-1], stream(net, cut(x)), "answer", rtol=1e-10)
    assert sum(t for _, t in found) == len(x)


def test_a_net_that_needs_all_frames_at_once_is_refused():
    net, x = net_and_video(12, **FEATURES, head="local", frames=12)
    with pytest.raises(TypeError, match="cannot stream"):
        next(follow(net, cut(x)))


def test_a_timeline_keeps_every_frame_while_they_fit_and_means_beyond(rng):
    p = rng.random((29, 3))
    line = Timeline(columns=8)
    line.add(p[:7], 7)
    np.testing.assert_array_equal(line.curves(), p[:7])
    line.add(p[7:8], 1)
    assert line.step == 1
    line.add(p[8:], 21)  # 29 frames in 8 rows: four to a row, the last row of one
    assert (line.step, line.frames, line.sums.shape) == (4, 29, (8, 3))
    np.testing.assert_allclose(line.curves(), [p[i : i + 4].mean(axis=0) for i in range(0, 29, 4)])


def test_fewer_predictions_than_frames_are_spread_over_them():
    line = Timeline()
    line.add(np.array([[1.0], [2.0]]), 5)
    line.add(np.array([[3.0]]), 0)
    assert line.curves()[:, 0].tolist() == [1, 1, 1, 2, 2]


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
        for n, (k, colour) in enumerate(zip(order, render.COLOURS, strict=False)):
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
    names = [next(k for k in model.classes if k.startswith(text.removesuffix("…"))) for text in written[2 : 2 + shown]]
    assert names[0] == best and len(set(names)) == shown
    assert written[2 + shown] == f"whole video: {best}, {100 * answer.max():.0f} %"
    assert written[3 + shown : 6 + shown] == ["0 %", "50 %", "100 %"]
    assert written[6 + shown : 16 + shown] == [f"{n / 5:g} s" for n in range(10)]
    p = softmax(model.net.predict(np.stack(list(whole_video(clip, model)), axis=1)))[0]
    first = [p[0, model.classes.index(name)] for name in names]
    assert [text for text in written[16 + shown :] if "%" in text][:shown] == [f"{100 * x:.0f} %" for x in first]


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


def test_a_picture_of_the_last_frame(models, clip, tmp_path):
    from imageio.v3 import imread

    assert main(["predict", str(models["lstm"]), str(clip), "--render", str(tmp_path / "a.png")]) == 0
    assert imread(tmp_path / "a.png").shape[:2] == (720, 1280)


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
