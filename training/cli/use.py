"""The commands that use networks and look at data; `training.cli.main` says which options they take."""

import math
import sys
from pathlib import Path

import numpy as np

from snippets.data.augment import centre_crop, cut
from snippets.data.features import load_features, save_features
from snippets.data.files import checksum
from snippets.data.layouts.splits import Video, read_skip
from snippets.data.layouts.survey import balance, check_dataset
from snippets.data.listing import shown
from snippets.data.loader import ClipSet
from snippets.data.lock import one_run
from snippets.data.open import DataSettings, check_room, fold_for, is_features, open_data, open_source, settings_for
from snippets.data.options import chosen
from snippets.data.partial import Partial
from snippets.data.video import VideoError
from snippets.nets.frames import CHUNK, OverFrames
from snippets.nets.inspect.draw import draw
from snippets.nets.inspect.memory import afford, plan, prediction
from snippets.nets.inspect.summary import table
from snippets.nets.streaming.stream import stream
from snippets.nets.zoo import NetConfig, build, build_tower, input_shape
from snippets.training.checkpoint import check_fits, to_numpy
from snippets.training.cli.train import cache_of
from snippets.training.device import move, use
from snippets.training.distributed.ranks import in_words
from snippets.training.evaluate import evaluate, evaluate_whole
from snippets.training.fusion import fuse
from snippets.training.model import check_kind, frame_features, load_model, predict_clips
from snippets.training.predictions import SIDES, Predictions, save_predictions
from snippets.training.render.flow import render_flow
from snippets.training.render.predictions import render


def run_evaluate(args):
    model = load_model(args.model, device=args.device)
    check_kind(model, args.model, args.data)
    fold, mode = fold_for(args.data, args.fold or model.checkpoint.fold), args.mode or model.mode
    if model.checkpoint.fold is not None:
        check_fits(model.checkpoint, args.model, fold=fold)

    def check(*sets):
        if not args.whole:  # nor is anything else known of the length of a video before it is decoded
            clips = min(args.batch, args.views * len(sets[SIDES.index(args.side)]))
            shape = input_shape(model.config, clips)
            afford(f"a prediction for {clips} clips of {shape[1]} frames", prediction(model.net, shape))

    sets = open_data(
        args.data, model.config.frames, model.config.size, model.data, fold, cache_of(args), args.skip,
        available=args.available, check=check,
    )  # fmt: skip
    videos = sets[SIDES.index(args.side)]
    check_fits(model.checkpoint, args.model, classes=list(videos.classes))
    if args.whole:
        result = evaluate_whole(model.net, videos, mode, progress=True)
    else:
        result = evaluate(model.net, videos, args.views, args.batch, mode, progress=True)
    for name, accuracy in zip(result.classes, result.per_class, strict=True):
        print(
            f"     – %  {shown(name)}: no videos" if np.isnan(accuracy) else f"{100 * accuracy:6.1f} %  {shown(name)}"
        )
    print(result if args.side == "test" else f"on the training videos: {result}")
    if args.save:
        views = 0 if args.whole else args.views
        save_predictions(args.save, Predictions(result, fold, args.side, mode, views, model.checkpoint.steps))
        print(shown(args.save))


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
    survey = check_dataset(args.data, settings.fps, settings.limit, args.frames, skip, args.workers)
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
        except (VideoError, OSError) as error:
            print(f"error: {in_words(error)}", file=sys.stderr)
            bad += 1
            continue
        best = np.argsort(-p, kind="stable")[: args.top]
        print(f"{shown(path)}\n" + "\n".join(f"  {100 * p[k]:5.1f} %  {shown(model.classes[k])}" for k in best))
        if args.render:
            print(f"wrote {shown(args.render)}")
    return 1 if bad else 0


def price_features(config, count, out):
    """A check of `open_data`: whether there is memory and room for `count` frames' features of each video."""

    def check(*sets):
        D, V = math.prod(build_tower(config, None)[1]), sum(map(len, sets))
        what, size = f"a file of {V} x {count} x {D} features", 4 * V * count * D
        afford(what, 2 * size)
        check_room(out, size, what, "take a smaller --count")

    return check


def run_features(args):
    with one_run(args.out, file=True):
        return compute_features(args)


def compute_features(args):
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
        sides = open_data(
            folder, 1, config.size, data, fold, cache_of(args), args.skip, available=args.available, build=False,
            check=price,
        )  # fmt: skip
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
        net = build(config, seed=None)
    print(table(net, input_shape(config)))
    if args.draw:
        draw(net, input_shape(config), args.draw, f"{config.tower}, head {config.head}")
        print(shown(args.draw))
    if args.batch:
        found = plan(net, input_shape(config, args.batch))
        print(f"\n{found.table()}\n{found}")
