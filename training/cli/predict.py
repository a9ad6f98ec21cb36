"""`snippets predict`: the classes of video files."""

import sys
from pathlib import Path

import numpy as np

from snippets.data.augment import centre_crop, cut
from snippets.data.layouts.splits import Video
from snippets.data.listing import shown
from snippets.data.loader import ClipSet, Preprocessing
from snippets.data.open import DataSpec
from snippets.data.video import VideoError
from snippets.layers.device.xp import to_numpy
from snippets.nets.streaming.stream import stream
from snippets.training.cli.errors import in_words
from snippets.training.cli.files import Film, Input
from snippets.training.cli.options import COUNT, add_command, add_device
from snippets.training.model import load_model, predict_clips
from snippets.training.render.predictions import render


def add_parsers(subparsers):
    """Adds the parser of `snippets predict`."""
    p = add_command(subparsers, "predict", run_predict)
    p.add_argument("model", type=Input, help="checkpoint.npz")
    p.add_argument("videos", type=Input, nargs="+", metavar="VIDEO", help="video files")
    p.add_argument("--views", **COUNT, default=5, help="clips spread over the video, whose predictions are averaged")
    p.add_argument("--whole", action="store_true", help="all frames in one pass instead of views")
    p.add_argument("--top", **COUNT, default=5, help="number of classes to print, the most probable first")
    p.add_argument("--render", type=Film, metavar="FILE", help="draw one video's predictions (.mp4, .avi, .png)")
    add_device(p)


def run_predict(args):
    """Name the classes of video files."""
    model = load_model(args.model, device=args.device)
    if model.config.tower == "features":
        raise ValueError(f"{args.model} reads precomputed features, not videos; choose a network with a tower")
    if args.render and len(args.videos) > 1:
        raise ValueError(f"--render {args.render} takes one video at a time, found {len(args.videos)}")
    bad = 0
    for path in args.videos:
        try:
            p = probabilities(path, model, args)
        except (VideoError, OSError) as error:
            print(f"error: {in_words(error)}", file=sys.stderr)
            bad += 1
            continue
        best = np.argsort(-p, kind="stable")[: args.top]
        print(f"{shown(path)}\n" + "\n".join(f"  {100 * p[k]:5.1f} %  {shown(model.classes[k])}" for k in best))
        if args.render:
            print(f"wrote {shown(args.render)}")
    return 1 if bad else 0


def probabilities(path, model, args):
    """Class probabilities (K,) of a video file, computed as the options say; with --render they are also drawn.

    VideoError or OSError for a file that cannot be read.
    """
    if args.render:
        return render(path, args.render, model, whole_video(path, model))
    video = video_set([path], model.config.frames, model.config.size, model.data)
    if args.whole:
        frames = video.blocks(0) if model.data.limit else whole_video(path, model)
        return to_numpy(stream(model.net, frames, model.mode))
    return predict_clips(model, video.test_clips(0, args.views, np.random.default_rng(0)))


def video_set(paths, frames, size, data):
    """Loose video files as a data set, decoded when asked for; its labels mean nothing."""
    videos = [Video(Path(path), 0, Path(path).stem, Path(path).stem) for path in paths]
    source = DataSpec(".", size, data, cache=None).source()
    return ClipSet(["unknown"], videos, source, frames, Preprocessing(size, data.mean, data.scale), data.limit)


def whole_video(path, model):
    """The frames of a video file under the centre crop, as the network reads them, one at a time: x (1, H, W, 3)."""
    size, data = model.config.size, model.data
    for frame in DataSpec(path, size, data, cache=None).source().read(path):
        yield cut(frame[None], slice(None), centre_crop(*frame.shape[:2], size), data.mean, data.scale)
