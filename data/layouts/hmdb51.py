"""HMDB51 by its official split files, and any data set in the same layout.

    <root>/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi ...     or a folder of its frames, without the suffix
    brush_hair_test_split1.txt      "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1"     one file per class and fold

The number is 1 for training, 2 for the test, and 0 for a video that this fold does not use. The files are in the folder
of videos, or in a folder testTrainMulti_7030_splits or splits in it; or in one of these places beside it, if the folder
has one of the classes. Classes are in alphabetical order.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path

from snippets.data.layouts.splits import Split, Video, check_fold, lines_of, without
from snippets.data.listing import Contents, shown, video_at

PATTERN = "*_test_split[123].txt"
COUNTS = 3570, 1530  # training and test videos of HMDB51 in each fold


def find_split_files(root) -> tuple[Path, list[str]] | None:
    """Where the split files are, and the classes; None if there are none."""
    root = Path(root)
    for near in (root, root.resolve().parent):
        for folder in (near, near / "testTrainMulti_7030_splits", near / "splits"):
            classes = sorted({path.name.rpartition("_test_split")[0] for path in folder.glob(PATTERN)})
            if classes and (near == root or any(os.path.isdir(root / name) for name in classes)):
                return folder, classes
    return None


def read_split_file(path) -> dict[str, int]:
    """{file name: 1, 2 or 0} of a class. Raises ValueError for a line that is not a name and one of these, or a name
    listed twice."""
    found = {}
    for line in lines_of(path):
        match = re.fullmatch(r"([^/\\]+?)\s+([012])", line)
        if not match or match[1] in (".", ".."):
            raise ValueError(f"{path}: found line {line!r}, expected 'video.avi 1' (1 trains, 2 tests, 0 is not used)")
        if match[1] in found:
            raise ValueError(f"{path}: {match[1]} is listed twice")
        found[match[1]] = int(match[2])
    return found


def list_hmdb51(root: Path, fold: int, skip: Collection[str], contents: list[Contents]) -> Split:
    """Fold 1, 2 or 3 of the videos under root as the split files have them; the videos are not looked for.

    skip: names ("class/file.avi") of videos to leave out. contents is not used: the split files name all videos. They
    keep the clips of a film on one side, but do not say which these are: each video is a group of its own.
    Raises FileNotFoundError for no split files, ValueError for those that are not right.
    """
    check_fold(fold)
    found = find_split_files(root)
    if found is None:
        raise FileNotFoundError(f"{root}: no {PATTERN} in it or beside it; put the split files there")
    lists, classes = found
    sides = {1: [], 2: [], 0: []}
    for label, folder in enumerate(classes):
        for file, side in read_split_file(lists / f"{folder}_test_split{fold}.txt").items():
            name = shown(f"{folder}/{file}")
            sides[side].append(Video(video_at(root / folder / file), label, name, name))
    count = len(sides[1]), len(sides[2])
    if len(classes) == 51 and classes[0] == "brush_hair" and count != COUNTS:
        raise ValueError(
            f"{lists}: fold {fold} lists {count[0]} training and {count[1]} test videos, but HMDB51 has "
            f"{COUNTS[0]} and {COUNTS[1]}; get the official split files again"
        )
    return without(Split([shown(name) for name in classes], sides[1], sides[2]), skip, f"in {lists}, fold {fold}")
