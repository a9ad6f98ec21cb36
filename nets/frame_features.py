"""What a tower makes of the frames of a video: a source of one vector per frame, for a `Store` (data/store).

A tower sees each frame alone, so that its features need computing only once for every head, clip and fold. They depend
on the video, on the rate, and on the tower: its parameters say so by their checksum, and with everything else that
counts they name the folder that holds them.
"""

import itertools
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from snippets.data.augment import centre_crop, cut
from snippets.data.decoder import Source, Spread
from snippets.data.layouts.splits import Video
from snippets.data.loader import Preprocessing
from snippets.layers.device.xp import to_numpy, xp_of
from snippets.nets.frames import OverFrames, one_blas_thread
from snippets.nets.inspect.fake import output_shape

BLOCK = 32  # frames at a time: a multiple of the tower's chunk, so that features do not depend on the number of threads


@one_blas_thread
def frame_features(tower: OverFrames, clip: np.ndarray) -> np.ndarray:
    """The tower's output for each frame of a clip x (T, H, W, 3), flattened: (T, D)."""
    x = xp_of(next(iter(tower.params.values()))).asarray(clip[None])
    return to_numpy(tower.predict(x)).reshape(len(clip), -1)


@dataclass(frozen=True)
class FeatureSettings:
    """How frames become features. dtype: float32, or float16, which is half as long and right to three digits.

    spread: this many frames, evenly spaced over a video; None: all that it has at its rate.
    """

    seen: Preprocessing = Preprocessing()
    dtype: str = "float32"
    spread: int | None = None


class FrameFeatures(Source):
    """Features (D,) of each frame under the centre crop, of the frames that another source gives.

    tower: the network; about: a dict for JSON that says which one it is, besides its weights.
    Raises ValueError where a tower's output is no number, or too large for the dtype.
    """

    def __init__(self, frames: Source, tower: OverFrames, about: dict, settings: FeatureSettings):
        super().__init__()
        self.source, self.tower, self.about, self.settings = frames, tower, about, settings
        self.dtype, self.spread = np.dtype(settings.dtype), settings.spread
        self.rate, self.limit, self.picture_fps = frames.rate, frames.limit, frames.picture_fps
        size = settings.seen.size
        self.shape = (prod(output_shape(tower.layer, (1, size, size, 3))[1:]),)
        weights = 0
        for name, w in sorted(tower.params.items()):
            weights = zlib.crc32(np.ascontiguousarray(to_numpy(w)), zlib.crc32(name.encode(), weights))
        self.parameters = {
            "format": "snippets features 1", "frames": frames.parameters, "tower": about, "weights": weights,
            "size": size, "mean": settings.seen.mean, "scale": settings.seen.scale, "D": self.shape[0],
            "dtype": settings.dtype, "spread": settings.spread,
        }  # fmt: skip

    @property
    def name(self):
        digest = zlib.crc32(json.dumps(self.parameters, sort_keys=True).encode())
        spread = "" if self.spread is None else f"_{self.spread}spread"
        return f"{self.source.name}{spread}_{self.about['tower']}_{digest:08x}"

    def one_thread(self):
        self.tower.threads = 1
        self.source.one_thread()

    def compute_on(self, xp):
        self.tower.convert(xp.asarray)
        self.tower.chunk = BLOCK
        self.source.compute_on(xp)

    def count(self, video):
        return self.spread or self.source.at_hand(video).count(video)

    def stream(self, video: Video) -> Iterator[np.ndarray]:
        frames, seen = self._frames(video), self.settings.seen
        while block := list(itertools.islice(frames, BLOCK)):
            pixels = np.stack(block)  # (t, H, W, C)
            clip = cut(pixels, slice(None), centre_crop(*pixels.shape[1:3], seen.size), seen.mean, seen.scale)
            exact = frame_features(self.tower, clip)
            with np.errstate(over="ignore"):
                y = exact.astype(self.dtype)
            if not np.isfinite(y).all():
                if np.isfinite(exact).all():
                    found = f"up to {np.abs(exact).max():.3g}, more than {self.dtype} holds; use --dtype float32"
                else:
                    found = "that are no numbers: its weights do not fit, or the training that made them has failed"
                raise ValueError(f"{video.path}: the tower gives features {found}")
            yield from y

    def _frames(self, video):
        source = self.source.at_hand(video)
        return (Spread(source, self.spread) if self.spread else source).stream(video)
