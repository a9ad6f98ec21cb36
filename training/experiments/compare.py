"""`snippets compare`: heads side by side on one file of features, over several seeds, in one command.

Each head is trained with the same options from each seed (`snippets train`, one folder per run, resumable), then:

    mean ± std         over seeds, of Hit@1 on the test videos
    Wilson             95 % interval of the mean accuracy for so many videos, taken to be independent
    difference         to the first head named, and its 95 % interval: bootstrap over seeds and groups of videos

Two heads whose interval of the difference holds zero are not told apart by this test set.
"""

from pathlib import Path

import numpy as np

from snippets.data.files import write, write_json
from snippets.data.markdown import markdown_table
from snippets.nets.zoo import HEAD_OPTIONS, options_read
from snippets.training.experiments.runner import run, training_command
from snippets.training.experiments.statistics import (
    bootstrap,
    class_and_group,
    difference_text,
    hits,
    mean_and_std,
    mean_text,
    percent,
    wilson,
)


def flags(options, head):
    """Those of the options {name: value} that a head on features reads, as on the command line; None is a default."""
    others = set(HEAD_OPTIONS) - set(options_read(head, "features"))
    return [
        f"--{name.replace('_', '-')}={value}"
        for name, value in options.items()
        if name not in others and value is not None
    ]


def compare(features, heads, seeds, out, options, execute):
    """Train every head from every seed, print and write the table (compare.json, compare.md); returns the records.

    options: {name: value} of options of `snippets train`; each head gets those that it reads.
    execute: see `runner.run`.
    """
    out = Path(out)
    commands = {
        head: [
            training_command(
                features, "--head", head, *flags(options, head), "--seed", seed, out=out / head / f"seed{seed}"
            )
            for seed in range(seeds)
        ]
        for head in heads
    }
    run([c for some in commands.values() for c in some], execute, log=out / "output.txt")
    right, records = {}, []
    for head, some in commands.items():
        by_seed = [hits([c.product]) for c in some]
        right[head], names = np.stack([found for found, _ in by_seed]), by_seed[0][1].names
        groups = [class_and_group(name) for name in names]
        mean, std = mean_and_std(100 * right[head].mean(axis=1))
        records.append(
            {
                "head": head,
                "by_seed": percent(right[head]),
                "mean": mean,
                "std": std if seeds > 1 else None,
                "wilson": [100 * x for x in wilson(right[head].mean(), len(names))],
                "difference": [100 * x for x in bootstrap(right[head] - right[heads[0]], groups)],
                "videos": len(names),
                "groups": len(set(groups)),
            }
        )
    lines = comparison_table(records)
    print(lines)
    typed = [str(c[0]).replace(f"--seed 0 --out {out / head / 'seed0'}", "--seed SEED") for head, c in commands.items()]
    write_json(out / "compare.json", {"commands": typed, "heads": records})
    write(out / "compare.md", lines + "\n")
    return records


def comparison_table(records):
    """The records as a table in Markdown."""
    first, *others = records
    seeds = len(first["by_seed"])
    differences = ["–"]
    for r in others:
        differences.append(
            difference_text(r["difference"]) if seeds > 1 else f"{r['difference'][0]:+.1f}, undecided: one seed"
        )
    head = (
        "head",
        f"Hit@1, mean ± std of {seeds} seeds",
        f"Wilson, {first['videos']} videos",
        f"difference to {first['head']}, by bootstrap of {first['groups']} groups",
        "by seed",
    )
    rows = []
    for r, difference in zip(records, differences, strict=True):
        low, high = r["wilson"]
        each = " ".join(f"{x:.1f}" for x in r["by_seed"])
        rows.append([r["head"], mean_text(r["by_seed"]), f"{low:.1f} to {high:.1f}", difference, each])
    return markdown_table(head, rows)
