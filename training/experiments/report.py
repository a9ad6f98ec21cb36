"""`snippets report`: a page about a training run, or several side by side.

A run is the folder that `snippets train` left: checkpoint.npz and predictions.npz, or those of its folds. The page has
accuracies with intervals, classes, confusions, learning curves, the errors of which the network was surest, what it
cannot see by construction, and all settings; with the folder of the videos also their frames.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snippets.data.files import write
from snippets.data.layouts.splits import group_of
from snippets.data.listing import shown
from snippets.data.video import VideoError
from snippets.nets.zoo import FRAME_OPTIONS, HEAD_OPTIONS, HEADS, TOWER_OPTIONS, options_read
from snippets.training.checkpoint import Checkpoint, load
from snippets.training.evaluate import LARGEST, Result, commonest_errors, hit_at_k
from snippets.training.experiments.statistics import bootstrap, difference_text, wilson
from snippets.training.predictions import load_predictions
from snippets.training.render.charts import curves, curves_in_words, frames_of
from snippets.training.render.page import bar_table, confusion, grid, page, picture, section, strip, table, text

CANNOT = {  # head: what its network cannot see by construction
    "single": "It sees one frame at a time. Motion and order are in no single frame, so it cannot tell a video from "
    "the same video backwards; and something short it sees only if it is in a frame that it is shown.",
    "conv": "The maximum over frames keeps what any frame shows, however short, and is the same for any order of "
    "them: it cannot tell a video from the same frames backwards.",
    "late": "Like Conv Pooling it takes a maximum over frames, which is the same for any order of them.",
    "slow": "It takes maxima over windows and then over all of them: it keeps neither the order of frames in a window "
    "nor that of the windows.",
    "local": "It keeps the order of its windows, but not that of the frames in each, of which it has the maximum.",
    "timeconv": "Its convolutions see the order of a few frames; the maximum over time forgets when they were.",
    "average": "The mean is the same for any order of frames, and what is short is thinned out by all other frames.",
    "fcpool": "It reads every frame at its place, so order is no secret to it; but a clip that begins a little later "
    "is something else to it, and it has to learn each place anew.",
    "slowfusion": "Its convolutions see the order of the frames of one short clip, and nothing of what lies further "
    "apart than that.",
    "rnn": "It reads frames in order, but what it knows of early frames fades. It knows of a frame only what the "
    "features of the tower say.",
    "lstm": "It reads frames in order and can keep what it has seen. It knows of a frame only what the features of "
    "the tower say: what the tower does not tell apart, it cannot tell apart either.",
    "convlstm": "It reads maps in order and keeps where things are. It knows of a frame only what the maps of the "
    "tower say.",
}
CHANGES = "With differences it also reads how much each feature changes per frame: how fast, not in which direction."
MOST, ERRORS, SHOWN = 120, 6, 8  # classes in a list, errors of a run, frames of each


@dataclass(frozen=True)
class Run:
    """A finished training: what its folder holds."""

    name: str
    checkpoint: Checkpoint
    result: Result

    @property
    def right(self):
        """Which test videos it classifies correctly: (V,) floats."""
        return hit_at_k(self.result.probabilities, self.result.labels, 1).astype(float)


def read_runs(folders):
    """The runs in these folders, those of folds one by one. FileNotFoundError for a folder without a finished run."""
    found = []
    for folder in map(Path, folders):
        places = [folder] if (folder / "checkpoint.npz").exists() else [folder / f"fold{n}" for n in (1, 2, 3)]
        places = [place for place in places if (place / "checkpoint.npz").exists()]
        if not places:
            raise FileNotFoundError(
                f"{folder}: no checkpoint.npz here or in fold1: expected the folder of a training run"
            )
        for place in places:
            if not (place / "predictions.npz").exists():
                raise FileNotFoundError(
                    f"{place}: no predictions.npz, this run is not finished; go on with train --resume"
                )
            result = load_predictions(place / "predictions.npz").result
            found.append(Run(place, load(place / "checkpoint.npz"), result))
    names = names_of([run.name for run in found])
    return [replace(run, name=name) for run, name in zip(found, names, strict=True)]


def names_of(folders):
    """What is different in the paths of several folders, of one its last two parts."""
    if len(folders) == 1:
        return [shown(Path(*folders[0].absolute().parts[-2:]).as_posix())]
    common = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    return [shown(folder.absolute().relative_to(common).as_posix()) for folder in folders]


def write_report(folders, out, videos=None):
    """Write the page about the runs in these folders to the file `out`; returns it.

    videos: the folder that they were trained on, to show frames of their errors; None: names alone.
    """
    runs = read_runs(folders)
    if videos and not Path(videos).is_dir():
        raise FileNotFoundError(f"{videos}: no such folder of videos")
    first = runs[0]
    network = f"{first.checkpoint.config['head']} on {first.checkpoint.config['tower']}"
    title = f"{first.name}: {network}" if len(runs) == 1 else f"{len(runs)} runs compared"
    lead = (
        f"Trained on {first.checkpoint.videos} videos of {len(first.result.classes)} classes, tested on "
        f"{len(first.result.names)} others of {len(set(groups_of(first.result)))} groups."
    )
    if len(runs) > 1:
        lead = "What each run was right about, on its own test videos, and in what their settings differ."
    body = [
        accuracies(runs), differences(runs),
        section("Class by class", classes(runs)),
        section("Which class is taken for which", *map(confusions, runs)),
        section("While they learned", grid(*map(learning, runs))),
        section("Errors of which the network was surest", *(errors(run, videos) for run in runs)),
        section("What these networks cannot see, and why", *blind(runs)),
        section("Settings", settings(runs)),
    ]  # fmt: skip
    write(out, page(title, lead, body))
    return out


def groups_of(result):
    """The group of every test video."""
    return result.groups or [group_of(name) for name in result.names]


def accuracies(runs):
    """Hit@1 of every run with its interval, and what else is known."""
    rows = []
    for run in runs:
        r = run.result
        low, high = wilson(r.hit1, len(r.names))
        top = [(r.hit5, f"{100 * r.hit5:.1f} %")] if r.top < len(r.classes) else []  # else always 100 %
        clip = (r.clip_hit1, f"{100 * r.clip_hit1:.1f} %")
        rows.append([run.name, (r.hit1, f"{100 * r.hit1:.1f} % [{100 * low:.1f} to {100 * high:.1f}]"), clip, *top])
    about = (
        "Test videos classified correctly. In brackets Wilson's 95 % interval, which takes videos to be independent; "
        "clips of one film are not, and another seed of the training is not in it either."
    )
    return bar_table(["run", "video Hit@1", "clip Hit@1", f"Hit@{top_of(runs)}"][: max(map(len, rows))], rows, about)


def top_of(runs):
    """The 5 of Hit@5, of runs of more classes than that."""
    return max(run.result.top for run in runs)


def differences(runs):
    """Each run's difference to the first one, where both were tested on the same videos."""
    first, rows = runs[0], []
    for run in runs[1:]:
        if run.result.names == first.result.names:
            found = bootstrap((run.right - first.right)[None], groups_of(first.result))
            rows.append([run.name, difference_text([100 * x for x in found])])
    if not rows:
        return ""
    about = (
        f"Difference to {first.name} in points, with the 95 % interval over groups of videos. It is of one training "
    )
    return table(
        ["run", "difference"], rows, about + "each: whether another seed would give the same, it does not say."
    )


def classes(runs):
    """Accuracy of each class in every run; of very many classes those that the first run gets wrong most."""
    names = runs[0].result.classes
    shares = [dict(zip(run.result.classes, run.result.per_class, strict=True)) for run in runs]
    counts = dict(zip(runs[0].result.classes, runs[0].result.truth.sum(axis=0), strict=True))
    if len(names) > MOST:
        names = sorted(names, key=lambda name: np.nan_to_num(shares[0][name], nan=2))[:MOST]
    rows = [[shown(n), counts[n], *(s.get(n, float("nan")) for s in shares)] for n in names]
    return bar_table(["class", "test videos", *(run.name for run in runs)], rows)


def confusions(run):
    """The confusion matrix of a run, or of many classes its commonest errors."""
    r = run.result
    if len(r.classes) <= LARGEST:
        return confusion(r.confusion, list(map(shown, r.classes)), run.name)
    rows = [[shown(a), shown(b), f"{n:g} of {of:g}"] for a, b, n, of in commonest_errors(r)]
    return table(["true class", "taken for", "videos"], rows, f"{run.name}: the commonest errors")


def learning(run):
    """The learning curves of a run."""
    history = run.checkpoint.history
    if not history:
        return text(f"{run.name}: no history, for it was not trained epoch by epoch.")
    drawn = curves(history, run.name), curves_in_words(history, run.name)
    tested = [record for record in history if "test" in record]
    if not tested:
        return picture(*drawn)
    best = max(tested, key=lambda record: record["test"]["hit1"])
    test, most = (100 * record["test"]["hit1"] for record in (tested[-1], best))
    caption = f"Last test {test:.1f} %, best {most:.1f} % after epoch {best['epoch']}."
    return picture(*drawn, caption)


def errors(run, videos):
    """The wrong answers with the highest probability, with frames of the videos where their folder is known."""
    r = run.result
    wrong = sorted(np.flatnonzero(run.right == 0), key=lambda i: -r.probabilities[i].max())[:ERRORS]
    if not wrong:
        return text(f"{run.name}: it made none.")
    told = []
    for i in wrong:
        truth = ", ".join(shown(r.classes[k]) for k in np.flatnonzero(r.truth[i]))
        best = int(r.probabilities[i].argmax())
        told.append([shown(r.names[i]), truth, shown(r.classes[best]), f"{100 * r.probabilities[i, best]:.0f} %"])
    if videos is None:
        return table(["video", "true class", "predicted class", "probability"], told, run.name)
    return section(run.name, *(frames_with(Path(videos), row) for row in told), level=3)


def frames_with(root, row):
    """Frames of a video, and what was said about it."""
    name, truth, answer, percent = row
    said = text(f"{name}: {answer} ({percent}), in truth {truth}")
    try:
        times, frames = frames_of(root / name, SHOWN)
    except (VideoError, OSError) as error:
        return said + text(f"no frames: {shown(error)}", kind="note")
    return said + strip(frames, [f"{name}, {t:.2f} s" for t in times], [f"{t:.1f} s" for t in times], least=110)


def blind(runs):
    """What each kind of network among the runs cannot see."""
    parts = []
    for head in dict.fromkeys(run.checkpoint.config["head"] for run in runs):
        own = [run.checkpoint.config for run in runs if run.checkpoint.config["head"] == head]
        more = [CHANGES] if any(config.get("differences") for config in own) else []
        parts.append(section(HEADS[head].about, text(CANNOT[head], *more), level=3))
    return parts


def settings(runs):
    """All settings that something reads; of several runs those first in which they differ."""
    found = [{**r.checkpoint.data, **r.checkpoint.settings, **r.checkpoint.config} for r in runs]
    for f, head, tower in ((f, f["head"], f["tower"]) for f in found):
        own = {*options_read(head, tower), *(FRAME_OPTIONS if HEADS[head].each_frame else ())}
        unread = {*HEAD_OPTIONS, *FRAME_OPTIONS} - own | {name for name, of in TOWER_OPTIONS.items() if of != tower}
        for name in unread | ({"size", "vector"} if tower == "features" else set()):
            f.pop(name, None)
    found = [{**f, "fold": r.checkpoint.fold, "epochs done": r.checkpoint.epoch, "updates": r.checkpoint.steps}
             for f, r in zip(found, runs, strict=True)]  # fmt: skip
    names = dict.fromkeys(name for f in found for name in f)
    rows = [[name.replace("_", " "), *(str(f.get(name, "–")) for f in found)] for name in names]
    rows.sort(key=lambda row: len(set(row[1:])) == 1)
    return table(["setting", *(run.name for run in runs)], rows, "First those that differ." if len(runs) > 1 else "")
