"""The commands that make and check data: `snippets make-data`, `check-data`, `flow` and `flow-error`."""

from dataclasses import replace

import numpy as np

from snippets.data.decoder import Decoder
from snippets.data.features import load_features
from snippets.data.flow.tvl1 import TVL1
from snippets.data.layouts.splits import read_skip
from snippets.data.layouts.survey import balance, check_dataset
from snippets.data.layouts.table import is_data
from snippets.data.mini.make import make_mini
from snippets.data.open import DataSettings, DataSpec, fold_for, is_features, open_data, settings_for
from snippets.data.options import add_options, chosen
from snippets.training.bench.flow_truth import FAR, WITH_FLOW, measured, methods, own_pair, painted, table
from snippets.training.cli.files import Film, Input, SkipList
from snippets.training.cli.options import COUNT, SEED, add_command, add_device, add_executor, executor
from snippets.training.parameters import use_device
from snippets.training.render.flow import render_flow


def add_parsers(subparsers):
    """Adds the parsers of these commands."""
    p = add_command(subparsers, "make-data", run_make_data)
    p.add_argument("root", help="a new or empty folder")
    p.add_argument("--seed", **SEED, help="of everything drawn")
    p.add_argument("--groups", type=int, default=12, help="groups per class; a third of them are a fold's test set")
    p.add_argument("--clips", type=int, default=2, help="clips per group")
    p.add_argument("--frames", **COUNT, default=24, help="frames per clip, at 25 per second")
    p.add_argument("--side", type=int, default=64, help="pixels")

    p = add_command(subparsers, "check-data", run_check_data)
    p.add_argument("data", type=Input, help="folder or manifest (.csv) of videos, or features.npz")
    p.add_argument("--write-skip", type=SkipList, metavar="FILE", help="write a list of the damaged and missing videos")
    p.add_argument("--skip", type=Input, metavar="FILE", help="list of videos that are known to be bad")
    p.add_argument("--frames", **COUNT, default=30, help="shorter videos are counted as short")
    add_executor(p)
    add_options(p, DataSettings, "videos", only=("fps", "picture_fps", "seconds"))

    p = add_command(subparsers, "flow", run_flow)
    p.add_argument("data", type=Input, help="folder or manifest of videos, as for train; or one video, with --render")
    p.add_argument("--render", type=Film, metavar="FILE", help="write frames and flow of the video to this file")
    p.add_argument("--size", **COUNT, default=220, help="side of the crops; flow images are larger: 256 pixels for 220")
    p.add_argument("--cache", default="runs/cache", help="folder for the flow images")
    p.add_argument("--skip", type=Input, metavar="FILE", help="list of videos to skip, one per line")
    add_executor(p)
    add_options(p, DataSettings, "flow", only=("fps", "picture_fps", "flow_fps", "bound", "tvl1"))
    add_device(p)

    p = add_command(subparsers, "flow-error", run_flow_error)
    p.add_argument("files", type=Input, nargs="*", metavar="FILE", help="two pictures and a .flo or KITTI .png")
    p.add_argument("--against", choices=WITH_FLOW, nargs="+", default=[], help="peers to measure beside ours")
    p.add_argument("--seeds", **COUNT, default=3, help="painted pairs of each kind of motion")
    add_options(p, DataSettings, "flow", only=("tvl1",))


def run_make_data(args):
    """Render the mini data set: a small UCF-101 look-alike."""
    root = make_mini(args.root, args.seed, args.groups, args.clips, args.frames, args.side)
    print(f"{root}: {len(list(root.glob('*/*.avi')))} clips; lists in {root / 'ucfTrainTestlist'}")


def run_check_data(args):
    """Decode every video and report what is wrong with a data set."""
    if is_features(args.data):
        train_set, test_set = load_features(args.data)  # refuses what is not right
        T, D = train_set.frames, train_set.dim
        print(f"{args.data}: {len(train_set)} training and {len(test_set)} test videos, {T} frames of {D} features")
        labels = [row for part in (train_set, test_set) for row in part.labels]
        labels = [tuple(np.flatnonzero(row)) if np.ndim(row) else int(row) for row in labels]
        print(f"classes   {balance(labels, train_set.classes)}\nnothing is wrong")
        return 0
    settings = settings_for(args.data, DataSettings(**chosen(args, DataSettings)))
    skip = read_skip(args.skip) if args.skip else ()
    source = Decoder(fps=settings.fps, limit=settings.limit, picture_fps=settings.picture_fps)
    survey = check_dataset(args.data, source, args.frames, skip, executor(args))
    print(survey)
    if args.write_skip:
        survey.write_skip(args.write_skip)
        print(f"{args.write_skip}: {len(survey.unusable)} videos to skip")
    return 1 if survey.wrong else 0


def run_flow(args):
    """Compute optical flow: into the cache for a folder, or a picture or film of one video."""
    data = settings_for(args.data, DataSettings(stream="flow", **chosen(args, DataSettings)))
    if is_data(args.data):
        if args.render:
            raise ValueError(f"{args.data} is a data set, but --render shows the flow of one video")
        xp, fold = use_device("cpu" if args.ray else args.device), fold_for(args.data)
        spec = DataSpec(args.data, args.size, data, fold, args.cache, args.skip, xp=xp)
        spec = replace(spec, executor=executor(args, args.device))
        print(open_data(spec, 1)[0].source.folder)
    elif args.render:
        source = DataSpec(args.data, args.size, data, cache=None, xp=use_device(args.device)).source()
        print(render_flow(args.data, source, args.render))
    else:
        raise ValueError(f"{args.data}: expected a folder or a manifest of videos, or --render and one video")


def run_flow_error(args):
    """How far TV-L1 flow is from the truth: on painted pairs of frames, or on two pictures and a file of true flow."""
    by = methods(TVL1.parse(args.tvl1 or ""), args.against)
    if args.files and len(args.files) != 3:
        raise ValueError(f"{len(args.files)} files, expected two pictures and a file of true flow, or none")
    found = {args.files[2]: measured([own_pair(*args.files)], by)} if args.files else painted(by, args.seeds)
    print(f"mean end-point error in pixels (more than {FAR:g} off; mean where a pixel leaves or is covered)")
    print(table(found))
