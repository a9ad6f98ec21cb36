"""`snippets compare`: heads side by side on one file of features, over several seeds, in one command.

Each head is trained with the same options from each seed (`snippets train`, one folder per run, resumable), then:

    mean ± std         over seeds, of Hit@1 on the test videos
    Wilson             95 % interval of the mean accuracy for this number of videos, taken to be independent
    difference         to the first head named, and its 95 % interval: bootstrap over seeds and groups of videos

Where the interval of the difference holds zero, this test set cannot say which head is better.
"""

from pathlib import Path

from snippets.data.files import write, write_json
from snippets.data.layouts.splits import group_of
from snippets.data.markdown import markdown_table
from snippets.nets.zoo import FRAME_OPTIONS, HEAD_OPTIONS, HEADS, options_read
from snippets.training.experiments import statistics
from snippets.training.experiments.runner import run, training_command


def flags(options, head):
    """Those of the options {name: value} that a head on features reads, as on the command line; None is a default."""
    others = set(HEAD_OPTIONS) - set(options_read(head, "features"))
    others |= set() if HEADS[head].each_frame else {*FRAME_OPTIONS}
    given = {name.replace("_", "-"): value for name, value in options.items() if name not in others}
    return [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in given.items()
        if value is not None and value is not False
    ]


def compare(features, heads, seeds, out, options, **how):
    """Train every head from every seed, print and write the table (compare.json, compare.md); returns the records.

    options: {name: value} of options of `snippets train`; each head gets those that it reads.
    how: execute, workers, ray of `runner.run`; each process has the features in memory.
    """
    out = Path(out)
    commands = {}
    for head in heads:
        given = "--head", head, *flags(options, head)
        commands[head] = [
            training_command(features, *given, "--seed", seed, out=out / head / f"seed{seed}") for seed in range(seeds)
        ]
    run([c for some in commands.values() for c in some], log=out / "output.txt", **how)
    right, records = {}, []
    for head, some in commands.items():
        right[head], result = statistics.hits([[c.product] for c in some])
        groups = result.groups or [group_of(name) for name in result.names]
        mean, std = statistics.mean_and_std(100 * right[head].mean(axis=1))
        interval = statistics.wilson(right[head].mean(), len(groups))
        difference = statistics.bootstrap(right[head] - right[heads[0]], groups)
        records.append({
            "head": head, "by_seed": statistics.percent(right[head]), "mean": mean, "std": std,
            "wilson": [100 * x for x in interval], "difference": [100 * x for x in difference],
            "videos": len(groups), "groups": len(set(groups)),
        })  # fmt: skip
    lines = comparison_table(records)
    print(lines)
    typed = [str(c[0]).replace(f"--seed 0 --out {out / head / 'seed0'}", "--seed SEED") for head, c in commands.items()]
    write_json(out / "compare.json", {"commands": typed, "heads": records})
    write(out / "compare.md", lines + "\n")
    return records


def comparison_table(records):
    """The records as a table in Markdown."""
    first, rows = records[0], []
    seeds = len(first["by_seed"])
    for r in records:
        difference = "–"
        if r is not first:
            difference = statistics.difference_text(r["difference"])
            if seeds == 1:
                difference = f"{r['difference'][0]:+.1f}, undecided: one seed"
        low, high = r["wilson"]
        each = " ".join(f"{x:.1f}" for x in r["by_seed"])
        rows.append([r["head"], statistics.mean_text(r["by_seed"]), f"{low:.1f} to {high:.1f}", difference, each])
    head = (
        "head", f"Hit@1, mean ± std of {seeds} seeds", f"Wilson, {first['videos']} videos",
        f"difference to {first['head']}, by bootstrap of {first['groups']} groups", "by seed",
    )  # fmt: skip
    return markdown_table(head, rows)
