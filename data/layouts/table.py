"""The layouts of data folders: how each is recognised, listed, split and grouped.

A new layout is a file of its own beside this one, with a function like `list_ucf101`, and a row in LAYOUTS.
"""

import functools
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from snippets.data.layouts.folder import list_class_folders
from snippets.data.layouts.splits import Split, check_groups, check_present, only_present
from snippets.data.layouts.sports1m import PARTITIONS, find_partitions, list_sports1m
from snippets.data.layouts.ucf101 import LISTS, find_lists, list_ucf101
from snippets.data.listing import Contents, ignored, walk


class Layout(NamedTuple):
    """One layout of videos in a folder.

    recognises(root): whether a folder has this layout. list_videos(root, fold, skip, contents): its `Split`, each video
    with its class and its group; whether the files exist is not checked. lists: names of the files and folders with the
    lists, () if there are none. folds: (None,) for a single split. defaults: replace `DataSettings` that are None.
    """

    name: str
    recognises: Callable[[Path], object]
    list_videos: Callable[[Path, int | None, Collection[str], list[Contents]], Split]
    lists: tuple[str, ...]
    folds: tuple[int | None, ...]
    defaults: dict


FOLDS, FIRST_MINUTES = (1, 2, 3), {"fps": 1.0, "seconds": 300.0}
LAYOUTS = (  # the first that recognises a folder
    Layout("UCF-101's lists", find_lists, list_ucf101, (LISTS,), FOLDS, {}),
    Layout("Sports-1M's lists", find_partitions, list_sports1m, ("labels.txt", *PARTITIONS), (None,), FIRST_MINUTES),
    Layout("one folder per class", lambda root: True, list_class_folders, (), FOLDS, {}),
)


def layout_of(root) -> Layout:
    """The row of LAYOUTS for a folder."""
    return next(layout for layout in LAYOUTS if layout.recognises(Path(root)))


class VideoFolder:
    """A folder of videos in one of the LAYOUTS; its files are looked for once."""

    def __init__(self, root):
        self.root, self.layout = Path(root), layout_of(root)

    @functools.cached_property
    def contents(self) -> list[Contents]:
        """What is in root and in the folders below it, without the files of lists."""
        names, found = {name for layout in LAYOUTS for name in layout.lists}, []
        for folder, videos, others in walk(self.root):
            if folder.parent != self.root or folder.name not in names:
                found.append(Contents(folder, videos, [(path, why) for path, why in others if path.name not in names]))
        return found

    def listed(self, fold: int | None = 1, skip: Collection[str] = ()) -> Split:
        """Classes, training and test videos of a fold, whether or not their files are there.

        skip: names to leave out ("Class/file.avi", or the YouTube id). Raises what the layout's function raises.
        """
        return self.layout.list_videos(self.root, fold, skip, self.contents)

    def load(self, fold: int | None = 1, skip: Collection[str] = (), available=False, check=True) -> Split:
        """What `listed` gives if all files are there; with `available`, those videos whose files are there.

        check: False where the caller reports missing files one by one; videos missing from lists are an error even so.
        Raises FileNotFoundError for missing files, ValueError for a video or a group on both sides of the split.
        """
        split = self.listed(fold, skip)
        if available:
            split = only_present(split)
        elif check or self.layout.lists:
            lists = ", ".join(self.layout.lists) + " of " if self.layout.lists else ""
            check_present(split, f"{lists}{self.root}" + ("" if fold is None else f", fold {fold}"))
        check_groups(split)
        return split

    def ignored(self, videos: Iterable[Path]) -> list[tuple[Path, str]]:
        """Everything in the folder besides these videos and the lists, each path with the reason why."""
        return ignored(self.contents, videos)
