"""MPI's ranks on two hosts made of namespaces (tests/kit/two_hosts.py): pytest -m hosts."""

import contextlib
import time

import pytest
from host_runs import events, mpiexec, write_features
from two_hosts import two_hosts
from waiting import HANG, until

from snippets.training.checkpoint import load
from snippets.training.parameters import flatten

pytestmark = pytest.mark.hosts
EPOCHS = 500  # of six steps: still at work when a test disturbs it


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("features") / "f.npz")


@pytest.fixture
def hosts(tmp_path):
    """Two hosts; of the folder `own` each has one of its own."""
    pytest.importorskip("mpi4py", reason="needs mpi4py (pip install mpi4py mpich)")
    with two_hosts(tmp_path / "hosts", apart=[tmp_path / "own"]) as pair:
        yield pair


@pytest.fixture(scope="module")
def undisturbed(features, tmp_path_factory):
    """What a training over both hosts ends with, if nothing happens."""
    pytest.importorskip("mpi4py", reason="needs mpi4py (pip install mpi4py mpich)")
    folder = tmp_path_factory.mktemp("undisturbed")
    with two_hosts(folder / "hosts") as pair:
        run = mpiexec(folder / "told.txt", *pair, *training(features, folder / "run", EPOCHS))
        assert run.wait(HANG) == 0, (folder / "told.txt").read_text()
    return end_of(folder / "run")


def end_of(out):
    """The bits of parameters and momenta, and the loss of every epoch."""
    found = load(out / "checkpoint.npz")
    return *(flatten(a).tobytes() for a in (found.params, found.velocity)), [r["loss"] for r in found.history]


def training(features, out, epochs):
    net = (
        "--head conv --fc 12 --dropout 0 --batch 8 --lr 0.01 --momentum 0.5 --clip-norm 1 --evaluate-every 100".split()
    )
    return ["snippets", "train", features, "--out", out, *net, "--epochs", epochs]


@contextlib.contextmanager
def running(hosts, features, out, epochs=99999):
    """A training with one rank per host that has made some steps: its process, and the file with what it says."""
    told = out.parent / f"{out.name}.txt"
    run = mpiexec(told, *hosts, *training(features, out, epochs))
    wait_for_steps(run, out, 100, told)
    yield run, told


def wait_for_steps(run, out, count, told):
    until(lambda: run.poll() is not None or len(events(out, "step")) > count, f"{count} steps")
    assert run.poll() is None, told.read_text()


def test_a_killed_rank_ends_all_with_a_whole_checkpoint(hosts, features, tmp_path):
    """The others end at once; one host alone goes on from there."""
    a, b = hosts
    with running(hosts, features, out := tmp_path / "run") as (run, told):
        until(lambda: run.poll() is not None or (out / "checkpoint.npz").exists(), "a checkpoint")
        b.run("pkill", "-KILL", "-f", "bin/snippets", check=True)
        start = time.monotonic()
        assert run.wait(HANG) != 0 and time.monotonic() - start < 20, told.read_text()
    check_resumed(a, features, out)


@pytest.mark.parametrize(("event", "seconds"), [("stopped", 20), ("cut", 30)])
def test_a_stopped_rank_and_a_cut_link_only_cost_time(event, seconds, hosts, undisturbed, features, tmp_path):
    """No step is made meanwhile; then all go on, to the bits of a run that nothing disturbed."""
    a, b = hosts
    with running(hosts, features, out := tmp_path / "run", EPOCHS) as (run, told):
        b.run("pkill", "-STOP", "-f", "bin/snippets", check=True) if event == "stopped" else b.cut()
        time.sleep(2)  # for what was on its way
        before = len(events(out, "step"))
        time.sleep(seconds - 2)
        assert len(events(out, "step")) == before < 6 * EPOCHS and run.poll() is None
        b.run("pkill", "-CONT", "-f", "bin/snippets", check=True) if event == "stopped" else b.mend()
        assert run.wait(HANG) == 0, told.read_text()
    assert end_of(out) == undisturbed


def test_a_slow_link_only_slows_and_out_is_rank_0s(hosts, undisturbed, features, tmp_path):
    """Two megabits per second and way; the other host has another OUT, in which nothing is written."""
    for host in hosts:
        host.slow("2mbit")
    told, out = tmp_path / "told.txt", tmp_path / "own" / "run"
    assert mpiexec(told, *hosts, *training(features, out, EPOCHS)).wait(HANG) == 0, told.read_text()
    assert end_of(hosts[0].folder / "own" / "run") == undisturbed
    assert not list((hosts[1].folder / "own").iterdir())


def test_a_host_that_is_lost_is_waited_for_until_ctrl_c_twice(hosts, features, tmp_path):
    """Nobody tells the other rank; then its checkpoint is whole, and one host alone goes on from there."""
    a, b = hosts
    with running(hosts, features, out := tmp_path / "run") as (run, told):
        until(lambda: run.poll() is not None or (out / "checkpoint.npz").exists(), "a checkpoint")
        b.kill()
        time.sleep(2)  # for what was on its way
        before = len(events(out, "step"))
        time.sleep(10)
        assert len(events(out, "step")) == before and run.poll() is None, told.read_text()
        a.run("pkill", "-INT", "mpiexec", check=True)
        until(lambda: run.poll() is not None or "Press Ctrl-C again" in told.read_text(), "the answer of mpiexec")
        a.run("pkill", "-INT", "mpiexec", check=True)
        start = time.monotonic()
        assert run.wait(HANG) != 0 and time.monotonic() - start < 20, told.read_text()
    check_resumed(a, features, out)


def check_resumed(host, features, out):
    """The checkpoint of a run is whole: a host goes on from there alone."""
    epoch = load(out / "checkpoint.npz").epoch
    assert epoch >= len(events(out, "epoch")) - 1
    done = host.run(*training(features, out, epoch + 1), "--resume")
    assert done.returncode == 0 and "video Hit@1" in done.stdout, done.stderr
