"""Decoding: the right frames at the right times, and no frame at all from a file that is not whole."""

import struct
import wave

import av
import numpy as np
import pytest

from snippets.data.video import VideoError, read_frames, read_header, write_film, write_video

T = 30


def grey_ramp():
    """(T, 48, 64, 3): frame t is grey 8 t, so a frame tells its number."""
    return np.broadcast_to((8 * np.arange(T, dtype=np.uint8))[:, None, None, None], (T, 48, 64, 3))


def blocks():
    """(T, 96, 128, 3): a random pattern that moves, so that every frame takes bytes."""
    pattern = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return np.stack([np.roll(pattern, 3 * t, axis=1) for t in range(T)])


def numbers(frames):
    return [round(float(frame.mean()) / 8) for frame in frames]


def cut_file(path, size):
    short = path.with_stem("short")
    short.write_bytes(path.read_bytes()[: int(size)])
    return short


def frame_chunks(data):
    """Where in an AVI file the frames begin."""
    movi = data.index(b"movi")
    return [i for i in range(movi, len(data)) if data.startswith(b"00dc", i)][:T]


def drop_frames(path, which):
    """Rewrites an AVI file with empty chunks (dropped frames) in place of some frames."""
    data = path.read_bytes()
    start = data.index(b"movi") + 4
    end = start - 4 + struct.unpack_from("<I", data, start - 8)[0]
    chunks, at = [], start
    while at < end:
        size = struct.unpack_from("<I", data, at + 4)[0]
        chunks.append(data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    movi, index = b"movi", b""
    for t, chunk in enumerate(chunks):
        chunk = b"" if t in which else chunk
        index += struct.pack("<4sIII", b"00dc", 0 if t else 16, len(movi), len(chunk))
        movi += struct.pack("<4sI", b"00dc", len(chunk)) + chunk + b"\0" * (len(chunk) % 2)
    body = data[8 : start - 12] + b"LIST" + struct.pack("<I", len(movi)) + movi
    body += b"idx1" + struct.pack("<I", len(index)) + index
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_write_and_read(tmp_path):
    """Every frame, in order, RGB and not BGR, right way up; the caller may write in it."""
    frames = np.zeros((T, 48, 64, 3), np.uint8)
    frames[:, :24, :32] = 230, 20, 20
    frames[:, 24:, :, 1] = 8 * np.arange(T)[:, None, None]
    write_video(tmp_path / "a.avi", iter(frames), fps=25)
    back = list(read_frames(tmp_path / "a.avi"))
    assert len(back) == T and all(f.shape == (48, 64, 3) and f.dtype == np.uint8 for f in back)
    for frame, original in zip(back, frames, strict=True):
        assert np.abs(frame[4:20, 4:28].astype(int) - original[4:20, 4:28]).max() < 25
        assert np.abs(frame[30:44, 4:60].mean((0, 1)) - original[30:44, 4:60].mean((0, 1))).max() < 8
    back[0][:] = 0
    header = read_header(tmp_path / "a.avi")
    assert (header.fps, header.frames, header.height, header.width) == (25, T, 48, 64)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
def test_frame_rate(tmp_path, name):
    """Half the rate gives every second frame, twice the rate every frame twice."""
    write_video(tmp_path / name, grey_ramp(), fps=24)
    assert numbers(read_frames(tmp_path / name)) == list(range(T))
    half = numbers(read_frames(tmp_path / name, fps=12))
    assert len(half) == T // 2 and set(np.diff(half)) == {2}
    assert np.bincount(numbers(read_frames(tmp_path / name, fps=48))).tolist() == [2] * T
    with pytest.raises(ValueError, match="fps is 0"):
        next(read_frames(tmp_path / name, fps=0))


def coded(count):
    """(count, 32, 64, 3), up to 256 frames: frame t is grey 16 (t mod 16) on the left, 16 (t div 16) on the right."""
    t = np.arange(count)[:, None, None, None]
    return np.concatenate([np.broadcast_to(16 * d, (count, 32, 32, 3)) for d in (t % 16, t // 16)], 2).astype(np.uint8)


def codes(frames):
    return [round(f[:, 4:28].mean() / 16) + 16 * round(f[:, 36:60].mean() / 16) for f in frames]


@pytest.mark.parametrize("rate", [30, 25, 30000 / 1001])
def test_the_papers_frame_rates(tmp_path, rate):
    """30, 6 and 1 fps of a film of five or six seconds: evenly spaced, frame k out of the k-th interval of 1 / fps."""
    write_video(tmp_path / "a.avi", coded(150), fps=rate)
    assert codes(read_frames(tmp_path / "a.avi")) == list(range(150))
    seconds = round(150 / rate)
    for fps in (30, 6, 1):
        found = np.array(codes(read_frames(tmp_path / "a.avi", fps=fps)))
        assert len(found) == seconds * fps
        assert set(np.diff(found)) <= {int(rate / fps + 0.01), int(np.ceil(rate / fps - 0.01))}
        if fps < rate - 0.1:
            place = found / rate * fps - np.arange(len(found))  # of its interval, from its start: 0 to 1
            assert (place >= 0).all() and (place < 0.6).all() and np.ptp(place) < fps / rate


def test_limit_stops_decoding(tmp_path):
    """The first frames alone, the same as without a limit; what lies behind them may be lost."""
    write_video(tmp_path / "a.avi", coded(150), fps=25)
    for fps, limit in ((None, 40), (5, 6), (1, 1)):
        whole = list(read_frames(tmp_path / "a.avi", fps, 32))
        np.testing.assert_array_equal(list(read_frames(tmp_path / "a.avi", fps, 32, limit)), whole[:limit])
    assert len(list(read_frames(tmp_path / "a.avi", 1, 32, 300))) == 6  # a film of six seconds
    short = cut_file(tmp_path / "a.avi", (tmp_path / "a.avi").stat().st_size // 2)
    assert codes(read_frames(short, limit=40)) == list(range(40))
    with pytest.raises(VideoError):
        list(read_frames(short, limit=140))
    with pytest.raises(ValueError, match="limit is 0, expected at least 1 frame"):
        next(read_frames(short, limit=0))


def test_size_is_height_then_width(tmp_path):
    frames = np.zeros((2, 48, 64, 3), np.uint8)
    frames[:, :, 32:] = 255
    write_video(tmp_path / "a.avi", frames, fps=25)
    frame = next(read_frames(tmp_path / "a.avi", size=(20, 40)))
    assert frame.shape == (20, 40, 3)
    assert frame[:, :16].max() < 30 and frame[:, 24:].min() > 225
    assert next(read_frames(tmp_path / "a.avi", size=32)).shape == (32, 32, 3)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_packets_are_in_the_order_of_frames(tmp_path, codec):
    """No frame waits for a later one, so the last packet is the last frame, which is given its length."""
    still = np.kron(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    shown = [(t / 10, (t + 1 + (t == 11)) / 10, np.roll(still, 2 * t, axis=1)) for t in range(12)]
    write_film(tmp_path / "a.mp4", iter(shown), 10, codec=codec)
    with av.open(str(tmp_path / "a.mp4")) as file:
        packets = [packet for packet in file.demux(video=0) if packet.pts is not None]
        assert [float(p.pts * p.time_base) for p in packets] == [t / 10 for t in range(12)]
        assert float(packets[-1].duration * packets[-1].time_base) == 0.2


def test_bad_frames_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"no frames to write"):
        write_video(tmp_path / "a.avi", [], fps=25)
    assert not (tmp_path / "a.avi").exists()
    with pytest.raises(ValueError, match=r"a frame is float64 \(48, 64, 3\), expected uint8"):
        write_video(tmp_path / "a.avi", np.zeros((2, 48, 64, 3)), fps=25)


def test_no_file_empty_file_no_video(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.avi: no such video"):
        next(read_frames(tmp_path / "none.avi"))
    (tmp_path / "empty.avi").touch()
    with pytest.raises(VideoError, match="empty.avi: the file is empty"):
        next(read_frames(tmp_path / "empty.avi"))
    (tmp_path / "text.avi").write_text("not a video\n" * 100)
    with pytest.raises(VideoError, match="text.avi: not a video"):
        read_header(tmp_path / "text.avi")
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    with pytest.raises(VideoError, match="sound.wav: the file holds no video stream"):
        next(read_frames(tmp_path / "sound.wav"))


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_truncated_anywhere(tmp_path, name):
    """A file cut anywhere in its frames is an error; cut behind them (in an AVI's index) it still gives all of them.

    A Matroska file declares no count, and may lack a quarter of a second of this film's 1.2.
    """
    write_video(tmp_path / name, blocks(), fps=25)
    whole = list(read_frames(tmp_path / name))
    refused = 0
    for share in np.linspace(0.02, 0.7 if name == "a.mkv" else 0.995, 40):
        try:
            frames = list(read_frames(cut_file(tmp_path / name, share * (tmp_path / name).stat().st_size)))
        except VideoError as error:
            assert "short" in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(frames, whole)
    assert refused >= 36


def test_truncated_names_file_reached_expected(tmp_path):
    write_video(tmp_path / "a.avi", blocks(), fps=25)
    data = (tmp_path / "a.avi").read_bytes()
    starts = frame_chunks(data)
    with pytest.raises(VideoError, match=rf"short.avi: truncated .* after frame 20, {T} expected"):
        list(read_frames(cut_file(tmp_path / "a.avi", starts[20])))  # between two frames: only the count tells
    with pytest.raises(VideoError, match=rf"after frame {T - 1}, {T} expected"):
        list(read_frames(cut_file(tmp_path / "a.avi", starts[T - 1] + 30)))  # within the last frame


def test_truncated_mp4_with_its_header_in_front(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=25, width=128, height=96, pix_fmt="yuv420p")
        for frame in blocks():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert len(list(read_frames(tmp_path / "a.mp4"))) == T
    with pytest.raises(VideoError, match=rf"short.mp4: truncated .* after frame \d+, {T} expected"):
        list(read_frames(cut_file(tmp_path / "a.mp4", 0.6 * (tmp_path / "a.mp4").stat().st_size)))


def test_damaged_in_the_middle(tmp_path):
    """FFmpeg paints over the damage; we say which frame."""
    write_video(tmp_path / "a.avi", blocks(), fps=25)
    data = bytearray((tmp_path / "a.avi").read_bytes())
    starts = frame_chunks(data)
    data[starts[7] + 40 : starts[7] + 140] = bytes(range(100))
    (tmp_path / "a.avi").write_bytes(data)
    with pytest.raises(VideoError, match=rf"a.avi: frame 7 of {T} is damaged"):
        list(read_frames(tmp_path / "a.avi"))


def test_dropped_frames_are_not_damage(tmp_path):
    """Empty chunks, inside and at the end, are frames to repeat: at a fixed rate the film keeps its timing."""
    write_video(tmp_path / "a.avi", grey_ramp(), fps=24)
    drop_frames(tmp_path / "a.avi", {10, 11, T - 2, T - 1})
    kept = [t for t in range(T - 2) if t not in (10, 11)]
    assert len(list(read_frames(tmp_path / "a.avi"))) == len(kept)
    timed = numbers(read_frames(tmp_path / "a.avi", fps=24))
    assert len(timed) == T - 2 and timed[:13] == [*range(10), 9, 9, timed[12]]
    with pytest.raises(VideoError, match=f"{T} expected"):
        list(read_frames(cut_file(tmp_path / "a.avi", (tmp_path / "a.avi").stat().st_size - 100)))


def test_many_dropped_frames(tmp_path):
    """More than the slack, in the middle: the time stamps show that the film goes on to its end."""
    write_video(tmp_path / "a.avi", grey_ramp(), fps=24)
    drop_frames(tmp_path / "a.avi", range(8, 20))
    assert len(list(read_frames(tmp_path / "a.avi"))) == T - 12
    assert len(list(read_frames(tmp_path / "a.avi", fps=24))) == T


def test_ten_frames_may_be_missing_at_the_end(tmp_path):
    for dropped in (10, 11):
        write_video(tmp_path / "a.avi", grey_ramp(), fps=24)
        drop_frames(tmp_path / "a.avi", range(T - dropped, T))
        if dropped == 10:
            assert len(list(read_frames(tmp_path / "a.avi"))) == T - 10
        else:
            with pytest.raises(VideoError, match=f"after frame {T - 11}, {T} expected"):
                list(read_frames(tmp_path / "a.avi"))


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_a_title_that_is_not_utf8(suffix, tmp_path):
    """A title in Latin-1, as some HMDB51 clips have one: the file opens and decodes."""
    path = tmp_path / f"titled{suffix}"
    with av.open(str(path), "w") as file:
        file.metadata["title"] = "CAFETERIA"
        stream = file.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for frame in grey_ramp():
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        file.mux(stream.encode())
    expected, data = list(read_frames(path)), path.read_bytes()
    assert b"CAFETERIA" in data and len(expected) == T
    path.write_bytes(data.replace(b"CAFETERIA", b"CAF\xc9TERIA"))
    assert read_header(path).fps == 10
    np.testing.assert_array_equal(list(read_frames(path)), expected)
