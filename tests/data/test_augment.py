"""Crops, flips and windows, on a video whose pixels tell where they come from."""

import numpy as np
import pytest

from snippets.data.augment import (
    Crop,
    Views,
    cache_side,
    centre_crop,
    cut,
    random_crop,
    random_first,
    view_firsts,
    window,
)


@pytest.fixture
def video():
    """(9, 16, 20, 3) uint8: channels are frame, row and column."""
    return np.stack(np.meshgrid(np.arange(9), np.arange(16), np.arange(20), indexing="ij"), axis=-1).astype(np.uint8)


def test_one_crop_and_flip_for_all_frames(video, rng):
    """Every frame shows the same rows and columns, in the order of the crop; all places and both flips come up."""
    tops, lefts, flips = set(), set(), 0
    for _ in range(400):
        crop = random_crop(16, 20, 12, rng)
        x = cut(video, window(9, 4, 2), crop, mean=0, scale=1)
        assert type(x) is np.ndarray and x.dtype == np.float32 and x.shape == (4, 12, 12, 3) and x.flags.c_contiguous
        columns = np.arange(crop.left, crop.left + 12)[:: -1 if crop.flip else 1]
        np.testing.assert_array_equal(x[..., 0], np.broadcast_to(np.arange(2, 6)[:, None, None], (4, 12, 12)))
        np.testing.assert_array_equal(x[..., 1], np.broadcast_to(crop.top + np.arange(12)[:, None], (4, 12, 12)))
        np.testing.assert_array_equal(x[..., 2], np.broadcast_to(columns, (4, 12, 12)))
        tops.add(crop.top)
        lefts.add(crop.left)
        flips += crop.flip
    assert tops == set(range(5)) and lefts == set(range(9))
    assert 150 < flips < 250


def test_scaling(video):
    """0 and 255 become -1 and 1 under the usual mean and scale, without wrapping round in uint8."""
    video = np.where(video > 7, 255, 0).astype(np.uint8)
    x = cut(video, slice(None), Crop(0, 0, 16, False), mean=127.5, scale=127.5)
    np.testing.assert_array_equal(x, np.where(video[:, :, :16] > 7, 1, -1))


def test_centre_crop():
    assert centre_crop(256, 256, 220) == (18, 18, 220, False)
    assert centre_crop(16, 20, 16) == (0, 2, 16, False)
    assert (cache_side(220), cache_side(64), cache_side(112)) == (256, 74, 130)
    with pytest.raises(ValueError, match="a crop of 17x17 pixels does not fit into frames of 16x20"):
        centre_crop(16, 20, 17)


def test_short_videos_repeat_from_their_start():
    assert window(3, 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert window(10, 4, 6).tolist() == [6, 7, 8, 9]
    with pytest.raises(ValueError, match="from a video of 0"):
        window(0, 3)


def test_first_frames(rng):
    """All starts that fit and no other; spread from end to end; one view in the middle."""
    assert {random_first(10, 7, rng) for _ in range(200)} == {0, 1, 2, 3}
    assert random_first(5, 7, rng) == 0
    assert view_firsts(30, 10, 5).tolist() == [0, 5, 10, 15, 20]
    assert view_firsts(30, 10, 1).tolist() == [10]
    assert view_firsts(25, 1, 25).tolist() == list(range(25))
    assert view_firsts(5, 7, 3).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="views is 0"):
        view_firsts(30, 10, 0)


def test_random_starts_of_views():
    starts = view_firsts(12, 10, Views(400, "random"), np.random.default_rng(0))
    assert np.bincount(starts).tolist() == pytest.approx([133, 133, 133], abs=30)  # all that fit, alike
    assert view_firsts(12, 10, Views(1, "random")).tolist() == [1], "one view is in the middle"
