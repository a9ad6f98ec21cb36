"""What hosts must have in common, what is said about silence, how long it may last; without Ray or a second host."""

import pickle
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.decoder import Decoder
from snippets.data.features import FeatureSet, StoredFeatures
from snippets.data.layouts.splits import Video
from snippets.data.loader import ClipSet, Preprocessing
from snippets.data.store.store import Store
from snippets.nets.frames import OverFrames
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import videos_of
from snippets.training.distributed import hosts, ray_actors, ray_tasks
from snippets.training.distributed.hosts import Stalls, check_installed, installed, wrong_video
from snippets.training.distributed.ray_actors import PATIENCE, patient, share_cores
from snippets.training.distributed.ray_engine import Driver


def test_other_code_and_other_versions_are_named():
    here = installed()
    assert here == installed() and here["numpy"] and "training/distributed/hosts.py" in here and "layers/lrn.cu" in here
    check_installed(here, dict(here), "host b")
    other = here | {"numpy": "1.0", "nets/alexnet.py": 0, "training/step.py": 0}
    del other["layers/lstm.py"]
    with pytest.raises(OSError) as found:
        check_installed(here, other, "host b")
    assert str(found.value) == (
        f"host b has numpy 1.0 instead of {here['numpy']}, another version of layers/lstm.py and 2 more files: "
        "install the same on all hosts"
    )
    with pytest.raises(OSError, match=r"host b has another version of layers/new\.py: install"):
        check_installed(here, here | {"layers/new.py": 1}, "host b")


def test_a_host_has_some_time_to_see_what_another_has_written(tmp_path, monkeypatch):
    """A file that comes late is seen; where none comes, files of an earlier run are told."""
    (tmp_path / "here").mkdir()
    (tmp_path / "far" / "shards").mkdir(parents=True)
    (tmp_path / "far" / "shards" / "0.npz").touch()
    looks = []

    def on_each(ray, look, args, say):
        mark = Path(args[0])
        looks.append(look(str(tmp_path / "far" / mark.name), 0.2))
        mark.rename(mark.with_suffix(".later"))
        threading.Timer(0.3, lambda: mark.with_suffix(".later").rename(mark)).start()
        looks.append(look(*args))
        return {("id", "1.2.3.4"): looks[1]}

    monkeypatch.setattr(hosts, "nodes_of", lambda ray: [("id", "1.2.3.4"), ("other", "1.2.3.5")])
    monkeypatch.setattr(hosts, "on_each", on_each)
    (host,) = hosts.survey(None, tmp_path / "here", lambda *_: None)
    assert host.sees and host.address == "1.2.3.4"
    (_, far, old, _), (_, near, none, there) = looks
    assert (far, old, near, none, there) == (False, [str(tmp_path / "far" / "shards" / "0.npz")], True, [], installed())


def test_videos_that_a_host_lacks_or_has_otherwise_are_named(clip, tmp_path):
    """A copy of the job, as another host gets it: what is in a cache that it sees need not be there otherwise."""
    paths = [tmp_path / "data" / f"{name}.avi" for name in "ab"]
    (tmp_path / "data").mkdir()
    for path in paths:
        shutil.copy(clip, path)
    videos = [Video(path, 0, path.name, path.name) for path in paths]
    cached = Store(tmp_path / "cache", Decoder(8))
    for source in (cached, Decoder(8)):
        data = ClipSet(["a"], videos, source, 2, Preprocessing(8))
        data.train_clip(0, np.random.default_rng(0))  # into the cache
        job = SimpleNamespace(dataset=data, content=videos_of(data))
        there = pickle.loads(pickle.dumps(job))
        assert wrong_video(there, 0) is wrong_video(there, 1) is None
        for path in paths:
            path.rename(path.with_suffix(".away"))
        assert wrong_video(there, 1).startswith(f"lacks data: {paths[1]}")
        assert (wrong_video(there, 0) is None) == (source is cached)
        for path in paths:
            path.with_suffix(".away").rename(path)
        with paths[0].open("ab") as file:
            file.write(b"x")
        assert wrong_video(there, 0) == "has another video a.avi than this host" and wrong_video(there, 1) is None
        shutil.copy(clip, paths[0])
    features = FeatureSet(StoredFeatures(np.ones((1, 3, 2), np.float32), np.ones(1)), [0], [0], ["a"], ["v"])
    assert wrong_video(SimpleNamespace(dataset=features, content=videos_of(features)), 0) is None


def test_a_stall_is_said_after_ten_seconds_then_less_and_less_often(monkeypatch):
    clock, said = [0.0], []
    monkeypatch.setattr(hosts.time, "monotonic", lambda: clock[0])
    stalls = Stalls(lambda what, seconds: said.append((what, round(seconds))))

    def pass_time(seconds, *whats):
        for _ in range(8 * seconds):
            clock[0] += 0.125
            for what in whats:
                stalls.waiting(what)

    pass_time(9, "a", "b")
    stalls.over("a")
    pass_time(90, "a", "b")
    assert [seconds for what, seconds in said if what == "b"] == [10, 20, 40, 80]
    assert [seconds for what, seconds in said if what == "a"] == [
        27,
        53,
    ]  # it had taken nearly 9 seconds without any stall
    for what in ("a", "b"):
        stalls.over(what)
    said.clear()
    stalls.over("a")  # it came at once
    pass_time(15, "a")
    assert said == [("a", 10)]


@pytest.mark.parametrize(("blocked", "comes_back"), [(400, True), (0, True), (0, False)])
def test_patience_counts_from_the_first_error(blocked, comes_back, monkeypatch):
    """A link that is down blocks a call for minutes; only then does Ray say that the actor is gone."""
    clock = [0.0]

    class RayActorError(Exception):
        actor_init_failed = False

    def get(ref):
        clock[0] += blocked if ref == 1 else 1
        if ref < (10 if comes_back else 1000):
            raise RayActorError("gone")
        return ref

    exceptions = SimpleNamespace(RayActorError=RayActorError, ActorUnschedulableError=RayActorError)
    monkeypatch.setattr(ray_actors, "import_ray", lambda: SimpleNamespace(get=get, exceptions=exceptions))
    monkeypatch.setattr(ray_actors.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(ray_actors.time, "sleep", lambda seconds: None)
    calls = iter(range(1, 2000))
    method = SimpleNamespace(remote=lambda: next(calls))
    if comes_back:
        assert patient(method) == 10
    else:
        with pytest.raises(OSError, match=rf"shard 3 has not come back within {PATIENCE} s \(gone\)"):
            patient(method, who="shard 3")
        assert PATIENCE <= clock[0] <= PATIENCE + 2


def test_replicas_share_the_cores_of_their_own_host(monkeypatch):
    """Ten replicas on ten hosts of 16 cores have 16 threads each; three on one host have 5, the one beside them 16."""
    monkeypatch.setattr(ray_actors, "usable_cores", lambda: 16)
    given, driver = {}, Driver.__new__(Driver)

    def replica(me):
        return SimpleNamespace(run=SimpleNamespace(remote=lambda stop, beside: given.update({me: beside})))

    driver.replicas = [replica(me) for me in range(10)]
    for places, who, threads in ((range(10), range(10), {16}), ([0, 0, 0, 1], range(4), {5, 16}), ([0, 0], [0], {16})):
        given.clear()
        driver.at = {("replica", me): f"host {place}" for me, place in enumerate(places)}
        for me in who:
            driver.start(me, None, who)
        found = set()
        for beside in given.values():
            net = build(NetConfig(2, "alexnet", "conv", 4, size=36, width=1 / 12, fc=4))
            share_cores(net, beside)
            found |= {layer.threads for layer in net.layers.values() if isinstance(layer, OverFrames)}
        assert found == threads


def test_hosts_that_come_go_or_fall_silent_are_told(monkeypatch):
    """A host alone is not; two are, and one that is lost, of which tasks are given up; each silence once, after SAY."""
    clock, told = [100.0], []
    monkeypatch.setattr(ray_tasks.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(ray_tasks.tqdm, "write", lambda text, file: told.append(text))

    def node(name, room, alive=True):
        return {"Alive": alive, "NodeManagerAddress": name, "NodeManagerHostname": "h", "Resources": {"CPU": room}}

    tasks = ray_tasks.Tasks.__new__(ray_tasks.Tasks)
    tasks.failed, tasks.hosts, tasks.gone, tasks.noted, tasks.looked, tasks.heard = None, {}, set(), set(), 0.0, {}
    nodes, tasks.kind = [node("a", 2.0)], "CPU"
    tasks.ray = SimpleNamespace(nodes=lambda: nodes)
    tasks.look()
    assert not told and tasks.hosts == {"a (h)": 2.0}
    nodes.append(node("b", 3.0))
    tasks.look()  # too soon
    assert not told
    clock[0] += ray_tasks.SAY
    tasks.heard = {1: ("b (h)", clock[0]), 2: ("b (h)", clock[0] - 30)}
    tasks.look()
    assert told == ["host b (h) takes part: room for 5 tasks now"]
    clock[0] += ray_tasks.SAY + 1
    tasks.look()
    clock[0] += ray_tasks.SAY
    tasks.look()
    waits = f"waiting for host b (h), which has sent nothing for {ray_tasks.SAY} s; it computes 2 videos"
    assert told[1:] == [waits] and not tasks.gone
    nodes[1], tasks.heard = node("b", 3.0, alive=False), {}
    clock[0] += ray_tasks.SAY
    tasks.look()
    assert told[2:] == ["host b (h) is lost: room for 2 tasks now"] and tasks.gone == {"b (h)"}
    nodes[1] = node("b", 3.0)
    clock[0] += ray_tasks.SAY
    tasks.look()
    assert told[3:] == ["host b (h) takes part: room for 5 tasks now"] and not tasks.gone
    tasks.failed = OSError("of a task")
    with pytest.raises(OSError, match="of a task"):
        tasks.look()
