"""Files: written whole or not at all, and checked when they are read. The whole program writes its files here.

Writing. A file is written under a temporary name in the same folder, forced to disk, and replaces the old one in one
step. While it is written it is locked; a lock ends with its process, even by a power cut, so a temporary file without a
lock was left by a run that died, and is deleted before the next file is written beside it.

Reading. An .npz file that was written here ends in a checksum of all bytes before it, in the comment that a zip file
may have, so that NumPy reads it as usual and no changed bit goes unnoticed:

    zip file of .npy files, up to the two bytes with the comment's length | "snippets crc32 " | 8 hexadecimal digits

Files without a comment were made elsewhere, or by an older version. They are read with the same checks, but only the
checksums that a zip file has for each array protect them.
"""

import contextlib
import errno
import fnmatch
import functools
import json
import math
import os
import secrets
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.lib import format as npy

from snippets.data.lock import fcntl, lock

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MARK = b"snippets crc32 "
PLAIN = "biufcSU"  # kinds of NumPy's types: numbers and text
LARGE, RATIO = 1 << 28, 500  # larger arrays than this, and more than so many times their file, are a zip bomb


@contextlib.contextmanager
def replacing(path):
    """A binary file to write in; at the end it replaces path in one step, after an error it is deleted.

    Missing folders are made. A full disk is an OSError that names path; what was at path before is unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent.resolve())
    temporary = path.parent / f".snippets-{secrets.token_hex(4)}.tmp"
    try:
        with _new(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows does not rename it else
            os.replace(temporary, path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        kept = "what was there is unharmed" if path.exists() else "nothing was written"
        raise OSError(error.errno, f"disk full while writing ({kept}; make room and run again)", str(path)) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def write(path, content, keep=True):
    """Write a file whole: bytes, text (as UTF-8), or what the function content(file) writes.

    keep: on a full disk the file goes to the folder for temporary files or to the home folder, and the OSError that
    follows says where it is.
    """
    if not callable(content):
        data = content.encode() if isinstance(content, str) else content
        return write(path, lambda file: file.write(data), keep)
    try:
        with replacing(path) as file:
            content(file)
    except OSError as error:
        if error.errno not in FULL or not keep:
            raise
        for folder in (tempfile.gettempdir(), os.path.expanduser("~")):
            kept = Path(folder, f"snippets-kept-{secrets.token_hex(4)}{Path(path).suffix}")
            with contextlib.suppress(OSError):
                with replacing(kept) as file:
                    content(file)
                advice = f"the disk is full; the file is kept as {kept}: make room and move it to its place"
                break
        else:
            raise
        raise OSError(error.errno, advice, str(path)) from error


def write_json(path, value):
    """Write a value as JSON; numbers that are not finite become null, as JSON has no word for them."""
    write(path, json.dumps(finite(value), indent=1) + "\n")


def write_figure(path, figure, **options):
    """Write a Matplotlib figure in the format that the suffix names; options: those of savefig."""
    write(path, lambda file: figure.savefig(file, format=Path(path).suffix[1:] or "png", **options))


def write_npz(path, arrays, compress=False, keep=True):
    """Write a dict of arrays as an .npz file that ends in a checksum. ValueError for an array of Python objects."""
    arrays = {name: np.asanyarray(a) for name, a in arrays.items()}
    for name, a in arrays.items():
        if a.dtype.kind not in PLAIN:
            raise ValueError(f"{path}: array {name!r} is of {a.dtype}, expected numbers or text")

    def content(file):
        archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
        try:
            for name, a in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array(member, a, allow_pickle=False)
            archive.close()
        except BaseException:  # a member that Ctrl-C left open is closed later, in silence and into nothing
            archive.fp = SimpleNamespace(**dict.fromkeys(("tell", "seek", "write", "flush"), lambda *_: 0))
            archive.close = lambda: None
            raise
        file.seek(-2, os.SEEK_END)
        file.write((len(MARK) + 8).to_bytes(2, "little") + MARK)
        file.seek(0)
        file.write(b"%08x" % checksum(file))

    write(path, content, keep)


def read_npz(path, required=(), optional=(), only=None):
    """Arrays by name from an .npz file. FileNotFoundError, or ValueError that names the file and what is wrong.

    required, optional: patterns (as of file names) of the names that must, or may, be there; any other name is an
    error. only: the names to read among them. Nothing is unpickled, and nothing unpacked before its size is known.
    """
    path = check_file(path, "file of arrays (.npz)")
    with open(path, "rb") as file:
        with guarded(f"{path}: not an .npz file of plain arrays, or damaged"):
            count, archive = check_end(file), zipfile.ZipFile(file)
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            size = sum(info.file_size for info in members.values())
            if not len(members) == len(archive.infolist()) == count:
                raise ValueError(f"its table of contents has {len(members)} different names, expected {count}")
            if size > max(LARGE, RATIO * os.fstat(file.fileno()).st_size):
                raise ValueError(f"it would unpack to {size / 1e9:.1f} GB, over {RATIO} times its size")
        missing = [name for name in required if name not in members]
        more = [name for name in members if not any(fnmatch.fnmatchcase(name, p) for p in (*required, *optional))]
        if missing or more:
            wrong = f"no array {missing[0]!r}" if missing else f"an unknown array {more[0]!r}"
            known = ", ".join((*required, *optional))
            raise ValueError(f"{path}: {wrong}, found {sorted(members)[:20]}; expected {known}")
        with guarded(f"{path}: not an .npz file of plain arrays, or damaged"):
            return {name: _array(archive, info) for name, info in members.items() if only is None or name in only}


def check_file(path, kind):
    """The path, if there is a file; else FileNotFoundError. kind: what file is expected, "video file" for instance."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: " + (f"a folder, expected a {kind}" if path.is_dir() else f"no such {kind}"))
    return path


def read_json(path):
    """The dict in a JSON file. FileNotFoundError, or ValueError that names the file and what is wrong."""
    return parse_json(Path(path).read_bytes(), path)


def parse_json(text, where, nan=False):
    """The dict that JSON (str, or UTF-8 bytes) holds; nan: accept numbers that are not finite.

    Raises ValueError that begins with `where` for anything else.
    """
    with guarded(f"{where}: not JSON, or damaged"):
        value = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
        if not isinstance(value, dict):
            raise ValueError(f"{type(value).__name__} found, expected names and values in braces")
        if not nan and finite(value) != value:
            raise ValueError("it holds a number that is not finite")
    return value


def finite(value):
    """A value for JSON with null in place of every number that is not finite."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def guarded(what):
    """Turns any error of a reader of damaged files into one ValueError: `what` and the reason."""
    try:
        yield
    except Exception as error:  # zipfile, zlib, tokenize, struct, json and NumPy have no error in common
        raise ValueError(f"{what} ({error or type(error).__name__})") from error


def checksum(file, length=sys.maxsize, value=0):
    """CRC-32 of the next `length` bytes of an open file, or of all that are left, going on from `value`."""
    while block := file.read(min(length, 1 << 20)):
        value, length = zlib.crc32(block, value), length - len(block)
    return value


def check_end(file):
    """How many members an open zip file has by its last record, of 22 bytes and the comment.

    Raises ValueError unless it ends in its own checksum, or in no comment at all; see above.
    """
    size, comment = file.seek(0, os.SEEK_END), len(MARK) + 8
    file.seek(max(0, size - comment - 22))
    end = file.read()
    if end[-comment:-8] == MARK:
        file.seek(0)
        if b"%08x" % checksum(file, size - 8) != end[-8:]:
            raise ValueError("some of its bytes have changed: its checksum differs; restore it or make it again")
        end = end[:-comment]
    elif end[-22:-18] != b"PK\5\6" or end[-2:] != b"\0\0":
        file.seek(0)
        cut = file.read(2) == b"PK"  # the table of contents stands at the end, so a cut file still begins like a zip
        raise ValueError("it is cut short (an incomplete copy?)" if cut else "it is no zip file")
    return int.from_bytes(end[-12:-10], "little")


def _array(archive, info):
    """An array of an open zip file, whose header must fit the size of its member before anything is unpacked."""
    with archive.open(info) as member:
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(member)]
        shape, _, dtype = read(member)
        if dtype.kind not in PLAIN:
            raise ValueError(f"{info.filename} holds more than plain arrays: {dtype}")
        if member.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"{info.filename} does not have the size of {dtype} {shape}")
    with archive.open(info) as member:
        array = npy.read_array(member, allow_pickle=False)
        member.read()  # to its end, where zipfile compares the checksum
    return array


def _new(path):
    """A new file, open and locked, where files can be locked while they are written."""
    while True:
        try:
            file = open(path, "x+b")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path.parent)) from error
        with contextlib.suppress(OSError):  # a file system without locks
            if fcntl:  # Windows does not delete a file that somebody has open
                lock(file, wait=True)
        if path.exists():  # not swept away between its making and its lock
            return file
        file.close()


@functools.cache  # once a command, see training/cli/main.py
def sweep(folder):
    """Delete the temporary files of dead runs in a folder."""
    for path in Path(folder).glob(".snippets-*.tmp"):
        with contextlib.suppress(OSError):
            if fcntl is None:
                path.unlink()
                continue
            with open(path, "r+b") as file:
                if lock(file):
                    path.unlink()
