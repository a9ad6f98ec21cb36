"""Optical flow as images, for the second stream of the network (section 3.4 of the paper).

A flow image holds the flow between two adjacent frames of a video sampled at 15 frames per second: two channels, to
the right and down, cut off at +-40 pixels of the image and scaled to bytes,

    pixel = round((clip(u, -40, 40) + 40) 255 / 80)           u = pixel 80 / 255 - 40

No motion is 127.5, which no byte can hold: it is stored as 128 (halves go to the even neighbour), 0.16 pixels too much.
Mirrored left to right an image shows the opposite motion: its first channel becomes 255 - pixel. Networks take three
channels; the third is zero after the mean is subtracted (see `data.augment.cut`), and so it has no effect.

A FlowDecoder is used like a Decoder, alone or in a `Store`. The first line of a store's manifest holds bound and TV-L1
parameters, and a store of other ones is refused.
"""

import dataclasses
import importlib
import itertools
from collections.abc import Iterator

import numpy as np

from snippets.data.decoder import Decoder, Source
from snippets.data.flow.tvl1 import TVL1, pairs_at_once, tvl1
from snippets.data.pictures import PICTURE_FPS
from snippets.data.video import VideoError, read_frames
from snippets.layers.device.xp import usable_cores

GREY = np.float32([0.299, 0.587, 0.114])  # shares of red, green and blue in the brightness that the eye sees


def quantise(u: np.ndarray, bound: float = 40.0) -> np.ndarray:
    """Flow in pixels as bytes, see above; bound: the largest motion in pixels."""
    return np.rint((np.clip(u, -bound, bound) + bound) * (255 / (2 * bound))).astype(np.uint8)


def dequantise(pixels: np.ndarray, bound: float = 40.0) -> np.ndarray:
    """Bytes as flow in pixels, float32, right to half a step: bound / 255."""
    return pixels * np.float32(2 * bound / 255) - np.float32(bound)


class FlowDecoder(Decoder):
    """Flow images of a video, side x side, uint8 (images, side, side, 2), computed at every call.

    fps: images per second (None: all there are). Image k shows the motion from the frame at k / fps seconds to the next
    one at flow_fps frames per second: at 1 image per second, what happens within its first fifteenth.
    """

    channels = 2
    xp = np  # library of the arrays on which flow is computed; cupy: on the current GPU
    threads = None  # that compute it; None: one per core

    def __init__(
        self, side=256, fps: float | None = None, limit: int | None = None, flow_fps=15.0, bound=40.0,
        settings: TVL1 | None = None, picture_fps=PICTURE_FPS,
    ):  # fmt: skip
        super().__init__(side, fps, limit, picture_fps)
        if not (flow_fps > 0 and (fps is None or 0 < fps <= flow_fps)):
            raise ValueError(
                f"{fps} flow images per second of {flow_fps} frames per second: expected no more images than frames"
            )
        self.flow_fps, self.bound, self.settings = flow_fps, bound, settings or TVL1()

    def __getstate__(self):  # a module travels by its name
        return self.__dict__ | {"xp": self.xp.__name__}

    def __setstate__(self, state):
        self.__dict__.update(state, xp=importlib.import_module(state["xp"]))

    def one_thread(self):
        self.threads = 1

    def compute_on(self, xp):
        self.xp = xp

    @property
    def parameters(self):
        flow = {"flow_fps": self.flow_fps, "bound": self.bound, "tvl1": dataclasses.asdict(self.settings)}
        return super().parameters | {"format": "snippets flow 2", **flow}

    @property
    def rate(self):
        return self.fps or self.flow_fps

    @property
    def name(self):
        return super().name + "_flow"

    def length(self, path):
        return sum(1 for _ in itertools.islice(self._pairs(path, 8), self.limit))

    take_evenly = Source.take_evenly  # a pass without flow counts the images

    def flows(self, path, wanted=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each frame (side, side, 3) uint8 RGB that has an image, and its flow (side, side, 2) in pixels, float32.

        wanted: numbers of the images to compute, None for all.
        """
        pairs = enumerate(itertools.islice(self._pairs(path), self.limit))
        pairs = (pair for n, pair in pairs if wanted is None or n in wanted)
        threads = self.threads or usable_cores()
        while batch := list(itertools.islice(pairs, pairs_at_once(self.side, self.side) * threads)):
            grey = np.stack([[frame @ GREY for frame in pair] for pair in batch])  # (N, 2, side, side)
            u = tvl1(*(self.xp.asarray(grey[:, k]) for k in (0, 1)), self.settings, threads)
            yield from zip((frame for frame, _ in batch), u if self.xp is np else u.get(), strict=True)

    def read(self, path):
        for _, u in self.flows(path):
            yield quantise(u, self.bound)

    def numbered(self, video, wanted):
        """As every source's, but only what is wanted is computed: a pair takes longer than the frames around it."""
        count, wanted = self.count(video), sorted(wanted)
        for first in range(0, wanted[-1] + 1, count):
            part = [n for n in wanted if first <= n < first + count]
            flows = self.flows(video.path, {n - first for n in part}) if part else ()
            yield from ((n, quantise(u, self.bound)) for n, (_, u) in zip(part, flows, strict=True))

    def _pairs(self, path, side=None):
        """Pairs of neighbours at flow_fps, fps of them per second, side x side pixels."""
        images = 0
        frames = read_frames(path, self.flow_fps, side or self.side, picture_fps=self.picture_fps)
        for k, pair in enumerate(itertools.pairwise(frames)):
            if self.fps is None or k == int(images * self.flow_fps / self.fps + 1e-6):
                images += 1
                yield pair
        if not images:
            found = f"only one frame at {self.flow_fps:g} per second"
            raise VideoError(f"{path}: {found}, and flow is between two; skip it")


def colours(u: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Flow (..., 2) in pixels as a picture, uint8 RGB: the hue is the direction, white is no motion.

    largest: the motion that gets the full colour (None: the largest there is).
    """
    size = np.hypot(u[..., 0], u[..., 1])
    strength = np.clip(size / (largest or max(size.max(), 1e-6)), 0, 1)[..., None]
    angle = np.arctan2(u[..., 1], u[..., 0])[..., None]
    hue = 0.5 + 0.5 * np.cos(angle - 2 * np.pi / 3 * np.arange(3))  # red to the right, green and blue 120 degrees on
    return np.rint(255 * (1 - strength * (1 - hue))).astype(np.uint8)
