"""Check a data set before training on it: videos missing, damaged, short, on both sides; classes unbalanced.

Headers are not trusted: every video is decoded. A header may declare one frame more than there is (packed B-frames cost
one), which is reported but is not a fault; see `data.video` for what counts as damage.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from snippets.data.decoder import Decoder
from snippets.data.files import write
from snippets.data.layouts.splits import Split, Video, check_groups
from snippets.data.layouts.table import VideoFolder
from snippets.data.listing import is_video, shown, tally
from snippets.data.store.processes import THIS_PROCESS
from snippets.data.video import VideoError, open_film

SHOWN = 10  # names of each kind


class Decoded(NamedTuple):
    """Frames that a header declares (0: none), frames decoded, and what is wrong with the file and with its clock."""

    declared: int
    decoded: int
    error: str | None = None
    clock: str | None = None


def decode(source: Decoder, video: Video) -> Iterator[Decoded]:
    """Decode a video as a `Decoder` does, but small; yields what was found."""
    with open_film(video.path, source.picture_fps) as film:
        decoded = sum(1 for _ in itertools.islice(film.pictures(source.fps, 16), source.limit))
        yield Decoded(film.declared, decoded, clock=film.clock_fault())


def named(video: Video, found: Iterator[Decoded]) -> tuple[str, Decoded]:
    """A video's name and what `decode` found."""
    try:
        return video.name, next(found)
    except (VideoError, OSError) as error:
        return video.name, Decoded(0, 0, str(error))


@dataclass
class Survey:
    """What `check_dataset` found."""

    path: Path
    layout: str
    splits: dict[int | None, Split]  # by fold
    frames: int  # shorter videos are short
    exact: bool  # whether decoded frames are all of a video at its native rate, as a header declares them
    decoded: dict[str, Decoded] = field(default_factory=dict)  # by the video's name
    missing: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    unused: str = ""  # why these are in no split
    advice: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)  # why, by the file's name
    problems: list[str] = field(default_factory=list)  # of lists and splits

    @property
    def damaged(self) -> dict[str, str]:
        """What is wrong with each damaged file, by name."""
        return {name: found.error for name, found in self.decoded.items() if found.error}

    @property
    def clocks(self) -> list[str]:
        """Videos whose frames can be used, but not their times."""
        return [f"{name}: {found.clock}" for name, found in self.decoded.items() if found.clock]

    @property
    def unusable(self) -> list[str]:
        """Names for a skip list."""
        return sorted({*self.damaged, *self.missing})

    @property
    def wrong(self) -> bool:
        """Whether anything is wrong: unusable videos, faults of lists and splits, clocks."""
        return bool(self.unusable or self.problems or self.clocks)

    def write_skip(self, path) -> None:
        """Write a skip list with the reasons."""
        why = {name: "missing" for name in self.missing} | self.damaged
        write(path, "".join(f"# {shown(why[name])}\n{name}\n" for name in self.unusable))

    def __str__(self):
        good = {name: found for name, found in self.decoded.items() if not found.error}
        counts = np.array([found.decoded for found in good.values()] or [0])
        other = [
            f"{name}: {found.declared} declared, {found.decoded} decoded"
            for name, found in good.items()
            if found.declared not in (0, found.decoded)
        ]
        short = [f"{name}: {found.decoded}" for name, found in good.items() if found.decoded < self.frames]
        first = next(iter(self.splits.values()))
        everyone = [v.label for v in first.train + first.test]
        lines = [f"{self.path}: {self.layout}", f"classes   {balance(everyone, first.classes)}"]
        for fold, (_, train, test) in self.splits.items():
            groups = len({v.group for v in train + test})
            name = "split" if fold is None else f"fold {fold}"
            lines.append(f"{name:8}  {len(train)} training and {len(test)} test videos, {groups} groups")
        lines.append(f"decoded   {len(good)} videos, {counts.sum()} frames: {counts.min()} to {counts.max()} per video")
        kinds, others = tally(self.ignored.values()), [f"{name}: {why}" for name, why in self.ignored.items()]
        faults = [("short    ", f"of fewer than {self.frames} frames, which clips repeat from the start", short)]
        faults += [("header   ", "declare another number of frames", other)] if self.exact else []
        faults += [
            ("clock    ", "have times that cannot be; only without --fps are all their frames right", self.clocks),
            ("damaged  ", "cannot be used", list(self.damaged.values())),
            ("missing  ", "are listed but not there", self.missing),
            ("unlisted ", f"are {self.unused}, and are left alone", self.unlisted),
            ("ignored  ", f"are no videos ({kinds})" if kinds else "are no videos", others),
            ("wrong    ", "in lists and splits", self.problems),
        ]
        for title, meaning, names in faults:
            lines.append(f"{title} {len(names)} {meaning}")
            lines += [f"            {name}" for name in names[:SHOWN]]
            lines += [f"            and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
        lines += [f"note      {text}" for text in self.advice]
        return "\n".join(map(shown, [*lines, "something is wrong, see above" if self.wrong else "nothing is wrong"]))


def check_dataset(path, source=None, frames=30, skip=(), executor=THIS_PROCESS, progress=True) -> Survey:
    """Read the lists of all folds, decode every video that they name, and find what is wrong.

    source: a `Decoder` that says at which rate, and where to stop; None: every frame. frames: shorter videos are short.
    skip: names that are known to be bad. executor: where they are decoded, see data/store/processes.py. Raises what
    `VideoFolder.listed` raises if no fold can be read.
    """
    folder, errors, source = VideoFolder(path), [], source or Decoder()
    survey = Survey(folder.path, folder.layout.name, {}, frames, exact=source.fps is None and source.limit is None)
    for fold in folder.layout.folds:
        try:
            split = survey.splits[fold] = folder.listed(fold, skip)
            check_groups(split)
        except (ValueError, FileNotFoundError) as error:
            errors.append(error)
            survey.problems.append(str(error) if fold is None else f"fold {fold}: {error}")
    if not survey.splits:
        raise errors[0]
    videos = {v.name: v for split in survey.splits.values() for v in split.train + split.test}
    for fold, split in survey.splits.items():
        empty = set(range(len(split.classes))) - {k for v in split.train for k in labels_of(v.label)}
        if empty:
            where = "" if fold is None else f"fold {fold}: "
            name = split.classes[min(empty)]
            survey.problems.append(f"{where}classes without a training video: {len(empty)}, {name} for instance")
    there = {name: v for name, v in videos.items() if is_video(v.path)}
    survey.unused, survey.advice = folder.layout.unused, folder.advice(next(iter(survey.splits.values())))
    survey.missing = sorted(set(videos) - set(there))
    for file, why in folder.ignored(v.path for v in videos.values()):
        name = shown(file.relative_to(folder.root).as_posix())
        if why != survey.unused:
            survey.ignored[name] = why
        elif not {name, file.stem} & set(skip):
            survey.unlisted.append(name)
    decoded = executor.map(decode, source, list(there.values()), named)
    found = dict(tqdm(decoded, total=len(there), desc="decode", unit="video", disable=not progress))
    survey.decoded = {name: found[name] for name in there}
    return survey


def labels_of(label) -> tuple:
    """The classes of a video, one or several, as a tuple."""
    return label if isinstance(label, tuple) else (label,)


def balance(labels, classes) -> str:
    """How many videos the classes have: the smallest, the median, the largest; labels: one per video, or tuples."""
    count = np.bincount([k for label in labels for k in labels_of(label)], minlength=len(classes))
    low, high = int(count.argmin()), int(count.argmax())
    several = sum(len(labels_of(label)) > 1 for label in labels)
    return (
        f"{len(classes)}, with {count[low]} ({classes[low]}) to {count[high]} videos ({classes[high]}), median "
        f"{np.median(count):g}" + (f"; {several} of {len(labels)} videos have several classes" if several else "")
    )
