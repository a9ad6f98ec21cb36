"""Jobs over videos as tasks, with Ray replaced: how they are asked for, what they send, what their errors become."""

import contextlib
import os
import pickle
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ray_stand_in import RayActorError, RayTaskError, ray_stand_in

from snippets.data.layouts.splits import Video
from snippets.data.video import VideoError
from snippets.layers.device.xp import usable_cores
from snippets.training.distributed import ray_tasks
from snippets.training.distributed.hosts import installed
from snippets.training.distributed.ray_tasks import Host, HostError, NotBegunError, RayTasks, Tasks, opened, size_of

ME = Host("10.0.0.1 (name of 10.0.0.1)", "Zen")


class Source:
    """Notes in `told` what it is told about where it computes."""

    told = []

    def one_thread(self):
        self.told.append("one thread")

    def compute_on(self, xp):
        self.told.append(xp)


def produce(source, video):
    yield from video.name


@pytest.fixture
def ray(monkeypatch, tmp_path):
    monkeypatch.setattr(ray_tasks, "this_host", lambda: ME)
    monkeypatch.setattr(ray_tasks, "OPENED", {})
    monkeypatch.setattr(Source, "told", [])
    monkeypatch.chdir(tmp_path)
    Path("v.avi").write_bytes(b"12345")
    return ray_stand_in(monkeypatch, "10.0.0.1", "10.0.0.2")


VIDEO = Video("v.avi", 0, "abc", "g")


@pytest.mark.parametrize("address, asked", [("head:1", ("head:1", {})), ("here", (None, {"num_cpus": usable_cores()}))])
def test_a_job_on_ray(ray, address, asked, monkeypatch):
    """In a session of its own, two tasks for each core there is; each video once, from wherever the job began."""
    sessions, limits = [], []

    def session(address, **own):
        sessions.append((address, own))
        return contextlib.nullcontext((ray, stopped))

    def as_done(submit, videos, limit, look):
        limits.append(limit())
        for video in videos:
            look()
            yield submit(video).result()

    stopped = []
    monkeypatch.setattr(ray_tasks, "ray_session", session)
    monkeypatch.setattr(ray_tasks, "as_done", as_done)
    videos = [VIDEO, VIDEO._replace(name="de")]
    job = RayTasks(address).map(produce, Source(), videos, lambda video, found: (video, list(found)))
    assert list(job) == [(videos[0], ["a", "b", "c"]), (videos[1], ["d", "e"])]
    assert sessions == [asked] and limits == [2 * (2 + 2)]
    assert [args[1].path for *_, args in ray.made] == [Path.cwd() / "v.avi"] * 2
    assert [args[2:] for *_, args in ray.made] == [(5, 0)] * 2
    stopped.append("pressed")
    with pytest.raises(KeyboardInterrupt):
        next(RayTasks(address).map(produce, Source(), videos, None))
    assert list(RayTasks(address).map(produce, Source(), [], None)) == [] and len(sessions) == 2


def test_a_job_with_thousands_of_cores_or_none_for_now(ray, monkeypatch):
    """4096 tasks at most, two at least; when the job ends, so do the tasks that are waited for."""
    made, limits, threads = [], [], []
    monkeypatch.setattr(ray_tasks, "ray_session", lambda *args, **own: contextlib.nullcontext((ray, [])))
    monkeypatch.setattr(ray_tasks, "as_done", lambda submit, videos, limit, look: limits.append(limit()) or [])
    pool = ray_tasks.ThreadPoolExecutor
    monkeypatch.setattr(ray_tasks, "ThreadPoolExecutor", lambda most, name: threads.append(most) or pool(1, name))
    for slots in (0, 1, 2047, 2048, 2049):
        made.append(SimpleNamespace(slots=slots, over=threading.Event()))
        monkeypatch.setattr(ray_tasks, "Tasks", lambda *args: made[-1])
        assert list(RayTasks().map(produce, Source(), [VIDEO], None)) == []
    assert limits == [2, 2, 4094, 4096, 4096] and all(tasks.over.is_set() for tasks in made)
    assert threads == [4096] * 5


@pytest.mark.parametrize("device, room", [("cpu", 4), ("cuda", 2), ("cuda:1", 2)])
def test_how_tasks_are_asked_for(ray, device, room):
    """One core each, spread over the hosts, on a GPU if need be; started once, two pieces ahead."""
    tasks = Tasks(ray, device, (produce, Source()))
    gpu = {"num_gpus": 1} if device != "cpu" else {}
    assert tasks.task.how == gpu | {
        "num_cpus": 1, "scheduling_strategy": "SPREAD", "num_returns": "streaming", "max_retries": 0,
        "_generator_backpressure_num_objects": 2,
    }  # fmt: skip
    there, on, function, source = pickle.loads(ray.get(tasks.content[0]))
    assert (there, on, function) == (installed(), device, produce) and tasks.slots == room


def test_pieces_are_sent_by_size_and_by_time(ray, monkeypatch):
    """4 MiB or after more than two seconds; before all others an empty one says where the task runs."""
    clock = [0.0]
    monkeypatch.setattr(ray_tasks.time, "monotonic", lambda: clock[0])
    half = np.zeros(2 << 20, np.uint8)

    def slowly(source, video):
        for seconds, thing in (
            (0, "skipped"),
            (1, half),
            (0, half),
            (2, 1),
            (0.5, 2),
            (0, half[:-1]),
            (1, half),
            (0, 3),
        ):
            clock[0] += seconds
            yield thing

    content = ray.put(None)
    monkeypatch.setattr(ray_tasks, "opened", lambda reference: (slowly, None) if reference is content else None)
    sent = list(ray_tasks.pieces([content], VIDEO, 5, 1))
    assert [piece.host for piece in sent] == [ME] * len(sent)
    kinds = [[thing if isinstance(thing, int) else thing.nbytes for thing in piece.things] for piece in sent]
    assert kinds == [[], [2 << 20, 2 << 20], [1, 2], [(2 << 20) - 1, 2 << 20, 3]]


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


def test_the_size_of_a_video(tmp_path):
    """Of a film, or of all pictures of a folder; none where something cannot be read."""
    (tmp_path / "frames").mkdir()
    for i, size in enumerate((3, 4)):
        (tmp_path / "frames" / f"{i}.jpg").write_bytes(b"x" * size)
    (tmp_path / "a.avi").write_bytes(b"xx")
    assert size_of(tmp_path / "a.avi") == 2 and size_of(tmp_path / "frames") == 7
    assert size_of(tmp_path / "none.avi") is None and size_of(tmp_path) is None


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


@pytest.fixture
def tasks(ray):
    return Tasks(ray, "cpu", (produce, Source()))


def sends(monkeypatch, tasks, *tries):
    """Each try of a video sends some lists and then raises an error, if it has one; returns how each was asked for."""
    asked, left = [], list(tries)

    def pieces(task, video, done):
        asked.append((task.how["scheduling_strategy"], video.path, done))
        *sent, error = left.pop(0)
        yield from sent
        if error:
            raise error

    monkeypatch.setattr(tasks, "pieces", pieces)
    return asked


def test_a_lost_video_is_taken_up_where_it_was(tasks, monkeypatch, capsys):
    """By another queue of Ray's; a task that did not begin is no try, and four that died are all."""
    path, lost = Path.cwd() / "v.avi", RayActorError("The worker died. Look here.\nAnd there.")
    tries = [["a"], lost], [NotBegunError()], [["b", "c"], ["d"], lost], [[], None]
    asked = sends(monkeypatch, tasks, *tries)
    assert list(tasks.produced(VIDEO)) == ["a", "b", "c", "d"]
    assert asked == [("SPREAD", path, 0), ("DEFAULT", path, 1), ("DEFAULT", path, 1), ("DEFAULT", path, 4)]
    said = [f"abc: its process or host is lost (RayActorError: The worker died), try {n} of 4" for n in (1, 2)]
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == said
    gone = ray_tasks.HostLostError("10.0.0.2 (b)")
    sends(monkeypatch, tasks, [lost], [gone], [lost], [gone], [["never"], None])
    words = r"^v.avi: 4 processes that computed it have died; the last: HostLostError: 10\.0\.0\.2 \(b\)$"
    with pytest.raises(VideoError, match=words):
        list(tasks.produced(VIDEO))


@pytest.mark.parametrize("cause", [VideoError("damaged"), OSError("full"), ValueError("no"), HostError("differs")])
def test_what_a_task_raises_is_raised_here(tasks, cause, monkeypatch):
    """Only what is wrong with a host ends the job for all."""
    sends(monkeypatch, tasks, [RayTaskError(cause)])
    with pytest.raises(type(cause)) as error:
        list(tasks.produced(VIDEO))
    assert error.value is cause and tasks.failed is (cause if isinstance(cause, HostError) else None)


@pytest.mark.parametrize("where, host", [(" (pid=3, ip=10.0.0.2)", "10.0.0.2"), ("", "unknown")])
def test_any_other_error_is_that_of_its_host(tasks, where, host, monkeypatch):
    error = RayTaskError(KeyError("k"))
    error.args = (f"ray::pieces(){where}\n  in a line\nModuleNotFoundError: no such module\n",)
    sends(monkeypatch, tasks, [error])
    with pytest.raises(HostError) as found:
        list(tasks.produced(VIDEO))
    assert str(found.value) == f"host {host}: ModuleNotFoundError: no such module" and tasks.failed is found.value


def test_a_task_has_two_minutes_to_begin(tasks, monkeypatch):
    """If there is room for it; a look each second. The task that is given up is cancelled."""
    clock, ray = [0.0], tasks.ray
    monkeypatch.setattr(ray_tasks.time, "monotonic", lambda: clock[0])

    def wait(refs, timeout):
        clock[0] += timeout
        return [], refs

    ray.wait, ray.free = wait, {"CPU": 1.0}
    with pytest.raises(NotBegunError):
        tasks.wait("piece", "task", 7)
    assert clock[0] == 7 + 120 + 1 and ray.over == ["task"]


@pytest.mark.parametrize("kind, told", [("CPU", 1), ("GPU", 0)])
def test_other_kernels_are_said_once(tasks, kind, told, capsys, monkeypatch):
    """On a CPU; a task is heard of while it sends, and waited for: until there is a piece, and until it is here."""
    tasks.kind, heard, waits = kind, [], []
    monkeypatch.setattr(tasks, "wait", lambda what, of, since: waits.append((type(what).__name__, of, since)))
    monkeypatch.setattr(ray_tasks.time, "monotonic", lambda: 5.0)

    def pieces(*args):
        for host in (ME, Host("far (b)", "Haswell"), Host("far (b)", "Haswell")):
            heard.append([name for name, _ in tasks.heard.values()])
            yield ray_tasks.Piece(host, [1])

    task = tasks.ray.remote(num_returns="streaming")(pieces)
    assert list(tasks.pieces(task, VIDEO, 0)) == [[1]] * 3
    assert heard == [[], [ME.name], ["far (b)"]] and tasks.heard == {}
    (of,) = {of for _, of, _ in waits}
    assert waits == [("Stream", of, 5), ("Ref", of, 5)] * 3 + [("Stream", of, 5)]
    words = "note: far (b) multiplies matrices with OpenBLAS's Haswell kernels, this host with Zen: the last bits"
    err = capsys.readouterr().err
    assert err.count("note: ") == err.count(words) == told
