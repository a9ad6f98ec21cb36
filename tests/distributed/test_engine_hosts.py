"""Downpour's driver on a cluster of two hosts, with Ray replaced: who is placed where, what is told, what is kept."""

import contextlib
import os

import pytest
from downpour_runs import CONFIG, SETTINGS, clips
from ray_stand_in import RayActorError, ray_stand_in

from snippets.nets.zoo import build
from snippets.training.checkpoint import load, videos_of
from snippets.training.distributed import hosts, ray_actors, ray_engine
from snippets.training.distributed.downpour import Downpour
from snippets.training.distributed.ray_engine import downpour
from snippets.training.log import read_log
from snippets.training.parameters import flatten
from snippets.training.settings import Settings

HERE, THERE = "10.0.0.1", "10.0.0.2"
ONE = Settings(**{**vars(SETTINGS), "epochs": 1})  # six batches
INLINE = {f"RAY_{name}": str(64 << 20) for name in ("max_direct_call_object_size", "task_rpc_inlined_bytes_limit")}
ACTOR = dict(num_cpus=0.001, max_restarts=-1, max_task_retries=0, runtime_env={"env_vars": INLINE})


@pytest.fixture
def ray(monkeypatch, tmp_path):
    """Ray on two hosts, which share a folder; `limits`: of threads, which are meant for processes of their own."""
    ray = ray_stand_in(monkeypatch, HERE, THERE)
    ray.limits = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosts, "SEEN", 0)
    monkeypatch.setattr(ray_actors, "threadpool_limits", lambda *args: ray.limits.append(args))
    return ray


def run(d, folder, settings=ONE, **options):
    net = build(CONFIG, 1)
    return net, downpour(net, clips(), settings, d, folder=folder, progress=False, **options)


def events(folder):
    """The log without what is measured."""
    about = ("seconds", "since", "sums", "loss", "accuracy", "waiting", "pid")
    return [{k: v for k, v in record.items() if k not in about} for record in read_log(folder / "log.jsonl")]


def started(kind, i, host, **more):
    return {"event": "started", kind: i, "host": host, **more}


def steps(*replica_and_batch):
    return [{"event": "step", "replica": me, "epoch": 1, "batch": n} for me, n in replica_and_batch]


def done(me):
    return {"event": "done", "replica": me}


ACTORS = [("ShardActor", HERE), ("ShardActor", THERE), *[("ReplicaActor", host) for host in (HERE, THERE, HERE)]]
STARTED = [started("shard", i, host) for i, host in enumerate((HERE, THERE))]
STARTED += [started("replica", i, host) for i, host in enumerate((HERE, THERE, HERE))]


def test_a_run_on_two_hosts(ray, tmp_path, capsys):
    """Actors go to hosts in turn; the first replica begins alone, then those of a host share its cores."""
    net, found = run(Downpour(3, 2, fetch=1, push=1, warm_start_steps=2), tmp_path / "run", fold=2)
    made = [one for one in ray.made if one[0] != "look"]
    assert [one[:2] for one in made] == ACTORS and ray.limits == [(1, "blas")] * 3
    for _, host, how, _ in made:
        where = how["scheduling_strategy"]
        assert (where.node_id, where.soft) == (f"id of {host}", True)
        assert {key: value for key, value in how.items() if key != "scheduling_strategy"} == ACTOR
    assert [one[1] for one in ray.made if one[0] == "look"] == 2 * [HERE, THERE]  # at the folder, and at the videos
    assert {how["timeout"] for _, how in ray.waited if "num_returns" not in how} == {0, 0.1, 0.2, 0.5}
    asked = {method: [args for _, name, args in ray.asked if name == method] for method in ("run", "join", "leave")}
    assert asked["run"] == [(2, 1), (None, 2), (None, 1), (None, 2)]
    assert asked["join"] == [(me, at) for me, at in ((0, 0), (0, 2), (1, 0), (2, 0)) for _ in range(2)]
    assert asked["leave"] == [(me,) for me in (0, 0, 1, 2) for _ in range(2)]
    assert [(actor.name, actor.host) for actor in ray.over] == ACTORS[2:] + ACTORS[:2]
    log = events(tmp_path / "run")
    assert log[:5] == STARTED and {r["pid"] for r in read_log(tmp_path / "run" / "log.jsonl")[:5]} == {os.getpid()}
    assert log[5:] == [
        done(0), *steps((0, 0), (0, 1)), done(0), *steps((0, 2), (0, 5), (1, 3), (2, 4)), done(1), done(2),
        {"event": "finished", "versions": [6, 6], "staleness": {"0": 12}, "samples": 44},
    ]  # fmt: skip
    assert capsys.readouterr().err == "" and not list((tmp_path / "run").glob(".seen-*"))
    assert (found["staleness"], found["samples"]) == ({0: 12}, 44) and 0 < found["waiting"] < 1
    times = [r["seconds"] for r in read_log(tmp_path / "run" / "log.jsonl")]
    assert times[:5] == 5 * [0] and sorted(times) == times and times[5] > 0  # the clock starts with the work
    assert times[-2] - 0.001 <= found["seconds"] <= times[-1] + 0.001
    end = load(tmp_path / "run" / "checkpoint.npz")
    assert (end.epoch, end.steps, end.fold, end.history, end.content) == (1, 6, 2, found["history"], videos_of(clips()))
    assert flatten(end.params).tobytes() == flatten(net.params).tobytes() != flatten(build(CONFIG, 1).params).tobytes()


def test_what_one_shard_has_of_a_step_is_not_done_again(ray, tmp_path):
    def forgets(shard, me):
        shard.leave(me)
        shard.done[me] = 1

    ray.instead["leave"] = [lambda shard, me: shard.leave(me), forgets]
    run(Downpour(2, 2, 1, 1, warm_start_steps=2), tmp_path / "run")
    assert [args for _, name, args in ray.asked if name == "join"][2:4] == [(0, 2)] * 2
    assert {"event": "lost", "shard": 1, "replica": 0, "first": 1, "end": 2} in events(tmp_path / "run")
    assert [r["batch"] for r in events(tmp_path / "run") if r["event"] == "step"] == [0, 1, 2, 4, 3, 5]


def test_a_last_push_that_never_came_is_told(ray, tmp_path):
    """In a new log: what an earlier run wrote, which did not come to any shards, is gone."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text('{"event": "started", "shard": 7, "seconds": 1}\n')
    ray.instead["push"] = [lambda shard, me, part: None]
    _, found = run(Downpour(2, 2, 1, 1), tmp_path / "run")
    assert {"event": "lost", "shard": 0, "replica": 0, "first": 2, "end": 3} in events(tmp_path / "run")
    assert events(tmp_path / "run")[0] == STARTED[0] and found["staleness"] == {0: 11} and found["samples"] == 44 - 8


@contextlib.contextmanager
def without(folder):
    """A folder is not there."""
    folder.rename(folder.with_suffix(".away"))
    try:
        yield
    finally:
        folder.with_suffix(".away").rename(folder)


def test_a_host_that_does_not_see_the_folder_gets_no_shard(ray, tmp_path, capsys):
    """It is said to the user; nothing but this host can have the shards, so that they cannot move."""
    folder = tmp_path / "run"
    ray.there[THERE] = lambda: without(folder) if not ray.asked else contextlib.nullcontext()
    run(Downpour(3, 2, 1, 1), folder)
    made = [(one[0], one[1], one[2]["scheduling_strategy"].soft) for one in ray.made if one[0] != "look"]
    assert made == [(name, HERE, False) for name in 2 * ["ShardActor"]] + [(*one, True) for one in ACTORS[2:]]
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert err.startswith(
        f"host {THERE} ({os.uname().nodename}) does not see {folder}: it gets replicas, and no shards"
    )


def test_a_replica_that_dies_on_another_host_goes_on_there(ray, tmp_path):
    """From what some shard has of it: two of its three steps."""

    def dies(replica, stop, beside):
        replica.run(2, beside)
        ray.actors("ShardActor")[1].done[1] = 1  # which has not got the second step
        raise RayActorError("killed")

    ray.instead["run"] = [lambda replica, *args: replica.run(*args) | {"waiting": 1.23456}, dies]
    run(Downpour(2, 2, 1, 1), tmp_path / "run")
    assert [r["waiting"] for r in read_log(tmp_path / "run" / "log.jsonl") if r["event"] == "done"][0] == 1.235
    log = events(tmp_path / "run")
    assert [r for r in log if r["event"] != "step"] == [
        *STARTED[:4], done(0), {"event": "died", "replica": 1}, started("replica", 1, THERE, step=2),
        {"event": "lost", "shard": 1, "replica": 1, "first": 1, "end": 2}, done(1),
        {"event": "finished", "versions": [6, 6], "staleness": {"0": 12}, "samples": 44},
    ]  # fmt: skip
    assert [r for r in log if r["event"] == "step"] == steps((0, 0), (0, 2), (0, 4), (1, 1), (1, 3), (1, 5))


@pytest.mark.parametrize("number", [2, 1])
def test_an_error_of_a_replica_names_its_host_if_there_are_several(ray, number, tmp_path):
    def fails(replica, *args):
        raise FloatingPointError("diverged")

    ray.hosts = ray.hosts[:number]
    ray.instead["run"] = [lambda replica, *args: replica.run(*args), fails]
    with pytest.raises(FloatingPointError) as error:
        run(Downpour(2, 1, 1, 1), tmp_path / "run")
    assert str(error.value) == "diverged" and getattr(error.value, "__notes__", []) == [
        f"in replica 1 on host {THERE}"
    ] * (number - 1)
    assert len(ray.over) == 3


def test_ctrl_c_ends_the_replicas_first_and_saves_what_they_have_sent(ray, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "ray_session", lambda address: contextlib.nullcontext((ray, ["pressed"])))
    folder, d, wait = tmp_path / "run", Downpour(2, 2, 1, 1), ray.wait
    ray.wait = lambda refs, **how: ([], refs) if how.get("timeout") == 0 else wait(refs, **how)  # late reports
    with pytest.raises(KeyboardInterrupt, match=f"^stopped; the shards are saved in {folder}: run again with resume$"):
        run(d, folder)
    assert [actor.name for actor in ray.over] == [*["ReplicaActor"] * 2, *["ReplicaActor"] * 2, *["ShardActor"] * 2]
    assert sorted(r["batch"] for r in events(folder) if r["event"] == "step") == list(range(6))
    assert events(folder)[-1] == {"event": "stopped"} and not (folder / "checkpoint.npz").exists()
    assert [load(folder / "shards" / f"{i}.npz").steps for i in range(2)] == [6, 6]
