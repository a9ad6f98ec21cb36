"""`snippets features`: what a tower makes of every video's frames, kept one by one in the cache, to train heads alone.

The tower is a model's or an untrained one; the videos are those of a data folder, of all its folds, or loose files. An
interrupted run goes on with the videos that are not there yet. --out also writes them into one file, for sets of
teaching size.
"""

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.data.features import save_features
from snippets.data.layouts.splits import ALL, Video, group_of, read_skip
from snippets.data.layouts.table import VideoFolder, is_data
from snippets.data.listing import shown
from snippets.data.lock import one_run
from snippets.data.open import DataSettings, DataSpec, check_room, fold_for, open_data, price_cache, unusable
from snippets.data.options import add_options, chosen
from snippets.data.video import VideoError
from snippets.layers.core.base import Sequential
from snippets.nets.frames import CHUNK, OverFrames
from snippets.nets.inspect.memory import check_memory, prediction_memory
from snippets.nets.zoo import NetConfig, build, build_tower, input_shape
from snippets.training.checkpoint import check_fits
from snippets.training.cli.files import Archive, Input
from snippets.training.cli.options import SEED, add_command, add_data, add_device, add_executor, executor
from snippets.training.model import Model, load_model, with_features
from snippets.training.parameters import move_to_device

COUNT = 25  # frames of every video in a file, where nobody says how many


def add_parsers(subparsers):
    """Adds the parser of `snippets features`."""
    p = add_command(subparsers, "features", run_features)
    p.add_argument("inputs", type=Input, nargs="+", metavar="INPUT", help="one data folder, or video files")
    p.add_argument("--out", type=Archive, help=f"also write a file of --count frames of each video (or {COUNT})")
    p.add_argument("--model", type=Input, metavar="CHECKPOINT", help="use its tower (default: an untrained one)")
    add_executor(p)
    group = add_options(p, NetConfig, "tower", only=("tower", "size", "width", "tap"), tower="googlenet")
    group.add_argument("--seed", **SEED, help="of the weights of an untrained one")
    add_data(p)
    add_options(p, DataSettings, "pixels", only=[f.name for f in fields(DataSettings) if f.name != "features"])
    add_device(p)


class Item(NamedTuple):
    """A video, and what the file of features says about it."""

    video: Video
    name: str
    label: int | np.ndarray  # counted from 1, as in classInd.txt; or multi-hot (K,)
    group: str
    is_test: bool


def run_features(args):
    """Compute the tower's features of frames, to train heads alone."""
    folder = len(args.inputs) == 1 and is_data(args.inputs[0])
    if not args.out and (args.cache is None or not folder):
        what = "features of video files" if args.cache else "features that no cache keeps"
        raise ValueError(f"{what} go into a file: add --out FILE.npz")
    with one_run(args.out, file=True):
        device = "cpu" if args.ray else args.device  # the tasks move it to theirs
        model = load_model(args.model, device=device) if args.model else untrained_model(args, device)
        spec = spec_of(args, model, folder)
        items, source, about = folder_items(args, spec) if folder else file_items(args, spec)
        videos, bad = [item.video for item in items], {}
        if not args.out:
            videos += others(spec, videos)
        if spec.cache is not None:
            how = executor(args, args.device)
            bad = source.fill(videos, how, check=lambda missing: price_cache(missing, source))
        if args.out:
            export(args.out, items, source, about, bad)
    print(shown(args.out or source.folder))
    if not bad:
        return 0
    print(
        "\n".join(f"error: {shown(wrong)}" for wrong in bad.values())
        + f"\n{len(bad)} of {len(videos)} videos are left out, for the reasons above; a skip list (--skip, check-data "
        "--write-skip) leaves them out without an error",
        file=sys.stderr,
    )
    return 1


def untrained_model(args, device):
    """A model that is a tower with random weights, as the options say. ValueError if it does not fit into memory."""
    print("no --model: the tower's weights are random", file=sys.stderr)
    config = NetConfig(classes=1, tower=args.tower, head="lstm", size=args.size, width=args.width, tap=args.tap)
    check_memory("the tower", prediction_memory(build(config, seed=None), input_shape(config, 1, CHUNK)))
    tower = OverFrames(build_tower(config, np.random.default_rng(args.seed))[0])
    data = DataSettings(**chosen(args, DataSettings))
    return Model(move_to_device(Sequential(tower=tower), device), config, data, None)


def spec_of(args, model, folder):
    """The `DataSpec` of features by this model. ValueError for a fold other than the model's own, in a file."""
    count = args.count or (COUNT if args.out else None)
    settings = DataSettings(**chosen(args, DataSettings) | {"count": count}, features="raw")
    path, fold = (args.inputs[0], None) if folder else (".", None)
    if folder:
        own = model.checkpoint.fold if args.model else None
        fold = fold_for(path, args.fold or own)
        if args.out and own is not None:
            check_fits(model.checkpoint, args.model, fold=fold)
    settings = replace(settings, stored_tap=args.tap) if args.model else settings
    return with_features(DataSpec(path, args.size, settings, fold, args.cache, args.skip, args.available), model)


def folder_items(args, spec):
    """An `Item` for each video of a data folder, the source of features, and more arguments for `save_features`."""
    T = None if spec.settings.count else 1
    sets = open_data(spec, T, build=False, check=lambda *sets: check_price(args, sets[0].stored.source, sets))
    multi_hot = any(dataset.labels.ndim == 2 for dataset in sets)
    items = [
        Item(video, video.name, label if multi_hot else label + 1, video.group, dataset is sets[1])
        for dataset in sets
        for video, label in zip(dataset.stored.videos, dataset.labels, strict=True)
    ]
    return items, sets[0].stored.source, {"fold": spec.fold, "classes": sets[0].classes}


def file_items(args, spec):
    """An `Item` for each video file, whose folder is its class; else as `folder_items`."""
    paths, source = [Path(path) for path in args.inputs], spec.source()
    check_price(args, source, [paths])
    classes = [shown(path.parent.resolve().name) for path in paths]
    numbers = {name: number for number, name in enumerate(sorted(set(classes)), start=1)}
    names = [f"{name}/{shown(path.name)}" for name, path in zip(classes, paths, strict=True)]
    videos = [Video(path, 0, shown(path.resolve()), "") for path in paths]
    return (
        [Item(v, name, numbers[k], group_of(name), False) for v, name, k in zip(videos, names, classes, strict=True)],
        source,
        {},
    )


def others(spec, videos):
    """The videos of a data folder that other folds have besides these: in published lists they may have some."""
    folder, skip = VideoFolder(spec.path), read_skip(spec.skip) if spec.skip else ()
    if not folder.layout.official:
        return []
    known = {video.name for video in videos}
    return [video for video in folder.load(ALL, skip, spec.available).test if video.name not in known]


def check_price(args, source, sets):
    """ValueError or OSError unless there is memory and room on the disk for a file of all videos' features."""
    if args.out:
        (D,), V = source.shape, sum(map(len, sets))
        what, size = f"a file of {V} x {source.spread} x {D} features", source.dtype.itemsize * V * source.spread * D
        check_memory(what, 2 * size)
        check_room(args.out, size, what, "take a smaller --count")


def export(out, items, source, about, bad):
    """Write the features of the videos into one file; `bad` gets what is wrong with those that cannot be read."""
    done, feat = [], []
    for item in items:
        if item.video.name not in bad:
            try:
                feat.append(source.frames(item.video)[:])
                done.append(item)
            except (VideoError, FileNotFoundError) as error:
                bad[item.video.name] = str(error)
    if not done:
        raise unusable(bad, len(items))
    said = {key: [getattr(item, key) for item in done] for key in ("label", "is_test", "name", "group")}
    save_features(out, np.stack(feat), **said, **about)
