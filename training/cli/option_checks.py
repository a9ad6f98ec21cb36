"""Options of all commands, looked at before any work: numbers in their range, files that may be written."""

from dataclasses import fields

from snippets.data.open import DataSettings
from snippets.data.options import Range, check, check_option
from snippets.nets.zoo import NetConfig
from snippets.training.cli import lab as lab_commands
from snippets.training.cli import scale as scale_commands
from snippets.training.cli import train as train_commands
from snippets.training.cli.outputs import check_outputs
from snippets.training.distributed.downpour import Downpour
from snippets.training.distributed.simulate import Cluster
from snippets.training.loop import Settings

DATACLASSES = (NetConfig, Settings, DataSettings, Downpour, Cluster)
FIELDS = {field.name: field for cls in DATACLASSES for field in fields(cls) if field.metadata.get("within")}
COUNT = Range(least=1, most=1e6)
RANGES = {  # of numbers that are no fields of a dataclass
    **dict.fromkeys(("views", "top", "count", "evaluate_every", "classes", "seeds", "counts", "repeat"), COUNT),
    "first_seed": Range(least=0, most=2**63),
    "workers": Range(least=0, most=1e3),
    "momenta": Range(least=0, below=1),
    "memory": Range(above=0, most=1e9),
    "svm_c": Range(above=0, most=1e9),
}


FOLDERS = {  # commands whose --out is a folder, and files in it that may be another command's input
    train_commands.run_train: ("checkpoint.npz", "log.jsonl", "predictions.npz"),
    **dict.fromkeys((lab_commands.run_demo, scale_commands.run_simulate, lab_commands.run_tables), ()),
    **dict.fromkeys((lab_commands.run_claims, lab_commands.run_compare), ()),
}


def check_options(args):
    """Raises ValueError for an option outside of its range, and what check_outputs raises."""
    check_outputs(args, FOLDERS.get(args.run))
    for name, given in vars(args).items():
        flag = f"--{name.replace('_', '-')}"
        for value in given if isinstance(given, list) else [given] * (given is not None):
            if name in RANGES:
                check(flag, value, RANGES[name])
            elif name in FIELDS:
                check_option(FIELDS[name], value, flag)
