"""Commands with --device: what they say and write is what they say and write on a CPU."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from bench_fields import NUMBERS, WITHOUT_FLOOR, WORDS
from contract import assert_close
from devices import to_host

from snippets.data.mini.make import make_mini
from snippets.training.bench import gpu as bench_gpu
from snippets.training.bench.rows import ROWS, Setup, choose
from snippets.training.cli.main import main
from snippets.training.experiments import demo
from snippets.training.settings import Settings

pytestmark = pytest.mark.cuda


def torch_without_cuda():
    """Whether PyTorch is here, but not for GPUs: a peer that must be left out."""
    return importlib.util.find_spec("torch") is not None and not importlib.import_module("torch").cuda.is_available()


def test_every_row_of_the_benchmark_is_measured(cp, tmp_path):
    command = ["bench", "--quick", "--device", "cuda", "--json", str(tmp_path / "bench.json")]
    assert main([*command, "--against", "opencv", *(["torch"] if torch_without_cuda() else [])]) == 0
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["machine"]["device"] == "cuda" and found["machine"]["tf32"] == "off"
    assert ("torch" in found["absent"]) == torch_without_cuda()
    assert [r["name"] for r in found["rows"]] == [row.name for row in choose()]
    for r in found["rows"]:
        assert set(r) == NUMBERS | WORDS | {"repetitions"} and r["ours_ms"] > 0 and r["peak_mb"] > 0
        assert (r["floor_ms"] is None) == r["name"].startswith(WITHOUT_FLOOR)


def test_its_jobs_give_what_numpy_gives(cp, tmp_path):
    setup = Setup(True, None, tmp_path, "cuda")
    for row in choose():
        # on the host; other masks at every call; the job of tvl1, on frames too small for such motion
        if row.name.startswith(("decode", "dropout", "tvl1-pan")):
            continue
        wanted = row.job(*row.make(setup)).results()
        got = row.job(*(bench_gpu.to_device(a, "cuda") for a in row.make(setup))).results()
        assert set(got) == set(wanted)
        for key, value in wanted.items():
            assert_close(to_host(got[key]), value, f"{row.name}: {key}", rtol=1e-3)


def test_the_clock_and_the_memory_are_the_gpus(cp):
    calls = []
    assert bench_gpu.sample(lambda: calls.append(cp.zeros(3)), 5) > 0 and len(calls) == 5
    row = next(row for row in ROWS if row.name == "sgd")
    arguments = [bench_gpu.to_device(a, "cuda") for a in row.make(Setup(True))]
    numbers = sum(a.size for a in arguments[0].values())
    assert bench_gpu.peak_memory(row.job, arguments) >= 4 * 3 * numbers  # parameters, gradients, velocities


def test_flow_images(cp, tmp_path, capsys):
    """The same images, but for what rounding moves across the edge of a step of them."""
    root = make_mini(tmp_path / "mini", 0, groups=3, clips=1, frames=16, side=32)
    images = []
    for device in ("cpu", "cuda"):
        quick = ["--size", "32", "--flow-fps", "12", "--tvl1", "scales=2,warps=1,iterations=20"]
        assert main(["flow", str(root), *quick, "--cache", str(tmp_path / device), "--device", device]) == 0
        files = sorted((tmp_path / device).rglob("*.npy"))
        images.append(np.concatenate([np.load(file).ravel() for file in files]).astype(int))
    assert images[0].size > 1000 and images[0].std() > 0.5
    assert abs(images[1] - images[0]).max() <= 1 and (images[1] != images[0]).mean() < 0.01


def test_the_demo(cp, tmp_path, monkeypatch):
    """One epoch of each stage on few clips: the report is written, and its numbers are those of a CPU."""
    once = Settings(1, 8, 0.01)
    stages = {
        name: dataclasses.replace(stage, frames=min(stage.frames, 4), views=1, heads=once, tower=stage.tower and once)
        for name, stage in demo.QUICK_STAGES.items()
    }
    monkeypatch.setattr(demo, "QUICK_STAGES", stages)
    monkeypatch.setattr(demo, "HEADS", 1)
    monkeypatch.setattr(demo, "QUICK", {"groups": 3, "clips": 1, "frames": 16})
    found = [demo.demo(tmp_path / device, quick=True, device=device) for device in ("cpu", "cuda")]
    assert found[0] == found[1]
    assert (tmp_path / "cuda" / "report.html").stat().st_size > 1000


def test_experiments_pass_the_device_on(cp, tmp_path, capsys):
    for command in (["tables", "--table", "7"], ["tables", "--table", "4", "--data", str(tmp_path)]):
        assert main([*command, "--dry-run", "--device", "cuda", "--out", str(tmp_path / "out")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("snippets ")]
    steps = [line for line in lines if not line.startswith("snippets fuse")]
    assert len(steps) > 10 and all("--device cuda" in line for line in steps)
