"""Which files below a folder are videos, and what the others are: one walk for all layouts, and names as text."""

import os
from collections.abc import Iterator
from pathlib import Path

from snippets.data.video import SUFFIXES

HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")  # left behind by systems, beside whatever begins with a dot


def shown(text) -> str:
    """A name or a message on one line, as any terminal can show it: control characters, bytes that are no text escaped.

    Videos and classes are known by such names, so that lists, reports and pictures hold nothing else.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def walk(root) -> Iterator[tuple[Path, list[Path], list[tuple[Path, str]]]]:
    """Each folder from root down, in order: (folder, its videos, everything else in it and why it is no video).

    Links are followed, but none to a folder that it stands in. A broken link with the name of a video is a video whose
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
            if path.name.startswith(".") or path.name in HIDDEN:
                others.append((path, "hidden"))
            elif os.path.isdir(path):
                link = os.path.islink(path)
                place, around = os.path.realpath(path) if link else os.path.join(real, path.name), (real, *links)
                if link and any(os.path.join(inner, "").startswith(os.path.join(place, "")) for inner in around):
                    others.append((path, "link to a folder around it"))
                else:
                    deeper.append((path, place, around if link else links))
            elif path.suffix.lower() in SUFFIXES:
                videos.append(path)
            else:
                others.append((path, path.suffix.lower() or "without suffix"))
        yield folder, videos, others
        waiting += reversed(deeper)
