"""The picture of a video's flow: frames above, flow in colours below, and the wheel that says what they mean."""

from types import SimpleNamespace

import numpy as np
import pytest

from snippets.training.render import flow as render


def test_frames_stand_above_their_flow_and_the_wheel_beside_it(rng):
    moments = {}
    for seconds in (0.5, 2.04):
        frame = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        moments[seconds] = frame, rng.normal(size=(6, 8, 2)).astype(np.float32)
    figure = render.picture(moments, 2.0, 0.75)
    axes = np.array(figure.axes).reshape(2, 3)
    assert [[axis.get_title() for axis in row] for row in axes] == [
        ["0.5 s", "2.0 s", ""],
        ["", "", "radius: 2.0 pixels"],
    ]
    assert not any(axis.axison for axis in figure.axes) and not axes[0, 2].images
    for (above, below), (frame, u) in zip(axes.T, moments.values(), strict=False):
        np.testing.assert_array_equal(above.images[0].get_array(), frame)
        np.testing.assert_array_equal(below.images[0].get_array(), render.colours(u, 2.0))
        assert above.get_aspect() == below.get_aspect() == 0.75
    wheel = axes[1, 2].images[0].get_array()
    assert (wheel[0, 0] == 255).all() and (wheel[64, 128] != wheel[64, 0]).any()  # white outside; right is not left
    right = render.colours(np.array([[[1.0, 0.0]]], np.float32), 1.0)[0, 0]
    np.testing.assert_array_equal(wheel[64, 128], right)


def test_a_picture_shows_the_first_pair_the_last_and_those_between(monkeypatch, tmp_path):
    """Of a sample of the pairs; full colour is the motion that one vector in a hundred exceeds."""
    decoder = SimpleNamespace(rate=10.0, length=lambda path: 178)
    flows = {n: (n, np.full((4, 4, 2), (0, n / 100), np.float32)) for n in range(178)}
    decoder.flows = lambda path, sample: [flows[n] for n in sample]
    monkeypatch.setattr(render, "read_header", lambda path: SimpleNamespace(height=30, width=40))
    monkeypatch.setattr(render, "picture", lambda *shown: shown)
    drawn = []
    monkeypatch.setattr(render, "write_figure", lambda out, figure, dpi: drawn.append(figure))
    assert render.render_flow("v.avi", decoder, str(tmp_path / "v.png")) == tmp_path / "v.png"
    ((moments, largest, shape),) = drawn
    assert [round(10 * t) for t in moments] == [0, 36, 72, 105, 141, 177] and shape == 0.75
    assert all(moments[t][0] == round(10 * t) for t in moments) and 1.74 < largest <= 1.77


def test_the_picture_has_room_for_its_moments_and_small_titles():
    shades = np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8, 2), np.float32)
    for n in (1, 3):
        figure = render.picture(dict.fromkeys(range(n), shades), 1.0, 0.75)
        assert figure.get_size_inches().tolist() == [2 * n + 1.6, 3.4]
        titles = {axis.title.get_fontsize() for axis in figure.axes if axis.get_title()}
        assert titles == {9} and len(figure.axes) == 2 * (n + 1)
    wheel = np.array(figure.axes[-1].images[0].get_array())
    for row, column, motion in ((128, 64, (0, 1)), (0, 64, (0, -1)), (64, 0, (-1, 0)), (64, 96, (0.5, 0))):
        colour = render.colours(np.array([[motion]], float), 1.0)[0, 0]
        np.testing.assert_array_equal(wheel[row, column], colour)
    assert wheel.shape == (129, 129, 3) and (wheel[0, 64 - 12] == 255).all()


@pytest.mark.parametrize(
    "width, height, rows, columns",
    [
        (40, 30, 10, 14),
        (30, 40, 14, 10),
        (7, 7, 10, 10),
        (1000, 1, 2, 40),
        (1, 1000, 40, 2),
        (39, 10, 10, 40),
        (20, 10, 10, 20),
    ],
)
def test_a_square_is_shown_in_the_shape_of_its_video(width, height, rows, columns):
    """The shorter side as it is, the longer one at most four times as long, both even."""
    found = render.as_shown(10, SimpleNamespace(width=width, height=height))
    for places, n in zip(found, (rows, columns), strict=True):
        assert places.tolist() == [k * 10 // n for k in range(n)]


def test_a_video_shows_frames_beside_their_flow(monkeypatch, tmp_path):
    """Of all pairs; full colour is the motion of a sample of them, 0.1 pixels at least."""
    frames = [np.full((4, 4, 3), 50 * n, np.uint8) for n in range(3)]
    flows = [np.full((4, 4, 2), (0, n / 1000), np.float32) for n in range(3)]
    asked = []
    decoder = SimpleNamespace(rate=12.5, side=4, length=lambda path: 3)
    decoder.flows = lambda path, *sample: asked.append((path, *sample)) or zip(frames, flows, strict=True)
    monkeypatch.setattr(render, "read_header", lambda path: SimpleNamespace(height=30, width=60))
    written = []
    monkeypatch.setattr(
        render, "write_video", lambda name, images, *how, **more: written.append((name, [*images], how, more))
    )
    monkeypatch.setattr(render, "write", lambda out, content: content(SimpleNamespace(name=f"{out} for now")))
    assert render.render_flow("v.avi", decoder, tmp_path / "v.MP4") == tmp_path / "v.MP4"
    ((name, images, how, more),) = written
    assert name == f"{tmp_path / 'v.MP4'} for now" and how == (12.5,) and more == {"container": "mp4"}
    assert asked == [("v.avi", [0, 1, 2]), ("v.avi",)] and len(images) == 3
    for image, frame, u in zip(images, frames, flows, strict=True):
        assert image.shape == (4, 16, 3) and (image[:, :8] == frame[0, 0]).all()
        np.testing.assert_array_equal(image[:, 8:], np.repeat(render.colours(u, 0.1), 2, axis=1))


def test_the_picture_of_a_short_video_shows_each_pair_once(monkeypatch, tmp_path):
    """At 80 dots per inch; a vector in a hundred is that of every fourth pixel."""
    u = np.zeros((20, 20, 2), np.float32)
    u[::4, ::4] = (3, 4)
    decoder = SimpleNamespace(rate=10.0, length=lambda path: 2, flows=lambda path, sample: [(n, u) for n in sample])
    monkeypatch.setattr(render, "read_header", lambda path: SimpleNamespace(height=30, width=40))
    monkeypatch.setattr(render, "picture", lambda *shown: shown)
    drawn = []
    monkeypatch.setattr(render, "write_figure", lambda out, figure, dpi: drawn.append((*figure, dpi)))
    render.render_flow("v.avi", decoder, tmp_path / "v.png")
    ((moments, largest, shape, dpi),) = drawn
    assert [n for n, _ in moments.values()] == [0, 1] and list(moments) == [0.0, 0.1]
    assert (largest, shape, dpi) == (5, 0.75, 80)
