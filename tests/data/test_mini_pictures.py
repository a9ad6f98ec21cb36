"""What the mini data set shows, written down a second time: whoever changes a picture has to mean it, and look at it.

After a change that is meant: `python tests/data/test_mini_pictures.py > tests/data/mini_pictures.txt`.
"""

from pathlib import Path

import numpy as np

from snippets.data.mini.camera_shake import shaken
from snippets.data.mini.make import CLASSES, look_of, paint_clip

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


if __name__ == "__main__":
    print(*pictures(), sep="\n")
