"""What the benchmark's jobs run and hand on: the numbers that they return, and who is asked for what."""

import io
import sys
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.flow.tvl1 import tvl1
from snippets.data.video import read_frames, write_video
from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Linear
from snippets.layers.loss import softmax_loss
from snippets.layers.relu import ReLU
from snippets.layers.temporal import TemporalAvgPool
from snippets.nets.frames import CHUNK
from snippets.training.bench import jobs, machine
from snippets.training.bench import run as bench
from snippets.training.bench.jobs import Workload, motion_errors
from snippets.training.bench.peers import PEERS, Peer
from snippets.training.bench.rows import BenchRow, Setup, of_images


def same(found, expected):
    assert list(found) == list(expected)
    for key, a in expected.items():
        np.testing.assert_allclose(found[key], a, rtol=1e-4, atol=1e-5 * np.abs(a).max(), err_msg=key)


def test_results_of_layers_are_those_of_their_passes(rng):
    layer, x, dy = Linear(5, 3, rng), *(rng.standard_normal((2 * CHUNK, n), np.float32) for n in (5, 3))
    W, b = (layer.params[name] for name in "Wb")
    both = {"y": x @ W + b, "dx": dy @ W.T, "W": x.T @ dy, "b": dy.sum(axis=0)}
    same(jobs.whole(layer, x).results(), {"y": both["y"]})
    same(jobs.whole(layer, x, dy).run(), both)
    same(jobs.frames(layer, x, dy).results(), both)
    image = of_images(Conv2D(3, 2, 1, rng=rng))
    assert set(jobs.whole(image, np.ones((2, 4, 4, 3), np.float32), np.ones((2, 4, 4, 2))).results()) == {"y", "W", "b"}
    dropped = jobs.whole(Dropout(0.5), x, x, np.random.default_rng(0)).results()
    assert 0 < (dropped["y"] == 0).mean() < 1
    same(jobs.whole(Dropout(0.5), x, x).results(), {"y": x, "dx": x})


def test_a_layer_in_a_tower_runs_both_passes_on_every_chunk(rng, monkeypatch):
    seen, layer, x = [], ReLU(), rng.standard_normal((CHUNK + 3, 4), np.float32)
    monkeypatch.setattr(jobs, "passes", lambda *how: seen.append((how[0] is layer, *map(len, how[1:]))))
    jobs.frames(layer, x, x).run()
    assert sorted(seen) == [(True, 3, 3), (True, CHUNK, CHUNK)]


def test_results_of_losses_and_updates(rng, monkeypatch):
    scores, labels = rng.standard_normal((2, 3, 4)), np.array([1, 3])
    value, dscores = softmax_loss(scores, labels)
    same(jobs.loss(scores, labels).results(), {"loss": value, "dscores": dscores})
    monkeypatch.setattr("snippets.training.sgd.gradient_norm", None)  # which is not asked for
    w, g = np.full(3, 2.0), np.array([1.0, 0, -4])
    same(jobs.sgd({"W": w}, {"W": g}).results(), {"velocity/W": -jobs.LR * (g + 0.0005 * 2)})


def test_results_of_a_step_and_of_a_video(rng):
    net = Sequential(pool=TemporalAvgPool(), scores=Linear(5, 3, rng))
    x, labels = rng.standard_normal((1, 4, 5), np.float32), np.array([2])
    scores, cache = net.forward(x)
    value, dscores = softmax_loss(scores, labels)
    grads = net.backward(dscores, cache)[1]
    decay = {"scores/W": 0.0005 * net.params["scores/W"], "scores/b": 0}
    velocity = {f"velocity/{key}": -jobs.LR * (grads[key] + decay[key]) for key in net.params}
    p = np.exp(scores[0]) / np.exp(scores[0]).sum()
    same(jobs.video(net, x[0], 3).results(), {"p": p})  # three times over: the same mean
    assert jobs.video(net, x[0], 3).count == 12
    same(jobs.step(net, x, labels).results(), {"loss": value, **velocity})


def test_flow_goes_from_the_first_frames_to_the_second(rng):
    I0, I1 = rng.uniform(0, 255, (2, 2, 12, 16)).astype(np.float32)
    work = jobs.flow(I0, I1)
    np.testing.assert_array_equal(work.results()["u"], tvl1(I0, I1))
    assert work.count == 2


def test_whole_videos_are_decoded_on_all_cores(tmp_path, monkeypatch):
    """One clip after the other, of every video once; a clip that is longer than its video begins it again."""
    for name, shade in (("a.avi", 30), ("b.avi", 150)):
        write_video(tmp_path / name, [np.full((32, 32, 3), shade + 30 * n, np.uint8) for n in range(3)], 25)
    asked, batches = [], jobs.batches
    monkeypatch.setattr(jobs, "usable_cores", lambda: 3)
    monkeypatch.setattr(jobs, "batches", lambda *how, **more: asked.append((how[1:], more)) or batches(*how, **more))
    work = jobs.decode([tmp_path / "a.avi", tmp_path / "b.avi"], 4, 27)
    x = work.results()["x"]
    assert asked == [((1, (0, 0, 0)), {"workers": 3})] and work.count == 6 and x.shape == (2, 4, 27, 27, 3)
    for clip, name in zip(sorted(x, key=np.mean), ("a.avi", "b.avi"), strict=True):
        frames = [frame.mean() for frame in read_frames(tmp_path / name)]
        shades = (clip.mean(axis=(1, 2, 3)) + 1) * 127.5
        np.testing.assert_allclose(shades, [*frames, frames[0]], rtol=0, atol=5)


def test_errors_of_motion_are_of_as_many_flows_as_truths():
    for truth in ([(1, 0)], [(1, 0)] * 3):
        with pytest.raises(ValueError, match="zip"):
            motion_errors(np.zeros((2, 4, 5, 2)), truth)


def rivals(monkeypatch, **runs):
    """The peers of the row relu, by what they run, in place of all others."""
    for name in list(PEERS):
        monkeypatch.delitem(PEERS, name)
    for name, run in runs.items():
        job = {jobs.whole: lambda *arguments, run=run: Workload(run, dict)}
        monkeypatch.setitem(PEERS, name, Peer((), lambda device, job=job: job))


def test_a_quick_bench_calls_each_side_once(monkeypatch):
    """It is tried and looked at once before; the time is that of the clock that it was given."""
    rivals(monkeypatch, peer=dict)
    asked = []
    monkeypatch.setattr(bench, "peak_memory", lambda name, setup: None)
    monkeypatch.setattr(bench, "machine_info", lambda quick: {"sgemm_gflops": 1.0, "copy_gbs": 1.0})
    monkeypatch.setattr(bench, "sample", lambda run, calls: asked.append(calls) or 0.002)
    (record,) = bench.bench(["relu"], ["peer"], quick=True)["rows"]
    assert set(asked) == {1} and (record["ours_ms"], record["peer_ms"], record["repetitions"]) == (2, 2, 1)
    asked.clear()
    monkeypatch.setattr(bench, "Setup", lambda quick, *how: Setup(False, *how))
    (record,) = bench.bench(["relu"], ["peer"], repeat=2)["rows"]
    assert asked == [1, 1, 1, 1, *[25] * 4] and record["repetitions"] == 2 and record["ours_ms"] == 2


def test_a_side_that_is_called_often_is_warmed_up_before_each_repetition():
    calls = []
    times = {"short": 0.02, "long": 0.06}
    runs = [lambda name=name: calls.append(name) for name in times]
    bench.alternate(runs, 2, least=0.05, sample=lambda run, n: run() or times[calls[-1]])
    assert calls[3:] == ["short", "short", "long"] * 2  # of the short one a call that is not timed


def test_each_row_is_shown_as_it_comes(monkeypatch, tmp_path):
    """Not when the bench has ended: of two rows the first is on the screen and in the file before the second."""

    class Screen(io.StringIO):
        shown = ""

        def flush(self):
            self.shown = self.getvalue()

    screen, seen = Screen(), []
    rivals(monkeypatch)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(bench, "machine_info", lambda quick: {"sgemm_gflops": 1.0, "copy_gbs": 1.0})

    def memory(name, setup):
        seen.append((name, "\nrelu " in screen.shown, (tmp_path / "a.json").exists()))

    monkeypatch.setattr(bench, "peak_memory", memory)
    bench.bench(["relu", "dropout"], quick=True, json_file=tmp_path / "a.json")
    assert seen == [("relu", False, False), ("dropout", True, True)]


def test_memory_is_what_a_row_adds_to_its_process(monkeypatch):
    done = []

    def job(*arguments):
        return Workload(lambda: done.append(("run", arguments)), None)

    rows = [BenchRow(name, "call", job, lambda setup: (done.append("made"), setup)) for name in ("other", "mine")]
    resident = iter([1000, 1700])
    monkeypatch.setattr(bench, "ROWS", rows)
    monkeypatch.setattr(bench, "largest_resident", lambda: done.append("looked") or next(resident))
    setup = Setup(quick=True)
    assert bench.peak_of("mine", setup) == 700
    assert done == ["looked", "made", ("run", (None, setup)), "looked"]


def test_memory_is_measured_in_a_process_of_its_own_or_not_at_all(monkeypatch):
    """A fork of one that has imported the program, and has run nothing."""
    asked = []

    class Pool:
        def __init__(self, workers, context):
            asked.append((workers, context.kind))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def submit(self, *how):
            asked.append(how)
            if how[1] == "large":
                raise BrokenProcessPool
            return SimpleNamespace(result=lambda: 5)

    def context(kind):
        return SimpleNamespace(kind=kind, set_forkserver_preload=asked.append)

    monkeypatch.setattr(bench, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(bench.multiprocessing, "get_context", context)
    monkeypatch.setattr(bench.multiprocessing, "get_all_start_methods", lambda: ["spawn", "forkserver"])
    assert (bench.peak_memory("small", "setup"), bench.peak_memory("large", "setup")) == (5, None)
    each = [["__main__", bench.__name__], (1, "forkserver")]
    assert asked == [*each, (bench.peak_of, "small", "setup"), *each, (bench.peak_of, "large", "setup")]
    monkeypatch.setattr(bench.multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert bench.peak_memory("small", "setup") is None and len(asked) == 6


def test_the_largest_resident_set_is_in_bytes(monkeypatch):
    """Linux says it in kilobytes, macOS in bytes; of this process, not of its children."""
    resource = SimpleNamespace(
        RUSAGE_SELF=0, getrusage=lambda who: SimpleNamespace(ru_maxrss=7 if who == 0 else 9)
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "resource", resource)
    for system, nbytes in (("Linux", 7168), ("Darwin", 7)):
        monkeypatch.setattr(machine.platform, "system", lambda system=system: system)
        assert machine.largest_resident() == nbytes


def test_rates_are_measured_on_memory_that_is_there(monkeypatch):
    """What is read holds ones: of zeros that nobody has written the system keeps one page for all."""
    given = []
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(machine, "together", lambda work, a: given.extend(a) or 1.0)
    machine.copy_rate(10)
    assert [(source == 1).all() for _, source in given] == [True, True]
    given.clear()
    machine.product_rate(4)
    assert len(given) == 3 and all((a == 1).all() and (b == 1).all() for a, b, _ in given)
