"""Checkpoints: everything that a run needs to go on, in one .npz file that holds no pickles.

    params/<key>, velocity/<key>   arrays
    about                          JSON text: all other fields of `Checkpoint`

It is written whole or not at all and ends in a checksum (data/files.py). Every random draw of a run comes from (seed,
epoch, step), so these three numbers are the whole state of its generators.
"""

import json
import sys
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from snippets.data.files import parse_json, read_npz, write_npz
from snippets.data.flow.tvl1 import TVL1
from snippets.data.open import DataSettings
from snippets.data.options import plain, renamed
from snippets.layers.device.xp import to_numpy, xp_of
from snippets.nets.zoo import HEADS, NetConfig, options_read
from snippets.training.settings import Settings

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
    content: list | None = None  # the training videos, see `videos_of`; None: of an older version, or imported

    def __post_init__(self):
        for name in {f.name for f in fields(self)} - {"params", "velocity"}:
            setattr(self, name, plain(getattr(self, name)))


def checkpoint_of(params, velocity, dataset, s, c):
    """The `Checkpoint` of a run at its start: `Settings` s, `Conduct` c."""
    about = dict(config=c.config or {}, settings=asdict(s), data=c.data or {}, classes=list(dataset.classes))
    return Checkpoint(params, velocity, **about, fold=c.fold, seed=s.seed, videos=len(dataset))


class CheckpointError(ValueError):
    """A file that is no usable checkpoint, or one that does not fit."""


def save(path, checkpoint):
    """Writes a `Checkpoint`, all or nothing: an OSError (a full disk, say) leaves the old file at `path` as it was."""
    about = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint) if f.name not in ("params", "velocity")}
    arrays = {"about": np.array(json.dumps({"format": FORMAT, **about}))}
    for part in ("params", "velocity"):
        arrays |= {f"{part}/{key}": to_numpy(a) for key, a in getattr(checkpoint, part).items()}
    write_npz(path, arrays)


def load(path):
    """Reads a `Checkpoint`. FileNotFoundError, or CheckpointError that says what the file is instead."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}: it is {'a folder' if path.is_dir() else 'not there'}")
    try:
        arrays = read_npz(path, required=("about",), optional=("params/*", "velocity/*"))
        about = parse_json(str(arrays.pop("about")), f"{path}, array 'about'", nan=True)
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not a checkpoint of this project: {str(error).removeprefix(f'{path}: ')}"
        ) from error
    if about.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a checkpoint that this version can read: its format is {about.get('format')!r}, expected "
            f"{FORMAT!r}"
        )
    params, velocity = (
        {name.removeprefix(part): a for name, a in arrays.items() if name.startswith(part)}
        for part in ("params/", "velocity/")
    )
    expected = {f.name: f.type for f in fields(Checkpoint) if f.name not in ("params", "velocity")}
    about.setdefault("content", None)
    missing = [name for name in expected if name not in about] + ([] if params else ["parameters"])
    if missing:
        raise CheckpointError(f"{path} is incomplete: it lacks {', '.join(sorted(missing))}")
    wrong = [name for name, kind in expected.items() if not isinstance(about[name], kind)]
    if wrong:
        raise CheckpointError(f"{path}: {wrong[0]} is {about[wrong[0]]!r}, expected {expected[wrong[0]]}")
    about["config"] = of_this_version(renamed(NetConfig, about["config"]))
    if about["data"].get("stream") == "flow":  # older versions wrote only what was no default; that of scales was 5
        try:
            about["data"]["tvl1"] = str(TVL1.parse(f"scales=5,{about['data'].get('tvl1', '')}"))
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from error
    if "stream" in about["data"]:  # and what `DataSettings` did not have when it was made
        about["data"] = asdict(DataSettings()) | about["data"]
    if "epochs" in about["settings"]:
        about["settings"] = asdict(Settings()) | about["settings"]
    return Checkpoint(params, velocity, **{name: about[name] for name in expected})


def of_this_version(config):
    """The config of a checkpoint with what `NetConfig` did not have when it was made.

    Before there was `dropout_mask`, each frame had a mask of its own.
    """
    head, tower = str(config.get("head")), config.get("tower")
    if head not in HEADS:
        return config
    new = {f.name: f.default for f in fields(NetConfig) if f.default is not MISSING}
    return new | {"dropout_mask": "frame" if "dropout_mask" in options_read(head, tower) else "clip"} | config


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
        want = json.loads(json.dumps(plain(want)))  # tuples become lists, as they did in the file
        if have != want:
            why = "; it has seen test videos of other folds" if name == "fold" and have is not None else ""
            raise CheckpointError(f"{what} was trained with {name} {_differing(have, want)}{why}")


def _differing(have, want):
    if isinstance(have, dict) and isinstance(want, dict):
        keys = [key for key in dict.fromkeys([*have, *want]) if have.get(key) != want.get(key)]
        have, want = ({key: d.get(key) for key in keys} for d in (have, want))
    return f"{have!r}, this run has {want!r}"


def videos_of(dataset):
    """The list of a data set; checksums are those of `dataset.checksum(i)`, 0 where it has none."""
    checksum = getattr(dataset, "checksum", lambda i: 0)
    labels = [np.flatnonzero(row).tolist() if np.ndim(row) else int(row) for row in dataset.labels]
    return [[name, labels[i], checksum(i)] for i, name in enumerate(dataset.names)]


def check_same_videos(checkpoint, content, path):
    """CheckpointError unless the run at `path` learned from the videos of the list `content`, which this one has."""
    if checkpoint.content is None:
        check_fits(checkpoint, str(path), videos=len(content))
        print(f"{path} is of an older version: that its {len(content)} videos were these is not known", file=sys.stderr)
    elif checkpoint.content != content:
        found = difference(checkpoint.content, content)
        raise CheckpointError(f"{path} was trained on other videos: {found}; resume it with its own, or start anew")


def seen_videos(content, tests):
    """Names of the test videos from which a run with this list has learned."""
    seen = {(name, checksum) for name, _, checksum in content or ()}
    return [name for name, _, checksum in videos_of(tests) if (name, checksum) in seen] if seen else []


def check_unseen_videos(content, tests, path):
    """CheckpointError if the run at `path` has learned from videos that are to test this one."""
    both = seen_videos(content, tests)
    if both:
        raise CheckpointError(
            f"{path} was trained on {len(both)} of this run's {len(tests)} test videos, the first {both[0]}: what it "
            "knows of them is no result; start from another network, or split the data as it was"
        )


def difference(old, new):
    """In what two lists differ, in words."""
    old_by, new_by = ({name: rest for name, *rest in some} for some in (old, new))
    both = [name for name in new_by if name in old_by]
    changes = {
        "new": [name for name in new_by if name not in old_by],
        "missing": [name for name in old_by if name not in new_by],
        "of another class": [name for name in both if old_by[name][0] != new_by[name][0]],
        "changed": [name for name in both if old_by[name][1] != new_by[name][1]],
    }
    changed = [f"{len(names)} {how} (the first: {names[0]})" for how, names in changes.items() if names]
    return f"{', '.join(changed)} of {len(old)}" if changed else f"another order of {len(old)}"
