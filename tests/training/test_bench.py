"""The benchmark: what it counts, what it times, what it writes, and that a peer computes the same numbers as we do."""

import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from bench_fields import NUMBERS, WITHOUT_FLOOR, WORDS

from snippets.data.video import write_video
from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Layer, Sequential
from snippets.layers.linear import Linear
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.temporal import TemporalMaxPool
from snippets.nets.frames import OverFrames
from snippets.nets.inspect.summary import layer_rows
from snippets.training.bench import run as bench
from snippets.training.bench.jobs import Workload, loss, multiply_adds, sgd, whole, work
from snippets.training.bench.peers import PEERS, Peer
from snippets.training.bench.rows import ROWS, BenchRow, Setup, choose, of_images
from snippets.training.cli.main import main

SLOW = {"torch-compiled", "torch-compiled-channels-last"}  # they compile for minutes
FORWARD = {"googlenet-forward", "alexnet-forward", "video-300"}
RATES = {"sgemm_gflops": 100.0, "copy_gbs": 10.0}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Every row at a small size, every peer that is there but those that compile, as read from the JSON file."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "clips" / "any").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
    write_video(folder / "clips" / "any" / "a.avi", pixels, 25)
    command = ["bench", "--quick", "--clips", str(folder / "clips"), "--json", str(folder / "new" / "bench.json")]
    assert main([*command, "--against", *(name for name in PEERS if name not in SLOW)]) == 0
    return json.loads((folder / "new" / "bench.json").read_text())


def test_every_row_is_measured(quick):
    names = [row.name for row in ROWS]
    assert list(dict.fromkeys(r["name"] for r in quick["rows"])) == names and len(set(names)) == len(names)
    for r in quick["rows"]:
        assert set(r) == NUMBERS | WORDS | {"repetitions"}
        assert 0 < r["ours_min_ms"] <= r["ours_ms"] and r["repetitions"] == 1 and r["unit"] in ("frame", "pair", "call")
        row = next(row for row in ROWS if row.name == r["name"])
        flow = {"tvl1": r"energy \d+\.\d{4}.*", "tvl1-pan": r"error \d+\.\d{3} at 5 px.*"}  # of each pair
        assert re.fullmatch(flow.get(row.name, re.escape(row.note)), r["note"])
        assert r["peak_mb"] is None or 0 < r["peak_mb"] < 500
        if r["name"].startswith(WITHOUT_FLOOR):
            assert r["floor_ms"] is r["bound"] is r["fraction"] is None
        else:
            assert r["bound"] in ("products", "memory")
            assert r["fraction"] == pytest.approx(r["floor_ms"] / r["ours_ms"])
        if r["peer"] is None:
            assert r["peer_ms"] is r["peer_min_ms"] is r["ratio"] is None
        else:
            assert r["ratio"] == pytest.approx(r["ours_ms"] / r["peer_ms"])  # there is one repetition
    assert quick["machine"]["cores"] >= 1 and quick["machine"]["sgemm_gflops"] > 0 and quick["machine"]["copy_gbs"] > 0


def test_peers_that_are_there_have_every_row_but_decoding(quick):
    here = {name for name, peer in PEERS.items() if all(map(importlib.util.find_spec, peer.packages))} - SLOW
    assert set(quick["absent"]) == set(PEERS) - SLOW - here
    flow, engines = {"opencv", "scikit-image"}, {"onnxruntime", "openvino"}
    for row in ROWS:
        found = [r for r in quick["rows"] if r["name"] == row.name]
        peers = {r["peer"] for r in found} - {None}
        assert peers <= here and (peers & flow) == (here & flow if row.name.startswith("tvl1") else set())
        assert (peers & engines) == (here & engines if row.name in FORWARD else set()), row.name
        assert ("torch" in peers) == ("torch" in here and not row.name.startswith(WITHOUT_FLOOR)), row.name
        best = [r for r in found if r["best"]]
        assert len(best) == bool(peers) and all(r["peer_ms"] == min(p["peer_ms"] for p in found) for r in best)


def test_a_peer_that_is_not_there_is_named(monkeypatch, capsys):
    for name in list(PEERS):
        monkeypatch.delitem(PEERS, name)
    monkeypatch.setitem(PEERS, "rival", Peer(("numpy", "no_such_package"), None))
    monkeypatch.setitem(PEERS, "compiled", Peer((), None, compiler=True))
    monkeypatch.setitem(PEERS, "on the other device", Peer((), lambda device: {}))
    monkeypatch.setenv("CXX", "ccache no-such-compiler")
    found = bench.bench(["relu"], ["best"], quick=True)
    told = {
        "rival": "no_such_package not installed",
        "compiled": "no C++ compiler; install g++, or name another one in CXX",
        "on the other device": "does not compute on CUDA",
    }
    output = capsys.readouterr().out
    assert all(f"left out: {name} ({why})\n" in output for name, why in told.items())
    assert found["absent"] == told and [(r["peer"], r["best"]) for r in found["rows"]] == [(None, False)]


def test_the_fastest_peer_of_a_row_has_the_star(monkeypatch, capsys):
    def slower(seconds):
        return lambda device: {whole: lambda *arguments: Workload(lambda: time.sleep(seconds), dict)}

    for name in list(PEERS):
        monkeypatch.delitem(PEERS, name)
    for name, seconds in (("tortoise", 0.1), ("hare", 0.02), ("snail", 0.2)):
        monkeypatch.setitem(PEERS, name, Peer((), slower(seconds)))
    found = bench.bench(["relu"], ["best"], quick=True)
    assert [(r["peer"], r["best"]) for r in found["rows"]] == [("tortoise", False), ("hare", True), ("snail", False)]
    starred = [line for line in capsys.readouterr().out.splitlines() if "*" in line]
    assert len(starred) == 1 and "hare" in starred[0]


def test_a_peer_that_fails_is_named_and_the_others_are_measured(monkeypatch, capsys):
    def failing():
        raise RuntimeError("index -1 is out of bounds\nand a long story")

    for name, run in (("broken", failing), ("sound", dict)):
        job = {whole: lambda *arguments, run=run: Workload(run, run)}
        monkeypatch.setitem(PEERS, name, Peer((), lambda device, job=job: job))
    found = bench.bench(["relu"], ["broken", "sound"], quick=True)
    assert [(r["peer"], r["best"]) for r in found["rows"]] == [("sound", True)]
    assert "left out: broken, relu (RuntimeError: index -1 is out of bounds)\n" in capsys.readouterr().out


def test_the_ratio_is_the_median_over_pairs():
    seconds = np.array([[1.0, 9.0, 2.0], [10.0, 9.0, 20.0], [3.0, 9.0, 4.0]])  # the second pair was disturbed
    row = BenchRow("row", "frame", None, None, "note")
    r = bench.record(row, Workload(None, None, madds=10**9, count=4), seconds, RATES, 5e6, "rival", column=2)
    assert r["ours_ms"] == 750 and r["ours_min_ms"] == 250 and r["peer_ms"] == 1000 and r["peer_min_ms"] == 500
    assert r["ratio"] == 0.5 and r["repetitions"] == 3 and r["peak_mb"] == 5
    assert r["floor_ms"] == pytest.approx(5) and r["fraction"] == pytest.approx(5 / 750)  # 1e9 at 50e9, for 4 frames
    whole = bench.record(row._replace(unit="call"), Workload(None, None, count=4), seconds, RATES)
    assert whole["ours_ms"] == 3000 and whole["ratio"] is whole["peer_ms"] is whole["floor_ms"] is None
    assert all(text in bench.line(r) for text in ("row", "rival", "0.50", "750.000", "products", "1%", "note"))


@pytest.mark.parametrize("nbytes, memory, floor, bound", [(10**8, 10, 20, "products"), (10**9, 100, 100, "memory")])
def test_the_floor_is_the_longer_of_the_two(nbytes, memory, floor, bound):
    row, job = BenchRow("row", "call", None, None), Workload(None, None, madds=10**9, bytes=nbytes)
    r = bench.record(row, job, np.array([[1.0]]), RATES)
    assert (r["products_ms"], r["memory_ms"], r["floor_ms"]) == pytest.approx((20, memory, floor))
    assert r["bound"] == bound


def test_sides_take_turns():
    calls = []
    runs = [lambda: calls.append("ours"), lambda: calls.append("peer")]
    times = bench.alternate(runs, repeat=3, least=0.0)
    assert times.shape == (3, 2) and (times > 0).all()
    assert calls[2:] == ["ours", "peer"] * 3  # after one call each to warm up
    assert bench.alternate(runs, repeat=9, least=0.0, budget=0.0).shape == (3, 2)
    calls.clear()
    bench.alternate(runs, repeat=1, least=1e-3)
    assert calls.count("ours") > 10  # a short call is timed many times over


def test_a_short_call_is_repeated_until_it_fills_the_time():
    """Of 0.02 s, as the second look says, three fill 0.05 s; one of 0.06 is called once, and looked at once."""
    times = {int: [0.01, 0.02, 1, 2, 3], float: [0.06, 4, 5, 6]}  # two functions, and what a sample of each takes
    asked = []
    found = bench.alternate([*times], 3, least=0.05, sample=lambda run, n: asked.append((run, n)) or times[run].pop(0))
    assert asked == [(int, 1), (int, 1), (float, 1), *[(int, 3), (float, 1)] * 3]
    assert found.tolist() == [[1, 4], [2, 5], [3, 6]]


def test_multiply_adds_are_those_of_the_formulas():
    rng = np.random.default_rng(0)
    conv, image = Conv2D(4, 6, 3, rng=rng), of_images(Conv2D(3, 4, 5, 2, rng=rng))
    once, first = 2 * 7 * 8 * 9 * 4 * 6, 2 * 7 * 8 * 25 * 3 * 4
    assert multiply_adds(conv, (2, 7, 8, 4), False) == once
    assert multiply_adds(conv, (2, 7, 8, 4), True) == 3 * once  # dW and dx
    assert multiply_adds(Sequential(a=image, b=conv), (2, 14, 16, 3), True) == 2 * first + 3 * once
    tower = OverFrames(Sequential(a=image).convert(double))  # in float64 as much as in float32
    assert multiply_adds(tower, (1, 2, 14, 16, 3), False) == first
    lstm = PeepholeLSTM(5, 3, rng)
    assert multiply_adds(lstm, (2, 7, 5), False) == 2 * 7 * (5 * 12 + 3 * 12)
    pooled = Sequential(lstm=lstm, pool=TemporalMaxPool(), fc=Linear(3, 4, rng))  # the last once a clip
    assert multiply_adds(pooled, (2, 7, 5), False) == sum(row.madds for row in layer_rows(pooled, (2, 7, 5)))


def test_bytes_that_must_move_are_those_of_every_array_once():
    linear, image = Linear(5, 3, np.random.default_rng(0)), of_images(Conv2D(3, 4, 1, rng=np.random.default_rng(0)))
    x, dy, params = np.zeros((2, 5), np.float32), np.zeros((2, 3), np.float32), 4 * (5 * 3 + 3)
    assert work(linear, x, None)[1] == 40 + params
    assert work(linear, x, dy)[1] == 40 + 40 + 2 * 24 + 3 * params  # x, dx; y as large as dy; weights twice, gradients
    pixels, dmaps = np.zeros((1, 2, 2, 3), np.float32), np.zeros((1, 2, 2, 4), np.float32)
    assert work(image, pixels, dmaps)[1] == 48 + 2 * 64 + 3 * 64  # no gradient of the pixels
    assert loss(np.zeros((2, 3, 4), np.float32), np.zeros(2, int)).bytes == 2 * 96
    assert sgd({"a": dy}, {"a": dy}).bytes == 5 * 24


def test_memory_is_that_of_the_row_alone():
    """An update of 7.0 million parameters: they, their gradients and velocities are 84 MB."""
    wall = np.ones(40 << 20, np.uint8)  # what this process holds does not count
    peak = bench.peak_memory("sgd", Setup())
    if peak is None:
        pytest.skip("needs a system with fork and getrusage")
    assert wall.all() and 84e6 < peak < 130e6


def test_rows_are_chosen_by_name():
    assert [row.name for row in choose(["lstm-8", "sgd"])] == ["lstm-8x30", "lstm-8x120", "sgd"]
    assert "decode-real" not in [row.name for row in choose()]
    assert choose(clips="folder") == list(ROWS)


@pytest.mark.parametrize(
    "args, message",
    [
        (["--rows", "relu", "convnet"], "no row has 'convnet' in its name; the rows are googlenet-forward, "),
        (["--rows", "decode-real"], "--clips"),
        (["--rows", "decode-real", "--clips", "nowhere"], "--clips nowhere: no videos there"),
        (["--repeat", "0"], "repeat is 0, expected at least 1"),
    ],
)
def test_a_mistake_is_explained(args, message, capsys):
    assert main(["bench", "--quick", *args]) == 1
    assert message in capsys.readouterr().err


def double(a):
    """An argument of a job in float64, where neither side rounds a ReLU or a maximum to another winner."""
    if isinstance(a, dict):
        return {key: double(part) for key, part in a.items()}
    if isinstance(a, Layer):
        return a.convert(double)
    return a.astype(np.float64) if getattr(a, "dtype", None) == np.float32 else a


def test_peers_compute_the_same_numbers(tmp_path):
    """Every row, forward results and gradients, to 1e-9 of the largest entry of each array, 1e-5 in float32."""
    torch = pytest.importorskip("torch", reason="needs PyTorch, a peer (pip install -e '.[bench]')")
    setup, compared = Setup(True, None, tmp_path), 0
    peers = "torch", "torch-channels-last", "onnxruntime", "openvino"
    both = {name: PEERS[name].counterparts("cpu") for name in peers if not PEERS[name].missing("cpu")}
    for row, (peer, counterparts) in itertools.product(choose(), both.items()):
        if row.job not in counterparts:
            continue
        single = peer in ("onnxruntime", "openvino")  # they compute in float32 alone
        arguments = list(row.make(setup)) if single else [double(a) for a in row.make(setup)]
        torch.set_default_dtype(torch.float32 if single else torch.float64)
        try:
            theirs = counterparts[row.job](*arguments)
            theirs = theirs and theirs.results()
        finally:
            torch.set_default_dtype(torch.float32)
        if theirs is None:
            continue
        ours = row.job(*[double(a) for a in row.make(setup)]).results()
        compared += 1
        if row.name == "dropout":  # its masks are random
            for y in (ours["y"], theirs["y"]):
                assert 0 < (y == 0).mean() < 1
                np.testing.assert_allclose(y[y != 0], arguments[1][y != 0] / 0.4, rtol=1e-6)
            continue
        without = {key for key in ours if key.endswith("W_c")}  # torch's LSTM has no peepholes
        assert set(theirs) == set(ours) - without, row.name
        for key, b in theirs.items():
            assert np.shape(ours[key]) == b.shape, (row.name, key)
            error = np.abs(ours[key] - b).max() / np.abs(b).max()
            assert error < (1e-5 if single else 1e-9), f"{row.name}, {peer}: {key} differs by {error:.1e}"
    assert compared > 40


def test_a_run_takes_no_code_that_another_run_compiled(monkeypatch, tmp_path):
    """It may have been compiled for other instructions, and then the program breaks off."""
    pytest.importorskip("torch", reason="needs PyTorch, a peer (pip install -e '.[bench]')")
    if missing := PEERS["torch-compiled"].missing("cpu"):
        pytest.skip(missing)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "another"))
    code = """
import os
import numpy as np
from snippets.layers.linear import Linear
from snippets.training.bench.jobs import whole
from snippets.training.bench.peers import PEERS
job = PEERS["torch-compiled"].counterparts("cpu")[whole]
job(Linear(3, 2, np.random.default_rng(0)), np.ones((4, 3), np.float32)).results()
folder = os.environ["TORCHINDUCTOR_CACHE_DIR"]
print(sum(len(files) for _, _, files in os.walk(folder)), folder)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    files, folder = done.stdout.split()
    assert int(files) > 0 and not (tmp_path / "another").exists() and not os.path.exists(folder)
