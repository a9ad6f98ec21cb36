"""Any folder of videos: UCF-101 and Sports-1M by their lists, your own videos by folder, no lists needed.

    <root>/<class>/<any name>.avi

Classes are then the folders in alphabetical order, and the videos are split for three-fold cross-validation, by group.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from snippets.data.layouts.splits import (
    Split,
    Video,
    check_groups,
    check_present,
    group_of,
    only_present,
    split_by_group,
    without,
)
from snippets.data.layouts.sports1m import PARTITIONS, is_sports1m, list_sports1m
from snippets.data.layouts.ucf101 import LISTS, find_lists, list_ucf101
from snippets.data.listing import shown, walk

UNLISTED = "in no list or class folder"


def list_videos(root, fold: int | None = 1, seed: int = 0, skip: Collection[str] = ()) -> Split:
    """Classes, training and test videos of root, by the lists in or beside it or by folder, unchecked.

    fold: None for Sports-1M, which has none. seed: of the split by folder. skip: names to leave out ("Class/file.avi",
    or the YouTube id). Errors: see list_ucf101, list_sports1m, load_folder.
    """
    if find_lists(root) is not None:
        return list_ucf101(root, fold, skip)
    if is_sports1m(root):
        return list_sports1m(root, skip)
    return load_folder(root, fold, seed, skip)


def load_videos(
    root, fold: int | None = 1, seed: int = 0, skip: Collection[str] = (), available: bool = False, check: bool = True
) -> Split:
    """What list_videos lists, if it is all there and nothing is on both sides; with `available`, what of it is there.

    check: False where the caller tells which files are missing; those of long lists are counted all the same.

    Raises FileNotFoundError for missing files, ValueError for a video or a group on both sides.
    """
    split = list_videos(root, fold, seed, skip)
    if available:
        split = only_present(split)
    elif check or find_lists(root) or is_sports1m(root):
        check_present(split, f"{root}" + ("" if fold is None else f", fold {fold}"))
    check_groups(split.train, split.test, split.classes)
    return split


def load_folder(root, fold: int = 1, seed: int = 0, skip: Collection[str] = ()) -> Split:
    """Classes, training and test videos of fold 1, 2 or 3 of a folder with one folder a class; see split_by_group.

    Raises FileNotFoundError if root is no folder, ValueError for fewer than two classes, a class without videos or with
    one group only, or a skipped name that is not there.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; expected one folder a class with videos in each")
    folders = {
        folder: videos for folder, videos, _ in walk(root) if folder.parent == root != folder and folder.name != LISTS
    }
    if len(folders) < 2:
        found = f"only {shown(next(iter(folders)).name)}" if folders else "none"
        raise ValueError(f"{root}: expected two folders or more, one a class, with videos in each; found {found}")
    videos = []
    for label, (folder, files) in enumerate(folders.items()):
        if not files:
            found = tally(why for _, why in ignored(folder, ())) or "nothing"
            raise ValueError(f"{folder}: no videos (.avi, .mp4 ...) here, found {found}; add some or remove this class")
        videos += [Video(p, label, shown(f"{folder.name}/{p.name}"), group_of(p.name)) for p in files]
    classes = [shown(folder.name) for folder in folders]
    videos = without(Split(classes, videos, []), skip, f"among the {len(videos)} videos in {root}").train
    return split_by_group(videos, classes, fold, seed=seed)


def ignored(root, videos: Iterable[Path]) -> list[tuple[Path, str]]:
    """What lies below root besides these videos and the lists, each with the reason why it is left alone."""
    root, known, found = Path(root), set(videos), []
    for folder, files, others in walk(root):
        if folder != root / LISTS:
            found += [(path, UNLISTED) for path in files if path not in known]
            found += [(path, why) for path, why in others if path.name not in ("labels.txt", *PARTITIONS)]
    return found


def tally(reasons: Iterable[str]) -> str:
    """Reasons with their counts, the most frequent first: "2 hidden, 1 .txt"."""
    return ", ".join(f"{n} {shown(why)}" for why, n in Counter(reasons).most_common())
