"""`snippets tables`: the rows of the paper's Tables 1 to 7, at the reduced scale in minutes or on the real data sets.

A row is a list of commands (`training.experiments.trial`). What a row at the reduced scale does otherwise than the
paper is said beside its numbers.
"""

from snippets.data.mini.make import make_mini
from snippets.training.experiments.paper import MEASURES, NETS, ROWS
from snippets.training.experiments.runner import run
from snippets.training.experiments.tables_report import write_tables


def differs(row, scale):
    """What a row does otherwise than the paper, in words."""
    if not row.nets:
        return row.note
    notes = [row.note] if row.note else []
    if scale.frozen:
        T = [scale.frames[NETS[name].frames] for name in row.nets]
        joins = any(NETS[name].kind in ("pooling", "recurrent") for name in row.nets)
        notes.append(f"mini data set; thin {NETS[row.nets[0]].tower}" + (f", T = {max(T)}" if max(T) > 1 else ""))
        notes += ["tower as trained on single frames"] if joins else []
        notes += ["one layer of 128 cells"] if any(NETS[name].kind == "recurrent" for name in row.nets) else []
        notes += ["one fold"] if row.table > 5 else []
    return "; ".join(notes)


def rows_of(numbers):
    """The rows of the tables with these numbers."""
    return [row for row in ROWS if row.table in numbers]


def print_commands(numbers, trials):
    """Print the commands of every row of the tables `numbers`; nothing is run."""
    for row in rows_of(numbers):
        print(f"\n# Table {row.table}: {row.title}" + ("" if row.nets else f" ({row.note})"))
        print(*(c for trial in trials for c in dict.fromkeys(trial.row_commands(row))), sep="\n")
        for trial in trials if len(row.nets) > 1 else []:
            for fold in trial.folds():
                print("snippets fuse", *(trial.folder(name) / fold / "predictions.npz" for name in row.nets))


def tables(numbers, trials, mini_data=None, execute=None):
    """Run the rows of the tables `numbers` in all trials, and write the report into their folder; returns the records.

    trials: they differ in their seeds. mini_data: settings of `make_mini`, where the mini data set has to be rendered.
    execute: see `runner.run`; None: run nothing, and report what has been measured so far.
    """
    rows, (first, *_) = rows_of(numbers), trials
    if execute is not None:
        if mini_data is not None:
            make_mini(first.data, **mini_data)
        for trial in trials:
            commands = [c for row in rows for c in trial.row_commands(row)]
            run(commands, execute, log=None if mini_data is None else first.out / "output.txt")
    records = [record(row, trials) for row in rows]
    data, about_data = first.data, first.data
    if mini_data is not None:
        given = ", ".join(f"{key} {value}" for key, value in mini_data.items())
        data = "mini"
        about_data = (
            f"the rendered mini data set ({given}), fold 1: trained on two thirds of the groups, tested on the others"
        )
    command = f"snippets tables --data {data} --table {' '.join(map(str, numbers))} --seeds {len(trials)}"
    write_tables(first.out, records, {"command": command, "data": about_data, "seeds": [t.seed for t in trials]})
    return records


def record(row, trials):
    """A row of the result: the paper's numbers, ours for each seed, and what differs; all in per cent."""
    found = [trial.accuracies(row) for trial in trials if trial.done(row)]
    missing = f"{len(found)} of {len(trials)} seeds measured; " if row.nets and len(found) < len(trials) else ""
    ours = {m: [round(100 * f[m], 3) for f in found] for m in MEASURES if found and m in found[0]}
    return {
        "table": row.table, "row": row.title, "nets": list(row.nets), "paper": row.paper, "ours": ours,
        "differs": missing + differs(row, trials[0].scale),
    }  # fmt: skip


def parse_numbers(words):
    """Numbers of tables from the command line: "all", or some of 1 to 7."""
    if "all" in words:
        return tuple(range(1, 8))
    wrong = [w for w in words if w not in "1234567" or len(w) != 1]
    if wrong:
        raise ValueError(f"--table {wrong[0]}: expected numbers from 1 to 7, or all")
    return tuple(int(w) for w in words)
