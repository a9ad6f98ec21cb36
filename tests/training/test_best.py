"""Tests in the course of a training: what is said of them, and which network is kept."""

import numpy as np
import pytest
from toy_clips import Clips, bits, quiet, recurrent

import snippets.training.loop
from snippets.training.checkpoint import load
from snippets.training.loop import train
from snippets.training.settings import Settings

SETTINGS = Settings(epochs=4, batch=4)


@pytest.fixture
def tested(monkeypatch):
    """Tests whose accuracies are given: of epoch 1, 2 ... in turn; and the parameters that were tested."""
    kept = []

    class Found:
        def __init__(self, hit1):
            self.hit1 = hit1

        def summary(self):
            return {"hit1": self.hit1}

    def given(accuracies):
        turn = iter(accuracies)

        def evaluate(net, *_):
            kept.append(bits(net.params))
            return Found(next(turn))

        monkeypatch.setattr(snippets.training.loop, "evaluate", evaluate)
        return kept

    return given


def test_the_first_of_the_best_networks_is_kept(tested, tmp_path):
    kept = tested([0.25, 0.5, 0.5, 0.25])
    quiet(recurrent(), Clips(), SETTINGS, test=Clips(), folder=tmp_path)
    best, last = load(tmp_path / "best.npz"), load(tmp_path / "checkpoint.npz")
    assert best.epoch == 2 and bits(best.params) == kept[1] and last.epoch == 4 and bits(last.params) == kept[3]


@pytest.mark.parametrize("every", [4, 9])
def test_a_network_that_is_tested_once_is_not_kept_twice(tested, tmp_path, every):
    tested([0.5])
    quiet(recurrent(), Clips(), SETTINGS, test=Clips(), folder=tmp_path, evaluate_every=every)
    assert not (tmp_path / "best.npz").exists() and (tmp_path / "checkpoint.npz").exists()


def test_every_test_is_told(tested, capsys):
    tested([0.25, 0.5, 0.375, 0.5])
    history = train(recurrent(), Clips(), SETTINGS, test=Clips())
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(", training")[0] for line in lines] == [
        "epoch 1: test 25.0 % (the best so far)", "epoch 2: test 50.0 % (the best so far)",
        "epoch 3: test 37.5 % (best 50.0 % in 2)", "epoch 4: test 50.0 % (best 50.0 % in 2)",
    ]  # fmt: skip
    assert f"training {100 * history[2]['accuracy']:.1f} %, loss {history[2]['loss']:.3g}" in lines[2]
    tested([0.25] * 4)
    quiet(recurrent(), Clips(), SETTINGS, test=Clips())
    assert not capsys.readouterr().out and np.isfinite(history[0]["loss"])
