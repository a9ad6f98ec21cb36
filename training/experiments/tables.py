"""`snippets tables`: the rows of the paper's Tables 1 to 7, at the reduced scale in minutes or on the real data sets.

A row is a list of commands (`training.experiments.trial`). What a row at the reduced scale does otherwise than the
paper is said beside its numbers.
"""

from pathlib import Path

from snippets.data.mini.make import make_mini
from snippets.layers.device.xp import usable_cores
from snippets.training.experiments.paper import MEASURES, NETS, ROWS
from snippets.training.experiments.runner import run
from snippets.training.experiments.tables_report import write_tables


def differs(row, scale):
    """What a row does otherwise than the paper, in words."""
    if not row.nets:
        return row.note
    notes, nets = [row.note] if row.note else [], [NETS[name] for name in row.nets]
    T, recurrent = max(map(scale.clip, nets)), any(net.kind == "recurrent" for net in nets)
    imported = scale.imported(nets[0])
    if scale.all_imported:
        notes += ["UCF-101"] if row.table < 6 else []
    elif scale.frozen:
        notes.append(
            "mini data set" + ("" if imported else f"; thin {nets[0].tower}") + (f", T = {T}" if T > 1 else "")
        )
    if imported:
        notes += ["tower as trained on ImageNet"]
        native = any(net.stream == "rgb" and net.fps is None for net in nets)
        notes += [f"{scale.fps:g} frames per second"] if scale.fps and native and T > 1 else []
        flow = [scale.rates[net.stream, net.fps] for net in nets if net.stream == "flow"]
        notes += [f"{flow[0]} flow images per video"] if flow else []
    elif scale.frozen and (recurrent or any(net.kind == "pooling" for net in nets)):
        notes.append("tower as trained on single frames")
    if scale.frozen:
        notes += [f"one layer of {scale.head['units']} cells"] if recurrent else []
        notes += ["one fold"] if row.table > 5 and scale.fold != "all" else []
    return "; ".join(notes)


def rows_of(numbers):
    """The rows of the tables with these numbers."""
    return [row for row in ROWS if row.table in numbers]


def print_commands(numbers, trials):
    """Print the commands of every row of the tables `numbers`; nothing is run."""
    for row in rows_of(numbers):
        why = trials[0].missing(row)
        print(f"\n# Table {row.table}: {row.title}" + (f" ({why})" if why else ""))
        print(*(c for trial in trials for c in dict.fromkeys(trial.row_commands(row))), sep="\n")
        for trial in trials if len(row.nets) > 1 and not why else []:
            for fold in trial.folds():
                print("snippets fuse", *(trial.folder(name) / fold / "predictions.npz" for name in row.nets))


def tables(numbers, trials, mini_data=None, execute=None, ray=None):
    """Run the rows of the tables `numbers` in all trials, and write the report into their folder; returns the records.

    trials: they differ in their seeds. mini_data: settings of `make_mini`, where the mini data set has to be rendered.
    execute, ray: see `runner.run`; None: run nothing, and report what has been measured so far. Where all towers
    are imported, networks know nothing of each other: without Ray they are trained in processes, one per core.
    """
    rows, (first, *_) = rows_of(numbers), trials
    if execute is not None:
        if mini_data is not None:
            make_mini(first.data, **mini_data)
        commands = [c for trial in trials for row in rows for c in trial.row_commands(row)]
        kept = mini_data is not None or first.scale.all_imported or ray
        workers = usable_cores() if first.scale.all_imported else 1
        run(commands, execute, first.out / "output.txt" if kept else None, workers, ray)
    records = [record(row, trials) for row in rows]
    data, about_data = first.data, first.data
    if mini_data is not None:
        given = ", ".join(f"{key} {value}" for key, value in mini_data.items())
        data = "mini"
        about_data = (
            f"the rendered mini data set ({given}), fold 1: trained on two thirds of the groups, tested on the others"
        )
    how = " --scale laptop" if mini_data is None and first.scale.weights else ""
    how += f" --weights {Path(first.weights).name}" if first.scale.weights else ""
    command = f"snippets tables --data {data}{how} --table {' '.join(map(str, numbers))} --seeds {len(trials)}"
    write_tables(first.out, records, {"command": command, "data": about_data, "seeds": [t.seed for t in trials]})
    return records


def record(row, trials):
    """A row of the result: the paper's numbers, ours for each seed, and what differs; all in per cent."""
    why = trials[0].missing(row)
    found = [] if why else [trial.accuracies(row) for trial in trials if trial.done(row)]
    missing = f"{len(found)} of {len(trials)} seeds measured" if len(found) < len(trials) else ""
    ours = {m: [round(100 * f[m], 3) for f in found] for m in MEASURES if found and m in found[0]}
    return {
        "table": row.table, "row": row.title, "nets": list(row.nets), "paper": row.paper, "ours": ours,
        "differs": why or "; ".join(filter(None, (missing, differs(row, trials[0].scale)))),
    }  # fmt: skip


def parse_numbers(words, every=(1, 2, 3, 4, 5, 6, 7)):
    """Numbers of tables from the command line: "all", which are `every`, or some of 1 to 7."""
    if "all" in words:
        return every
    wrong = [w for w in words if w not in "1234567" or len(w) != 1]
    if wrong:
        raise ValueError(f"--table {wrong[0]}: expected numbers from 1 to 7, or all")
    return tuple(int(w) for w in words)
