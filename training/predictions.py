"""Predictions in files: class probabilities of every video of a test set (or training set), to be fused or studied.

`snippets train` and `snippets evaluate --save` write an .npz of plain arrays:

    names (V,)  classes (K,)    text
    groups (V,)                 optional text: videos of one group are clips of one film; else as the names say
    labels                      (V,) int64, or multi-hot (V, K) bool
    probabilities (V, K)        float64
    clips  clip_hits (2,)       clips in all, the share of them that hit at 1 and at 5; 0 and NaN for whole videos
    fold                        of the network and the videos; 0: none
    side                        "test" or "train": videos that the network has not seen, or has
    mode  views                 how frames, and how many clips per video, became one prediction; 0 views: whole videos
    steps                       updates that the network had had; 0: several networks, fused

For other programs the same is written as a table (.csv, a line per video) or as .json, see `write_probabilities`.
"""

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snippets.data.files import guarded, read_npz, write, write_json, write_npz
from snippets.training.evaluate import Result, result_of

SIDES = ("train", "test")
ABOUT = ("fold", "side", "mode", "views", "steps")


@dataclass(frozen=True)
class Predictions:
    """A `Result` and where it is from; see above."""

    result: Result
    fold: int | None
    side: str = "test"
    mode: str = "weighted"
    views: int = 1
    steps: int = 0


def save_predictions(path, p):
    """Write a file of predictions, in one step."""
    r, about = p.result, {name: np.array(getattr(p, name) or 0) for name in ABOUT}
    arrays = dict(
        names=np.array(r.names, str), classes=np.array(r.classes, str), labels=r.labels, clips=r.clips,
        probabilities=np.asarray(r.probabilities, np.float64), clip_hits=[r.clip_hit1, r.clip_hit5],
    )  # fmt: skip
    if r.groups is not None:
        arrays["groups"] = np.array(r.groups, str)
    write_npz(path, arrays | about, compress=True)


def write_probabilities(path, classes, names, probabilities, truth=None):
    """Write class probabilities (V, K) of V videos for other programs, as .csv or .json by the path's suffix.

    truth: bool (V, K), the true classes where they are known; several of one video are joined by "; ".
    """
    rows = []
    for n, (name, p) in enumerate(zip(names, probabilities, strict=True)):
        labels = {} if truth is None else {"label": [classes[k] for k in np.flatnonzero(truth[n])]}
        best = int(np.argmax(p))
        rows.append({"video": name, **labels, "predicted": classes[best], "probability": round(float(p[best]), 6)})
    if Path(path).suffix.lower() == ".json":
        for row, p in zip(rows, probabilities, strict=True):
            row["probabilities"] = {name: round(float(x), 6) for name, x in zip(classes, p, strict=True)}
        write_json(path, {"classes": list(classes), "videos": rows})
        return
    lines = io.StringIO()
    out = csv.writer(lines, lineterminator="\n")
    out.writerow([*(["video"] if truth is None else ["video", "label"]), "predicted", "probability", *classes])
    for row, p in zip(rows, probabilities, strict=True):
        cells = ["; ".join(cell) if isinstance(cell, list) else cell for cell in row.values()]
        out.writerow([*cells, *(f"{x:.6f}" for x in p)])
    write(path, lines.getvalue())


def load_predictions(path):
    """Read a file of predictions. FileNotFoundError, or ValueError for a file that is none."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of predictions")
    with guarded(f"{path}: no predictions as snippets evaluate --save writes them"):
        names = ("names", "classes", "labels", "clips", "probabilities", "clip_hits", *ABOUT)
        a = read_npz(path, names, ("groups",))
        groups = a.get("groups")
        V, K = a["probabilities"].shape
        if a["names"].shape != (V,) or a["classes"].shape != (K,) or a["labels"].shape not in ((V,), (V, K)):
            raise ValueError(f"{V} x {K} probabilities do not go with its names, classes and labels")
        names, classes = a["names"].tolist(), a["classes"].tolist()
        if groups is not None and groups.shape != (V,):
            raise ValueError(f"it has groups {groups.shape} for {V} videos")
        if len(set(names)) < V or len(set(classes)) < K:
            raise ValueError("it names a video or a class twice")
        result = result_of(classes, names, a["labels"], a["probabilities"], int(a["clips"]), a["clip_hits"])
        result = replace(result, groups=None if groups is None else groups.tolist())
        about = {name: a[name].item() for name in ABOUT}
    return Predictions(result, **{**about, "fold": about["fold"] or None})


def aligned(files, side="test"):
    """The first file's `Predictions`, and every file's probabilities (V, K) with videos and classes in its order.

    Raises ValueError that names what differs: side, fold, videos, classes or labels.
    """
    loaded = [load_predictions(path) for path in files]
    first, probabilities = loaded[0], []
    for path, p in zip(files, loaded, strict=True):
        if p.side != side:
            raise ValueError(f"{path}: predictions of {p.side} videos, expected {side} videos")
        if p.fold != first.fold:
            raise ValueError(f"{path} is of fold {p.fold}, {files[0]} of fold {first.fold}; expected one fold")
        rows = positions(first.result.names, p.result.names, "video", path, files[0])
        columns = positions(first.result.classes, p.result.classes, "class", path, files[0])
        differ = (p.result.truth[rows][:, columns] != first.result.truth).any(axis=1)
        if differ.any():
            name = first.result.names[int(np.argmax(differ))]
            raise ValueError(f"{path} and {files[0]} differ in the label of {name}; expected the same labels")
        probabilities.append(p.result.probabilities[rows][:, columns])
    return first, probabilities


def positions(wanted, have, what, path, other):
    """Where each of the names wanted, those of `other`, stands among those of `path`; ValueError unless they agree."""
    missing, more = sorted(set(wanted) - set(have)), sorted(set(have) - set(wanted))
    if missing or more:
        found = f"lacks the {what} {missing[0]} of {other}" if missing else f"has the {what} {more[0]}, unlike {other}"
        raise ValueError(f"{path} {found} ({len(missing)} missing, {len(more)} more); expected the same in both")
    place = {name: n for n, name in enumerate(have)}
    return [place[name] for name in wanted]
