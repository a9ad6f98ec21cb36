"""The command line: `snippets COMMAND --help` lists what each command takes, with every default."""

import argparse
import signal
import sys

from snippets.data.files import sweep
from snippets.training.cli.errors import USER_ERRORS, report
from snippets.training.cli.files import check_outputs
from snippets.training.interrupts import stoppable
from snippets.training.small.presets import preset_words


class ShowVersion(argparse.Action):
    """Prints the version and ends the program."""

    def __call__(self, parser, *unused):
        from snippets.training.cli.doctor import version

        print(f"snippets {version('snippets')}")
        parser.exit()


def families(command):
    """The modules with commands: only its own for an assignment, which students check while their layers are wrong."""
    from snippets.training.cli import assignment

    if command == "assignment":
        return (assignment,)
    from snippets.training.cli import (
        dataset,
        doctor,
        evaluate,
        experiments,
        features,
        predict,
        scale,
        summary,
        train,
        weights,
    )

    return experiments, train, evaluate, predict, features, dataset, weights, summary, scale, assignment, doctor


def parser(command=None):
    """The command line, or what a command needs of it; parsed arguments have `run`, a function, and its options."""
    top = argparse.ArgumentParser(
        "snippets", description="Video classification from scratch: Beyond Short Snippets (2015)."
    )
    top.add_argument("--version", action=ShowVersion, nargs=0, help="show the installed version and exit")
    top.set_defaults(run=lambda args: top.print_help(), execute=execute, parse=parsed)
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for family in families(command):
        family.add_parsers(subparsers)
    return top


def parsed(arguments):
    """The parsed arguments of one command, those of its preset among them."""
    top = parser(*arguments[:1])
    args = top.parse_args(arguments)
    if getattr(args, "preset", None):
        command, *typed = arguments
        given = getattr(args, "given", ())
        args = top.parse_args([command, *preset_words(args.preset, top, command), *typed])
        args.typed = given
    return args


def execute(arguments):
    """Run one command and return its exit status; its errors are raised. ValueError, OSError: see `check_outputs`."""
    args = parsed(sys.argv[1:] if arguments is None else arguments)
    check_outputs(args)
    return args.run(args) or 0


def main(argv=None):
    """Run one command; returns the exit status. Errors that a user can correct are one line, without a traceback."""
    for stream in (sys.stdout, sys.stderr):  # what their encoding lacks is escaped, and no error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sweep.cache_clear()
    try:
        with stoppable() as signals:
            return execute(argv)
    except KeyboardInterrupt as stop:
        print(f"\n{stop}" if str(stop) else "\nstopped", file=sys.stderr)
        return 128 + int(signals[0] if signals else signal.SIGINT)
    except MemoryError as error:
        print(f"snippets: out of memory ({error}); try a smaller --size, --frames or --batch", file=sys.stderr)
        return 1
    except USER_ERRORS as error:
        report(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
