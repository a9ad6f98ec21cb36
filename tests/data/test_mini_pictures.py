"""What the mini data set shows, written down a second time: whoever changes a picture has to mean it, and look at it.

After a change that is meant: `python tests/data/test_mini_pictures.py > tests/data/mini_pictures.txt`.
"""

from pathlib import Path

import numpy as np
import pytest

from snippets.data.files import read_json
from snippets.data.mini.camera_shake import make_shaky, shaken
from snippets.data.mini.make import CLASSES, claim, look_of, paint_clip, write_avi
from snippets.data.mini.sprites import Canvas
from snippets.data.video import read_frames

PICTURES = Path(__file__).with_name("mini_pictures.txt")
STEP = 6  # of brightness, from letter to letter: rounding differs by less between processors


def pictures():
    """Lines: for each class a clip of sixteen frames, one line each, a letter for each of 8 x 8 blocks."""
    for n, name in enumerate(CLASSES):
        for t, frame in enumerate(paint_clip(name, look_of(name, 0, n + 1), np.random.default_rng(n), 16, 32)):
            yield f"{name} {t} {letters(frame)}"
    yield f"shaken 0 {letters(shaken(frame, np.random.default_rng(0), 3, 0.15))}"


def letters(frame):
    """The brightness of blocks of 4 x 4 pixels; colours count unequally, so that each is seen."""
    blocks = (frame @ np.array([0.5, 0.3, 0.2])).reshape(8, 4, 8, 4).mean(axis=(1, 3))
    return "".join(chr(ord("0") + int(value / STEP)) for value in blocks.flat)


def test_the_mini_data_set_shows_what_is_written_down():
    known = PICTURES.read_text(encoding="utf-8").splitlines()
    for line, wanted in zip(pictures(), known, strict=True):
        (*what, found), (*which, kept) = line.split(), wanted.split()
        far = max(abs(ord(a) - ord(b)) for a, b in zip(found, kept, strict=True))
        assert what == which and far <= 1, f"{line}, expected {wanted}; if this is meant, see the head of this file"


class Even(np.random.Generator):
    """Draws as `default_rng(0)` does, but all normal numbers are `value`."""

    def __init__(self, value):
        super().__init__(np.random.PCG64(0))
        self.value = value

    def standard_normal(self, size, dtype):
        assert dtype == np.float32, "in float64 a clip of full size takes twice as long"
        return np.full(size, self.value, dtype)


def test_noise_has_a_deviation_of_a_hundredth_of_the_range():
    """Ten deviations make each pixel brighter by a tenth of 255, in frames of any kind."""
    for name in CLASSES:
        calm, noisy = (paint_clip(name, look_of(name, 0, 1), Even(value), 16, 16).astype(int) for value in (0, 10))
        between = (calm > 0) & (noisy < 255)
        assert between.mean() > 0.5 and set(np.unique((noisy - calm)[between])) <= {25, 26}


def test_a_shape_is_turned_in_those_frames_that_say_so():
    """Not at all in the first one, by a quarter in the second one; all frames alike where one angle is given."""
    canvas = Canvas(look_of("StarDance", 0, 1), np.zeros((2, 2)), 8)
    u, v = canvas.around(0.4, 0.6, 0.5, [0, np.pi / 2])
    np.testing.assert_allclose([u[1], v[1]], [-v[0], u[0]], atol=1e-6)
    assert u[0, 0, 0] == pytest.approx((1 / 16 - 0.6) / 0.5) and v[0, 0, 0] == pytest.approx((0.4 - 1 / 16) / 0.5)
    np.testing.assert_allclose(canvas.around(0.4, 0.6, 0.5, np.pi / 2), np.stack([u[[1, 1]], v[[1, 1]]]), atol=1e-6)


def test_a_camera_shakes_by_four_pixels_and_its_light_flickers_by_a_seventh(tmp_path):
    """All shifts and lights occur, other ones in each clip and for each seed."""
    y, x = np.indices((32, 32)) > 15
    picture = (80 + 30 * x + 60 * y).astype(np.uint8)[..., None]
    mini = {"version": 1, "seed": 0}
    claim(tmp_path / "mini", mini)
    (tmp_path / "mini" / "ucfTrainTestlist").mkdir()
    for name in "ab":
        write_avi(tmp_path / "mini" / name / "v.avi", np.tile(picture, (120, 1, 1, 3)))
    made = {}
    for seed, given in ((0, {}), (1, {"seed": 1})):
        root = make_shaky(tmp_path / str(seed), tmp_path / "mini", **given)
        assert read_json(root / "mini.json") == mini | {"shaken": seed, "shake": 4, "flicker": 0.15}
        for name in "ab":
            frames = np.stack(list(read_frames(root / name / "v.avi"))).astype(float)
            for axis in (1, 2):  # of the mean over all others: its step stands where the edge is now
                step = np.diff(frames.mean(axis=(3 - axis, 3)), axis=1).argmax(axis=1)
                assert set(step) == set(range(11, 20))
            made[seed, name] = frames
    assert len({frames.tobytes() for frames in made.values()}) == 4
    grey = np.full((8, 8, 3), 100, np.uint8)
    light = [shaken(grey, np.random.default_rng(n), 4, 0.15)[0, 0, 0] for n in range(300)]
    assert set(light) == set(range(85, 115))


if __name__ == "__main__":
    print(*pictures(), sep="\n")
