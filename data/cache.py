"""Decode once: frames on disk as one .npy file per video, and a manifest that says where they come from.

    <root>/256px_native/manifest.jsonl            first line: side, fps; then one line per video, the last one counts
    <root>/256px_native/Archery/v_Archery_g01_c01.avi.npy      uint8 (frames, 256, 256, 3), RGB

Each side, frame rate and limit has its own folder, so a cache is never read with other parameters than it was built
with. An entry is used only if the video and the frames still have the checksums in the manifest (compared once per
process, the frames again when their file is another one) and the array has the shape noted there; else it is built
again. Files appear whole (data/files.py) and before their line in the manifest, so building may be interrupted
anywhere, and two processes may fill one cache: each file is one of theirs.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import math
import os
import re
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from tqdm import tqdm

from snippets.data.files import check_file, checksum, guarded, parse_json, replacing
from snippets.data.layouts.splits import Video
from snippets.data.listing import shown
from snippets.data.pictures import PICTURE_FPS, video_files
from snippets.data.video import VideoError, read_frames

ENTRY = {"name", "frames", "source", "frames_crc"}  # what a line of the manifest says of a video


class Decoder:
    """Frames of a video at side x side pixels and fps frames per second (None: native), decoded at every call.

    limit: frames at most, from the start; the rest of a video is not decoded. None: all. picture_fps: rate of a video
    that is a folder of pictures.
    """

    channels = 3

    def __init__(self, side: int = 256, fps: float | None = None, limit: int | None = None, picture_fps=PICTURE_FPS):
        if side < 1:
            raise ValueError(f"side is {side}, expected a positive number of pixels")
        self.side, self.fps, self.limit, self.picture_fps = side, fps, limit, picture_fps
        self._checked = {}  # name -> (path, checksum) of videos seen by this process
        self._counts = {}  # path -> frames

    @property
    def parameters(self):
        """All that the frames depend on, besides the video: the first line of a cache's manifest."""
        limit = {} if self.limit is None else {"limit": self.limit}
        pictures = {} if self.picture_fps == PICTURE_FPS else {"picture_fps": self.picture_fps}
        return {"format": "snippets frames 2", "side": self.side, "fps": self.fps, **limit, **pictures}

    @property
    def rate(self):
        """Frames per second, None if they are the native ones."""
        return self.fps

    @property
    def name(self):
        """The name of the folder in a cache."""
        rate = "native" if self.rate is None else f"{self.rate:g}fps"
        pictures = "" if self.picture_fps == PICTURE_FPS else f"_pictures{self.picture_fps:g}fps"
        return f"{self.side}px_{rate}" + ("" if self.limit is None else f"_first{self.limit}") + pictures

    def read(self, path):
        """Frames one by one: uint8 RGB (side, side, 3). Raises what read_frames raises."""
        return read_frames(path, self.fps, self.side, self.limit, self.picture_fps)

    def length(self, path) -> int:
        """How many frames `read` gives, found by decoding all of them, small. Raises what read_frames raises."""
        return sum(1 for _ in read_frames(path, self.fps, 8, self.limit, self.picture_fps))

    def frames(self, video: Video) -> np.ndarray:
        """The frames of a video: uint8 RGB (frames, side, side, 3)."""
        return np.stack(list(self.read(video.path)))

    def checksum(self, video: Video) -> int:
        """CRC-32 of a video's file or pictures, read once per process. FileNotFoundError, VideoError: unreadable."""
        path, known = str(video.path), self._checked.get(video.name)
        if known is None or known[0] != path:
            crc = 0
            for part in video_files(path):
                check_file(part, "video file")
                try:
                    with open(part, "rb") as file:
                        crc = checksum(file, value=crc)
                except OSError as error:
                    raise VideoError(f"{part}: cannot be read ({error.strerror})") from error
            known = self._checked[video.name] = path, crc
        return known[1]

    def count(self, video: Video) -> int:
        """How many frames a video has, found once per process."""
        if video.path not in self._counts:
            self._counts[video.path] = self.length(video.path)
        return self._counts[video.path]

    def take(self, video: Video, windows) -> Iterator[np.ndarray]:
        """The frames of each window, a list of frame numbers: uint8 RGB (T, side, side, 3).

        After its last frame a video starts again. It is read once, and a frame is kept only while a window needs it:
        if windows follow each other in time, memory depends on them and not on the video.
        """
        windows = list(windows)
        last = {n: w for w, window in enumerate(windows) for n in window}  # window that is the last to want frame n
        frames = enumerate(frame for _ in itertools.count() for frame in self.read(video.path))
        kept = {}
        for w, window in enumerate(windows):
            while not kept.keys() >= set(window):
                n, frame = next(frames)
                if last.get(n, -1) >= w:
                    kept[n] = frame
            yield np.stack([kept[n] for n in window])
            kept = {n: frame for n, frame in kept.items() if last[n] > w}


class FrameCache(Decoder):
    """A Decoder that keeps its frames on disk under root and hands out `StoredFrames`. Threads may share it.

    parameters: the Decoder's, side and fps. Raises ValueError if the manifest found there is one of other parameters.
    """

    def __init__(self, root, *parameters, **more):
        super().__init__(*parameters, **more)
        self._opened = functools.partial(type(self), root, *parameters, **more)
        self.folder = Path(root) / self.name
        self.manifest = self.folder / "manifest.jsonl"
        self._lock = threading.Lock()
        self._intact = {}  # name -> stamp of the file that has been compared with its checksum
        self._entries = self._read_manifest()

    def __reduce__(self):
        return self._opened, ()  # another process opens the same folder

    def frames(self, video: Video) -> "StoredFrames":
        """Frames of a video, uint8 RGB (frames, side, side, 3); decoded first if they are not there yet."""
        file = self._file(video)
        stored = self._stored(video, file)
        return self._add(video, file) if stored is None else stored

    def count(self, video: Video) -> int:
        """How many frames a video has."""
        return len(self.frames(video))

    def take(self, video: Video, windows) -> Iterator[np.ndarray]:
        """The frames of each window, see `Decoder`."""
        for window in windows:
            frames = self.frames(video)
            yield frames[np.array(window) % len(frames)]

    def build(self, videos: list[Video], progress: bool = True) -> None:
        """Decode all videos that are not in the cache.

        Continues past bad files and raises one VideoError at the end, with a note on each: one run finds them all.
        """
        bad = []
        for video in tqdm(videos, desc=f"cache {self.folder.name}", unit="video", disable=not progress):
            try:
                file = self._file(video)
                if self._stored(video, file, compare=False) is None:
                    self._add(video, file)
            except (VideoError, FileNotFoundError) as error:
                bad.append(str(error))
        if bad:
            error = VideoError(
                f"{len(bad)} of {len(videos)} videos cannot be used, the others are in the cache; name these in a skip "
                "list (snippets check-data --write-skip FILE writes it) and add --skip FILE:"
            )
            error.__notes__ = bad
            raise error

    def missing(self, videos: list[Video]) -> list[Video]:
        """The videos that are not in the cache yet."""
        return [video for video in videos if video.name not in self._entries]

    def _file(self, video):
        """Class/video.avi.npy; under a checksum instead of a name that is too long or leads out of the folder."""
        name, parts = video.name.encode("utf-8", "surrogatepass"), {*re.split(r"[/\\:]", video.name)}
        plain = video.name.isprintable() and len(name) <= 200 and not parts & {"", ".", ".."}
        return self.folder / f"{video.name if plain else hashlib.sha256(name).hexdigest()}.npy"

    def _stored(self, video, file, compare=True):
        """The frames in a file of the cache; None if it is missing, cut short, changed, or of another source."""
        entry = self._entries.get(video.name)
        if entry is None or entry["source"] != self.checksum(video):
            return None
        with contextlib.suppress(ValueError), guarded(file):  # which is built again
            stored = StoredFrames(file)
            if stored.shape != (entry["frames"], self.side, self.side, self.channels):
                return None
            if not compare or self._intact.get(video.name) == stored.stamp:
                return stored
            with open(file, "rb") as content:
                content.seek(stored.start)
                found = checksum(content)
            if found == entry["frames_crc"]:
                self._intact[video.name] = stored.stamp
                return stored
            print(f"{shown(file)}: bits of it have changed on this disk; it is decoded again", file=sys.stderr)
        return None

    def _add(self, video, file):
        """Decode a video into its file, then note it in the manifest; returns its `StoredFrames`."""
        source, count, crc = self.checksum(video), 0, 0
        with replacing(file) as out:
            # NumPy leaves room in the header for the count to grow: it is written again when the count is known
            self._write_header(out, count)
            for frame in self.read(video.path):
                pixels = frame.tobytes()
                out.write(pixels)
                count, crc = count + 1, zlib.crc32(pixels, crc)
            out.seek(0)
            self._write_header(out, count)
        entry = {"name": video.name, "frames": count, "source": source, "frames_crc": crc}
        stored = StoredFrames(file)
        self._intact[video.name] = stored.stamp
        self._begin()  # again, if somebody has deleted the cache meanwhile
        with self._lock, open(self.manifest, "a", encoding="utf-8") as lines:
            # the newline comes first: it ends whatever line an interrupted run left unfinished
            lines.write("\n" + json.dumps(entry))
            self._entries[video.name] = entry
        return stored

    def _write_header(self, out, count):
        shape = (count, self.side, self.side, self.channels)
        npy.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})

    def _begin(self):
        """A manifest of no videos, if there is none."""
        if not self.manifest.exists():
            with replacing(self.manifest) as file:
                file.write(json.dumps(self.parameters).encode())

    def _read_manifest(self):
        """Entries by name; a new manifest if there is none."""
        self._begin()
        found, *entries = map(_parse, self.manifest.read_bytes().split(b"\n"))
        if found != self.parameters:
            differ = {key: value for key, value in self.parameters.items() if found.get(key) != value}
            found = {key: found.get(key) for key in differ} if found else "no parameters"
            raise ValueError(
                f"{self.manifest} begins with {found}, expected {differ}: not a cache of these frames; "
                "delete its folder or choose another one"
            )
        return {str(entry["name"]): entry for entry in entries if ENTRY <= entry.keys()}


class StoredFrames:
    """Frames (frames, H, W, C) in a file of the cache; indexing along the first axis reads only those frames.

    They are read, and not mapped into memory: if another program cut a mapped file short, this process would end.
    ValueError if the file holds no uint8 frames, or is shorter than it says; VideoError if it becomes so later.
    """

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            npy.read_magic(file)
            self.shape, order, dtype = npy.read_array_header_1_0(file)
            self.start, stat = file.tell(), os.fstat(file.fileno())
        self.stamp = stat.st_ino, stat.st_size, stat.st_mtime_ns
        if order or dtype != np.uint8 or len(self.shape) != 4 or stat.st_size < self.start + math.prod(self.shape):
            raise ValueError(f"{path} holds no frames, or not all of them")

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        chosen = np.arange(len(self))[index]
        frames = np.empty((*chosen.shape, *self.shape[1:]), np.uint8)
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb", buffering=0) as file:
            for k, frame in zip(chosen.reshape(-1), frames.reshape(-1, *self.shape[1:]), strict=True):
                file.seek(self.start + int(k) * frame.nbytes)
                if file.readinto(frame) < frame.nbytes:
                    break
            else:
                return frames
        raise VideoError(f"{self.path}: another program has cut or removed it while it was read; run again")

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype)


def _parse(line):
    """A line of the manifest as a dict, empty if it was left unfinished or is damaged."""
    with contextlib.suppress(ValueError):
        return parse_json(line, "line")
    return {}
