"""Where a data set gets the frames of a video from.

A `Source` gives one array per frame, in order: pixels (`Decoder`, here), the flow between two frames
(`data.flow.images`), or what a tower makes of a frame (`nets.frame_features`). Each of them computes at every call; a
`data.store.Store` is a source that keeps on disk what another one gives.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snippets.data.files import check_file, checksum
from snippets.data.layouts.splits import Video
from snippets.data.pictures import PICTURE_FPS, video_files
from snippets.data.video import VideoError, read_frames, read_header


def evenly(count: int, number: int) -> list[int]:
    """`number` of the frames 0 to count - 1, the first and the last among them."""
    return np.linspace(0, count - 1, number).round().astype(int).tolist()


class Source:
    """One array per frame of a video; a subclass says which, in `stream`, and in `length` how many.

    shape, dtype: of one array. parameters: a dict for JSON, all that the arrays depend on besides the video; name: of
    the folder in which a store keeps them. rate: frames per second, None: the native ones. limit: frames at most, None:
    all. spread: so many of every video, None: as it has. picture_fps: rate of a video that is a folder of pictures.
    """

    shape, dtype = (), np.dtype(np.uint8)
    rate = limit = spread = None
    picture_fps = PICTURE_FPS

    def __init__(self):
        self._checked = {}  # name -> (path, checksum) of videos seen by this process
        self._counts = {}  # path -> frames

    def stream(self, video: Video) -> Iterator[np.ndarray]:
        """The arrays of a video, one by one. FileNotFoundError, VideoError: it cannot be read, or not to its end."""
        raise NotImplementedError

    def at_hand(self, video: Video) -> "Source":
        """The source from which to get a video once, without keeping it."""
        return self

    def one_thread(self):
        """From now on compute in the calling thread alone: other processes have the other cores."""

    def compute_on(self, xp):
        """From now on compute on arrays of the library `xp`, if there is anything to compute."""

    def frames(self, video: Video) -> np.ndarray:
        """All arrays of a video: (frames, *shape)."""
        return np.stack(list(self.stream(video)))

    def checksum(self, video: Video) -> int:
        """CRC-32 of a video's file or pictures, read once per process. FileNotFoundError, VideoError: unreadable."""
        path, known = str(video.path), self._checked.get(video.name)
        if known is None or known[0] != path:
            crc = 0
            for part in video_files(path):
                check_file(part, "video file")
                try:
                    with open(part, "rb") as file:
                        crc = checksum(file, value=crc)
                except OSError as error:
                    raise VideoError(f"{part}: cannot be read ({error.strerror})") from error
            known = self._checked[video.name] = path, crc
        return known[1]

    def count(self, video: Video) -> int:
        """How many frames a video has, found once per process."""
        if video.path not in self._counts:
            self._counts[video.path] = self.length(video.path)
        return self._counts[video.path]

    def take(self, video: Video, windows) -> Iterator[np.ndarray]:
        """The arrays of each window, a list of frame numbers: (T, *shape).

        After its last frame a video starts again. It is read once, and a frame is kept only while a window needs it:
        if windows follow each other in time, memory depends on them and not on the video.
        """
        windows = list(windows)
        last = {n: w for w, window in enumerate(windows) for n in window}  # window that is the last to want frame n
        frames, kept = self.numbered(video, last), {}
        for w, window in enumerate(windows):
            while not kept.keys() >= set(window):
                n, frame = next(frames)
                if last.get(n, -1) >= w:
                    kept[n] = frame
            yield np.stack([kept[n] for n in window])
            kept = {n: frame for n, frame in kept.items() if last[n] > w}

    def take_evenly(self, video: Video, number: int) -> np.ndarray:
        """`number` arrays spread evenly over a video: (number, *shape)."""
        return next(self.take(video, [evenly(self.limit or self.count(video), number)]))

    def numbered(self, video: Video, wanted) -> Iterator[tuple[int, np.ndarray]]:
        """(n, array n) in order, of the numbers `wanted` at least; after its last frame a video starts again."""
        return enumerate(frame for _ in itertools.count() for frame in self.stream(video))


class Decoder(Source):
    """Frames of a video at side x side pixels and fps frames per second (None: native), uint8 RGB (side, side, 3).

    limit: frames at most, from the start; the rest of a video is not decoded. None: all. picture_fps: rate of a video
    that is a folder of pictures.
    """

    channels = 3

    def __init__(self, side: int = 256, fps: float | None = None, limit: int | None = None, picture_fps=PICTURE_FPS):
        super().__init__()
        if side < 1:
            raise ValueError(f"side is {side}, expected a positive number of pixels")
        self.side, self.fps, self.limit, self.picture_fps = side, fps, limit, picture_fps

    @property
    def shape(self):
        return self.side, self.side, self.channels

    @property
    def parameters(self):
        limit = {} if self.limit is None else {"limit": self.limit}
        pictures = {} if self.picture_fps == PICTURE_FPS else {"picture_fps": self.picture_fps}
        return {"format": "snippets frames 2", "side": self.side, "fps": self.fps, **limit, **pictures}

    @property
    def rate(self):
        return self.fps

    @property
    def name(self):
        rate = "native" if self.rate is None else f"{self.rate:g}fps"
        pictures = "" if self.picture_fps == PICTURE_FPS else f"_pictures{self.picture_fps:g}fps"
        return f"{self.side}px_{rate}" + ("" if self.limit is None else f"_first{self.limit}") + pictures

    def read(self, path) -> Iterator[np.ndarray]:
        """The arrays of the video at a path, one by one. Raises what `read_frames` raises."""
        return read_frames(path, self.fps, self.side, self.limit, self.picture_fps)

    def stream(self, video):
        return self.read(video.path)

    def length(self, path) -> int:
        """How many frames `read` gives, found by decoding all of them, small. Raises what `read_frames` raises."""
        return sum(1 for _ in read_frames(path, self.fps, 8, self.limit, self.picture_fps))

    def take_evenly(self, video, number):
        """As in `Source`; a video is decoded once if its header says how many frames there are, else twice."""
        if self.limit is None and video.path not in self._counts:
            header, n = read_header(video.path, self.picture_fps), -1
            count = round(header.frames * (self.fps / header.fps if self.fps and header.fps else 1))
            wanted, kept = evenly(count, number), {}
            for n, frame in enumerate(self.stream(video)):
                if n in wanted:
                    kept[n] = frame
            self._counts[video.path] = n + 1
            if n + 1 == count:
                return np.stack([kept[k] for k in wanted])
        return super().take_evenly(video, number)


class Spread(Source):
    """`number` frames of another source, spread evenly over a video, the first and the last among them.

    All else (`fill`, `folder`) is the other source's.
    """

    def __init__(self, source: Source, number: int):
        super().__init__()
        self.source, self.number = source, number
        for name in ("shape", "dtype", "rate", "limit", "picture_fps"):
            setattr(self, name, getattr(source, name))

    def __getattr__(self, name):
        if name.startswith("__") or "source" not in vars(self):
            raise AttributeError(name)  # while it is copied
        return getattr(self.source, name)

    def at_hand(self, video):
        return Spread(self.source.at_hand(video), self.number)

    def checksum(self, video):
        return self.source.checksum(video)

    def count(self, video):
        return self.number

    def stream(self, video):
        return iter(self.source.take_evenly(video, self.number))

    def read(self, path) -> Iterator[np.ndarray]:
        """The frames of the video at a path."""
        return self.stream(Video(Path(path), 0, str(path), str(path)))
