"""What Downpour's driver says while it waits, counts on its bar and hears of shards, with Ray replaced."""

import os
from types import SimpleNamespace

import pytest
from downpour_runs import CONFIG, SETTINGS, clips, job
from ray_stand_in import RayActorError, ray_stand_in

from snippets.nets.zoo import build
from snippets.training.checkpoint import CheckpointError
from snippets.training.distributed import ray_actors, ray_engine
from snippets.training.distributed.downpour import Downpour
from snippets.training.distributed.ray_actors import patient
from snippets.training.distributed.ray_engine import Driver, check_shards, downpour
from snippets.training.distributed.shard import Shard
from snippets.training.log import read_log
from snippets.training.settings import Settings

HERE, THERE = "10.0.0.1", "10.0.0.2"
ONE = Settings(**{**vars(SETTINGS), "epochs": 1})  # six batches


class Bar:
    """A progress bar, and what it was asked."""

    made = []

    def __init__(self, total, desc, disable):
        self.n, self.told = 0, [total, desc, disable]
        self.made.append(self)

    def update(self, n):
        self.n += n

    def close(self):
        self.told.append("closed")


class Silence:
    """What is waited for, and what has come: name -> "waits" or "over", the last in the end."""

    made = []

    def __init__(self, say):
        self.waited, self.last = set(), {}
        self.made.append(self)

    def waiting(self, what):
        self.waited.add(what)
        self.last[what] = "waits"

    def over(self, what):
        self.last[what] = "over"


@pytest.fixture
def ray(monkeypatch, tmp_path):
    """Ray on two hosts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_actors, "threadpool_limits", lambda *args: None)
    monkeypatch.setattr(ray_engine, "tqdm", Bar)
    monkeypatch.setattr(ray_engine, "Stalls", Silence)
    return ray_stand_in(monkeypatch, HERE, THERE)


@pytest.mark.parametrize("late, reports", [(0, 8), (3, 5), (99, 4)])
def test_reports_that_come_late(ray, late, reports, tmp_path, monkeypatch):
    """The log has every step, and the bar has counted them; a shard is asked again once it has answered."""
    wait, looks = ray.wait, []

    def slow(refs, **how):
        looks.extend([refs] if how.get("timeout") == 0 else [])
        return ([], refs) if how.get("timeout") == 0 and len(looks) <= late else wait(refs, **how)

    monkeypatch.setattr(ray, "wait", slow)
    downpour(build(CONFIG, 1), clips(), ONE, Downpour(2, 2, 1, 1), folder=tmp_path / "run", progress=late == 3)
    bar, silence = Bar.made[-1], Silence.made[-1]
    assert (bar.n, bar.told) == (6, [6, "2 replicas", late != 3, "closed"])
    shards = {f"shard {i} on host {host}" for i, host in enumerate((HERE, THERE))}
    assert silence.waited == {f"a step of replica 1 on host {THERE}"} | (shards if late else set())
    assert set(silence.last) >= shards and set(silence.last.values()) == {"over"}
    log = read_log(tmp_path / "run" / "log.jsonl")
    assert sorted(r["batch"] for r in log if r["event"] == "step") == list(range(6))
    assert sum(name == "report" for _, name, _ in ray.asked) == reports


@pytest.fixture
def driver():
    """A driver of two shards and two replicas, of which it knows where the second ones are."""
    found, written = Driver.__new__(Driver), []
    found.log = SimpleNamespace(write=written.append, add=lambda record: written.append(("step", record)))
    found.at, found.step = {("shard", 1): "b", ("replica", 1): "b"}, [3, 3]
    found.stalls, found.bar, found.written = Silence(None), Bar(9, "", True), written
    return found


def test_what_shards_report_is_kept(driver):
    """The first shard counts the steps; one that came back says where it is; a replica that made a step is no stall."""
    driver.note(1, {"events": [{"event": "lost"}, {"host": "c"}], "records": [7], "done": [5, 3]})
    assert driver.written == [{"event": "lost"}, {"host": "c"}, ("step", 7)] and driver.bar.n == 0
    assert driver.at == {("shard", 1): "c", ("replica", 1): "b"} and driver.step == [5, 3]
    assert driver.stalls.last == {"a step of replica 0": "over"}
    driver.note(0, {"events": [], "records": [], "done": [5, 4]})
    driver.note(0, {"events": [], "records": [], "done": [5, 4]})
    assert driver.bar.n == 9 and driver.step == [5, 4]
    assert list(driver.stalls.last) == ["a step of replica 0", "a step of replica 1 on host b"]


def test_a_shard_that_does_not_report_is_waited_for(driver, ray):
    """It is asked again only when it has answered, or is gone."""
    dead = ray.put(None)
    dead.error = RayActorError("gone")
    answers, asked = iter(["first", dead, "second"]), []
    remote = SimpleNamespace(remote=lambda: asked.append(0) or next(answers))
    driver.ray, driver.shards, driver.reports = ray, [SimpleNamespace(report=remote)], {}
    ray.get = lambda ref: {"events": [ref], "records": [], "done": []} if ref != dead else type(ray).get(ray, ref)
    for ready, number, last in ((False, 1, "waits"), (True, 1, "over"), (True, 2, "waits"), (False, 3, "waits")):
        ray.wait = lambda refs, timeout, ready=ready: ((refs, []) if ready else ([], refs)) if timeout == 0 else None
        driver.report()
        assert (len(asked), driver.stalls.last) == (number, {"shard 0": last})
    assert driver.written == ["first"] and driver.reports == {0: "second"}


def test_what_is_waited_for_is_said_and_logged(driver, capsys, monkeypatch):
    driver.say("shard 1 on host b", 10.26)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "waiting for shard 1 on host b, 10 s so far\n")
    assert driver.written == [{"event": "waiting", "for": "shard 1 on host b", "since": 10.3}]
    seen = []

    def patient(method, *args, asked, waiting, who):
        seen.append((method, args, asked, who))
        waiting()
        raise OSError("gone")

    monkeypatch.setattr(ray_engine, "patient", patient)
    driver.shards = [SimpleNamespace(fetch="of 0"), SimpleNamespace(fetch="of 1")]
    with pytest.raises(OSError, match="gone"):
        driver.ask("shard", 1, "fetch", 4, asked="a call")
    assert seen == [("of 1", (4,), "a call", "shard 1 on host b")]
    assert driver.stalls.waited == {"shard 1 on host b"} and driver.stalls.last == {"shard 1 on host b": "over"}


def test_the_part_of_the_time_in_which_replicas_waited(driver):
    driver.took = []
    assert driver.waiting == 0
    driver.took = [{"seconds": 3.0, "waiting": 1.0}, {"seconds": 5.0, "waiting": 3.0}]
    assert driver.waiting == 0.5


def test_who_asks_again_says_so_while_it_waits(ray, monkeypatch):
    """Two looks without an answer, a death, another look: four times; a call that is on its way is not made again."""
    looks, naps = iter([False, False, True, False, True]), []
    monkeypatch.setattr(ray, "wait", lambda refs, timeout: (refs if next(looks) else [], naps.append(timeout)))
    monkeypatch.setattr(ray_actors.time, "sleep", naps.append)
    calls, heard = [], []

    class Dead:
        error, put = RayActorError("gone"), False

    def remote(*args):
        calls.append(args)
        return ray.put(args)

    method = SimpleNamespace(remote=remote)
    found = patient(method, 1, 2, asked=Dead, waiting=lambda: heard.append(len(calls)))
    assert found == (1, 2) and calls == [(1, 2)] and heard == [0, 0, 0, 1] and naps == [0.5, 0.5, 0.5, 0.1, 0.5, 0.5]
    assert patient(method, 3) == (3,)  # nobody to tell: no looks


def test_an_actor_that_cannot_begin_is_not_asked_again(ray):
    class Failed(RayActorError):
        actor_init_failed = True

    lost = ray.put(None)
    lost.error = Failed(
        "The actor died\n  in its constructor\nFileNotFoundError: shard 1 has no checkpoint: bring it\n"
    )
    with pytest.raises(OSError, match="^shard 1 has no checkpoint: bring it$") as error:
        patient(None, asked=lost)
    assert type(error.value) is OSError and error.value.__cause__ is None


def test_what_a_resumed_run_needs_of_its_shards(tmp_path):
    """The first; the others unless the run was stopped before its first update, when they begin anew."""
    one = job(Downpour(2, 3))
    paths = [str(tmp_path / f"{i}.npz") for i in range(3)]
    shards = [Shard(one, i) for i in range(3)]
    for shard, path in zip(shards[1:], paths[1:], strict=True):
        shard.save(path)
    with pytest.raises(FileNotFoundError, match=f"^cannot resume: there is no {paths[0]}$"):
        check_shards(one, paths)
    shards[0].save(paths[0])
    check_shards(one, paths)
    os.remove(paths[2])
    check_shards(one, paths)
    shards[0].opt.steps = 1
    shards[0].save(paths[0])
    with pytest.raises(FileNotFoundError, match=f"^cannot resume: {paths[2]} is gone, and with it a part of the param"):
        check_shards(one, paths)
    shards[2].save(paths[2])
    check_shards(one, paths)
    with pytest.raises(CheckpointError, match="0.npz"):
        check_shards(job(Downpour(3, 3)), paths)
