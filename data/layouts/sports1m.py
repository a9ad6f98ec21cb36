"""Sports-1M: a million YouTube videos, published as lists of links; the files are yours, as many as you have.

    <root>/labels.txt               487 names of classes, class 0 first
    <root>/train_partition.txt      "https://www.youtube.com/watch?v=UDqivjS-lpI 168,169": a link and its classes
    <root>/test_partition.txt
    <root>/.../UDqivjS-lpI.mp4      the video: named by its YouTube id, in any folder below root, any video suffix

labels.txt may also be beside root, the partitions beside it or in a folder original/, as they are published. To
evaluate a network the test partition is enough. Nothing is downloaded.

About 5 % of the videos belong to several classes: labels are tuples of classes here, rows of a multi-hot matrix in
batches. Caches and skip lists name videos by their ids. Many links are dead, so everybody has another part of the data
set: see `data.layouts.splits.only_present`.
"""

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from snippets.data.layouts.splits import Split, Video, distinct, lines_of, without
from snippets.data.listing import Contents, shown

PARTITIONS = ("train_partition.txt", "test_partition.txt")
ID = re.compile(r"(?:[?&]v=|youtu\.be/)([A-Za-z0-9_-]{11})(?![A-Za-z0-9_-])")


def find_partitions(root) -> tuple[Path, list[Path]] | None:
    """labels.txt and where the two partitions are (one of them may be missing); None if root is no Sports-1M."""
    for folder in (Path(root), Path(root).resolve().parent):
        for lists in (folder, folder / "original"):
            partitions = [lists / name for name in PARTITIONS]
            if (folder / "labels.txt").is_file() and any(p.is_file() for p in partitions):
                return folder / "labels.txt", partitions
    return None


def read_partition(path, K: int) -> dict[str, tuple[int, ...]]:
    """{YouTube id: its classes, of 0..K-1, in order}; a video on several lines has the classes of all of them.

    Raises ValueError for a line that is not a link and its classes, or a class out of range.
    """
    found = {}
    for line in lines_of(path):
        link, *numbers = line.split()
        match = ID.search(link)
        if not match or len(numbers) != 1 or not re.fullmatch(r"[0-9]+(,[0-9]+)*", numbers[0]):
            raise ValueError(f"{path}: found line {line!r}, expected 'https://www.youtube.com/watch?v=ID 168,169'")
        labels = {int(n) for n in numbers[0].split(",")}
        if max(labels) >= K:
            raise ValueError(f"{path}: {line!r} has class {max(labels)}, but labels.txt names only 0 to {K - 1}")
        found[match[1]] = tuple(sorted(labels | set(found.get(match[1], ()))))
    return found


def find_files(contents: Iterable[Contents], wanted: Collection[str]) -> dict[str, Path]:
    """{id: video file} for the ids wanted that are there. Raises ValueError for two files with one id."""
    files = {}
    for path in (path for each in contents for path in each.videos):
        if path.stem in wanted and os.path.realpath(path) != os.path.realpath(files.setdefault(path.stem, path)):
            raise ValueError(f"{files[path.stem]} and {path}: two files for one video, expected one; remove one")
    return files


def list_sports1m(root: Path, fold: None, skip: Collection[str], contents: list[Contents]) -> Split:
    """All videos that the partitions list, whether or not the files are there (if not, the path ends in "*").

    skip: ids of videos to leave out. contents: what `walk` finds in root.
    Raises FileNotFoundError for no lists, ValueError for lists that are not right or two files for one video.
    """
    found = find_partitions(root)
    if found is None:
        raise FileNotFoundError(f"{root}: no labels.txt with {' or '.join(PARTITIONS)} in it or beside it")
    classes = lines_of(found[0])
    sides = [read_partition(path, len(classes)) if path.is_file() else {} for path in found[1]]
    ids = sides[0].keys() | sides[1].keys()
    files = find_files(contents, ids)
    train, test = ([Video(files.get(i, root / f"{i}.*"), labels, i, i) for i, labels in side.items()] for side in sides)
    split = Split(distinct(map(shown, classes)), train, test)
    return without(split, skip, f"in the partitions in {found[1][0].parent}")
