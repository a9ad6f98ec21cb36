"""The process of a task on another host, with Ray replaced: what it compares, what it sends and when."""

import os
import pickle

import numpy as np
import pytest
from ray_job import ME, VIDEO, Source, produce, ray_for_a_job
from ray_stand_in import ray_stand_in

from snippets.training.distributed import ray_tasks
from snippets.training.distributed.hosts import installed
from snippets.training.distributed.ray_tasks import Host, HostError, opened, size_of


@pytest.fixture
def ray(monkeypatch, tmp_path):
    return ray_for_a_job(monkeypatch, tmp_path)


def test_pieces_are_sent_by_size_and_by_time(ray, monkeypatch):
    """4 MiB or after more than two seconds; before all others an empty one says where the task runs."""
    clock = [0.0]
    monkeypatch.setattr(ray_tasks.time, "monotonic", lambda: clock[0])
    half = np.zeros(2 << 20, np.uint8)

    def slowly(source, video):
        sizes = [
            (1, half),
            (0, half),
            (2, 1),
            (0.5, 2),
            (0, 4),
            (0, half),
            (0, half),
            (0, half[:-1]),
            (1, half),
            (0, 3),
        ]
        for seconds, thing in [(0, "skipped"), *sizes]:
            clock[0] += seconds
            yield thing

    content = ray.put(None)
    monkeypatch.setattr(ray_tasks, "opened", lambda reference: (slowly, None) if reference is content else None)
    sent = list(ray_tasks.pieces([content], VIDEO, 5, 1))
    assert [piece.host for piece in sent] == [ME] * len(sent)
    kinds = [[thing if isinstance(thing, int) else thing.nbytes for thing in piece.things] for piece in sent]
    assert kinds == [[], [2 << 20, 2 << 20], [1, 2], [4, 2 << 20, 2 << 20], [(2 << 20) - 1, 2 << 20, 3]]


@pytest.mark.parametrize("size, words", [(None, None), (5, None), (4, "has 5 bytes on host {}, 4 on this one")])
def test_a_task_compares_the_size_of_its_video(ray, size, words, monkeypatch):
    monkeypatch.setattr(ray_tasks, "opened", lambda reference: (produce, None))
    if words is None:
        assert [piece.things for piece in ray_tasks.pieces([None], VIDEO, size, 0)] == [[], ["a", "b", "c"]]
    else:
        told = f"v.avi {words.format(ME.name)}: every host needs all videos, under the same paths"
        for exists in (True, False):
            with pytest.raises(HostError) as error:
                next(ray_tasks.pieces([None], VIDEO, size, 0))
            assert str(error.value) == told
            os.remove("v.avi") if exists else None
            told = f"v.avi cannot be read on host {ME.name}: every host needs all videos, under the same paths"


def test_the_size_of_a_video(tmp_path, monkeypatch):
    """Of a film, or of all pictures of a folder; none where something cannot be read."""
    (tmp_path / "frames").mkdir()
    for i, size in enumerate((3, 4)):
        (tmp_path / "frames" / f"{i}.jpg").write_bytes(b"x" * size)
    (tmp_path / "a.avi").write_bytes(b"xx")
    assert size_of(tmp_path / "a.avi") == 2 and size_of(tmp_path / "frames") == 7
    assert size_of(tmp_path / "none.avi") is None and size_of(tmp_path) is None
    monkeypatch.setattr(ray_tasks.os, "access", lambda path, how: how == os.R_OK and not str(path).endswith("1.jpg"))
    assert size_of(tmp_path / "frames") is None and size_of(tmp_path / "a.avi") == 2


def test_a_process_reads_a_job_once(ray, monkeypatch):
    """It compares what is installed, computes in one thread, on its device; another job takes the place."""
    reads, get = [], ray.get
    monkeypatch.setattr(ray, "get", lambda ref: reads.append(ref) or get(ref))
    monkeypatch.setattr(ray_tasks, "use_device", lambda device: f"on {device}")
    first, second = (ray.put(pickle.dumps((installed(), on, produce, Source()))) for on in ("cpu", "cuda:1"))
    function, source = opened(first)
    assert (function, type(source)) == (produce, Source) and opened(first)[1] is source
    assert reads == [first] and Source.told == ["one thread"]
    opened(second)
    assert Source.told == ["one thread", "one thread", "on cuda:1"] and list(ray_tasks.OPENED) == [second]
    other = ray.put(pickle.dumps((installed() | {"numpy": "1.0"}, "cpu", produce, Source())))
    with pytest.raises(HostError, match=f"has numpy {np.__version__} instead of 1.0") as error:
        opened(other)
    assert str(error.value).startswith(f"host {ME.name} has") and list(ray_tasks.OPENED) == [second]


def test_a_host_says_which_kernels_multiply(monkeypatch):
    ray_stand_in(monkeypatch, "10.0.0.7")
    found = [{"user_api": "blas", "architecture": "Zen"}, {"user_api": "openmp"}, {"user_api": "blas"}]
    monkeypatch.setattr(ray_tasks, "threadpool_info", lambda: found + found[:1])
    assert ray_tasks.this_host.__wrapped__() == Host(f"10.0.0.7 ({os.uname().nodename})", "None Zen")
