"""Features instead of pixels: vectors of frames computed before, to train only the part above the CNN.

Those of a folder of videos are in a store, one array per video, as long as the video (`VideoFeatures`). A file, for
sets of teaching size, has the same number of frames of every video (`StoredFeatures`). It is an .npz with

    feat     (V, T, D)  any number type, frames in time order; the value is feat * scale
    label    (V,)       integers; their order gives the labels 0..K-1 (UCF-101's 2, 3, 8 become 0, 1, 2); or multi-hot
                        (V, K) of 0 and 1, for videos of several classes
    is_test  (V,)       1 or True: test video
    scale    optional: a number, or one for each of the D features
    name     optional (V,): "Class/file.avi"; gives the class names where there are no `classes`
    classes  optional (K,): the class names; labels are then 1..K, or multi-hot
    group    optional (V,): videos of one group are clips of one film; else as the names say
    fold     optional: number of the official split that is_test is of

Features of a file stay in memory as they are in it (uint8 is a quarter of float32); those of a store stay on disk. Both
are converted per clip.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from snippets.data.augment import Views, random_first, view_firsts, window
from snippets.data.decoder import Source
from snippets.data.files import read_npz, write_npz
from snippets.data.layouts.splits import Video, distinct, group_of
from snippets.data.listing import shown

NEEDED, OPTIONAL = ("feat", "label", "is_test"), ("scale", "name", "classes", "group", "fold")


class StoredFeatures(NamedTuple):
    """Features as a file holds them: feat (V, T, D) of any number type, and scale, a number or (D,).

    unit: scale the vector of each frame to a mean square of one, which suits any network's first layer.
    """

    feat: np.ndarray
    scale: np.ndarray
    unit: bool = False

    @property
    def dim(self):
        """D."""
        return self.feat.shape[2]

    @property
    def spread(self):
        """Frames of every video."""
        return self.feat.shape[1]

    def count(self, row) -> int:
        """Frames of one video."""
        return self.feat.shape[1]

    def values(self, row, window) -> np.ndarray:
        """Features (T, D) of a window of frame numbers, float32."""
        x = np.multiply(self.feat[row, window], self.scale, dtype=np.float32)
        return unit_vectors(x) if self.unit else x

    def checksum(self, row) -> int:
        """CRC-32 of the features of one video as they are stored, and of their scale."""
        scale = zlib.crc32(np.ascontiguousarray(self.scale))
        return zlib.crc32(np.ascontiguousarray(self.feat[row]), scale)


class VideoFeatures(NamedTuple):
    """Features of videos as a source gives them, a `Store` for instance; row: a number in the list of videos.

    length: frames to which every video is cut or repeated; None: as many as it has. unit: see `StoredFeatures`.
    """

    videos: list[Video]
    source: Source
    length: int | None = None
    unit: bool = False

    @property
    def dim(self):
        """D."""
        return self.source.shape[0]

    @property
    def spread(self):
        """Frames of every video, None if some have more."""
        return self.source.spread or self.length

    def count(self, row) -> int:
        """Frames of one video."""
        return self.source.spread or self.length or self.source.count(self.videos[row])

    def values(self, row, window) -> np.ndarray:
        """Features (T, D) of a window of frame numbers, float32; no others are read."""
        x = next(self.source.take(self.videos[row], [window])).astype(np.float32)
        return unit_vectors(x) if self.unit else x

    def checksum(self, row) -> int:
        """CRC-32 of the video's file."""
        return self.source.checksum(self.videos[row])


def unit_vectors(x: np.ndarray) -> np.ndarray:
    """Features (T, D), changed in place so that the mean square of each frame's is one; a frame of zeros stays one."""
    x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-12)
    return x


class FeatureSet:
    """Clips x (T, D) float32 from features of videos; the interface of a data set, see data/loader.py.

    stored: `StoredFeatures` or `VideoFeatures`. rows: which of their videos belong to this set; labels, names and
    groups (None: as the names say): one per row. frames: T of a clip; None: all, if every video has as many. dim: D.
    """

    def __init__(
        self, stored, rows, labels, classes: list[str], names: list[str], frames=None, groups=None
    ):  # fmt: skip
        if not (stored.spread if frames is None else frames) or (frames or 1) < 1:
            raise ValueError(f"frames is {frames}, expected at least 1 per clip, or None if all videos have as many")
        self.stored, self.rows, self.dim = stored, rows, stored.dim
        self.labels, self.classes, self.names = labels, classes, names
        self.groups = [group_of(name) for name in names] if groups is None else groups
        self.frames = stored.spread if frames is None else frames

    def __len__(self):
        return len(self.rows)

    def in_clips(self, frames: int | None) -> "FeatureSet":
        """The same videos in clips of other lengths; None: this set."""
        if frames in (None, self.frames):
            return self
        return FeatureSet(self.stored, self.rows, self.labels, self.classes, self.names, frames, self.groups)

    def checksum(self, i: int) -> int:
        """Of what video i is known by: see `stored`."""
        return self.stored.checksum(self.rows[i])

    def count(self, i: int) -> int:
        """How many frames video i has."""
        return self.stored.count(self.rows[i])

    def train_clip(self, i: int, rng: np.random.Generator) -> np.ndarray:
        """x (T, D) of video i from a random first frame."""
        return self._clip(i, random_first(self.count(i), self.frames, rng))

    def test_clips(self, i: int, views: int | Views = 1, rng=None) -> Iterator[np.ndarray]:
        """Clips x (T, D) of video i from first frames as `view_firsts` says; rng, a generator: for random ones."""
        for first in view_firsts(self.count(i), self.frames, views, rng):
            yield self._clip(i, first)

    def whole_video(self, i: int) -> np.ndarray:
        """x (frames, D): all features of video i."""
        return self.stored.values(self.rows[i], np.arange(self.count(i)))

    def blocks(self, i: int) -> Iterator[np.ndarray]:
        """The frames of whole_video, all at once."""
        yield self.whole_video(i)

    def _clip(self, i, first):
        return self.stored.values(self.rows[i], window(self.count(i), self.frames, first))


def load_features(path, frames: int | None = None, unit=False) -> tuple[FeatureSet, FeatureSet]:
    """Training and test set of a feature file; both know all classes. frames, unit: see the classes above.

    Raises FileNotFoundError, or ValueError for a file that is not as described above or holds NaN or infinite values.
    """
    arrays = read_npz(path, NEEDED, OPTIONAL)
    _check(path, arrays)
    feat, label, is_test = arrays["feat"], arrays["label"], arrays["is_test"].astype(bool)
    names = _text(arrays.get("name", np.arange(len(feat))))
    if label.ndim == 2:
        labels, classes = label.astype(bool), distinct(_text(arrays.get("classes", np.arange(label.shape[1]))))
    elif "classes" in arrays:
        labels, classes = label.astype(np.int64) - 1, distinct(_text(arrays["classes"]))
    else:
        ids, labels = np.unique(label, return_inverse=True)
        labels, classes = labels.astype(np.int64), _class_names(path, ids, label, names)
    groups = _text(arrays["group"]) if "group" in arrays else [group_of(name) for name in names]
    stored, sets = StoredFeatures(feat, arrays.get("scale", np.ones(1)).astype(np.float32), unit), []
    for rows in (np.flatnonzero(~is_test), np.flatnonzero(is_test)):
        own_names, own_groups = [names[row] for row in rows], [groups[row] for row in rows]
        sets.append(FeatureSet(stored, rows, labels[rows], classes, own_names, frames, own_groups))
    return sets[0], sets[1]


def fold_in(path) -> int | None:
    """The fold in a feature file, None if it has none."""
    fold = read_npz(path, NEEDED, OPTIONAL, only=("fold",)).get("fold")
    return None if fold is None else int(fold)


def save_features(path, feat, label, is_test, **optional) -> None:
    """Write a feature file as described above, whole or not at all.

    optional: name, scale, classes, group, fold; None is as good as not given. Raises what `load_features` raises.
    """
    if unknown := set(optional) - {*OPTIONAL}:
        raise TypeError(f"{path}: {', '.join(sorted(unknown))} is no part of a feature file; see data/features.py")
    arrays = {"feat": feat, "label": label, "is_test": is_test} | optional
    kinds = {"name": str, "classes": str, "group": str, "scale": np.float32}
    arrays = {key: np.asarray(value, kinds.get(key)) for key, value in arrays.items() if value is not None}
    _check(path, arrays)
    write_npz(path, arrays, compress=True)


LARGEST = 1e15  # whose square, summed over features, float32 still holds


def _check(path, arrays):
    """Raises ValueError unless the arrays are as the module says."""
    feat = arrays["feat"]
    if feat.ndim != 3 or 0 in feat.shape or feat.dtype.kind not in "fiu":
        raise ValueError(f"{path}: feat is {feat.dtype} {feat.shape}, expected numbers (videos, frames, features)")
    label = arrays["label"]
    multi_hot = label.ndim == 2 and len(label) == len(feat)
    for key in ("label", "is_test", "name", "group"):
        if key in arrays and arrays[key].shape != feat.shape[:1] and not (key == "label" and multi_hot):
            raise ValueError(f"{path}: {key} has shape {arrays[key].shape}, expected {feat.shape[:1]}, one per video")
    if multi_hot:
        _check_multi_hot(path, label, arrays.get("classes"))
    if not multi_hot and label.dtype.kind not in "iu":
        raise ValueError(f"{path}: label has dtype {label.dtype}, expected integers")
    if not multi_hot and "classes" in arrays:
        K = arrays["classes"].size
        if arrays["classes"].ndim != 1 or not 1 <= label.min() <= label.max() <= K:
            raise ValueError(
                f"{path}: label holds {label.min()} to {label.max()}, expected 1 to {K}, one for each class"
            )
    if "fold" in arrays and (arrays["fold"].shape != () or arrays["fold"].dtype.kind not in "iu"):
        raise ValueError(f"{path}: fold is {arrays['fold']!r}, expected one whole number")
    if not np.isin(arrays["is_test"], (0, 1)).all():
        raise ValueError(f"{path}: is_test holds other values than 0 and 1")
    scale = arrays.get("scale", np.ones(1))
    if scale.dtype.kind not in "fiu" or scale.shape not in ((), (1,), feat.shape[2:]) or not np.isfinite(scale).all():
        expected = f"one finite number or {feat.shape[2]}"
        raise ValueError(f"{path}: scale is {scale.dtype} {scale.shape}, expected {expected}")
    largest = np.array([np.abs(x).max() if x.dtype.kind == "f" else max(x.max(), -int(x.min())) for x in feat])
    bad = np.flatnonzero(~np.isfinite(largest))
    if len(bad):
        raise ValueError(f"{path}: feat of video {bad[0]} holds NaN or infinite values; compute it again")
    size = float(largest.max()) * float(np.abs(scale).max())
    if not 0 < size <= LARGEST:
        found = "nothing but zeros" if size == 0 else f"values up to {size:.3g}"
        raise ValueError(f"{path}: feat * scale holds {found}, expected numbers, not all zero, of at most {LARGEST:g}")


def _check_multi_hot(path, label, classes):
    """Raises ValueError unless labels (V, K) are 0 and 1 with a class for every video, and K names if any."""
    if not np.isin(label, (0, 1)).all() or not label.any(axis=1).all():
        raise ValueError(f"{path}: label (videos, classes) must hold 0 and 1 only, and a 1 for every video")
    if classes is not None and classes.shape != label.shape[1:]:
        raise ValueError(f"{path}: classes has shape {classes.shape}, expected one name for each of {label.shape[1]}")


def _text(names):
    """Names as str that can be shown; in files made elsewhere they may be bytes."""
    return [shown(n.decode(errors="surrogateescape") if isinstance(n, bytes) else n) for n in names.tolist()]


def _class_names(path, ids, label, names):
    """The class names: the folders in the videos' names, or the numbers of the classes where there are no folders."""
    if not all("/" in name for name in names):
        return [str(i) for i in ids]
    folders = np.array([name.rpartition("/")[0] for name in names])
    classes = [sorted(set(folders[label == i])) for i in ids]
    for i, found in zip(ids, classes, strict=True):
        if len(found) > 1 or classes.count(found) > 1:
            raise ValueError(
                f"{path}: label {i} goes with {' and '.join(found)}; expected one label for one class folder"
            )
    return [found[0] for found in classes]
