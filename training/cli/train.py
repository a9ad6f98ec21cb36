"""The commands that make networks: `snippets train` and `snippets expand`."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from snippets.data.augment import Views
from snippets.data.listing import shown
from snippets.data.lock import one_run
from snippets.data.open import DataSettings, DataSpec, fold_for, has_folds, is_features, open_data, settings_for
from snippets.data.options import add_options, chosen
from snippets.nets.expand import expand
from snippets.nets.inspect.memory import GIB, allowed_memory, bytes_of, plan_memory
from snippets.nets.zoo import NetConfig, build, input_shape, network_config
from snippets.training.alone import ALONE
from snippets.training.checkpoint import check_unseen_videos, save
from snippets.training.cli.errors import report
from snippets.training.cli.files import Archive, Input, RunFolder, writable
from snippets.training.cli.options import (
    COUNT,
    WORKERS,
    add_command,
    add_data,
    add_device,
    add_features_of,
    lr_groups,
    number,
)
from snippets.training.distributed.downpour import Downpour
from snippets.training.distributed.ranks import ranks
from snippets.training.distributed.ray_engine import downpour
from snippets.training.distributed.ray_session import check_address
from snippets.training.distributed.ray_tasks import RayTasks
from snippets.training.evaluate import evaluate, evaluate_whole
from snippets.training.loop import train
from snippets.training.model import features_of, inherit, load_model, start_from
from snippets.training.parameters import GPU_CHUNK, move_to_device
from snippets.training.predictions import Predictions, load_predictions, save_predictions
from snippets.training.settings import Settings
from snippets.training.sgd import multiplier
from snippets.training.small.crossval import Plan
from snippets.training.small.heads import check_small, train_heads
from snippets.training.small.presets import PRESETS, keep_options
from snippets.training.small.standardise import standardise_inputs
from snippets.training.small.tune import Candidates, tuned_once

FEW = 1000  # training videos; UCF-101 has ten times as many, and a network of its own still overfits


def add_parsers(subparsers):
    """Adds the parsers of these commands."""
    p = add_command(subparsers, "train", run_train)
    p.add_argument("data", type=Input, help="folder of videos, or features.npz; see docs/data.md")
    p.add_argument("--out", type=RunFolder, help="folder for checkpoint, log and predictions (default: runs/HEAD)")
    p.add_argument("--preset", metavar="NAME", help=PRESETS)
    p.add_argument("--weights", type=Input, metavar="FILE", help="with --heads: trained weights, see docs/weights.md")
    p.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    p.add_argument("--init", type=Input, metavar="CHECKPOINT", help="start from it; {fold}: the number of the fold")
    add_options(p, NetConfig, None, only=("head", "tower", "frames", "size"), frames=None)
    add_options(p, DataSettings, None, only=("fps",))
    add_options(p, Settings, None, only=("epochs", "batch", "lr", "seed"))
    add_device(p, ray="decode videos, and compute their features, by Ray")
    add_features_of(p)
    group = add_data(p, fold_or_all, "official split, 1 to 3; 'all': one network for each, and their mean (default: 1)")
    group.add_argument("--workers", **WORKERS, help="threads that prepare clips ahead")
    add_options(p, DataSettings, "more about pixels")
    add_options(p, NetConfig, "more about the network")
    group = add_options(p, Settings, "more about training")
    group.add_argument("--freeze", metavar="PREFIX", nargs="*", default=[], help="parameters not to train, e.g. tower/")
    group.add_argument(
        "--lr-group", metavar="PREFIX=FACTOR", nargs="*", default=[],
        help="factors on the learning rate of parameters, e.g. tower/=0.1; the longest prefix counts",
    )  # fmt: skip
    group.add_argument("--views", **COUNT, default=1, help="clips per test video in the final evaluation")
    group.add_argument("--whole", action="store_true", help="there, each video in one pass instead of views")
    group.add_argument("--evaluate-every", **COUNT, default=1, help="epochs between evaluations")
    group.add_argument(
        "--memory", **number(float, above=0, most=1e9), metavar="GIB", help="limit (default: 80 %% of what is free)"
    )
    group = add_options(p, Candidates, "small data sets")
    add_options(group, Plan, None)
    group = add_options(p, Downpour, "Downpour SGD (needs Ray; for synchronous ranks start with mpiexec instead)")
    group.add_argument("--downpour", action="store_true", help="train with the replicas and shards below")
    group.add_argument("--address", metavar="HEAD:PORT", help="of a Ray cluster (default: this machine alone)")

    p = add_command(subparsers, "expand", run_expand)
    p.add_argument("model", type=Input, help="checkpoint.npz")
    add_options(p, NetConfig, "network", only=("head", "frames"))
    p.add_argument("--out", type=Archive, required=True, metavar="CHECKPOINT", help="file to write")


def fold_or_all(text):
    """1, 2, 3, or "all" of them."""
    return text if text == "all" else int(text)


def clip_frames(args):
    """Frames per clip: --frames, else 30 (1 for a single frame), and None, all, where every video has as many."""
    alone = 1 if args.head == "single" else None
    return args.frames or alone or args.count or (None if is_features(args.data) else 30)


def spec_for(args, fold):
    """The `DataSpec` that the options ask for, with this fold (None: the data set's own)."""
    settings, of = DataSettings(**chosen(args, DataSettings)), args.features_of
    settings = replace(settings, stored_tap=args.tap) if of else settings_for(args.data, settings)
    fold = fold_for(args.data, fold)
    spec = DataSpec(args.data, args.size, settings, fold, args.cache, args.skip, args.available)
    spec = features_of(spec, of, "cpu" if args.ray else args.device) if of else spec
    return replace(spec, executor=RayTasks(args.ray, args.device if of else "cpu")) if args.ray else spec


def fit_memory(config, shape, settings, workers=0, gib=None, processes=1, more=0):
    """The MemoryPlan with which training steps fit into `gib` GiB, or into a part of what is free.

    It is printed. Nothing is built for it, so it comes before all work. ValueError if none fits. processes: how many
    share the memory, each with a net of its own; more: bytes that each of them takes besides, as a multiple of those of
    the parameters.
    """
    net, allowed = build(config, seed=None), allowed_memory(gib)
    trained = [key for key in net.params if multiplier(key, settings.groups) > 0]
    own = allowed and allowed / processes - more * bytes_of(net.params.values())
    try:
        found = plan_memory(net, shape, own, trained, ahead=shape[0] + workers if workers else 0)
    except ValueError as error:
        raise ValueError(f"{error} (each of {processes} processes)" if processes > 1 else str(error)) from None
    print(f"{found}" + (f"; {own / GIB:.2f} GiB are allowed" if allowed else ""))
    return found


def config_for(args, dataset):
    """The config of the network that the options and the data set ask for."""
    own = {"frames": dataset.frames, "classes": len(dataset.classes)}
    if dim := getattr(dataset, "dim", None):
        own |= {"tower": "features", "features": dim} | ({"tap": "auto"} if args.features_of else {})
    return network_config(args, **own)


def new_net(args, spec, train_set, test_set):
    """A network for these data, of a `DataSpec`, with the parameters of --init where that is given; and its config."""
    config = config_for(args, train_set)
    net = build(config, args.seed)
    if args.init:
        path = args.init.replace("{fold}", str(spec.fold))
        print(start_from(path, net, config, spec.settings, spec.fold, train_set, test_set))
    standardise_inputs(net, train_set)
    return net, config


def check_classes(path, train_set, test_set):
    """ValueError for a data set from which nothing can be learned or on which nothing can be tested."""
    if len(test_set) == 0:
        raise ValueError(f"{path}: no test videos; expected some, for every run ends with a test")
    labels = np.asarray(train_set.labels)
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(train_set.classes))
    empty = [name for name, count in zip(train_set.classes, counts, strict=True) if count == 0]
    known = len(counts) - len(empty)
    if known < 2:
        raise ValueError(f"{path}: {len(train_set)} training videos of {known} classes, expected two classes or more")
    if empty:
        names = ", ".join(map(shown, empty[:5]))
        print(f"{path}: no training videos of {len(empty)} classes, which cannot be learned: {names}")


def run_train(args):
    """Train a network on a folder of videos or a file of features."""
    if args.downpour and args.address:
        check_address(args.address)
    with ranks(report) as team:
        inherit(args, team)
        out = Path(writable(args.out or f"runs/{'heads' if args.heads else args.head}"))
        if args.fold == "all" and team.size > 1:
            raise ValueError("--fold all runs on one rank: leave out mpiexec, or train one fold after the other")
        if args.fold == "all" and not has_folds(args.data):
            raise ValueError(f"{args.data} has one split and no folds: leave out --fold all")
        check_small(args, team)
        with one_run(None if team.rank else out):
            if args.preset and team.rank == 0:
                keep_options(out, args.preset, args)
            if args.heads:
                train_heads(args, out)
            elif args.fold == "all":
                train_all_folds(args, out)
            else:
                print(train_fold(args, args.fold, out, args.resume, team))
                print(shown(out / "checkpoint.npz"))


def train_fold(args, fold, out, resume, team=ALONE):
    """Train one network, or continue to, and test it; the `Result`, which is also written to out/predictions.npz."""
    if args.downpour and team.size > 1:
        raise ValueError("--downpour starts its replicas itself: leave out mpiexec, or leave out --downpour")
    if args.downpour and args.device != "cpu":
        raise ValueError(f"--downpour computes on CPUs, --device is {args.device}: leave one of them out")
    settings = Settings(**chosen(args, Settings), groups=lr_groups(args.lr_group, args.freeze))
    spec = spec_for(args, fold)
    train_set, test_set, plan = data_in_turn(args, spec, settings, team)
    if spec.features:
        check_unseen_videos(spec.features.model.checkpoint.content, test_set, args.features_of)
    if len(train_set) < FEW and not (args.init or is_features(args.data) or args.features_of or team.rank):
        print(
            f"note: {len(train_set)} videos are few for a tower that begins with nothing; with trained weights "
            f"(docs/weights.md): snippets train {shown(args.data)} --preset features --weights FILE"
        )
    candidates, kept = Candidates(**chosen(args, Candidates)), out if resume else None
    settings = tuned_once(settings, candidates, kept, lambda some: new_net(args, spec, some, test_set)[0], train_set)
    net, config = new_net(args, spec, train_set, test_set)
    if plan:
        plan.apply(net)
    if settings.groups and team.rank == 0:
        rates = [f"{key} {factor * settings.lr:g}" for key, factor in settings.groups.items()]
        print(f"learning rates: {', '.join(rates)}, all else {settings.lr:g}")
    device = f"cuda:{team.host.rank}" if team.size > 1 and args.device == "cuda" else args.device  # one per rank
    net = move_to_device(net, device)
    how = dict(folder=out, resume=resume, config=asdict(config), fold=spec.fold, data=asdict(spec.settings))
    if args.downpour:
        done = downpour(net, train_set, settings, Downpour(**chosen(args, Downpour)), address=args.address, **how)
        print(f"staleness: {', '.join(f'{k}: {n}' for k, n in sorted(done['staleness'].items()))}")
        print(f"replicas waited for shards for {100 * done['waiting']:.0f} % of their time")
        history = done["history"]
    else:
        how |= dict(test=test_set, evaluate_every=args.evaluate_every, workers=args.workers, ranks=team)
        history = train(net, train_set, settings, **how)
    steps, views = history[-1]["steps"] if history else 0, 0 if args.whole else args.views
    about = {"mode": settings.inference, "views": views, "steps": steps}
    file = out / "predictions.npz"
    if resume and file.exists() and team.size == 1:
        old = load_predictions(file)
        if {name: getattr(old, name) for name in about} == about and old.result.names == test_set.names:
            return old.result
    if args.whole:
        result = evaluate_whole(net, test_set, settings.inference, config.head == "single")
    else:
        views = Views(args.views, settings.view_starts)
        result = evaluate(net, test_set, views, args.batch, settings.inference, ranks=team)
    if team.rank == 0:
        save_predictions(file, Predictions(result, spec.fold, **about))
    return result


def data_in_turn(args, spec, settings, team):
    """Training set, test set and the plan for the memory of a step (None on a GPU), on every rank.

    The first rank fills the cache, then the others find it full. ValueError for data that cannot be learned from, or a
    step that does not fit into memory, before anything is decoded.
    """
    plan = None

    def check(train_set, test_set):
        nonlocal plan
        check_classes(args.data, train_set, test_set)
        config = config_for(args, train_set)
        if args.device != "cpu":
            print(f"on a GPU: {GPU_CHUNK} frames at a time; the memory that takes is not predicted, see docs/gpu.md")
            return
        shape = input_shape(config, -(-min(settings.batch, len(train_set)) // team.size))
        processes = args.replicas if args.downpour and not args.address else team.host.size  # on this machine
        plan = fit_memory(config, shape, settings, args.workers, args.memory, processes)

    for turn in range(min(2, team.size)):
        if turn == (team.rank > 0):
            train_set, test_set = open_data(spec, clip_frames(args), check=check)
        team.same(None)
    return train_set, test_set, plan


def train_all_folds(args, out):
    """Train and test a network for each fold, in a folder of its own; prints each `Result` and the mean over folds.

    --resume: a finished fold is only reported, an interrupted one is continued.
    """
    folders = {fold: out / f"fold{fold}" for fold in (1, 2, 3)}
    begun = [fold for fold, folder in folders.items() if (folder / "checkpoint.npz").exists()]
    if begun and not args.resume:
        raise FileExistsError(f"{folders[begun[0]]} holds a run: continue it with --resume, or choose another folder")
    results = []
    for fold, folder in folders.items():
        print(f"fold {fold} of {len(folders)}: {folder}")
        results.append(train_fold(args, fold, folder, fold in begun))
    for fold, result in zip(folders, results, strict=True):
        print(f"fold {fold}: {result}")
    hit1, hit5, clip1, clip5 = np.mean([[r.hit1, r.hit5, r.clip_hit1, r.clip_hit5] for r in results], axis=0)
    words = results[0].accuracies
    clips = "" if args.whole else f"; clip {words(clip1, clip5)}"
    print(f"mean of {len(folders)} folds: video {words(hit1, hit5)}{clips}")


def run_expand(args):
    """Copy a trained network into one that joins more frames."""
    model, out = load_model(args.model), Path(args.out)
    if out.exists():
        raise FileExistsError(f"{out} exists: choose another file for the expanded network")
    config = replace(model.config, head=args.head, frames=args.frames, auxiliary=0.0)  # those train from scratch
    net = build(config)
    expand(net, model.checkpoint.params)
    fresh = dict(velocity={}, epoch=0, step=0, steps=0, partial={}, history=[])
    save(out, replace(model.checkpoint, params=net.params, config=asdict(config), **fresh))
    print(f"{len(net.params)} arrays copied, none new: {out} has head {config.head} and {config.frames} frames")
