"""`snippets predict`: the classes of video files."""

import sys
from pathlib import Path

import numpy as np

from snippets.data.augment import centre_crop, cut
from snippets.data.listing import is_picture_folder, shown, walk
from snippets.data.open import DataSpec
from snippets.data.video import VideoError
from snippets.layers.device.xp import to_numpy
from snippets.nets.streaming.timeline import whole_answer
from snippets.training.cli.errors import in_words
from snippets.training.cli.files import Film, Input, Table
from snippets.training.cli.options import COUNT, add_command, add_device
from snippets.training.model import load_model, predict_clips, video_set
from snippets.training.predictions import write_probabilities
from snippets.training.render.predictions import render


def add_parsers(subparsers):
    """Adds the parser of `snippets predict`."""
    p = add_command(subparsers, "predict", run_predict)
    p.add_argument("model", type=Input, help="checkpoint.npz")
    p.add_argument("videos", type=Input, nargs="+", metavar="VIDEO", help="video files, or folders of them")
    p.add_argument("--views", **COUNT, default=5, help="clips spread over the video, whose predictions are averaged")
    p.add_argument("--whole", action="store_true", help="all frames in one pass instead of views")
    p.add_argument("--top", **COUNT, default=5, help="number of classes to print, the most probable first")
    p.add_argument("--save", type=Table, metavar="FILE", help="write all class probabilities (.csv, .json)")
    p.add_argument("--render", type=Film, metavar="FILE", help="draw one video's predictions (.mp4, .avi, .png)")
    add_device(p)


def run_predict(args):
    """Name the classes of video files."""
    model = load_model(args.model, device=args.device)
    if model.config.tower == "features":
        raise ValueError(f"{args.model} reads precomputed features, not videos; choose a network with a tower")
    paths = [video for path in args.videos for video in videos_at(path)]
    if args.render and len(paths) > 1:
        raise ValueError(f"--render {args.render} takes one video at a time, found {len(paths)}")
    found = {}
    for path in paths:
        try:
            p = found[shown(path)] = probabilities(path, model, args)
        except (VideoError, OSError) as error:
            print(f"error: {in_words(error)}", file=sys.stderr)
            continue
        best = np.argsort(-p, kind="stable")[: args.top]
        print(f"{shown(path)}\n" + "\n".join(f"  {100 * p[k]:5.1f} %  {shown(model.classes[k])}" for k in best))
    if found:
        print(how(model, args))
    for file in (args.render, args.save) if found else ():
        if file:
            print(f"wrote {shown(file)}")
    if args.save and found:
        write_probabilities(args.save, model.classes, found, list(found.values()))
    return 1 if len(found) < len(paths) else 0


def videos_at(path):
    """The video files in a folder and below it, or the one path itself. ValueError for a folder without any."""
    if not Path(path).is_dir() or is_picture_folder(path):
        return [path]
    found = [str(video) for _, videos, _ in walk(path) for video in videos]
    if not found:
        raise ValueError(f"{path}: no videos in this folder or below it, expected files like .mp4 or .avi")
    return found


def how(model, args):
    """How the percentages came about, for another way gives others."""
    if args.whole or args.render:
        about = "mean over all frames" if model.config.head == "single" else "all frames in one pass"
        return f"  ({about}, as --whole and --render have it; the mean of --views clips may differ)"
    clips = "frames" if model.config.frames == 1 else f"clips of {model.config.frames} frames"
    return f"  (mean of {args.views} {clips} per video)"


def probabilities(path, model, args):
    """Class probabilities (K,) of a video file, computed as the options say; with --render they are also drawn.

    VideoError or OSError for a file that cannot be read.
    """
    video = video_set([path], model.config.frames, model.config.size, model.data)
    if args.render or args.whole:
        limited = (frame[None] for block in video.blocks(0) for frame in block)
        frames = limited if model.data.length else whole_video(path, model)
        if args.render:
            return render(path, args.render, model, frames)
        return to_numpy(whole_answer(model.net, frames, model.mode, model.config.head == "single"))
    return predict_clips(model, video.test_clips(0, args.views, np.random.default_rng(0)))


def whole_video(path, model):
    """The frames of a video file under the centre crop, as the network reads them, one at a time: x (1, H, W, 3)."""
    size, data = model.config.size, model.data
    for frame in DataSpec(path, size, data, cache=None).source().read(path):
        yield cut(frame[None], slice(None), centre_crop(*frame.shape[:2], size), data.mean, data.scale)
