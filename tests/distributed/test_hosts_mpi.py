"""MPI's ranks on two hosts made of namespaces (tests/kit/two_hosts.py): pytest -m hosts."""

import contextlib
import time

import pytest
from host_runs import events, mpiexec, write_features
from two_hosts import two_hosts
from waiting import HANG, until

from snippets.training.checkpoint import load

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("features") / "f.npz")


@pytest.fixture
def hosts(tmp_path):
    pytest.importorskip("mpi4py", reason="needs mpi4py (pip install mpi4py mpich)")
    with two_hosts(tmp_path / "hosts") as pair:
        yield pair


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
    wait_for_steps(run, out, 100)
    yield run, told


def wait_for_steps(run, out, count):
    until(lambda: run.poll() is not None or len(events(out, "step")) > count, f"{count} steps")
    assert run.poll() is None


def test_a_killed_rank_ends_all_with_a_whole_checkpoint(hosts, features, tmp_path):
    """The others end at once; one host alone goes on from there."""
    a, b = hosts
    with running(hosts, features, out := tmp_path / "run") as (run, told):
        until(lambda: run.poll() is not None or (out / "checkpoint.npz").exists(), "a checkpoint")
        b.run("pkill", "-KILL", "-f", "bin/snippets", check=True)
        start = time.monotonic()
        assert run.wait(HANG) != 0 and time.monotonic() - start < 20, told.read_text()
    epoch = load(out / "checkpoint.npz").epoch
    assert epoch >= len(events(out, "epoch")) - 1
    done = a.run(*training(features, out, epoch + 1), "--resume")
    assert done.returncode == 0 and "video Hit@1" in done.stdout, done.stderr
