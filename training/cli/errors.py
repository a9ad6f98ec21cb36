"""Errors that a user can correct, in one line of words."""

import errno
import os
import sys
import traceback

from snippets.data.listing import shown
from snippets.training.assignments.worker import wrong_syntax

USER_ERRORS = (ValueError, TypeError, OSError, FloatingPointError, ModuleNotFoundError, SyntaxError)


def in_words(error):
    """What went wrong in one line, without Python's error numbers; each of its notes on a line of its own."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        full = error.strerror == os.strerror(errno.ENOSPC)
        text = "the disk is full; make room and run again" if full else error.strerror
        text = f"{error.filename}: {text}" if error.filename else text
    if isinstance(error, SyntaxError):
        text = wrong_syntax(error)
    return "\n  ".join(map(shown, [text, *getattr(error, "__notes__", ())]))


def report(error, who=""):
    """Print one line for an error that the user can correct, else its traceback; who: what stands ahead of it."""
    if isinstance(error, USER_ERRORS):
        print(f"snippets: {who}{in_words(error)}", file=sys.stderr)
    else:
        traceback.print_exception(error)
