"""A function in several processes (data/store/processes.py), and what a store says and does while it fills itself."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from films import numbered
from tqdm import tqdm

import snippets.data.flow.images
import snippets.data.store.store
from snippets.data.decoder import Source
from snippets.data.flow.images import FlowDecoder
from snippets.data.flow.tvl1 import TVL1
from snippets.data.layouts.splits import Video
from snippets.data.store.processes import as_done, in_processes
from snippets.data.store.store import Store
from snippets.data.video import write_video


def lock_of_bars(state, item):
    """The kind of tqdm's lock in this process, once it has shown a bar."""
    list(tqdm([item], disable=True))
    return type(tqdm.get_lock()).__name__


def test_a_process_that_shows_bars_holds_no_semaphore():
    """Of one that is ended while it holds some, Python's last words would be a warning about it."""
    assert list(in_processes(lock_of_bars, None, [0], 1)) == [type(threading.RLock()).__name__]


class Rows(Source):
    """Three arrays of every video."""

    name, parameters, dtype = "rows", {"a": 1}, np.dtype(np.float32)

    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def stream(self, video):
        return (np.full(self.shape, k) for k in range(3))

    def checksum(self, video):
        return 5


def test_a_bar_says_what_is_computed_how_much_of_it_and_how_fast(tmp_path, monkeypatch, capsys):
    """Of three videos one is there; six arrays of the others take two seconds."""
    times = iter([0, 1, 2] * 3)
    monkeypatch.setattr(snippets.data.store.store, "time", SimpleNamespace(monotonic=lambda: next(times)))
    videos = [Video(tmp_path / f"{n}.avi", 0, str(n), "") for n in range(3)]
    for n, (what, shape) in enumerate({"features": (4,), "flow": (2, 2, 2), "frames": (2, 2, 3)}.items()):
        store = Store(tmp_path / str(n), Rows(shape))
        store.frames(videos[0])
        assert store.fill(videos) == {} and len(store.manifest.entries) == 3
        bar = capsys.readouterr().err.split("\r")[-1]
        assert f"{what}: 100%" in bar and "3/3" in bar and ", 3.0 frames/s]" in bar
        assert store.fill(videos, progress=False) == {} and capsys.readouterr().err == ""
        times = iter([0, 1, 2] * 3)


def test_flow_is_computed_by_as_many_threads_and_on_such_arrays_as_the_store_is_told(tmp_path, monkeypatch):
    asked = []

    def still(I0, I1, settings, threads):
        asked.append((type(I0), threads, settings))
        return np.zeros((*I0.shape, 2), np.float32)

    monkeypatch.setattr(snippets.data.flow.images, "tvl1", still)
    monkeypatch.setattr(snippets.data.flow.images, "usable_cores", lambda: 7)
    write_video(tmp_path / "a.avi", [numbered(n) for n in range(3)], 15)
    store = Store(tmp_path / "cache", FlowDecoder(8, settings=TVL1(warps=2)))
    video = Video(tmp_path / "a.avi", 0, "a", "")
    store.frames(video._replace(name="b"))
    store.one_thread()
    store.frames(video)
    assert asked == [(np.ndarray, 7, TVL1(warps=2)), (np.ndarray, 1, TVL1(warps=2))]
    other = SimpleNamespace()
    store.compute_on(other)
    assert store.source.xp is other


def test_flow_of_fewer_images_than_a_video_has_is_an_error(tmp_path, monkeypatch):
    """Whether the computation gives less than it was given, or the file has changed since its images were counted."""
    write_video(tmp_path / "a.avi", [numbered(n) for n in range(4)], 15)
    video, source = Video(tmp_path / "a.avi", 0, "a", ""), FlowDecoder(8, settings=TVL1(warps=1, iterations=1))
    assert source.count(video) == 3
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="argument 2 is (shorter|longer)"):
        patch.setattr(snippets.data.flow.images, "tvl1", lambda I0, *_: np.zeros((len(I0) - 1, 8, 8, 2), np.float32))
        source.frames(video)
    write_video(tmp_path / "a.avi", [numbered(n) for n in range(3)], 15)
    with pytest.raises(ValueError, match="argument 2 is (shorter|longer)"):
        list(source.take(video, [[0, 2]]))


def test_what_waits_is_looked_at_twice_a_second():
    """`each` is called though nothing is done: it lets the only job end, whose answer would be another after 20 s."""
    gone = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        assert list(as_done(lambda _: pool.submit(gone.wait, 20), "x", lambda: 1, gone.set)) == [True]
