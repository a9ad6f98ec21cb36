"""Which videos train and which test: records, groups, and the rule that a group stays on one side.

The clips of one group (v_Archery_g07_c01 ... c04) come from the same film: same person, same place. A split with some
of them in training and some in the test measures memory, not recognition (91 % on such a split of UCF-101 against 76 %
on the official one, in a reported case), so it is refused. A film may have clips of several classes, and so a group is
one of the whole data set and not of a class.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.data.files import check_file
from snippets.data.listing import is_video
from snippets.data.pictures import PICTURE_FPS


class Video(NamedTuple):
    """One video: where it is, its class 0..K-1 (or a tuple of them), its name ("Class/file.avi"), its group.

    path: a file, or a folder of pictures. The name is as `data.listing.shown` writes it, whatever characters or bytes
    the path holds. The group is the name where nothing is known of it.
    """

    path: Path
    label: int | tuple[int, ...]
    name: str
    group: str


class Split(NamedTuple):
    """Class names (label k is classes[k]), training videos and test videos."""

    classes: list[str]
    train: list[Video]
    test: list[Video]


ALL = "all"  # in place of a fold: no training videos, all are test videos
CLIP = re.compile(r"(?P<before>[^/]*)_(?P<group>g\d+)_c\d+(?:\.\w+)?")  # a file name of UCF-101


def group_of(name: str) -> str:
    """The group of a video by its name: of Class/v_Class_g07_c01.avi Class/g07, of v_Class_g07_c01.avi v_Class_g07.

    Any other name is a group of its own.
    """
    folder, slash, file = name.rpartition("/")
    match = CLIP.fullmatch(file)
    if not match:
        return name
    return f"{folder}/{match['group']}" if slash else f"{match['before']}_{match['group']}"


def group_advice(split: Split) -> str | None:
    """What to say of a split in which every video is a group of its own; None for another one."""
    videos = split.train + split.test
    if len({v.group for v in videos}) < len(videos):
        return None
    return (
        "no groups are known: clips of one film may be on both sides, which makes results look better than they are; "
        "say which belong together by a column group in videos.csv, or by names like v_Dive_g07_c01.avi"
    )


def picture_advice(split: Split) -> str | None:
    """What to say of a split with videos that are folders of pictures; None for another one."""
    count = sum(os.path.isdir(v.path) for v in split.train + split.test)
    if not count:
        return None
    rate = f"{PICTURE_FPS:g} per second unless --picture-fps says otherwise"
    return f"{count} videos are folders of pictures, which do not say their frame rate: it is taken as {rate}"


def check_groups(split: Split) -> None:
    """Raises ValueError if a video is on both sides, or a group has videos on both."""
    _, train, test = split
    both = {v.name for v in train} & {v.name for v in test}
    if both:
        raise ValueError(
            f"{min(both)} is on both sides of the split (such videos: {len(both)}); take it off one of the lists, or "
            "name it in a skip list"
        )
    both = {v.group for v in train} & {v.group for v in test}
    if both:
        group = min(both)
        names = [next(v.name for v in side if v.group == group) for side in (train, test)]
        raise ValueError(
            f"group {group} is on both sides of the split ({names[0]} trains, {names[1]} tests; such groups: "
            f"{len(both)}); keep all clips of a group on one side"
        )


def only_present(split: Split) -> Split:
    """The split without the videos whose files do not exist."""
    train, test = ([v for v in side if is_video(v.path)] for side in (split.train, split.test))
    return Split(split.classes, train, test)


def check_present(split: Split, lists) -> None:
    """Raises FileNotFoundError with the number of videos, listed in `lists`, whose files do not exist."""
    listed = split.train + split.test
    missing = [video for video in listed if not is_video(video.path)]
    if missing:
        raise FileNotFoundError(
            f"{missing[0].path}: listed in {lists}, but no file is there (missing: {len(missing)} of {len(listed)} "
            "videos); get them, or name those to leave out in a skip list (snippets check-data writes one), or take "
            "what there is with --available"
        )


def split_by_group(
    videos: list[Video], classes: list[str], fold: int | str = 1, folds: int = 3, seed: int = 0
) -> Split:
    """Cross-validation: groups are shuffled by seed and dealt into folds, of which one tests; fold ALL: all videos do.

    Class by class, those with the fewest groups first, and in it group by group, the largest first: one that is not
    dealt yet goes to the fold with the fewest videos of this class. The order of videos does not matter. A class with
    fewer groups than folds (at least 2) has some equal folds. Raises ValueError for a class that has not a group on
    each side, or a fold out of range.
    """
    if fold == ALL:
        return Split(classes, [], videos)
    check_fold(fold, folds)
    sizes = [Counter(v.group for v in videos if v.label == label) for label in range(len(classes))]
    tests = {}  # group -> the folds that it tests in
    order = sorted(range(len(classes)), key=lambda k: len(sizes[k]))
    for label in order:
        groups = sorted(sizes[label])
        np.random.default_rng([seed, label]).shuffle(groups)
        groups.sort(key=sizes[label].get, reverse=True)
        parts = min(folds, len(groups))
        filled = {f: sum(sizes[label][g] for g in groups if f in tests.get(g, ())) for f in range(1, parts + 1)}
        for group in groups:
            if group not in tests:
                first = min(filled, key=filled.get)
                filled[first] += sizes[label][group]
                tests[group] = set(range(first, folds + 1, parts))
    for label in order:
        count = len(sizes[label])
        if len({fold in tests[group] for group in sizes[label]}) < 2:
            raise ValueError(
                f"class {classes[label]} has {count} group{'' if count == 1 else 's'} of clips, expected at least 2 so "
                f"that in fold {fold} one trains and one tests: add videos from another film (a column group in "
                "videos.csv says which belong together, and files named v_Class_g01_c01.avi are grouped by their g "
                "number)"
            )
    train = [v for v in videos if fold not in tests[v.group]]
    test = [v for v in videos if fold in tests[v.group]]
    return Split(classes, train, test)


def check_fold(fold: int, folds: int = 3) -> None:
    """Raises ValueError unless fold is one of 1..folds."""
    if fold not in range(1, folds + 1):
        raise ValueError(f"fold is {fold}, expected one of 1 to {folds}")


def read_skip(path) -> set[str]:
    """Names of videos to leave out, one per line ("Class/file.avi"); a line with # that is no name is a comment."""
    return set(lines_of(path))


def without(split: Split, skip: Collection[str], where: str) -> Split:
    """The split without the videos named in skip. Raises ValueError for an unknown name; where: the place searched."""
    unknown = {name for name in skip if not name.startswith("#")} - {v.name for v in split.train + split.test}
    if unknown:
        raise ValueError(f"skip list: {min(unknown)} is not {where}")
    train, test = ([v for v in side if v.name not in skip] for side in (split.train, split.test))
    return Split(split.classes, train, test)


def distinct(names: Iterable[str]) -> list[str]:
    """Class names of which none occurs twice: a second "crane" becomes "crane 2", a third "crane 3"."""
    names = list(names)
    found, taken = [], set(names)
    for name in names:
        new, n = name, 1
        while new in found or (n > 1 and new in taken):
            n += 1
            new = f"{name} {n}"
        found.append(new)
    return found


def lines_of(path) -> list[str]:
    """The lines of a text file, stripped, without blank ones. Bytes that are not UTF-8 are kept: file names have them.

    Raises FileNotFoundError, or ValueError for a file that is not text.
    """
    text = check_file(path, "list").read_text(encoding="utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise ValueError(f"{path}: not a text file in UTF-8, expected a list, one name per line")
    return [line.strip() for line in text.split("\n") if line.strip()]
