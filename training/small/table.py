"""The table of `training.small.crossval`: how right each head is, how sure that is, and the regressions beside it."""

import numpy as np

from snippets.data.markdown import markdown_table
from snippets.training.evaluate import hit_at_k
from snippets.training.experiments import statistics


def hits_by_draw(results, names):
    """Which of the videos `names` are right: (draws, V), of a list with the `Result`s of each draw's folds.

    A video that tests in several folds of a draw counts once, by its mean.
    """
    place = {name: i for i, name in enumerate(names)}
    found = []
    for draw in results:
        total, count = np.zeros(len(names)), np.zeros(len(names))
        for r in draw:
            rows = [place[name] for name in r.names]
            np.add.at(total, rows, hit_at_k(r.probabilities, r.labels, 1))
            np.add.at(count, rows, 1)
        found.append(total / np.maximum(count, 1))
    return np.stack(found)


def records_of(found, baseline, given=False):
    """A dict for JSON of each row; found: {name: list of each draw's list of `Result`s}.

    baseline: the names of the regressions, to the best of which heads are compared; where there is none, to the best.
    given: the data say their folds, of which the mean is taken; else it is that of draws.
    """
    first = next(iter(found.values()))[0]
    groups = {name: group for r in first for name, group in zip(r.names, r.groups, strict=True)}
    names = sorted(groups)
    right = {name: hits_by_draw(draws, names) for name, draws in found.items()}
    best = max(baseline or right, key=lambda name: right[name].mean())
    records = []
    for name, hits in right.items():
        each = [100 * r.hit1 for r in found[name][0]] if given else statistics.percent(hits)
        _, *interval = statistics.bootstrap(hits, [groups[n] for n in names])
        difference = statistics.bootstrap(hits - right[best], [groups[n] for n in names])
        records.append({
            "head": name, "by": "fold" if given else "draw", "each": each, "mean": sum(each) / len(each),
            "interval": [100 * x for x in interval], "to": best, "difference": [100 * x for x in difference],
            "videos": len(names), "groups": len(set(groups.values())),
        })  # fmt: skip
    return records


def table_of(records):
    """The records as a table in Markdown, the best first."""
    rows, r = [], records[0]
    for r in sorted(records, key=lambda r: -r["mean"]):
        each, (low, high) = " ".join(f"{x:.1f}" for x in r["each"]), r["interval"]
        difference = "–" if r["head"] == r["to"] else statistics.difference_text(r["difference"])
        rows.append([r["head"], f"{r['mean']:.1f}", each, f"{low:.1f} to {high:.1f}", difference])
    head = (
        "head", "Hit@1", f"by {r['by']}", f"95 %, by bootstrap of {r['groups']} groups of {r['videos']} videos",
        f"difference to {r['to']}",
    )  # fmt: skip
    return markdown_table(head, rows)
