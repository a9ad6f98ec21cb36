"""One folder per class: your own videos, no lists needed.

    <root>/<class>/<any name>.avi

Classes are the folders in alphabetical order, and the videos are split for three-fold cross-validation, by group.
"""

from collections.abc import Collection
from pathlib import Path

from snippets.data.layouts.splits import Split, Video, group_of, split_by_group, without
from snippets.data.listing import Contents, ignored, shown, tally


def list_class_folders(root: Path, fold: int, skip: Collection[str], contents: list[Contents]) -> Split:
    """Classes, training and test videos of fold 1, 2 or 3; see `split_by_group`.

    skip: names ("class/file.avi") of videos to leave out. contents: what `walk` finds in root.
    Raises FileNotFoundError if root is no folder, ValueError for fewer than two classes, a class without videos or with
    only one group, or a skipped name that is not there.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; expected one folder per class with videos in each")
    folders = [each for each in contents if each.folder.parent == root != each.folder]
    if len(folders) < 2:
        found = f"only {shown(folders[0].folder.name)}" if folders else "none"
        raise ValueError(f"{root}: expected two folders or more, one per class, with videos in each; found {found}")
    videos = []
    for label, (folder, files, _) in enumerate(folders):
        if not files:
            inside = (each for each in contents if folder in (each.folder, *each.folder.parents))
            found = tally(why for _, why in ignored(inside, ())) or "nothing"
            raise ValueError(f"{folder}: no videos (.avi, .mp4 ...) here, found {found}; add some or remove this class")
        videos += [Video(p, label, shown(f"{folder.name}/{p.name}"), group_of(p.name)) for p in files]
    classes = [shown(each.folder.name) for each in folders]
    videos = without(Split(classes, videos, []), skip, f"among the {len(videos)} videos in {root}").train
    return split_by_group(videos, classes, fold)
