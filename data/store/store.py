"""Computed once: frames, flow or features on disk as one .npy file per video, and a manifest that says what they are.

    <root>/256px_native/manifest.jsonl                         see manifest.py
    <root>/256px_native/Archery/v_Archery_g01_c01.avi.npy      (frames, 256, 256, 3) uint8

What a `Source` gives under other parameters has a folder of its own, so a store is never read with other parameters
than it was filled with. An entry is used only if the video has the checksum in the manifest (its file is read again
only where its size or its times have changed), and so have the arrays (compared once per process, again when their
file is another one); else it is computed again. Files appear whole (data/files.py) and before their line in the
manifest, so filling may be interrupted anywhere, and several processes may fill one store: each file is one of theirs.
"""

import contextlib
import hashlib
import io
import math
import os
import re
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from tqdm import tqdm

from snippets.data.decoder import Source
from snippets.data.files import checksum, guarded, replacing
from snippets.data.layouts.splits import Video
from snippets.data.listing import shown
from snippets.data.store.array import StoredArray
from snippets.data.store.manifest import Entry, Manifest, stamp
from snippets.data.store.processes import THIS_PROCESS
from snippets.data.video import VideoError


def contents(source: Source, video: Video) -> Iterator:
    """What a store keeps of a video: the checksum of its file, then its arrays. Errors: those of `Source.stream`."""
    yield source.checksum(video)
    yield from source.stream(video)


class Store(Source):
    """A source that keeps on disk, under root, what another `source` gives, and hands out `StoredArray`s.

    Threads may share it. Raises ValueError if the manifest found there is one of other parameters.
    """

    def __init__(self, root, source: Source):
        super().__init__()
        self.root, self.source = Path(root), source
        self.name, self.parameters = source.name, source.parameters
        self.shape, self.dtype = source.shape, np.dtype(source.dtype)
        self.rate, self.limit, self.spread = source.rate, source.limit, source.spread
        self.picture_fps = source.picture_fps
        self.folder = self.root / self.name
        self.manifest = Manifest(self.folder / "manifest.jsonl", self.parameters)
        self._start = len(self._header(0))  # byte at which the arrays begin
        self._same = {}  # name -> path of a video whose file is known to be the one in the manifest
        self._intact = {}  # name -> stamp of the file that has been compared with its checksum

    def __reduce__(self):
        return Store, (self.root.absolute(), self.source)  # another process opens the same folder

    def one_thread(self):
        self.source.one_thread()

    def compute_on(self, xp):
        self.source.compute_on(xp)

    def frames(self, video: Video) -> StoredArray:
        """The arrays of a video (frames, *shape); computed first if they are not there yet."""
        stored = self._stored(video)
        return self._add(video, contents(self.source, video)) if stored is None else stored

    def stream(self, video: Video) -> Iterator[np.ndarray]:
        """The arrays of a video, one by one."""
        stored = self.frames(video)
        return (stored[k] for k in range(len(stored)))

    def at_hand(self, video: Video) -> Source:
        """This store if it has the video, else its source."""
        return self.source if self._stored(video) is None else self

    def count(self, video: Video) -> int:
        """How many frames a video has."""
        return len(self.frames(video))

    def take(self, video: Video, windows) -> Iterator[np.ndarray]:
        """The arrays of each window, see `Source`."""
        for window in windows:
            frames = self.frames(video)
            yield frames[np.array(window) % len(frames)]

    def checksum(self, video: Video) -> int:
        """CRC-32 of a video's file or pictures, from the manifest unless they have changed since; see `Source`."""
        entry = self._entry(video)
        return self.source.checksum(video) if entry is None else entry.source

    def missing(self, videos: list[Video]) -> list[Video]:
        """The videos that are not in the store, or not as they are now. No array is read."""
        return [video for video in videos if not self._is_there(video)]

    def fill(
        self, videos: list[Video], executor=THIS_PROCESS, progress=True, check=lambda missing: None
    ) -> dict[str, str]:
        """Compute what is missing of some videos; returns {name: what is wrong} of those that cannot be used.

        check(missing videos) is called before anything is computed, and may raise.
        executor: where they are computed, see data/store/processes.py.
        Every video is kept as soon as it is done. OSError: the disk is full, or a process has died.
        """
        todo, bad, frames, started = self.missing(videos), {}, 0, time.monotonic()
        check(todo)
        if todo:
            self.manifest.begin()
        what = "features" if len(self.shape) == 1 else "flow" if self.shape[-1] == 2 else "frames"
        bar = tqdm(desc=what, total=len(videos), unit="video", disable=not progress)
        results = executor.map(contents, self.source, todo, self.receive)
        bar.update(len(videos) - len(todo))
        with bar, contextlib.ExitStack() as stack:
            stack.callback(getattr(results, "close", lambda: None))  # ends the processes
            for name, entry, wrong in results:
                if wrong is None:
                    self.manifest.entries[name] = entry
                    frames += entry.frames
                    bar.set_postfix_str(f"{frames / (time.monotonic() - started):.1f} frames/s", refresh=False)
                else:
                    bad[name] = wrong
                bar.update()
        return bad

    def receive(self, video: Video, content: Iterator) -> tuple[str, Entry | None, str | None]:
        """Keep the `contents` of a video: (its name, its entry, None), or (name, None, why it cannot be used)."""
        try:
            self._add(video, content)
        except (VideoError, FileNotFoundError) as error:
            return video.name, None, str(error)
        return video.name, self.manifest.entries[video.name], None

    def _entry(self, video):
        """The entry of a video, None if there is none of its file as it is now; FileNotFoundError, VideoError."""
        entry = self.manifest.entries.get(video.name)
        if entry is None or self._same.get(video.name) == video.path:
            return entry
        now = stamp(video.path, entry.source)
        if now is None or entry.stamp != now:
            if entry.source != self.source.checksum(video):
                return None
            self.manifest.note(video.name, entry := entry._replace(stamp=now))  # the same bytes, moved or touched
        self._same[video.name] = video.path
        return entry

    def _is_there(self, video):
        with contextlib.suppress(OSError, VideoError):  # is told when it is computed
            entry = self._entry(video)
            return entry is not None and os.stat(self._file(video)).st_size == self._size(entry.frames)
        return False

    def _file(self, video):
        """Class/video.avi.npy; under a checksum instead of a name that is too long or leads out of the folder."""
        name, parts = video.name.encode("utf-8", "surrogatepass"), {*re.split(r"[/\\:]", video.name)}
        plain = video.name.isprintable() and len(name) <= 200 and not parts & {"", ".", ".."}
        return self.folder / f"{video.name if plain else hashlib.sha256(name).hexdigest()}.npy"

    def _stored(self, video):
        """The arrays in a file of the store; None if it is missing, cut short, changed, or of another source."""
        entry, file = self._entry(video), self._file(video)
        if entry is None:
            return None
        with contextlib.suppress(ValueError), guarded(file):  # which is computed again
            stored = StoredArray(file, self.shape, self.dtype)
            if len(stored) != entry.frames:
                return None
            if self._intact.get(video.name) == stored.stamp:
                return stored
            with open(file, "rb") as content:
                content.seek(stored.start)
                found = checksum(content)
            if found == entry.frames_crc:
                self._intact[video.name] = stored.stamp
                return stored
            print(f"{shown(file)}: bits of it have changed on this disk; it is computed again", file=sys.stderr)
        return None

    def _add(self, video, content):
        """Write the `contents` of a video to its file, then note it in the manifest; returns its `StoredArray`."""
        source, file, count, crc = next(content), self._file(video), 0, 0
        seen = stamp(video.path, source)
        with replacing(file) as out:
            out.write(self._header(count))
            for array in content:
                written = np.ascontiguousarray(array, self.dtype).tobytes()
                out.write(written)
                count, crc = count + 1, zlib.crc32(written, crc)
            out.seek(0)
            out.write(self._header(count))
        stored = StoredArray(file, self.shape, self.dtype)
        self._same[video.name], self._intact[video.name] = video.path, stored.stamp
        self.manifest.note(video.name, Entry(count, source, crc, seen))
        return stored

    def _header(self, count):
        """Of the file of so many arrays; NumPy leaves room for the count to grow, so its length is always the same."""
        out, shape = io.BytesIO(), (count, *self.shape)
        about = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(out, about)
        return out.getvalue()

    def _size(self, count):
        """Bytes of the file of so many arrays."""
        return self._start + count * math.prod(self.shape) * self.dtype.itemsize
