"""Folds of videos by group: what stands on both sides of a split by chance is no test (`data.layouts.splits`)."""

from pathlib import Path

import numpy as np

from snippets.data.layouts.splits import Video, split_by_group
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
