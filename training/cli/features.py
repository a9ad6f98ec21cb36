"""`snippets features`: what a tower makes of every video's frames, in one file, to train heads alone."""

import math
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np

from snippets.data.features import save_features
from snippets.data.files import checksum
from snippets.data.listing import shown
from snippets.data.lock import one_run
from snippets.data.open import DataSettings, DataSpec, check_room, fold_for, open_data, settings_for
from snippets.data.options import add_options, chosen
from snippets.data.partial import Partial
from snippets.data.video import VideoError
from snippets.nets.frames import CHUNK, OverFrames
from snippets.nets.inspect.memory import afford, prediction
from snippets.nets.zoo import TOWERS, NetConfig, build, build_tower, input_shape
from snippets.training.checkpoint import check_fits
from snippets.training.cli.files import Archive, Input
from snippets.training.cli.options import COUNT, SEED, add_command, add_data, add_device
from snippets.training.cli.predict import video_set
from snippets.training.device import move
from snippets.training.distributed.ranks import in_words
from snippets.training.model import frame_features, load_model


def add_parsers(subparsers):
    """Adds the parser of `snippets features`."""
    p = add_command(subparsers, "features", run_features)
    p.add_argument("inputs", type=Input, nargs="+", metavar="INPUT", help="one data folder, or video files")
    p.add_argument("--out", type=Archive, default="features.npz", help="file to write")
    p.add_argument(
        "--model", type=Input, metavar="CHECKPOINT", help="whose tower to use (default: an untrained one, as below)"
    )
    p.add_argument("--count", **COUNT, default=25, help="frames per video, evenly spaced")
    p.add_argument(
        "--tower", choices=[t for t in TOWERS if t != "features"], default="googlenet", help="untrained tower"
    )
    p.add_argument("--seed", **SEED, help="of its weights")
    add_options(p, NetConfig, "size of an untrained tower", only=("size", "width"))
    add_data(p)
    add_options(p, DataSettings, "pixels", only=[f.name for f in fields(DataSettings) if f.name != "features"])
    add_device(p)


def run_features(args):
    """Compute the tower's features of frames, to train heads alone."""
    with one_run(args.out, file=True):
        return compute_features(args)


def price_features(config, count, out):
    """A check of `open_data`: whether there is memory and room for `count` frames' features of each video."""

    def check(*sets):
        D, V = math.prod(build_tower(config, None)[1]), sum(map(len, sets))
        what, size = f"a file of {V} x {count} x {D} features", 4 * V * count * D
        afford(what, 2 * size)
        check_room(out, size, what, "take a smaller --count")

    return check


def compute_features(args):
    """Read, compute and write; returns the exit status, 1 if some videos could not be read."""
    if args.model:
        model = load_model(args.model, device=args.device)
        config, data, net = model.config, model.data, model.net
        if not isinstance(net.layers.get("tower"), OverFrames):
            raise ValueError(f"{args.model} has no tower that sees single frames: it reads features itself, or clips")
        tower = net.layers["tower"]
    else:
        print("no --model: the tower's weights are random", file=sys.stderr)
        config = NetConfig(classes=1, tower=args.tower, head="lstm", size=args.size, width=args.width)
        afford("the tower", prediction(build(config, seed=None), input_shape(config, 1, CHUNK)))
        data, tower = (
            settings_for(args.inputs[0], DataSettings(**chosen(args, DataSettings))),
            move(OverFrames(build_tower(config, np.random.default_rng(args.seed))[0]), args.device),
        )
    fold, classes, price = None, None, price_features(config, args.count, args.out)
    if len(args.inputs) == 1 and Path(args.inputs[0]).is_dir():
        folder = args.inputs[0]
        fold = fold_for(folder, args.fold or (model.checkpoint.fold if args.model else None))
        if args.model and model.checkpoint.fold is not None:
            check_fits(model.checkpoint, args.model, fold=fold)
        spec = DataSpec(folder, config.size, data, fold, args.cache, args.skip, args.available)
        sides = open_data(spec, 1, build=False, check=price)
        parts = [side for side in sides if len(side)]
        names = [name for part in parts for name in part.names]
        label = np.concatenate([part.labels for part in parts])
        if label.ndim == 2:
            classes = parts[0].classes
        else:
            label = label + 1  # counted from 1, as in classInd.txt
        is_test = np.concatenate([np.full(len(part), part is sides[1]) for part in parts])
    else:
        parts = [video_set(args.inputs, 1, config.size, data)]
        price(*parts)
        names = [
            shown(f"{v.path.parent.resolve().name}/{v.path.name}") for v in parts[0].videos
        ]  # its folder is its class
        folders = sorted({name.split("/")[0] for name in names})
        label = np.array([folders.index(name.split("/")[0]) + 1 for name in names])
        is_test = np.zeros(len(names), bool)
    weights = args.seed
    if args.model:
        with open(args.model, "rb") as file:
            weights = checksum(file)
    partial, feat, bad = Partial(args.out, (args.count, config, data, args.device, weights)), [], []
    for part in parts:
        for i, video in enumerate(part.videos):
            done = partial.read(video)
            if done is None:
                try:
                    clip, count = part.spread(i, args.count), part.count(i)
                except (VideoError, OSError) as error:
                    print(f"error: {in_words(error)}", file=sys.stderr)
                    bad.append(len(feat) + len(bad))
                    continue
                done = {"feat": frame_features(tower, clip), "count": np.array(count)}
                partial.write(video, done)
            feat.append(done["feat"])
            name, count = names[len(feat) + len(bad) - 1], done["count"]
            print(f"{name}: {count} frames, {args.count} x {feat[-1].shape[1]} features")
    if not feat:
        raise ValueError("none of the videos could be read; nothing was written")
    keep = np.delete(np.arange(len(names)), bad)
    save_features(
        args.out, np.stack(feat), label[keep], is_test[keep], np.array(names)[keep], classes=classes, fold=fold
    )
    partial.remove()
    print(shown(args.out))
    if bad:
        left = f"{len(bad)} of {len(names)} videos are left out, for the reasons above"
        print(
            f"{left}; a skip list (--skip, check-data --write-skip) leaves them out without an error", file=sys.stderr
        )
    return 1 if bad else 0
