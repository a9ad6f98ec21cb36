"""What the command line means by DATA: a folder of videos, or a file of precomputed features.

FOLDER       UCF-101 and what looks like it (official lists in or beside it), else one folder a class
FILE.npz     features of frames, see `data.features`; the networks then have no tower
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

from data.augment import cache_side
from data.cache import Decoder, FrameCache
from data.features import load_features
from data.folder import load_videos
from data.loader import ClipSet
from data.ucf101 import read_skip
from data.video import read_header
from nets.options import option


@dataclass(frozen=True)
class DataSettings:
    """How pixels or features become the network's input; stored in the checkpoint, for a net understands no other."""

    fps: float | None = option(None, "frames per second (default: every native frame)")
    mean: float = option(127.5, "the network sees (pixel - mean) / scale")
    scale: float = option(127.5, "see mean")
    features: str = option("unit", "precomputed features: each frame scaled to mean square 1, or raw", ("unit", "raw"))


def is_features(path):
    """Whether DATA is a feature file and not a folder of videos."""
    return Path(path).suffix == ".npz"


def open_data(path, frames, size=220, settings=None, fold=1, cache="runs/cache", skip=None, progress=True):
    """Training and test set of DATA as clips of T = frames (features: None for all); decodes into the cache.

    cache: folder for decoded frames, None decodes anew each time. skip: file that lists videos to leave out.
    """
    path, settings = Path(path), settings or DataSettings()
    if is_features(path):
        return load_features(path, frames, settings.features == "unit")
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path}: no such folder; expected a folder of videos, or a feature file ending in .npz"
        )
    split = load_videos(path, fold, skip=read_skip(skip) if skip else ())
    source = open_source(path, size, settings.fps, cache)
    if cache is not None:
        announce(split, source)
        source.build(split.train + split.test, progress)
    pixels = dict(mean=settings.mean, scale=settings.scale)
    return tuple(ClipSet(split.classes, part, source, frames, size, **pixels) for part in (split.train, split.test))


def open_source(path, size, fps, cache=None):
    """Frames at the side that crops of `size` want; each data folder has a cache of its own."""
    if cache is None:
        return Decoder(cache_side(size), fps)
    name = f"{path.name}-{zlib.crc32(str(path.resolve()).encode()):08x}"
    return FrameCache(Path(cache) / name, cache_side(size), fps)


def announce(split, source):
    """Say how large the cache will be, before it is built, if that is more than a gigabyte (from a few headers)."""
    videos = split.train + split.test
    sample = [read_header(video.path) for video in videos[:: max(1, len(videos) // 20)]]
    frames = sum(h.frames * (source.fps / h.fps if source.fps and h.fps else 1) for h in sample) / len(sample)
    size = frames * len(videos) * source.side**2 * 3
    if size > 1e9:
        print(f"the frame cache of {len(videos)} videos will take about {size / 1e9:.0f} GB in {source.folder}")
