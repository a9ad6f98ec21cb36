"""Features and flow of videos on two hosts that share the videos and nothing else: pytest -m hosts."""

import time
from pathlib import Path

import pytest
from host_runs import TOKEN, events, ray_cluster, write_features
from two_hosts import two_hosts
from waiting import until

from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.parameters import flatten

pytest.importorskip("ray", reason="needs Ray (pip install ray)")
pytestmark = pytest.mark.hosts
JOBS = {
    "features": "--tower alexnet --size 64 --width 0.05".split(),
    "flow": "--size 64 --tvl1 warps=2,iterations=10".split(),
}


def arrays(cache):
    """The bytes of all arrays in a cache."""
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in Path(cache).glob("*/*/*/*.npy")}


@pytest.mark.parametrize("event", ["killed", "cut"])
@pytest.mark.parametrize("job", JOBS)
def test_a_host_or_the_cable_is_lost(job, event, mini, tmp_path):
    """In the middle of the job: the cache is complete and equal to one that was made here, bit for bit."""
    assert main([job, str(mini), *JOBS[job], "--cache", str(tmp_path / "here"), "--workers", "1"]) == 0
    out, videos = tmp_path / "out", 48
    with two_hosts(tmp_path, apart=[out]) as (a, b):
        address, own = ray_cluster(a, b), a.folder / "out"
        command = ["snippets", job, mini, *JOBS[job], "--cache", out, "--ray", address]
        with a.start(*command, env=TOKEN) as process:
            until(lambda: len(arrays(own)) >= videos // 4 or process.poll() is not None)
            if event == "killed":
                b.kill()
            else:
                a.cut()
                time.sleep(30)
                a.mend()
            _, err = process.communicate()
        assert process.returncode == 0, err
        assert "waiting for host 10.9.0.2 (beta), which has sent nothing for 10 s" in err
        assert event == "cut" or "host 10.9.0.2 (beta) is lost" in err
        found = arrays(own)
    assert found == arrays(tmp_path / "here") and len(found) == videos
    assert not list((tmp_path / "beta" / "out").iterdir())


def test_a_host_without_the_videos_is_named(mini, tmp_path):
    """They are in a folder that each host has for itself, and on one it is empty."""
    own = tmp_path / "own"
    with two_hosts(tmp_path, apart=[own]) as (a, b):
        address = ray_cluster(a, b)
        a.run("cp", "-r", mini, own / "videos", check=True)
        command = ["snippets", "flow", own / "videos", "--size", "64", "--cache", own / "cache", "--ray", address]
        done = a.run(*command, env=TOKEN)
    assert done.returncode == 1 and f"cannot be read on host {b.address} (beta): every host needs all" in done.stderr
    assert "Traceback" not in done.stderr


def compare(features, out):
    """Words of a command that trains four networks, each for some seconds."""
    net = "--heads average conv --seeds 2 --fc 12 --batch 8 --lr 0.01 --clip-norm 1 --epochs 400".split()
    return ["compare", str(features), *net, "--out", str(out)]


def test_experiments_outlive_a_host(tmp_path):
    """Each of four trainings is under way when one host is lost: the results are those of one process, bit for bit."""
    features, out = write_features(tmp_path / "f.npz"), tmp_path / "out"
    assert main(compare(features, tmp_path / "here")) == 0
    with two_hosts(tmp_path / "hosts") as (a, b):
        address = ray_cluster(a, b)
        with a.start("snippets", *compare(features, out), "--ray", address, env=TOKEN) as process:
            until(lambda: len(list(out.glob("*/*/checkpoint.npz"))) == 4 or process.poll() is not None)
            begun = [len(events(folder, "step")) for folder in out.glob("*/*")]
            b.kill()
            _, err = process.communicate()
        assert process.returncode == 0 and len(begun) == 4 and max(begun) < 6 * 400, err
        assert "host 10.9.0.2 (beta) is lost" in err and "predictions.npz: its process or host is lost" in err
    for path in (tmp_path / "here").rglob("checkpoint.npz"):
        one, two = (
            flatten(load(root / path.relative_to(tmp_path / "here")).params) for root in (tmp_path / "here", out)
        )
        assert one.tobytes() == two.tobytes()
    assert (out / "compare.md").read_text() == (tmp_path / "here" / "compare.md").read_text()


def test_a_host_that_does_not_share_out_is_named(tmp_path):
    features, out = write_features(tmp_path / "f.npz"), tmp_path / "out"
    with two_hosts(tmp_path / "hosts", apart=[out]) as (a, b):
        done = a.run("snippets", *compare(features, out / "run"), "--ray", ray_cluster(a, b), env=TOKEN)
    assert done.returncode == 1 and f"host beta does not see {out}/run: share that folder between all" in done.stderr
    assert "Traceback" not in done.stderr
