"""A file that players play whole is whole, and a cut one is cut."""

import struct
import zlib

import av
import numpy as np
import pytest
from films import film, number, numbered

from snippets.data.video import VideoError, read_frames
from snippets.data.whole import all_bytes

COUNT = 40
LIVE = {"cluster_time_limit": 200, "live": 1}
FORMATS = {  # name: codec, options of the file format
    "a.avi": ("mpeg4", {}),
    "a.mp4": ("mpeg4", {"movflags": "faststart"}),
    "a.mov": ("libx264", {}),
    "b.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "a.mkv": ("mpeg4", {"cluster_time_limit": 200}),
    "a.webm": ("libvpx", {}),
    "a.ts": ("libx264", {}),
    "a.flv": ("flv", {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_cut_anywhere_it_is_refused_or_loses_nothing(tmp_path, name):
    """Behind the header, in the middle, within the last frame: an error that names the file, or every frame.

    MPEG streams and fragments say nothing of what should come: cut between two of them, a shorter film is left.
    """
    codec, options = FORMATS[name]
    film(tmp_path / name, [numbered(n) for n in range(COUNT)], codec=codec, **options)
    data = (tmp_path / name).read_bytes()
    assert [number(x) for x in read_frames(tmp_path / name)] == list(range(COUNT))
    short, refused = tmp_path / f"cut{name}", 0
    for size in (*range(40, len(data), len(data) // 20), len(data) - 1):
        short.write_bytes(data[:size])
        try:
            found = [number(x) for x in read_frames(short)]
        except VideoError as error:
            assert f"cut{name}" in str(error)
            refused += 1
        else:
            assert found == list(range(len(found)))
            assert len(found) == COUNT or name in ("a.ts", "b.mp4", "a.flv")
    assert refused >= 10


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
@pytest.mark.parametrize("last", [0.3, 5, 500])
def test_a_held_last_frame_is_no_damage(tmp_path, name, last):
    film(tmp_path / name, [numbered(n) for n in range(9)], [n / 25 for n in range(9)], last=last)
    assert [number(x) for x in read_frames(tmp_path / name)] == list(range(9))
    data = (tmp_path / name).read_bytes()
    if name == "a.mkv":  # its last frame gone; the file still declares the seconds
        (tmp_path / name).write_bytes(data[: data.rindex(b"\xa3")])
        with pytest.raises(VideoError, match="truncated"):
            list(read_frames(tmp_path / name))


def test_matroska_that_declares_more_seconds_than_its_frames_take(tmp_path):
    """All bytes are there: the last frame is held. Some bytes less, and it is cut."""
    film(tmp_path / "a.mkv", [numbered(n) for n in range(9)])
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    at = data.index(b"\x44\x89\x88") + 3  # the duration in milliseconds
    assert struct.unpack_from(">d", data, at)[0] == 360
    data[at : at + 8] = struct.pack(">d", 5000.0)
    (tmp_path / "a.mkv").write_bytes(data)
    assert len(list(read_frames(tmp_path / "a.mkv"))) == 9
    (tmp_path / "a.mkv").write_bytes(data[:-100])
    with pytest.raises(VideoError, match="truncated"):
        list(read_frames(tmp_path / "a.mkv"))


def test_every_bit_of_matroskas_frames_counts(tmp_path):
    """Its clusters carry checksums, which FFmpeg writes and does not read."""
    film(tmp_path / "a.mkv", [numbered(n) for n in range(COUNT)], cluster_time_limit=400)
    data = (tmp_path / "a.mkv").read_bytes()
    starts = [at for at in range(len(data)) if data.startswith(b"\x1f\x43\xb6\x75", at)]
    assert len(starts) == 4
    for at in np.random.default_rng(0).integers(starts[0], data.index(b"\x1c\x53\xbb\x6b", starts[-1]), 40):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        (tmp_path / "a.mkv").write_bytes(bad)
        with pytest.raises(VideoError, match="a.mkv"):
            list(read_frames(tmp_path / "a.mkv"))


def test_a_picture_that_grows_beyond_all_screens_is_damage(tmp_path):
    """A key frame whose header says 11072 x 5764 would take seconds and half a gigabyte."""
    film(tmp_path / "a.webm", [numbered(n) for n in range(20)], codec="libvpx")
    data = bytearray((tmp_path / "a.webm").read_bytes())
    keys = [at + 3 for at in range(len(data)) if data.startswith(b"\x9d\x01\x2a", at)]
    struct.pack_into("<HH", data, keys[1], 11072, 5764)
    (tmp_path / "a.webm").write_bytes(data)
    with pytest.raises(VideoError, match=r"a\.webm: frame 8 is damaged"):
        list(read_frames(tmp_path / "a.webm"))


def test_matroska_with_lengths_that_cannot_be(tmp_path):
    """Whatever a length is changed to, reading ends with an answer."""
    film(tmp_path / "a.mkv", [numbered(n) for n in range(3)])
    data = (tmp_path / "a.mkv").read_bytes()
    for at in range(0, len(data) - 8, 17):
        for wrong in (b"\x01" + b"\x7f" * 7, b"\xff", b"\0" * 4, b"\x80\xbf\x84"):
            (tmp_path / "a.mkv").write_bytes(data[:at] + wrong + data[at + len(wrong) :])
            assert all_bytes(tmp_path / "a.mkv", "matroska") in (True, False, None)


SIMPLE, EBML = b"\xa3", b"\x1a\x45\xdf\xa3\x81e"  # a head of one byte
CLUSTER, SEGMENT, CRC = b"\x1f\x43\xb6\x75", b"\x18\x53\x80\x67", b"\xbf"


def crc(content):
    """The element with a cluster's checksum, and what it is of."""
    return CRC + b"\x84" + struct.pack("<I", zlib.crc32(content)) + content


def wide(number, count):
    """A number in so many bytes, as Matroska stores it."""
    return (number | 1 << 7 * count).to_bytes(count, "big")


BYTES = [  # of a format a file's bytes, and whether all are there
    ("avi", b"RIFF" + struct.pack("<I", 5) + b"AVI x", True),
    ("avi", b"RIFF" + struct.pack("<I", 5) + b"AVI xyz", True),
    ("avi", b"RIFF" + struct.pack("<I", 5) + b"AVI ", False),
    ("mpegts", bytes(188 * 5), None), ("mpegts", bytes(192 * 5), None), ("mpegts", bytes(204 * 5), None),
    ("mpegts", bytes(188 * 5 + 1), False), ("mpegts", bytes(187), False), ("flv", bytes(9), None),
    ("mov,mp4", struct.pack(">I4s", 9, b"ftyp") + b"x" + struct.pack(">I4s", 10, b"mdat") + b"xx", True),
    ("mov,mp4", struct.pack(">I4s", 9, b"ftyp") + b"x" + struct.pack(">I4s", 10, b"mdat") + b"x", False),
    ("mov,mp4", struct.pack(">I4sQ", 1, b"mdat", 19) + b"xxx", True),
    ("mov,mp4", struct.pack(">I4sQ", 1, b"mdat", 19) + b"xx", False),
    ("mov,mp4", struct.pack(">I4s", 8, b"free") + struct.pack(">I4s", 0, b"mdat") + b"x", None),
    ("mov,mp4", struct.pack(">I4s", 8, b"free") + struct.pack(">I4s", 0, b"mdat"), None),
    ("mov,mp4", struct.pack(">I4s", 3, b"free") + struct.pack(">I4s", 8, b"mdat"), True),
    ("mov,mp4", struct.pack(">I4s", 8, b"free") + bytes(7), True),
    ("matroska,webm", EBML + SEGMENT + wide(7, 8) + CLUSTER + wide(2, 1) + b"xy", True),
    ("matroska,webm", EBML + SEGMENT + wide(8, 8) + CLUSTER + wide(2, 2) + b"xy", True),
    ("matroska,webm", EBML + SEGMENT + wide(8, 8) + CLUSTER + wide(2, 2) + b"x", False),
    ("matroska,webm", EBML + SEGMENT + wide(9, 1) + CLUSTER + wide(2, 2) + b"xy", None),
    ("matroska,webm", EBML + SEGMENT + wide(7, 1) + CLUSTER + wide(2, 2) + b"xy", None),
    ("matroska,webm", EBML + SEGMENT + wide(5, 1) + SIMPLE + wide(4, 2) + b"xy", None),
    ("matroska,webm", EBML + SEGMENT + b"\xff" + CLUSTER + wide(2, 1) + b"xy", None),
    ("matroska,webm", EBML + SEGMENT + wide(8, 8) + CLUSTER + b"\x7f\xff" + b"xy", None),
    ("matroska,webm", EBML + SEGMENT + wide(200, 2) + CLUSTER + wide(194, 2) + crc(b"a" * 188), True),
    ("matroska,webm", EBML + SEGMENT + wide(200, 2) + CLUSTER + wide(194, 2) + crc(b"a" * 188)[:-1] + b"b", False),
    ("matroska,webm", EBML, None),
]  # fmt: skip


@pytest.mark.parametrize("name, content, whole", BYTES, ids=range(len(BYTES)))
def test_bytes_that_are_counted_by_hand(tmp_path, name, content, whole):
    (tmp_path / "a").write_bytes(content)
    assert all_bytes(tmp_path / "a", name) is whole


def set_edit(path, seconds, start=0.0):
    """Let an mp4 file's edit list show `seconds` from `start` on."""
    data = bytearray(path.read_bytes())
    film_scale = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)[0]
    track_scale = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    at = data.index(b"elst")
    assert struct.unpack_from(">I", data, at + 8)[0] == 1
    struct.pack_into(">Ii", data, at + 12, round(seconds * film_scale), round(start * track_scale))
    for box, place in ((b"mvhd", 20), (b"tkhd", 24)):
        struct.pack_into(">I", data, data.index(box) + place, round(seconds * film_scale))
    path.write_bytes(data)


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}], ids=["index behind", "index in front"])
def test_an_edit_list_leaves_out_frames_and_is_no_damage(tmp_path, options):
    """What a phone's editor trims stays in the file: players do not show it. Cut off it is still cut."""
    film(tmp_path / "a.mp4", [numbered(n) for n in range(COUNT)], **options)
    set_edit(tmp_path / "a.mp4", 0.8)
    assert [number(x) for x in read_frames(tmp_path / "a.mp4")] == list(range(20))
    set_edit(tmp_path / "a.mp4", 0.4, start=0.4)
    assert [number(x) for x in read_frames(tmp_path / "a.mp4")] == list(range(10, 20))
    assert [number(x) for x in read_frames(tmp_path / "a.mp4", 5)] == [12, 17]
    if options:
        data = (tmp_path / "a.mp4").read_bytes()
        (tmp_path / "a.mp4").write_bytes(data[: data.index(b"mdat") + 400])
        with pytest.raises(VideoError, match="truncated or damaged"):
            list(read_frames(tmp_path / "a.mp4"))


def test_sound_that_goes_on_after_the_film_is_no_damage(tmp_path):
    for name in ("a.mp4", "a.mkv"):
        with av.open(str(tmp_path / name), "w") as file:
            stream, sound = file.add_stream("mpeg4", rate=25), file.add_stream("aac", rate=8000)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            for n in range(10):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(n), format="rgb24")))
            file.mux(stream.encode())
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 8000 * 3), np.float32), format="fltp", layout="mono")
            tone.sample_rate = 8000
            file.mux(sound.encode(tone))
            file.mux(sound.encode())
        assert len(list(read_frames(tmp_path / name))) == 10


def plain(path):
    """Whether FFmpeg, left to itself, reports any damage."""
    try:
        with av.open(str(path)) as file:
            return any(frame.is_corrupt for frame in file.decode(video=0))
    except av.FFmpegError:
        return True


def test_damage_that_decoders_paint_over_is_an_error(tmp_path):
    """One flipped bit of H.264: all is found that FFmpeg tells of itself, and more."""
    rng, path = np.random.default_rng(0), tmp_path / "a.mp4"
    film(
        path, [rng.integers(0, 256, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(3)], codec="libx264"
    )
    assert len(list(read_frames(path))) == 3
    data = path.read_bytes()
    start, end = data.index(b"mdat") + 800, data.index(b"moov")
    refused, told = [], []
    for at in range(start, end, (end - start) // 150):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        told.append(plain(path))
        try:
            refused.append(not list(read_frames(path)))
        except VideoError as error:
            assert "a.mp4" in str(error)
            refused.append(True)
    assert all(r or not t for r, t in zip(refused, told, strict=True))
    assert sum(refused) > sum(told) + 2
