"""`snippets doctor`: every line that it prints, on machines that are made up."""

import contextlib
import importlib.metadata
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from snippets.training.cli import doctor

GIB = 2**30


@pytest.fixture
def made_up(monkeypatch):
    """A machine on which all is well."""
    blas = {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "num_threads": 4}
    libraries = [{**blas, "architecture": "Haswell"}, {**blas, "user_api": "openmp"}]
    for name, value in dict(
        PACKAGES=("numpy",), version=lambda package: "2.1", product_rate=lambda n: 1e9 * n, usable_cores=lambda: 3,
        available_memory=lambda: 1.5 * GIB, try_codec=lambda: "fine", ranks_here=lambda: "1", devices=lambda: "none",
    ).items():  # fmt: skip
        monkeypatch.setattr(doctor, name, value)
    monkeypatch.setattr(doctor.threadpoolctl, "threadpool_info", lambda: libraries)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=7.4 * GIB))
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.12")
    monkeypatch.setattr(doctor.platform, "platform", lambda: "Linux")
    return monkeypatch


WELL = """\
python         3.12 on Linux
numpy          2.1
BLAS           openblas 0.3 (Haswell, 4 threads), float32 product 1024 GFLOP/s
cores          3
memory         1.5 GiB free for this process
disk           7 GiB free here
video          fine
ranks          1
devices        none
all that is needed is there
"""


def test_every_line_of_the_doctor(made_up, capsys):
    assert doctor.run_doctor(None) == 0
    assert capsys.readouterr().out == WELL
    made_up.setattr(doctor.threadpoolctl, "threadpool_info", lambda: [])
    made_up.setattr(doctor, "available_memory", lambda: None)
    assert doctor.run_doctor(None) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:5:2] == ["BLAS           unknown, float32 product 1024 GFLOP/s", "memory         unknown"]


@pytest.mark.parametrize(
    "name, value, line", [("try_codec", "FAILED: no", 6), ("version", "MISSING: pip install -e .", 1)]
)
def test_what_is_broken_is_told(made_up, name, value, line, capsys):
    made_up.setattr(doctor, name, lambda *_: value)
    assert doctor.run_doctor(None) == 1
    expected, lines = WELL.splitlines(), capsys.readouterr().out.splitlines()
    expected[line] = expected[line][:15] + value
    assert lines == [*expected[:-1], "something that is needed is missing or broken, see above"]


def test_a_package_is_there_or_optional_or_missing(monkeypatch):
    def missing(package):
        raise importlib.metadata.PackageNotFoundError

    assert doctor.version("numpy") == np.__version__
    monkeypatch.setattr(doctor.importlib.metadata, "version", missing)
    assert doctor.version("cupy-cuda13x") == "not installed (optional, for GPUs)"
    assert doctor.version("numpy") == "MISSING: pip install -e ."


def test_the_codec_is_tried(monkeypatch):
    """On eight frames, of which the worst counts."""
    text, _, error = doctor.try_codec().removesuffix(" of 255").rpartition(" ")
    assert text == "writes and reads MPEG-4, mean error" and float(error) < 4
    written, back = [], []
    monkeypatch.setattr(doctor, "read_frames", lambda path: back)
    monkeypatch.setattr(doctor, "write_video", lambda path, *video: written.append((path.name, *video)))
    for off, told in ((16, ""), (17, "FAILED: ")):
        back = [np.full((32, 32, 3), 20 * t + off, np.uint8) for t in range(8)]
        assert doctor.try_codec() == f"{told}writes and reads MPEG-4, mean error {off}.0 of 255"

    back[3] = back[3] - 37
    assert doctor.try_codec() == "FAILED: writes and reads MPEG-4, mean error 20.0 of 255"
    back = [np.full((32, 32, 3), 20 * t, np.uint8) for t in range(7)]  # one is lost
    assert doctor.try_codec().startswith("FAILED: ")
    assert len(written) == 4
    for name, frames, fps in written:
        assert (name, fps, len(frames)) == ("test.avi", 25, 8)
        assert all((a == 20 * t).all() and a.shape == (32, 32, 3) for t, a in enumerate(frames))

    def broken(path):
        raise OSError("no codec")

    monkeypatch.setattr(doctor, "read_frames", broken)
    assert doctor.try_codec() == "FAILED: no codec"


def test_ranks_and_their_machines_are_counted(monkeypatch):
    team = SimpleNamespace(size=4, host=SimpleNamespace(size=2), library="Open MPI 5")
    monkeypatch.setattr(doctor, "ranks", lambda report: contextlib.nullcontext(team))
    assert doctor.ranks_here() == "4, 2 of them on this machine; Open MPI 5"
    team.size = 1
    assert doctor.ranks_here() == "1; start more with mpiexec -n 4 snippets train …"

    def without(report):
        raise ModuleNotFoundError("no mpi4py")

    monkeypatch.setattr(doctor, "ranks", without)
    assert doctor.ranks_here() == "FAILED: no mpi4py"


@pytest.mark.parametrize(
    "names, available, told",
    [
        ([b"A", b"B"], True, "A, B; NCCL is there"),
        ([b"A"], False, "A; NCCL is not there"),
        ([], None, "none; NCCL is not there"),
        (None, True, "none (no driver)"),
    ],
)
def test_gpus_are_named(names, available, told, monkeypatch):
    def count():
        if names is None:
            raise RuntimeError("no driver")
        return len(names)

    runtime = SimpleNamespace(getDeviceCount=count, getDeviceProperties=lambda i: {"name": names[i]})
    cupy, cuda = ModuleType("cupy"), ModuleType("cupy.cuda")
    cupy.cuda, cuda.runtime = cuda, runtime
    cuda.nccl = SimpleNamespace() if available is None else SimpleNamespace(available=available)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    assert doctor.devices() == told


def test_without_cupy_there_is_no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert doctor.devices() == "none (CuPy is not installed)"
