"""Which files below a folder are videos, and what the others are: one walk for all layouts, and names as text."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from snippets.data.pictures import NUMBERED
from snippets.data.video import SUFFIXES

HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")  # made by operating systems; as are names with a dot in front


class Contents(NamedTuple):
    """One folder: its videos in order, files or folders of pictures, and everything else with the reason why not."""

    folder: Path
    videos: list[Path]
    others: list[tuple[Path, str]]


def shown(text) -> str:
    """A name or a message on one line, with control characters and bytes that are not text escaped.

    Videos and classes have such names everywhere: in lists, reports and pictures.
    """
    text = str(text)
    if text.isprintable():  # as almost all are
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_picture_folder(path) -> bool:
    """Whether a folder is a video: it holds numbered pictures, and neither a video file nor a folder."""
    numbered = False
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if not is_hidden(entry.name):
                if entry.is_dir() or os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    return False
                numbered = numbered or NUMBERED.fullmatch(entry.name) is not None
    return numbered


def is_video(path) -> bool:
    """Whether there is a file, or a folder of pictures."""
    return os.path.isfile(path) or is_picture_folder(path)


def video_at(path: Path) -> Path:
    """The path of a video that a list names as a file: where there is a folder of its pictures instead, that folder."""
    folder = path.with_suffix("")
    return folder if not os.path.lexists(path) and os.path.isdir(folder) else path


def is_hidden(name) -> bool:
    """Whether an operating system has made a file of this name, or hides it."""
    return name.startswith(".") or name in HIDDEN


def walk(root) -> Iterator[Contents]:
    """The contents of each folder from root down, in order.

    Links are followed, but none to a folder that contains it. A broken link with the name of a video is a video whose
    file is missing.
    """
    waiting = [(Path(root), os.path.realpath(root), ())]  # a stack, for folders may lie deeper than Python calls
    while waiting:
        folder, real, links = waiting.pop()
        videos, others, deeper = [], [], []
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            names, others = [], [(folder, f"unreadable folder: {error.strerror}")]
        for path in map(folder.joinpath, names):
            if is_hidden(path.name):
                others.append((path, "hidden"))
            elif os.path.isdir(path):
                link = os.path.islink(path)
                place, around = os.path.realpath(path) if link else os.path.join(real, path.name), (real, *links)
                if link and any(os.path.join(inner, "").startswith(os.path.join(place, "")) for inner in around):
                    others.append((path, "link to a folder around it"))
                elif is_picture_folder(path):
                    videos.append(path)
                else:
                    deeper.append((path, place, around if link else links))
            elif path.suffix.lower() in SUFFIXES:
                videos.append(path)
            else:
                others.append((path, path.suffix.lower() or "without suffix"))
        yield Contents(folder, videos, others)
        waiting += reversed(deeper)


def ignored(contents: Iterable[Contents], videos: Iterable[Path], unused: str) -> list[tuple[Path, str]]:
    """Everything in some folders besides these videos, each path with the reason why it is ignored.

    unused: the reason for other videos.
    """
    known, found = set(videos), []
    for _, files, others in contents:
        found += [(path, unused) for path in files if path not in known] + others
    return found


def tally(reasons: Iterable[str]) -> str:
    """Reasons with their counts, the most frequent first: "2 hidden, 1 .txt"."""
    return ", ".join(f"{n} {shown(why)}" for why, n in Counter(reasons).most_common())
