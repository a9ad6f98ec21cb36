"""Ray and MPI on the two hosts of two_hosts.py, started by the very commands of docs/scale-out.md; small trainings."""

import shutil
import subprocess

import numpy as np
from conftest import ROOT
from waiting import until

from snippets.data.features import save_features
from snippets.training.log import read_log

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}


def documented(start, **words):
    """The command of docs/scale-out.md that begins so, as its words; some of them replaced."""
    lines = [line.strip() for line in (ROOT / "docs" / "scale-out.md").read_text().splitlines()]
    command = next(line for line in lines if line.startswith(start)).partition("  #")[0]
    for word, value in words.items():
        command = command.replace(word, str(value))
    return command.split()


def ray_cluster(a, b):
    """Start Ray on both hosts by the documented commands; the address that --address wants."""
    a.run("sh", "-c", "ray get-auth-token --generate && chmod 600 ~/.ray/auth_token", check=True)
    shutil.copytree(a.folder / "home" / ".ray", b.folder / "home" / ".ray")
    for host, start in ((a, "ray start --head"), (b, "ray start --address")):
        done = host.run(*documented(start, H1=a.address, HERE=host.address), env=TOKEN)
        assert done.returncode == 0, done.stdout + done.stderr
    return f"{a.address}:6379"


def write_features(path):
    """A file of features: 3 classes, 44 videos for training and 16 for testing; returns its path."""
    rng, label = np.random.default_rng(0), np.arange(60) % 3
    feat = (rng.standard_normal((3, 6, 8))[label] + rng.standard_normal((60, 6, 8))).astype(np.float32)
    save_features(path, feat, label + 1, np.arange(60) >= 44)
    return path


def mpiexec(told, a, b, *command):
    """`mpiexec -hosts alpha,beta command`, running; what it says goes to the file `told`.

    Where it would call ssh, it says what to start on which host.
    """
    how = "mpiexec -launcher manual -hosts alpha,beta -ppn 1".split()
    with told.open("w") as out:
        started = a.start(*how, *command, stdout=out, stderr=out)
    until(lambda: "HYDRA_LAUNCH_END" in told.read_text() or started.poll() is not None, "what to start")
    commands = [line.split()[1:] for line in told.read_text().splitlines() if line.startswith("HYDRA_LAUNCH: ")]
    for host, words in zip((a, b), commands, strict=True):
        host.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return started


def events(out, name):
    """The records of a run's log of one kind."""
    log = out / "log.jsonl"
    return [r for r in read_log(log) if r["event"] == name] if log.exists() else []
