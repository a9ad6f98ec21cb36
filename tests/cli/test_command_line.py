"""The command line, written down a second time: whoever changes an option or a default has to mean it.

After a change that is meant: `PYTHONPATH=tests/kit python tests/cli/test_command_line.py > tests/cli/command_line.txt`.
"""

import argparse
import sys
from pathlib import Path

from written import assert_written

from snippets.training.cli.main import parser

WRITTEN = Path(__file__).with_name("command_line.txt")


def options(of, name="snippets"):
    """Lines: each command, its groups of options, and of each option what it takes."""
    yield f"{name}: {of.description}"
    for group in of._action_groups:
        for action in group._group_actions:
            if isinstance(action, argparse._SubParsersAction):
                for command, inner in action.choices.items():
                    yield from options(inner, f"{name} {command}")
            elif "-h" not in action.option_strings:
                about = {key: getattr(action, key, None) for key in ("nargs", "const", "default", "within")}
                about |= {"takes": getattr(action.type, "__name__", None), "required": action.required or None}
                about["choices"] = " ".join(map(str, action.choices or ())) or None
                told = ", ".join(f"{key} {value}" for key, value in about.items() if value is not None)
                yield f"    [{group.title}] {' '.join(action.option_strings) or action.dest}: {told}"


def test_the_command_line_is_what_is_written_down():
    assert_written(options(parser()), WRITTEN)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print(*options(parser()), sep="\n")
