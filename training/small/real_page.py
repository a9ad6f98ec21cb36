"""What `training.small.real` found, as a page in Markdown with a picture of hits and of the worst misses."""

from pathlib import Path

import numpy as np

from snippets.data.files import write, write_figure, write_json
from snippets.data.listing import shown
from snippets.data.markdown import markdown_table
from snippets.nets.inspect.figure import new_figure
from snippets.training.experiments import statistics
from snippets.training.experiments.compare import comparison_table
from snippets.training.render.charts import frames_of
from snippets.training.small.crossval import REGRESSIONS
from snippets.training.small.table import table_of

HITS, MISSES, FRAMES = 3, 5, 6  # in the picture: clips, and frames of each
PAIRS = (  # which rows are compared, and what the question is
    ("What does joining frames add?", "Conv Pooling", "single frame"),
    ("", "LSTM, 1 layer", "single frame"),
    ("", "average pooling", "single frame"),
    ("Maximum or mean?", "Conv Pooling", "average pooling"),
    ("Conv Pooling or LSTM?", "LSTM, 1 layer", "Conv Pooling"),
    ("Which pooling?", "Late Pooling", "Conv Pooling"),
    ("", "Slow Pooling", "Conv Pooling"),
    ("", "Local Pooling", "Conv Pooling"),
    ("", "Time-Domain Convolution", "Conv Pooling"),
    ("Five layers or one?", "LSTM, 5 layers", "LSTM, 1 layer"),
    ("What does flow add?", "Conv Pooling, both by the mean", "Conv Pooling"),
    ("", "LSTM, both by the mean", "LSTM, 1 layer"),
    ("SVM or mean?", "Conv Pooling, both by SVM", "Conv Pooling, both by the mean"),
    ("", "LSTM, both by SVM", "LSTM, both by the mean"),
)


def write_page(plan, records, pairs, ucf, results):
    """Print the page and write it into plan.out: real-video.md, .json, .jpg.

    records: {split, or "pixels": rows of `small.table.records_of`}, those by film with `leak`; pairs: see `compared`;
    ucf: records of `compare` or None; results: {title: each draw's `Result`s} by film.
    """
    best = max((r for r in records["film"] if r["head"] not in REGRESSIONS), key=lambda r: r["mean"])
    text = page(plan, records, pairs, ucf, best)
    print(text)
    write(plan.out / "real-video.md", text)
    write_json(plan.out / "real-video.json", records | {"pairs": pairs, "ucf101": ucf})
    picture(plan.out / "real-video.jpg", Path(plan.videos), results[best["head"]][0])
    print(f"{plan.out / 'real-video.md'} (.json, .jpg)")


def page(plan, records, pairs, ucf, best):
    """The text of the page."""
    name, (low, high) = best["head"], best["interval"]
    leaky = [row for row in records["film"] if "leak" in row]
    most = max(leaky, key=lambda row: row["random"])
    beside = f" Published for these clips: {plan.published}." if plan.published else ""
    lines = [
        "# Results on real video",
        f"Written by `{command_of(plan)}`.",
        f"## {best['videos']} clips of {best['groups']} films",
        f"{plan.draws} draw{'s' * (plan.draws > 1)} of {plan.folds} folds, each clip tested once per draw. Every row: "
        "three seeds, whose predictions are averaged; rate, decay and length chosen on held-out films of the training "
        "side (with the random split: on held-out clips). The tower stays as ImageNet made it, also the one that sees "
        'flow images, so that all rows are the paper\'s "(fc)"; it sees 15 frames, or flow images, of each clip, '
        "spread evenly. Hit@1 in %; 95 % intervals by bootstrap of films and draws.",
        main_table(records),
        f"The best network by film, {name}, is right on {best['mean']:.1f} % [{low:.1f}, {high:.1f}] of the clips of "
        f"films that it has not seen. It is the best of {len(records['film'])} rows on these clips, so on others it "
        "will do a little worse.",
        "## What the leak is worth",
        leak_text(leaky)
        + f" The best of these rows with clips dealt at random is {most['head']}: {most['random']:.1f} %.{beside}",
        "## What can be concluded",
        "Differences on the same clips by film, in points. Where an interval holds zero, these films cannot say which "
        "is better. One in twenty such intervals misses the truth by chance.",
        markdown_table(("question", "networks", "difference", ""), [pair_row(*pair) for pair in pairs]),
        "## What fine-tuning is worth",
        "Conv Pooling on GoogLeNet's scores from pixels on, 8 frames of 112 pixels of each clip, on the folder's own "
        "folds by film; one network each, six epochs, nothing chosen on these clips. Fine-tuned: the tower learns, "
        "too, at a tenth of the rate.",
        table_of(records["pixels"]),
        "## Hits and misses",
        f"{name}, first draw of folds: the clips of which it was surest, {HITS} where it was right and {MISSES} where "
        "it was not.",
        "![Frames of clips, with the predicted class and the true one](real-video.jpg)",
    ]
    if ucf:
        lines += [
            f"## Heads on {shown(Path(plan.features).name)}",
            f"{ucf[0]['videos']} test videos of {ucf[0]['groups']} groups; one split, {plan.seeds} seeds.",
            comparison_table(ucf),
        ]
    return "\n\n".join(lines) + "\n"


def command_of(plan):
    """What was typed, with files by their names alone."""
    words = ["snippets real", shown(Path(plan.videos).name), "--weights", shown(Path(plan.weights).name)]
    words += ["--features", shown(Path(plan.features).name)] if plan.features else []
    words += [f"--draws {plan.draws} --folds {plan.folds}"]
    return " ".join(words)


def main_table(records):
    """Every row: by film, and where it was tried at random, and the difference."""
    rows = []
    for r in records["film"]:
        low, high = r["interval"]
        rows.append([
            r["head"], f"{r['mean']:.1f}", f"{low:.1f} to {high:.1f}", " ".join(f"{x:.1f}" for x in r["each"]),
            *((f"{r['random']:.1f}", statistics.difference_text(r["leak"])) if "leak" in r else ("–", "–")),
        ])  # fmt: skip
    head = ("", "by film", "95 %", "by draw", "random split", "leak, points")
    return markdown_table(head, rows)


def leak_text(rows):
    """What a random split adds, over all rows."""
    leaks = [r["leak"][0] for r in rows]
    sure = [r["head"] for r in rows if r["leak"][1] > 0]
    most, least = (pick(rows, key=lambda r: r["leak"][0]) for pick in (max, min))
    return (
        f"A random split adds {np.mean(leaks):+.1f} points in the mean of {len(rows)} rows, from "
        f"{least['leak'][0]:+.1f} ({least['head']}) to {most['leak'][0]:+.1f} ({most['head']}); the interval lies "
        f"above zero in {len(sure)} of them."
    )


def compared(hits, groups):
    """(question, row, other row, (mean, low, high) in points) of each of PAIRS; hits: {title: (draws, V)}."""
    for question, one, other in PAIRS:
        difference = statistics.bootstrap(hits[one] - hits[other], groups)
        yield question, one, other, [100 * x for x in difference]


def pair_row(question, one, other, difference):
    """A line of the table of comparisons."""
    mean, low, high = difference
    said = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return [question, f"{one} over {other}", statistics.difference_text(difference), said]


def picture(path, videos, folds):
    """Frames of the clips of which a network was surest: the first rows hits, the others misses; folds: `Result`s."""
    found = [(r.probabilities[i], int(r.labels[i]), r.names[i], r.classes) for r in folds for i in range(len(r.names))]
    found.sort(key=lambda one: -one[0].max())
    hits = [one for one in found if one[0].argmax() == one[1]]
    misses = [one for one in found if one[0].argmax() != one[1]]
    chosen = hits[:HITS] + misses[:MISSES]
    figure = new_figure(9, 1.25 * len(chosen))
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.25 / len(chosen), wspace=0.03, hspace=0.3)
    axes = figure.subplots(len(chosen), FRAMES, squeeze=False)
    for row, (p, label, name, classes) in zip(axes, chosen, strict=True):
        _, frames = frames_of(videos / name, FRAMES)
        for axis in row:
            axis.set_axis_off()
        for axis, frame in zip(row, frames, strict=False):
            axis.imshow(frame)
        best = int(p.argmax())
        what = "right" if best == label else f"wrong, in truth {shown(classes[label])}"
        title = f"{shown(name)}: {shown(classes[best])}, {100 * p[best]:.0f} %, {what}"
        row[0].set_title(title, fontsize=8, loc="left")
    write_figure(path, figure, dpi=80)
