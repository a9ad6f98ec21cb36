"""Options that are files. What a command writes is checked before any work: never over what it reads, and writable.

`Input` and the kinds of `Output` are argparse types. An option's value is a str, and its class says what it stands for.
"""

import contextlib
import errno
import itertools
import os
import tempfile
from pathlib import Path

PICTURES = (".png", ".jpg", ".jpeg", ".pdf", ".svg", ".webp", ".tif", ".tiff", ".eps")


class Input(str):
    """A file or folder that the command reads; "{fold}" in its name stands for the number of every fold."""


class Output(str):
    """A file that the command writes."""

    endings = ()  # that its name may have; none: any
    begins = b""  # the first bytes of a file that may be replaced, or a tuple of several


def kind(*endings, begins=b""):
    """The class of an `Output` whose name has one of these endings, and that only replaces a file that begins so."""
    return type("Output", (Output,), {"endings": endings, "begins": begins})


Archive = kind(".npz", begins=b"PK")  # a checkpoint, features or predictions
Picture = kind(*PICTURES)
Film = kind(".mp4", ".avi", *PICTURES)
Json = kind(begins=b"{")
Html = kind(".html", begins=b"<!doctype html>")
Table = kind(".csv", ".json", begins=(b"video,", b"{"))  # class probabilities of videos
Predicted = kind(".npz", ".csv", ".json", begins=(b"PK", b"video,", b"{"))
SkipList = kind(begins=b"#")


class Folder(Output):
    """A folder that the command writes to."""

    products = ()  # files in it that may be another command's input


class RunFolder(Folder):
    """The folder of a training run."""

    products = ("checkpoint.npz", "best.npz", "log.jsonl", "predictions.npz")


def check_outputs(args):
    """Raises ValueError or OSError that names the option, if what it asks for cannot or must not be written."""
    given = [
        (name, value) for name, some in vars(args).items() for value in (some if isinstance(some, list) else [some])
    ]
    inputs = [
        path.replace("{fold}", str(fold))
        for _, path in given
        if isinstance(path, Input)
        for fold in ((1, 2, 3) if "{fold}" in path else (1,))
    ]
    for name, value in given:
        if isinstance(value, Output):
            option = f"--{name.replace('_', '-')}"
            for file, read in itertools.product(files_of(option, value), inputs):
                if same(file, read):
                    raise ValueError(
                        f"{option} {value} would overwrite {read}, which this command reads; choose another"
                    )
            try_writing(Path(value, "file") if isinstance(value, Folder) else Path(value))


def files_of(option, output):
    """Paths that an `Output` may write. ValueError unless it may: it is of the right kind, and replaces no other."""
    path = Path(output)
    if isinstance(output, Folder):
        if path.exists() and not path.is_dir():
            raise ValueError(f"{option} {path}: this is a file, expected a folder")
        return [path / place / product for place in ("", "fold1", "fold2", "fold3") for product in output.products]
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder, expected the name of a file to write")
    if path.exists() and not path.is_file():
        raise ValueError(f"{option} {path} is no ordinary file, expected the name of a file to write")
    if output.endings and path.suffix.lower() not in output.endings:
        raise ValueError(f"{option} {path}: expected a name that ends in {', '.join(output.endings)}")
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as file:
            if not file.read(16).startswith(output.begins):
                raise ValueError(f"{option} {path} exists, and this command writes no such file; choose another name")
    return [path]


def try_writing(path):
    """Raises OSError that names a folder unless a file can be made at path, or in the nearest folder above it."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(path)  # a name may be too long
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"not a folder, so {path} cannot be written", str(folder))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be written there: {error.strerror}", str(folder)) from error


def writable(folder):
    """The folder, once it is known that files can be made in it; errors as `try_writing`."""
    try_writing(Path(folder, "file"))
    return folder


def same(a, b):
    """Whether two paths lead to the same file."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return os.path.realpath(a) == os.path.realpath(b)
