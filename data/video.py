"""Video files: from a path to its frames, one by one, whole or not at all.

Frames are decoded through PyAV (FFmpeg inside a wheel); changing the frame rate and the size is done by FFmpeg's own
filters on the way. What a header says about a file is only a hint: the decoded frames are the truth. FFmpeg conceals
damage (the end of a cut AVI file arrives as a full but smeared frame, without an error), so every packet and every
frame is asked whether it is intact, and the file must reach the end that its header declares. This is why PyAV is
called directly and not through imageio, which hands on the pixels only.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SUFFIXES = {".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"}  # of video files

# How far a file may end before its declared length. Real AVI and MP4 clips reach their declared count exactly, counted
# in packets (packed B-frames cost the decoder a frame), so the count is taken at its word, with one exception: encoders
# drop a repeated frame by an empty chunk, which leaves no trace at the end of a file, so an AVI file whose bytes are
# all there may miss a few. Matroska, WebM and fragmented MP4 declare seconds only, rounded.
SLACK_FRAMES = 10
SLACK_SECONDS = 0.25

# Some titles in HMDB51 are not UTF-8. PyAV 19 takes every title and knows this argument no longer.
ANY_TITLE = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}


class VideoError(ValueError):
    """A file that is no video, is damaged, or ends before its declared length."""


@dataclass(frozen=True)
class Header:
    """What a file says about itself, before anything is decoded (frames = 0: it does not say)."""

    fps: float
    frames: int
    width: int
    height: int


def read_header(path) -> Header:
    """The header of a video file: frame rate (frames per second), declared frame count, width and height in pixels.

    Raises FileNotFoundError for a missing file and VideoError for an empty file or one that is no video.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        return Header(float(stream.average_rate or 0), stream.frames, stream.width, stream.height)


def read_frames(
    path, fps: float | None = None, size: int | tuple[int, int] | None = None, limit: int | None = None
) -> Iterator[np.ndarray]:
    """Decode a video frame by frame: uint8 RGB arrays (H, W, 3), in order, each one the caller's own.

    fps: frames per second to resample to (nearest frame in time, repeated or left out); None keeps every native frame.
    size: side of a square or (height, width) in pixels, aspect ratio not kept; None keeps the native size.
    limit: frames after which to stop; what lies behind them is neither decoded nor checked.
    Raises FileNotFoundError, or VideoError for an empty, damaged or truncated file or one that is no video; damage is
    reported when it is reached, so take all frames before trusting any.
    """
    if fps is not None and not fps > 0:
        raise ValueError(f"fps is {fps}, expected a positive number of frames per second, or None for the native rate")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected at least 1 frame, or None for all")
    yield from itertools.islice(_decode(path, fps, size), limit)


def _decode(path, fps, size):
    """All frames of `read_frames`."""
    with _open(path) as container:
        graph = None
        for frame in _intact(path, container):
            graph = graph or _filters(container.streams.video[0], fps, size)  # the pixel format is known by now
            graph.push(frame)
            yield from _ready(graph)
        graph.push(None)
        yield from _ready(graph)


def write_video(
    path, frames: Iterable[np.ndarray], fps: float, bits_per_second: int = 4_000_000, codec="mpeg4", container=None
) -> None:
    """Encode uint8 RGB frames (H, W, 3), one size, as MPEG-4; container: "avi", "mp4", or None: as the suffix says.

    codec: "libx264" plays in web browsers too; where FFmpeg lacks the codec it is "mpeg4", which it always has.
    frames may be a generator: one frame at a time is held. Raises ValueError for no frames or another shape or dtype,
    and OSError where the file cannot be written.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: there are no frames to write")
    codec = codec if codec in av.codecs_available else "mpeg4"
    try:
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
            stream.height, stream.width = first.shape[:2]
            stream.pix_fmt, stream.bit_rate = "yuv420p", bits_per_second
            for frame in itertools.chain([first], frames):
                if frame.dtype != np.uint8 or frame.shape != (stream.height, stream.width, 3):
                    expected = f"uint8 {(stream.height, stream.width, 3)}"
                    raise ValueError(f"{path}: a frame is {frame.dtype} {frame.shape}, expected {expected}")
                file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            file.mux(stream.encode())
    except av.FFmpegError as error:
        raise OSError(error.errno, f"cannot write this video ({error.strerror})", str(path)) from error


def _open(path):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such video file")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes); get it again or skip it")
    try:
        container = av.open(str(path.absolute()), **ANY_TITLE)
    except av.FFmpegError as error:
        found = f"not a video, or cut off in its header ({error.strerror})"
        raise VideoError(f"{path}: {found}; get it again or skip it") from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path}: the file holds no video stream; skip it")
    return container


def _intact(path, container):
    """Every decoded frame (av.VideoFrame) with its time stamp put right; VideoError where the file is not whole."""
    stream = container.streams.video[0]
    declared, rate = stream.frames, float(stream.average_rate or 0)  # 0: the file does not say
    step = max(1, round(1 / (rate * stream.time_base))) if rate else 1  # between frames, in time stamps
    avi = container.format.name == "avi"
    packets = decoded = 0
    first = last = clock = None
    end = 0.0  # of the latest packet of any stream, in seconds
    try:
        for packet in container.demux():
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index != stream.index:
                continue
            if packet.is_corrupt:
                raise VideoError(_cut(path, packets, declared))
            if packet.size and packet.dts is not None:
                packets, first, last = packets + 1, packet.dts if first is None else first, packet.dts
            for frame in packet.decode():
                if frame.is_corrupt:
                    of = f" of {declared}" if declared else ""
                    raise VideoError(f"{path}: frame {decoded}{of} is damaged; get the file again or skip it")
                decoded += 1
                # AVI holds no presentation times, and those guessed for packed B-frames run backwards
                time = frame.dts if avi else frame.pts
                clock = time if time is not None and (clock is None or time > clock) else (clock or 0) + step
                frame.pts = clock
                yield frame
    except av.FFmpegError as error:
        raise VideoError(f"{_cut(path, decoded, declared)} ({error})") from error
    # a dropped frame leaves a gap in the time stamps and no packet
    reached = max(packets, round((last - first) / step) + 1) if packets else 0
    if declared - reached > (SLACK_FRAMES if avi and _all_bytes(path) else 0):
        raise VideoError(_cut(path, reached, declared))
    short = float(container.duration or 0) / av.time_base - end
    if not declared and short > SLACK_SECONDS:
        raise VideoError(_cut(path, reached, f"about {reached + short * rate:.0f}"))
    if not decoded:
        raise VideoError(f"{path}: none of its {declared} frames can be decoded; get the file again or skip it")


def _all_bytes(path):
    """Whether an AVI file is as long as its first eight bytes (RIFF and the length of what follows) say."""
    with open(path, "rb") as file:
        return os.fstat(file.fileno()).st_size >= 8 + int.from_bytes(file.read(8)[4:], "little")


def _filters(stream, fps, size):
    """FFmpeg filter graph from decoded frames to RGB frames of the wanted rate and size."""
    graph = av.filter.Graph()
    nodes = [graph.add_buffer(template=stream)]
    if fps is not None:
        nodes.append(graph.add("fps", str(fps)))
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        nodes.append(graph.add("scale", f"{width}:{height}:flags=bilinear+accurate_rnd"))
    nodes += [graph.add("format", "rgb24"), graph.add("buffersink")]
    for a, b in zip(nodes, nodes[1:], strict=False):
        a.link_to(b)
    graph.configure()
    return graph


def _ready(graph):
    """Frames that wait at the end of the graph."""
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):  # needs more input; finished
            return
        yield frame.to_ndarray()


def _cut(path, reached, declared):
    """The message for a file that ends early."""
    expected = f"{declared} expected" if declared else "length not declared"
    return f"{path}: truncated or damaged, ends after frame {reached}, {expected}; get the file again or skip it"
