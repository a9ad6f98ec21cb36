"""`snippets compare`: heads side by side on one file of features, over several seeds, in one command.

Each head is trained with the same options from each seed (`snippets train`, one folder a run, resumable), then:

    mean ± spread      over seeds, of Hit@1 on the test videos
    Wilson             95 % interval of the mean accuracy for so many videos, taken to be independent
    difference         to the first head named, and its 95 % interval: bootstrap over seeds and groups of videos

Two heads whose interval of the difference holds zero are not told apart by this test set.
"""

from pathlib import Path

import numpy as np

from snippets.data.files import write, write_json
from snippets.training.evaluate import hit_at_k
from snippets.training.experiments.runner import run, step
from snippets.training.experiments.statistics import bootstrap, group_of, mean_and_spread, shown, wilson
from snippets.training.predictions import load_predictions


def hits(path):
    """Which test videos a run got right, and their names."""
    r = load_predictions(path).result
    return hit_at_k(r.probabilities, r.labels, 1).astype(float), r.names


def compare(features, heads, seeds, out, options):
    """Train every head from every seed, print and write the table (compare.json, compare.md); returns the records."""
    out = Path(out)
    steps = {
        head: [
            step("train", features, "--head", head, *options, "--seed", seed, "--out", out / head / f"seed{seed}",
                 product=out / head / f"seed{seed}" / "predictions.npz", folder=out / head / f"seed{seed}")
            for seed in range(seeds)
        ]
        for head in heads
    }  # fmt: skip
    for some in steps.values():
        run(some, log=out / "output.txt")
    right, records = {}, []
    for head, some in steps.items():
        right[head], names = np.stack([hits(s.product)[0] for s in some]), hits(some[0].product)[1]
        mean, spread = mean_and_spread(100 * right[head].mean(axis=1))
        interval = wilson(right[head].mean(), len(names))
        difference = bootstrap(right[head] - right[heads[0]], [group_of(name) for name in names])
        records.append(
            {
                "head": head, "by_seed": (100 * right[head].mean(axis=1)).round(2).tolist(),
                "mean": mean, "spread": spread if seeds > 1 else None,
                "wilson": [100 * x for x in interval], "difference": [100 * x for x in difference],
                "videos": len(names), "groups": len({group_of(name) for name in names}),
            }
        )  # fmt: skip
    lines = table(records)
    print(lines)
    command = str(steps[heads[0]][0]).replace(f"--seed 0 --out {out / heads[0] / 'seed0'}", "--seed SEED")
    write_json(out / "compare.json", {"command": command, "heads": records})
    write(out / "compare.md", lines + "\n")
    return records


def table(records):
    """The records in Markdown."""
    first = records[0]
    lines = [
        f"| head | Hit@1, mean ± spread of {len(first['by_seed'])} seeds | Wilson, {first['videos']} videos | "
        f"difference to {first['head']}, by bootstrap of {first['groups']} groups | by seed |",
        "|---|---|---|---|---|",
    ]
    for r in records:
        mean, low, high = r["difference"]
        difference = "–" if r is first else f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
        if r is not first and len(r["by_seed"]) == 1:
            difference = f"{mean:+.1f}, undecided: one seed"
        each = " ".join(f"{x:.1f}" for x in r["by_seed"])
        lines.append(
            f"| {r['head']} | {shown(r['by_seed'])} | {r['wilson'][0]:.1f} to {r['wilson'][1]:.1f} | "
            f"{difference} | {each} |"
        )
    return "\n".join(lines)
