"""Which prediction goes with which moment of a rendered video, and what is said of the network."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_nets import net_and_video

from snippets.data.open import DataSettings
from snippets.nets.frame_predictions import Running
from snippets.nets.streaming.timeline import follow
from snippets.training.render import predictions as render


class Film:
    """A video whose frames are shown from these times on, each up to the next."""

    def __init__(self, *times):
        self.seconds, self.sizes = times, []

    def times(self):
        return iter(self.seconds[:-1])

    def pictures(self, size):
        self.sizes.append(size)
        for n, start in enumerate(self.seconds[:-1]):
            yield start, self.seconds[n + 1], np.full((*size, 3), n + 1, np.uint8)


@pytest.fixture
def film(monkeypatch):
    """The video that is opened, at the rate of still pictures that the model asks for."""
    film = Film(0.0, 1.0, 2.0, 3.0, 4.0, 10.0, 11.0)
    monkeypatch.setattr(render, "open_film", lambda path, fps: nullcontext(film) if fps == 7 else None)
    return film


def timeline(step, *rows):
    return SimpleNamespace(curves=lambda: np.array(rows), step=step)


def test_the_last_time_up_to_a_moment():
    """Or the first one; what differs by a millionth of a second is the same moment."""
    times = np.array([0.5, 1.0, 1.5])
    asked = [0.0, 0.5, 0.7, 1 - 1.5e-6, 1 - 0.5e-6, 1.0, 1.5, 99]
    assert render.latest(times, np.array(asked)).tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    assert [int(render.latest(times, seconds)) for seconds in asked] == [0, 0, 0, 0, 1, 1, 2, 2]


def test_the_times_of_predictions(film):
    """Of frames that are taken at a rate, else the frames' own, as many as there are predictions."""
    for data, rate in (({"fps": 12.5}, 12.5), ({"stream": "flow", "flow_fps": 4.0}, 4),
                       ({"stream": "flow", "fps": 2.0, "flow_fps": 4.0}, 2), ({"flow_fps": 4.0}, None)):  # fmt: skip
        model = SimpleNamespace(data=DataSettings(picture_fps=7, **data))
        assert render.seen_rate(model.data) == rate
        times = render.moments("v.avi", model, 5)
        assert times.tolist() == ([n / rate for n in range(5)] if rate else [0, 1, 2, 3, 4])


@pytest.mark.parametrize("head, stream, about", [
    ("lstm", {"fps": 2.5}, "alexnet + lstm: prediction at each frame, 2.5 frames per second"),
    ("conv", {}, "alexnet + conv: prediction from the frames so far"),
    ("single", {"stream": "flow", "flow_fps": 15.0},
     "alexnet + single: prediction from each frame alone, 15 flow images per second"),
])  # fmt: skip
def test_what_is_said_of_a_network(head, stream, about):
    net, _ = net_and_video(3, tower="features", features=6, head=head, frames=1 if head == "single" else 3)
    model = SimpleNamespace(net=net, config=SimpleNamespace(head=head, tower="alexnet"), data=DataSettings(**stream))
    assert render.about(model) == about


@pytest.mark.parametrize(
    "head, mode, joined", [("lstm", "max", "max"), ("conv", "max", "last"), ("single", "max", "sum")]
)
def test_an_answer_is_joined_as_the_network_does(head, mode, joined):
    """By its mode where it predicts at each frame; of a pool the last; of single frames the mean."""
    net, x = net_and_video(5, tower="features", features=6, head=head, frames=1 if head == "single" else 5)
    model = SimpleNamespace(net=net, config=SimpleNamespace(head=head), mode=mode)
    found, answer = render.watch(model, iter([x[:3], x[3:]]))
    expected, rows = Running(joined), []
    for p, _ in follow(net, iter([x[:3], x[3:]]), head == "single"):
        expected.add(p)
        rows.extend(p)
    np.testing.assert_array_equal(answer, expected.result())
    np.testing.assert_array_equal(found.curves(), rows)
    with pytest.raises(ValueError, match="the video has no frames"):
        render.watch(model, iter([]))


def test_a_decisive_moment_where_several_frames_are_one_row():
    """Rows of three frames each: the first frame of the row, or the last that there is."""
    net, _ = net_and_video(3, tower="features", features=6, head="lstm", frames=3)
    model = SimpleNamespace(config=SimpleNamespace(head="lstm"), net=net)
    times, answer = np.arange(5) / 4, np.array([0.1, 0.9])
    for rows, row in (((0.1, 0.3), 1), ((0.5, 0.3), 0), ((0.5, 0.3, 0.7), 2)):
        line = timeline(3, *((1 - p, p) for p in rows))
        assert render.decisive(times, line, answer, model) == (0.0, 0.75, 1.0)[row]


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn on each frame, in place of drawing it."""
    told = []
    ground, chart = np.zeros((render.HEIGHT, render.WIDTH, 3), np.uint8), "the chart"
    monkeypatch.setattr(render, "background", lambda *how: told.append(how) or (ground, chart))
    monkeypatch.setattr(render, "draw_classes", lambda image, names, p: told.append((names, p.tolist())))
    monkeypatch.setattr(render, "draw_moment", lambda image, *how: told.append(how))
    return told


CLASSES = list("abcdefg")


def frames_of(line, still=None, width=80, height=60, times=(0.0, 1.0, 2.0, 3.0, 4.0, 10.0)):
    model = SimpleNamespace(classes=CLASSES[: line.curves().shape[1]], data=SimpleNamespace(picture_fps=7))
    answer = np.eye(len(model.classes))[1]
    header = SimpleNamespace(width=width, height=height)
    return list(render.draw(Path("v.avi"), header, np.array(times), line, answer, model, still)), answer


def test_predictions_are_drawn_at_their_moments(film, drawn):
    """Three rows of two frames each; the axis of the chart is time, of which the last frame has more than half."""
    line = timeline(2, (0.5, 0.1, 0.4), (0.3, 0.1, 0.6), (0.2, 0.7, 0.1))
    frames, answer = frames_of(line)
    path, model, curves, shown, given, last = drawn[0]
    assert (path, shown, last) == (Path("v.avi"), [1, 2, 0], 10.0) and given is answer
    assert curves.tolist() == [[0.1, 0.4, 0.5], [0.7, 0.1, 0.2], [0.7, 0.1, 0.2]]  # at 0, 5 and 10 seconds
    rows = [[0.1, 0.4, 0.5]] * 2 + [[0.1, 0.6, 0.3]] * 2 + [[0.7, 0.1, 0.2]] * 2
    assert drawn[1::2] == [(["b", "c", "a"], row) for row in rows]
    seconds = (0, 1, 2, 3, 4, 10)
    assert drawn[2::2] == [("the chart", s / 10, s, False) for s in seconds]
    assert [(start, end) for start, end, _ in frames] == [*zip(seconds, (1, 2, 3, 4, 10, 11), strict=True)]
    for n, (_, _, image) in enumerate(frames):
        assert (image[60:540, 32:672] == n + 1).all() and image[59].sum() == image[540].sum() == 0
        assert image[:, 31].sum() == image[:, 672].sum() == 0
    assert film.sizes == [(480, 640)]


def test_predictions_that_end_before_the_video_stay_at_the_end(film, drawn):
    frames_of(timeline(1, (0.5, 0.5), (0.2, 0.8)), times=(0.0, 2.0))
    assert [part for _, part, *_ in drawn[2::2]] == [0, 0.5, 1, 1, 1, 1]
    drawn.clear()
    frames_of(timeline(1, (0.5, 0.5)), times=(0.0,))
    assert [part for _, part, *_ in drawn[2::2]] == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("still, n", [(0.0, 1), (0.999, 1), (1.0, 2), (1 - 0.5e-6, 2), (9.0, 5), (10.5, 6), (99.0, 6)])
def test_a_still_is_the_frame_that_is_shown_then(still, n, film, drawn):
    """From its start up to the start of the next, under the whole curves; after the end the last one."""
    ((start, end, image),), _ = frames_of(timeline(1, *[(0.5, 0.5)] * 6), still)
    assert (image[300, 300] == n).all() and start == film.seconds[n - 1] and end == film.seconds[n]
    assert drawn[2] == ("the chart", start / 10, start, True) and len(drawn) == 3


@pytest.mark.parametrize("width, height, size", [
    (80, 60, (480, 640)), (60, 80, (480, 360)), (4000, 1, (1, 640)), (1, 4000, (480, 1)), (101, 51, (323, 640)),
    (51, 75, (480, 326)),
])  # fmt: skip
def test_a_video_fills_its_place_in_its_own_shape(width, height, size, film, drawn):
    """And stands in the middle of it, half a pixel to the left and up."""
    frames, _ = frames_of(timeline(1, *[(0.5, 0.5)] * 6), width=width, height=height)
    assert film.sizes == [size]
    inside = np.argwhere(frames[0][2].any(axis=2))
    top, left = 60 + (480 - size[0]) // 2, 32 + (640 - size[1]) // 2
    assert inside.min(axis=0).tolist() == [top, left]
    assert (inside.max(axis=0) + 1).tolist() == [top + size[0], left + size[1]]


def test_the_answer_is_shown_and_whatever_was_most_probable_at_some_time(film, drawn):
    """Five of seven; of equals the first."""
    low, high = np.full(7, 0.1), np.array([0.3, 0.2, 0.5, 0.3, 0.9, 0.1, 0.4])
    frames_of(timeline(1, low, *[high] * 4, low))
    assert drawn[0][3] == [1, 4, 2, 6, 0] and len(render.COLOURS) == 5
