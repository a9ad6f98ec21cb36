"""What the commands of the command line do; `training.cli` says which options they take."""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from data.augment import centre_crop, cut
from data.features import load_features, save_features
from data.loader import ClipSet
from data.mini import make_mini
from data.splits import Video, read_skip
from data.survey import balance, look_at
from data.video import VideoError
from layers.xp import on_gpu
from nets.draw import draw
from nets.expand import expand, warm_start
from nets.frames import OverFrames
from nets.memory import GIB, available_memory, plan
from nets.options import chosen
from nets.stream import stream
from nets.summary import table
from nets.zoo import NetConfig, build, build_tower, input_shape
from training.bench import bench
from training.checkpoint import check_fits, load, save, to_numpy
from training.claims import claims
from training.compare import compare
from training.demo import demo
from training.device import CHUNK, move, use
from training.doctor import doctor
from training.downpour import Downpour
from training.evaluate import evaluate, evaluate_whole
from training.flow_picture import render_flow
from training.folds import all_folds
from training.fusion import fuse
from training.loop import Settings, train
from training.model import check_kind, check_start, frame_features, load_model, predict_clips
from training.predictions import SIDES, Predictions, load_predictions, save_predictions
from training.ray_engine import downpour
from training.render import render
from training.sgd import multiplier
from training.sources import DataSettings, fold_for, has_folds, is_features, open_data, open_source, settings_for
from training.sync import ALONE, ranks
from training.tables import parse_numbers, tables


def cache_of(args):
    return None if args.cache == "none" else args.cache


def fit_memory(net, shape, settings, workers, gib=None):
    """Sets the net's tower so that a training step fits into `gib` GiB, or 80 % of what is available, and says how."""
    if gib is not None and not gib > 0:
        raise ValueError(f"--memory is {gib:g}, expected a positive number of GiB")
    if on_gpu(next(iter(net.params.values()))):
        print(f"on a GPU: {CHUNK} frames at a time; how much memory that takes is not foretold, see docs/gpu.md")
        return
    available = available_memory()
    allowed = gib * GIB if gib is not None else available and 0.8 * available
    trained = [key for key in net.params if multiplier(key, settings.groups) > 0]
    found = plan(net, shape, allowed, trained, ahead=shape[0] + workers if workers else 0)
    print(f"{found.apply(net)}" + (f"; {allowed / GIB:.2f} GiB are allowed" if allowed else ""))


def lr_groups(factors, frozen):
    """Key prefix -> factor on the learning rate, from --lr-group PREFIX=FACTOR ... and --freeze PREFIX ..."""
    groups = {}
    for text in factors:
        prefix, _, factor = text.rpartition("=")
        try:
            groups[prefix] = float(factor)
        except ValueError:
            prefix = ""
        if not prefix:
            raise ValueError(f"--lr-group {text}: expected PREFIX=FACTOR, for example tower/=0.1")
    return groups | dict.fromkeys(frozen, 0.0)


def new_net(args, dataset):
    """The network that the options and the data set ask for, and its config."""
    options = chosen(args, NetConfig) | {"frames": dataset.frames, "classes": len(dataset.classes)}
    if is_features(args.data):
        options |= {"tower": "features", "features": dataset.feat.shape[2]}
    config = NetConfig(**options)
    return build(config, args.seed), config


def run_train(args):
    out = Path(args.out or f"runs/{args.head}")
    if args.fold != "all":
        with ranks() as team:
            print(train_fold(args, args.fold, out, args.resume, team))
        print(f"{out / 'checkpoint.npz'}")
    elif has_folds(args.data):
        with ranks() as team:
            if team.size > 1:
                raise ValueError("--fold all runs on one rank: leave out mpiexec, or train one fold after the other")
        all_folds(lambda fold, folder, resume: train_fold(args, fold, folder, resume), out, args.resume)
    else:
        raise ValueError(f"{args.data} has one split and no folds: leave out --fold all")


def train_fold(args, fold, out, resume, team=ALONE):
    """Train one network, or go on with it, and test it; the `Result`, which is also written to out/predictions.npz."""
    data, fold = settings_for(args.data, DataSettings(**chosen(args, DataSettings))), fold_for(args.data, fold)
    features = is_features(args.data)
    frames = args.frames if args.frames else (None if features else 30)
    for turn in range(min(2, team.size)):  # the first rank fills the cache, then the others find it full
        if turn == (team.rank > 0):
            train_set, test_set = open_data(
                args.data, frames, args.size, data, fold, cache_of(args), args.skip, available=args.available
            )
        team.same(None)
    if len(test_set) == 0:
        raise ValueError(f"{args.data}: no test videos; expected some, for every run ends with a test")
    net, config = new_net(args, train_set)
    device = f"cuda:{team.host.rank}" if team.size > 1 and args.device == "cuda" else args.device  # one a rank
    net = move(net, device)
    settings = Settings(**chosen(args, Settings), groups=lr_groups(args.lr_group, args.freeze))
    if args.init:
        init = args.init.replace("{fold}", str(fold))
        source = load(init)
        check_start(source, init, config, data, fold)
        params = source.params
        if source.classes != list(train_set.classes):  # as many classes, perhaps, but not these
            params = {key: a for key, a in params.items() if not key.startswith("scores/")}
        copied, new = warm_start(net, params)
        print(f"{len(copied)} arrays from {init}; new: {', '.join(new) or 'none'}")
    shape = input_shape(config, -(-min(settings.batch, len(train_set)) // team.size))
    fit_memory(net, shape, settings, args.workers, args.memory)
    how = dict(folder=out, resume=resume, config=asdict(config), fold=fold, data=asdict(data))
    if args.downpour:
        if team.size > 1:
            raise ValueError("--downpour starts its replicas itself: leave out mpiexec, or leave out --downpour")
        if args.device != "cpu":
            raise ValueError(f"--downpour computes on CPUs, --device is {args.device}: leave one of them out")
        done = downpour(net, train_set, settings, Downpour(**chosen(args, Downpour)), address=args.address, **how)
        print(f"staleness: {', '.join(f'{k}: {n}' for k, n in sorted(done['staleness'].items()))}")
        history = done["history"]
    else:
        how |= dict(test=test_set, evaluate_every=args.evaluate_every, workers=args.workers, ranks=team)
        history = train(net, train_set, settings, **how)
    about = {"mode": settings.inference, "views": args.views, "steps": history[-1]["steps"] if history else 0}
    file = out / "predictions.npz"
    if resume and file.exists() and team.size == 1:
        old = load_predictions(file)
        if {name: getattr(old, name) for name in about} == about and old.result.names == test_set.names:
            return old.result
    result = evaluate(
        net, test_set, views=args.views, batch=args.batch, mode=settings.inference, progress=True, ranks=team
    )
    if team.rank == 0:
        save_predictions(file, Predictions(result, fold, **about))
    return result


def run_expand(args):
    model, out = load_model(args.model), Path(args.out)
    if out.exists():
        raise FileExistsError(f"{out} exists: choose another file for the expanded network")
    config = replace(model.config, head=args.head, frames=args.frames, auxiliary=0.0)  # those train from scratch
    net = build(config)
    expand(net, model.checkpoint.params)
    fresh = dict(velocity={}, epoch=0, step=0, steps=0, partial={}, history=[])
    save(out, replace(model.checkpoint, params=net.params, config=asdict(config), **fresh))
    print(f"{len(net.params)} arrays copied, none new: {out} has head {config.head} and {config.frames} frames")


def run_evaluate(args):
    model = load_model(args.model, device=args.device)
    check_kind(model, args.model, args.data)
    fold, mode = fold_for(args.data, args.fold or model.checkpoint.fold), args.mode or model.mode
    if model.checkpoint.fold is not None:
        check_fits(model.checkpoint, args.model, fold=fold)
    sets = open_data(
        args.data, model.config.frames, model.config.size, model.data, fold, cache_of(args), args.skip,
        available=args.available,
    )  # fmt: skip
    videos = sets[SIDES.index(args.side)]
    check_fits(model.checkpoint, args.model, classes=list(videos.classes))
    if args.whole:
        result = evaluate_whole(model.net, videos, mode, progress=True)
    else:
        result = evaluate(model.net, videos, args.views, args.batch, mode, progress=True)
    for name, accuracy in zip(result.classes, result.per_class, strict=True):
        print(f"{100 * accuracy:6.1f} %  {name}")
    print(result if args.side == "test" else f"on the training videos: {result}")
    if args.save:
        views = 0 if args.whole else args.views
        save_predictions(args.save, Predictions(result, fold, args.side, mode, views, model.checkpoint.steps))
        print(args.save)


def run_fuse(args):
    fuse(args.files, args.weights, args.svm, args.svm_c, args.save)


def run_check_data(args):
    if is_features(args.data):
        train_set, test_set = load_features(args.data)  # refuses what is not right
        _, T, D = train_set.feat.shape
        print(f"{args.data}: {len(train_set)} training and {len(test_set)} test videos, {T} frames of {D} features")
        labels = [row for part in (train_set, test_set) for row in part.labels]
        labels = [tuple(np.flatnonzero(row)) if np.ndim(row) else int(row) for row in labels]
        print(f"classes   {balance(labels, train_set.classes)}\nnothing is wrong")
        return 0
    settings = settings_for(args.data, DataSettings(fps=args.fps, seconds=args.seconds))
    skip = read_skip(args.skip) if args.skip else ()
    survey = look_at(args.data, settings.fps, settings.limit, args.frames, skip, args.workers)
    print(survey)
    if args.write_skip:
        survey.write_skip(args.write_skip)
        print(f"{args.write_skip}: {len(survey.unusable)} videos to leave out")
    return 1 if survey.wrong else 0


def video_set(paths, frames, size, data):
    """Loose video files as a data set, decoded when asked for; its labels mean nothing."""
    videos = [Video(Path(path), 0, Path(path).stem, Path(path).stem) for path in paths]
    source = open_source(Path("."), size, data)
    return ClipSet(["unknown"], videos, source, frames, size, data.mean, data.scale, data.limit)


def whole_video(path, model):
    """The frames of a video file as the network wants them, under the centre crop, one at a time: x (1, H, W, 3)."""
    size, data = model.config.size, model.data
    for frame in open_source(Path("."), size, data).read(path):
        yield cut(frame[None], slice(None), centre_crop(*frame.shape[:2], size), data.mean, data.scale)


def run_predict(args):
    model = load_model(args.model, device=args.device)
    if model.config.tower == "features":
        raise ValueError(
            f"{args.model} reads precomputed features, not videos; train one with a tower to predict videos"
        )
    videos = video_set(args.videos, model.config.frames, model.config.size, model.data)
    if args.render and len(args.videos) > 1:
        raise ValueError(f"--render {args.render} takes one video at a time, found {len(args.videos)}")
    bad = 0
    for i, path in enumerate(args.videos):
        try:
            rng = np.random.default_rng(0)
            if args.render:
                p = render(path, args.render, model, whole_video(path, model))
            elif args.whole:
                frames = videos.blocks(i) if model.data.limit else whole_video(path, model)
                p = to_numpy(stream(model.net, frames, model.mode))
            else:
                p = predict_clips(model, videos.test_clips(i, args.views, rng))
        except (VideoError, FileNotFoundError) as error:
            print(f"error: {error}", file=sys.stderr)
            bad += 1
            continue
        best = np.argsort(-p, kind="stable")[: args.top]
        print(f"{path}\n" + "\n".join(f"  {100 * p[k]:5.1f} %  {model.classes[k]}" for k in best))
        if args.render:
            print(f"wrote {args.render}")
    return 1 if bad else 0


def run_features(args):
    if args.model:
        model = load_model(args.model, device=args.device)
        config, data, net = model.config, model.data, model.net
        if not isinstance(net.layers.get("tower"), OverFrames):
            raise ValueError(f"{args.model} has no tower that sees single frames: it reads features itself, or clips")
        tower = net.layers["tower"]
    else:
        print("no --model: the tower's weights are random", file=sys.stderr)
        config = NetConfig(classes=1, tower=args.tower, head="lstm", size=args.size, width=args.width)
        data, tower = (
            settings_for(args.inputs[0], DataSettings(**chosen(args, DataSettings))),
            move(OverFrames(build_tower(config, np.random.default_rng(args.seed))[0]), args.device),
        )
    fold, classes = None, None
    if len(args.inputs) == 1 and Path(args.inputs[0]).is_dir():
        folder = args.inputs[0]
        fold = fold_for(folder, args.fold or (model.checkpoint.fold if args.model else None))
        if args.model and model.checkpoint.fold is not None:
            check_fits(model.checkpoint, args.model, fold=fold)
        sides = open_data(folder, 1, config.size, data, fold, cache_of(args), args.skip, available=args.available)
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
        names = [f"{v.path.parent.resolve().name}/{v.path.name}" for v in parts[0].videos]  # its folder is its class
        folders = sorted({name.split("/")[0] for name in names})
        label = np.array([folders.index(name.split("/")[0]) + 1 for name in names])
        is_test = np.zeros(len(names), bool)
    feat, bad = [], []
    for part in parts:
        for i in range(len(part)):
            try:
                clip = part.whole_video(i)
            except (VideoError, FileNotFoundError) as error:
                print(f"error: {error}", file=sys.stderr)
                bad.append(len(feat) + len(bad))
                continue
            index = np.linspace(0, len(clip) - 1, args.count).round().astype(int)
            feat.append(frame_features(tower, clip[index]))
            print(f"{names[len(feat) + len(bad) - 1]}: {len(clip)} frames, {args.count} x {feat[-1].shape[1]} features")
    if not feat:
        raise ValueError("none of the videos could be read; nothing was written")
    keep = np.delete(np.arange(len(names)), bad)
    save_features(
        args.out, np.stack(feat), label[keep], is_test[keep], np.array(names)[keep], classes=classes, fold=fold
    )
    print(args.out)
    return 1 if bad else 0


def run_flow(args):
    data = settings_for(args.data, DataSettings(stream="flow", **chosen(args, DataSettings)))
    if Path(args.data).is_dir():
        if args.render:
            raise ValueError(f"{args.data} is a folder, but --render shows the flow of one video")
        xp, fold = use(args.device), fold_for(args.data)
        print(open_data(args.data, 1, args.size, data, fold, args.cache, args.skip, xp=xp)[0].source.folder)
    elif args.render:
        print(render_flow(args.data, open_source(Path("."), args.size, data, xp=use(args.device)), args.render))
    else:
        raise ValueError(f"{args.data}: expected a folder of videos, or --render and one video")


def run_summary(args):
    if args.model:
        model = load_model(args.model)
        config, net = model.config, model.net
    else:
        config = NetConfig(classes=args.classes, **chosen(args, NetConfig))
        net = build(config)
    print(table(net, input_shape(config)))
    if args.draw:
        draw(net, input_shape(config), args.draw, f"{config.tower}, head {config.head}")
        print(args.draw)
    if args.batch:
        found = plan(net, input_shape(config, args.batch))
        print(f"\n{found.table()}\n{found}")


def run_make_data(args):
    root = make_mini(args.root, args.seed, args.groups, args.clips, args.frames, args.side)
    print(f"{root}: {len(list(root.glob('*/*.avi')))} clips; lists in {root / 'ucfTrainTestlist'}")


def run_demo(args):
    demo(args.out, args.seed, args.quick, args.device)


def run_tables(args):
    out = args.out or ("runs/tables" if args.data == "mini" else f"runs/tables-{Path(args.data).name}")
    tables(
        args.data, out, parse_numbers(args.table), args.seeds, args.first_seed, args.cache, args.dry_run,
        args.pretrained, measured=args.measured, device=args.device,
    )  # fmt: skip


def run_claims(args):
    claims(args.out, args.claims, args.seeds, device=args.device)


def run_compare(args):
    options = [f"--{key.replace('_', '-')}={value}" for cls in (NetConfig, Settings)
               for key, value in chosen(args, cls).items() if value is not None]  # fmt: skip
    if args.device != "cpu":
        options.append(f"--device={args.device}")
    compare(args.features, args.heads, args.seeds, args.out, options)


def run_bench(args):
    bench(args.rows, args.against, args.repeat, args.json, args.clips, args.quick, args.device)


def run_doctor(args):
    return doctor()
