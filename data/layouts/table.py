"""The layouts of data folders: how each is recognised, listed, split and grouped.

A new layout is a file of its own beside this one, with a function like `list_ucf101`, and a row in LAYOUTS.
"""

import functools
from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from snippets.data.layouts.folder import find_parts, list_class_folders, list_part_folders
from snippets.data.layouts.hmdb51 import PATTERN, find_split_files, list_hmdb51
from snippets.data.layouts.manifest import MANIFEST, find_manifest, has_split, list_manifest
from snippets.data.layouts.splits import (
    ALL,
    Split,
    check_groups,
    check_present,
    group_advice,
    only_present,
    picture_advice,
    without,
)
from snippets.data.layouts.sports1m import PARTITIONS, find_partitions, list_sports1m
from snippets.data.layouts.ucf101 import LISTS, find_lists, list_ucf101
from snippets.data.listing import Contents, ignored, is_picture_folder, walk


class Layout(NamedTuple):
    """One layout of videos in a folder.

    recognises(root): whether a folder has this layout. list_videos(root, fold, skip, contents): its `Split`, each video
    with its class and its group; whether the files exist is not checked. lists: names, or patterns of names, of the
    files and folders with the lists, () if there are none. unused: why a video may be in no split. folds: (None,) for a
    single split. defaults: replace `DataSettings` that are None. official: the lists are published with the data set,
    and whoever made them knew which clips are of one film.
    """

    name: str
    recognises: Callable[[Path], object]
    list_videos: Callable[[Path, int | None, Collection[str], list[Contents]], Split]
    lists: tuple[str, ...]
    unused: str
    folds: tuple[int | None, ...] = (1, 2, 3)
    defaults: dict = {}
    official: bool = True


FIRST_MINUTES = {"fps": 1.0, "seconds": 300.0}
LAYOUTS = (  # the first that recognises a folder
    Layout(
        "a manifest with splits", has_split, list_manifest, (MANIFEST,), "not in the manifest, or of val beside test",
        (None,), official=False,
    ),
    Layout("a manifest", find_manifest, list_manifest, (MANIFEST,), "not in the manifest", official=False),
    Layout("UCF-101's lists", find_lists, list_ucf101, (LISTS,), "in no list"),
    Layout(
        "Sports-1M's lists", find_partitions, list_sports1m, ("labels.txt", *PARTITIONS), "in no list",
        (None,), FIRST_MINUTES,
    ),
    Layout("HMDB51's split files", find_split_files, list_hmdb51, (PATTERN,), "not used in this fold"),
    Layout(
        "folders of train, val and test", find_parts, list_part_folders, (),
        "in no class folder, or of val beside test", (None,), official=False,
    ),
    Layout("one folder per class", lambda root: True, list_class_folders, (), "in no class folder", official=False),
)  # fmt: skip


def layout_of(path) -> Layout:
    """The row of LAYOUTS for a folder, or for a manifest."""
    return next(layout for layout in LAYOUTS if layout.recognises(Path(path)))


def root_of(path) -> Path:
    """The folder of videos: the one given, or that of a manifest."""
    path = Path(path)
    return path.parent if path.suffix.lower() == ".csv" else path


def is_data(path) -> bool:
    """Whether this is a folder of videos, or a manifest, and not one video (a file, or a folder of pictures)."""
    path = Path(path)
    return path.suffix.lower() == ".csv" or path.is_dir() and not is_picture_folder(path)


class VideoFolder:
    """A folder of videos in one of the LAYOUTS, or a manifest of it; its files are looked for once."""

    def __init__(self, path):
        self.path, self.root, self.layout = Path(path), root_of(path), layout_of(path)

    @functools.cached_property
    def contents(self) -> list[Contents]:
        """What is in root and in the folders below it, without the files of lists."""
        names, found = {*self.layout.lists, *([self.path.name] if self.path != self.root else [])}, []

        def is_list(path):
            return any(fnmatch(path.name, name) for name in names)

        for folder, videos, others in walk(self.root):
            if folder.parent != self.root or not is_list(folder):
                found.append(Contents(folder, videos, [(path, why) for path, why in others if not is_list(path)]))
        return found

    def listed(self, fold: int | str | None = 1, skip: Collection[str] = ()) -> Split:
        """Classes, training and test videos of a fold, whether or not their files are there.

        fold "all": all videos of the layout's lists, of any fold, and of its folders are test videos. skip: names to
        leave out ("Class/file.avi", or the YouTube id). Raises what the layout's function raises.
        """
        if fold != ALL:
            return self.layout.list_videos(self.path, fold, skip, self.contents)
        numbers = self.layout.folds if self.layout.official else (ALL,)
        splits = [self.layout.list_videos(self.path, number, (), self.contents) for number in numbers]
        found = {video.name: video for split in splits for video in split.train + split.test}
        return without(Split(splits[0].classes, [], list(found.values())), skip, f"among the videos of {self.path}")

    def load(self, fold: int | str | None = 1, skip: Collection[str] = (), available=False, check=True) -> Split:
        """What `listed` gives if all files are there; with `available`, those videos whose files are there.

        check: False where the caller reports missing files one by one; videos missing from lists are an error even so.
        Raises FileNotFoundError for missing files, ValueError for a video or a group on both sides of the split.
        """
        split = self.listed(fold, skip)
        if available:
            split = only_present(split)
        elif check or self.layout.lists:
            lists = ", ".join(self.layout.lists) + " of " if self.layout.lists else ""
            check_present(split, f"{lists}{self.path}" + ("" if fold in (None, ALL) else f", fold {fold}"))
        check_groups(split)
        return split

    def ignored(self, videos: Iterable[Path]) -> list[tuple[Path, str]]:
        """Everything in the folder besides these videos and the lists, each path with the reason why."""
        return ignored(self.contents, videos, self.layout.unused)

    def advice(self, split: Split) -> list[str]:
        """What to know before this split is used: that no groups are known, that pictures have no rate of their own."""
        said = [None if self.layout.official else group_advice(split), picture_advice(split)]
        return [text for text in said if text]
