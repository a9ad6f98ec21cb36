"""Checkpoints: everything that a run needs to go on, in one .npz file that holds no pickles.

    params/<key>, velocity/<key>   arrays
    about                          JSON text: all other fields of `Checkpoint`

Saving writes a temporary file in the same folder, forces it to disk and only then renames it over the old one, so
that a full disk or a power cut leaves the old checkpoint as it was. Every random draw of a run comes from (seed,
epoch, step), so these three numbers are the whole state of its generators.
"""

import json
import os
import zipfile
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from layers.xp import xp_of

FORMAT = "snippets checkpoint 1"


@dataclass
class Checkpoint:
    """A run at rest. `params` and `velocity` are dicts key -> array; everything else must be writable as JSON."""

    params: dict
    velocity: dict = field(default_factory=dict)
    config: dict = field(default_factory=dict)  # the net: asdict(NetConfig)
    settings: dict = field(default_factory=dict)  # the training: asdict(Settings)
    data: dict = field(default_factory=dict)  # the data settings: mean, scale, frame rate, size …
    classes: list = field(default_factory=list)
    fold: int | None = None  # number of the official split that it was trained on, None = has no folds
    seed: int = 0
    videos: int = 0  # in the training set
    epoch: int = 0  # epochs finished
    step: int = 0  # batches done in the epoch that is under way
    steps: int = 0  # updates done in all
    partial: dict = field(default_factory=dict)  # sums of the epoch under way
    history: list = field(default_factory=list)  # one record per finished epoch


class CheckpointError(ValueError):
    """A file that is no usable checkpoint, or one that does not fit."""


def save(path, checkpoint):
    """Writes a `Checkpoint`, all or nothing: an OSError (a full disk, say) leaves the old file at `path` as it was."""
    path = Path(path)
    about = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint) if f.name not in ("params", "velocity")}
    arrays = {"about": np.array(json.dumps({"format": FORMAT, **about}))}
    for part in ("params", "velocity"):
        arrays |= {f"{part}/{key}": to_numpy(a) for key, a in getattr(checkpoint, part).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        kept = "the checkpoint already there is unharmed" if path.exists() else "no checkpoint was written"
        raise OSError(error.errno, f"cannot save {path} ({error.strerror or error}); {kept}") from error
    finally:
        temporary.unlink(missing_ok=True)  # gone already unless something went wrong


def load(path):
    """Reads a `Checkpoint`. FileNotFoundError, or CheckpointError that says what the file is instead."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}: it is {'a folder' if path.is_dir() else 'not there'}")
    if not zipfile.is_zipfile(path):
        # A zip's table of contents stands at its end, so a truncated file still begins like one.
        with path.open("rb") as file:
            cut = file.read(2) == b"PK"
        found = "cut short (an incomplete copy?)" if cut else "not an .npz file"
        raise CheckpointError(f"{path} is not a checkpoint of this project: it is {found}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}  # reading checks every array's checksum
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError) as error:
        raise CheckpointError(f"{path} is damaged or holds more than plain arrays ({error}): restore it") from error
    try:
        about = json.loads(str(arrays.pop("about")))
        wrong = None if about.pop("format") == FORMAT else "its format is of another version"
    except (KeyError, AttributeError, json.JSONDecodeError):
        wrong = "it has no description (array 'about')"
    if wrong:
        raise CheckpointError(f"{path} is not a checkpoint that this version can read: {wrong}, expected {FORMAT!r}")
    missing = sorted({f.name for f in fields(Checkpoint)} - {"params", "velocity"} - set(about))
    parts = {part: {} for part in ("params", "velocity")}
    for name, a in arrays.items():
        part, _, key = name.partition("/")
        if part not in parts:
            raise CheckpointError(f"{path} holds an unknown array {name!r}, expected params/… and velocity/… only")
        parts[part][key] = a
    if missing or not parts["params"]:
        raise CheckpointError(f"{path} is incomplete: it lacks {', '.join(missing) or 'parameters'}")
    known = {f.name for f in fields(Checkpoint)}
    return Checkpoint(**parts, **{key: value for key, value in about.items() if key in known})


def load_into(params, arrays, what="checkpoint"):
    """Copies the dict `arrays` into `params` in place; CheckpointError lists the first keys or shapes that differ."""
    ours, theirs = ({key: a.shape for key, a in d.items()} for d in (params, arrays))
    wrong = [
        f"{key}: {theirs.get(key, 'absent')} there, {ours.get(key, 'absent')} here"
        for key in dict.fromkeys([*ours, *theirs])
        if ours.get(key) != theirs.get(key)
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(f"the {what} is of another architecture; {'; '.join(wrong[:5])}{more}")
    for key, a in params.items():
        a[...] = xp_of(a).asarray(arrays[key])


def check_fits(checkpoint, what="the checkpoint", **expected):
    """Refuses a checkpoint whose fields differ from those given: check_fits(c, fold=1, classes=[…], data={…}).

    A model of split 1 has seen the test videos of splits 2 and 3, so another fold is an error and not a warning.
    """
    for name, want in expected.items():
        have = getattr(checkpoint, name)
        want = json.loads(json.dumps(want))  # tuples become lists, as they did in the file
        if have != want:
            why = "; it has seen test videos of other folds" if name == "fold" and have is not None else ""
            raise CheckpointError(f"{what} was trained with {name} {_differing(have, want)}{why}")


def to_numpy(a):
    """The array on the host: a CuPy array is copied, a NumPy array returned as it is."""
    return a if isinstance(a, np.ndarray) else a.get() if hasattr(a, "get") else np.asarray(a)


def _differing(have, want):
    if isinstance(have, dict) and isinstance(want, dict):
        keys = [key for key in dict.fromkeys([*have, *want]) if have.get(key) != want.get(key)]
        have, want = ({key: d.get(key) for key in keys} for d in (have, want))
    return f"{have!r}, this run has {want!r}"
