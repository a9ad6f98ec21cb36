"""Waiting in tests: for a condition, not for a time, so that a slow machine only takes longer."""

import threading
import time
from contextlib import contextmanager

HANG = 600  # seconds after which something is not slow but hangs


def until(condition, why="what is waited for", seconds=HANG):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{why} has not come in {seconds} s"
        time.sleep(0.01)
    return found


@contextmanager
def meanwhile(attempt):
    """While the block runs, another thread calls attempt() again and again until it returns something true."""
    over = threading.Event()

    def poll():
        while not attempt() and not over.wait(0.02):
            pass

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
