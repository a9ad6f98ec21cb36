"""A manifest: one table that says of each video which class, which group and perhaps which side it belongs to.

    <root>/videos.csv               path,label,group,split
                                    fight/fi001.mp4,fight,s01,train

or any other .csv that is given as DATA: paths begin in its folder, or are absolute and lead there. The first line names
the columns, in any order:

    path        of the video, or of its folder of pictures, with / between folders
    label       its class
    group       optional: its film; clips of a group stay on one side. Empty: see `data.layouts.splits.group_of`
    split       optional: train, val or test; without it, groups are dealt into three folds

Kinetics' lists are read as they are: youtube_id, time_start, time_end instead of path and group. The file is then named
as downloaders do, ID_000010_000020.mp4, in any folder below root. Other columns are ignored. Where there are videos of
both val and test, test is the test set, and val is used for neither side.
"""

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from snippets.data.files import check_file
from snippets.data.layouts.folder import PARTS
from snippets.data.layouts.splits import ALL, Split, Video, group_of, split_by_group, without
from snippets.data.layouts.sports1m import find_files
from snippets.data.listing import Contents, shown

MANIFEST, KINETICS = "videos.csv", ("youtube_id", "time_start", "time_end")
EXPECTED = "path,label[,group][,split], or label,youtube_id,time_start,time_end[,split] as in Kinetics' lists"


def find_manifest(root) -> Path | None:
    """The manifest of a folder, None if there is none; or the one that is given itself, which may be missing."""
    path = Path(root)
    if path.suffix.lower() == ".csv":
        return path
    return path / MANIFEST if (path / MANIFEST).is_file() else None


def has_split(root) -> bool:
    """Whether there is a manifest that says which side each video is on."""
    path = find_manifest(root)
    return path is not None and "split" in next(read_rows(path))[1]


def read_rows(path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, {column: text}) of each line of a manifest; the first is that of the names.

    Raises FileNotFoundError, or ValueError for another encoding than UTF-8, for columns that are missing or named twice
    and for a line of another number of fields.
    """
    columns = None
    rows = csv.reader(_lines(path), strict=True)
    while True:
        try:
            row = [text.strip() for text in next(rows)]
        except StopIteration:
            break
        except csv.Error as error:
            raise ValueError(f"{path}: line {rows.line_num}: {error}; quotes are for whole fields") from error
        if not any(row):
            continue
        if columns is None:
            columns = [text.lower() for text in row]
            given = {"path"} & {*columns} or {*KINETICS} <= {*columns}
            if not given or "label" not in columns or len({*columns}) < len(columns):
                found = f"found columns {shown(','.join(row))}"
                raise ValueError(f"{path}: line {rows.line_num}: {found}, expected {EXPECTED}, with commas; correct it")
        elif len(row) != len(columns):
            found = f"found {len(row)} fields, expected {len(columns)}: {','.join(columns)}"
            raise ValueError(f"{path}: line {rows.line_num}: {found}; a field with a comma stands in quotes")
        yield rows.line_num, dict(zip(columns, row, strict=True))
    if columns is None:
        raise ValueError(f"{path}: an empty file, expected columns {EXPECTED}")


def _lines(path):
    """The lines of a text in UTF-8, one by one."""
    with open(check_file(path, "manifest"), "rb") as file:
        for n, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if n == 1 else "utf-8")
            except UnicodeDecodeError as error:
                found = f"found byte {line[error.start]:#04x}, expected text in UTF-8"
                raise ValueError(
                    f"{path}: line {n}: {found}; it may be in a Windows encoding (cp1252, UTF-16): save it as UTF-8"
                ) from error


def read_place(row: dict[str, str], folder: Path) -> tuple[str, str]:
    """Where the video in a row is and its group: a path below the folder, or a name without suffix as Kinetics' is.

    Raises ValueError that says what is wrong.
    """
    if "path" in row:
        path = PurePosixPath(row["path"])
        if path.is_absolute() and path.is_relative_to(folder.absolute().as_posix()):
            path = path.relative_to(folder.absolute().as_posix())
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(
                f"found path {row['path']!r}, expected one of a video below the folder of this file, {folder}; move "
                "the file to a folder above the videos, or make a link to their folder beside it"
            )
        return str(path), row.get("group") or group_of(shown(path))
    video, *times = (row[name] for name in KINETICS)
    if not re.fullmatch(r"[\w-]+", video) or not all(re.fullmatch(r"\d+(\.\d*)?", time) for time in times):
        raise ValueError(f"found {','.join([video, *times])}, expected a YouTube id and two numbers of seconds")
    return "{}_{:06d}_{:06d}".format(video, *(int(float(time)) for time in times)), row.get("group") or video


def list_manifest(root: Path, fold: int | None, skip: Collection[str], contents: list[Contents]) -> Split:
    """Fold 1, 2 or 3 of the videos in a manifest (ALL: all test), or the one split that its column `split` says.

    root: the folder, or a .csv file in it. skip: paths (Kinetics: names without suffix) of videos to leave out.
    contents: what `walk` finds in the folder. Raises FileNotFoundError for no manifest, ValueError that names the line
    of one that is not right.
    """
    path = find_manifest(root)
    if path is None:
        raise FileNotFoundError(f"{root}: no {MANIFEST} there; expected a list of videos with columns {EXPECTED}")
    rows = read_rows(path)
    _, columns = next(rows)
    lines, videos = {}, []  # lines: of the names; videos: with the part of the data set that each belongs to
    for line, row in rows:
        try:
            place, group = read_place(row, path.parent)
            if place in lines:
                raise ValueError(f"{shown(place)} is in line {lines[place]} already, expected each video once")
            if not row["label"]:
                raise ValueError(f"{shown(place)} has no label, expected the name of its class")
            part = PARTS.get(row.get("split", "train").lower())
            if part is None:
                raise ValueError(f"found split {row['split']!r}, expected train, val or test")
        except ValueError as error:
            raise ValueError(f"{path}: line {line}: {shown(error)}; correct it, or delete the line") from None
        lines[place] = line
        videos.append((part, Video(path.parent / place, shown(row["label"]), shown(place), shown(group))))
    classes = sorted({video.label for _, video in videos})
    if len(classes) < (1 if fold == ALL else 2):
        raise ValueError(f"{path}: found {len(videos)} videos of {len(classes)} classes, expected two classes or more")
    found = {} if "path" in columns else find_files(contents, lines)
    sides = {"train": [], "val": [], "test": []}
    for part, video in videos:
        where = video.path if "path" in columns else found.get(video.name, Path(f"{video.path}.*"))
        sides[part].append(video._replace(path=where, label=classes.index(video.label)))
    split = without(Split(classes, sides["train"], sides["test"] or sides["val"]), skip, f"in {path}")
    return split if "split" in columns else split_by_group(split.train, classes, fold)
