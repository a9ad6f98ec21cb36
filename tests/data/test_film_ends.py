"""Films: how they are written where nobody says how, how they end, and what is said of one that is cut or damaged."""

import struct
import wave
from fractions import Fraction
from types import SimpleNamespace

import av
import pytest
from films import film, numbered

from snippets.data.mini.make import write_avi
from snippets.data.video import Film, VideoError, read_frames, read_header, write_film, write_video

FRAMES = [numbered(n) for n in range(3)]


def test_how_a_film_is_written_by_default(tmp_path, monkeypatch):
    """4 Mbit a second, MPEG-4, times in 60000ths of a second or in frames; also where FFmpeg lacks a codec."""
    rate = 30000 / 1001
    write_video(tmp_path / "a.mp4", FRAMES, rate)
    write_film(tmp_path / "b.mp4", [(n / rate, (n + 1) / rate, x) for n, x in enumerate(FRAMES)], rate)
    for name in ("a.mp4", "b.mp4"):
        assert struct.pack(">I", 4_000_000) in (tmp_path / name).read_bytes()
        with av.open(str(tmp_path / name)) as file:
            assert file.streams.video[0].time_base == Fraction(1, 60000)
            assert file.streams.video[0].codec_context.name == "mpeg4" and file.format.name.startswith("mov")
        with Film(tmp_path / name) as opened:
            assert opened.fps == Fraction(30000, 1001) and list(opened.times()) == [0, 1001 / 30000, 2002 / 30000]
    write_video(tmp_path / "a.avi", FRAMES, rate)
    with Film(tmp_path / "a.avi") as opened:
        assert opened.fps == Fraction(30000, 1001) == 1 / Fraction(opened.stream.time_base)
    best = "h264" if "libx264" in av.codecs_available else "mpeg4"
    for available, codec in ((av.codecs_available, best), ({"mpeg4"}, "mpeg4")):
        monkeypatch.setattr(av, "codecs_available", available)
        write_film(tmp_path / "c.tmp", [(0, 0.1, FRAMES[0])], 10, 500_000, "libx264", "avi")
        with av.open(str(tmp_path / "c.tmp")) as file:
            stream = file.streams.video[0]
            assert (file.format.name, stream.codec_context.name, stream.time_base) == ("avi", codec, Fraction(1, 10))


def test_a_clip_of_the_mini_data_set_does_not_say_who_wrote_it(tmp_path):
    """The same bytes by every version of FFmpeg that codes alike."""
    write_avi(tmp_path / "a.avi", FRAMES[0][None])
    content = (tmp_path / "a.avi").read_bytes()
    assert b"Lav" not in content and content.count(b"XVID") == 2 and read_header(tmp_path / "a.avi").fps == 25


def test_a_film_is_closed_behind_its_block(tmp_path):
    film(tmp_path / "a.mp4", FRAMES)
    with Film(tmp_path / "a.mp4") as opened:
        assert len(list(opened.times())) == 3
    with pytest.raises(AssertionError, match="not open"):
        next(opened.container.demux())


@pytest.mark.parametrize("name, codec", [("a.flv", "flv"), ("a.h264", "libx264")])
def test_frames_without_a_duration_or_a_time_follow_each_other_at_the_usual_rate(tmp_path, name, codec):
    """That is no fault of a clock."""
    film(tmp_path / name, FRAMES, codec=codec)
    with Film(tmp_path / name) as opened:
        spans = [(start, end) for start, end, _ in opened.pictures(size=8)]
        assert spans == [(0, 0.04), (0.04, 0.08), (0.08, 0.12)] and opened.clock_fault() is None


def test_a_file_without_a_film_is_closed_at_once(tmp_path, monkeypatch):
    files, open_file = [], av.open
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    monkeypatch.setattr(av, "open", lambda *given, **more: files.append(open_file(*given, **more)) or files[0])
    with pytest.raises(VideoError, match="a.wav: the file holds no video stream; skip it"):
        Film(tmp_path / "a.wav")
    with pytest.raises(AssertionError, match="not open"):
        next(files[0].demux())


def test_a_film_without_a_rate_and_with_impossible_times_has_25_frames_a_second(tmp_path):
    film(tmp_path / "a.mkv", FRAMES, [0, 0, 0])
    with Film(tmp_path / "a.mkv") as opened:
        opened.fps = Fraction(0)
        assert [(start, end) for start, end, _ in opened.pictures(size=8)] == [(0, 0.04), (0.04, 0.08), (0.08, 0.12)]


def test_packets_without_any_frame_are_an_error(tmp_path):
    film(tmp_path / "a.mp4", FRAMES)
    with Film(tmp_path / "a.mp4") as opened:
        whole, same = opened.container, opened.stream
        packet = dict(stream=same, pts=None, size=1, is_corrupt=False, decode=list)
        packets = [SimpleNamespace(dts=n, **packet) for n in range(3)]
        opened.container = SimpleNamespace(demux=lambda: iter(packets), format=whole.format, duration=None)
        words = f"{tmp_path / 'a.mp4'}: none of its 3 frames can be decoded; get the file again or skip it"
        with pytest.raises(VideoError) as caught:
            list(opened.times())
        assert str(caught.value) == words
        whole.close()
        opened.container = SimpleNamespace(close=list)


def test_half_a_frame_may_be_missing_from_matroska(tmp_path):
    """Its seconds are exact; here its index is cut, so that the bytes do not tell whether all are there."""
    film(tmp_path / "a.mkv", [numbered(n) for n in range(9)])
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    at, index = data.index(b"\x44\x89\x88") + 3, data.rindex(b"\x1c\x53\xbb\x6b")
    for milliseconds, whole in ((379, True), (381, False)):
        data[at : at + 8] = struct.pack(">d", milliseconds)
        (tmp_path / "a.mkv").write_bytes(data[: index + 6])
        if whole:
            assert len(list(read_frames(tmp_path / "a.mkv"))) == 9
        else:
            with pytest.raises(VideoError, match="ends after frame 9, about 10 expected"):
                list(read_frames(tmp_path / "a.mkv"))


def test_what_is_said_of_a_file_that_is_cut_or_damaged():
    """How many frames it declares, or about how many by its seconds, at its rate or at 25 a second."""
    for declared, fps, short, told in (
        (9, 10, 0.0, "9 expected"), (9, 10, 2.0, "9 expected"), (0, 10, 2.0, "about 27 expected"),
        (0, 0, 2.0, "about 57 expected"), (0, 10, 0.0, "length not declared"), (0, 10, -1.0, "length not declared"),
    ):  # fmt: skip
        some = SimpleNamespace(path="a.avi", fps=fps, stream=SimpleNamespace(frames=declared))
        words = f"a.avi: truncated or damaged, ends after frame 7, {told}; get the file again or skip it"
        assert Film._cut(some, 7, short) == words
        assert short or Film._cut(some, 7) == words
        of = " of 9" if declared else ""
        assert Film._damaged(some, 7) == f"a.avi: frame 7{of} is damaged; get the file again or skip it"
