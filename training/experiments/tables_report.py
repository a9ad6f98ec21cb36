"""The report of `snippets tables`: its records as Markdown, CSV, JSON and a picture."""

import csv
import io
import math

from snippets.data.files import write, write_figure, write_json
from snippets.data.markdown import markdown_table
from snippets.nets.inspect.figure import new_figure
from snippets.training.experiments.paper import MEASURES
from snippets.training.experiments.statistics import mean_and_std, mean_text

TITLES = {
    1: "Feature pooling on Sports-1M, AlexNet, 120 frames",
    2: "Towers and temporal networks on Sports-1M, 30 frames",
    3: "Number of frames on Sports-1M, GoogLeNet",
    4: "Optical flow on Sports-1M, GoogLeNet",
    5: "Best networks and prior work on Sports-1M",
    6: "Frame rates on UCF-101, GoogLeNet",
    7: "Best networks and prior work on UCF-101",
}


def markdown(records, about):
    """All tables in Markdown."""
    seeds = about["seeds"]
    lines = [
        "# The paper's tables, paper against ours",
        "",
        f"Written by `{about['command']}`. Data: {about['data']}. Seeds of the networks: {', '.join(map(str, seeds))}.",
        "",
        f"All numbers in %; ours: mean ± standard deviation over {len(seeds)} seeds; “–”: not in the paper, or not "
        "measured.",
        "",
        "![Hit@1 of every row beside the paper's](tables.png)",
    ]
    head = ["", *(title for name in MEASURES.values() for title in (f"{name} paper", "ours")), "what differs"]
    for number in dict.fromkeys(r["table"] for r in records):
        rows = []
        for r in (r for r in records if r["table"] == number):
            cells = []
            for m in MEASURES:
                cells.append(f"{r['paper'][m]:.1f}" if m in r["paper"] else "–")
                cells.append(mean_text(r["ours"][m]) if m in r["ours"] else "–")
            rows.append([r["row"], *cells, r["differs"]])
        lines += ["", f"## Table {number}. {TITLES[number]}", "", markdown_table(head, rows)]
    return "\n".join(lines) + "\n"


def write_csv(path, records):
    """One line per row and measure."""
    lines = io.StringIO()
    out = csv.writer(lines)
    out.writerow(["table", "row", "measure", "paper", "ours_mean", "ours_std", "ours_by_seed", "differs"])
    for r in records:
        for m, name in MEASURES.items():
            if m in r["paper"] or m in r["ours"]:
                mine = r["ours"].get(m, [])
                found = mean_and_std(mine) if mine else ()
                numbers = [round(x, 3) if math.isfinite(x) else "" for x in found] or ["", ""]
                each = " ".join(map(str, mine))
                out.writerow([r["table"], r["row"], name, r["paper"].get(m, ""), *numbers, each, r["differs"]])
    write(path, lines.getvalue())


def picture(path, records):
    """Bars with error bars for ours, diamonds for the paper: Hit@1 of every row."""
    numbers = list(dict.fromkeys(r["table"] for r in records))
    heights = [sum(r["table"] == n for r in records) + 1.4 for n in numbers]
    figure = new_figure(9, 0.34 * sum(heights), layout="constrained")
    axes = figure.subplots(len(numbers), 1, squeeze=False, height_ratios=heights, sharex=True)[:, 0]
    for axis, number in zip(axes, numbers, strict=True):
        rows = [r for r in records if r["table"] == number]
        for y, r in enumerate(rows):
            if r["ours"]:
                mean, std = mean_and_std(r["ours"]["hit1"])
                error = std if len(r["ours"]["hit1"]) > 1 else None
                axis.barh(y, mean, xerr=error, color="0.75", ecolor="0.3", capsize=2, label="ours" if y == 0 else None)
            axis.plot(r["paper"]["hit1"], y, "D", color="tab:red", ms=5, label="paper" if y == 0 else None)
        axis.set(yticks=range(len(rows)), yticklabels=[r["row"] for r in rows], xlim=(0, 100))
        axis.set_title(f"Table {number}. {TITLES[number]}", fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.invert_yaxis()
    axes[-1].set_xlabel("video Hit@1 (%): other data and other classes, so compare the order of rows, not their height")
    axes[0].legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
    write_figure(path, figure, dpi=100)


def write_tables(out, records, about):
    """Everything into the folder `out`; prints the tables. about: command, data and seeds, for the head of the page."""
    page = markdown(records, about)
    print(page)
    write_json(out / "tables.json", {**about, "rows": records})
    write(out / "tables.md", page)
    write_csv(out / "tables.csv", records)
    picture(out / "tables.png", records)
    print(f"{out / 'tables.md'} (.csv, .json, .png)")
