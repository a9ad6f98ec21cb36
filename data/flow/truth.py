"""Optical flow that others have measured or rendered: files of true flow, and how far a flow is from it.

    .flo   Middlebury, Sintel: "PIEH", width and height as int32, then u1, u2 as float32 for each pixel, row by row;
           unknown where |u| > 1e9
    .png   KITTI: 16 bits per channel, red and green are 64 u + 2^15; unknown where blue is 0

The end-point error of a pixel is |u - truth|, in pixels.
"""

from pathlib import Path

import av
import numpy as np

MAGIC, UNKNOWN = b"PIEH", 1e9
LARGEST = 1 << 15  # pixels a side


def read_flow(path):
    """(flow (H, W, 2) in pixels, float32; which pixels have one, bool (H, W)) of a file. ValueError if damaged."""
    kind = Path(path).suffix.lower()
    if kind not in (".flo", ".png"):
        raise ValueError(f"{path}: expected true flow in a .flo or a .png file (KITTI's, 16 bits per channel)")
    return _read_flo(path) if kind == ".flo" else _read_png(path)


def _read_flo(path):
    content = Path(path).read_bytes()
    W, H = np.frombuffer(content[4:12], "<i4") if len(content) >= 12 else (0, 0)
    if content[:4] != MAGIC or not (0 < W <= LARGEST and 0 < H <= LARGEST):
        raise ValueError(f"{path}: not a .flo file: it does not begin with PIEH, a width and a height")
    if len(content) != 12 + 8 * int(W) * int(H):
        raise ValueError(f"{path}: {len(content)} bytes, expected {12 + 8 * int(W) * int(H)} for {W} x {H} pixels")
    u = np.frombuffer(content, "<f4", offset=12).reshape(H, W, 2)
    return u.astype(np.float32), (np.abs(u) < UNKNOWN).all(-1)  # false for NaN, too


def _read_png(path):
    try:
        with av.open(str(path)) as file:
            frame = next(file.decode(video=0))
            name, pixels = frame.format.name, frame.to_ndarray()
    except (av.FFmpegError, LookupError, StopIteration, ValueError) as error:
        raise ValueError(f"{path}: not a picture, or damaged ({error})") from error
    if not name.startswith("rgb48"):
        raise ValueError(f"{path}: pixels are {name}, expected KITTI's true flow: RGB with 16 bits per channel")
    u = (pixels[..., :2].astype(np.float32) - 2**15) / 64
    return u, pixels[..., 2] > 0


def end_point_error(u, truth):
    """|u - truth| in pixels, (..., H, W), of flows (..., H, W, 2)."""
    return np.hypot(*np.moveaxis(np.asarray(u, np.float64) - truth, -1, 0))
