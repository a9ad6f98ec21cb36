"""Jobs over videos as tasks, with Ray replaced: how they are asked for, what they send, what their errors become."""

import contextlib
import pickle
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray_job import ME, VIDEO, Source, produce, ray_for_a_job
from ray_stand_in import RayActorError, RayTaskError

from snippets.data.video import VideoError
from snippets.layers.device.xp import usable_cores
from snippets.training.distributed import ray_tasks
from snippets.training.distributed.hosts import installed
from snippets.training.distributed.ray_tasks import Host, HostError, NotBegunError, RayTasks, Tasks


@pytest.fixture
def ray(monkeypatch, tmp_path):
    return ray_for_a_job(monkeypatch, tmp_path)


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


def test_hosts_are_looked_at_every_two_seconds(tasks, monkeypatch, capsys):
    """A host alone is not spoken of; one that has been silent for more than ten seconds is, once for each silence."""
    clock, looks, nodes = [0.0], [], tasks.ray.nodes()
    monkeypatch.setattr(ray_tasks.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(tasks.ray, "nodes", lambda: looks.append(clock[0]) or nodes)
    tasks.looked = 0.0
    for clock[0] in (1.9, 2.0, 3.9, 4.0):
        tasks.look()
    assert looks == [2.0, 4.0] and tasks.looked == 4
    capsys.readouterr()
    name = "10.0.0.2 (name of 10.0.0.2)"
    tasks.heard = {1: (name, 0.0), 2: (name, 2.0), 3: ("10.0.0.1 (name of 10.0.0.1)", 9.0)}
    for clock[0] in (12.0, 14.1, 18.0):
        tasks.look()
    tasks.heard[2] = name, 18.0
    for clock[0] in (28.0, 30.1):
        tasks.look()
    words = "waiting for host {}, which has sent nothing for 10 s; it computes {} videos"
    b, a = words.format(name, 2), words.format("10.0.0.1 (name of 10.0.0.1)", 1)
    assert capsys.readouterr().err.splitlines() == [b, a, b]
    tasks.hosts, tasks.looked = {name: 2.0}, 0.0
    nodes.clear()
    tasks.look()
    assert capsys.readouterr().err == "" and tasks.gone >= {name}


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
