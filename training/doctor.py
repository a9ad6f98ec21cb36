"""Is everything there, and does it work? Versions, BLAS, cores, memory, disk, the video codec, a GPU."""

import importlib.metadata
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import threadpoolctl

from data.video import read_frames, write_video
from nets.frames import usable_cores

PACKAGES = ("numpy", "av", "matplotlib", "threadpoolctl", "tqdm", "cupy-cuda13x", "cupy-cuda12x")


def version(package):
    """The installed version, or that there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed (optional, for GPUs)" if package.startswith("cupy") else "MISSING: pip install -e ."


def sgemm_rate():
    """Billions of floating-point operations a second in a float32 matrix product, all cores; best of five."""
    a = np.ones((1024, 1024), np.float32)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * 1024**3 / min(seconds) / 1e9


def codec_works():
    """Write and read a small video; the text that says how it went, and whether it did."""
    with tempfile.TemporaryDirectory() as folder:
        frames = [np.full((32, 32, 3), 20 * t, np.uint8) for t in range(8)]
        path = Path(folder) / "test.avi"
        try:
            write_video(path, frames, 25)
            back = list(read_frames(path))
        except (OSError, ValueError) as error:
            return f"FAILED: {error}", False
    error = max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(frames, back, strict=True))
    return f"writes and reads MPEG-4, mean error {error:.1f} of 255", error < 16


def doctor():
    """Print what was found; returns 1 if something that is needed is missing or broken, else 0."""
    codec, codec_fine = codec_works()
    blas = ", ".join(
        f"{lib['internal_api']} {lib['version']} ({lib.get('architecture', 'unknown')}, {lib['num_threads']} threads)"
        for lib in threadpoolctl.threadpool_info()
        if lib["user_api"] == "blas"
    )
    memory = (
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30 if hasattr(os, "sysconf") else float("nan")
    )
    found = {
        "python": f"{platform.python_version()} on {platform.platform()}",
        **{package: version(package) for package in PACKAGES},
        "BLAS": f"{blas or 'unknown'}, float32 product {sgemm_rate():.0f} GFLOP/s",
        "cores": str(usable_cores()),
        "memory": f"{memory:.0f} GiB",
        "disk": f"{shutil.disk_usage('.').free / 2**30:.0f} GiB free here",
        "video": codec,
    }
    for name, text in found.items():
        print(f"{name:14} {text}")
    fine = codec_fine and not any("MISSING" in text for text in found.values())
    print("all that is needed is there" if fine else "something that is needed is missing or broken, see above")
    return 0 if fine else 1
