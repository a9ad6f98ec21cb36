"""The frame cache: the same frames as decoding, once; never old, half or foreign ones."""

import errno
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import snippets.data.decoder
import snippets.data.store.store
from snippets.data.decoder import Decoder
from snippets.data.files import replacing
from snippets.data.layouts.splits import Video
from snippets.data.open import unusable
from snippets.data.store.array import StoredArray
from snippets.data.store.processes import THIS_PROCESS
from snippets.data.store.store import Store
from snippets.data.video import VideoError, write_video


def make_video(folder, name, seed=0, frames=7):
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, 6, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    path = folder / "videos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, pixels, fps=25)
    return Video(path, 0, name, name)


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path, "A/a.avi")


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that the cache decodes."""
    names, read = [], snippets.data.decoder.read_frames

    def counting(path, *args):
        names.append(path.name)
        return read(path, *args)

    monkeypatch.setattr(snippets.data.decoder, "read_frames", counting)
    return names


def test_same_frames_decoded_once(tmp_path, video, decoded):
    expected = Decoder(32).frames(video)
    decoded.clear()
    for _ in range(2):
        cache = Store(tmp_path / "cache", Decoder(32))
        for _ in range(2):
            frames = cache.frames(video)
            assert isinstance(frames, StoredArray) and len(frames) == len(expected)
            np.testing.assert_array_equal(frames, expected)
    assert decoded == ["a.avi"]


def test_other_parameters_are_another_cache(tmp_path, video):
    for side, fps, shape in ((32, None, (7, 32, 32, 3)), (16, None, (7, 16, 16, 3)), (32, 50, (14, 32, 32, 3))):
        assert Store(tmp_path / "cache", Decoder(side, fps)).frames(video).shape == shape
    assert Store(tmp_path / "cache", Decoder(32)).frames(video).shape == (7, 32, 32, 3)
    for limit, frames in ((3, 3), (9, 7)):
        cache = Store(tmp_path / "cache", Decoder(32, limit=limit))
        assert cache.frames(video).shape == (frames, 32, 32, 3) and str(limit) in cache.folder.name
        np.testing.assert_array_equal(cache.frames(video), Decoder(32, limit=limit).frames(video))
    (tmp_path / "cache" / "32px_native").rename(tmp_path / "cache" / "20px_native")
    with pytest.raises(ValueError, match="manifest.jsonl begins with .*'side': 32.*, expected .*'side': 20"):
        Store(tmp_path / "cache", Decoder(20))


def test_changed_source_is_decoded_again(tmp_path, video):
    """Another file under the old name, even with the old length and time."""
    old = Store(tmp_path / "cache", Decoder(32)).frames(video)[:]
    stat = video.path.stat()
    make_video(tmp_path, "A/a.avi", seed=1)
    os.utime(video.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    new = Store(tmp_path / "cache", Decoder(32)).frames(video)
    assert np.abs(new[:].astype(int) - old).max() > 50
    np.testing.assert_array_equal(new, Decoder(32).frames(video))


@pytest.mark.parametrize("keep", [0, 50, 5000])
def test_damaged_entry_is_decoded_again(tmp_path, video, decoded, keep):
    Store(tmp_path / "cache", Decoder(32)).frames(video)
    file = tmp_path / "cache" / "32px_native" / "A" / "a.avi.npy"
    file.write_bytes(file.read_bytes()[:keep])
    assert Store(tmp_path / "cache", Decoder(32)).frames(video).shape == (7, 32, 32, 3)
    np.save(file, np.zeros((6, 32, 32, 3), np.uint8))
    assert Store(tmp_path / "cache", Decoder(32)).frames(video).shape == (7, 32, 32, 3)
    assert decoded == ["a.avi"] * 3


def test_no_changed_bit_of_a_cache_goes_unnoticed(tmp_path, video, rng, capsys, monkeypatch):
    """Wherever it is, in pixels, header or manifest: the same frames, decoded again, or an error with advice."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    expected = Decoder(8).frames(video)
    cache = Store(tmp_path / "cache", Decoder(8))
    cache.frames(video)
    file, manifest = cache.folder / "A" / "a.avi.npy", cache.manifest.path
    whole = {path: path.read_bytes() for path in (file, manifest)}
    places = [(file, at) for at in [*rng.choice(128, 10, replace=False), *rng.integers(128, len(whole[file]), 10)]]
    places += [(manifest, at) for at in rng.choice(len(whole[manifest]), 40, replace=False)]
    told = 0
    for path, at in places:
        for other, content in whole.items():
            other.write_bytes(content)
        changed = bytearray(whole[path])
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            again = Store(tmp_path / "cache", Decoder(8))
        except ValueError as error:
            assert path == manifest and "manifest.jsonl begins with" in str(error)
            told += 1
            continue
        np.testing.assert_array_equal(again.frames(video), expected)
        err = capsys.readouterr().err
        assert path == manifest or at < 128 or "a.avi.npy: bits of it have changed" in err
    assert told > 5


def test_files_are_compared_with_their_checksums_once_and_only_where_need_be(tmp_path, video, monkeypatch):
    """Filling reads neither a video whose size and times are known nor arrays; using reads the arrays once."""
    Store(tmp_path / "cache", Decoder(8)).fill([video], progress=False)
    seen, checksum = [], snippets.data.decoder.checksum

    def noted(file, **more):
        seen.append(os.path.basename(file.name))
        return checksum(file, **more)

    monkeypatch.setattr(snippets.data.decoder, "checksum", noted)
    monkeypatch.setattr(snippets.data.store.store, "checksum", noted)
    cache = Store(tmp_path / "cache", Decoder(8))
    cache.fill([video], progress=False)
    assert cache.missing([video]) == [] and seen == []
    for _ in range(3):
        cache.frames(video)
    assert seen == ["a.avi.npy"] and cache.checksum(video) == Decoder(8).checksum(video)


@pytest.mark.parametrize("how", ["touched", "moved", "old"])
def test_the_same_bytes_with_another_time_or_place_are_not_decoded_again(tmp_path, video, decoded, how):
    """The file is read once; then the manifest knows it as it is now. Entries of older versions know no times."""
    cache = Store(tmp_path / "cache", Decoder(8))
    cache.fill([video], progress=False)
    if how == "touched":
        os.utime(video.path)
    elif how == "moved":
        video = video._replace(path=shutil.copy(video.path, tmp_path / "other.avi"))
    else:
        lines = cache.manifest.path.read_text().splitlines()
        entry = {key: value for key, value in json.loads(lines[-1]).items() if key != "stamp"}
        cache.manifest.path.write_text("\n".join([*lines[:-1], json.dumps(entry)]))
    decoded.clear()
    for lines in (3, 3):
        cache = Store(tmp_path / "cache", Decoder(8))
        assert cache.missing([video]) == [] and len(cache.manifest.path.read_text().splitlines()) == lines
    assert decoded == [] and cache.frames(video).shape == (7, 8, 8, 3)


def test_interrupted_building_goes_on(tmp_path, video, decoded, monkeypatch):
    """Stopped within a video: no trace of it. Stopped within a line of the manifest: only that video is built again."""
    second = make_video(tmp_path, "B/b.avi", seed=1)
    cache = Store(tmp_path / "cache", Decoder(32))
    cache.frames(video)
    whole = snippets.data.decoder.read_frames

    def interrupted(path, *args):
        yield next(whole(path, *args))
        raise KeyboardInterrupt

    monkeypatch.setattr(snippets.data.decoder, "read_frames", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.fill([video, second], progress=False)
    assert sorted(p.name for p in cache.folder.rglob("*.*")) == ["a.avi.npy", "manifest.jsonl"]
    monkeypatch.setattr(snippets.data.decoder, "read_frames", whole)
    cache.fill([video, second], progress=False)
    cache.manifest.path.write_text(cache.manifest.path.read_text()[:-5])
    decoded.clear()
    for expected in (["b.avi"], []):
        Store(tmp_path / "cache", Decoder(32)).fill([video, second], progress=False)
        assert decoded == expected
        decoded.clear()


def test_build_names_all_bad_videos(tmp_path, video):
    """Good videos are kept although others are bad."""
    (tmp_path / "bad.avi").write_text("text")
    bad = [Video(tmp_path / name, 0, name, name) for name in ("bad.avi", "none.avi")]
    cache = Store(tmp_path / "cache", Decoder(32))
    found = cache.fill([bad[0], video, bad[1]], progress=False)
    assert list(found) == ["bad.avi", "none.avi"]
    with pytest.raises(VideoError, match="2 of 3 videos cannot be used") as error:
        raise unusable(found, 3)
    told = "\n".join(error.value.__notes__)
    assert "bad.avi: not a video" in told and "none.avi: no such" in told
    assert list(Store(tmp_path / "cache", Decoder(32)).manifest.entries) == ["A/a.avi"]


def test_disk_full(tmp_path, video, monkeypatch):
    """The error names the file; what stood there before still stands, nothing else is left."""
    target = tmp_path / "out" / "file.bin"
    with replacing(target) as file:
        file.write(b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full while writing.*file.bin") as caught, replacing(target) as file:
        file.write(b"new")
    assert caught.value.errno == errno.ENOSPC
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


def test_threads_share_a_cache(tmp_path):
    videos = [make_video(tmp_path, f"A/{i}.avi", seed=i) for i in range(4)]
    cache = Store(tmp_path / "cache", Decoder(32))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(cache.frames, videos * 4))
    for i, video in enumerate(videos):
        expected = Decoder(32).frames(video)
        for k in range(4):
            np.testing.assert_array_equal(results[i + 4 * k], expected)
    assert len(Store(tmp_path / "cache", Decoder(32)).manifest.entries) == 4


def test_a_cache_that_changes_under_a_run_is_built_again(tmp_path, video, decoded, capsys):
    """Deleted, cut short or overwritten between two looks of one process; then the next process finds it whole."""
    cache, expected = Store(tmp_path / "cache", Decoder(32)), Decoder(32).frames(video)
    file = tmp_path / "cache" / "32px_native" / "A" / "a.avi.npy"
    cache.fill([video], progress=False)

    def cut():
        os.truncate(file, 5000)

    def overwrite():
        with open(file, "r+b") as stored:
            stored.seek(9000)
            stored.write(bytes(100))

    def other():
        np.save(file, np.zeros_like(expected))

    for harm in (file.unlink, lambda: shutil.rmtree(tmp_path / "cache"), cut, overwrite, other):
        np.testing.assert_array_equal(cache.frames(video), expected)
        decoded.clear()
        harm()
        np.testing.assert_array_equal(cache.frames(video), expected)
        assert decoded == ["a.avi"], harm
        np.testing.assert_array_equal(Store(tmp_path / "cache", Decoder(32)).frames(video), expected)
        assert decoded == ["a.avi"], harm
    assert capsys.readouterr().err.count("bits of it have changed") == 2


def test_frames_that_vanish_while_they_are_read_are_an_error_and_no_crash(tmp_path, video):
    """A memory map would end the process by SIGBUS."""
    cache = Store(tmp_path / "cache", Decoder(32))
    file = tmp_path / "cache" / "32px_native" / "A" / "a.avi.npy"
    for harm in (lambda: os.truncate(file, 128 + 3 * 32 * 32 * 3 + 1), file.unlink):
        frames, expected = cache.frames(video), Decoder(32).frames(video)
        np.testing.assert_array_equal(frames[[2, 0, 2]], expected[[2, 0, 2]])
        np.testing.assert_array_equal(frames[-1], expected[-1])
        np.testing.assert_array_equal(frames[1:5:2], expected[1:5:2])
        harm()
        with pytest.raises(VideoError, match=r"a.avi.npy: another program has cut or removed it"):
            frames[3:]


def test_two_processes_fill_one_cache(tmp_path, decoded):
    """Both decode what neither has; the manifest knows every video, and a third process decodes none."""
    videos = [make_video(tmp_path, f"A/{name}.avi", seed=i) for i, name in enumerate("abcd")]
    one, two = Store(tmp_path / "cache", Decoder(16)), Store(tmp_path / "cache", Decoder(16))
    threads = [
        threading.Thread(target=cache.fill, args=(some, THIS_PROCESS, False))
        for cache, some in ((one, videos), (two, videos[::-1]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(decoded) == {"a.avi", "b.avi", "c.avi", "d.avi"} and len(decoded) >= 4
    decoded.clear()
    third = Store(tmp_path / "cache", Decoder(16))
    third.fill(videos, progress=False)
    for video in videos:
        np.testing.assert_array_equal(third.frames(video), one.frames(video))
    assert decoded == [] and len(third.manifest.path.read_text().split()) > 4
