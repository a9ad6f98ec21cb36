"""Ten minutes of video for four frames: memory depends on the frames that are asked for, not on the length."""

import contextlib
import tracemalloc
import weakref

import numpy as np
import pytest
from films import folder

from snippets.data.decoder import Decoder
from snippets.data.flow.images import FlowDecoder
from snippets.data.flow.tvl1 import TVL1
from snippets.data.layouts.splits import Video
from snippets.data.loader import ClipSet, Preprocessing
from snippets.data.store.store import Store
from snippets.data.video import write_video
from snippets.training.cli.main import main
from snippets.training.render.flow import render_flow

SHORT, LONG = 160, 400  # frames, more than the tower takes at once


class Counted(Decoder):
    """A video of `frames` frames, frame n full of n, that counts how many of them are alive at once."""

    def __init__(self, frames):
        super().__init__(side=8)
        self.T, self.alive, self.most, self.reads = frames, 0, 0, 0

    def read(self, path):
        self.reads += 1
        for n in range(self.T):
            frame = np.full((8, 8, 3), n, np.uint16)
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(frame, self.died)
            yield frame

    def died(self):
        self.alive -= 1

    def length(self, path):
        return self.T


USES = {
    "train": lambda s: [s.train_clip(0, np.random.default_rng(k)) for k in range(5)],
    "middle": lambda s: list(s.test_clips(0)),
    "views": lambda s: list(s.test_clips(0, 5, np.random.default_rng(0))),
    "overlapping views": lambda s: list(s.test_clips(0, 240, np.random.default_rng(0))),
    "blocks": lambda s: list(s.blocks(0, 4)),
}


@pytest.mark.parametrize("length", [None, 2500], ids=["own length", "repeated"])
@pytest.mark.parametrize("use", USES)
def test_few_frames_are_alive_at_once(use, length):
    """One pass, in order, and no more frames at once than a clip has; the right ones, after the last from the start."""
    source = Counted(1000)
    clips = ClipSet(["a"], [Video("x", 0, "x", "x")], source, 4, Preprocessing(8, 0, 1), length)
    found = np.concatenate(USES[use](clips))[:, 0, 0, 0]
    assert source.most <= 4 + 4 + 2  # a clip's, those of the next ones that overlap it, and the one that is decoded
    total = length or 1000
    assert source.reads <= (5 if use == "train" else 1) * -(-total // 1000)
    expected = {
        "middle": total // 2 - 2 + np.arange(4),
        "views": np.linspace(0, total - 4, 5).round()[:, None] + np.arange(4),
        "overlapping views": np.linspace(0, total - 4, 240).round()[:, None] + np.arange(4),
        "blocks": np.arange(total),
        "spread": np.linspace(0, total - 1, 4).round(),
    }
    if use == "train":
        assert (np.diff(found.reshape(5, 4)) % 1000 == 1).all()
    else:
        np.testing.assert_array_equal(found, np.ravel(expected[use]) % 1000)


def test_the_same_frames_from_the_cache_and_decoded_afresh(tmp_path):
    path = tmp_path / "a.avi"
    write_video(path, np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8), 25)
    cache, plain, video = Store(tmp_path / "cache", Decoder(16)), Decoder(16), Video(path, 0, "a.avi", "a")
    assert cache.count(video) == plain.count(video) == 20
    windows = [range(0, 8), range(6, 14), [2, 9, 9, 19], range(17, 25), [45, 3]]
    for a, b, window in zip(cache.take(video, windows), plain.take(video, windows), windows, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, plain.frames(video)[np.array(window) % 20])


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A short and a long video, {frames: path}, and a folder of classes with two of each."""
    home = tmp_path_factory.mktemp("long")
    paths = {}
    for frames in (SHORT, LONG):
        path = home / f"{frames}.avi"
        write_video(path, (np.full((16, 16, 3), n % 250, np.uint8) for n in range(frames)), 25)
        paths[frames] = path, folder(home / f"data{frames}", path, ["1.avi", "2.avi"])
    for path in home.glob("data*/#a"):
        path.rename(path.with_name("a"))
    return paths


COMMANDS = {
    "predict": "predict MODEL VIDEO",
    "predict whole": "predict MODEL VIDEO --whole",
    "features of files": "features VIDEO --model MODEL --count 4 --out OUT.npz",
    "features of a folder": "features DATA --model MODEL --count 4 --out OUT.npz --cache none",
    "features through the cache": "features DATA --model MODEL --count 4 --out OUT.npz --cache OUT",
    "evaluate": "evaluate MODEL DATA --views 2 --batch 2 --cache none",
    "evaluate whole through the cache": "evaluate MODEL DATA --whole --cache OUT",
    "train": "train DATA --tower alexnet --size 64 --width 0.05 --fc 4 --frames 4 --epochs 1 --out OUT --cache none",
    "check-data": "check-data DATA",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_memory_does_not_grow(command, videos, model, tmp_path, capsys):
    """The long video has 240 frames more of 74 x 74 pixels: 3.9 MB as bytes, 16 MB as float32."""
    peaks = {}
    for frames in (SHORT, SHORT, LONG):  # the first time, modules and caches are filled
        video, data = videos[frames]
        names = {"MODEL": str(model), "VIDEO": str(video), "DATA": str(data)}
        out = str(tmp_path / f"{len(list(tmp_path.iterdir()))}")
        words = [names.get(word, word.replace("OUT", out)) for word in COMMANDS[command].split()]
        tracemalloc.start()
        assert main(words) == 0
        peaks[frames] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[LONG] < peaks[SHORT] + 1.5e6, peaks


def raiser(*args, **options):
    raise InterruptedError


@pytest.mark.parametrize("suffix", ["png", "mp4"])
def test_flow_is_rendered_from_a_few_images(suffix, tmp_path, monkeypatch):
    """A picture, or a video, of the flow of a long video: only some of its images are in memory."""
    peaks = []
    monkeypatch.setattr("snippets.data.flow.images.pairs_at_once", lambda *_: 2)
    monkeypatch.setattr("snippets.training.render.flow.SAMPLE", 12)
    monkeypatch.setattr("snippets.training.render.flow.new_figure", raiser)  # drawing does not depend on the length
    for frames in (SHORT, SHORT, LONG):
        path = tmp_path / f"{frames}.avi"
        write_video(path, (np.full((16, 16, 3), n % 250, np.uint8) for n in range(frames)), 15)
        decoder = FlowDecoder(48, settings=TVL1(scales=1, warps=1, iterations=1))
        assert decoder.length(path) == frames - 1
        tracemalloc.start()
        with contextlib.suppress(InterruptedError):
            render_flow(path, decoder, tmp_path / f"flow.{suffix}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 1.5e6  # 240 images more of 25 kB: 6 MB
