"""A folder of numbered pictures: a video whose frames have been extracted before, read through imageio.

    v_Archery_g01_c01/frame000001.jpg, frame000002.jpg ...        or img_00001.jpg ..., 0001.png ..., 1.jpg ... 10.jpg

The frames are in the order of their numbers (2 comes before 10), and the numbers may go up in equal steps of any size.
The folder does not say how many of them are shown per second: whoever reads it does.
"""

import os
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from snippets.data.display import FrameSource, VideoError

NUMBERED = re.compile(r"(?!\.)(?P<series>.*?)(?P<number>[0-9]+)\.(?:jpg|jpeg|png)", re.I | re.S)  # no hidden file
PICTURE_FPS = 25.0  # where nobody says how many pictures are shown per second


def numbered_pictures(folder) -> dict[int, Path]:
    """The pictures in a folder by their number, in order.

    Raises VideoError for a folder without numbered pictures, of several series or with two pictures of one number.
    """
    found, series, folder = {}, {}, Path(folder)
    for name in sorted(os.listdir(folder)):
        if match := NUMBERED.fullmatch(name):
            series.setdefault(match["series"], name)
            if len(series) > 1:
                both = " and ".join(series.values())
                raise VideoError(f"{folder}: two series of pictures, {both}; expected one per folder: move one away")
            other = found.setdefault(int(match["number"]), folder / name)
            if other.name != name:
                raise VideoError(f"{folder}: {other.name} and {name} have one number, expected one picture for it")
    if not found:
        expected = "expected a video file, or a folder of numbered pictures (frame000001.jpg ...)"
        raise VideoError(f"{folder}: a folder, {expected}")
    return dict(sorted(found.items()))


def video_files(path) -> list[Path]:
    """The files that hold a video's frames, in order: the video file itself, or the pictures of a folder."""
    return list(numbered_pictures(path).values()) if os.path.isdir(path) else [Path(path)]


def read_picture(path) -> av.VideoFrame:
    """A picture file in RGB, turned as its EXIF data say. VideoError for one that is damaged."""
    from imageio.v3 import imread

    try:
        pixels = imread(path, plugin="pillow", mode="RGB", rotate=True)
    except Exception as error:  # Pillow's errors have nothing in common
        reason = f"not a picture, or damaged ({error})"
        raise VideoError(f"{path}: {reason}; extract the frames again, or skip this video") from error
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame.time_base = Fraction(1)  # its time is the folder's matter, but FFmpeg's filters ask for one
    return frame


class PictureFolder(FrameSource):
    """A folder of numbered pictures, shown at fps frames per second. Raises what `numbered_pictures` raises."""

    def __init__(self, path, fps: float = PICTURE_FPS):
        self.path, self.files = Path(path), numbered_pictures(path)
        self.fps = self.beat = Fraction(str(fps))
        self.declared = len(self.files)

    def clock_fault(self):
        numbers = np.array(list(self.files))
        steps = np.diff(numbers)
        step = np.gcd.reduce(steps)
        gaps = np.flatnonzero(steps > step)
        if not len(gaps):
            return None
        missing = (steps[gaps] // step - 1).sum()
        return (
            f"gaps in the numbers of pictures: {missing} missing, after {self.files[int(numbers[gaps[0]])].name} first"
        )

    def _timed(self):
        for n, path in enumerate(self.files.values()):
            yield read_picture(path), n / self.fps, (n + 1) / self.fps
