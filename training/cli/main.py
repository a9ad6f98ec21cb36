"""The command line: `snippets COMMAND --help` lists what each command takes, with every default."""

import argparse
import signal
import sys

from snippets.data.files import sweep
from snippets.training.cli import (
    assignment,
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
from snippets.training.cli.errors import USER_ERRORS, report
from snippets.training.cli.files import check_outputs
from snippets.training.interrupts import stoppable

FAMILIES = (experiments, train, evaluate, predict, features, dataset, weights, summary, scale, assignment, doctor)


def parser():
    """The whole command line. Parsed arguments have `run`, the function of the chosen command, and its options."""
    top = argparse.ArgumentParser(
        "snippets", description="Video classification from scratch: Beyond Short Snippets (2015)."
    )
    top.add_argument("--version", action="version", version=f"snippets {doctor.version('snippets')}")
    top.set_defaults(run=lambda args: top.print_help(), execute=execute)
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND")
    for family in FAMILIES:
        family.add_parsers(subparsers)
    return top


def execute(arguments):
    """Run one command and return its exit status; its errors are raised. ValueError, OSError: see `check_outputs`."""
    args = parser().parse_args(arguments)
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
