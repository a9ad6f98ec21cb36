"""Folders of classes: your own videos, no lists needed.

    <root>/<class>/<any name>.avi                   the videos are split for three-fold cross-validation, by group
    <root>/train/<class>/<any name>.avi             the folder says which side a video is on
    <root>/val/<class>/..., <root>/test/<class>/...

Going down from the root, the first folders that hold videos are the classes, named by their path ("ball/tennis"), in
alphabetical order. Where there are both val and test, test is the test set, and val is used for neither side.
"""

from collections.abc import Collection
from pathlib import Path

from snippets.data.layouts.splits import ALL, Split, Video, group_of, split_by_group, without
from snippets.data.listing import Contents, ignored, shown, tally

PARTS = {  # other words for the parts of a data set
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def class_folders(root: Path, contents: list[Contents]) -> dict[Path, list[Path]]:
    """{folder of a class: its videos}. Raises ValueError for a folder without videos in it or below it."""
    classes, empty = {}, []
    for folder, videos, _ in contents:
        if root in folder.parents and not any(above in classes for above in folder.parents):
            if videos:
                classes[folder] = videos
            else:
                empty.append(folder)
    above = {parent for folder in classes for parent in folder.parents}
    for folder in (each for each in empty if each not in above):
        inside = (each for each in contents if folder in (each.folder, *each.folder.parents))
        found = tally(why for _, why in ignored(inside, (), "")) or "nothing"
        raise ValueError(f"{folder}: no videos (.avi, .mp4 ...) here, found {found}; add some or remove this class")
    return classes


def list_class_folders(root: Path, fold: int | str, skip: Collection[str], contents: list[Contents]) -> Split:
    """Classes, training and test videos of fold 1, 2 or 3; ALL: all are test videos. See `split_by_group`.

    skip: names ("class/file.avi") of videos to leave out. contents: what `walk` finds in root.
    Raises FileNotFoundError if root is no folder, ValueError for fewer than two classes, a class without videos or with
    only one group, or a skipped name that is not there.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; expected one folder per class with videos in each")
    folders = class_folders(root, contents)
    if len(folders) < (1 if fold == ALL else 2):
        found = f"only {name(root, next(iter(folders)))}" if folders else "none"
        loose = len(contents[0].videos)
        found += f", and {loose} videos (files, or folders of pictures) in no folder of a class" if loose else ""
        raise ValueError(f"{root}: expected two folders or more, one per class, with videos in each; found {found}")
    classes, videos = [name(root, folder) for folder in folders], []
    for label, files in enumerate(folders.values()):
        names = [name(root, path) for path in files]
        videos += [Video(path, label, own, group_of(own)) for path, own in zip(files, names, strict=True)]
    videos = without(Split(classes, videos, []), skip, f"among the {len(videos)} videos in {root}").train
    return split_by_group(videos, classes, fold)


def find_parts(root) -> dict[str, Path] | None:
    """{"train", "val" or "test": folder}; None unless there are a training part and another one."""
    found = {}
    for path in sorted(Path(root).iterdir()) if Path(root).is_dir() else ():
        part = PARTS.get(path.name.lower())
        if part and path.is_dir():
            if part in found:
                raise ValueError(
                    f"{root}: {found[part].name} and {path.name} are one part twice, expected one; join them"
                )
            found[part] = path
    return found if "train" in found and len(found) > 1 else None


def list_part_folders(root: Path, fold: None, skip: Collection[str], contents: list[Contents]) -> Split:
    """Classes, training and test videos of a folder of train, val and test; see `list_class_folders`.

    The classes are those of all parts. A group may have clips in one part only.
    """
    found = find_parts(root)
    if found is None:
        raise FileNotFoundError(f"{root}: no folders train and test, or train and val")
    listed = {part: class_folders(folder, contents) for part, folder in found.items()}
    for part, folders in listed.items():
        if not folders:
            raise ValueError(f"{found[part]}: expected one folder per class, with videos in each; found none")
    classes = sorted({name(found[part], path) for part, folders in listed.items() for path in folders})
    sides = {part: [] for part in ("train", "val", "test")}
    for part, folders in listed.items():
        for folder, files in folders.items():
            for path in files:
                own, group = name(root, path), group_of(name(found[part], path))
                group = own if group == name(found[part], path) else group  # of clips with one group in several parts
                sides[part].append(Video(path, classes.index(name(found[part], folder)), own, group))
    split = Split(classes, sides["train"], sides["test"] or sides["val"])
    return without(split, skip, f"among the videos in {root}")


def name(root, path) -> str:
    """The name of a video or of a class: its path below root."""
    return shown("/".join(path.parts[len(root.parts) :]))
