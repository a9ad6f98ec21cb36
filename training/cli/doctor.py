"""This machine and this checkout: `snippets doctor` (does all work?), `bench` (how fast?), `museum` (how tested?)."""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import threadpoolctl

from snippets.data.video import read_frames, write_video
from snippets.layers.device.xp import usable_cores
from snippets.nets.inspect.memory import GIB, available_memory
from snippets.training.assignments.bugs import ROOT
from snippets.training.bench.machine import product_rate
from snippets.training.bench.peers import PEERS
from snippets.training.bench.run import bench
from snippets.training.cli.errors import report
from snippets.training.cli.files import Input, Json
from snippets.training.cli.options import COUNT, add_command, add_device
from snippets.training.distributed.ranks import ranks

OPTIONAL = {  # package -> what it is for
    "cupy-cuda13x": "for GPUs",
    "cupy-cuda12x": "for GPUs",
    "mpi4py": 'for many ranks, pip install -e ".[mpi]"',
    "ray": 'for Downpour SGD, pip install -e ".[ray]"',
}
PACKAGES = ("numpy", "scipy", "imageio", "av", "matplotlib", "threadpoolctl", "tqdm", *OPTIONAL)


def add_parsers(subparsers):
    """Adds the parsers of these commands."""
    p = add_command(subparsers, "bench", run_bench)
    p.add_argument("--rows", metavar="NAME", nargs="+", default=[], help="only rows with one of these in their name")
    peers = [*PEERS, "best"]
    p.add_argument("--against", choices=peers, nargs="+", default=[], help="peers to measure beside ours; best: all")
    p.add_argument("--repeat", **COUNT, default=9, help="repetitions of each side, taken in turn")
    p.add_argument("--json", type=Json, metavar="FILE", help="write the machine and all rows to this file")
    p.add_argument("--clips", type=Input, metavar="FOLDER", help="real videos for the row decode-real (default: none)")
    p.add_argument("--quick", action="store_true", help="smoke test: all rows small and once, to see whether they run")
    add_device(p)

    p = add_command(subparsers, "museum", run_museum)
    p.add_argument("--only", metavar="TEXT", nargs="+", default=[], help="bugs with one of these in their file or name")

    add_command(subparsers, "doctor", run_doctor)


def version(package):
    """The installed version, or that there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"not installed (optional, {OPTIONAL[package]})" if package in OPTIONAL else "MISSING: pip install -e ."


def try_codec():
    """Write and read a small video; the text that says how it went."""
    with tempfile.TemporaryDirectory() as folder:
        frames = [np.full((32, 32, 3), 20 * t, np.uint8) for t in range(8)]
        path = Path(folder) / "test.avi"
        try:
            write_video(path, frames, 25)
            back = list(read_frames(path))
            error = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(frames, back, strict=True))
        except (OSError, ValueError) as wrong:
            return f"FAILED: {wrong}"
    return f"{'FAILED: ' if error > 16 else ''}writes and reads MPEG-4, mean error {error:.1f} of 255"


def ranks_here():
    """The ranks that mpiexec started with this process, and the MPI library beneath; MPI is not started otherwise."""
    try:
        with ranks(report) as team:
            if team.size == 1:
                return "1; start more with mpiexec -n 4 snippets train …"
            return f"{team.size}, {team.host.size} of them on this machine; {team.library}"
    except (OSError, ModuleNotFoundError) as error:
        return f"FAILED: {error}"


def devices():
    """The GPUs that CuPy sees, and whether NCCL is there to add up their gradients."""
    try:
        import cupy

        with warnings.catch_warnings(action="ignore"):  # that NCCL is missing is said below
            from cupy.cuda import nccl
        runtime = cupy.cuda.runtime
        names = [runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())]
    except ImportError:
        return "none (CuPy is not installed)"
    except Exception as error:  # whatever a driver says
        return f"none ({error})"
    return f"{', '.join(names) or 'none'}; NCCL {'is there' if getattr(nccl, 'available', False) else 'is not there'}"


def run_doctor(args):
    """Check the installation: versions, BLAS, cores, memory, disk, codec, devices.

    Returns 1 if something that is needed is missing or broken, else 0.
    """
    blas = ", ".join(
        f"{lib['internal_api']} {lib['version']} ({lib.get('architecture', 'unknown')}, {lib['num_threads']} threads)"
        for lib in threadpoolctl.threadpool_info()
        if lib["user_api"] == "blas"
    )
    memory = available_memory()
    found = {
        "python": f"{platform.python_version()} on {platform.platform()}",
        **{package: version(package) for package in PACKAGES},
        "BLAS": f"{blas or 'unknown'}, float32 product {product_rate(1024) / 1e9:.0f} GFLOP/s",
        "cores": str(usable_cores()),
        "memory": "unknown" if memory is None else f"{memory / GIB:.1f} GiB free for this process",
        "disk": f"{shutil.disk_usage('.').free / 2**30:.0f} GiB free here",
        "video": try_codec(),
        "ranks": ranks_here(),
        "devices": devices(),
    }
    for name, text in found.items():
        print(f"{name:14} {text}")
    fine = not any(text.startswith(("MISSING", "FAILED")) for text in found.values())
    print("all that is needed is there" if fine else "something that is needed is missing or broken, see above")
    return 0 if fine else 1


def run_bench(args):
    """Measure speed and memory, row by row, alone or against a peer."""
    bench(args.rows, args.against, args.repeat, args.json, args.clips, args.quick, args.device)


def run_museum(args):
    """Plant bugs into the layers and print which kinds of tests notice them: docs/museum.

    The tests are no part of an installed package. FileNotFoundError where they are not beside it.
    """
    if not (ROOT / "tests" / "museum.py").is_file():
        raise FileNotFoundError(
            f"{ROOT}: no tests here, which the museum consists of; run it in a checkout (git clone)"
        )
    only = ["--only", *args.only] if args.only else []
    return subprocess.call([sys.executable, "-m", "tests.museum", *only], cwd=ROOT)
