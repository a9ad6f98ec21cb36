"""From a decoded frame to the picture that players show: turned, with square pixels, in RGB.

A phone stores its pictures as its sensor sees them, with a display matrix that says how to turn them. Its elements are
(a b u; c d v; x y w), and the pixel (p, q), p to the right and q down, is shown at

    (a p + c q + x, b p + d q + y)

up to a shift that puts the picture back into the first quadrant. Turns by 90 degrees and mirrorings only move pixels
and swap width and height; another angle is turned within the picture's own edges, black outside, as ffmpeg does it.
`frame.rotation` of PyAV is the angle only, without mirroring. Pixels that are not square (sample aspect ratio, width to
height) make the picture wider or narrower, before it is turned.
"""

import math

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

QUARTERS = ([], [("transpose", "clock")], [("hflip", None), ("vflip", None)], [("transpose", "cclock")])  # clockwise
ODDEST = 20  # pixels longer or flatter than this are a broken header's, and taken for square


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
        for one, next_one in zip(nodes, nodes[1:], strict=False):
            one.link_to(next_one)
        graph.configure()
        return graph
