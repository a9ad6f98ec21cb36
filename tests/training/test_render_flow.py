"""The picture of a video's flow: frames above, flow in colours below, and the wheel that says what they mean."""

from types import SimpleNamespace

import numpy as np

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
