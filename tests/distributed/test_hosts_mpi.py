"""MPI's ranks on two hosts made of namespaces (tests/kit/two_hosts.py): pytest -m hosts."""

import time

import pytest
from host_runs import events, mpiexec, write_features
from two_hosts import two_hosts
from waiting import HANG, until

from snippets.training.checkpoint import load
from snippets.training.parameters import flatten

pytestmark = pytest.mark.hosts
EPOCHS = 400


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    pytest.importorskip("mpi4py", reason="needs mpi4py (pip install mpi4py mpich)")
    with two_hosts(tmp_path_factory.mktemp("hosts")) as pair:
        yield pair


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("features") / "f.npz")


def trained(hosts, features, out, epochs=EPOCHS):
    """A training with one rank per host, running."""
    net = (
        "--head conv --fc 12 --dropout 0 --batch 8 --lr 0.01 --momentum 0.5 --clip-norm 1 --evaluate-every 100".split()
    )
    return mpiexec(*hosts, "snippets", "train", features, "--out", out, *net, "--epochs", epochs)


def wait_for_steps(run, out, count):
    until(lambda: run.poll() is not None or len(events(out, "step")) > count, "steps")
    assert run.poll() is None


def test_a_stopped_rank_and_a_cut_link_change_no_bit(hosts, features, tmp_path):
    a, b = hosts
    start = time.monotonic()
    _, err = trained(hosts, features, tmp_path / "plain").communicate(timeout=HANG)
    print("plain", time.monotonic() - start)
    run, out = trained(hosts, features, tmp_path / "run"), tmp_path / "run"
    wait_for_steps(run, out, 100)
    b.run("pkill", "-STOP", "-f", "bin/snippets", check=True)
    time.sleep(5)
    before = len(events(out, "step"))
    time.sleep(5)
    assert len(events(out, "step")) == before  # the other one waits
    b.run("pkill", "-CONT", "-f", "bin/snippets", check=True)
    wait_for_steps(run, out, before + 100)
    a.cut()
    time.sleep(15)
    before = len(events(out, "step"))
    a.mend()
    wait_for_steps(run, out, before + 100)
    start = time.monotonic()
    assert run.wait(HANG) == 0, run.communicate()
    print("then", time.monotonic() - start)
    same, plain = (load(folder / "checkpoint.npz") for folder in (out, tmp_path / "plain"))
    assert flatten(same.params).tobytes() == flatten(plain.params).tobytes()


def test_a_killed_rank_ends_all_with_a_whole_checkpoint(hosts, features, tmp_path):
    out = tmp_path / "run"
    run = trained(hosts, features, out, 99999)
    wait_for_steps(run, out, 700)
    hosts[1].run("pkill", "-KILL", "-f", "bin/snippets", check=True)
    start = time.monotonic()
    assert run.wait(HANG) != 0
    print("ended", time.monotonic() - start)
    checkpoint = load(out / "checkpoint.npz")
    print(checkpoint.epoch, len(events(out, "step")))
