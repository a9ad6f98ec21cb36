r"""What training minimises: a weighted sum of softmax losses over clips, or over clips and frames.

Section 3.3 of the paper: the label is back-propagated at every frame, and a gain g_t, rising linearly over the clip,
scales the gradient of frame t. Scaling a gradient is weighting a loss, so that

    pooled scores (N, K)         L = a sum_n     loss(n)               a = 1 for "sum", 1 / N for "mean"
    per-frame scores (N, T, K)   L = a sum_n,t   g_t loss(n, t)        a = 1 for "sum", 1 / (N T) for "mean"

With plain SGD, "mean" at a rate of N lr equals "sum" at lr (N T lr for per-frame scores: the paper's rate of N 10^-5
for LSTMs of N frames against 10^-5 for pooling). "mean" is the default, because the rate that suits it hardly depends
on the sizes of batch and clip; rates as small as the paper's go with "sum".

Auxiliary heads (`nets.auxiliary`) read single frames: a frame's weight there is that of its scores, or 1/T of the
clip's, times the weight of the heads.
"""

import functools
import sys
from dataclasses import dataclass

import numpy as np

from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import on_gpu, xp_of
from snippets.layers.loss import softmax_loss
from snippets.nets.frame_predictions import rising
from snippets.training.sgd import multiplier


def gain(T, mode="linear"):
    """Weight g_t of frame t = 1..T, shape (T,): "linear" t/T, "ones" 1, "last" 1 at the last frame only."""
    if T < 1:
        raise ValueError(f"a clip needs at least one frame, got {T}")
    if mode == "linear":
        return rising(T)
    if mode == "ones":
        return np.ones(T)
    if mode == "last":
        return np.where(np.arange(1, T + 1) == T, 1.0, 0.0)
    raise ValueError(f"gain must be 'linear', 'ones' or 'last', got {mode!r}")


@dataclass(frozen=True)
class Weighting:
    """How much each prediction counts: a and g_t above, by `loss` and `gain` of the settings.

    share: a factor on all weights, below 1 where the clips are a part of a batch.
    """

    loss: str = "mean"
    gain: str = "linear"
    share: float = 1.0

    def of(self, shape):
        """Weights for scores of `shape`, on the host: (N, K) -> (N,), (N, T, K) -> (N, T); float64."""
        if self.loss not in ("mean", "sum"):
            raise ValueError(f"loss must be 'mean' or 'sum', got {self.loss!r}")
        if len(shape) not in (2, 3):
            raise ValueError(f"scores must have shape (N, K) or (N, T, K), got {tuple(shape)}")
        weight = np.ones(shape[:1]) if len(shape) == 2 else np.tile(gain(shape[1], self.gain), (shape[0], 1))
        return self.share * (weight / weight.size if self.loss == "mean" else weight)

    def like(self, scores):
        """The same where the scores are: a GPU keeps them, so that no step needs to wait for a copy."""
        if not on_gpu(scores):
            return self.of(scores.shape)
        return _weights_on(scores.device.id, scores.dtype.char, scores.shape, self)


@functools.lru_cache(maxsize=32)
def _weights_on(device, dtype, shape, weighting):
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(device):
        return cupy.asarray(weighting.of(shape), dtype)


def loss_and_gradient(net, x, labels, rng=None, weighting=Weighting(), backward=None):
    """One forward and one backward pass: the loss, scores, all weights and gradients (a dict like net.params).

    The loss is a float, on a GPU an array of no axes: to read it would hold everything up.
    x (N, T, ...); labels as `softmax_loss` takes them; rng a Generator while training, None without dropout.
    backward: (net, dscores, cache) -> gradients, in place of the net's own.
    """
    scores, cache = net.forward(on_device(net, x), rng)
    scores, auxiliary = scores if isinstance(scores, tuple) else (scores, None)  # of auxiliary heads: (N, T, heads, K)
    weight = weighting.of(scores.shape)
    value, dscores = softmax_loss(scores, labels, weighting.like(scores))
    if auxiliary is not None:
        T = auxiliary.shape[1]
        of_frames = weight if weight.ndim == 2 else np.repeat(weight[:, None] / T, T, axis=1)
        auxiliary_weight = np.broadcast_to(net.weight * of_frames[..., None], auxiliary.shape[:3])
        auxiliary_value, dauxiliary = softmax_loss(auxiliary, labels, on_device(net, auxiliary_weight))
        value, dscores = value + auxiliary_value, (dscores, dauxiliary)
        weight = np.concatenate([weight.ravel(), auxiliary_weight.ravel()])
    grads = net.backward(dscores, cache)[1] if backward is None else backward(net, dscores, cache)
    return value if on_gpu(value) else float(value), scores, weight, grads


def split_frozen(net, groups):
    """The net as (frozen part or None, trained part), so that no gradient goes through frozen layers.

    Cuts a Sequential after its first children if all their parameters are frozen (multiplier 0); other nets come back
    whole, and their frozen parameters are merely not updated. The frozen part runs as at inference, without dropout.
    Both parts share the net's layers and arrays.
    """
    frozen = {key for key in net.params if multiplier(key, groups) == 0}
    if len(frozen) == len(net.params):
        raise ValueError("every parameter is frozen: nothing to train")
    children, cut = list(net.layers.items()) if isinstance(net, Sequential) else [], 0
    for count, (name, layer) in enumerate(children, 1):
        keys = {f"{name}/{key}" for key in layer.params}
        if not keys <= frozen:
            break
        cut = count if keys else cut  # a ReLU or dropout after the last frozen layer stays with the trained ones
    return (Sequential(**dict(children[:cut])), Sequential(**dict(children[cut:]))) if cut else (None, net)


def on_device(net, a):
    """The array where the net's parameters are: a CuPy copy for a net on a GPU, else `a` itself."""
    return xp_of(next(iter(net.params.values()))).asarray(a)
