"""Training on CuPy: the same numbers as on NumPy, checkpoints that know no device, and a host that never waits."""

import json

import numpy as np
import pytest
from contract import assert_close
from cuda_nets import NETS, clips_for
from devices import to_host, updates_like_numpys

from snippets.data.mini.make import make_mini
from snippets.nets.zoo import build
from snippets.training import gpu_loop
from snippets.training.cli.main import main
from snippets.training.loop import train
from snippets.training.model import load_model
from snippets.training.parameters import move_to_device, use_device
from snippets.training.settings import Settings
from snippets.training.sgd import SGD

pytestmark = pytest.mark.cuda


def test_sgd_on_one_vector(cp):
    updates_like_numpys(cp.asarray)


def test_sgd_wants_one_vector(cp):
    with pytest.raises(ValueError, match="2 separate arrays.*training.parameters.move_to_device"):
        SGD({"W": cp.ones(3), "b": cp.ones(2)}, 0.1)


@pytest.mark.parametrize("head", NETS)
def test_training_takes_the_same_steps_as_on_numpy(cp, head, tmp_path, monkeypatch):
    """Two epochs of five steps, dropout and all: log, history and parameters agree; the loss is read every 2 steps."""
    monkeypatch.setattr(gpu_loop, "EVERY", 2)
    config, histories, nets, logs = NETS[head], [], [], []
    for device in ("cpu", "cuda"):
        net = move_to_device(build(config, 1), device)
        settings = Settings(2, 2, 0.05, clip_norm=1.0)
        data = clips_for(config)
        histories.append(train(net, data, settings, test=data, folder=tmp_path / device, progress=False))
        lines = (tmp_path / device / "log.jsonl").read_text().splitlines()
        logs.append([json.loads(line) for line in lines])
        nets.append(net)
    assert [{k: v for k, v in r.items() if k in ("event", "epoch", "step")} for r in logs[0]] == [
        {k: v for k, v in r.items() if k in ("event", "epoch", "step")} for r in logs[1]
    ]
    for here, there in zip(*logs, strict=True):
        assert there["loss"] == pytest.approx(here["loss"], rel=1e-5)
        assert there["accuracy"] == here["accuracy"]
    here, there = (history[-1]["test"] for history in histories)
    assert there == here | {"loss": pytest.approx(here["loss"], rel=1e-5)}
    for key, value in nets[0].params.items():
        assert_close(to_host(nets[1].params[key]), value, key, rtol=1e-4)


def test_a_run_resumes_on_another_device(cp, tmp_path):
    """One epoch on the GPU and one on the CPU, and the other way round: what two epochs on one device give."""
    config, ends = NETS["lstm"], []
    for number, devices in enumerate([("cpu", "cpu"), ("cuda", "cpu"), ("cpu", "cuda")]):
        for epochs, device in enumerate(devices, 1):
            net = move_to_device(build(config, 1), device)
            folder, resume = tmp_path / str(number), epochs > 1
            train(net, clips_for(config), Settings(epochs, 4, 0.05), folder=folder, resume=resume, progress=False)
        ends.append(to_host(dict(net.params)))
    for end in ends[1:]:
        for key, value in ends[0].items():
            assert_close(end[key], value, key, rtol=1e-5)


def test_a_diverged_run_says_so_when_the_loss_is_read(cp, tmp_path):
    data = clips_for(NETS["lstm"])
    data.x[:] = np.nan
    with pytest.raises(FloatingPointError, match="diverged.*in step 1, loss nan"):
        train(
            move_to_device(build(NETS["lstm"]), "cuda"), data, Settings(1, 4), folder=tmp_path / "run", progress=False
        )
    assert not (tmp_path / "run" / "checkpoint.npz").exists()


def test_the_command_line_on_a_gpu(cp, tmp_path, capsys, monkeypatch):
    """Train, evaluate, predict and compute features with --device; the checkpoint then works on the CPU too."""
    monkeypatch.chdir(tmp_path)
    root = make_mini(tmp_path / "mini", 0, groups=3, clips=1, frames=16, side=32)
    small = ["--frames", "4", "--size", "27", "--width", "0.1", "--fc", "8", "--epochs", "1", "--batch", "16"]
    assert main(["train", str(root), *small, "--workers", "0", "--device", "cuda"]) == 0
    assert main(["evaluate", "runs/conv/checkpoint.npz", str(root), "--device", "cuda:0"]) == 0
    there = capsys.readouterr().out.splitlines()[-1]
    assert main(["evaluate", "runs/conv/checkpoint.npz", str(root)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == there
    video = str(next(root.glob("*/*.avi")))
    for way in ([], ["--whole"]):
        answers = []
        for device in ("cpu", "cuda"):
            assert main(["predict", "runs/conv/checkpoint.npz", video, *way, "--device", device]) == 0
            answers.append(capsys.readouterr().out)
        assert answers[0] == answers[1]
    for device in ("cpu", "cuda"):
        command = ["features", video, "--model", "runs/conv/checkpoint.npz", "--count", "2", "--out", f"{device}.npz"]
        assert main([*command, "--device", device, "--cache", device]) == 0  # else the second finds those of the first
    assert_close(np.load("cuda.npz")["feat"], np.load("cpu.npz")["feat"], "features", rtol=1e-5)
    assert load_model("runs/conv/checkpoint.npz", device="cuda").net.params["fc1/W"].device.id == 0


@pytest.mark.parametrize("wrong", ["gpu", "cuda:x", "cuda:99"])
def test_devices_that_are_not_there_are_refused(cp, wrong):
    with pytest.raises(ValueError, match=wrong if wrong == "gpu" else "cuda"):
        use_device(wrong)
