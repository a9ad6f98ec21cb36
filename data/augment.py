"""Which part of a video a network sees: frames in time, a crop in space, perhaps its mirror image.

Videos are stored at 256x256 and cut to 220x220 (or any size in that ratio). For each training example the first frame,
the crop and the flip are drawn once, for all its frames: a crop that jumps from frame to frame would look like motion.
A clip is T frames in a row; a video shorter than T repeats from its start, nothing is padded with zeros.
"""

from typing import NamedTuple

import numpy as np


class Crop(NamedTuple):
    """A square of size x size pixels with its top left corner at (top, left), mirrored left to right if flip."""

    top: int
    left: int
    size: int
    flip: bool


def cache_side(size: int) -> int:
    """Side in pixels at which frames are stored for crops of size pixels: 256 for 220, and in that ratio."""
    return round(size * 256 / 220)


def random_crop(height: int, width: int, size: int, rng: np.random.Generator) -> Crop:
    """A crop anywhere in a height x width frame, all places equally likely, flipped with probability 1/2."""
    _check_fits(height, width, size)
    return Crop(int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1)), size, bool(rng.integers(2)))


def centre_crop(height: int, width: int, size: int) -> Crop:
    """The crop in the middle of a height x width frame, not flipped."""
    _check_fits(height, width, size)
    return Crop((height - size) // 2, (width - size) // 2, size, False)


def window(length: int, frames: int, first: int = 0) -> np.ndarray:
    """Indices (T,) of T = frames in a row from `first`, in a video of that length; after its end it starts again."""
    if length < 1 or frames < 1:
        raise ValueError(f"a clip of {frames} frames from a video of {length}: both must be at least 1")
    return (first + np.arange(frames)) % length


def random_first(length: int, frames: int, rng: np.random.Generator) -> int:
    """First frame of a random clip: uniform over the starts that fit, 0 if the video is shorter than the clip."""
    return int(rng.integers(max(length - frames, 0) + 1))


STARTS = ("spread", "random")


class Views(NamedTuple):
    """How many clips of a video a network is tested on, and where they start; random ones as in the paper."""

    count: int
    starts: str = "spread"  # one of STARTS


def view_firsts(length: int, frames: int, views: int | Views, rng: np.random.Generator | None = None) -> np.ndarray:
    """First frames (views,) of the clips to test on; views: a `Views`, or a number of clips spread from end to end.

    One view lies in the middle. rng: of random starts.
    """
    count, starts = views if isinstance(views, Views) else Views(views)
    if count < 1:
        raise ValueError(f"views is {count}, expected at least 1")
    room = max(length - frames, 0)
    if count == 1:
        return np.array([room // 2])
    return rng.integers(room + 1, size=count) if starts == "random" else np.linspace(0, room, count).round().astype(int)


def cut(video, index, crop: Crop, mean, scale) -> np.ndarray:
    """Network input (T, size, size, C), float32 (pixel - mean) / scale, from a video (frames, H, W, C) of uint8 pixels.

    index: (T,) frame numbers, the only ones that are read of a video on disk. mean, scale: a number, or one per
    channel. A video of two channels is optical flow (see data/flow/images.py): when it is mirrored, motion to the right
    becomes motion to the left, and x gets a third channel of zeros, after the mean is subtracted.
    """
    top, left, size, flip = crop
    pixels = video[index][:, top : top + size, left : left + size]  # (T, size, size, C)
    flow = pixels.shape[-1] == 2
    if flip:
        pixels = pixels[:, :, ::-1]
    if flip and flow:
        pixels = np.stack([255 - pixels[..., 0], pixels[..., 1]], axis=-1)
    mean, scale = (np.resize(np.float32(number), pixels.shape[-1]) for number in (mean, scale))  # one for each channel
    x = np.subtract(pixels, mean, dtype=np.float32, order="C")
    x /= scale
    return np.pad(x, [(0, 0)] * 3 + [(0, 1)]) if flow else x


def _check_fits(height, width, size):
    if not 1 <= size <= min(height, width):
        raise ValueError(f"a crop of {size}x{size} pixels does not fit into frames of {height}x{width}")
