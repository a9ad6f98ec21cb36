"""The jobs of `snippets bench`: what a row runs, and how much arithmetic and memory traffic that must take.

A job is a function of a row's arguments that returns a `Workload`. Layers and networks are timed as they run in
training and prediction; `training.bench.peers` says what a peer runs for the same job.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from snippets.data.augment import cache_side
from snippets.data.decoder import Decoder
from snippets.data.flow.truth import end_point_error
from snippets.data.flow.tvl1 import energy, tvl1
from snippets.data.layouts.splits import Video
from snippets.data.loader import ClipSet, Position, Preprocessing, batches
from snippets.layers.core.base import Layer
from snippets.layers.device.xp import on_gpu, usable_cores, xp_of
from snippets.layers.loss import softmax_loss
from snippets.nets.frames import CHUNK, OverFrames
from snippets.nets.inspect import summary
from snippets.nets.streaming.stream import stream
from snippets.training import step as training_step
from snippets.training.settings import Settings
from snippets.training.sgd import SGD

LR = 1e-4  # learning rate of the rows that train: small, for nothing is learnt and nothing must overflow


class Workload(NamedTuple):
    """One side of a row. `run()` is timed; `results()`, of a fresh one, runs it once and returns name -> array."""

    run: Callable
    results: Callable
    madds: int = 0  # multiply-adds of its matrix products
    bytes: int = 0  # that each pass reads and writes at least, see `work`; 0 for both: no floor is known
    count: int = 1  # frames in one run, for rows whose milliseconds are per frame


def gives_dx(layer):
    """Whether it sends a gradient to its input; a tower's first convolution, which sees the image, does not."""
    while getattr(layer, "layers", None):
        layer = next(iter(layer.layers.values()))
    return getattr(layer, "input_grad", True)


def multiply_adds(layer, shape, backward):
    """Multiply-adds of a forward pass, or of forward and backward, over an input of `shape`.

    Backward takes two products for each one forward: dW and dx. Clips (N, T, ...) are counted at one and at two frames,
    for the number is linear in T.
    """
    if len(shape) in (3, 5) and shape[1] > 2:
        one, two = (multiply_adds(layer, (shape[0], T, *shape[2:]), backward) for T in (1, 2))
        return one + (shape[1] - 1) * (two - one)
    found = [row.madds for row in summary.layer_rows(layer, shape)]
    return 3 * sum(found) - (0 if gives_dx(layer) else found[0]) if backward else sum(found)


def work(layer, x, dy):
    """Multiply-adds, and bytes that must move: forward x, parameters, y; backward dy, parameters, dx, gradients."""
    params = sum(a.nbytes for a in layer.params.values())
    if dy is None:
        return multiply_adds(layer, x.shape, False), x.nbytes + params
    dx = x.nbytes if gives_dx(layer) else 0
    return multiply_adds(layer, x.shape, True), x.nbytes + dx + 2 * dy.nbytes + 3 * params  # y is as large as dy


def passes(layer, x, dy=None, rng=None):
    """Forward if dy is None, else forward and backward -> arrays by name: y, dx, parameter gradients."""
    if dy is None:
        return {"y": layer.predict(x)}
    y, cache = layer.forward(x, rng)
    dx, grads = layer.backward(dy, cache)
    return {"y": y, **({} if dx is None else {"dx": dx}), **grads}


class Alone(Layer):
    """A layer as it runs in the middle of a tower: both passes over a chunk of frames. dy (B, ...) is of all."""

    def __init__(self, layer, dy):
        super().__init__()
        self.layer, self.dy = layer, dy

    def predict(self, x):
        passes(self.layer, x, self.dy[: len(x)])
        return xp_of(x).zeros((len(x), 1), x.dtype)


def frames(layer, x, dy):
    """A layer inside a tower, forward and backward: x (B, ...) in chunks of frames on all cores; on a GPU at once."""
    tower, clip = OverFrames(Alone(layer, dy), len(x) if on_gpu(x) else CHUNK), x[None]
    return Workload(lambda: tower.predict(clip), lambda: passes(layer, x, dy), *work(layer, x, dy), len(x))


def whole(layer, x, dy=None, rng=None):
    """One call of a layer or network, forward if dy is None, else forward and backward; rng is for dropout."""

    def run():
        return passes(layer, x, dy, rng)

    return Workload(run, run, *work(layer, x, dy), x.shape[0] * x.shape[1] if x.ndim == 5 else 1)


def video(net, x, times):
    """Class probabilities of one video that comes in blocks: the frames x (t, H, W, 3), `times` times over."""

    def run():
        return {"p": stream(net, itertools.repeat(x, times))}

    shape = 1, times * len(x), *x.shape[1:]
    return Workload(run, run, multiply_adds(net, shape, False), times * x.nbytes, times * len(x))


def loss(scores, labels):
    """Softmax loss and its gradient, scores (N, T, K), labels (N,)."""

    def run():
        value, dscores = softmax_loss(scores, labels)
        return {"loss": value, "dscores": dscores}

    return Workload(run, run, bytes=2 * scores.nbytes)


def sgd(params, grads):
    """One update of all parameters, without the norm of the gradients, which is for the log."""
    opt = SGD(params, lr=LR)

    def run():
        opt.step(grads, norm=0.0)
        return {f"velocity/{key}": v for key, v in opt.velocity.items()}

    return Workload(run, run, bytes=5 * sum(a.nbytes for a in params.values()))  # reads w, v and g, writes w and v


def step(net, x, labels):
    """A whole training step: forward, loss, backward, update."""
    opt = SGD(net.params, lr=LR)
    training = training_step.Run(net, Settings(), opt)

    def run():
        value = training_step.step(training, x, labels).loss
        return {"loss": value, **{f"velocity/{key}": v for key, v in opt.velocity.items()}}

    return Workload(run, run, multiply_adds(net, x.shape, True))


class WholeVideos(Decoder):
    """Reads a video to its end for every clip, so that the time per frame means something."""

    def take(self, video, windows):
        frames = self.frames(video)
        return (frames[np.array(window) % len(frames)] for window in windows)


def decode(paths, length, size):
    """Whole videos decoded, a random clip of `length` frames cut from each: one epoch of the loader, on all cores."""
    source, videos = WholeVideos(cache_side(size)), [Video(path, 0, path.name, path.name) for path in paths]
    dataset = ClipSet(["any"], videos, source, length, Preprocessing(size))

    def run():
        clips = [batch.x for batch in batches(dataset, 1, Position(0), workers=usable_cores())]
        return {"x": np.concatenate(clips)}

    return Workload(run, run, count=sum(source.count(video) for video in videos))


def flow(I0, I1, truth=None):
    """TV-L1 flow of pairs of frames (N, H, W), on all cores; truth: see `flow_note`."""

    def run():
        return {"u": tvl1(I0, I1)}

    return Workload(run, run, count=len(I0))


def flow_note(arguments, ours, theirs=None):
    """How good two flows are: mean TV-L1 energy per pixel, in how many pairs ours is lower, how far they differ.

    Where the true motion (N, 2) in pixels is an argument, too, as `motion_errors` instead.
    """
    I0, I1, *truth = arguments
    flows = [side["u"] for side in (ours, theirs) if side is not None]
    if truth:
        return "; theirs ".join(motion_errors(u, *truth) for u in flows)
    E = [energy(I0, I1, u) for u in flows]
    if theirs is None:
        return f"energy {E[0].mean():.4f}"
    apart = np.hypot(*np.moveaxis(flows[0] - flows[1], -1, 0)).mean()
    lower = f"lower in {(E[0] < E[1]).sum()} of {len(I0)} pairs"
    return f"energy {E[0].mean():.4f}, theirs {E[1].mean():.4f}, {lower}; {apart:.2f} pixels apart"


def motion_errors(u, truth):
    """Mean end-point error for each size of motion, in pixels, over the pixels that stay inside the frame.

    u: flow (N, H, W, 2) of frames that move as a whole, by truth (N, 2).
    """
    y, x = np.indices(u.shape[1:3])
    errors = {}
    for flow_of_pair, (right, down) in zip(u, truth, strict=True):
        inside = (0 <= x + right) & (x + right < x.shape[1]) & (0 <= y + down) & (y + down < x.shape[0])
        error = end_point_error(flow_of_pair, (right, down))[inside].mean()
        errors.setdefault(round(float(np.hypot(right, down))), []).append(error)
    return "error " + ", ".join(f"{np.mean(some):.3f} at {size} px" for size, some in sorted(errors.items()))
