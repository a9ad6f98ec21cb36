"""The clock of a film: times from its first frame on, any frame rate, and clocks that cannot be."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from films import film, number, numbered, set_stts

from snippets.data.video import Film, VideoError, read_frames, read_header, write_film


def shown(path, fps=None):
    return [number(x) for x in read_frames(path, fps)]


def rest(path):
    """Start and end of every frame in seconds, and what is wrong with the clock."""
    with Film(path) as opened:
        return [(round(start, 4), round(end, 4)) for start, end, _ in opened.pictures(size=8)], opened.clock_fault()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("start", [0, 0.52, 2.12])
def test_times_count_from_the_first_frame(tmp_path, name, start):
    """One frame a second of 200 at 25 a second: that before the middle of each second, wherever the clock starts."""
    times = [start + n / 25 for n in range(200)]
    film(tmp_path / name, [numbered(n) for n in range(200)], times, tick=Fraction(1, 25))
    assert shown(tmp_path / name, 1) == list(range(12, 200, 25))
    assert shown(tmp_path / name, 5)[:4] == [2, 7, 12, 17]
    assert shown(tmp_path / name) == list(range(200))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_before_the_film_shifts_nothing(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as file:
        stream, sound = file.add_stream("mpeg4", rate=25), file.add_stream("aac", rate=8000)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = 48, 64, "yuv420p", 2_000_000
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 8000 * 4), np.float32), format="fltp", layout="mono")
        tone.sample_rate, tone.pts = 8000, 0
        file.mux(sound.encode(tone))
        for n in range(50):
            frame = av.VideoFrame.from_ndarray(numbered(n), format="rgb24")
            frame.pts, frame.time_base = n + 17, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        file.mux(sound.encode())
    assert shown(tmp_path / name, 1) == [12, 37]


@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("fps", [1, 0.01, 6])
def test_a_film_shorter_than_one_interval_gives_a_frame(tmp_path, count, fps):
    film(tmp_path / "a.mp4", [numbered(n) for n in range(count)])
    found = shown(tmp_path / "a.mp4", fps)
    assert len(found) == max(1, round(count / 25 * fps)) and set(found) <= set(range(count))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_variable_rate(tmp_path, name):
    """20 frames at 25 a second, then 7 at 2.5: every frame is repeated or left out as long as it is shown."""
    times = [n / 25 for n in range(20)] + [0.8 + 0.4 * n for n in range(7)]
    film(tmp_path / name, [numbered(n) for n in range(27)], times, last=0.4)
    spans, fault = rest(tmp_path / name)
    assert (
        fault is None and [start for start, _ in spans] == pytest.approx(times) and spans[-1][1] == pytest.approx(3.6)
    )
    assert shown(tmp_path / name) == list(range(27))
    assert shown(tmp_path / name, 25) == [*range(20), *np.repeat(range(20, 27), 10)]
    assert shown(tmp_path / name, 2.5) == [4, 14, *range(20, 27)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_held_last_frame_is_shown_as_long(tmp_path, name):
    film(tmp_path / name, [numbered(n) for n in range(10)], [n / 25 for n in range(10)], last=5)
    assert shown(tmp_path / name) == list(range(10))
    assert shown(tmp_path / name, 5)[1:] == [7, *[9] * 25]  # 0.36 s to 5.36 s


YEAR = 365 * 86400
HOSTILE = {
    "a year later": [n / 25 + YEAR * (n > 9) for n in range(20)],
    "the last a year later": [n / 25 + YEAR * (n == 19) for n in range(20)],
    "each ten minutes later": [n * 601 for n in range(20)],
    "all at once": [0] * 20,
}


@pytest.mark.parametrize("times", HOSTILE.values(), ids=HOSTILE)
def test_a_clock_that_jumps_or_stands_still(tmp_path, times):
    """The frames go on at the usual rate, no second of a gap is filled, and it is told."""
    film(tmp_path / "a.mkv", [numbered(n) for n in range(20)], times)
    assert shown(tmp_path / "a.mkv") == list(range(20))
    assert len(shown(tmp_path / "a.mkv", 25)) == 20
    spans, fault = rest(tmp_path / "a.mkv")
    assert spans[-1][1] == pytest.approx(0.8) and "frames whose times stand still, run back or jump" in fault


STEPS = [(20, 0)], [(20, 1)], [(20, 2**31 - 1)], [(20, 2**32 - 1)], [(10, 640), (1, 2**31 - 2), (9, 640)]


@pytest.mark.parametrize("entries", STEPS, ids=str)
def test_hostile_steps_between_frames(tmp_path, entries):
    """None, too short or too long: at any rate there are not many more frames than the film has, and it is told."""
    film(tmp_path / "a.mp4", [numbered(n) for n in range(20)])
    set_stts(tmp_path / "a.mp4", *entries)
    native = shown(tmp_path / "a.mp4")
    assert native == list(range(len(native)))  # some are behind the end that the file's edit list sets
    assert 1 <= len(shown(tmp_path / "a.mp4", 25)) <= 20 * 25
    assert rest(tmp_path / "a.mp4")[1]
    header = read_header(tmp_path / "a.mp4")
    assert header.fps == 0 or 0.1 <= header.fps <= 1000


def test_films_joined_end_to_end(tmp_path):
    """Recorders of MPEG streams: the second film's clock starts anew, or hours later."""
    for offset in (0, 7 * 3600):
        joined = b""
        for k, start in enumerate((3600, offset)):
            times = [start + n / 25 for n in range(30)]
            film(tmp_path / "a.mpg", [numbered(n + 30 * k) for n in range(30)], times, codec="mpeg1video")
            joined += (tmp_path / "a.mpg").read_bytes()
        (tmp_path / "b.mpg").write_bytes(joined)
        assert shown(tmp_path / "b.mpg") == list(range(60))
        assert len(shown(tmp_path / "b.mpg", 25)) == 60
        assert "frames whose times" in rest(tmp_path / "b.mpg")[1]


@pytest.mark.parametrize("name, longest", [("a.mkv", 600), ("a.ts", 10)])
def test_how_long_a_frame_may_be_held(tmp_path, name, longest):
    """Ten minutes, in streams ten seconds; after a longer time the frame is shown as long as the others."""
    for held in (longest, longest + 0.1):
        times = [0, 0.04, 0.08, 0.08 + held, 0.12 + held]
        film(tmp_path / name, [numbered(n) for n in range(5)], times, tick=Fraction(1, 100))
        spans, fault = rest(tmp_path / name)
        if held == longest:
            assert fault is None and [start for start, _ in spans] == pytest.approx(times)
        else:
            assert fault == "2 frames whose times stand still, run back or jump"
            assert [start for start, _ in spans] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
        if name == "a.mkv":
            film(tmp_path / name, [numbered(n) for n in range(2)], [0, 0.04], last=held)
            spans, fault = rest(tmp_path / name)
            assert (spans[-1][1], fault is None) == ((0.04 + held, True) if held == longest else (0.08, False))


@pytest.mark.parametrize(
    "ticks, step, fps",
    [(13000, 13, 1000), (13013, 13, 0), (1000, 9999, 1000 / 9999), (1000, 10001, 0), (12800, 512, 25)],
)
def test_rates_that_are_believed(tmp_path, ticks, step, fps):
    film(tmp_path / "a.mp4", [numbered(n) for n in range(20)])
    set_stts(tmp_path / "a.mp4", (20, step))
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    struct.pack_into(">I", data, data.index(b"mdhd") + 16, ticks)
    (tmp_path / "a.mp4").write_bytes(data)
    header = read_header(tmp_path / "a.mp4")
    assert header.fps == pytest.approx(fps) and header.beat == pytest.approx(fps)


def test_times_at_a_rate_of_ones_own(tmp_path):
    """Each picture from its moment to the next; one that is shorter than half of an interval fills it."""
    film(tmp_path / "a.mp4", [numbered(n) for n in range(10)])
    with Film(tmp_path / "a.mp4") as opened:
        assert [(start, end) for start, end, _ in opened.pictures(5, 8)] == [(0, 0.2), (0.2, 0.4)]
    with Film(tmp_path / "a.mp4") as opened:
        assert [(start, end) for start, end, _ in opened.pictures(0.5, 8)] == [(0, 2)]
    for fps in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"fps is {fps}, expected a positive number"):
            next(read_frames(tmp_path / "a.mp4", fps))


@pytest.mark.parametrize("name, starts", [("a.mp4", [0, 1 / 3, 0.7]), ("a.avi", [0, 0.3, 0.7])])
def test_times_that_are_written_are_read(tmp_path, name, starts):
    """An AVI file has steps of 1 / fps only; a frame that comes at the time of the one before it is left out."""
    times = (0, 1 / 3), (1 / 3, 0.34), (1 / 3 + 1e-6, 0.7), (0.7, 1)
    write_film(tmp_path / name, [(*pair, numbered(n)) for n, pair in enumerate(times, 1)], 10)
    spans, fault = rest(tmp_path / name)
    assert fault is None and [start for start, _ in spans] == pytest.approx(starts, abs=1e-4)
    assert shown(tmp_path / name) == [1, 2, 4] and spans[-1][1] == pytest.approx(1 if name == "a.mp4" else 0.8)


def test_how_many_frames_may_be_missing(tmp_path):
    """Ten empty chunks at the end of a whole AVI file; a quarter of a second of one whose bytes nobody has counted."""
    film(tmp_path / "a.flv", [numbered(n) for n in range(40)], codec="flv")
    data = (tmp_path / "a.flv").read_bytes()
    starts = [at for at in range(len(data)) if data[at : at + 1] == b"\x09" and data[at + 8 : at + 11] == bytes(3)]
    assert len(starts) == 40
    for lost in (5, 6):
        (tmp_path / "b.flv").write_bytes(data[: starts[-lost]])
        if lost == 5:
            assert len(shown(tmp_path / "b.flv")) == 35
        else:
            with pytest.raises(VideoError, match="ends after frame 34, about 41 expected"):
                shown(tmp_path / "b.flv")
