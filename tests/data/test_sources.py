"""What sources of frames hand on, keep and check: checksums, frames on their way, attributes, files of arrays."""

import io
import os
import weakref
import zlib
from functools import partial

import numpy as np
import pytest
from films import number, numbered
from imageio.v3 import imwrite

from snippets.data import decoder
from snippets.data.decoder import Decoder, Source, Spread
from snippets.data.display import FrameSource
from snippets.data.layouts.splits import Video
from snippets.data.store import array
from snippets.data.store import store as module
from snippets.data.store.array import StoredArray
from snippets.data.store.manifest import Entry
from snippets.data.store.store import Store
from snippets.data.video import VideoError, write_video


@pytest.fixture
def video(tmp_path):
    write_video(tmp_path / "a.avi", [numbered(n) for n in range(6)], 25)
    return Video(tmp_path / "a.avi", 0, "a", "a")


class Rows(Source):
    """Five arrays of every video, computed elsewhere."""

    name, shape, parameters, dtype = "rows", (4,), {"a": 1}, np.dtype(np.float32)
    rate, limit, spread, picture_fps = 3.0, 7, 5, 9.0

    def __init__(self):
        super().__init__()
        self.made = []

    def stream(self, video):
        for k in range(5):
            row = np.full(4, k, np.float32)
            self.made.append(weakref.ref(row))
            yield row


def test_checksums_are_crc_32_of_a_file_or_of_all_pictures_in_order(tmp_path, video, monkeypatch):
    assert Decoder(8).checksum(video) == zlib.crc32(video.path.read_bytes())
    folder = tmp_path / "v"
    folder.mkdir()
    for n in (10, 9):
        imwrite(folder / f"{n}.png", numbered(n))
    parts = [(folder / f"{n}.png").read_bytes() for n in (9, 10)]
    assert Decoder(8).checksum(Video(folder, 0, "v", "v")) == zlib.crc32(b"".join(parts))
    read, source = [], Decoder(8)
    monkeypatch.setattr(decoder, "checksum", lambda file, value: read.append(file.name) or 7)
    assert [source.checksum(video) for _ in range(3)] == [7] * 3 and read == [str(video.path)]  # once per process
    with pytest.raises(FileNotFoundError, match="none.avi: no such video file"):
        Decoder(8).checksum(Video(tmp_path / "none.avi", 0, "none", ""))


def test_what_a_source_has_to_say_itself():
    for call in (partial(Source().stream, None), FrameSource().clock_fault, FrameSource()._timed):
        with pytest.raises(NotImplementedError):
            call()


def test_a_frame_is_kept_only_as_long_as_a_window_wants_it():
    source, alive = Rows(), []
    for _ in source.take(None, [[0, 1], [1, 2], [3], [3, 5]]):
        alive.append([k % 5 for k, made in enumerate(source.made) if made() is not None])
    assert alive == [[0, 1], [1, 2], [3], [3, 0]]


@pytest.mark.parametrize("limit", [3, 9])
def test_a_part_of_a_video_is_counted_before_frames_are_spread_over_it(video, limit, monkeypatch):
    """Its header counts the whole video: the first frames are counted, once, and then taken."""
    read, frames = [], decoder.read_frames
    monkeypatch.setattr(decoder, "read_frames", lambda *a: read.append(a[2:4]) or frames(*a))
    source = Decoder(24, limit=limit)
    if limit == 3:
        assert [number(x) for x in source.take_evenly(video, 2)] == [0, 2] and read == [(24, 3)]
    assert source.count(video) == min(limit, 6) == source.count(video) and read[-1] == (8, limit)
    assert len(read) == (2 if limit == 3 else 1)


def test_a_store_and_a_spread_are_like_their_source(tmp_path):
    source = Rows()
    for like in (Store(tmp_path, source), Spread(source, 2)):
        found = like.shape, like.dtype, like.rate, like.limit, like.picture_fps
        assert found == ((4,), np.float32, 3.0, 7, 9.0)
    assert Store(tmp_path, source).spread == 5 and Store(tmp_path, source).name == "rows"


def test_a_file_is_asked_for_its_times_once(tmp_path, video, monkeypatch):
    Store(tmp_path / "c", Decoder(8)).fill([video], progress=False)
    asked, stamp = [], module.stamp
    monkeypatch.setattr(module, "stamp", lambda path, source: asked.append(path) or stamp(path, source))
    store, moved = Store(tmp_path / "c", Decoder(8)), video._replace(path=tmp_path / "b.avi")
    for _ in range(3):
        store.frames(video)
    assert asked == [video.path]
    os.link(video.path, moved.path)  # the same video in another place
    store.frames(moved)
    assert asked == [video.path, moved.path]


def test_what_is_missing_from_a_store(tmp_path, video):
    """A file that is shorter or longer than it should be, and a video that has gone, which is told when it is used."""
    store = Store(tmp_path / "c", Decoder(8))
    store.fill([video], progress=False)
    file = store.folder / "a.npy"
    whole = file.read_bytes()
    for content, missing in ((whole[:-1], [video]), (whole + b"x", [video]), (whole, [])):
        file.write_bytes(content)
        assert store.missing([video]) == missing
    video.path.unlink()
    other = Store(tmp_path / "c", Decoder(8))
    assert other.missing([video]) == [video]
    assert other.fill([video], progress=False) == {"a": f"{video.path}: no such video file"}


class Elsewhere:
    """An executor on another host: what it reports is all that is known here."""

    def __init__(self, results):
        self.results, self.began, self.ended = results, [], False

    def map(self, produce, source, videos, receive):
        self.began = [produce, source, videos, receive]
        try:
            yield from self.results
        finally:
            self.ended = True


class Stopped:
    """An entry in whose midst Ctrl-C comes."""

    @property
    def frames(self):
        raise KeyboardInterrupt


def test_what_other_processes_report_is_known_and_they_end_with_this_one(tmp_path):
    videos = [Video(tmp_path / f"{n}.avi", 0, str(n), "") for n in range(3)]
    store, entry, seen = Store(tmp_path / "c", Rows()), Entry(5, 1, 2, 3), []
    other = Elsewhere([("0", entry, None), ("1", None, "it is damaged")])
    assert store.fill(videos, other, False, seen.append) == {"1": "it is damaged"} and seen == [videos]
    assert store.manifest.entries == {"0": entry} and other.began == [
        module.contents,
        store.source,
        videos,
        store.receive,
    ]
    assert store.manifest.path.read_text() == '{"a": 1}'  # is there before any of them adds a line
    other = Elsewhere([("0", Stopped(), None), ("1", entry, None)])
    with pytest.raises(KeyboardInterrupt) as caught:
        store.fill(videos, other, False)
    assert other.ended and caught.type is KeyboardInterrupt


def test_a_file_of_other_arrays_is_refused_and_of_its_own_no_more_is_read_than_asked_for(tmp_path, monkeypatch):
    right = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    np.save(tmp_path / "right.npy", right)
    path = tmp_path / "wrong.npy"
    for wrong in (right.astype(np.float64), right.astype(">f4"), right[..., :1], right[0], np.asfortranarray(right)):
        np.save(path, wrong)
        with pytest.raises(ValueError) as caught:
            StoredArray(path, (3, 2), np.dtype(np.float32))
        assert str(caught.value) == f"{path} does not hold arrays of float32 (3, 2), or not all of them"
    path.write_bytes((tmp_path / "right.npy").read_bytes()[:-1])
    with pytest.raises(ValueError, match="or not all of them"):
        StoredArray(path, (3, 2), np.dtype(np.float32))
    stored = StoredArray(tmp_path / "right.npy", (3, 2), np.dtype(np.float32))
    for index in ([], [3], [0, 1, 3, 2, 2], slice(1, None, 2), slice(2, 2), -1, [[0, 3], [1, 1]]):
        np.testing.assert_array_equal(stored[index], right[np.arange(4)[index]], strict=True)
    np.testing.assert_array_equal(np.asarray(stored), right, strict=True)
    np.testing.assert_array_equal(stored.__array__(np.float64), right.astype(np.float64), strict=True)
    opened = []
    monkeypatch.setattr(array, "open", lambda *a, **more: opened.append(open(*a, **more)) or opened[0], raising=False)
    np.testing.assert_array_equal(stored[1], right[1])
    assert isinstance(opened[0], io.RawIOBase) and opened[0].closed  # a buffer would read other frames, too
    (tmp_path / "right.npy").unlink()
    with pytest.raises(VideoError, match="right.npy: another program has cut or removed it"):
        stored[0]
