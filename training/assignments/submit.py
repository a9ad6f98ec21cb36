"""The zip that a student hands in, and reading one."""

import ast
import hashlib
import io
import zipfile
from pathlib import Path, PurePosixPath

from snippets.data.files import write
from snippets.training.assignments.cut import Kernel, body_of, functions_of
from snippets.training.assignments.worker import wrong_syntax

LIMIT = 1 << 20  # bytes of one file


def write_zip(path, members, executable=()):
    """Write {name: bytes} as a zip file, the same bytes every time; names in `executable` may be run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o755 if name in executable else 0o644) << 16
            archive.writestr(info, members[name], zipfile.ZIP_DEFLATED)
    write(path, buffer.getvalue())


def unwritten(text, functions, file):
    """The functions among these whose body is still the stub. ValueError for one that is missing, or wrong syntax."""
    try:
        nodes = functions_of(text, functions, file)
    except SyntaxError as error:
        error.filename = file
        raise ValueError(wrong_syntax(error)) from error
    return [
        name
        for name, node in zip(functions, nodes, strict=True)
        if "raise NotImplementedError" in (node.text if isinstance(node, Kernel) else ast.unparse(body_of(node)))
    ]


def submit(assignment, tree, out, partial=False):
    """Write the files to hand in as a zip to `out`; returns its path.

    ValueError for a missing file or function, wrong syntax, and, unless `partial`, for a question not answered.
    """
    members, empty = {}, []
    for question in assignment.questions:
        path = Path(tree) / question.file
        if not path.is_file():
            raise ValueError(f"{question.file} is missing in {tree}; it answers {question.title}")
        members[question.file] = path.read_bytes()
        empty += unwritten(members[question.file].decode(), question.functions, question.file) and [question.title]
    if empty and not partial:
        raise ValueError(f"not written yet: {', '.join(empty)}; --partial hands in what there is")
    write_zip(out, members)
    return Path(out)


def unpack(submission, files, tree):
    """Put the files of a submission, a folder or a zip, into a tree; returns {file: sha256}.

    A file may stand in its folder, below another one, or alone (Gradescope flattens what is dropped file by file).
    ValueError if one is missing.
    """
    submission = Path(submission)
    if submission.is_dir():
        found = {
            path.relative_to(submission).as_posix(): path
            for path in submission.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        members = {name: path.read_bytes for name, path in found.items() if path.stat().st_size <= LIMIT}
        return place(members, files, tree, submission)
    try:
        with zipfile.ZipFile(submission) as archive:
            sound = [info for info in archive.infolist() if not info.is_dir() and info.file_size <= LIMIT]
            names = [info.filename.replace("\\", "/") for info in sound]  # as some programs on Windows write them
            members = {name: lambda info=info: archive.read(info) for name, info in zip(names, sound, strict=True)}
            return place(members, files, tree, submission)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{submission}: no zip file ({error}), expected a folder or what `submit` writes") from error


def place(members, files, tree, submission):
    """Write the wanted files among {name: function that reads it} into the tree; returns {file: sha256}."""
    hashes = {}
    for file in files:
        ends = [name for name in members if name == file or name.endswith("/" + file)]
        ends = ends or [name for name in members if PurePosixPath(name).name == PurePosixPath(file).name]
        if not ends:
            raise ValueError(f"{submission}: {file} is missing, found {', '.join(sorted(members)[:20]) or 'nothing'}")
        content = members[min(ends, key=len)]()
        write(Path(tree) / file, content)
        hashes[file] = hashlib.sha256(content).hexdigest()
    return hashes
