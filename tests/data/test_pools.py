"""Processes that compute for another one (data/store/processes.py): what they get, how they end, what is shown."""

import signal
import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest
from layout_folders import films
from tqdm import tqdm

import snippets.data.mini.make
from snippets.data.decoder import Decoder
from snippets.data.layouts.survey import check_dataset
from snippets.data.mini.make import make_mini
from snippets.data.store import processes
from snippets.data.store.processes import in_processes


@pytest.fixture
def pool(monkeypatch):
    """In place of processes: what becomes of them; .error: what the first job raises."""
    seen = SimpleNamespace(error=None, given=None, limit=None, shutdown=[], killed=[])

    class Pool:
        def __init__(self, workers, context, initializer, arguments):
            seen.given = workers, context.get_start_method(), initializer, arguments
            initializer(*arguments)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def submit(self, call, item):
            return call(item)

        def shutdown(self, **how):
            seen.shutdown.append(how)

    def as_done(submit, items, limit):
        seen.limit = limit()
        for item in items:
            yield submit(item)
            if seen.error:
                raise seen.error

    children = [SimpleNamespace(terminate=lambda k=k: seen.killed.append(k)) for k in range(2)]
    monkeypatch.setattr(processes, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(processes, "as_done", as_done)
    monkeypatch.setattr(processes.multiprocessing, "active_children", lambda: children)
    monkeypatch.setattr(
        processes, "_begin", lambda *given: processes.OWN.update(call=lambda item: given[0](given[1], item))
    )
    monkeypatch.setattr(processes, "OWN", {})
    return seen


def joined(state, item):
    return f"{state}-{item}"


def test_jobs_go_to_fresh_processes_twice_as_many_as_work_at_a_time(pool):
    assert list(in_processes(joined, "state", "ab", 3)) == ["state-a", "state-b"]
    assert pool.given[:2] == (3, "spawn") and pool.given[3] == (joined, "state") and pool.limit == 6
    assert pool.shutdown == [] and pool.killed == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KeyError("a")], ids=repr)
def test_an_error_ends_all_of_them_at_once(pool, error):
    pool.error = error
    with pytest.raises(type(error)):
        list(in_processes(joined, "state", "ab", 3))
    assert pool.shutdown == [{"wait": False, "cancel_futures": True}] and pool.killed == [0, 1]


def test_a_process_that_died_is_told(pool):
    pool.error = BrokenProcessPool()
    with pytest.raises(OSError, match="a process ended in the middle of its work .was the memory full..: run again"):
        list(in_processes(joined, "state", "ab", 3))
    assert pool.killed == []


def test_how_a_process_begins(monkeypatch):
    """It leaves Ctrl-C to its parent, has a lock of its own, ends with its parent, and knows function and state."""
    calls, started = [], []

    class Thread:
        def __init__(self, target, daemon):
            self.target, self.daemon = target, daemon

        def start(self):
            started.append(self)

    monkeypatch.setattr(processes.signal, "signal", lambda *how: calls.append(how))
    monkeypatch.setattr(tqdm, "set_lock", lambda lock: calls.append(type(lock)))
    parent = SimpleNamespace(join=lambda: calls.append("parent ends"))
    monkeypatch.setattr(processes.multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(processes.os, "_exit", lambda code: calls.append(code))
    monkeypatch.setattr(processes, "OWN", {})
    lock = type(threading.RLock())
    monkeypatch.setattr(processes.threading, "Thread", Thread)
    processes._begin(lambda state, item: (state, item), "state")
    assert calls == [(signal.SIGINT, signal.SIG_IGN), lock] and processes._call("item") == ("state", "item")
    (thread,) = started
    assert thread.daemon is True
    thread.target()
    assert calls[2:] == ["parent ends", 1]


def test_a_job_over_videos_computes_in_one_thread():
    calls = []
    source = SimpleNamespace(one_thread=lambda: calls.append("one thread"))
    job = (lambda source, video: calls.append(video) or (source, video)), source, lambda *found: found
    assert processes._both(job, "v") == ("v", (source, "v")) and calls == ["one thread", "v"]


def test_how_long_it_waits_for_any_of_them(monkeypatch):
    asked, real = [], processes.wait
    monkeypatch.setattr(processes, "wait", lambda some, **how: asked.append((len(some), how)) or real(some, **how))

    def submit(item):
        future = Future()
        future.set_result(item)
        return future

    assert sorted(processes.as_done(submit, "abcde", lambda: 3)) == list("abcde")
    assert asked == [(3, {"timeout": 0.5, "return_when": processes.FIRST_COMPLETED}), (2, asked[0][1])]


def test_where_fewer_may_wait_no_more_are_begun_until_there_is_room(monkeypatch):
    limits, waiting = iter([3, 1, 1, 1, 1, 1, 1]), []

    def wait(some, **_):
        waiting.append(len(some))
        first = min(some, key=lambda future: future.result())
        return {first}, some - {first}

    def submit(item):
        future = Future()
        future.set_result(item)
        return future

    monkeypatch.setattr(processes, "wait", wait)
    assert list(processes.as_done(submit, "abcdef", lambda: next(limits))) == list("abcdef")
    assert waiting == [3, 2, 1, 1, 1, 1]


def test_bars_of_a_survey_and_of_the_mini_data_set(tmp_path, capsys, monkeypatch):
    root = films(tmp_path / "d", *(f"{c}/{n}.avi" for c in "ab" for n in (1, 2)))
    check_dataset(root, Decoder(8), progress=False)
    assert capsys.readouterr().err == ""
    survey = check_dataset(root, Decoder(8))
    bar = capsys.readouterr().err.split("\r")[-1]
    assert "decode: 100%" in bar and "4/4" in bar and "video/s" in bar and " 4 of fewer than 30 frames" in str(survey)
    shown = []
    monkeypatch.setattr(snippets.data.mini.make, "write_avi", lambda *_: None)
    monkeypatch.setattr(snippets.data.mini.make, "tqdm", lambda some, **how: shown.append(how) or some)
    threads, pool = [], snippets.data.mini.make.ThreadPoolExecutor
    monkeypatch.setattr(snippets.data.mini.make, "ThreadPoolExecutor", lambda n: threads.append(n) or pool(n))
    monkeypatch.setattr(snippets.data.mini.make, "usable_cores", lambda: 5)
    monkeypatch.setattr(snippets.data.mini.make, "paint_clip", lambda *_: None)
    make_mini(tmp_path / "mini", groups=3, clips=1, frames=16, side=32)
    make_mini(tmp_path / "more", groups=3, clips=1, frames=16, side=32, workers=3)
    assert threads == [5, 3] and shown.pop() == shown[0]
    assert shown == [
        {"desc": "mini data set", "total": 48, "unit": "clip", "disable": None}
    ]  # shown in a terminal only
