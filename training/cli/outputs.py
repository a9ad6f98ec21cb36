"""What commands write, looked at before any work: never over what they read, and only where something can be written.

INPUTS and OUTPUTS name the options of all commands that stand for files; a test finds those that are in neither.
"""

import contextlib
import errno
import itertools
import os
import tempfile
from pathlib import Path

INPUTS = (
    "model", "data", "videos", "inputs", "files", "svm", "features", "weights", "init", "labels", "skip", "clips",
    "pretrained",
)  # fmt: skip
PICTURES = (".png", ".jpg", ".jpeg", ".pdf", ".svg", ".webp", ".tif", ".tiff", ".eps")
OUTPUTS = {  # option: endings that the name may have (none: any), and how a file that may be replaced begins
    "out": ((".npz",), b"PK"),
    "save": ((".npz",), b"PK"),
    "render": ((".mp4", ".avi", *PICTURES), b""),
    "draw": (PICTURES, b""),
    "json": ((), b"{"),
    "write_skip": ((), b"#"),
}


def check_outputs(args, products=None):
    """Raises ValueError or OSError that names the option, if what it asks for cannot or must not be written.

    products: the files that the command leaves in --out, where that is a folder; None: --out is a file.
    """
    given = [value for name in INPUTS for value in as_list(getattr(args, name, None)) if isinstance(value, str)]
    inputs = [path.replace("{fold}", str(fold)) for path in given for fold in ((1, 2, 3) if "{fold}" in path else (1,))]
    for name, (endings, begins) in OUTPUTS.items():
        value, option = getattr(args, name, None), f"--{name.replace('_', '-')}"
        folder = name == "out" and products is not None
        if value is None and not (folder and hasattr(args, name)):
            continue
        path = Path(value or "runs")
        if folder:
            if path.exists() and not path.is_dir():
                raise ValueError(f"{option} {path}: this is a file, expected a folder")
            files = [path / place / product for place in ("", "fold1", "fold2", "fold3") for product in products]
        else:
            check_file(option, path, endings, begins)
            files = [path]
        for file, read in itertools.product(files, inputs):
            if same(file, read):
                raise ValueError(f"{option} {value} would overwrite {read}, which this command reads; choose another")
        try_writing(path / "file" if folder else path)


def check_file(option, path, endings, begins):
    """Raises ValueError unless a file may be written at path, of this kind, and replace none of another kind."""
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder, expected the name of a file to write")
    if path.exists() and not path.is_file():
        raise ValueError(f"{option} {path} is no ordinary file, expected the name of a file to write")
    if endings and path.suffix.lower() not in endings:
        raise ValueError(f"{option} {path}: expected a name that ends in {', '.join(endings)}")
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as file:
            if file.read(len(begins)) != begins:
                raise ValueError(f"{option} {path} exists, and this command writes no such file; choose another name")


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


def same(a, b):
    """Whether two paths are of one file, by whatever names and links."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return os.path.realpath(a) == os.path.realpath(b)


def as_list(value):
    return value if isinstance(value, list) else [value]
