"""`snippets demo --weights`: a page on real clips, seen by GoogLeNet with trained weights from elsewhere.

    what it names in frames of some clips, with its probabilities
    where the folder has classes and groups: an LSTM on its features of all videos, frame by frame

All that takes time is done by commands that anybody can type, and each is done once.
"""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from snippets.data.features import load_features
from snippets.data.files import write
from snippets.data.layouts.table import VideoFolder
from snippets.data.listing import shown, walk
from snippets.data.video import VideoError
from snippets.layers.device.xp import to_numpy
from snippets.layers.loss import softmax
from snippets.nets.pretrained.names import read_weights
from snippets.training.evaluate import LARGEST
from snippets.training.experiments.report import CANNOT, CHANGES
from snippets.training.experiments.runner import command, run, training_command
from snippets.training.experiments.statistics import wilson
from snippets.training.model import load_model, video_set
from snippets.training.objective import on_device
from snippets.training.predictions import load_predictions
from snippets.training.render.charts import frames_of, over_time
from snippets.training.render.page import bar_table, code, confusion, page, picture, section, strip, text

CLIPS, FRAMES, COUNT = 6, 8, 15  # clips that are shown, frames of each; frames of each video for the LSTM
HEAD = (
    "--head lstm --units 64 --depth 1 --epochs 12 --batch 16 --lr 0.01 --decay 0.9 --weight-decay 0.01 "
    "--standardise --differences"
)


def write_clips(out, weights, videos, labels=None, device="cpu", execute=None):
    """Write out/clips.html; returns its path. Errors are those of the commands, and ValueError for no videos.

    weights: a file as `snippets import` reads it; videos: a folder; labels: a file with the names of the classes.
    execute: see `runner.run`.
    """
    out = Path(out)
    chosen = some_videos(videos)
    digest = zlib.crc32(repr([str(Path(p).resolve()) for p in (weights, videos)]).encode())
    kept = out / f"clips-{digest:08x}"  # of these weights and these videos
    variant = {"caffe": "caffe", "torchvision": "torchvision"}[read_weights(weights).program]
    network, names = (kept / "named.npz", ["--labels", labels]) if labels else (kept / "numbered.npz", [])
    words = ["import", weights, "--keep-classifier", "--variant", variant, *names, "--out", network]
    imported = command(*words, product=network)
    run([imported], execute, log=kept / "output.txt")
    model = load_model(imported.product, device=device)
    seen = [part for path in chosen for part in in_frames(path, model, Path(videos))]
    learned, commands = trained_part(kept, imported.product, videos, device, execute)
    lead = (
        f"GoogLeNet with the weights of {Path(weights).name}, hand-written in NumPy, looks at {len(chosen)} clips of "
        f"{Path(videos).name}: frame by frame, each frame by itself. It has names for the things that it was trained "
        "on and for nothing else; whatever else it sees gets the name of something that looks alike."
    )
    body = [
        section("What it names in each frame", "" if labels else text(UNNAMED, kind="note"), *seen),
        section("An LSTM on what it sees", *learned),
        section("How this was made", *(code(str(c)) for c in (imported, *commands))),
    ]
    path = out / "clips.html"
    write(path, page("Real clips, seen by GoogLeNet", lead, body))
    return path


UNNAMED = "The classes are numbers, for no file with their names was given (--labels)."


def some_videos(videos):
    """Paths of at most CLIPS videos in a folder and below it: of as many folders as there are, far apart in each."""
    folders = [found for _, found, _ in walk(videos) if found]
    if not folders:
        raise ValueError(f"--videos {videos}: no videos in this folder or below it, expected files like .mp4 or .avi")
    folders = [folders[n] for n in apart(len(folders), CLIPS)]
    rows = [[found[n] for n in apart(len(found), -(-CLIPS // len(folders)))] for found in folders]
    return [row[n] for n in range(CLIPS) for row in rows if n < len(row)][:CLIPS]


def apart(count, most):
    """At most so many numbers of 0 ... count - 1, as far apart as can be."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist()


def in_frames(path, model, root):
    """A section on a clip: frames in their true shape, what the network names in each, and the mean over them."""
    name = shown(path.relative_to(root).as_posix())
    try:
        x = spread_frames(path, model, FRAMES)  # (FRAMES, H, W, 3)
        times, frames = frames_of(path, FRAMES)
    except (VideoError, OSError) as error:
        return [section(name, text(shown(error), kind="note"), level=3)]
    p = to_numpy(softmax(model.net.predict(on_device(model.net, x[:, None]))))  # (FRAMES, K)
    p = p[first_of_each(len(frames), FRAMES)]
    best = p.argmax(axis=1)
    said = [f"{short(model.classes[k])} {100 * row[k]:.0f} %" for k, row in zip(best, p, strict=True)]
    alts = [f"{name} at {t:.2f} s: {words}" for t, words in zip(times, said, strict=True)]
    mean = p.mean(axis=0)
    rows = [[short(model.classes[k]), float(mean[k])] for k in np.argsort(-mean, kind="stable")[:3]]
    return [section(name, strip(frames, alts, said, 112), bar_table(["mean over the frames", ""], rows), level=3)]


def spread_frames(path, model, T):
    """T frames spread evenly over a video, the first and the last among them, as the network sees them."""
    return video_set([path], 1, model.config.size, replace(model.data, count=T)).whole_video(0)


def first_of_each(count, T):
    """Which of T frames spread over a video of at least `count` are not the frame before them again."""
    return np.unique(np.linspace(0, count - 1, T).round(), return_index=True)[1] if count < T else np.arange(T)


def short(name):
    """The name of an ImageNet class without its synonyms."""
    return shown(name.partition(",")[0])


def trained_part(kept, model, videos, device, execute):
    """(parts, commands): an LSTM on features of the folder's videos, or why there is none."""
    try:
        split = VideoFolder(videos).load(1)
    except (ValueError, OSError) as error:
        why = text(f"None was trained, for this folder cannot be split into training and test videos: {shown(error)}")
        return [why], []
    features, folder, where = kept / "features.npz", kept / "lstm", [f"--device {device}"] if device != "cpu" else []
    commands = [
        command("features", videos, "--model", model, "--count", COUNT, "--cache", "none", *where, "--out", features,
                product=features),
        training_command(features, HEAD, *where, out=folder),
    ]  # fmt: skip
    run(commands, execute)
    result, head = (
        load_predictions(folder / "predictions.npz").result,
        load_model(folder / "checkpoint.npz", device=device),
    )
    _, test_set = load_features(features, COUNT, head.data.features == "unit")
    low, high = (100 * x for x in wilson(result.hit1, len(result.names)))
    parts = [
        text(
            f"Trained on {len(split.train)} videos of {len(split.classes)} classes of this folder, tested on "
            f"{len(result.names)} others: {100 * result.hit1:.1f} % right, with a 95 % interval for that number of "
            f"videos from {low:.0f} to {high:.0f}. It is one training of one split.", CANNOT["lstm"], CHANGES,
        ),
        *([confusion(result.confusion, list(map(shown, result.classes)), "LSTM")]
          if len(result.classes) <= LARGEST else []),
        text("Of up to three classes the right answer of which it was surest, and then the wrong one of which it was "
             "surest. The number under a frame is the probability of the true class after it."),
    ]  # fmt: skip
    paths = {video.name: video.path for video in split.test}
    return parts + [watched(i, test_set, head, paths) for i in surest(result)], commands


def surest(result):
    """Numbers of the right answers with the highest probability, of three classes, and of such a wrong one."""
    best, top = result.probabilities.argmax(axis=1), result.probabilities.max(axis=1)
    right = result.truth[np.arange(len(best)), best]
    order = np.argsort(-top, kind="stable")
    first = {best[i]: i for i in reversed(order) if right[i]}  # of each class the surest
    chosen = sorted(first.values(), key=lambda i: -top[i])[:3]
    return [int(i) for i in [*chosen, *[i for i in order if not right[i]][:1]]]


def watched(i, test_set, head, paths):
    """A section on a test video: its frames, and the LSTM's probabilities after each."""
    name, truth = test_set.names[i], int(test_set.labels[i])
    p = to_numpy(softmax(head.net.predict(on_device(head.net, test_set.whole_video(i)[None]))))[0]  # (T, K)
    times, frames = frames_of(paths[name], COUNT)
    rows = first_of_each(len(frames), COUNT)
    others = [int(k) for k in np.argsort(-p.max(axis=0), kind="stable") if k != truth][:3]
    shown_classes = [truth, *others]
    percent = [f"{100 * x:.0f} %" for x in p[rows, truth]]
    names = [shown(test_set.classes[k]) for k in shown_classes]
    alts = [f"{shown(name)} at {t:.2f} s: {names[0]} {x}" for t, x in zip(times, percent, strict=True)]
    curve = over_time(np.arange(1, len(p) + 1), p[:, shown_classes], names, "frame that it has read")
    answer = shown(test_set.classes[int(p[-1].argmax())])
    alt = f"Curves: after the last frame {answer} is the most probable class; the true one, {names[0]}, {percent[-1]}."
    film = strip(frames, alts, percent, 118)
    return section(shown(name), film, picture(curve, alt, f"Thick: the true class, {names[0]}."), level=3)
