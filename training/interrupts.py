"""Ctrl-C and the signal to end, which does the same: when they may interrupt, and when they wait."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def defer_interrupt():
    """Holds Ctrl-C back until the end of the block: parameters and position change together or not at all.

    Yields the list of those that came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []  # only the main thread is ever interrupted
        return
    held = []
    before = signal.signal(signal.SIGINT, lambda *_: held.append(True))
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def stoppable():
    """SIGTERM (kill, a batch system, a container's end) does within the block what Ctrl-C does; yields a list of them.

    Whoever has a handler of Ctrl-C of its own, as the ranks of MPI do, gets both.
    """
    came = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def stop(number, frame):
        came.append(number)
        handler = signal.getsignal(signal.SIGINT)  # of a background job of a shell: ignored
        (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
