"""Your own videos: one folder a class, no lists needed.

    <root>/<class>/<any name>.avi

Classes are the folders in alphabetical order. The videos are split for three-fold cross-validation, by group.
"""

from collections.abc import Collection
from pathlib import Path

from data.splits import Split, Video, group_of, split_by_group
from data.ucf101 import LISTS, find_lists, load_ucf101

SUFFIXES = {".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"}


def load_videos(root, fold: int = 1, seed: int = 0, skip: Collection[str] = ()) -> Split:
    """Classes, training and test videos under root: by the official lists if they are there, else by folder.

    seed: of the split by folder. skip: names ("Class/file.avi") to leave out. Errors: see load_ucf101, load_folder.
    """
    if find_lists(root) is not None:
        return load_ucf101(root, fold, skip)
    return load_folder(root, fold, seed, skip)


def load_folder(root, fold: int = 1, seed: int = 0, skip: Collection[str] = ()) -> Split:
    """Classes, training and test videos of fold 1, 2 or 3 of a folder with one folder a class; see split_by_group.

    Raises FileNotFoundError if root is no folder, ValueError for fewer than two classes, a class without videos or with
    one group only, or a skipped name that is not there.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; expected one folder a class with videos in each")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name != LISTS)
    if len(folders) < 2:
        found = f"only {folders[0].name}" if folders else "none"
        raise ValueError(f"{root}: expected two folders or more, one a class, with videos in each; found {found}")
    videos = []
    for label, folder in enumerate(folders):
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        if not files:
            raise ValueError(
                f"{folder}: no videos ({', '.join(sorted(SUFFIXES))}) for this class; add some or remove it"
            )
        videos += [Video(p, label, f"{folder.name}/{p.name}", group_of(p.name)) for p in files]
    unknown = set(skip) - {video.name for video in videos}
    if unknown:
        raise ValueError(f"skip list: {min(unknown)} is not among the {len(videos)} videos in {root}")
    videos = [video for video in videos if video.name not in skip]
    return split_by_group(videos, [folder.name for folder in folders], fold, seed=seed)
