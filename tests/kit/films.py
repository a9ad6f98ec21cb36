"""Small films as phones, cameras and recorders leave them, for tests: see `film`."""

import os
import shutil
import struct
from fractions import Fraction

import av
import numpy as np

QUADRANTS = np.array(
    [[[230, 20, 20], [20, 160, 20]], [[20, 20, 230], [230, 230, 230]]], np.uint8
)  # red green, blue white


def quadrants(height=48, width=64):
    """A picture (height, width, 3) that looks otherwise after each turn and mirroring."""
    return QUADRANTS.repeat(height // 2, 0).repeat(width // 2, 1)


def numbered(n):
    """Frame n (48, 64, 3): eight columns, bright = 1, n in binary, most significant bit on the left."""
    bits = n >> np.arange(7, -1, -1) & 1
    return np.broadcast_to((40 + 180 * bits).repeat(8)[None, :, None], (48, 64, 3)).astype(np.uint8)


def number(frame):
    """The n of a frame like `numbered(n)`, at any size."""
    columns = np.array_split(frame.mean((0, 2)), 8)
    return int(sum(int(column[len(column) // 2] > 130) << 7 - i for i, column in enumerate(columns)))


RATE = 25  # frames per second


def film(path, frames, times=None, codec="mpeg4", aspect=None, last=None, tick=Fraction(1, 1000), **options):
    """Write frames, times in seconds (None: at RATE); options: of the file format.

    aspect: of a pixel. last: seconds that the last frame is held.
    """
    with av.open(str(path), "w", options={key: str(value) for key, value in options.items()}) as file:
        stream = file.add_stream(codec, rate=RATE, options={"bf": "0", "g": "8"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        packets = []
        for n, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = n, 1 / Fraction(RATE)
            packets += stream.encode(frame)
        packets += stream.encode()
        for n, packet in enumerate(packets if times is not None else ()):
            packet.time_base = tick
            packet.pts = packet.dts = round(Fraction(times[n]) / tick)
            packet.duration = round(Fraction(1, RATE) / tick)
        if last is not None:
            packets[-1].duration = round(last / Fraction(packets[-1].time_base))
        file.mux(packets)


def set_matrix(path, matrix):
    """Give an mp4 file's track the display matrix (a, b, c, d)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (round(65536 * x) for x in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def set_stts(path, *entries):
    """Give an mp4 file (one track, one moov at its end) other times: pairs of a count and a step in ticks."""
    data = path.read_bytes()
    at = data.index(b"stts") - 4
    old = struct.unpack_from(">I", data, at)[0]
    new = struct.pack(">I4sII", 16 + 8 * len(entries), b"stts", 0, len(entries))
    new += b"".join(struct.pack(">II", *entry) for entry in entries)
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        start = data.index(box) - 4
        size = struct.unpack_from(">I", data, start)[0] + len(new) - old
        data = data[:start] + struct.pack(">I", size) + data[start + 4 :]
    path.write_bytes(data[:at] + new + data[at + old :])


def folder(root, clip, names):
    """Classes #a and b that hold the same clip under all of these names."""
    for name in ("#a", "b"):
        (root / name).mkdir(parents=True)
        for file in names:
            shutil.copy(clip, root / name / (os.fsdecode(file) if isinstance(file, bytes) else file))
    return root
