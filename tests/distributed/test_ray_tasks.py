"""Jobs over videos as Ray tasks: the bits of one process, whatever dies; hosts and options that are refused."""

import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import snippets.training.distributed.ray_tasks as ray_tasks
from snippets.data.decoder import Source
from snippets.data.layouts.splits import Video
from snippets.data.store.processes import Processes
from snippets.data.store.store import Store
from snippets.training.cli.main import main
from snippets.training.distributed.hosts import installed
from snippets.training.distributed.ray_session import connect, import_ray, on_this_machine
from snippets.training.distributed.ray_tasks import RayTasks

pytest.importorskip("ray", reason="needs Ray (pip install ray)")
TOWER = "--tower alexnet --size 64 --width 0.05".split()


@pytest.fixture(scope="module", autouse=True)
def one_ray():
    """Ray is started once for the module; its processes find this file."""
    ray = import_ray()
    with pytest.MonkeyPatch.context() as patch, on_this_machine() as how:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        connect(ray, **how, num_cpus=2, log_to_driver=False, logging_level="ERROR")
        yield ray
        ray.shutdown(wait_for_processes=True)


@pytest.fixture(scope="module")
def clips(mini, tmp_path_factory):
    """Eighteen clips of the mini data set, one of them cut short."""
    root = tmp_path_factory.mktemp("jobs") / "clips"
    for video in sorted(mini.glob("*/*.avi"))[:18]:
        (root / video.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(video, root / video.parent.name)
    bad = sorted(root.glob("*/*.avi"))[5]
    bad.write_bytes(bad.read_bytes()[:-1500])
    return root


def kept(folder):
    """What a store of this folder holds: the bytes of each array, and each line of the manifest."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).glob("*/*/*/*.npy")}
    return files, [sorted(path.read_text().split("\n")) for path in Path(folder).glob("*/*/manifest.jsonl")]


@pytest.mark.parametrize("job", ["features", pytest.param("flow", marks=pytest.mark.slow)])
def test_ray_processes_and_one_process_keep_the_same_bits(job, clips, tmp_path, capsys):
    """The damaged video is named once, in the same words."""
    said = []
    for way in ("--workers 1", "--workers 2", "--ray"):
        more = [*TOWER, "--seed", "3"] if job == "features" else ["--size", "32"]
        cache = str(tmp_path / way)
        code = main([job, str(clips), *more, "--cache", cache, *way.split()])
        said.append((code, *[line for line in capsys.readouterr().err.splitlines() if "_c01.avi" in line]))
        assert len(said[-1]) == 2 and len(kept(cache)[0]) == 17
    assert said[0] == said[1] == said[2] and said[0][0] == 1
    one, many, tasks = (kept(tmp_path / way) for way in ("--workers 1", "--workers 2", "--ray"))
    assert one == many == tasks


def test_check_data_finds_the_same(clips, capsys):
    found = []
    for way in ("--workers 1", "--workers 2", "--ray"):
        assert main(["check-data", str(clips), *way.split()]) == 1
        found.append(capsys.readouterr().out)
    assert found[0] == found[1] == found[2] and "damaged   1 cannot be used" in found[0]


class Fatal(Source):
    """Four arrays of 3 MB per video; in the middle its process dies, at every try or `deaths` times."""

    name, shape, dtype, parameters = "fatal", (3 << 20,), np.dtype(np.uint8), {"format": "fatal"}

    def __init__(self, folder, deaths):
        super().__init__()
        self.folder, self.deaths = folder, deaths

    def stream(self, video):
        tries = self.folder / "tries"
        for k in range(4):
            yield np.full(self.shape, k, np.uint8)
            if k == 2 and video.label and len(tries.read_bytes() if tries.exists() else b"") < self.deaths:
                with open(tries, "ab") as file:
                    file.write(b"x")
                os.kill(os.getpid(), signal.SIGKILL)


def videos(folder):
    """Three videos, of which the second, of label 1, is the fatal one."""
    found = [Video(folder / f"{k}.avi", int(k == 1), f"{k}.avi", "") for k in range(3)]
    for video in found:
        video.path.write_bytes(b"video")
    return found


def test_a_video_whose_process_dies_is_computed_again(tmp_path, capfd):
    """What had come is not kept twice; a video that kills every process is named and left out."""
    for deaths, bad in ((2, []), (99, ["1.avi"])):
        folder = tmp_path / str(deaths)
        folder.mkdir()
        store = Store(folder / "cache", Fatal(folder, deaths))
        wrong = store.fill(videos(folder), RayTasks(), progress=False)
        assert list(wrong) == bad and all("4 processes that computed it have died" in why for why in wrong.values())
        for video in videos(folder):
            if video.name not in bad:
                found = Store(folder / "cache", Fatal(folder, 0)).frames(video)[:]
                np.testing.assert_array_equal(found, np.repeat([[0], [1], [2], [3]], 3 << 20, 1))
        assert len((folder / "tries").read_bytes()) == min(deaths, ray_tasks.TRIES)
        assert capfd.readouterr().err.count("1.avi: its process or host is lost (WorkerCrashed") == min(
            deaths, ray_tasks.TRIES
        )


def test_hosts_that_differ_are_refused(tmp_path, monkeypatch):
    """Other code, or a video that is not the one here: nothing is computed, and the message names the host."""
    here = os.uname().nodename
    with monkeypatch.context() as patch:
        patch.setattr(ray_tasks, "installed", lambda: installed() | {"numpy": "1.0"})
        found = rf"host 127.0.0.1 \({here}\) has numpy {np.__version__} instead of 1.0: install the same on all"
        with pytest.raises(OSError, match=found):
            Store(tmp_path / "a", Fatal(tmp_path, 0)).fill(videos(tmp_path), RayTasks(), progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(ray_tasks, "size_of", lambda path: 7)
        with pytest.raises(OSError, match=rf"\.avi has 5 bytes on host 127.0.0.1 \({here}\), 7 on this one"):
            Store(tmp_path / "b", Fatal(tmp_path, 0)).fill(videos(tmp_path), RayTasks(), progress=False)
    assert not list(tmp_path.glob("?/*/*.npy"))


class Elsewhere(Fatal):
    """Whose module the other processes do not have."""

    __module__ = "missing_there"


def test_a_host_without_the_code_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "missing_there", SimpleNamespace(Elsewhere=Elsewhere))
    with pytest.raises(OSError, match=r"host 127.0.0.1: ModuleNotFoundError: No module named 'missing_there'"):
        Store(tmp_path, Elsewhere(tmp_path, 0)).fill(videos(tmp_path), RayTasks(), progress=False)


def test_what_cannot_be_computed_is_the_drivers_error(tmp_path):
    with pytest.raises(ValueError, match="no host offers Ray a GPU"):
        Store(tmp_path, Fatal(tmp_path, 0)).fill(videos(tmp_path), RayTasks(device="cuda"), progress=False)


def test_data_behind_the_option_is_not_taken_for_an_address(clips, capsys):
    with pytest.raises(SystemExit):
        main(["flow", "--ray", str(clips)])
    assert "is no HEAD:PORT" in capsys.readouterr().err


class Alone(Source):
    """Says whether it was told that it has one thread."""

    name, shape, dtype, parameters = "alone", (1,), np.dtype(np.uint8), {"format": "alone"}
    told = 0

    def one_thread(self):
        self.told = 1

    def stream(self, video):
        yield np.array([self.told], np.uint8)


@pytest.mark.parametrize("executor, told", [(Processes(1), 0), (Processes(2), 1), (RayTasks(), 1)], ids=repr)
def test_several_processes_have_one_thread_each(executor, told, tmp_path):
    many = [Video(tmp_path / f"{k}.avi", 0, f"{k}.avi", "") for k in range(16)]
    for video in many:
        video.path.write_bytes(b"video")
    store = Store(tmp_path / "cache", Alone())
    assert store.fill(many, executor, progress=False) == {}
    assert {store.frames(video)[:].item() for video in many} == {told}
