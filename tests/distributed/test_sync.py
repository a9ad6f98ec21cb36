"""Synchronous data parallel under a real mpiexec: equal gradients, one checkpoint, a clean stop, a clear complaint."""

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from waiting import HANG, until

from snippets.data.features import load_features, save_features
from snippets.data.loader import Position, batches
from snippets.training.alone import ALONE
from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.distributed.ranks import NCCL
from snippets.training.parameters import flatten

HERE = Path(__file__).resolve().parent
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
ENV = {**os.environ, "PYTHONWARNINGS": "error", "OPENBLAS_NUM_THREADS": "1"}


def mpiexec(R, *args, wait=True):
    """`mpiexec -n R python args`: the finished process, or the running one."""
    pytest.importorskip("mpi4py", reason="needs mpi4py (pip install mpi4py mpich)")
    if MPIEXEC is None:
        pytest.skip("needs mpiexec (pip install mpich)")
    command = [MPIEXEC, "-n", str(R), sys.executable, *map(str, args)]
    options = dict(env=ENV, stdin=subprocess.DEVNULL, text=True)
    if wait:
        return subprocess.run(command, capture_output=True, timeout=HANG, **options)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.fixture(autouse=True)
def nothing_is_left():
    """MPI's files in the system's folders are gone when a test's ranks are, however these ended."""

    def files():
        return {*Path("/dev/shm").glob("mpich_*"), *Path("/tmp").glob("hydra_*")}

    before = files()
    yield
    new = files() - before  # those of tests that run beside this one go when they end
    until(lambda: not any(path.exists() for path in new), f"the end of {new}", seconds=120)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """A file of features: 3 classes, 46 training videos (three batches of 16, the last uneven) and 9 for testing."""
    rng, label = np.random.default_rng(0), np.arange(55) % 3
    feat = rng.standard_normal((3, 6, 16))[label] + rng.standard_normal((55, 6, 16))
    path = tmp_path_factory.mktemp("features") / "f.npz"
    save_features(path, feat.astype(np.float32), label + 1, np.arange(55) >= 46)
    return path


def arguments(features, out, epochs=2):
    net = "--head conv --fc 12 --dropout 0 --batch 16 --clip-norm 5".split()
    return ["train", str(features), "--out", str(out), *net, "--epochs", str(epochs)]


@pytest.fixture(scope="module")
def alone(features, tmp_path_factory):
    """The same run in one process: parameters as one vector, history."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert main(arguments(features, out, epochs=4)) == 0
    checkpoint = load(out / "checkpoint.npz")
    return flatten(checkpoint.params), checkpoint.history


@pytest.mark.parametrize("R", [1, 2, 3, 4])
def test_synchronous_data_parallel_is_the_large_batch(R):
    """Synchronous data parallel = large batch (float64, exact to 1e-12)."""
    done = mpiexec(R, HERE.parent / "kit" / "sync_ranks.py", R)
    assert done.returncode == 0 and done.stdout == "equal\n", done.stderr


def test_ranks_read_disjoint_parts_of_every_batch(features):
    train_set, _ = load_features(features)
    for R in (1, 2, 5):
        parts = [list(batches(train_set, 16, Position(7, 1, 1), part=(r, R), workers=r)) for r in range(R)]
        for whole, *mine in zip(batches(train_set, 16, Position(7, 1, 1)), *parts, strict=True):
            for r, part in enumerate(mine):
                np.testing.assert_array_equal(part.index, whole.index[r::R])
                np.testing.assert_array_equal(part.x, whole.x[r::R])  # the same crops and noise, too
    nothing = list(batches(train_set, 45, Position(7), part=(1, 2)))[-1]  # one clip is left for two ranks
    assert nothing.x is None and len(nothing.labels) == 0


def test_one_checkpoint_that_another_number_of_ranks_resumes(features, alone, tmp_path):
    """Three ranks, then two, then one: the run of one process; float32, so sums differ in their last bits."""
    out = tmp_path / "run"
    for R, epochs in ((3, 1), (2, 3)):
        args = arguments(features, out, epochs) + (["--resume"] if R == 2 else [])
        done = mpiexec(R, "-m", "snippets.training.cli.main", *args)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("video Hit@1") == 1  # rank 0 speaks for all
    assert main([*arguments(features, out, 4), "--resume"]) == 0
    vector, history = alone
    checkpoint = load(out / "checkpoint.npz")
    assert {path.name for path in out.iterdir()} == {"best.npz", "checkpoint.npz", "log.jsonl", "predictions.npz"}
    np.testing.assert_allclose(flatten(checkpoint.params), vector, rtol=0, atol=2e-5)
    for ours, theirs in zip(checkpoint.history, history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert ours["accuracy"] == theirs["accuracy"] and ours["test"] == theirs["test"]
    steps = [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == ["step", "step", "step", "epoch"] * 4


def test_ctrl_c_stops_all_ranks_after_the_same_step(features, tmp_path):
    out = tmp_path / "run"
    process = mpiexec(2, "-m", "snippets.training.cli.main", *arguments(features, out, 5000), wait=False)
    log = out / "log.jsonl"
    until(lambda: process.poll() is not None or (log.exists() and log.stat().st_size > 2000), "the log's first lines")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert "saved" in err and "run again with resume" in err, err
    checkpoint = load(out / "checkpoint.npz")
    steps = [r for line in log.read_text().splitlines() if (r := json.loads(line))["event"] == "step"]
    assert steps[-1]["steps"] == checkpoint.steps == 3 * checkpoint.epoch + checkpoint.step
    again = arguments(features, out, checkpoint.epoch + 1)
    assert mpiexec(3, "-m", "snippets.training.cli.main", *again, "--resume").returncode == 0


def test_an_error_on_one_rank_ends_all(features, tmp_path):
    script = tmp_path / "fails.py"
    script.write_text(
        "from snippets.training.cli.errors import report\nfrom snippets.training.distributed import ranks\n"
        "ranks.TOGETHER = 0\n"
        "with ranks.ranks(report) as team:\n"
        "    if team.rank == 1:\n        raise ValueError('clip 7 is broken')\n"
        "    team.same(None)\n    team.sum(__import__('numpy').zeros(9))\n"
    )
    done = mpiexec(3, script)
    assert done.returncode != 0 and done.stderr.count("snippets: rank 1: clip 7 is broken") == 1
    args = arguments(tmp_path / "none.npz", tmp_path)
    script.write_text(
        "from snippets.training.cli.main import main\nfrom snippets.training.distributed import ranks\n"
        f"ranks.TOGETHER = {HANG}\nmain({args})\n"
    )
    found = mpiexec(2, script)
    assert found.returncode != 0 and found.stderr.count("snippets: ") == 1  # all ranks found it, one says it


def test_gpus_without_nccl_are_told_what_to_install():
    pytest.importorskip("cupy")
    with warnings.catch_warnings(action="ignore"):  # CuPy says it, too
        from cupy.cuda import nccl
    if getattr(nccl, "available", False):
        pytest.skip("NCCL is there")
    with pytest.raises(OSError, match="pip install nvidia-nccl-cu13"):
        NCCL(ALONE)


def test_what_is_missing_is_said_in_one_line(features, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert main(arguments(features, tmp_path)) == 1
    _, err = capsys.readouterr()
    assert 'pip install -e ".[mpi]"' in err and err.count("\n") == 1


def test_mpi4py_without_an_mpi_library_is_said_in_one_line(features, tmp_path, monkeypatch, capsys):
    """As on systems where the wheel that is called mpich is empty."""

    class Empty(ModuleType):
        def __getattr__(self, name):
            raise RuntimeError("cannot load MPI library\nlibmpi.so.12: cannot open shared object file")

    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", Empty("mpi4py"))
    assert main(arguments(features, tmp_path)) == 1
    err = capsys.readouterr().err
    assert "an MPI library" in err and "(cannot load MPI library)" in err and err.count("\n") == 1


def test_another_mpis_mpiexec_is_said_in_one_line(features, tmp_path):
    pytest.importorskip("mpi4py", reason="needs mpi4py (pip install mpi4py mpich)")
    command = [sys.executable, "-m", "snippets.training.cli.main", *arguments(features, tmp_path)]
    other = subprocess.run(
        command, env={**ENV, "OMPI_COMM_WORLD_SIZE": "3"}, capture_output=True, text=True, timeout=HANG
    )
    assert other.returncode == 1 and other.stderr.count("\n") == 1
    assert "3 processes, but mpi4py sees 1" in other.stderr
