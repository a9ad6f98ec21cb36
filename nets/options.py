"""Settings that are a dataclass in the code and options on the command line, written down once.

A field says its default, what it means and, where there are few, which values it may take; `add_options` makes the
command line's options of that, so that --help shows every default that the code has.
"""

import dataclasses


def option(default, help, choices=None, nargs=None):
    """A dataclass field that is also a command-line option; choices and nargs are argparse's."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "nargs": nargs})


def add_options(parser, cls, title, only=None, **defaults):
    """A group with an option for each `option` of the dataclass `cls` (only: for these); `defaults` replace its own."""
    group = parser.add_argument_group(title)
    for field in dataclasses.fields(cls):
        if "help" in field.metadata and (only is None or field.name in only):
            kind = field.type if isinstance(field.type, type) else float  # float | None
            default = defaults.get(field.name, field.default)
            flag = f"--{field.name.replace('_', '-')}"
            group.add_argument(flag, type=kind, default=default, **field.metadata)
    return group


def chosen(args, cls):
    """What the parsed arguments say about the options of `cls`: keyword arguments for it."""
    fields = [f.name for f in dataclasses.fields(cls) if "help" in f.metadata and hasattr(args, f.name)]
    return {name: getattr(args, name) for name in fields}
