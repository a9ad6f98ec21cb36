"""`snippets features`: what a tower makes of every video's frames, in one file, to train heads alone.

The tower is a model's or an untrained one; the videos are those of a data folder or loose files. What an interrupted
run has computed is kept beside --out until that is written.
"""

import math
import sys
import zlib
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.data.features import save_features
from snippets.data.layouts.splits import group_of
from snippets.data.layouts.table import is_data
from snippets.data.listing import shown
from snippets.data.loader import ClipSet
from snippets.data.lock import one_run
from snippets.data.open import DataSettings, DataSpec, check_room, fold_for, open_data, settings_for
from snippets.data.options import add_options, chosen
from snippets.data.partial import Partial
from snippets.data.video import VideoError
from snippets.layers.core.base import Sequential
from snippets.nets.frames import CHUNK, OverFrames
from snippets.nets.inspect.memory import check_memory, prediction_memory
from snippets.nets.zoo import NetConfig, build, build_tower, input_shape
from snippets.training.checkpoint import check_fits
from snippets.training.cli.errors import in_words
from snippets.training.cli.files import Archive, Input
from snippets.training.cli.options import COUNT, SEED, add_command, add_data, add_device
from snippets.training.cli.predict import video_set
from snippets.training.model import Model, frame_features, load_model
from snippets.training.parameters import move_to_device


def add_parsers(subparsers):
    """Adds the parser of `snippets features`."""
    p = add_command(subparsers, "features", run_features)
    p.add_argument("inputs", type=Input, nargs="+", metavar="INPUT", help="one data folder, or video files")
    p.add_argument("--out", type=Archive, default="features.npz", help="file to write")
    p.add_argument("--model", type=Input, metavar="CHECKPOINT", help="use its tower (default: an untrained one)")
    p.add_argument("--count", **COUNT, default=25, help="frames per video, evenly spaced")
    group = add_options(p, NetConfig, "untrained tower", only=("tower", "size", "width"), tower="googlenet")
    group.add_argument("--seed", **SEED, help="seed of its weights")
    add_data(p)
    add_options(p, DataSettings, "pixels", only=[f.name for f in fields(DataSettings) if f.name != "features"])
    add_device(p)


class Item(NamedTuple):
    """A video, row i of a data set, and what the file of features says about it."""

    dataset: ClipSet
    i: int
    name: str
    label: int | np.ndarray  # counted from 1, as in classInd.txt; or multi-hot (K,)
    group: str
    is_test: bool


def run_features(args):
    """Compute the tower's features of frames, to train heads alone."""
    with one_run(args.out, file=True):
        model = trained_model(args) if args.model else untrained_model(args)
        folder = len(args.inputs) == 1 and is_data(args.inputs[0])
        items, about = folder_items(args, model) if folder else file_items(args, model)
        weights = zlib.crc32(Path(args.model).read_bytes()) if args.model else args.seed
        partial = Partial(args.out, (args.count, model.config, model.data, args.device, weights))
        done, feat = [], []
        for item in items:
            try:
                feat.append(features_of(item, model.net.layers["tower"], args.count, partial))
                done.append(item)
            except (VideoError, OSError) as error:
                print(f"error: {in_words(error)}", file=sys.stderr)
        if not done:
            raise ValueError("none of the videos could be read; nothing was written")
        said = {key: [getattr(item, key) for item in done] for key in ("label", "is_test", "name", "group")}
        save_features(args.out, np.stack(feat), **said, **about)
        partial.remove()
    print(shown(args.out))
    if len(done) == len(items):
        return 0
    print(
        f"{len(items) - len(done)} of {len(items)} videos are left out, for the reasons above; a skip list (--skip, "
        "check-data --write-skip) leaves them out without an error",
        file=sys.stderr,
    )
    return 1


def trained_model(args):
    """The model at --model. ValueError for one without a tower that sees single frames."""
    model = load_model(args.model, device=args.device)
    if not isinstance(model.net.layers.get("tower"), OverFrames):
        raise ValueError(f"{args.model} has no tower that sees single frames: it reads features itself, or clips")
    return model


def untrained_model(args):
    """A model that is a tower with random weights, as the options say. ValueError if it does not fit into memory."""
    print("no --model: the tower's weights are random", file=sys.stderr)
    config = NetConfig(classes=1, tower=args.tower, head="lstm", size=args.size, width=args.width)
    check_memory("the tower", prediction_memory(build(config, seed=None), input_shape(config, 1, CHUNK)))
    data = settings_for(args.inputs[0], DataSettings(**chosen(args, DataSettings)))
    tower = OverFrames(build_tower(config, np.random.default_rng(args.seed))[0])
    return Model(move_to_device(Sequential(tower=tower), args.device), config, data, None)


def folder_items(args, model):
    """An `Item` for each video of a data folder, and more arguments for `save_features`: its fold, and its classes.

    ValueError for a fold other than the model's own.
    """
    own = model.checkpoint.fold if args.model else None
    fold = fold_for(args.inputs[0], args.fold or own)
    if own is not None:
        check_fits(model.checkpoint, args.model, fold=fold)
    spec = DataSpec(args.inputs[0], model.config.size, model.data, fold, args.cache, args.skip, args.available)
    sets = open_data(spec, 1, build=False, check=lambda *sets: check_price(args, model, sets))
    multi_hot = any(dataset.labels.ndim == 2 for dataset in sets)
    items = [
        Item(dataset, i, dataset.names[i], label if multi_hot else label + 1, dataset.groups[i], dataset is sets[1])
        for dataset in sets
        for i, label in enumerate(dataset.labels)
    ]
    return items, {"fold": fold, "classes": sets[0].classes}


def file_items(args, model):
    """An `Item` for each video file, whose folder is its class; and no more arguments, see `folder_items`."""
    dataset = video_set(args.inputs, 1, model.config.size, model.data)
    check_price(args, model, [dataset])
    classes = [shown(video.path.parent.resolve().name) for video in dataset.videos]
    numbers = {name: number for number, name in enumerate(sorted(set(classes)), start=1)}
    names = [f"{name}/{shown(video.path.name)}" for name, video in zip(classes, dataset.videos, strict=True)]
    return [Item(dataset, i, names[i], numbers[classes[i]], group_of(names[i]), False) for i in range(len(names))], {}


def check_price(args, model, sets):
    """ValueError or OSError unless there is memory and room on the disk for the features of all videos."""
    D, V = math.prod(build_tower(model.config, None)[1]), sum(map(len, sets))
    what, size = f"a file of {V} x {args.count} x {D} features", 4 * V * args.count * D
    check_memory(what, 2 * size)
    check_room(args.out, size, what, "take a smaller --count")


def features_of(item, tower, count, partial):
    """Features (count, D) of a video, computed now or by an interrupted run. VideoError, OSError: it cannot be read."""
    video = item.dataset.videos[item.i]
    done = partial.read(video)
    if done is None:
        clip = item.dataset.spread(item.i, count)
        done = {"feat": frame_features(tower, clip), "count": np.array(item.dataset.count(item.i))}
        partial.write(video, done)
    print(f"{item.name}: {done['count']} frames, {count} x {done['feat'].shape[1]} features")
    return done["feat"]
