"""What --device asks for reaches what computes: NumPy stands in for CuPy, so that it can be seen without a GPU."""

import re

import numpy as np
import pytest

import snippets.training.cli.dataset
import snippets.training.cli.doctor
import snippets.training.cli.experiments as experiments
import snippets.training.loop
import snippets.training.parameters as parameters
from snippets.training.cli.main import main
from snippets.training.experiments import demo
from snippets.training.settings import Settings

NET = "--size 28 --width 0.1 --fc 4 --frames 3 --head conv"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The devices that commands ask for, other than the CPU."""
    found = []

    def use(device):
        found.extend({device} - {"cpu"})
        return np

    for module in (parameters, snippets.training.cli.dataset):
        monkeypatch.setattr(module, "use_device", use)
    monkeypatch.setattr(snippets.training.loop.gpu_loop, "on_gpu", snippets.training.loop.on_host)
    monkeypatch.chdir(tmp_path)
    return found


HEAD = "--features-of run-cpu/checkpoint.npz --head late --fc 4 --epochs 1 --cache c"
FLOW = "--size 16 --tvl1 scales=1,warps=1,iterations=2"
COMMANDS = (  # DEVICE stands in the names of what they write
    f"train VIDEOS {NET} --epochs 1 --cache none --out run-DEVICE",
    f"train VIDEOS {HEAD} --out head-DEVICE",
    "evaluate run-cpu/checkpoint.npz VIDEOS --cache none",
    "evaluate head-cpu/checkpoint.npz VIDEOS --features-of run-cpu/checkpoint.npz --cache c",
    "predict run-cpu/checkpoint.npz CLIP",
    "predict run-cpu/checkpoint.npz CLIP --whole",
    "features VIDEOS --model run-cpu/checkpoint.npz --cache none --count 3 --out DEVICE.npz",
    "features CLIP --size 28 --width 0.1 --count 3 --cache none --out DEVICE2.npz",
    f"flow VIDEOS {FLOW} --cache flow-DEVICE",
    f"flow CLIP {FLOW} --render DEVICE.png",
)


def test_commands_compute_where_they_are_told_to(asked, mini, clip, capsys):
    """The same numbers, asked of the GPU that the option names."""
    for command in COMMANDS:
        printed = []
        for device in ("cpu", "cuda:1"):
            words = command.replace("DEVICE", device).replace("VIDEOS", str(mini)).replace("CLIP", str(clip)).split()
            assert main([*words, "--device", device]) == 0, command
            assert set(asked) == {device} - {"cpu"}, command
            asked.clear()
            memory = r"a training step takes.*|on a GPU:.*"  # is predicted for a CPU alone
            printed.append(re.sub(memory, "", capsys.readouterr().out).replace(device, "DEVICE").split())
        assert printed[0] == printed[1]


def test_experiments_hand_on_where_to_compute(monkeypatch, tmp_path):
    """What runs them gets the device, and so does each command of theirs."""
    told = {}
    for name in ("demo", "write_clips", "claims", "compare", "tables"):
        monkeypatch.setattr(experiments, name, lambda *a, name=name, **how: told.update({name: (a, how)}))
    monkeypatch.setattr(snippets.training.cli.doctor, "bench", lambda *a: told.update(bench=a))
    (tmp_path / "w.npz").touch()
    monkeypatch.chdir(tmp_path)
    for command in (
        "demo --seed 3 --out d --weights w.npz --videos . --labels w.npz", "claims --seeds 4 --quick", "claims",
        "compare w.npz --seeds 2", "tables", "bench --repeat 3 --quick",
    ):  # fmt: skip
        assert main([*command.split(), "--device", "cuda:1"]) == 0
        if command.startswith("claims"):
            (lab, names, execute, ray, ablations), _ = told["claims"]
            assert (lab.device, lab.seeds) == ("cuda:1", 4 if "--seeds" in command else None)
            assert lab.grounds is (experiments.QUICK if "--quick" in command else experiments.GROUNDS)
            assert (names, ray, ablations) == ([], None, False) and callable(execute)
    assert told["demo"] == (("d", 3, False, "cuda:1"), {})
    (out, weights, videos, labels, device, execute), _ = told["write_clips"]
    assert (out, weights, videos, labels, device) == ("d", "w.npz", ".", "w.npz", "cuda:1") and callable(execute)
    (features, heads, seeds, out, options), how = told["compare"]
    assert (features, heads, seeds, out) == ("w.npz", ["average", "conv", "lstm"], 2, "runs/compare")
    assert options["device"] == "cuda:1" and (how["workers"], how["ray"]) == (1, None)
    (numbers, trials, data, execute, ray), _ = told["tables"]
    assert numbers == (1, 2, 3, 4, 5, 6, 7)
    assert {trial.device for trial in trials} == {"cuda:1"} and [trial.seed for trial in trials] == [0, 1, 2]
    assert all("--device cuda:1" in str(c) for c in trials[0].commands("googlenet-conv-30"))
    assert told["bench"] == ([], [], 3, None, None, True, "cuda:1")


def test_the_demo_computes_its_networks_there(asked, tmp_path, monkeypatch, capsys):
    """A tower, and a head on its features, of each of its networks that has one."""
    once = Settings(1, 8, 0.01)
    stages = {"single": demo.replace(demo.QUICK_STAGES["single"], views=1, heads=once, tower=once)}
    monkeypatch.setattr(demo, "QUICK_STAGES", stages)
    monkeypatch.setattr(demo, "HEADS", 1)
    monkeypatch.setattr(demo, "QUICK", {"groups": 3, "clips": 1, "frames": 16})
    monkeypatch.setattr(demo, "write_page", lambda path, *_: path)
    demo.demo(tmp_path / "demo", quick=True, device="cuda:1")
    assert asked == ["cuda:1"] * 2
