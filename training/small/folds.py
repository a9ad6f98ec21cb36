"""Folds of videos by group: what stands on both sides of a split by chance is no test (`data.layouts.splits`)."""

from pathlib import Path

import numpy as np

from snippets.data.layouts.splits import Split, Video, check_groups, split_by_group
from snippets.data.layouts.table import VideoFolder
from snippets.data.loader import Subset


def single_labels(dataset):
    """One class of each video; of several the first."""
    return [int(np.argmax(label)) if np.ndim(label) else int(label) for label in dataset.labels]


def by_group(dataset, folds, draw=0):
    """Of each fold (what trains, what tests), two `Subset`s; draw: number of one of many ways to deal the groups.

    Of a video with several classes the first one counts. ValueError for a class with one group alone.
    """
    labels = single_labels(dataset)
    classes = sorted(set(labels))
    rows = enumerate(zip(labels, dataset.names, dataset.groups, strict=True))
    videos = [Video(Path(str(i)), classes.index(label), name, group) for i, (label, name, group) in rows]
    names = [dataset.classes[k] for k in classes]
    splits = [split_by_group(videos, names, fold, folds, draw) for fold in range(1, folds + 1)]
    return [tuple(Subset(dataset, [int(str(v.path)) for v in side]) for side in split[1:]) for split in splits]


def held_out(dataset, folds):
    """As `by_group`, but a class with one group alone always trains: nothing of it can be held out.

    So do the other videos of that group. ValueError where that is so of every class.
    """
    labels, stay = np.array(single_labels(dataset)), set()
    while True:
        rest = [i for i, group in enumerate(dataset.groups) if group not in stay]
        groups = {k: {dataset.groups[i] for i in rest if labels[i] == k} for k in set(labels[rest].tolist())}
        alone = set().union(*(some for some in groups.values() if len(some) == 1))
        if not alone:
            break
        stay |= alone
    if not rest:
        raise ValueError(
            f"the {len(dataset)} training videos have one group (film) of every class, so nothing can be held out to "
            "choose settings by: add videos from other films; or train one head without --heads, --tune-lr and "
            "--tune-weight-decay"
        )
    always = [i for i, group in enumerate(dataset.groups) if group in stay]
    parts = by_group(Subset(dataset, rest), folds)
    return [
        tuple(Subset(dataset, sorted(more + [rest[i] for i in side.rows])) for side, more in ((a, always), (b, [])))
        for a, b in parts
    ]


def folds_in(path, dataset, fold=None):
    """The folds that the lists, the table or the folders of a data folder say: of each (rows that train, that test).

    Returns (number of the first one or None, these). fold: one of them alone. Rows are those of `dataset`, which may
    lack some of the videos. (None, ()) if groups are all that is known. ValueError for a fold in which nothing is left
    to test, or nothing to tell apart.
    """
    folder = VideoFolder(path)
    if not folder.layout.official and None not in folder.layout.folds:
        return None, ()
    numbers = folder.layout.folds if fold is None else (fold,)
    place, found = {name: i for i, name in enumerate(dataset.names)}, []
    for number in numbers:
        split = folder.listed(number)
        sides = [[v for v in side if v.name in place] for side in split[1:]]
        check_groups(Split(split.classes, *sides))
        if not sides[1] or len({v.label for v in sides[0]}) < 2:
            what = f"{len(sides[0])} training videos of {len({v.label for v in sides[0]})} classes"
            where = "" if number is None else f", fold {number}"
            raise ValueError(
                f"{path}{where}: {what} and {len(sides[1])} test videos, expected two classes and a test video or more"
            )
        found.append(tuple([place[v.name] for v in side] for side in sides))
    return numbers[0], tuple(found)
