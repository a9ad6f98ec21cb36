"""Which videos train and which test: records, groups, and the rule that a group stays on one side.

The clips of one group (v_Archery_g07_c01 ... c04) come from the same film: same person, same place. A split with some
of them in training and some in the test measures memory, not recognition (91 % on such a split of UCF-101 against 76 %
on the official one, in a reported case), so it is refused.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.data.files import check_file


class Video(NamedTuple):
    """One video: where it is, its class 0..K-1 (or a tuple of them), its name ("Class/file.avi"), its group.

    The name is as `data.listing.shown` writes it, whatever characters or bytes the path holds.
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


CLIP = re.compile(r"_(g\d+)_c\d+(\.\w+)?$")  # the end of UCF-101's file names: group and clip


def group_of(name: str) -> str:
    """The group, within its class, in a name like v_Class_g07_c01.avi: "g07". Any other name is a group of its own."""
    match = CLIP.search(name)
    return match[1] if match else name


def check_groups(split: Split) -> None:
    """Raises ValueError if a video is on both sides, or a (class, group) has videos on both."""
    classes, train, test = split
    both = {v.name for v in train} & {v.name for v in test}
    if both:
        raise ValueError(
            f"{min(both)} is on both sides of the split (such videos: {len(both)}); take it off one of the lists, or "
            "name it in a skip list"
        )
    both = {(v.label, v.group) for v in train} & {(v.label, v.group) for v in test}
    if both:
        label, group = min(both)
        names = [next(v.name for v in side if (v.label, v.group) == (label, group)) for side in (train, test)]
        raise ValueError(
            f"group {group} of class {classes[label]} is on both sides of the split ({names[0]} trains, {names[1]} "
            f"tests; such groups: {len(both)}); keep all clips of a group on one side"
        )


def only_present(split: Split) -> Split:
    """The split without the videos whose files do not exist."""
    train, test = ([v for v in side if os.path.isfile(v.path)] for side in (split.train, split.test))
    return Split(split.classes, train, test)


def check_present(split: Split, lists) -> None:
    """Raises FileNotFoundError with the number of videos, listed in `lists`, whose files do not exist."""
    listed = split.train + split.test
    missing = [video for video in listed if not os.path.isfile(video.path)]
    if missing:
        raise FileNotFoundError(
            f"{missing[0].path}: listed in {lists}, but no file is there (missing: {len(missing)} of {len(listed)} "
            "videos); get them, or name those to leave out in a skip list (snippets check-data writes one), or take "
            "what there is with --available"
        )


def split_by_group(videos: list[Video], classes: list[str], fold: int = 1, folds: int = 3, seed: int = 0) -> Split:
    """Cross-validation: the groups of a class are shuffled by seed and dealt into folds, of which one tests.

    The order of videos does not matter. A class with fewer groups than folds (at least 2) has some equal folds.
    Raises ValueError for a class with one group only, or a fold out of range.
    """
    check_fold(fold, folds)
    tests = set()
    for label, name in enumerate(classes):
        groups = sorted({v.group for v in videos if v.label == label})
        if len(groups) < 2:
            raise ValueError(
                f"class {name} has {len(groups)} group of clips, expected at least 2 so that one trains and one tests: "
                "add videos from another film (files named v_Class_g01_c01.avi are grouped by their g number)"
            )
        np.random.default_rng([seed, label]).shuffle(groups)
        parts = min(folds, len(groups))
        tests |= {(label, group) for group in groups[(fold - 1) % parts :: parts]}
    train = [v for v in videos if (v.label, v.group) not in tests]
    test = [v for v in videos if (v.label, v.group) in tests]
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


def lines_of(path) -> list[str]:
    """The lines of a text file, stripped, without blank ones. Bytes that are not UTF-8 are kept: file names have them.

    Raises FileNotFoundError, or ValueError for a file that is not text.
    """
    text = check_file(path, "list").read_text(encoding="utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise ValueError(f"{path}: not a text file in UTF-8, expected a list, one name per line")
    return [line.strip() for line in text.split("\n") if line.strip()]
