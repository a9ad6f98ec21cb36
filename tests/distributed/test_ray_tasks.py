"""Jobs over videos as Ray tasks: the bits of one process, whatever dies; hosts and options that are refused."""

import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from host_runs import write_features
from tiny_tables import SMALL, TINY

import snippets.training.distributed.ray_tasks as ray_tasks
from snippets.data.decoder import Source
from snippets.data.layouts.splits import Video
from snippets.data.store.processes import Processes
from snippets.data.store.store import Store
from snippets.training.checkpoint import load
from snippets.training.cli.main import execute, main
from snippets.training.distributed.hosts import installed
from snippets.training.distributed.ray_session import connect, import_ray, on_this_machine
from snippets.training.distributed.ray_tasks import RayTasks
from snippets.training.experiments.runner import Steps, command, do_step, run, training_command
from snippets.training.experiments.tables import tables
from snippets.training.experiments.trial import Trial
from snippets.training.parameters import flatten
from snippets.training.predictions import load_predictions

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


def test_a_task_is_given_up_when_its_host_is_lost_or_when_it_does_not_begin(monkeypatch):
    """At once, where Ray itself notices after minutes or never; if there is no room, it waits for its turn."""
    clock, cancelled = [0.0], []
    monkeypatch.setattr(ray_tasks.time, "monotonic", lambda: clock[0])

    def waits(refs, timeout):
        clock[0] += timeout
        tasks.over.set() if clock[0] > 1000 else None
        return [], refs

    tasks = ray_tasks.Tasks.__new__(ray_tasks.Tasks)
    tasks.ray = SimpleNamespace(wait=waits, available_resources=lambda: free, cancel=cancelled.append)
    tasks.over, tasks.heard, tasks.gone, tasks.kind = threading.Event(), {"a": ("x", 0), "b": ("y", 0)}, {"x"}, "CPU"
    free = {"CPU": 1.0}
    with pytest.raises(ray_tasks.HostLostError, match="x"):
        tasks.wait("a", "a", 0)
    assert clock[0] == 1
    with pytest.raises(ray_tasks.NotBegunError):
        tasks.wait("c", "c", 1)
    assert clock[0] == ray_tasks.BEGIN + 2 and cancelled == ["c"]
    free.clear()
    for task in "bc":  # under way, or in line
        tasks.over.clear()
        clock[0] = 0
        with pytest.raises(ray_tasks.HostError, match="the job is over"):
            tasks.wait(task, task, 0)
        assert clock[0] > 1000


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


def died_once(arguments):
    """An `execute` whose process dies at the first try."""
    made = Path(arguments[-1])
    tried = made.with_suffix(".tried")
    if not tried.exists():
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    made.write_text(os.getcwd())


def test_a_command_whose_process_dies_is_run_again(tmp_path, monkeypatch, capfd):
    """In the folder in which all began, which the words of commands mean."""
    monkeypatch.chdir(tmp_path)
    some = [command("make", name, product=Path(name)) for name in ("a", "b")]
    run(some, died_once, Path("log.txt"), ray=RayTasks())
    assert [c.product.read_text() for c in some] == [str(tmp_path)] * 2
    assert sorted((tmp_path / "log.txt").read_text().splitlines()) == sorted(2 * [str(c) for c in some])
    out, err = capfd.readouterr()
    assert all(f" s  {c.product}" in out and f"{c.product}: its process or host is lost" in err for c in some)
    assert not list(tmp_path.glob(".seen-*"))


def test_what_is_wrong_with_a_command_is_said_with_its_host(tmp_path, monkeypatch):
    missing = training_command(str(tmp_path / "none.npz"), out=tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="none.npz") as found:
        run([missing], execute, tmp_path / "log.txt", ray=RayTasks())
    assert found.value.__notes__ == [f"on host {os.uname().nodename}"]
    steps = Steps((execute, None), str(tmp_path), tmp_path / "away" / "mark")
    with pytest.raises(
        OSError, match=f"host {os.uname().nodename} does not see {tmp_path / 'away'}: share that folder"
    ):
        next(do_step(steps, None))


def trained(out):
    """The bits of the parameters and the scores of each run in a folder."""
    found = {path: flatten(load(path).params) for path in out.rglob("checkpoint.npz")}
    found |= {path: load_predictions(path).result.probabilities for path in out.rglob("predictions.npz")}
    return {path.relative_to(out): array.tobytes() for path, array in found.items()}


def test_experiments_are_the_same_on_ray(tmp_path):
    """Compare, with relative paths; and a table, whose features Ray computes for several networks."""
    write_features(tmp_path / "f.npz")
    for way in ([], ["--ray"]):
        out = str(tmp_path / f"out{len(way)}")
        words = "--heads average conv --seeds 2 --fc 8 --epochs 2 --batch 16 --out".split()
        assert main(["compare", str(tmp_path / "f.npz"), *words, out, *way]) == 0
        trial = Trial(f"{out}/data", TINY, 0, Path(out, "tables"), f"{out}/cache")
        tables((3,), [trial], SMALL, execute, RayTasks() if way else None)
    one, ray = (trained(tmp_path / name) for name in ("out0", "out1"))
    assert one == ray and {path.parts[0] for path in one} == {"average", "conv", "tables"}
    assert len({(tmp_path / name / "compare.md").read_text() for name in ("out0", "out1")}) == 1
