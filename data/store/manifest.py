"""What a store knows of its videos: a text file of which each line is JSON.

The first line holds the source's parameters. Then comes a line for each video as it is done; the last one of a video
counts, and one that an interrupted run left unfinished counts for nothing. Several processes may add lines.
"""

import contextlib
import json
import os
import threading
import zlib
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

from snippets.data.files import replacing
from snippets.data.pictures import video_files
from snippets.data.video import VideoError


class Entry(NamedTuple):
    """Of a video: how many frames; checksums of its file, as `Source.checksum`, and of its arrays; its `stamp`."""

    frames: int
    source: int
    frames_crc: int
    stamp: int | None = None  # None: written by an older version


def stamp(path, source: int) -> int | None:
    """CRC-32 of `source` and of what the system says of a video's files without reading them: sizes and times.

    A file that was written to, or replaced, has another one, whatever times it was given. None: there is no file.
    """
    with contextlib.suppress(OSError, VideoError):
        stats = [os.stat(path)]
        if S_ISDIR(stats[0].st_mode):
            stats = [os.stat(part) for part in video_files(path)]
        known = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in stats]
        return zlib.crc32(repr((source, known)).encode())
    return None


class Manifest:
    """The file at `path`: its `entries` by the videos' names. ValueError if it is one of other parameters (a dict)."""

    def __init__(self, path, parameters):
        self.path, self.parameters, self.entries = Path(path), parameters, {}
        self._lock = threading.Lock()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found, *lines = map(_parse, self.path.read_text("utf-8", errors="replace").split("\n"))
            self._check(found)
            needed = {"name", *Entry._fields} - {"stamp"}
            self.entries = {str(e["name"]): Entry(*map(e.get, Entry._fields)) for e in lines if needed <= e.keys()}

    def begin(self) -> None:
        """Write the first line if there is no file, or none any more."""
        with self._lock:
            if not self.path.exists():
                with replacing(self.path) as file:
                    file.write(json.dumps(self.parameters).encode())

    def note(self, name: str, entry: Entry) -> None:
        """Add a line for a video."""
        self.begin()
        with self._lock, open(self.path, "a", encoding="utf-8") as lines:
            # the newline comes first: it ends whatever line an interrupted run left unfinished
            lines.write("\n" + json.dumps({"name": name, **entry._asdict()}))
            self.entries[name] = entry

    def _check(self, found):
        if found != self.parameters:
            differ = {key: value for key, value in self.parameters.items() if found.get(key) != value}
            found = {key: found.get(key) for key in differ} if found else "no parameters"
            raise ValueError(
                f"{self.path} begins with {found}, expected {differ}: not a cache of these frames; "
                "delete its folder or choose another one"
            )


def _parse(line):
    """A line as a dict, empty if it was left unfinished or is damaged."""
    value = None
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(line)
    return value if isinstance(value, dict) else {}
