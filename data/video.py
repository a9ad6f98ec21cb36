"""Video files: from a path to its frames, one by one, all of them or an error.

Frames are decoded through PyAV (FFmpeg inside a wheel) and shown as players show them (`data.display`): the film among
the streams and not its cover, upright, with square pixels, each at its time from the first frame on. A header is only a
hint, the decoded frames count. FFmpeg conceals damage (the end of a cut AVI file becomes a full but smeared frame,
without an error), so this is turned off, every packet and frame is checked, and the file must reach the end that its
header declares. imageio gives the pixels only, so PyAV is called directly. A folder of numbered pictures is a
video, too (`data.pictures`).
"""

import itertools
import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from snippets.data.display import FrameSource, Header, VideoError
from snippets.data.files import check_file
from snippets.data.pictures import PICTURE_FPS, PictureFolder
from snippets.data.whole import all_bytes

SUFFIXES = set(  # of video files from computers, phones, cameras, discs and television
    ".avi .mp4 .mov .mkv .webm .mpg .mpeg .wmv .flv .m4v .3gp .3g2 .3gpp .mts .m2ts .m2t .ts .mod .tod .mxf .dv .qt "
    ".ogv .ogm .divx .xvid .f4v .mp4v .asf .vob .mpe .mpv .m1v .m2v .m2p .rm .rmvb .amv .wtv .y4m .nut".split()
)

# Options of FFmpeg's decoders. With several threads per frame, errors would get lost; more pixels than 8K has come from
# a damaged header, and would take gigabytes.
STRICT = {"err_detect": "explode+crccheck+bitstream+buffer", "threads": "1", "max_pixels": "36000000"}

# How far a file may end before its declared length. Real AVI and MP4 clips reach their declared number of packets
# (packed B-frames cost the decoder one frame), with one exception: encoders drop a repeated frame by an empty chunk, so
# an AVI file whose bytes are all there may miss a few. Other files declare seconds only, most of them rounded.
SLACK_FRAMES = 10
SLACK_SECONDS = 0.25

# How long a frame may be held, in seconds. More is a clock that jumped; where streams are joined end to end (FFmpeg's
# TS_DISCONT: MPEG) jumps are frequent, and ffmpeg ignores them, too.
HELD, HELD_IN_STREAMS, TS_DISCONT = 600, 10, 0x200
RATES = 0.1, 1000  # frames per second that are believed

# Some titles in HMDB51 are not UTF-8. PyAV 19 takes every title and has no such argument.
ANY_TITLE = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_film(path, picture_fps: float = PICTURE_FPS) -> FrameSource:
    """A video file, or a folder of numbered pictures at picture_fps per second, to be read once.

    `with open_film(path) as film: film.pictures()`. Raises what `read_frames` raises.
    """
    return PictureFolder(path, picture_fps) if os.path.isdir(path) else Film(path)


def read_header(path, picture_fps: float = PICTURE_FPS) -> Header:
    """The header of a video: frame rate (frames per second), declared frame count, width and height in pixels.

    picture_fps: see `open_film`. Raises FileNotFoundError for a missing file and VideoError for an empty file, one that
    is no video, or one without a first frame.
    """
    with open_film(path, picture_fps) as film:
        return film.header()


def read_frames(
    path, fps: float | None = None, size: int | tuple[int, int] | None = None, limit: int | None = None,
    picture_fps: float = PICTURE_FPS,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Decode a video frame by frame: uint8 RGB arrays (H, W, 3), in order, each one the caller's own.

    fps: frames per second to resample to (nearest frame in time, repeated or left out, at least one); None keeps every
    native frame. size: side of a square or (height, width) in pixels, aspect ratio not kept; None: as players show it.
    limit: frames after which to stop; the rest is not checked. picture_fps: see `open_film`.
    Raises FileNotFoundError, or VideoError for an empty, damaged or truncated file or one that is no video; damage is
    reported when it is reached, so take all frames before trusting any.
    """
    if fps is not None and not 0 < fps < math.inf:
        raise ValueError(f"fps is {fps}, expected a positive number of frames per second, or None for the native rate")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, expected at least 1 frame, or None for all")
    with open_film(path, picture_fps) as film:
        for _, _, picture in itertools.islice(film.pictures(fps, size), limit):
            yield picture


def write_video(
    path, frames: Iterable[np.ndarray], fps: float, bits_per_second: int = 4_000_000, codec="mpeg4", container=None
) -> None:
    """Encode uint8 RGB frames (H, W, 3), one size, as `write_film` does, each shown for 1 / fps seconds."""
    write_film(
        path, ((n / fps, (n + 1) / fps, x) for n, x in enumerate(frames)), fps, bits_per_second, codec, container
    )


def write_film(path, timed, fps, bits_per_second=4_000_000, codec="mpeg4", container=None) -> None:
    """Encode uint8 RGB frames (H, W, 3), one size, that come as (start, end, frame), times in seconds, as MPEG-4.

    container: "avi", which has 1 / fps seconds between frames or a multiple of it; "mp4", where fps is only the usual
    rate; None: as the suffix says. codec: "libx264" plays in web browsers, too; where FFmpeg lacks it, "mpeg4" is used.
    timed may be a generator: one frame is held at a time. Raises ValueError for no frames or another shape or dtype,
    and OSError where the file cannot be written.
    """
    timed = iter(timed)
    first = next(timed, None)
    if first is None:
        raise ValueError(f"{path}: there are no frames to write")
    rate = Fraction(fps).limit_denominator(1001)
    tick = 1 / rate if (container or Path(path).suffix[1:].lower()) == "avi" else Fraction(1, 60000)  # both codecs can
    codec = codec if codec in av.codecs_available else "mpeg4"
    try:
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=rate, options={"bf": "0"})  # packets in the order of the frames
            stream.height, stream.width = first[2].shape[:2]
            stream.pix_fmt, stream.bit_rate, stream.codec_context.time_base = "yuv420p", bits_per_second, tick
            clock, waiting = -1, []
            for start, end, frame in itertools.chain([first], timed):
                if frame.dtype != np.uint8 or frame.shape != (stream.height, stream.width, 3):
                    expected = f"uint8 {(stream.height, stream.width, 3)}"
                    raise ValueError(f"{path}: a frame is {frame.dtype} {frame.shape}, expected {expected}")
                image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                stop = end / tick
                if round(start / tick) > clock:  # else too soon after the one before it
                    image.pts, image.time_base = clock, _ = round(start / tick), tick
                    waiting += stream.encode(image)
                    file.mux(waiting[:-1])
                    del waiting[:-1]
            waiting += stream.encode()
            waiting[-1].duration = max(round((stop - clock) * tick / waiting[-1].time_base), 1)
            file.mux(waiting)
    except av.FFmpegError as error:
        raise OSError(error.errno, f"cannot write this video ({error.strerror})", str(path)) from error


class Film(FrameSource):
    """An open video file and the film in it, to be read once.

    strange: frames so far with an impossible time; they are taken to follow the one before at the usual rate.
    Raises what `read_frames` raises.
    """

    def __init__(self, path):
        self.path, self.strange = check_file(path, "video file"), 0
        if self.path.stat().st_size == 0:
            raise VideoError(f"{path}: the file is empty (0 bytes); get it again or skip it")
        try:
            self.container = av.open(str(self.path.absolute()), **ANY_TITLE)
        except av.FFmpegError as error:
            found = f"not a video, or cut off in its header ({error.strerror})"
            raise VideoError(f"{path}: {found}; get it again or skip it") from error
        self.stream = self._film()
        self.stream.codec_context.options = STRICT
        self.declared = self.stream.frames
        self.avi = self.container.format.name == "avi"
        rates = self.stream.average_rate, self.stream.guessed_rate  # None or 0: unknown
        rates = [Fraction(rate) for rate in rates if rate and RATES[0] <= rate <= RATES[1]]
        self.fps, self.beat = (rates[0], rates[-1]) if rates else (Fraction(0), Fraction(0))

    def __exit__(self, *error):
        self.container.close()

    @property
    def aspect(self):
        """Of a pixel, once a frame is decoded also as that says."""
        return self.stream.sample_aspect_ratio

    def _film(self):
        """The stream that players show: the default one, else the largest; a cover is a picture and no film."""
        streams = [s for s in self.container.streams.video if Disposition.attached_pic not in s.disposition]
        known = [s for s in streams if s.codec_context is not None]
        if not known:
            self.container.close()
            found = "in a format that is not known here" if streams else "no video stream"
            raise VideoError(f"{self.path}: the file holds {found}; skip it")
        return max(known, key=lambda s: (Disposition.default in s.disposition, s.width * s.height))

    def clock_fault(self) -> str | None:
        """What is wrong with the times of the frames read, None: nothing."""
        if self.strange:
            return f"{self.strange} frames whose times stand still, run back or jump"
        rate = self.stream.average_rate
        return f"declares {float(rate):g} frames per second" if rate and not self.fps else None

    def _timed(self):
        """Every frame (av.VideoFrame) with its start and its end in seconds from the first frame on, Fractions."""
        tick, usual = Fraction(self.stream.time_base), 1 / (self.fps or 25)
        longest = HELD_IN_STREAMS if self.container.format.flags & TS_DISCONT else HELD
        waiting = now = None
        for frame in self._whole():
            # AVI holds no presentation times, and those guessed for packed B-frames run backwards
            stamp = frame.dts if self.avi else frame.pts
            time = None if stamp is None else stamp * tick
            if waiting is None:
                first = now = time or 0
            elif time is not None and 0 < time - now <= longest:
                yield waiting, now - first, time - first
                now = time
            else:
                self.strange += time is not None and not self.avi
                yield waiting, now - first, now + usual - first
                now += usual
            waiting = frame
        held = (waiting.duration or 0) * tick
        self.strange += held > longest
        yield waiting, now - first, now - first + (held if 0 < held <= longest else usual)

    def _whole(self):
        """Every decoded frame; VideoError where one is damaged and where the file is not whole."""
        declared, packets, decoded, first, last, end = self.stream.frames, 0, 0, None, None, 0.0
        try:
            for packet in self.container.demux():
                if packet.pts is not None:  # end: of the latest packet of any stream, in seconds
                    end = max(end, float((packet.pts + (packet.duration or 0)) * Fraction(packet.time_base)))
                if packet.stream.index != self.stream.index:
                    continue
                if packet.is_corrupt:
                    raise VideoError(self._cut(packets))
                if packet.size and packet.dts is not None:
                    packets, first, last = packets + 1, packet.dts if first is None else first, packet.dts
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise VideoError(self._damaged(decoded))
                    decoded += 1
                    yield frame
        except av.FFmpegError as error:
            raise VideoError(f"{self._damaged(decoded)} ({error.strerror})") from error
        there = all_bytes(self.path, self.container.format.name)
        if self.avi and packets:  # a dropped frame leaves a gap in the time stamps and no packet
            packets = max(packets, last - first + 1)
        short = float(self.container.duration or 0) / av.time_base - end
        half = 0.5 / float(self.fps or 25)  # of a frame
        if declared:  # an edit list leaves out frames that are declared; then the times are as declared
            missing = declared - packets > (SLACK_FRAMES if self.avi and there else 0)
            cut = missing and (self.avi or not there or short > half)
        elif there is None:  # Matroska's seconds are exact, others rounded
            cut = short > (half if self.container.format.name.startswith("matroska") else SLACK_SECONDS)
        else:  # with all bytes the last frame is held
            cut = not there
        if cut:
            raise VideoError(self._cut(packets, short))
        if not decoded:
            raise VideoError(
                f"{self.path}: none of its {declared} frames can be decoded; get the file again or skip it"
            )

    def _damaged(self, frame):
        of = f" of {self.stream.frames}" if self.stream.frames else ""
        return f"{self.path}: frame {frame}{of} is damaged; get the file again or skip it"

    def _cut(self, reached, short=0.0):
        """The message for a file that ends early."""
        declared = self.stream.frames or (short > 0 and f"about {reached + short * float(self.fps or 25):.0f}")
        expected = f"{declared} expected" if declared else "length not declared"
        at = f"ends after frame {reached}, {expected}"
        return f"{self.path}: truncated or damaged, {at}; get the file again or skip it"
