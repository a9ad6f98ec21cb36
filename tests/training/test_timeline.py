"""Predictions while a video is being watched: at every frame, of videos of any length."""

import numpy as np
import pytest
from contract import assert_close
from small_nets import cut, name, net_and_video

from snippets.layers.loss import softmax
from snippets.layers.temporal import TemporalAvgPool
from snippets.nets.streaming.stream import BLOCK, stream
from snippets.nets.streaming.timeline import Timeline, follow, so_far

pytestmark = pytest.mark.usefixtures("short_blocks")

FEATURES = dict(tower="features", features=6)


@pytest.mark.parametrize(
    "config", [FEATURES, dict(tower="alexnet"), {**FEATURES, "head": "late"}, {**FEATURES, "head": "average"}], ids=name
)
def test_a_pooling_net_says_at_each_frame_what_it_says_of_the_video_so_far(config):
    T = BLOCK + 5 if config["tower"] == "features" else 11
    net, x = net_and_video(T, np.float64, **config)
    found = list(follow(net, cut(x)))
    p = np.concatenate([rows for rows, _ in found])
    assert [len(rows) for rows, _ in found] == [t for _, t in found] and len(p) == T
    for t in range(T):
        assert_close(p[t], softmax(net.predict(x[None, : t + 1]))[0], f"after frame {t}", rtol=1e-10)


def test_the_mean_of_a_day_of_video_does_not_drift():
    """Added up in float32, 0.1 is 0.1002 on average after 100,000 frames."""
    day = (np.full((1000, 1), 0.1, np.float32) for _ in range(100))
    means = [block[-1, 0] for block in so_far(TemporalAvgPool(), day)]
    assert means == [np.float32(0.1)] * 100


def test_the_lstm_says_at_each_frame_what_it_predicts_there():
    net, x = net_and_video(BLOCK + 5, np.float64, **FEATURES, head="lstm")
    p = np.concatenate([rows for rows, _ in follow(net, cut(x))])
    assert_close(p, softmax(net.predict(x[None]))[0], "predictions", rtol=1e-10)


def test_single_frames_are_seen_alone():
    net, x = net_and_video(9, np.float64, tower="alexnet", head="single", frames=1)
    p = np.concatenate([rows for rows, _ in follow(net, cut(x), alone=True)])
    assert_close(p, softmax(net.predict(x[:, None])), "predictions", rtol=1e-10)


@pytest.mark.parametrize("head", ["slow", "timeconv"])
def test_windows_give_fewer_predictions_the_last_of_which_is_the_answer(head):
    net, x = net_and_video(2 * BLOCK + 7, np.float64, **FEATURES, head=head)
    found = list(follow(net, cut(x)))
    assert sum(len(p) for p, _ in found) < len(x)
    assert_close(found[-1][0][-1], stream(net, cut(x)), "answer", rtol=1e-10)
    assert sum(t for _, t in found) == len(x)


def test_a_net_that_needs_all_frames_at_once_is_refused():
    net, x = net_and_video(12, **FEATURES, head="local", frames=12)
    with pytest.raises(TypeError, match="cannot stream"):
        next(follow(net, cut(x)))


def test_a_timeline_keeps_every_frame_while_they_fit_and_means_beyond(rng):
    p = rng.random((29, 3))
    line = Timeline(columns=8)
    line.add(p[:7], 7)
    np.testing.assert_array_equal(line.curves(), p[:7])
    line.add(p[7:8], 1)
    assert line.step == 1
    line.add(p[8:], 21)  # 29 frames in 8 rows: four to a row, the last row of one
    assert (line.step, line.frames, line.sums.shape) == (4, 29, (8, 3))
    np.testing.assert_allclose(line.curves(), [p[i : i + 4].mean(axis=0) for i in range(0, 29, 4)])


def test_fewer_predictions_than_frames_are_spread_over_them():
    line = Timeline()
    line.add(np.array([[1.0], [2.0]]), 5)
    line.add(np.array([[3.0]]), 0)
    assert line.curves()[:, 0].tolist() == [1, 1, 1, 2, 2]
