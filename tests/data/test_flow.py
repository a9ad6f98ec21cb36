"""The second stream: flow images from files and caches to networks, and flow on real clips, beside its peers.

The formulas are held to plain loops and to known motion in flow_checks.py, which test_oracles.py runs.
"""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from films import film, quadrants, set_matrix
from flow_checks import moved

import snippets.data.flow.images
import snippets.data.flow.tvl1
from snippets.data.flow.images import FlowDecoder, dequantise, quantise
from snippets.data.flow.tvl1 import TVL1, energy, tvl1
from snippets.data.layouts.splits import Video
from snippets.data.layouts.table import VideoFolder
from snippets.data.mini.make import make_mini
from snippets.data.open import DataSettings, DataSpec, open_data
from snippets.data.store.store import Store
from snippets.data.video import VideoError, read_frames, write_video
from snippets.nets.zoo import NetConfig, build
from snippets.training.bench.jobs import flow
from snippets.training.bench.peers import PEERS
from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.model import start_from
from snippets.training.objective import loss_and_gradient

QUICK = TVL1(scales=2, warps=2, iterations=20)


@pytest.fixture
def video(tmp_path):
    """Nine frames at 30 a second in which the picture moves a pixel to the right and half a pixel down each time."""
    frames = [moved(-t, -0.5 * t, 64, 64)[1][0].astype(np.uint8)[..., None].repeat(3, 2) for t in range(9)]
    write_video(tmp_path / "a.avi", frames, fps=30, bits_per_second=40_000_000)
    return Video(tmp_path / "a.avi", 0, "A/a.avi", "a")


def test_flow_images_of_a_video(video):
    """From each frame to the next one at flow_fps; frames that are half as many are twice as far apart."""
    for flow_fps, images, motion in ((30, 8, (-1, -0.5)), (15, 4, (-2, -1))):
        pixels = FlowDecoder(64, flow_fps=flow_fps, bound=8.0).frames(video)
        assert pixels.shape == (images, 64, 64, 2) and pixels.dtype == np.uint8
        middle = dequantise(pixels, 8.0)[:, 12:-12, 12:-12].mean(axis=(0, 1, 2))
        np.testing.assert_allclose(middle, motion, atol=0.1)


def test_images_are_taken_at_fps_from_pairs_at_flow_fps(video, monkeypatch):
    """15 images a second from neighbours at 30 a second: every second pair, each as far apart as before."""
    every, half = (list(FlowDecoder(32, fps, None, 30.0, 40.0, QUICK).read(video.path)) for fps in (None, 15.0))
    assert len(every) == 8
    np.testing.assert_array_equal(half, every[::2])
    np.testing.assert_array_equal(list(FlowDecoder(32, None, 3, 30.0, 40.0, QUICK).read(video.path)), every[:3])
    monkeypatch.setattr(
        snippets.data.flow.images, "read_frames", lambda *_, **__: iter(range(60))
    )  # two seconds at 30 a second
    firsts = {fps: [a for a, _ in FlowDecoder(32, fps, flow_fps=30.0)._pairs("x")] for fps in (1.0, 4.0, 12.0, 30.0)}
    assert firsts[1.0] == [0, 30] and firsts[4.0] == [0, 7, 15, 22, 30, 37, 45, 52]
    assert firsts[12.0][:6] == [0, 2, 5, 7, 10, 12] and firsts[30.0] == list(range(59))


def test_what_cannot_be_computed_is_told(tmp_path, video):
    with pytest.raises(ValueError, match="30 flow images per second of 15.0 frames per second"):
        FlowDecoder(32, 30)
    with pytest.raises(ValueError, match="bound is 0, expected more than 0"):
        DataSettings(bound=0)
    with pytest.raises(VideoError, match="a.avi: only one frame at 1 per second"):
        FlowDecoder(32, flow_fps=1.0).frames(video)


def test_the_cache_keeps_the_images_and_knows_their_parameters(tmp_path, video, monkeypatch):
    settings = (32, None, None, 15.0, 40.0, QUICK)
    expected = FlowDecoder(*settings).frames(video)
    np.testing.assert_array_equal(Store(tmp_path / "cache", FlowDecoder(*settings)).frames(video), expected)
    monkeypatch.setattr(snippets.data.flow.images, "tvl1", None)  # from here on nothing is computed
    again = pickle.loads(pickle.dumps(Store(tmp_path / "cache", FlowDecoder(*settings))))  # as another process gets it
    assert type(again.source) is FlowDecoder and again.parameters == FlowDecoder(*settings).parameters
    np.testing.assert_array_equal(again.frames(video), expected)
    assert again.manifest.path.read_text().startswith(
        '{"format": "snippets flow 2", "side": 32, "fps": null, "flow_fps": 15.0'
    )
    with pytest.raises(
        ValueError, match=r"begins with {'bound': 40.0}, expected {'bound': 20.0}: not a cache of these"
    ):
        Store(tmp_path / "cache", FlowDecoder(*settings[:4], 20.0, QUICK))
    with pytest.raises(ValueError, match=r"'iterations': 20, .* expected .*'iterations': 300"):
        Store(tmp_path / "cache", FlowDecoder(*settings[:5]))
    assert Store(tmp_path / "cache", FlowDecoder(32, 5.0)).folder != again.folder


def test_flow_of_the_mirror_image_is_the_mirrored_flow():
    """Up to the forward differences, which lean to one side."""
    for u, v in ((2.5, 1.0), (-1.2, 0.3)):
        I0, I1 = moved(u, v)
        plain, mirrored = tvl1(I0, I1), tvl1(I0[:, :, ::-1], I1[:, :, ::-1])[:, :, ::-1] * np.float32([-1, 1])
        apart = np.hypot(*np.moveaxis(plain - mirrored, -1, 0))
        assert apart[:, 8:-8, 8:-8].mean() < 0.03 and apart.mean() < 0.1
        steps = abs(quantise(mirrored).astype(int) - quantise(plain))
        assert steps[:, 8:-8, 8:-8].max() <= 1


@pytest.mark.parametrize("tower, conv", [("alexnet", "tower/conv1"), ("googlenet", "tower/conv1")])
def test_the_third_channel_has_no_effect(tower, conv, rng):
    """Its weights get a gradient of exactly zero, and other weights in their place change no bit of the output."""
    from snippets.data.augment import cut, random_crop

    config = NetConfig(3, tower, "conv", 2, 32, width=0.1, vector=8, fc=8, dropout=0.0)
    net = build(config)
    images = rng.integers(0, 256, (2, 36, 36, 2), np.uint8)
    x = np.stack([cut(images, slice(None), random_crop(36, 36, 32, rng), 127.5, 127.5) for _ in range(2)])
    key = next(key for key in net.params if key.startswith(conv) and key.endswith("W"))
    assert net.params[key].shape[2] == 3
    scores, grads = (loss_and_gradient(net, x, np.array([0, 2]))[k] for k in (1, 3))
    assert not grads[key][:, :, 2].any() and all(grads[key][:, :, c].any() for c in (0, 1))
    net.params[key][:, :, 2] = 7.0
    np.testing.assert_array_equal(loss_and_gradient(net, x, np.array([0, 2]))[1], scores)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The mini data set, a single-frame network on it, and Conv Pooling on flow that started from that."""
    folder = tmp_path_factory.mktemp("flow")
    mini = make_mini(folder / "data", groups=3, clips=1, frames=16)
    small = "--size 55 --width 0.1 --fc 16 --dropout 0.1 --epochs 1".split()
    rgb, flow, cache = folder / "rgb", folder / "flow", folder / "cache"
    single = "--head single --frames 1 --cache none --mean 100 --scale 64".split()
    assert main(["train", str(mini), "--out", str(rgb), *small, *single]) == 0
    parameters = "--flow-fps 6 --bound 10 --tvl1 scales=2,warps=1,iterations=20".split()
    assert main(["flow", str(mini), "--size", "55", "--cache", str(cache), *parameters]) == 0
    command = ["train", str(mini), "--out", str(flow), *small, "--frames", "3", "--cache", str(cache)]
    init = ["--init", str(rgb / "checkpoint.npz")]
    assert main([*command, *init, "--stream", "flow", *parameters]) == 0
    return mini, rgb, flow, cache, command


def test_a_flow_network_starts_from_the_raw_frame_network(runs, capsys):
    mini, rgb, flow, cache, _ = runs
    before, after = (load(folder / "checkpoint.npz") for folder in (rgb, flow))
    assert after.data["stream"] == "flow" and after.data["bound"] == 10 and after.data["flow_fps"] == 6
    step = abs(after.params["tower/conv1/W"] - before.params["tower/conv1/W"])
    assert 0 < step[:, :, :2].max() < 0.1
    steps = len(VideoFolder(mini).load().train)  # more than there are
    decay = after.settings["weight_decay"] * after.settings["lr"] * steps
    assert step[:, :, 2].max() <= decay * abs(before.params["tower/conv1/W"]).max()  # learning left it alone


def test_first_filters_read_flow_as_they_read_colours(runs):
    """No motion is 0 to them and a step of a byte is what it was in a frame; the filter of blue reads nothing."""
    mini, rgb, flow, cache, _ = runs
    before, after = (load(folder / "checkpoint.npz") for folder in (rgb, flow))
    assert (before.data["mean"], before.data["scale"]) == (100, 64)
    assert (after.data["mean"], after.data["scale"]) == (127.5, 64)
    settings = DataSettings(**after.data)
    train_set, test_set = open_data(DataSpec(mini, 55, settings, cache=cache), 3)
    net = build(NetConfig(**after.config), seed=5)
    start_from(str(rgb / "checkpoint.npz"), net, NetConfig(**after.config), settings, 1, train_set, test_set)
    tower = net.layers["tower"].layer.layers
    maps, _ = tower["conv1"].forward(next(test_set.test_clips(0)))
    pixels = test_set.source.frames(test_set.videos[0])[:]
    first, corner = (len(pixels) - 3) // 2, (64 - 55) // 2
    pixels = pixels[first : first + 3, corner : corner + 55, corner : corner + 55].astype(np.float64)
    W, b = before.params["tower/conv1/W"], before.params["tower/conv1/b"]  # 11 x 11 x 3 x F, stride 4
    y = x = 3  # of a map, where no padding is
    top = 4 * y - (4 * (maps.shape[1] - 1) + 11 - 55) // 2
    expected = b.astype(np.float64)
    for i, j, c in np.ndindex(11, 11, 2):
        expected = expected + W[i, j, c] * (pixels[1, top + i, top + j, c] - 127.5) / 64
    np.testing.assert_allclose(maps[1, y, x], np.maximum(expected, 0), rtol=1e-4, atol=1e-5)  # and ReLU


def test_another_scale_than_that_of_the_raw_frames_counts_where_it_is_typed(runs, tmp_path):
    """As in the paper's tables at reduced scale, where small motion would be grey to the network."""
    mini, rgb, _, cache, command = runs
    other = ["--init", str(rgb / "checkpoint.npz"), "--stream", "flow", "--scale", "127.5"]
    assert main([*command[:3], str(tmp_path / "run"), *command[4:], *other]) == 0
    assert load(tmp_path / "run" / "checkpoint.npz").data["scale"] == 127.5


def test_evaluate_predict_and_features_see_flow(runs, tmp_path, capsys, monkeypatch):
    mini, _, flow, cache, _ = runs
    model, clip = str(flow / "checkpoint.npz"), VideoFolder(mini).load().test[0].path
    computed = snippets.data.flow.images.tvl1
    monkeypatch.setattr(snippets.data.flow.images, "tvl1", None)
    assert main(["evaluate", model, str(mini), "--cache", str(cache)]) == 0  # from the cache that `flow` made
    assert main(["features", str(mini), "--model", model, "--cache", str(cache), "--out", str(tmp_path / "f.npz")]) == 0
    used = []
    monkeypatch.setattr(snippets.data.flow.images, "tvl1", lambda *a: used.append(a[2]) or computed(*a))
    for options in ([], ["--whole"]):
        assert main(["predict", model, str(clip), "--views", "2", *options]) == 0
    assert set(used) == {TVL1(scales=2, warps=1, iterations=20)}  # as trained
    assert capsys.readouterr().out.count(str(clip)) == 2


def test_a_cache_of_other_parameters_is_refused(runs, capsys):
    *_, cache, command = runs
    assert main([*command[:3], str(cache.parent / "other"), *command[4:], "--stream", "flow", "--flow-fps", "6"]) == 1
    error = capsys.readouterr().err
    assert "begins with {'bound': 10.0" in error and "expected {'bound': 40.0" in error and "another one" in error


def test_flow_is_rendered(video, tmp_path, capsys):
    quick = ["--size", "32", "--flow-fps", "30", "--tvl1", "scales=2,warps=1,iterations=20"]
    for name in ("new/flow.png", "flow.avi"):
        assert main(["flow", str(video.path), "--render", str(tmp_path / name), *quick]) == 0
        assert capsys.readouterr().out == f"{tmp_path / name}\n" and (tmp_path / name).stat().st_size > 2000
    frames = list(read_frames(tmp_path / "flow.avi"))
    assert len(frames) == 8 and frames[0].shape == (36, 72, 3)  # side 37, made even
    assert (frames[3][8:-8, 44:-8].mean(axis=(0, 1)).argmin()) == 0  # to the left: not red


@pytest.mark.parametrize(
    "matrix, aspect, shape",
    [((1, 0, 0, 1), 2, (36, 2 * 98)), ((0, 1, -1, 0), 2, (98, 2 * 36)), ((1, 0, 0, 1), 10, (12, 2 * 148))],
    ids=["wide pixels", "and held upright", "no wider than four times its side"],
)
def test_flow_is_shown_in_the_shape_of_the_video(tmp_path, matrix, aspect, shape):
    film(tmp_path / "a.mp4", [np.roll(quadrants(), t, axis=1) for t in range(3)], aspect=Fraction(aspect))
    set_matrix(tmp_path / "a.mp4", matrix)
    quick = ["--size", "32", "--flow-fps", "25", "--tvl1", "scales=1,warps=1,iterations=3"]
    assert main(["flow", str(tmp_path / "a.mp4"), "--render", str(tmp_path / "flow.avi"), *quick]) == 0
    frame = next(read_frames(tmp_path / "flow.avi"))
    assert frame.shape[:2] == shape
    left, first = frame[:, : shape[1] // 2], next(read_frames(tmp_path / "a.mp4"))
    for y, x in ((1, 1), (1, 3), (3, 1), (3, 3)):
        here, there = (a[y * a.shape[0] // 4, x * a.shape[1] // 4].astype(int) for a in (left, first))
        assert np.abs(here - there).max() < 60


@pytest.mark.parametrize(
    "options, told",
    [
        (["."], "expected two folders or more"),
        (["x.avi"], "expected a folder or a manifest of videos, or --render and one video"),
        ([".", "--render", "a.png"], "is a data set, but --render"),
        (["x.avi", "--render", "a.png", "--tvl1", "lambda=1"], "'lambda=1' is no parameter"),
        (["x.avi", "--render", "a.png"], "x.avi: no such video file"),
    ],
)
def test_mistakes_are_told(options, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["flow", *options]) == 1
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def real_pairs(shared, size=(240, 320)):
    """The middle frame of two clips with much motion at 15 a second, and the next one, grey: (2, H, W) each."""
    names = ("Archery_tmbo_video1", "BabyCrawling_tmbo_video3")
    videos = [list(read_frames(shared / "clips" / f"{name}.avi", 15, size)) for name in names]
    pairs = np.stack([np.stack(frames[len(frames) // 2 :][:2]) @ snippets.data.flow.images.GREY for frames in videos])
    return np.rint(pairs[:, 0]), np.rint(pairs[:, 1])


@pytest.mark.parametrize("peer", ["opencv", "scikit-image"])
def test_real_clips_have_no_more_energy_than_the_peers_flow(shared, peer):
    """With the same parameters, by one function, at full size; and the flows are alike."""
    package, counterparts = PEERS[peer].packages[0], PEERS[peer].counterparts
    pytest.importorskip(package, reason=f"needs {package}, a peer (pip install -e '.[bench]')")
    I0, I1 = real_pairs(shared)
    ours, theirs = tvl1(I0, I1), counterparts("cpu")[flow](I0, I1).results()["u"]
    assert (energy(I0, I1, ours) <= energy(I0, I1, theirs)).all()
    assert np.median(np.hypot(*np.moveaxis(ours - theirs, -1, 0)), axis=(1, 2)).max() < 0.3  # pixels


def test_real_clips_mirrored(shared):
    I0, I1 = real_pairs(shared, (120, 160))
    plain, mirrored = tvl1(I0, I1), tvl1(I0[:, :, ::-1], I1[:, :, ::-1])[:, :, ::-1] * np.float32([-1, 1])
    apart = np.hypot(*np.moveaxis(plain - mirrored, -1, 0))
    assert np.median(apart, axis=(1, 2)).max() < 0.05
    assert (apart.mean(axis=(1, 2)) < 0.25 * np.hypot(*np.moveaxis(plain, -1, 0)).mean(axis=(1, 2)) + 0.02).all()


@pytest.mark.parametrize("side, smallest", [(20, 16), (24, 19), (19, 19)])
def test_frames_are_made_no_smaller_than_16_pixels(side, smallest, monkeypatch, rng):
    """By steps of 0.8: 20, 16; 24, 19, and not 15; 19, and not 15."""
    seen, real = [side], snippets.data.flow.tvl1.resize
    monkeypatch.setattr(
        "snippets.data.flow.tvl1.resize", lambda image, size: seen.append(min(size)) or real(image, size)
    )
    pair = rng.random((2, 1, side, side + 9), dtype=np.float32)
    tvl1(*pair, TVL1(warps=1, iterations=1))
    assert min(seen) == smallest
