"""Settings that are a dataclass in the code and options on the command line, written down once.

A field says its default, what it means and, where there are few, which values it may take, or in which range a number
lies; `Options` checks both, and `add_options` makes the command line's options of it, so that --help shows every
default that the code has.
"""

import argparse
import dataclasses
import math
import numbers
import typing
from typing import NamedTuple

import numpy as np


class Range(NamedTuple):
    """Where a number must lie: from `least` (or above `above`) to `most` (or below `below`)."""

    least: float = -math.inf
    most: float = math.inf
    above: float = math.nan  # no limit, as no comparison with it holds
    below: float = math.nan

    def __contains__(self, value):
        return self.least <= value <= self.most and not (value <= self.above or value >= self.below)

    def __str__(self):
        limits = {"more than": self.above, "at least": self.least, "less than": self.below, "at most": self.most}
        return " and ".join(f"{word} {limit:.15g}" for word, limit in limits.items() if math.isfinite(limit))


def check(name, value, within, whole=False):
    """Raises ValueError unless the number `value` lies `within` a Range and, if asked for, is whole."""
    kind, what = (numbers.Integral, "a whole number, ") if whole else (numbers.Real, "a number, ")
    right = isinstance(value, kind) and not isinstance(value, bool)
    if not right or value not in within:
        raise ValueError(f"{name} is {value}, expected {'' if right else what}{within}")


def option(default, help, choices=None, nargs=None, old=None, **within):
    """A dataclass field that is also a command-line option; choices and nargs are argparse's, within: see `Range`.

    old: a former name, which the command line and `renamed` still accept.
    """
    about = {
        "help": help,
        "choices": choices,
        "nargs": nargs,
        "old": old,
        "within": Range(**within) if within else None,
    }
    return dataclasses.field(default=default, metadata=about)


def plain(value):
    """The value with Python's own numbers, text and lists in place of NumPy's, which JSON does not know."""
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value


def check_option(field, value, name=None):
    """Raises ValueError unless a dataclass field may have that value; name: what to call it."""
    choices, within = (field.metadata.get(key) for key in ("choices", "within"))
    for each in value if field.metadata.get("nargs") and isinstance(value, (list, tuple)) else [value]:
        if choices and each not in choices:
            raise ValueError(f"{name or field.name} is {each!r}, expected one of {', '.join(map(str, choices))}")
        if within and not (each is None and isinstance(None, field.type)):
            check(name or field.name, each, within, value_type(field) is int)


def value_type(field):
    """The type of a dataclass field's value, or of each of several: of `int | None` int, of `float | list` float."""
    return (*typing.get_args(field.type), field.type)[0]


class Options:
    """A dataclass of `option`s, whose values are plain, and what they may be: else ValueError says what is expected."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = plain(getattr(self, field.name))
            check_option(field, value)
            object.__setattr__(self, field.name, value)


class InRange(argparse.Action):
    """What argparse does with a number, or with each of several, that must lie `within` a Range, else ValueError.

    The parsed arguments then have `given`, the names of the options of this kind that were typed.
    """

    def __init__(self, *names, within=None, **about):
        super().__init__(*names, **about)
        self.within = within

    def __call__(self, parser, namespace, values, option_string=None):
        if self.within:
            for value in values if isinstance(values, list) else [values]:
                if value is not None:
                    check(self.option_strings[0], value, self.within)
        setattr(namespace, self.dest, values)
        namespace.given = {*getattr(namespace, "given", ()), self.dest}


class Flag(argparse.BooleanOptionalAction):
    """--name and --no-name; like `InRange`, it says that one of them was typed."""

    def __call__(self, parser, namespace, values, option_string=None):
        super().__call__(parser, namespace, values, option_string)
        namespace.given = {*getattr(namespace, "given", ()), self.dest}


def renamed(cls, values):
    """A dict of a dataclass's fields, written perhaps by an older version, under the names that they have now."""
    new = {field.metadata["old"]: field.name for field in dataclasses.fields(cls) if field.metadata.get("old")}
    return {new.get(name, name): value for name, value in values.items()}


def float_or_none(text):
    """A number, or None for "none"."""
    return None if text == "none" else float(text)


def int_or_none(text):
    """A whole number, or None for "none"."""
    return None if text == "none" else int(text)


def add_options(parser, cls, title, only=None, **defaults):
    """A group with an option for each `option` of the dataclass `cls` (only: for these); `defaults` replace its own.

    title: of a new group; None: they join the options that the parser has. An option that is there already is left out.
    """
    group, there = parser.add_argument_group(title) if title else parser, parser._option_string_actions
    for field in dataclasses.fields(cls):
        flag = f"--{field.name.replace('_', '-')}"
        if "help" in field.metadata and flag not in there and (only is None or field.name in only):
            kind = value_type(field)
            default = defaults.get(field.name, field.default)
            if kind is bool:
                group.add_argument(flag, action=Flag, default=default, help=field.metadata["help"])
                continue
            if isinstance(None, field.type):
                kind = {int: int_or_none, float: float_or_none}[kind]
            how = {**field.metadata, "action": InRange, "type": kind}
            old = how.pop("old")
            group.add_argument(flag, default=default, **how)
            if old:
                how |= {"dest": field.name, "default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
                group.add_argument(f"--{old}", **how)
    return group


def chosen(args, cls):
    """What the parsed arguments say about the options of `cls`: keyword arguments for it."""
    fields = [f.name for f in dataclasses.fields(cls) if "help" in f.metadata and hasattr(args, f.name)]
    return {name: getattr(args, name) for name in fields}
