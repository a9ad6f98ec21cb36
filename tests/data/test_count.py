"""--count: in place of all frames, some spread evenly over a video, wherever a network reads it."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from films import number, numbered
from layout_folders import pictures

from snippets.data import decoder
from snippets.data.decoder import Decoder, Spread
from snippets.data.flow import images
from snippets.data.flow.images import FlowDecoder
from snippets.data.flow.tvl1 import TVL1, tvl1
from snippets.data.layouts.splits import Video
from snippets.data.open import DataSettings
from snippets.data.store.store import Store
from snippets.data.video import write_video
from snippets.training.model import video_set


def test_frames_are_spread_from_the_first_to_the_last(tmp_path):
    folder = pictures(tmp_path / "v", range(1, 12))  # frames 0 to 10
    video = Video(folder, 0, "v", "v")
    for source in (Decoder(24), Store(tmp_path / "c", Decoder(24))):
        for n, wanted in ((1, [0]), (2, [0, 10]), (3, [0, 5, 10]), (6, [0, 2, 4, 6, 8, 10])):
            some = Spread(source, n)
            assert some.count(video) == n and [number(x) for x in some.frames(video)] == wanted
            assert some.shape == source.shape and some.checksum(video) == source.checksum(video)
        long = [number(x) for x in Spread(source, 23).frames(video)]  # a short video: frames stand still
        assert sorted(set(long)) == list(range(11)) and long == sorted(long)
        assert copy.copy(some).number == pickle.loads(pickle.dumps(some)).number == 6
    first = Decoder(24, limit=5)
    assert [number(x) for x in Spread(first, 3).frames(video)] == [0, 2, 4]


@pytest.mark.parametrize("declared, passes", [(12, 1), (11, 2), (13, 2), (0, 2)])
@pytest.mark.parametrize("fps", [None, 10])
def test_a_video_is_decoded_once_if_its_header_says_how_long_it_is(declared, passes, fps, tmp_path, monkeypatch):
    """And if not, the frames are the same: the header is a guess, and no more."""
    write_video(tmp_path / "a.avi", [numbered(n) for n in range(12)], 25)
    video, read, seen = Video(tmp_path / "a.avi", 0, "a", "a"), [], decoder.read_frames
    every = [number(x) for x in Decoder(24, fps).frames(video)]
    monkeypatch.setattr(decoder, "read_frames", lambda *a: read.append(a) or seen(*a))
    header = decoder.read_header(video.path)
    monkeypatch.setattr(decoder, "read_header", lambda *a: dataclasses.replace(header, frames=declared))
    for n, wanted in ((3, [0, (len(every) - 1) / 2, len(every) - 1]), (1, [0])):
        source = Decoder(24, fps)
        found = [number(x) for x in Spread(source, n).frames(video)]
        assert found == [every[round(k)] for k in wanted] and len(read) in ((1, 2) if fps else (passes,))
        read.clear()
        assert [number(x) for x in Spread(source, n).frames(video)] == found and len(read) == 1  # its length is known
        read.clear()


def test_a_network_for_such_frames_reads_them_of_any_video(tmp_path):
    folder = pictures(tmp_path / "v", range(1, 12))
    data = DataSettings(count=3, mean=0.0, scale=1.0)
    assert data.length == 3 and DataSettings(seconds=1, fps=5).length == 5 and DataSettings().length is None
    videos = video_set([folder], 3, 24, data)
    whole = video_set([folder], 11, 24, DataSettings(mean=0.0, scale=1.0)).whole_video(0)
    for clip in (next(videos.test_clips(0)), videos.whole_video(0), np.concatenate(list(videos.blocks(0)))):
        np.testing.assert_array_equal(clip, whole[[0, 5, 10]])


def test_of_spread_images_only_those_are_computed(tmp_path, monkeypatch):
    still = np.kron(np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    source = FlowDecoder(32, None, None, 25.0, 40.0, TVL1(scales=2, warps=2, iterations=20))
    write_video(tmp_path / "a.avi", [np.roll(still, 2 * t, axis=1) for t in range(9)], 25)
    video = Video(tmp_path / "a.avi", 0, "A/a.avi", "a")
    every, pairs = source.frames(video), []
    monkeypatch.setattr(images, "tvl1", lambda a, b, *more: pairs.append(len(a)) or tvl1(a, b, *more))
    n = len(every)
    numbers = np.linspace(0, n - 1, 3).round().astype(int)
    np.testing.assert_array_equal(Spread(source, 3).frames(video), every[numbers])
    assert sum(pairs) == 3 < n
    taken = list(source.take(video, [[1, n + 1], [n - 1, 2 * n + 2]]))  # after its last image a video starts again
    np.testing.assert_array_equal(taken, every[[[1, 1], [n - 1, 2]]])
    assert sum(pairs) == 3 + 4
    for k in (n - 1, n, 2 * n - 1, 2 * n):  # the last one and the first one of a pass
        np.testing.assert_array_equal(next(source.take(video, [[k]])), every[[k % n]])
