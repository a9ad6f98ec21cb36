"""A function in several processes (data/store/processes.py)."""

import threading

from tqdm import tqdm

from snippets.data.store.processes import in_processes


def lock_of_bars(state, item):
    """The kind of tqdm's lock in this process, once it has shown a bar."""
    list(tqdm([item], disable=True))
    return type(tqdm.get_lock()).__name__


def test_a_process_that_shows_bars_holds_no_semaphore():
    """Of one that is ended while it holds some, Python's last words would be a warning about it."""
    assert list(in_processes(lock_of_bars, None, [0], 1)) == [type(threading.RLock()).__name__]
