"""The results of a long job so far, kept in a folder beside its output until that is written.

    OUT-1a2b3c4d.partial/       named by a digest of all that the results depend on
        5e6f....npz             one result, named by a digest of the video that it is of

So an interrupted job continues where it stopped; with other settings, or for a video that has changed, results are
computed again.
"""

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path

from snippets.data.files import read_npz, write_npz
from snippets.data.pictures import video_files


class Partial:
    """Dicts of arrays by video. out: the output. about: what all results depend on, anything with a unique repr."""

    def __init__(self, out, about):
        self.out = Path(out)
        self.folder = self.out.with_name(f"{self.out.stem[:40]}-{_digest(self.out.name, about)[:8]}.partial")

    def read(self, video) -> dict | None:
        """The results kept for a `Video`; None if there are none, or they are damaged."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return read_npz(self._file(video), optional=("*",))
        return None

    def write(self, video, arrays) -> None:
        """Keep the results of a video; if there is no room for them, nothing is kept."""
        with contextlib.suppress(OSError):
            write_npz(self._file(video), arrays, keep=False)

    def remove(self) -> None:
        """Delete all that was kept for this output, also under other settings."""
        kept = re.compile(re.escape(self.out.stem[:40]) + r"-[0-9a-f]{8}\.partial")
        for folder in self.out.absolute().parent.iterdir():
            if kept.fullmatch(folder.name) and folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)

    def _file(self, video):
        with contextlib.suppress(OSError, ValueError):
            stats = [os.stat(path) for path in video_files(video.path)]
            same = [value for stat in stats for value in (stat.st_size, stat.st_mtime_ns)]
            return self.folder / f"{_digest(video.name, str(video.path), *same)}.npz"
        return self.folder / "none.npz"


def _digest(*values):
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()[:32]
