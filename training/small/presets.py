"""Presets: files with values of options. `snippets train VIDEOS --preset features`; options that are typed count more.

A preset is TOML, with options under the names that they have on the command line; its tables are there for readers
alone. Three come with the program, in training/presets/; any other file is given by its path. A run that was begun
with a preset keeps its options in a file of the same kind, options.toml.
"""

import math
import tomllib
from pathlib import Path

from snippets.data.files import check_file, write

FOLDER = Path(__file__).resolve().parents[1] / "presets"
KEPT = "options.toml"
PRESETS = "options from a file: quick, features or paper, or one of your own; options that are typed count more"


def preset_path(name):
    """The file of a preset. FileNotFoundError that lists those that there are."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise FileNotFoundError(f"--preset {name}: expected {names}, or the path of a file that ends in .toml")
    return path


def preset_values(name):
    """{option: value} of a preset. ValueError for a file that is no TOML, or has one option twice."""
    path = preset_path(name)
    try:
        text = check_file(path, "preset").read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}; expected lines such as epochs = 15") from error
    values = {}
    for key, value in tables.items():
        for option, one in value.items() if isinstance(value, dict) else [(key, value)]:
            if option in values:
                raise ValueError(f"{path}: {option} stands there twice; expected each option once")
            values[option] = one
    return values


def preset_words(name, top, command):
    """A preset as words of the command line; top: its parser. ValueError for an option that the command has not."""
    (subparsers,) = (action for action in top._actions if action.dest == "command")
    options, words = subparsers.choices[command]._option_string_actions, []
    for option, value in preset_values(name).items():
        flag = f"--{option}"
        if flag not in options:
            raise ValueError(f"{preset_path(name)}: there is no option {flag}; see snippets train --help")
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{option}")
        elif isinstance(value, list):
            words += [flag, *map(str, value)]
        else:
            words.append(f"{flag}={value}")
    return [*words, f"--preset={name}"]  # last, for a list of values would take in what follows


def keep_options(folder, name, args):
    """Write the options of a preset with their values in this run to the folder, as a preset."""
    lines = [f"# the options of --preset {name} in this run; --preset {KEPT} uses them again"]
    for option in preset_values(name):
        value = getattr(args, option.replace("-", "_"))
        if value is not None:  # an option that was set back to none
            lines.append(f"{option} = {toml(value)}")
    write(Path(folder) / KEPT, "\n".join(lines) + "\n")


def toml(value):
    """A value as TOML: number, text, true or false, or a list of them."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    if value == math.inf:
        return "inf"
    return (
        repr(value)
        if isinstance(value, (int, float))
        else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
