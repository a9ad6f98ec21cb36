"""One step: its gradient, what is summed and logged of it, and who computes it."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from toy_clips import Clips, pooled, quiet, recurrent

from snippets.training import loop
from snippets.training.alone import Ranks
from snippets.training.log import read_log
from snippets.training.settings import Settings
from snippets.training.sgd import SGD
from snippets.training.step import DROPOUT, Gradient, Run, gradient, means, step, sums_of


class Idle(Ranks):
    """A rank whose sum over all ranks is a gradient of 3."""

    rank, size = 2, 4

    def backward(self, params):
        return lambda net, dscores, cache: {key: np.full_like(w, 3) for key, w in params.items()}


def run_of(net, ranks=None, **settings):
    return Run(net, Settings(**settings), SGD(net.params, 0.1), 3, 10, ranks=ranks or Ranks())


def test_a_part_of_a_batch_has_its_share_of_the_mean_and_all_of_the_sum(rng):
    x, labels = rng.standard_normal((2, 4, 3)).astype(np.float32), np.array([0, 2])
    for loss, share in (("mean", 0.25), ("sum", 1)):
        run = run_of(recurrent(), loss=loss)
        whole, part, alone = (gradient(run, x, labels, clips=clips) for clips in (2, 8, None))
        assert part.loss == pytest.approx(share * whole.loss) and part.weight == pytest.approx(share * whole.weight)
        assert part.norm == pytest.approx(share * whole.norm) and whole.norm == alone.norm
        for key, g in whole.grads.items():
            np.testing.assert_allclose(part.grads[key], share * g, rtol=1e-5, atol=1e-7)
    assert whole.weight == 2 * (0.25 + 0.5 + 0.75 + 1) and whole.scores.shape == (2, 4, 3)


def test_a_rank_without_a_clip_takes_part_in_the_sum():
    net = pooled()
    found = gradient(run_of(net, Idle()), None, None)
    assert (found.loss, found.scores, found.weight) == (0, None, 0) and list(found.grads) == list(net.params)
    assert found.norm == pytest.approx(3 * math.sqrt(sum(w.size for w in net.params.values())))
    assert sums_of(found, None, "weighted") == {"loss": 0, "weight": 0, "hits": 0, "clips": 0}


def test_the_sums_of_a_step():
    """Hits are those of the frames' predictions joined; of a loss that is no number there are none."""
    scores = np.array([[[9.0, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 2, 0]]])  # the last frames say 1 and 1
    for mode, hits in (("last", 2), ("max", 1)):
        found = Gradient(0.5, scores, 4.0, {}, 1.0)
        assert sums_of(found, np.array([1, 1]), mode) == {"loss": 0.5, "weight": 4.0, "hits": hits, "clips": 2}
    for loss in (math.nan, math.inf):
        found = Gradient(loss, np.full((2, 3), np.nan), 1.0, {}, 1.0)
        assert sums_of(found, np.array([1, 1]), "last")["hits"] == 0
    sums = {"loss": 3.0, "weight": 4.0, "hits": 1, "clips": 3}
    assert means(sums) == {"loss": 0.75, "accuracy": 1 / 3} and means(sums, 2) == {"loss": 0.75, "accuracy": 0.33}
    timed = sums | {"data": 0.126, "compute": 2.5}
    assert means(timed, digits=2) == {"loss": 0.75, "accuracy": 0.33, "data_seconds": 0.13, "compute_seconds": 2.5}


def test_dropout_is_drawn_from_seed_epoch_step_and_rank():
    for ranks in (Ranks(), Idle()):
        found = run_of(pooled(), ranks, seed=5).generator(7, 9)
        assert found.bit_generator.seed_seq.entropy == [5, 7, 9, DROPOUT + ranks.rank]


def test_a_step_updates_and_tells_its_gradient(rng):
    net, x, labels = recurrent(), rng.standard_normal((2, 4, 3)).astype(np.float32), np.array([0, 2])
    run, before = run_of(net), {key: w.copy() for key, w in net.params.items()}
    found = step(run, x, labels)
    for key, w in net.params.items():
        decay = 0 if key.endswith("b") else 0.0005
        np.testing.assert_allclose(
            w, before[key] - 0.1 * (found.grads[key] + decay * before[key]), rtol=1e-5, atol=1e-6
        )
    again = step(run_of(recurrent()), x, labels, clips=4)
    assert again.loss == pytest.approx(found.loss / 2)
    drop = [step(run_of(pooled(M=40)), x, labels, r and np.random.default_rng(r)).loss for r in (None, 1, 1, 2)]
    assert drop[0] != drop[1] == drop[2] != drop[3]


def test_rates_of_groups_stand_in_the_log(tmp_path):
    for groups in ({"scores/": 0.5, "tower/": 2}, {}):
        quiet(
            pooled(), Clips(), Settings(epochs=1, batch=5, lr=0.25, groups=groups), folder=tmp_path / str(len(groups))
        )
        for record in read_log(tmp_path / str(len(groups)) / "log.jsonl"):
            rates = {prefix: factor * 0.25 for prefix, factor in groups.items()}
            assert record["lr"] == 0.25
            assert record.get("lr_groups") == (rates if groups and record["event"] == "step" else None)


@pytest.mark.parametrize(
    "vector, size, where", [(None, 1, "host"), (None, 2, "host"), ("vector", 1, "gpu"), ("vector", 2, "host")]
)
def test_an_epoch_is_computed_on_a_gpu_by_one_rank_alone(vector, size, where, monkeypatch):
    """Several ranks add up gradients on the host."""
    new_run, asked = loop.new_run, []

    def made(*how):
        run = new_run(*how)
        run.opt.vector = vector
        return run

    def on(name):
        def epoch(run, source, progress):
            asked.append((name, progress))
            raise KeyboardInterrupt

        return epoch

    team = Ranks()
    team.size = size
    monkeypatch.setattr(loop, "new_run", made)
    monkeypatch.setattr(loop, "on_host", on("host"))
    monkeypatch.setattr(loop, "gpu_loop", SimpleNamespace(on_gpu=on("gpu")))
    with pytest.raises(KeyboardInterrupt) as caught:
        loop.train(pooled(), Clips(), ranks=team, progress=False)
    assert asked == [(where, False)] and not caught.value.args  # nothing is kept, so nothing is said of it


def test_a_training_on_one_video():
    (record,) = quiet(pooled(), Clips(V=1, K=3), Settings(epochs=1, batch=4))
    assert (record["epoch"], record["step"], record["steps"]) == (1, 1, 1)


def test_whoever_asks_to_stop_stops_all_ranks_after_the_step(tmp_path):
    team, clips = Ranks(), Clips()

    def hook(i):
        team.stop = True

    clips.hook = hook
    with pytest.raises(KeyboardInterrupt, match="stopped after step 1 of 3 in epoch 1 of 2; saved"):
        quiet(pooled(), clips, Settings(epochs=2, batch=4), folder=tmp_path, ranks=team)
