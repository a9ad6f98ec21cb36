"""What the benchmark counts and how its table looks, written down a second time: whoever changes it has to mean it.

After a change that is meant:
`PYTHONPATH=tests/kit python tests/training/test_bench_written.py > tests/training/bench.txt`.
"""

import io
import sys
import tempfile
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from written import assert_written

from snippets.training.bench import machine
from snippets.training.bench import run as bench
from snippets.training.bench.jobs import Workload
from snippets.training.bench.peers import PEERS, Peer
from snippets.training.bench.rows import Setup, choose

WRITTEN = Path(__file__).with_name("bench.txt")
ROWS = ["relu", "lstm-8x30", "decode"]  # which have no error that depends on the processor


@contextmanager
def made_up():
    """The bench with a machine, times and memory that are made up: ours take 4 ms, the rivals 8 and 2."""

    def timed(milliseconds):
        def run():
            return {}

        run.takes = milliseconds / 1000
        return lambda *arguments: Workload(run, run)

    kept = {name: getattr(bench, name) for name in ("machine_info", "peak_memory", "sample")}, dict(PEERS)
    bench.machine_info = lambda quick: {"processor": f"P, quick {quick}", "sgemm_gflops": 0.05, "copy_gbs": 2.25}
    bench.peak_memory = lambda name, setup: None if name == "relu" else 12.6e6
    bench.sample = lambda run, calls: getattr(run, "takes", 0.004)
    PEERS.clear()
    for name, milliseconds in (("slow", 8), ("fast", 2)):
        job = {row.job: timed(milliseconds) for row in choose() if not row.name.startswith("decode")}
        PEERS[name] = Peer((), lambda device, job=job: job)
    PEERS["absent"] = Peer(("no_such_package",), None)
    try:
        yield
    finally:
        for name, value in kept[0].items():
            setattr(bench, name, value)
        PEERS.clear()
        PEERS.update(kept[1])


def lines(folder):
    """What each row counts at its small size; what the bench prints of some rows."""
    for row in choose():
        work = row.job(*row.make(Setup(quick=True, folder=folder)))
        counts = f"{work.madds} multiply-adds, {work.bytes} bytes, {work.count} in a run"
        yield f"{row.name} ({row.unit}): {counts}" + (f"; {row.note}" if row.note else "")
    printed = io.StringIO()
    with made_up(), redirect_stdout(printed):
        bench.bench(ROWS, ["best"], quick=True)
    yield from printed.getvalue().splitlines()


def test_the_bench_counts_and_prints_what_is_written_down(tmp_path):
    assert_written(lines(str(tmp_path)), WRITTEN)


def test_on_a_gpu_all_but_decoding_is_measured_there(monkeypatch):
    moved = []
    gpu = SimpleNamespace(
        sample=lambda run, calls: 0.5, peak_memory=lambda job, arguments: 8e6,
        to_device=lambda a, device: moved.append(device) or a, gpu_info=lambda device, quick: {"gpu": (device, quick)},
    )  # fmt: skip
    monkeypatch.setattr(bench, "bench_gpu", gpu)
    with made_up():
        found = bench.bench(["relu", "decode"], quick=True, device="cuda:1")
        again = bench.bench(["relu"], repeat=2)
    relu, decode = found["rows"]
    assert (relu["ours_ms"], relu["peak_mb"], relu["peer"]) == (500, 8, None) and set(moved) == {"cuda:1"}
    assert decode["ours_ms"] < 4 and decode["peak_mb"] == 12.6 and found["machine"]["gpu"] == ("cuda:1", True)
    assert again["rows"][0]["repetitions"] == 2 and "gpu" not in again["machine"]


def test_a_machine_is_told_by_its_blas_and_its_rates(monkeypatch):
    """Three cores: in half a second each copies 1000 bytes, which are read and written."""
    copied = []
    monkeypatch.setattr(machine, "usable_cores", lambda: 3)
    monkeypatch.setattr(machine, "together", lambda work, a: copied.extend((work, x.nbytes) for x, _ in a) or 0.5)
    assert machine.copy_rate(1000) == 3 * 2 * 1000 / 0.5 and copied == [(np.copyto, 1000)] * 3
    blas = {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "num_threads": 4}
    libraries = [{**blas, "architecture": "Haswell"}, {**blas, "num_threads": 2}, {**blas, "user_api": "openmp"}]
    monkeypatch.setattr(machine, "product_rate", lambda n: 1e9 * n)
    monkeypatch.setattr(machine, "copy_rate", lambda size: 1e9 * size)
    for found, told in ((libraries, ("openblas 0.3, openblas 0.3", "Haswell, unknown", 4)), ([], ("unknown",) * 2)):
        monkeypatch.setattr(machine.threadpoolctl, "threadpool_info", lambda found=found: found)
        info = machine.machine_info()
        assert (info["blas"], info["kernel"], *filter(None, [info["threads"]])) == told and info["cores"] == 3
        assert (info["sgemm_gflops"], info["copy_gbs"]) == (1536, 2**26)
    assert (machine.machine_info(True)["sgemm_gflops"], machine.machine_info(True)["copy_gbs"]) == (256, 2**20)


def test_the_processor_is_named_as_the_system_names_it(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name : Some: Chip\nmodel name : other\n")
    monkeypatch.setattr(machine, "Path", lambda name: tmp_path / Path(name).name)
    assert machine.processor() == "Some: Chip"
    (tmp_path / "cpuinfo").write_text("nothing\n")
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "riscv")
    assert machine.processor() == "riscv"


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        print(*lines(folder), sep="\n")
