"""A function in several processes, which end with this one, however that ends."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from tqdm import tqdm


def in_processes(function: Callable, state, items: Iterable, workers: int) -> Iterator:
    """function(state, item) for each item, in the order in which `workers` processes are done with them.

    state is sent to each process once, by pickle. An error in one of them, or Ctrl-C, ends all of them at once. OSError
    if one died, for lack of memory for instance.
    """
    context = multiprocessing.get_context("spawn")  # a fork may find locks held by threads that it has not got
    waiting, todo = set(), iter(items)
    with ProcessPoolExecutor(workers, context, _begin, (function, state)) as pool:
        try:
            while True:
                more = itertools.islice(todo, 2 * workers - len(waiting))
                waiting |= {pool.submit(_call, item) for item in more}
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise OSError(
                "a process ended in the middle of its work (was the memory full?): run again, with fewer --workers "
                "perhaps; what is done is kept"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


OWN = {}  # function and state of this process


def _begin(function, state):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # is its parent's business
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, of which a process that is ended leaves a warning behind
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    OWN["call"] = lambda item: function(state, item)


def _call(item):
    return OWN["call"](item)
