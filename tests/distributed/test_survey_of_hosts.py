"""What hosts are asked before a run, and what is said of those that differ, with Ray replaced."""

import contextlib
import os
import platform
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ray_stand_in import RayActorError, ray_stand_in

from snippets.data.decoder import Decoder
from snippets.data.features import FeatureSet, VideoFeatures
from snippets.data.layouts.splits import Video
from snippets.data.video import VideoError
from snippets.training.distributed import hosts
from snippets.training.distributed.hosts import (
    Host,
    Stalls,
    check_data,
    check_installed,
    installed,
    nodes_of,
    on_each,
    survey,
)

HERE, THERE = "10.0.0.3", "10.0.0.2"
THIRD = "10.0.0.1"


@pytest.fixture
def ray(monkeypatch):
    monkeypatch.setattr(hosts, "SEEN", 0)
    return ray_stand_in(monkeypatch, HERE, THERE, THIRD)


def nobody(*args):
    raise AssertionError("nothing has to be said")


def test_hosts_are_those_that_are_alive_this_one_first(ray):
    """The others by their addresses."""
    assert nodes_of(ray) == [(f"id of {host}", host) for host in (HERE, THIRD, THERE)]
    others = [("x", "10.0.0.5", True), ("a", "10.0.0.6", True), ("b", "10.0.0.4", False), (f"id of {HERE}", "z", True)]
    ray.nodes = lambda: [{"NodeID": id, "NodeManagerAddress": at, "Alive": alive} for id, at, alive in others]
    assert nodes_of(ray) == [(f"id of {HERE}", "z"), ("x", "10.0.0.5"), ("a", "10.0.0.6")]


def test_how_long_and_at_how_many_videos_hosts_look(ray, tmp_path, monkeypatch):
    monkeypatch.undo()
    asked = []
    monkeypatch.setattr(hosts, "nodes_of", lambda ray: [1, 2])
    monkeypatch.setattr(hosts, "on_each", lambda ray, look, args, say: asked.append((args, say)) or {})
    assert survey(None, tmp_path, nobody) == [] and check_data(None, [1, 2], "a job", nobody) is None
    (((_, seconds), one), (job, other)) = asked
    assert (seconds, job, one, other) == (2, ("a job", 20), nobody, nobody)


def test_silence_is_said_after_exactly_ten_seconds(monkeypatch):
    clock, said = [0.0], []
    monkeypatch.setattr(hosts.time, "monotonic", lambda: clock[0])
    stalls = Stalls(lambda *args: said.append(args))
    for clock[0] in (0.0, 9.9, 10.0, 19.9, 20.0, 39.9, 40.0):
        stalls.waiting("a")
    assert said == [("a", 10.0), ("a", 20.0), ("a", 40.0)]


def test_each_host_is_asked_once_and_waited_for(ray, monkeypatch):
    """Tasks take no core, run where they should or not at all, and once; what is late is looked at every 0.1 s."""
    waits, told = [2, 3, 0], []
    stalls = SimpleNamespace(waiting=told.append)
    monkeypatch.setattr(hosts, "Stalls", lambda say: stalls if say is nobody else None)

    def wait(refs, timeout):
        assert timeout == 0.1
        ready = refs[-1:] if not waits or waits.pop(0) else []
        return ready, [ref for ref in refs if ref not in ready]

    monkeypatch.setattr(ray, "wait", wait)
    found = on_each(ray, lambda a, b: (a, b, ray.here), (1, 2), nobody)
    assert list(found.items()) == [((f"id of {host}", host), (1, 2, host)) for host in (HERE, THIRD, THERE)]
    answers = [f"an answer of host {host}" for host in (HERE, THIRD, THERE)]
    assert told == [*answers[:2], answers[0], answers[0]]
    for (_, host, how, args), expected in zip(ray.made, (HERE, THIRD, THERE), strict=True):
        where = how.pop("scheduling_strategy")
        assert (host, where.node_id, where.soft, args) == (expected, f"id of {host}", False, (1, 2))
        assert how == {"num_cpus": 0, "max_retries": 0}


def test_a_host_that_fails_is_named_with_the_last_line(ray):
    def fails():
        if ray.here == THERE:
            raise RayActorError("lost\n  its node\nit is gone\n")

    with pytest.raises(OSError, match=f"^host {THERE} does not answer as it should: it is gone$"):
        on_each(ray, fails, (), nobody)


def test_a_cluster_of_one_host_is_not_asked(ray, tmp_path):
    ray.hosts = [HERE]
    assert survey(ray, tmp_path, nobody) == [Host(f"id of {HERE}", HERE, platform.node(), True)] and not ray.made
    check_data(ray, [1], None, nobody)
    assert not ray.made and str(Host("id", "1.2.3.4", "alpha", False)) == "host 1.2.3.4 (alpha)"


@contextlib.contextmanager
def instead(folder, other):
    """Another folder under the name of this one."""
    folder.rename(folder.with_suffix(".away"))
    other.rename(folder)
    try:
        yield
    finally:
        folder.rename(other)
        folder.with_suffix(".away").rename(folder)


def test_what_each_host_sees_of_a_folder(ray, tmp_path):
    """One shares it, one has another of that name, whose shards of another run end all."""
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run / "shards", other / "shards"):
        folder.mkdir(parents=True)
    (run / "shards" / "0.npz").touch()  # ours, which a host that sees it may see
    name = os.uname().nodename
    ray.there[THERE] = lambda: instead(run, other)
    found = survey(ray, run, nobody)
    assert found == [Host(f"id of {host}", host, name, host != THERE) for host in (HERE, THIRD, THERE)]
    assert not list(run.glob(".*")) and not list(other.glob(".*"))
    marks = [args for _, _, _, args in ray.made]
    assert len(set(marks)) == 1 and marks[0][1] == 0 and marks[0][0].startswith(f"{run}/.seen-")
    assert len(marks[0][0]) == len(f"{run}/.seen-") + 64
    for shard in ("1.npz", "0.npz"):
        (other / "shards" / shard).touch()
    words = f"{THERE} \\({name}\\) has {run}/shards/0.npz of another run: remove it there, or choose another folder"
    with pytest.raises(FileExistsError, match=words):
        survey(ray, run, nobody)
    assert not list(run.glob(".*"))


@pytest.mark.parametrize("missing", [True, False])
def test_a_host_without_this_code_or_with_another_is_named(ray, missing, tmp_path, monkeypatch):
    """The module is not there, or an older one, which says something else of what is installed."""
    module = "snippets.training.distributed.hosts"
    older = SimpleNamespace() if missing else SimpleNamespace(installed=lambda: installed() | {"numpy": "1.0"})

    @contextlib.contextmanager
    def there():
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, older)
            yield

    ray.there[THIRD] = there
    told = f"has numpy 1.0 instead of {np.__version__}: install" if not missing else "has no snippets of this version"
    with pytest.raises(OSError, match=rf"^host {THIRD} \({os.uname().nodename}\) {told}.*the same on all hosts$"):
        survey(ray, tmp_path, nobody)


def test_what_is_compared_between_hosts(monkeypatch):
    """Versions of Python and of what computes, as far as it is there; every source file of the four folders."""
    monkeypatch.setattr(platform, "python_version", lambda: "3.99")
    found = installed()
    assert found["Python"] == "3.99"
    folders = {key.partition("/")[0] for key in found if "/" in key}
    assert folders == {"layers", "nets", "data", "training"}
    assert {key.rpartition(".")[2] for key in found if "/" in key} <= {"py", "cu", "h"}
    assert {key for key in found if "/" not in key} <= {"Python", "numpy", "av", "ray", "mpi4py"}
    words = r"^h has numpy missing instead of {}, new 1 instead of none: install the same on all hosts$"
    with pytest.raises(OSError, match=words.format(found["numpy"])):
        check_installed(found, {key: found[key] for key in found if key != "numpy"} | {"new": 1}, "h")
    with pytest.raises(OSError, match="^h has another version of a/b and 1 more files: install"):
        check_installed({"a/b": 1, "a/c": 1}, {}, "h")


class Content:
    """A job of so many videos, of which some are wrong."""

    def __init__(self, count, cwd):
        self.content, self.cwd = [None] * count, cwd


@pytest.mark.parametrize(
    "count, looked", [(1, [0]), (19, list(range(19))), (39, list(range(39))), (40, list(range(0, 40, 2)))]
)
def test_twenty_videos_or_more_are_compared(ray, count, looked, tmp_path, monkeypatch):
    """Evenly, from the folder in which the run began, if the host has it; the first that is wrong is said."""
    seen, away, wrong = [], tmp_path / "away", None

    def look(job, i):
        seen.append((ray.here, os.getcwd(), i))
        return wrong if i in looked[-2:] and ray.here == THIRD else None

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosts, "wrong_video", look)
    listed = [Host(f"id of {host}", host, "name", True) for host in (THERE, THIRD, HERE)]
    job = Content(count, str(away))
    check_data(ray, listed, [ray.put(job)], nobody)
    assert seen == [(host, str(tmp_path), i) for host in (HERE, THIRD, THERE) for i in looked]
    seen.clear()
    away.mkdir()
    wrong = "lacks data: x.avi"
    words = rf"^host {THIRD} \(name\) lacks data: x.avi; every host needs all videos$"
    with pytest.raises(OSError, match=words):
        check_data(ray, listed, [ray.put(job)], nobody)
    assert os.getcwd() == str(tmp_path)
    assert seen == [
        (host, str(away), i)
        for host in (HERE, THIRD, THERE)
        for i in looked
        if host != THIRD or i == looked[0] or i < looked[-1]
    ]


def test_videos_behind_features_are_compared(clip, tmp_path):
    """Rows in another order than the videos; a video that is there, but cannot be read, is lacking, too."""
    names = ["a.avi", "b.avi", "c.avi"]
    for name in names:
        shutil.copy(clip, tmp_path / name)
    with (tmp_path / "c.avi").open("ab") as file:
        file.write(b"another")
    videos = [Video(tmp_path / name, 0, name, name) for name in names]

    class Lost(Decoder):
        def take(self, video, windows):
            raise VideoError(f"{video.name} is damaged")

    stored = VideoFeatures(videos, Lost(8), 3)
    data = FeatureSet(stored, [2, 0], [0, 0], ["k"], ["c.avi", "a.avi"])
    checksums = [Decoder(8).checksum(videos[i]) for i in (2, 0)]
    assert checksums[0] != checksums[1]
    job = SimpleNamespace(
        dataset=data, content=[(name, 0, crc) for name, crc in zip(data.names, checksums, strict=True)]
    )
    assert [hosts.wrong_video(job, i) for i in range(2)] == [None, None]
    job.content.reverse()
    assert hosts.wrong_video(job, 0) == "has another video a.avi than this host"
    job.content.reverse()
    videos[2].path.unlink()
    assert hosts.wrong_video(job, 0) == "lacks data: c.avi is damaged" and hosts.wrong_video(job, 1) is None
