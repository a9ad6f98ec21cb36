"""UCF-101's protocol: a network for each of three folds, and the mean of their accuracies."""

from pathlib import Path

import numpy as np


def all_folds(one, out, resume=False, folds=(1, 2, 3)):
    """Calls one(fold, folder, resume), which trains and returns a `Result`, for each fold in a folder of its own.

    Prints each fold and their mean. resume: finished folds are only reported, an interrupted one goes on.
    """
    folders = {fold: Path(out) / f"fold{fold}" for fold in folds}
    begun = {fold for fold, folder in folders.items() if (folder / "checkpoint.npz").exists()}
    if begun and not resume:
        raise FileExistsError(f"{folders[min(begun)]} holds a run: go on with --resume, or choose another folder")
    results = {}
    for fold, folder in folders.items():
        print(f"fold {fold} of {len(folders)}: {folder}")
        results[fold] = one(fold, folder, fold in begun)
    for fold, result in results.items():
        print(f"fold {fold}: {result}")
    print(mean_of(list(results.values())))


def mean_of(results):
    """The mean accuracy of the folds, each counting once, as text."""
    video = 100 * np.mean([[r.hit1, r.hit5] for r in results], axis=0)
    clip = 100 * np.mean([[r.clip_hit1, r.clip_hit5] for r in results], axis=0)
    top = results[0].top
    return (
        f"mean of {len(results)} folds: video Hit@1 {video[0]:.1f} %, Hit@{top} {video[1]:.1f} %; "
        f"clip Hit@1 {clip[0]:.1f} %, Hit@{top} {clip[1]:.1f} %"
    )
