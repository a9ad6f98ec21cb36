"""The commands that say how right networks are: `snippets evaluate` and `snippets fuse`."""

from pathlib import Path

import numpy as np

from snippets.data.augment import STARTS, Views
from snippets.data.layouts.splits import ALL
from snippets.data.listing import shown
from snippets.data.loader import relabelled
from snippets.data.open import DataSpec, fold_for, is_features, open_data
from snippets.nets.frame_predictions import MODES
from snippets.nets.inspect.memory import check_memory, prediction_memory
from snippets.nets.zoo import input_shape
from snippets.training.checkpoint import check_fits, seen_videos
from snippets.training.cli.files import Archive, Input, Predicted
from snippets.training.cli.options import BATCH, COUNT, add_command, add_data, add_device, add_features_of, number
from snippets.training.evaluate import LARGEST, commonest_errors, evaluate, evaluate_whole
from snippets.training.fusion import SVM_C, fuse
from snippets.training.model import check_kind, features_of, load_model
from snippets.training.predictions import SIDES, Predictions, save_predictions, write_probabilities


def add_parsers(subparsers):
    """Adds the parsers of these commands."""
    p = add_command(subparsers, "evaluate", run_evaluate)
    p.add_argument("model", type=Input, help="checkpoint.npz")
    p.add_argument("data", type=Input, help="folder of videos, or features.npz")
    p.add_argument("--all", action="store_true", help="all videos of a folder of other videos, of any of the classes")
    p.add_argument("--views", **COUNT, default=1, help="clips per video, whose predictions are averaged; paper: 240")
    p.add_argument("--whole", action="store_true", help="each video in one pass instead of views")
    p.add_argument("--save", type=Predicted, metavar="FILE", help="class probabilities: .csv, .json, .npz (for fuse)")
    p.add_argument("--side", choices=SIDES, default="test", help="videos to run on; train: to train a fusion's SVM")
    p.add_argument("--batch", **BATCH, default=16, help="clips at a time")
    p.add_argument("--mode", choices=MODES, help="how frames' predictions become one (default: as trained)")
    p.add_argument(
        "--view-starts", choices=STARTS, help="where views start: spread evenly, or random (default: as trained)"
    )
    add_features_of(p)
    add_data(p)
    add_device(p)

    p = add_command(subparsers, "fuse", run_fuse)
    p.add_argument("files", type=Input, nargs="+", metavar="FILE", help="predictions, by evaluate --save or by train")
    p.add_argument("--weights", type=float, nargs="+", metavar="W", help="of the mean, one per file (default: equal)")
    p.add_argument("--svm", type=Input, nargs="+", metavar="FILE", help="fuse by an SVM, trained on these predictions")
    p.add_argument("--svm-c", **number(float, above=0, most=1e9), default=SVM_C, help="cost of an error in the SVM")
    p.add_argument("--save", type=Archive, metavar="FILE", help="write the weighted mean to this file, as predictions")


def run_evaluate(args):
    """Test a trained network: accuracy by clip, by video and by class, and which classes it confuses."""
    model = load_model(args.model, device=args.device)
    check_kind(model, args.model, args.data, args.features_of)
    fold, mode = fold_of(args, model), args.mode or model.mode

    def check(*sets):
        if not args.whole:  # the length of a video is not known before it is decoded
            clips = min(args.batch, args.views * len(sets[SIDES.index(args.side)]))
            shape = input_shape(model.config, clips)
            check_memory(f"a prediction for {clips} clips of {shape[1]} frames", prediction_memory(model.net, shape))

    spec = DataSpec(args.data, model.config.size, model.data, fold, args.cache, args.skip, args.available)
    spec = features_of(spec, args.features_of, args.device) if args.features_of else spec
    videos = open_data(spec, model.config.frames, check=check)[SIDES.index(args.side)]
    if args.all:
        videos = relabelled(videos, model.classes)
    if args.side == "test" and (seen := seen_videos(model.checkpoint.content, videos)):
        found = f"{args.model} was trained on {len(seen)} of these {len(videos)} videos, {shown(seen[0])} ..."
        print(f"note: {found}: its accuracy on them says nothing of new ones")
    check_fits(model.checkpoint, args.model, classes=list(videos.classes))
    if args.whole:
        result = evaluate_whole(model.net, videos, mode, model.config.head == "single")
    else:
        starts = args.view_starts or model.checkpoint.settings.get("view_starts", "spread")
        result = evaluate(model.net, videos, Views(args.views, starts), args.batch, mode)
    print(*class_lines(result), *confusion_lines(result), sep="\n")
    print(result if args.side == "test" else f"on the training videos: {result}")
    if args.save:
        if Path(args.save).suffix.lower() == ".npz":
            views = 0 if args.whole else args.views
            fold = None if fold == ALL else fold
            save_predictions(args.save, Predictions(result, fold, args.side, mode, views, model.checkpoint.steps))
        else:
            write_probabilities(args.save, result.classes, result.names, result.probabilities, result.truth)
        print(shown(args.save))


def fold_of(args, model):
    """The fold that the options ask for, ALL with --all; ValueError for one whose test videos the network may know."""
    if args.all:
        if is_features(args.data) or args.side == "train" or args.fold:
            what = "a file of features" if is_features(args.data) else "--side train or --fold"
            raise ValueError(f"--all tests all videos of a folder, found {what}; leave one of them out")
        return ALL
    fold = fold_for(args.data, args.fold or model.checkpoint.fold)
    if model.checkpoint.fold is not None:
        check_fits(model.checkpoint, args.model, fold=fold)
    return fold


def class_lines(result):
    """The accuracy of each class that has videos, and how many these are; a line for those without."""
    counts = result.truth.sum(axis=0)
    lines = [
        f"{100 * accuracy:6.1f} %  {shown(name)} ({n})"
        for name, accuracy, n in zip(result.classes, result.per_class, counts, strict=True)
        if n
    ]
    if without := [shown(name) for name, n in zip(result.classes, counts, strict=True) if not n]:
        more = " ..." if len(without) > 5 else ""
        lines.append(f"     – %  no videos of {len(without)} classes: {', '.join(without[:5])}{more}")
    return lines


def confusion_lines(result):
    """Which class was taken for which: a matrix of videos, or of many classes the ten commonest errors."""
    matrix = result.confusion
    used = np.flatnonzero(matrix.any(axis=0) | matrix.any(axis=1))
    names = [shown(result.classes[k]) for k in used]
    matrix = matrix[used][:, used]
    if len(used) > LARGEST:
        return [
            f"{n:6g} of {of:g} videos of {shown(true)} taken for {shown(predicted)}"
            for true, predicted, n, of in commonest_errors(result)
        ]
    width, wide = max(map(len, names)), max(5, len(f"{matrix.max():g}") + 2)
    head = " " * (width + 4) + "".join(f"{n + 1:>{wide}}" for n in range(len(used)))
    return [
        "true class in rows, predicted class in columns, in videos:", head,
        *(f"{n + 1:3} {name:{width}}" + "".join(f"{x:{wide}.4g}" for x in row)
          for n, (name, row) in enumerate(zip(names, matrix, strict=True))),
    ]  # fmt: skip


def run_fuse(args):
    """Join two or more networks' predictions on the same videos."""
    fuse(args.files, args.weights, args.svm, args.svm_c, args.save)
