"""The inputs of A4's questions, and how each function is called; it has no answers.

CASES: the sizes of each case: N clips, T frames, H rows, C channels, F filters; window 0: one window over the whole
clip. CALLS: for each question a function that draws inputs and one that calls the student's function on them. OWN: the
same, for whether a backward pass is the derivative of the forward pass beside it: slopes along a random direction.
"""

from functools import partial

import numpy as np

from snippets.training.assignments.calls import hunt, slopes, with_directions

CASES = {
    "public": {
        "small": {},
        "views": dict(N=3, T=5, window=2, stride=2, leaks=("two classes",), refusals=True),
        "float32": {},
    },
    "hidden": {
        "wide": dict(N=3, T=11, H=3, C=4, F=2, window=4, stride=3, tied=False, leaks=("video",), refusals=True),
        "one frame": dict(T=1, window=0, leaks=("group",)),
        "one clip": dict(N=1, T=7, window=0, skip_dx=True, leaks=("two classes",)),
        "ties": dict(T=9, window=4, stride=1, tied=True, leaks=()),
        "clipped window": dict(T=12, window=5, stride=4, space_stride=2, leaks=("group",)),
        "views": dict(N=3, T=6, window=3, stride=3),
        "float32": {},
    },
    "own": {"slope": dict(tied=False)},
}


def refused(function, *arguments, **options):
    """Whether a call is refused with a ValueError."""
    try:
        function(*arguments, **options)
    except ValueError:
        return True
    return False


def numbers(rng, shape, tied=False):
    """Distinct numbers in random order, at least a hundredth apart; tied: a few whole ones, again and again."""
    if tied:
        return rng.integers(0, 3, shape) - 4.0
    size = int(np.prod(shape))
    return (rng.permutation(size) - size / 2 + rng.uniform(0.2, 0.4)).reshape(shape) * (0.01 + 3 / size)


def draw_fold(frames, rng, N=2, T=4, H=2, C=3, **unused):
    return dict(x=rng.standard_normal((N, T, H, C)), y=rng.standard_normal((N * T, C)), T=T)


def fold_unfold(frames, x, y, T):
    return dict(rows=frames.fold(x), clips=frames.unfold(y, int(T)))


def draw_windows(temporal, rng, T=8, window=3, stride=2, refusals=False, **unused):
    lengths = np.concatenate([[T, *np.maximum(window + np.array([-1, 0, 1, stride]), 1)], rng.integers(1, 40, 4)])
    return dict(lengths=lengths, window=window, stride=stride, refusals=refusals)


def all_windows(temporal, lengths, window, stride, refusals):
    """The windows over clips of several lengths, one after the other, and how many each has; what is refused."""
    found = [temporal.windows(int(T), **options_of(window, stride)) for T in lengths]
    starts, stops = np.array([span for spans in found for span in spans]).T
    outputs = dict(counts=[len(spans) for spans in found], starts=starts, stops=stops)
    if refusals:
        for bad in ((2, 3), (3, 0), (3, None)):
            outputs["refusal of window {} with stride {}".format(*bad)] = refused(temporal.windows, 9, *bad)
    return outputs


def like(y, dy):
    """The gradient of y: dy, cut or repeated where y has another shape than it should."""
    return np.resize(dy, np.shape(y))


def options_of(window, stride):
    return dict(window=int(window), stride=int(stride)) if window else {}


def draw_temporal_max(temporal, rng, N=2, T=8, H=None, C=3, window=3, stride=2, tied=True, **unused):
    x = numbers(rng, (N, T, H, H, C) if H else (N, T, C), tied)
    y, _ = temporal.temporal_max_forward(x, **options_of(window, stride))
    return dict(x=x, dy=rng.standard_normal(y.shape), window=window, stride=stride)


def temporal_max(temporal, x, dy, window, stride):
    y, cache = temporal.temporal_max_forward(x, **options_of(window, stride))
    return dict(y=y, dx=temporal.temporal_max_backward(like(y, dy), cache))


def draw_time_conv(time_conv, rng, N=2, T=8, H=3, C=2, F=3, window=3, stride=2, **given):
    """window: frames of the kernel; 0: all frames of the clip."""
    kt, stride = window or T, stride if window else 1
    shapes = dict(x=(N, T, H, H + 1, C), W=(kt, 3, 2, C, F), b=(F,))
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    options = dict(stride=stride, relu=N != 3, space_stride=given.get("space_stride", 1))
    y, _ = time_conv.time_conv_forward(**arrays, **options)
    upstream = dict(dy=rng.standard_normal(y.shape), input_grad=not given.get("skip_dx"))
    return arrays | options | upstream | dict(refusals=given.get("refusals", False))


def time_conv(module, dy, input_grad, refusals, x, W, b, stride, relu, space_stride):
    options = dict(stride=int(stride), relu=bool(relu), space_stride=int(space_stride))
    y, cache = module.time_conv_forward(x, W, b, **options)
    dx, dW, db = module.time_conv_backward(like(y, dy), cache, bool(input_grad))
    outputs = dict(y=y, dW=dW, db=db) | ({} if dx is None else dict(dx=dx))
    if refusals:
        outputs["refusal of a clip shorter than the kernel"] = refused(
            module.time_conv_forward, x[:, : W.shape[0] - 1], W, b
        )
    return outputs


def videos_of(splits, names, groups, labels):
    """Records of one side of a split."""
    rows = zip(names, groups, labels, strict=True)
    return [splits.Video(None, int(label), str(name), str(group)) for name, group, label in rows]


def draw_splits(splits, rng, N=2, T=8, leaks=("group", "video"), **unused):
    """Splits of T + 3 videos for training and N + 1 for the test: clean ones, and some with a leak that is put in here.

    Files are named as on UCF-101, but here the records alone say which belong together.
    """
    arrays = {"kinds": np.array(["clean", "alike in name", *leaks]), "training": T + 3}
    for n, kind in enumerate(arrays["kinds"]):
        count = T + 3 + N + 1
        groups = np.array([f"film{k:03d}" for k in rng.permutation(1000)[:count]])
        groups[2] = groups[1]  # two videos of a film on the same side are no leak
        numbers, labels = rng.permutation(99)[:count] + 1, rng.integers(0, 3, count)
        culprit = ""
        if kind == "alike in name":
            numbers[-1], labels[-1] = numbers[0], labels[0]
        elif kind in ("group", "two classes"):
            culprit = groups[-1] = groups[0]
            labels[-1] = labels[0] + (kind == "two classes")
        classes = np.array(["Dive", "Archery", "Rowing", "YoYo"])[labels]
        names = [
            f"{name}/v_{name}_g{g:02d}_c{c:02d}.avi" for c, (name, g) in enumerate(zip(classes, numbers, strict=True))
        ]
        if kind == "video":
            culprit = names[-1] = names[0]
        arrays |= {f"names{n}": np.array(names), f"groups{n}": groups, f"labels{n}": labels}
        arrays[f"culprit{n}"] = np.array(culprit)
    return arrays


def check_groups(splits, kinds, training, **arrays):
    """Which splits are refused, and whether the message names the video or the group."""
    outputs = {}
    for n, kind in enumerate(kinds):
        every = [arrays[f"{what}{n}"] for what in ("names", "groups", "labels")]
        train, test = (videos_of(splits, *side) for side in zip(*(np.split(a, [training]) for a in every), strict=True))
        message = ""
        try:
            splits.check_groups(splits.Split(["Dive", "Archery", "Rowing", "YoYo"], train, test))
        except ValueError as error:
            message = str(error)
        outputs[f"refusal of a split ({kind})"] = message != ""
        if culprit := str(arrays[f"culprit{n}"]):
            outputs[f"name of the {kind} in the message"] = culprit in message
    return outputs


def draw_hits(evaluate, rng, N=2, T=8, tied=False, refusals=False, **unused):
    """N + 6 samples of T + 1 classes, probabilities of which some are equal; single labels, and several."""
    p = rng.integers(0, 3 if tied else 20, (N + 6, T + 1)) / 20
    several = rng.random(p.shape) < 0.3
    labels, k = rng.integers(0, T + 1, N + 6), rng.integers(1, T + 1)
    return dict(p=p, labels=labels, several=several, k=k, refusals=refusals)


def hit_at_k(evaluate, p, labels, several, k, refusals):
    outputs = {
        "hits": evaluate.hit_at_k(p, labels, int(k)),
        "hits at 1": evaluate.hit_at_k(p, labels, 1),
        "hits with several labels": evaluate.hit_at_k(p, several, int(k)),
    }
    if refusals:
        damaged = np.where(np.arange(p.shape[1]) == 0, np.nan, p)
        bad = {"k = 0": (p, labels, 0), "k = K + 1": (p, labels, p.shape[1] + 1), "NaN": (damaged, labels, 1)}
        outputs |= {f"refusal of {what}": refused(evaluate.hit_at_k, *one) for what, one in bad.items()}
    return outputs


def draw_twist(module, rng, N=2, T=8, C=3, tied=False, window=3, **unused):
    x = numbers(rng, (N, T, C), tied) + (0 if window else 800)  # large numbers overflow an exponential
    return dict(x=x, dy=rng.standard_normal(module.twist_forward(x)[0].shape))


def twist(module, x, dy):
    y, cache = module.twist_forward(x)
    return dict(y=y, dx=module.twist_backward(like(y, dy), cache))


def draw_temporal_max_slope(module, rng, **sizes):
    return with_directions(draw_temporal_max(module, rng, **sizes), rng, ["x"])


def draw_time_conv_slope(module, rng, **sizes):
    arrays = draw_time_conv(module, rng, **sizes) | dict(relu=False)  # which has no slope at zero
    return with_directions(arrays, rng, ["x", "W", "b"])


def draw_twist_slope(module, rng, **sizes):
    return with_directions(draw_twist(module, rng, **sizes), rng, ["x"])


CALLS = {
    "fold": (draw_fold, fold_unfold),
    "windows": (draw_windows, all_windows),
    "temporal_max": (draw_temporal_max, temporal_max),
    "time_conv": (draw_time_conv, time_conv),
    "check_groups": (draw_splits, check_groups),
    "hit_at_k": (draw_hits, hit_at_k),
    "twist": (draw_twist, twist),
    "hunt": (None, hunt),
}
HUNT = "temporal_max", draw_temporal_max  # the question whose function is run by others in the bug hunt, and its inputs
OWN = {
    "temporal_max": (draw_temporal_max_slope, partial(slopes, temporal_max)),
    "time_conv": (draw_time_conv_slope, partial(slopes, time_conv)),
    "twist": (draw_twist_slope, partial(slopes, twist)),
}
