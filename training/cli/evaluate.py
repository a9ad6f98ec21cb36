"""The commands that say how right networks are: `snippets evaluate` and `snippets fuse`."""

import numpy as np

from snippets.data.listing import shown
from snippets.data.open import DataSpec, fold_for, open_data
from snippets.nets.frame_predictions import MODES
from snippets.nets.inspect.memory import check_memory, prediction_memory
from snippets.nets.zoo import input_shape
from snippets.training.checkpoint import check_fits
from snippets.training.cli.files import Archive, Input
from snippets.training.cli.options import BATCH, COUNT, add_command, add_data, add_device, number
from snippets.training.evaluate import evaluate, evaluate_whole
from snippets.training.fusion import fuse
from snippets.training.model import check_kind, load_model
from snippets.training.predictions import SIDES, Predictions, save_predictions


def add_parsers(subparsers):
    """Adds the parsers of these commands."""
    p = add_command(subparsers, "evaluate", run_evaluate)
    p.add_argument("model", type=Input, help="checkpoint.npz")
    p.add_argument("data", type=Input, help="folder of videos, or features.npz")
    p.add_argument("--views", **COUNT, default=1, help="clips per video, whose predictions are averaged; paper: 240")
    p.add_argument("--whole", action="store_true", help="each video in one pass instead of views")
    p.add_argument("--save", type=Archive, metavar="FILE", help="write class probabilities there, for snippets fuse")
    p.add_argument("--side", choices=SIDES, default="test", help="videos to run on; train: to train a fusion's SVM")
    p.add_argument("--batch", **BATCH, default=16, help="clips at a time")
    p.add_argument("--mode", choices=MODES, help="how frames' predictions become one (default: as trained)")
    add_data(p)
    add_device(p)

    p = add_command(subparsers, "fuse", run_fuse)
    p.add_argument("files", type=Input, nargs="+", metavar="FILE", help="predictions, by evaluate --save or by train")
    p.add_argument("--weights", type=float, nargs="+", metavar="W", help="of the mean, one per file (default: equal)")
    p.add_argument("--svm", type=Input, nargs="+", metavar="FILE", help="fuse by an SVM, trained on these predictions")
    p.add_argument("--svm-c", **number(float, above=0, most=1e9), default=1.0, help="cost of an error in the SVM")
    p.add_argument("--save", type=Archive, metavar="FILE", help="write the weighted mean to this file, as predictions")


def run_evaluate(args):
    """Test a trained network: Hit@1 and Hit@5 by clip and by video."""
    model = load_model(args.model, device=args.device)
    check_kind(model, args.model, args.data)
    fold, mode = fold_for(args.data, args.fold or model.checkpoint.fold), args.mode or model.mode
    if model.checkpoint.fold is not None:
        check_fits(model.checkpoint, args.model, fold=fold)

    def check(*sets):
        if not args.whole:  # the length of a video is not known before it is decoded
            clips = min(args.batch, args.views * len(sets[SIDES.index(args.side)]))
            shape = input_shape(model.config, clips)
            check_memory(f"a prediction for {clips} clips of {shape[1]} frames", prediction_memory(model.net, shape))

    spec = DataSpec(args.data, model.config.size, model.data, fold, args.cache, args.skip, args.available)
    sets = open_data(spec, model.config.frames, check=check)
    videos = sets[SIDES.index(args.side)]
    check_fits(model.checkpoint, args.model, classes=list(videos.classes))
    if args.whole:
        result = evaluate_whole(model.net, videos, mode)
    else:
        result = evaluate(model.net, videos, args.views, args.batch, mode)
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
    """Join two or more networks' predictions on the same videos."""
    fuse(args.files, args.weights, args.svm, args.svm_c, args.save)
