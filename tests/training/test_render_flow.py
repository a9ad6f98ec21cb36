"""The picture of a video's flow: frames above, flow in colours below, and the wheel that says what they mean."""

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
