"""UCF-101 by its official lists, and any data set in the same layout (the mini set is one).

    <root>/Archery/v_Archery_g01_c01.avi ...
    <root>/ucfTrainTestlist/  or  <root>/../ucfTrainTestlist/
        classInd.txt        "3 Archery"                              labels from 1
        trainlist01.txt     "Archery/v_Archery_g08_c01.avi 3"        folds 01, 02, 03
        testlist01.txt      "Archery/v_Archery_g01_c01.avi"

Instead of a file there may be a folder of its frames, Archery/v_Archery_g01_c01/.

Traps: the lists have CRLF line ends; labels count from 1 and become 0..K-1 here; the class is the folder, not the file
(HandstandPushups/v_HandStandPushups_g01_c01.avi); home-made lists often lack some videos, so the counts of the official
lists are checked.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path

from snippets.data.layouts.splits import Split, Video, check_fold, group_of, lines_of, without
from snippets.data.listing import Contents, shown, video_at

COUNTS = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}  # training and test videos of fold 1, 2, 3
LISTS = "ucfTrainTestlist"


def find_lists(root) -> Path | None:
    """The folder of split lists that belongs to a folder of videos; None if there is none.

    It is in that folder, or beside it if the folder has one of the classes.
    """
    root = Path(root)
    inside, beside = root / LISTS, root.resolve().parent / LISTS
    if (inside / "classInd.txt").is_file():
        return inside
    if not (beside / "classInd.txt").is_file():
        return None
    names = (line.split(maxsplit=1)[-1] for line in lines_of(beside / "classInd.txt"))
    return beside if any(os.path.isdir(root / name) for name in names) else None


def read_classes(lists) -> list[str]:
    """Class names from classInd.txt, in the order of their numbers, which must be 1, 2, ... K."""
    path = Path(lists) / "classInd.txt"
    pairs = [line.split(maxsplit=1) for line in lines_of(path)]
    if not pairs or any(len(p) != 2 or p[0] != str(n) for n, p in enumerate(pairs, 1)):
        n = next((n for n, p in enumerate(pairs, 1) if len(p) != 2 or p[0] != str(n)), 1)
        found = " ".join(pairs[n - 1]) if pairs else "nothing"
        raise ValueError(f"{path}: line {n} is {found!r}, expected '{n} ClassName'")
    classes = [name for _, name in pairs]
    if len(set(classes)) < len(classes):
        raise ValueError(f"{path}: class {next(c for c in classes if classes.count(c) > 1)} is listed twice")
    return classes


def read_list(path, classes: list[str]) -> list[tuple[str, int]]:
    """(name, label) of each line of trainlist0k.txt or testlist0k.txt: "Class/file.avi" and 0..K-1, from the folder.

    Raises ValueError for a class not in classInd.txt, for a number in the line that is not that class's, and for a
    video listed twice.
    """
    index = {name: label for label, name in enumerate(classes)}
    videos = {}
    for line in lines_of(path):
        match = re.fullmatch(r"(([^/]+)/.+?)(?:\s+(\d+))?", line)
        if not match or {"", ".", ".."} & set(re.split(r"[/\\]", match[1])):  # nothing outside the folder
            raise ValueError(f"{path}: found line {line!r}, expected 'Class/video.avi' or 'Class/video.avi 1'")
        name, folder, number = match.groups()
        if folder not in index:
            raise ValueError(f"{path}: class {folder} of {name} is not among the {len(classes)} of classInd.txt")
        if number not in (None, str(index[folder] + 1)):
            raise ValueError(f"{path}: {name} has number {number}, but {folder} is {index[folder] + 1} in classInd.txt")
        if name in videos:
            raise ValueError(f"{path}: {name} is listed twice")
        videos[name] = index[folder]
    return list(videos.items())


def read_fold(lists, fold: int) -> tuple[list[str], list[tuple[str, int]], list[tuple[str, int]]]:
    """classes, train and test of fold 1, 2 or 3 as the lists have them; the counts are checked if it is UCF-101."""
    check_fold(fold)
    lists = Path(lists)
    classes = read_classes(lists)
    train, test = (read_list(lists / f"{side}list{fold:02d}.txt", classes) for side in ("train", "test"))
    if len(classes) == 101 and classes[100] == "YoYo" and (len(train), len(test)) != COUNTS[fold]:
        raise ValueError(
            f"{lists}: fold {fold} lists {len(train)} training and {len(test)} test videos, but UCF-101 has "
            f"{COUNTS[fold][0]} and {COUNTS[fold][1]}; get the official lists again"
        )
    return classes, train, test


def list_ucf101(root: Path, fold: int, skip: Collection[str], contents: list[Contents]) -> Split:
    """Fold 1, 2 or 3 of the videos under root as the lists in or beside it have them; the files are not looked for.

    skip: names ("Class/file.avi") of videos to leave out, damaged ones for instance; each must be in the lists.
    contents is not used: the lists name all videos.
    Raises FileNotFoundError for no lists, ValueError for lists that are not right.
    """
    lists = find_lists(root)
    if lists is None:
        raise FileNotFoundError(f"{root}: no {LISTS}/classInd.txt in it or beside it; put the split lists there")
    classes, *sides = read_fold(lists, fold)
    train, test = (
        [Video(video_at(root / name), label, shown(name), group_of(name)) for name, label in side] for side in sides
    )
    split = Split([shown(name) for name in classes], train, test)
    return without(split, skip, f"in the lists of fold {fold} in {lists}")
