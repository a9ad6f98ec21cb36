"""A video that streams through a net block by block: the same answer as all at once, in memory that does not grow."""

import tracemalloc
from dataclasses import asdict

import numpy as np
import pytest
from contract import assert_close, assert_same_bits
from small_nets import cut, name, net_and_video

from snippets.data.video import write_video
from snippets.layers.core.base import Sequential
from snippets.layers.linear import Flatten, Linear
from snippets.layers.temporal import FixedFrames
from snippets.layers.time_conv import TimeConv
from snippets.nets.frame_predictions import MODES, Running, clip_probabilities
from snippets.nets.streaming.stream import BLOCK, stream
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.cli.main import main
from snippets.training.cli.predict import video_set, whole_video
from snippets.training.model import load_model, predict_clips

pytestmark = pytest.mark.usefixtures("short_blocks")

POOLED = [dict(tower="alexnet"), dict(tower="googlenet"), dict(tower="features", features=6)]
RECURRENT = [{**config, "head": "lstm"} for config in POOLED]


@pytest.mark.parametrize("config", POOLED, ids=name)
def test_pooling_gives_the_bits_of_the_whole_video(config):
    T = 2 * BLOCK + 5 if config["tower"] == "features" else 23  # several blocks, the last one short
    net, x = net_and_video(T, **config)
    wanted = clip_probabilities(net.predict(x[None]))[0]
    for blocks in (cut(x), [x], iter(x[:, None])):
        assert_same_bits(stream(net, blocks), wanted, "probabilities")
    assert np.abs(clip_probabilities(net.predict(x[None, :8]))[0] - wanted).max() > 1e-6  # later frames count


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("config", RECURRENT, ids=name)
def test_the_lstm_carries_its_state_through_every_mode(config, mode):
    T = 2 * BLOCK + 5 if config["tower"] == "features" else 23
    net, x = net_and_video(T, np.float64, **config)
    scores = net.predict(x[None])
    got = stream(net, cut(x), mode)
    assert_close(got, clip_probabilities(scores, mode)[0], "probabilities", rtol=1e-12)
    others = [clip_probabilities(scores, other)[0] for other in MODES if other != mode]
    assert min(np.abs(got - p).max() for p in others) > 1e-6  # the modes differ on this video


def test_a_mode_must_be_one_of_them():
    with pytest.raises(ValueError, match="mode must be one of weighted, last, max, sum, got 'mean'"):
        Running("mean")


OTHERS = [
    *[dict(tower="features", features=6, head=head) for head in ("late", "slow", "average", "rnn", "timeconv")],
    *[dict(tower="alexnet", head=head) for head in ("late", "slow", "timeconv", "slowfusion")],
    dict(tower="googlenet", head="slow", tap="maps"),
    *[dict(tower="alexnet", head="convlstm"), dict(tower="features", features=6, head="convlstm")],
]


@pytest.mark.parametrize("config", OTHERS, ids=name)
def test_streaming_equals_batch_for_every_head_that_can(config):
    """Late, Slow, average pooling, Time-Domain Convolution, Slow Fusion, plain and convolutional recurrent networks."""
    long = 2 * BLOCK + 5 if config["tower"] == "features" else 23
    for T in (10, 15, 17, long) + (() if config["head"] in ("timeconv", "slowfusion") else (1, 9)):
        net, x = net_and_video(T, np.float64, **config)
        wanted = clip_probabilities(net.predict(x[None]))[0]
        for blocks in (cut(x), [x]):
            assert_close(stream(net, blocks), wanted, f"probabilities of {T} frames", rtol=1e-11)


def test_what_cannot_stream_is_refused():
    rng = np.random.default_rng(0)
    for layer in (Flatten(), FixedFrames(2, "fc"), TimeConv(6, 2, (1, 1, 1), 2, rng=rng)):
        net = Sequential(fc=Linear(6, 5, rng), join=layer, scores=Linear(5, 3, rng))
        with pytest.raises(TypeError, match=f"layer join is a {type(layer).__name__}.*cannot stream"):
            stream(net, [np.zeros((2, 6), np.float32)])
    for head, tower in [("local", "alexnet"), ("fcpool", "features")]:
        net, x = net_and_video(12, tower=tower, head=head, frames=12, features=6 * (tower == "features"))
        with pytest.raises(TypeError, match="layer length is a FixedFrames.*clips of its own length"):
            stream(net, [x])
    net, x = net_and_video(7, tower="features", features=6, head="timeconv")
    with pytest.raises(ValueError, match="7 frames are fewer than the 10"):
        stream(net, cut(x))
    net, x = net_and_video(0, tower="features", features=6)
    for blocks in ([], [x]):
        with pytest.raises(ValueError, match="no frames"):
            stream(net, blocks)


def frames(T, side=64):
    """A square that moves over a ramp, a fade from dark to light."""
    ramp = np.add.outer(np.arange(side), np.arange(side))[..., None] + np.array([0, 20, 40])
    for t in range(T):
        picture = (ramp * (0.2 + 0.8 * t / T)).astype(np.uint8)
        picture[t % 48 : t % 48 + 16, 3 * t % 48 : 3 * t % 48 + 16] = (250, 120, 10)
        yield picture


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Files of 100, 200, 400 and 3000 frames."""
    folder = tmp_path_factory.mktemp("videos")
    for T in (100, 200, 400, 3000):
        write_video(folder / f"{T}.avi", frames(T), 25)
    return {T: folder / f"{T}.avi" for T in (100, 200, 400, 3000)}


@pytest.fixture(scope="module", params=["conv", "lstm"])
def trained(request, tmp_path_factory):
    """A checkpoint of a small net."""
    config = NetConfig(5, "alexnet", request.param, 16, 55, width=0.1, fc=16, units=8, depth=2)
    path = tmp_path_factory.mktemp("model") / "model.npz"
    save(path, Checkpoint(build(config, 2).params, config=asdict(config), data={}, classes=list("abcde")))
    return path


def test_memory_does_not_grow_with_the_video(trained, videos):
    """Longer than two blocks, decoding included, peaks are within 5 %; threads would add chance meetings."""
    model = load_model(trained, threads=1)
    peaks = {}
    for T in (200, 200, 400, 3000):  # the first one leaves its scratch buffers
        tracemalloc.start()
        stream(model.net, whole_video(videos[T], model), model.mode)
        peaks[T] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert 200 > 3 * BLOCK and max(peaks.values()) <= 1.05 * min(peaks.values()), peaks


def test_predict_whole_streams_what_the_clip_holds(trained, videos, capsys):
    model = load_model(trained)
    path = str(videos[100])
    whole = video_set([path], 16, 55, model.data).whole_video(0)
    assert_same_bits(np.concatenate(list(whole_video(path, model))), whole, "frames")
    wanted = predict_clips(model, [whole])
    assert_close(stream(model.net, whole_video(path, model), model.mode), wanted, "probabilities", rtol=1e-5)
    assert main(["predict", str(trained), path, "--whole", "--top", "1"]) == 0
    best = int(wanted.argmax())
    assert capsys.readouterr().out.splitlines()[1].split() == [f"{100 * wanted[best]:.1f}", "%", "abcde"[best]]
