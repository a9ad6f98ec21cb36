"""What the command line means by DATA: a folder of videos, or a file of precomputed features.

FOLDER       one of the layouts in `data.layouts.table`
FILE.csv     a manifest of the videos in its folder
FILE.npz     features of frames, see `data.features`; the networks then have no tower

Of videos a network reads pixels, or the features that a trained tower computes of them, which are kept in a store.
"""

import contextlib
import math
import os
import shutil
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snippets.data.augment import cache_side
from snippets.data.decoder import Decoder, Spread
from snippets.data.features import FeatureSet, VideoFeatures, fold_in, load_features
from snippets.data.flow.images import FlowDecoder
from snippets.data.flow.tvl1 import TVL1
from snippets.data.layouts.splits import ALL, Split, read_skip
from snippets.data.layouts.table import VideoFolder, layout_of, root_of
from snippets.data.listing import shown, tally
from snippets.data.loader import ClipSet, Preprocessing, label_array
from snippets.data.options import Options, option
from snippets.data.pictures import PICTURE_FPS
from snippets.data.store.processes import THIS_PROCESS
from snippets.data.store.store import Store
from snippets.data.video import VideoError, read_header


@dataclass(frozen=True)
class DataSettings(Options):
    """How pixels or features become the network's input; stored in the checkpoint, as a net needs the same again."""

    stream: str = option("rgb", "what the network sees: frames, or the optical flow between them", ("rgb", "flow"))
    fps: float | None = option(None, "frames per second (default: all frames; Sports-1M: 1)", above=0, most=1e3)
    picture_fps: float = option(
        PICTURE_FPS, "videos that are folders of pictures: how many were taken per second", above=0, most=1e3
    )
    flow_fps: float = option(15.0, "flow: frames per second between which it is computed", above=0, most=1e3)
    bound: float = option(40.0, "flow: largest motion in pixels, larger ones are clipped", above=0, most=1e4)
    tvl1: str = option("", "flow: TV-L1 parameters other than the defaults, e.g. lam=0.1,warps=10; see docs/flow.md")
    seconds: float | None = option(
        None, "use the first N seconds; shorter videos repeat (default: all; Sports-1M: 300)", above=0, most=1e6
    )
    mean: float | list = option(127.5, "the network sees (pixel - mean) / scale; one number or R, G, B", nargs="+")
    scale: float | list = option(127.5, "see mean", nargs="+")
    features: str = option("unit", "features: each frame's scaled to mean square 1, or raw", ("unit", "raw"))
    count: int | None = option(None, "N frames spread evenly over each video, in place of all", least=1, most=1e6)
    dtype: str = option("float32", "features of videos: how they are stored", ("float32", "float16"))
    stored_tap: str = "auto"  # features of videos: where the tower ends, see `NetConfig`
    stored_as: str = ""  # and the name of those that a network was trained on; "": pixels, or a file

    def __post_init__(self):
        super().__post_init__()
        for name in ("mean", "scale"):
            values = np.ravel(getattr(self, name)).tolist()
            if len(values) not in (1, 3) or not np.isfinite(values).all() or (name == "scale" and min(values) <= 0):
                what = "finite numbers" if name == "mean" else "positive numbers"
                raise ValueError(f"{name} is {values}, expected one or three {what}: of all channels, or of R, G and B")
            object.__setattr__(self, name, values[0] if len(values) == 1 else values)
        if self.stream == "flow":  # all parameters, so that a checkpoint keeps its flow when a default changes
            object.__setattr__(self, "tvl1", str(TVL1.parse(self.tvl1)))

    @property
    def length(self):
        """Frames of every video that a network reads; None: as many as it has."""
        return self.count or self.limit

    @property
    def limit(self):
        """Frames to which every video is cut or repeated; None: as many as it has."""
        if self.seconds is None:
            return None
        fps = self.fps or (self.flow_fps if self.stream == "flow" else None)
        if fps is None or not self.seconds * fps >= 1:
            rate = "the native frame rate" if fps is None else f"{fps:g} frames per second"
            raise ValueError(f"the first {self.seconds:g} seconds at {rate}: expected --fps, and one frame at least")
        return round(self.seconds * fps)


def settings_for(path, settings):
    """The settings, completed by the defaults of DATA's layout: Sports-1M is its first 300 seconds at 1 fps."""
    defaults = {} if is_features(path) else layout_of(path).defaults
    return replace(settings, **{name: value for name, value in defaults.items() if getattr(settings, name) is None})


def has_folds(path):
    """Whether DATA can be split in three ways."""
    return not is_features(path) and None not in layout_of(path).folds


def fold_for(path, asked=None):
    """The fold that DATA is read with: the one asked for, else 1; None where there are no folds (Sports-1M).

    Raises ValueError if DATA has no folds, or is a feature file of another fold.
    """
    if is_features(path):
        own = fold_in(path)
        if own is None or asked in (None, own):
            return own or asked or 1
        raise ValueError(f"{path}: features of fold {own}, not of fold {asked}; compute them for that fold")
    if has_folds(path):
        return asked or 1
    if asked is not None:
        raise ValueError(f"{path}: {layout_of(path).name} give one split and no folds, but fold {asked} is asked for")
    return None


def is_features(path):
    """Whether DATA is a feature file and not a folder of videos."""
    return Path(path).suffix == ".npz"


@dataclass(frozen=True)
class DataSpec:
    """DATA and how to read it.

    path: a folder of videos, a manifest, or a feature file. size: side of the crops in pixels. cache: folder for
    decoded frames, None: decode every time. skip: file that lists videos to leave out. available: skip missing videos,
    and report how many there are. xp: library of the arrays on which flow is computed. features: makes a source of
    features of a source of frames, see `training.model`; None: the network reads pixels. executor: where they are
    computed, see data/store/processes.py.
    """

    path: str | Path
    size: int = 220
    settings: DataSettings = DataSettings()
    fold: int | None = 1
    cache: str | Path | None = "runs/cache"
    skip: str | Path | None = None
    available: bool = False
    progress: bool = True
    xp: object = np
    features: Callable | None = None
    executor: object = THIS_PROCESS

    def source(self):
        """Frames or flow images at the side that crops of `size` want, or features of them.

        Each data folder has a place in the cache of its own.
        """
        settings = self.settings
        given = [cache_side(self.size), settings.fps, settings.limit]
        if settings.stream == "flow":
            given += [settings.flow_fps, settings.bound, TVL1.parse(settings.tvl1)]
            source = FlowDecoder(*given, picture_fps=settings.picture_fps)
            source.compute_on(self.xp)
        else:
            source = Decoder(*given, picture_fps=settings.picture_fps)
        source = self._kept(source)
        if self.features is not None:
            return self._kept(self.features(source))
        return source if settings.count is None else Spread(source, settings.count)

    def _kept(self, source):
        if self.cache is None:
            return source
        folder = root_of(self.path)
        digest = zlib.crc32(os.fsencode(folder.resolve()))
        return Store(Path(self.cache) / f"{folder.name[:60]}-{digest:08x}", source)


def open_data(spec, frames, build=True, check=lambda *sets: None):
    """Training and test set of clips of T = frames (features: None for all); decodes videos into the cache.

    spec: a `DataSpec`. build: decode all videos now, and raise one error for all that are missing or damaged; those of
    which no features can be computed are named and left out instead. Not build: each is decoded when it is used.
    check(train_set, test_set) is called before anything is decoded, and may raise.
    Raises FileNotFoundError for a missing folder or missing videos, ValueError for wrong lists, files or settings.
    """
    path, settings = Path(spec.path), spec.settings
    if is_features(path):
        sets = load_features(path, frames, settings.features == "unit")
        check(*sets)
        return sets
    if not (path.is_file() if root_of(path) != path else path.is_dir()):
        expected = "expected a folder of videos, a manifest of them (.csv), or a feature file (.npz)"
        raise FileNotFoundError(f"{path}: no such folder; {expected}")
    folder, skip = VideoFolder(path), read_skip(spec.skip) if spec.skip else ()
    split = folder.load(spec.fold, skip, spec.available, check=build)
    if spec.available:
        listed = folder.listed(spec.fold, skip)
        sides = [("training ", split.train, listed.train), ("test ", split.test, listed.test)]
        for side, have, all_of in [("", split.test, listed.test)] if spec.fold == ALL else sides:
            print(f"available: {len(have)} of {len(all_of)} {side}videos")
    for text in folder.advice(split):
        print(f"note: {text}")
    everything = folder.listed(spec.fold) if spec.available or skip else split
    if others := folder.ignored(v.path for v in everything.train + everything.test):
        files = "1 file" if len(others) == 1 else f"{len(others)} files"
        print(f"ignored: {files} ({tally(why for _, why in others)})")
    source = spec.source()
    sets = sets_of(spec, split, source, frames)
    check(*sets)
    if spec.cache is None or not build:
        return sets
    bad = source.fill(
        split.train + split.test, spec.executor, spec.progress, lambda missing: price_cache(missing, source)
    )
    if bad and spec.features is None:
        raise unusable(bad, len(split.train + split.test))
    if bad:
        left_out = f"left out: {len(bad)} of {len(split.train + split.test)} videos"
        print("\n".join([*map(shown, bad.values()), left_out]), file=sys.stderr)
        sides = ([v for v in side if v.name not in bad] for side in split[1:])
        sets = sets_of(spec, Split(split.classes, *sides), source, frames)
    return sets


def sets_of(spec, split, source, frames):
    """Training and test set of the videos of a `Split`: of clips of T = frames, or of their features."""
    settings = spec.settings
    if spec.features is None:
        seen = Preprocessing(spec.size, settings.mean, settings.scale)
        return tuple(ClipSet(split.classes, part, source, frames, seen, settings.length) for part in split[1:])
    sets = []
    for videos in split[1:]:
        stored = VideoFeatures(videos, source, settings.limit, settings.features == "unit")
        labels = label_array([video.label for video in videos], len(split.classes))
        names, groups = [video.name for video in videos], [video.group for video in videos]
        sets.append(FeatureSet(stored, range(len(videos)), labels, split.classes, names, frames, groups))
    return tuple(sets)


def unusable(bad, count):
    """The error that some of `count` videos cannot be used, with a note on each; bad: {name: what is wrong}."""
    error = VideoError(
        f"{len(bad)} of {count} videos cannot be used, the others are in the cache; name these in a skip "
        "list (snippets check-data --write-skip FILE writes it) and add --skip FILE:"
    )
    error.__notes__ = list(bad.values())
    return error


def price_cache(videos, source):
    """Predict from a few headers what the videos will take in the cache; print it if it is over a gigabyte.

    Raises OSError if there is no room for it.
    """
    frames = frames_per_video(videos, source)
    what = f"{'the frame cache' if len(source.shape) > 1 else 'the features'} of {len(videos)} videos"
    size = frames * len(videos) * math.prod(source.shape) * source.dtype.itemsize
    check_room(source.folder, size, what, "choose another --cache, or a smaller --size or --fps, or --cache none")
    if size > 1e9:
        print(f"{what} will take about {size / 1e9:.0f} GB in {source.folder}")


def frames_per_video(videos, source, sample=20):
    """How many arrays a source gives of a video, on average, by a sample of headers; 0: none of them is readable."""
    counts = []
    for video in videos[:: max(1, len(videos) // sample)]:
        with contextlib.suppress(VideoError, OSError):  # reported when it is decoded
            h = read_header(video.path, source.picture_fps)
            count = h.frames * (source.rate / h.fps if source.rate and h.fps else 1)
            counts.append(source.spread or min(count, source.limit or count))
    return sum(counts) / max(1, len(counts))


def check_room(path, size, what, advice):
    """Raises OSError unless `size` bytes fit on the disk of path, which need not exist yet."""
    path = Path(path).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        needed = f"{what} will take about {size / 1e9:.1f} GB in {path}, where {free / 1e9:.1f} GB are free"
        raise OSError(f"{needed}: make room, or {advice}")
