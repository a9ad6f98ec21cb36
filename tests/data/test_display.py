"""What players show of a file is what is decoded: upright, with square pixels, the film and not its cover."""

import itertools
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from films import QUADRANTS, film, number, numbered, quadrants, set_matrix

from snippets.data.display import Display, turns
from snippets.data.video import VideoError, read_frames, read_header

# display matrix (a, b, c, d): where pixel (p, q) goes, (a p + c q, b p + d q); and the picture that players show then
ORIENTATIONS = {
    (1, 0, 0, 1): lambda x: x,
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (-1, 0, 0, -1): lambda x: x[::-1, ::-1],
    (0, 1, 1, 0): lambda x: x.swapaxes(0, 1),
    (0, 1, -1, 0): lambda x: x.swapaxes(0, 1)[:, ::-1],  # as a phone held upright
    (0, -1, 1, 0): lambda x: x.swapaxes(0, 1)[::-1],
    (0, -1, -1, 0): lambda x: x.swapaxes(0, 1)[::-1, ::-1],
}


def corners(frame):
    """The colour in the middle of each quadrant, (2, 2, 3)."""
    h, w = frame.shape[:2]
    return frame[h // 4 :: h // 2, w // 4 :: w // 2].astype(int)


@pytest.mark.parametrize("matrix", ORIENTATIONS, ids=str)
@pytest.mark.parametrize("aspect", [None, Fraction(2), Fraction(1, 2)])
def test_all_eight_orientations_with_square_and_other_pixels(tmp_path, matrix, aspect):
    film(tmp_path / "a.mp4", [quadrants()] * 3, aspect=aspect)
    set_matrix(tmp_path / "a.mp4", matrix)
    show = ORIENTATIONS[matrix]
    shape = show(np.empty((48, int(64 * (aspect or 1)), 3))).shape
    header, frames = read_header(tmp_path / "a.mp4"), list(read_frames(tmp_path / "a.mp4"))
    assert (header.height, header.width) == shape[:2] and {x.shape for x in frames} == {shape}
    for frame in (frames[-1], next(read_frames(tmp_path / "a.mp4", size=32)), next(read_frames(tmp_path / "a.mp4", 5))):
        assert np.abs(corners(frame) - show(QUADRANTS)).max() < 40


def test_any_angle_is_turned_within_the_edges(tmp_path):
    """Clockwise by 30 degrees, alone and mirrored before: the corners are black, colours go where the matrix says."""
    a, b = np.cos(np.pi / 6), np.sin(np.pi / 6)
    for mirror in (1, -1):
        film(tmp_path / "a.mp4", [quadrants(96, 96)] * 2)
        set_matrix(tmp_path / "a.mp4", (mirror * a, mirror * b, -b, a))
        frame = next(read_frames(tmp_path / "a.mp4")).astype(int)
        assert frame.shape == (96, 96, 3) and frame[0, 0].max() < 40 and frame[-1, -1].max() < 40
        for p, q in ((-24, -20), (20, -24), (-20, 24), (24, 20)):  # from the middle
            x, y = mirror * a * p - b * q, mirror * b * p + a * q
            expected = QUADRANTS[int(q > 0), int(p > 0)]
            assert np.abs(frame[round(48 + y), round(48 + x)] - expected).max() < 40


def test_a_matrix_of_zeros_turns_nothing(tmp_path):
    film(tmp_path / "a.mp4", [quadrants()] * 2)
    for matrix in ((0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1), (-1, 0, -1, 0)):
        set_matrix(tmp_path / "a.mp4", matrix)
        assert next(read_frames(tmp_path / "a.mp4")).shape == (48, 64, 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
def test_the_shape_of_pixels_from_the_container_or_the_codec(tmp_path, name):
    film(tmp_path / name, [quadrants()] * 30, codec="libx264" if name == "a.ts" else "mpeg4", aspect=Fraction(8, 3))
    header = read_header(tmp_path / name)
    assert (header.height, header.width) == (48, 171)
    assert next(read_frames(tmp_path / name)).shape == (48, 171, 3)
    assert next(read_frames(tmp_path / name, size=(20, 30))).shape == (20, 30, 3)


def test_pixels_of_an_absurd_shape_are_taken_for_square(tmp_path):
    path = tmp_path / "a.mp4"
    film(path, [quadrants()] * 2, aspect=Fraction(2))
    data = path.read_bytes()
    at = data.index(b"pasp") + 4
    for wide, high in ((10**6, 1), (1, 10**6)):  # no encoder writes that
        path.write_bytes(data[:at] + struct.pack(">II", wide, high) + data[at + 8 :])
        assert read_header(path).width == 64


def two_streams(path, first, second, disposition=None, cover=False):
    """An mp4 file of two video streams; disposition: of each. cover: the first is a picture to look at."""
    from av.stream import Disposition

    with av.open(str(path), "w") as file:
        streams = []
        for k, pixels in enumerate((first, second)):
            stream = file.add_stream("mjpeg" if cover and k == 0 else "mpeg4", rate=25)
            stream.height, stream.width = pixels.shape[1:3]
            stream.pix_fmt = "yuvj420p" if cover and k == 0 else "yuv420p"
            streams.append(stream)
        if cover:
            streams[0].disposition = Disposition.attached_pic.value
        for k in range(2 if disposition else 0):
            streams[k].disposition = disposition[k].value
        for stream, pixels in zip(streams, (first, second), strict=True):
            for x in pixels:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(x, format="rgb24")))
            file.mux(stream.encode())


def test_the_film_and_not_its_cover(tmp_path):
    cover, pixels = np.full((1, 96, 128, 3), 250, np.uint8), np.stack([numbered(n) for n in range(6)])
    two_streams(tmp_path / "a.mp4", cover, pixels, cover=True)
    assert [number(x) for x in read_frames(tmp_path / "a.mp4")] == list(range(6))
    assert read_header(tmp_path / "a.mp4").height == 48


def test_the_larger_of_two_films_unless_one_is_the_default(tmp_path):
    from av.stream import Disposition

    small, large = (np.full((5, side, side, 3), side, np.uint8) for side in (48, 96))
    two_streams(tmp_path / "a.mkv", small, large, (Disposition(0), Disposition(0)))
    assert read_header(tmp_path / "a.mkv").height == 96
    two_streams(tmp_path / "a.mkv", small, large, (Disposition.default, Disposition(0)))
    assert read_header(tmp_path / "a.mkv").height == 48
    assert len(list(read_frames(tmp_path / "a.mkv"))) == 5


def test_a_song_with_a_cover_is_no_video(tmp_path):
    from av.stream import Disposition

    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        sound, cover = file.add_stream("aac", rate=8000), file.add_stream("mjpeg", rate=25)
        cover.height, cover.width, cover.pix_fmt, cover.disposition = 64, 64, "yuvj420p", Disposition.attached_pic.value
        file.mux(cover.encode(av.VideoFrame.from_ndarray(quadrants(64, 64), format="rgb24")))
        file.mux(cover.encode())
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        tone.sample_rate = 8000
        file.mux(sound.encode(tone))
        file.mux(sound.encode())
    with pytest.raises(VideoError, match=r"a\.mp4: the file holds no video stream"):
        read_header(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="no video stream"):
        next(read_frames(tmp_path / "a.mp4"))


def test_frames_that_are_turned_on_the_way(tmp_path):
    """Each frame says how it is turned; all are shown at the size of the first."""
    show, frames = Display(), []
    for name, matrix in (("a.mp4", (1, 0, 0, 1)), ("b.mp4", (0, 1, -1, 0)), ("c.mp4", (-1, 0, 0, 1))):
        film(tmp_path / name, [quadrants()] * 2)
        set_matrix(tmp_path / name, matrix)
        with av.open(str(tmp_path / name)) as file:
            frames.append((next(file.decode(video=0)), ORIENTATIONS[matrix](QUADRANTS)))
    for frame, expected in (*frames, *frames):
        picture = show(frame)
        assert picture.shape == (48, 64, 3) and np.abs(corners(picture) - expected).max() < 40


def test_a_frame_that_cannot_be_shown_is_an_error_with_a_name(tmp_path, monkeypatch):
    def refuses(*_):
        raise av.error.InvalidDataError(1, "no such colours")

    film(tmp_path / "a.mp4", [quadrants()] * 2)
    monkeypatch.setattr(Display, "_filters", refuses)
    with pytest.raises(VideoError, match=r"a\.mp4: a frame cannot be shown \(no such colours\)"):
        next(read_frames(tmp_path / "a.mp4"))


def test_the_limits_of_a_pixels_shape():
    for aspect in (1 / 20, 20, 0.9):
        assert Display(aspect).aspect == aspect
    for aspect in (0.049, 20.1, 0, None):
        assert Display(aspect).aspect == 1
    shapes = {aspect: Display(aspect).shown(av.VideoFrame(8, 6, "rgb24")) for aspect in (1 / 20, 0.3, 20)}
    assert shapes == {1 / 20: (6, 1), 0.3: (6, 2), 20: (6, 160)}  # no picture is less than a pixel wide


@pytest.mark.parametrize("mirror", [1, -1])
def test_within_a_degree_of_a_quarter_it_is_a_quarter(tmp_path, mirror):
    film(tmp_path / "a.mp4", [quadrants()])
    quarters = {
        0: [], 90: [("transpose", "clock")], 180: [("hflip", None), ("vflip", None)], -90: [("transpose", "cclock")],
    }  # fmt: skip
    for quarter, off in itertools.product(quarters, (-1.01, -0.99, 0, 0.99, 1.01)):
        angle = np.radians(quarter + off)
        a, b = np.cos(angle), np.sin(angle)
        set_matrix(tmp_path / "a.mp4", (mirror * 2 * a, mirror * b / 2, -2 * b, a / 2))  # wider and lower, too
        with av.open(str(tmp_path / "a.mp4")) as file:
            found = turns(next(file.decode(video=0)))[0 if mirror > 0 else 1 :]
        if abs(off) < 1:
            assert found == quarters[quarter]
        else:
            assert [name for name, _ in found] == ["rotate"] and np.cos(float(found[0][1]) - angle) > 1 - 1e-8
