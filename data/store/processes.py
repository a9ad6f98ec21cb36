"""A function in several processes, which end with this one, however that ends; and jobs over videos in them.

A job over videos has two parts. produce(source, video) is a generator function that computes, wherever there is room:
it yields arrays and small objects, and raises what is wrong with the video. receive(video, produced) takes what it
yields, one by one, where the results are kept, and returns what there is to report. An executor is an object whose
method `map` brings the two together: `Processes`, here, or the tasks of `training.distributed.ray_tasks` on many hosts.
"""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from tqdm import tqdm

WORTH = 8  # videos for which another process is worth the seconds that it takes to start


@dataclass(frozen=True)
class Processes:
    """The executor on one machine: so many processes, each with one thread, if there are videos for as many.

    1: this process, with all its threads.
    """

    workers: int = 1

    def map(self, produce: Callable, source, videos: list, receive: Callable) -> Iterator:
        """receive(video, produce(source, video)) for each video, in the order in which they are done.

        The arguments are sent to each process by pickle. Errors: those of `in_processes`.
        """
        workers = min(self.workers, len(videos) // WORTH)
        if workers > 1:
            return in_processes(_both, (produce, source, receive), videos, workers)
        return (receive(video, produce(source, video)) for video in videos)


THIS_PROCESS = Processes()


def _both(job, video):
    produce, source, receive = job
    source.one_thread()
    return receive(video, produce(source, video))


def in_processes(function: Callable, state, items: Iterable, workers: int) -> Iterator:
    """function(state, item) for each item, in the order in which `workers` processes are done with them.

    state is sent to each process once, by pickle. An error in one of them, or Ctrl-C, ends all of them at once. OSError
    if one died, for lack of memory for instance.
    """
    context = multiprocessing.get_context("spawn")  # a fork may find locks held by threads that it has not got
    with ProcessPoolExecutor(workers, context, _begin, (function, state)) as pool:
        try:
            yield from as_done(lambda item: pool.submit(_call, item), items, lambda: 2 * workers)
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


def as_done(submit: Callable, items: Iterable, limit: Callable, each=lambda: None) -> Iterator:
    """The results of the futures submit(item), in the order in which they are done; limit(), at least one, at a time.

    each() is called whenever some are done, and twice a second: it may raise.
    """
    waiting, todo = set(), iter(items)
    while True:
        waiting |= {submit(item) for item in itertools.islice(todo, max(0, limit() - len(waiting)))}
        if not waiting:
            return
        done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
        each()
        yield from (future.result() for future in done)


OWN = {}  # function and state of this process


def _begin(function, state):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # is its parent's business
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, of which a process that is ended leaves a warning behind
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    OWN["call"] = lambda item: function(state, item)


def _call(item):
    return OWN["call"](item)
