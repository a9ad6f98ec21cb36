"""The training loop: what it minimises, and that a run stopped anywhere and resumed ends with the same bits."""

import json
import math
import os
import signal

import numpy as np
import pytest
from outcomes import Outcome, hold
from toy_clips import Clips, bits, pooled, quiet, recurrent, timeless

from snippets.layers.conv import Conv2D, fast_algorithm
from snippets.layers.core.base import Sequential
from snippets.layers.linear import Linear
from snippets.layers.lrn import LRN
from snippets.layers.pool import GlobalAvgPool, MaxPool2D
from snippets.layers.temporal import TemporalMaxPool
from snippets.nets.frames import OverFrames
from snippets.training import step
from snippets.training.checkpoint import CheckpointError, load
from snippets.training.interrupts import stoppable
from snippets.training.log import Log, read_log
from snippets.training.loop import train
from snippets.training.settings import Settings
from snippets.training.sgd import SGD

# Runs

SETTINGS = Settings(
    epochs=3, batch=4, lr=0.1, decay=0.7, clip_norm=1.0, groups={"scores/": 0.5}, seed=3
)  # 3 steps an epoch


def uninterrupted(tmp_path, make=pooled, settings=SETTINGS):
    net = make()
    history = quiet(net, Clips(), settings, test=Clips(seed=0), folder=tmp_path / "whole")
    return net, history, tmp_path / "whole"


@pytest.mark.parametrize("make", [pooled, recurrent])
@pytest.mark.parametrize("stop", [1, 6, 10, 11, 17, 25, 29])  # which example of the run raises
def test_resumed_is_uninterrupted_bit_for_bit(make, stop, tmp_path):
    net, history, whole = uninterrupted(tmp_path, make)
    clips, seen = Clips(), []

    def interrupt(i):
        seen.append(i)
        if len(seen) == stop:
            raise KeyboardInterrupt

    clips.hook = interrupt
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt, match=r"saved .*checkpoint\.npz: run again with resume"):
        quiet(make(), clips, SETTINGS, test=Clips(seed=0), folder=folder)
    other = make(seed=9)  # its weights must come from the checkpoint
    resumed = quiet(other, Clips(), SETTINGS, test=Clips(seed=0), folder=folder, resume=True)

    assert bits(other.params) == bits(net.params)
    a, b = load(whole / "checkpoint.npz"), load(folder / "checkpoint.npz")
    assert bits(a.velocity) == bits(b.velocity)
    assert (a.epoch, a.step, a.steps) == (b.epoch, b.step, b.steps) == (3, 0, 9)
    best = [load(f / "best.npz") for f in (whole, folder)]
    assert bits(best[0].params) == bits(best[1].params) and best[0].epoch == best[1].epoch and not best[1].velocity
    assert [timeless(r) for r in history] == [timeless(r) for r in resumed]
    logs = [[timeless(r) for r in read_log(f / "log.jsonl")] for f in (whole, folder)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_waits_for_the_save(tmp_path, monkeypatch, number):
    clips, fsync, came = Clips(), os.fsync, []

    def impatient(file):
        came.append(number)
        signal.raise_signal(number)  # in the middle of the save
        fsync(file)

    def interrupt(i):
        monkeypatch.setattr(os, "fsync", impatient)
        raise KeyboardInterrupt

    clips.hook = interrupt
    with stoppable(), pytest.raises(KeyboardInterrupt, match=r"after step 0 of 3.*saved .*checkpoint\.npz"):
        quiet(pooled(), clips, SETTINGS, folder=tmp_path)
    assert came and load(tmp_path / "checkpoint.npz").steps == 0
    assert [p.name for p in tmp_path.glob(".snippets*")] == []


def test_ctrl_c_in_the_middle_of_an_update_waits_for_its_end(tmp_path, monkeypatch):
    net, _, _ = uninterrupted(tmp_path)
    step = SGD.step

    def interrupted_step(self, *args):
        if self.steps == 4:
            signal.raise_signal(signal.SIGINT)  # before anything of this update is done
        return step(self, *args)

    monkeypatch.setattr(SGD, "step", interrupted_step)
    with pytest.raises(KeyboardInterrupt, match="after step 2 of 3 in epoch 2 of 3"):
        quiet(pooled(), Clips(), SETTINGS, folder=tmp_path / "s")
    monkeypatch.undo()
    assert load(tmp_path / "s" / "checkpoint.npz").steps == 5
    other = pooled(seed=9)
    quiet(other, Clips(), SETTINGS, folder=tmp_path / "s", resume=True)
    assert bits(other.params) == bits(net.params)


def test_a_crash_loses_no_more_than_the_epoch_under_way(tmp_path):
    net, _, _ = uninterrupted(tmp_path)
    clips, seen = Clips(), []

    def crash(i):
        seen.append(i)
        if len(seen) == 18:
            raise MemoryError

    clips.hook = crash
    with pytest.raises(MemoryError):
        quiet(pooled(), clips, SETTINGS, folder=tmp_path / "s")
    assert load(tmp_path / "s" / "checkpoint.npz").epoch == 1
    with (tmp_path / "s" / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "ste')  # the crash cut a line short
    other = pooled(seed=9)
    quiet(other, Clips(), SETTINGS, folder=tmp_path / "s", resume=True)
    assert bits(other.params) == bits(net.params)
    assert [r["steps"] for r in read_log(tmp_path / "s" / "log.jsonl") if r["event"] == "step"] == list(range(1, 10))


def test_a_finished_run_goes_on_when_given_more_epochs(tmp_path):
    net, _, _ = uninterrupted(tmp_path)
    quiet(pooled(), Clips(), Settings(**{**vars(SETTINGS), "epochs": 1}), folder=tmp_path / "s")
    other = pooled(seed=9)
    history = quiet(other, Clips(), SETTINGS, folder=tmp_path / "s", resume=True)
    assert bits(other.params) == bits(net.params) and len(history) == 3


def test_resume_refuses_what_would_change_the_run(tmp_path):
    folder = tmp_path / "s"
    quiet(pooled(), Clips(), SETTINGS, folder=folder, fold=1)
    with pytest.raises(FileExistsError, match="resume that run, or choose another folder"):
        quiet(pooled(), Clips(), SETTINGS, folder=folder, fold=1)
    for words, net, clips, settings, fold in [
        ("'lr': 0.1}, this run has {'lr': 0.2}", pooled(), Clips(), Settings(**{**vars(SETTINGS), "lr": 0.2}), 1),
        ("fold 1, this run has 2", pooled(), Clips(), SETTINGS, 2),
        ("2 new (the first: video10) of 10", pooled(), Clips(V=12), SETTINGS, 1),
        ("another architecture", recurrent(), Clips(), SETTINGS, 1),
    ]:
        with pytest.raises(CheckpointError) as caught:
            quiet(net, clips, settings, folder=folder, fold=fold, resume=True)
        assert words in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        quiet(pooled(), Clips(), SETTINGS, folder=tmp_path / "none", resume=True)
    with pytest.raises(ValueError, match="resume needs the folder"):
        quiet(pooled(), Clips(), SETTINGS, resume=True)


def test_the_seed_decides_the_run_and_another_seed_another(tmp_path):
    nets = [pooled(), pooled(), pooled()]
    for net, seed in zip(nets, (3, 3, 4), strict=True):
        quiet(net, Clips(), Settings(**{**vars(SETTINGS), "seed": seed}))
    a, b, c = (bits(net.params) for net in nets)
    assert a == b != c


def test_dropout_differs_from_step_to_step_and_from_the_loaders_draws(monkeypatch):
    draws = []
    real = step.loss_and_gradient
    monkeypatch.setattr(step, "loss_and_gradient", lambda net, x, y, rng, *rest: (
        draws.append(np.random.default_rng(rng.bit_generator.seed_seq).random()), real(net, x, y, rng, *rest)
    )[1])  # fmt: skip
    quiet(pooled(), Clips(), SETTINGS)
    others = [np.random.default_rng([3, epoch, i]).random() for epoch in range(3) for i in range(10)]
    assert len(set(draws)) == 9 and not set(draws) & set(others)


# Trouble


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_stops_before_the_update(bad, tmp_path):
    clips, seen = Clips(), []

    def poison(i):
        seen.append(i)
        if len(seen) == 15:
            clips.x[i] = bad

    clips.hook = poison
    net = pooled()
    with pytest.raises(FloatingPointError, match=r"in epoch 2 after its step 1 \(lr 0\.0.*loss .*Try lr 0\.0"):
        quiet(net, clips, SETTINGS, folder=tmp_path)
    assert all(np.isfinite(a).all() for a in net.params.values())
    assert load(tmp_path / "checkpoint.npz").epoch == 1
    assert len(read_log(tmp_path / "log.jsonl")) == 3 + 1 + 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_broken_pixel_does_not_hide_in_a_fast_convolution(bad, kernel, tmp_path):
    rng, clips = np.random.default_rng(0), Clips()
    layers = dict(conv1=Conv2D(3, 16, 3, relu=True, rng=rng), conv2=Conv2D(16, 16, kernel, relu=True, rng=rng))
    assert fast_algorithm((8, 20, 20, 16), (kernel, kernel, 16, 16), 1) is not None
    tower = OverFrames(Sequential(**layers, pool=MaxPool2D(), norm=LRN(), average=GlobalAvgPool()))
    net = Sequential(tower=tower, pool=TemporalMaxPool(), scores=Linear(16, 3, rng))
    clips.x = rng.standard_normal((10, 4, 20, 20, 3), dtype=np.float32)
    clips.x[7, 2, 5, 6, 1] = bad
    with pytest.raises(FloatingPointError, match="diverged in epoch 1 .* loss nan"):
        quiet(net, clips, SETTINGS, folder=tmp_path)
    assert all(np.isfinite(a).all() for a in net.params.values())


@pytest.mark.parametrize("interrupted", [False, True])
def test_parameters_that_overflow_in_the_last_update_never_replace_a_good_checkpoint(
    interrupted, tmp_path, monkeypatch
):
    net = pooled()
    step = SGD.step

    def overflowing(self, *args):
        step(self, *args)
        if self.steps == 6:
            self.params["scores/W"][0, 0] = np.inf
            if interrupted:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SGD, "step", overflowing)
    with pytest.raises(
        FloatingPointError, match="parameter scores/W is no longer finite.*last good checkpoint is kept"
    ):
        quiet(net, Clips(), SETTINGS, test=Clips(), folder=tmp_path)
    assert load(tmp_path / "checkpoint.npz").epoch == 1


def test_a_rate_far_too_high_is_told():
    with pytest.raises(FloatingPointError, match="Try lr 1e"):
        quiet(recurrent(), Clips(), Settings(epochs=50, lr=1e30))


def test_wrong_class_counts_and_empty_sets_are_refused():
    with pytest.raises(ValueError, match="the net has 4 outputs, the data set has 3 classes"):
        quiet(pooled(K=4), Clips(), SETTINGS)
    with pytest.raises(ValueError, match="without videos"):
        quiet(pooled(), Clips(V=0), SETTINGS)


# Log, progress, learning


def test_every_log_line_has_position_loss_rate_norm_accuracy_and_times(tmp_path, capsys):
    train(pooled(), Clips(), SETTINGS, test=Clips(seed=0), evaluate_every=2, folder=tmp_path)
    records = read_log(tmp_path / "log.jsonl")
    steps = [r for r in records if r["event"] == "step"]
    assert [(r["epoch"], r["step"], r["steps"]) for r in steps] == [
        (e, s, 3 * e - 3 + s) for e in (1, 2, 3) for s in (1, 2, 3)
    ]
    for n, r in enumerate(steps):
        assert r["lr"] == pytest.approx(0.1 * 0.7 ** (n / 3))
        assert r["grad_norm"] > 0 and 0 <= r["accuracy"] <= 1 and r["data_seconds"] >= 0 and r["compute_seconds"] > 0
    epochs = [r for r in records if r["event"] == "epoch"]
    assert ["test" in r for r in epochs] == [False, True, True]  # every second one, and the last
    assert epochs[1]["test"]["videos"] == 10
    clips = np.array([4, 4, 2])  # the epoch's accuracy weighs batches by their clips
    assert epochs[0]["accuracy"] == pytest.approx(clips @ [r["accuracy"] for r in steps[:3]] / 10)
    shown = capsys.readouterr().err
    assert "epoch 3/3" in shown and "loss=" in shown and "data_seconds=" in shown and "compute_seconds=" in shown


def learning(seed):
    """Both kinds of net, with units enough that dropout leaves some."""
    found = []
    for make, M, lr in ((pooled, 32, 0.01), (recurrent, 16, 0.1)):
        clips, settings = Clips(V=30, seed=seed), Settings(epochs=40, batch=8, lr=lr, seed=seed)
        history = quiet(make(seed, M=M), clips, settings, test=clips, evaluate_every=40)
        fall = history[-1]["loss"] / history[0]["loss"]
        found += [
            Outcome(f"{make.__name__}, test Hit@1", history[-1]["test"]["hit1"], "==", 1.0),
            Outcome(f"{make.__name__}, loss of the last epoch by the first's", fall, "<", 0.6),  # 0.22 at worst
        ]
    return found


def test_both_kinds_of_net_learn():
    hold(learning(0))


def test_the_log_writes_what_is_not_finite_as_null_and_names_a_broken_line(tmp_path):
    path = tmp_path / "log.jsonl"
    with Log(path) as log:
        log.write({"steps": 1, "loss": math.nan, "list": [math.inf, 1.5]})
    assert json.loads(path.read_text()) == {"steps": 1, "loss": None, "list": [None, 1.5]}
    path.write_text('{"steps": 1}\nnonsense\n')
    with pytest.raises(ValueError, match="line 2 .is this a run log.*not JSON"):
        read_log(path)
