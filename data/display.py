"""From decoded frames to the pictures that players show: turned, with square pixels, in RGB, at any rate.

A phone stores its pictures as its sensor sees them, with a display matrix that says how to turn them. Its elements are
(a b u; c d v; x y w), and the pixel (p, q), p to the right and q down, is shown at

    (a p + c q + x, b p + d q + y)

up to a shift that puts the picture back into the first quadrant. Turns by 90 degrees and mirrorings only move pixels
and swap width and height; another angle is turned within the picture's own edges, black outside, as ffmpeg does it.
`frame.rotation` of PyAV is the angle only, without mirroring. Pixels that are not square (sample aspect ratio, width to
height) make the picture wider or narrower, before it is turned.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

QUARTERS = ([], [("transpose", "clock")], [("hflip", None), ("vflip", None)], [("transpose", "cclock")])  # clockwise
ODDEST = 20  # pixels longer or flatter than this are a broken header's, and taken for square


class VideoError(ValueError):
    """A file that is no video, is damaged, or ends before its declared length."""


@dataclass(frozen=True)
class Header:
    """What a file declares (frames, fps = 0: nothing), and the size in pixels at which it is shown.

    beat: frames per second of the grid on which all frames lie, more than the mean fps where the rate varies.
    """

    fps: float
    frames: int
    width: int
    height: int
    beat: float


def turns(frame: av.VideoFrame) -> list[tuple[str, str | None]]:
    """The filters (name, arguments) that turn a decoded frame as it is shown."""
    found = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # frame.side_data would wait for the garbage collector
    a, b, _, c, d = np.frombuffer(found, np.int32)[:5].tolist() if found is not None else (1, 0, 0, 0, 1)
    mirror = a * d < b * c
    if mirror:  # left and right, before all else
        a, b = -a, -b
    wide, high = math.hypot(a, c), math.hypot(b, d)
    if not wide or not high:  # no matrix at all
        return []
    angle = math.atan2(b / high, a / wide)  # clockwise
    quarters = round(angle / (math.pi / 2))
    right = abs(angle - quarters * math.pi / 2) < math.radians(1)
    return [("hflip", None)] * mirror + (QUARTERS[quarters % 4] if right else [("rotate", f"{angle:.9f}")])


class Display:
    """Frames as arrays uint8 RGB (H, W, 3), each one the caller's own, all of one size.

    aspect: width of a pixel to its height (None: square). size: (height, width), None: as the first frame is shown.
    """

    def __init__(self, aspect=None, size: tuple[int, int] | None = None):
        self.aspect = aspect if aspect and 1 / ODDEST <= aspect <= ODDEST else 1
        self.size, self._kind = size, None

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        kind = frame.format.name, frame.width, frame.height, turns(frame)
        if kind != self._kind:  # the first one, or the film has changed on the way
            self.size = self.size or self.shown(frame)
            self._kind, self._graph = kind, self._filters(frame)
        self._graph.push(frame)
        return self._graph.pull().to_ndarray()

    def shown(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Height and width in pixels at which players show a frame."""
        size = frame.height, max(1, round(frame.width * self.aspect))
        return size[::-1] if any(name == "transpose" for name, _ in turns(frame)) else size

    def _filters(self, frame):
        """FFmpeg's filter graph from decoded frames like this one to RGB frames of the wanted size."""
        graph, (height, width), turned = av.filter.Graph(), self.size, turns(frame)
        buffer = dict(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
        nodes = [graph.add_buffer(**buffer)]
        if any(name == "rotate" for name, _ in turned):  # turning is for square pixels
            nodes.append(graph.add("scale", "{1}:{0}".format(*self.shown(frame))))
        nodes += [graph.add(*filter) for filter in turned]
        nodes.append(graph.add("scale", f"{width}:{height}:flags=bilinear+accurate_rnd"))
        nodes += [graph.add("format", "rgb24"), graph.add("buffersink")]
        for one, next_one in itertools.pairwise(nodes):
            one.link_to(next_one)
        graph.configure()
        return graph


class FrameSource:
    """Frames with their times, to be read once; a subclass opens them and gives `_timed`.

    path: where they are. fps, beat: see `Header`, Fractions. declared: how many there should be, 0: unknown. aspect: of
    a pixel, None: square.
    """

    aspect = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def _timed(self) -> Iterator[tuple[av.VideoFrame, Fraction, Fraction]]:
        """Every frame with its start and its end in seconds from the first frame on."""
        raise NotImplementedError

    def clock_fault(self) -> str | None:
        """What is wrong with the times of the frames read, None: nothing."""
        raise NotImplementedError

    def header(self) -> Header:
        """The first frame is decoded, as it says how it is turned."""
        frame, _, _ = next(self._timed())
        height, width = Display(self.aspect).shown(frame)
        return Header(float(self.fps), self.declared, width, height, float(self.beat))

    def times(self) -> Iterator[float]:
        """The times of all frames, in seconds from the first one."""
        return (float(start) for _, start, _ in self._timed())

    def pictures(self, fps=None, size=None) -> Iterator[tuple[float, float, np.ndarray]]:
        """Frames as `read_frames` gives them, with the times in seconds from which and to which they are shown."""
        display = Display(self.aspect, (size, size) if isinstance(size, int) else size)
        count, rate = 0, fps and Fraction(str(fps))
        try:
            for frame, start, end in self._timed():
                if fps is None:
                    yield float(start), float(end), display(frame)
                    continue
                while count < _nearest(end * rate):  # a frame is shown at the moments that are nearest to it
                    count += 1
                    yield (count - 1) / fps, count / fps, display(frame)
            if fps is not None and not count:  # all of it is less than half of 1 / fps
                yield 0.0, 1 / fps, display(frame)
        except av.FFmpegError as error:
            raise VideoError(f"{self.path}: a frame cannot be shown ({error.strerror}); skip it") from error


def _nearest(x):
    """The nearest whole number, the larger one of two."""
    return math.floor(x + Fraction(1, 2))
