r"""Dropout, inverted: while training, each unit is kept with probability 1 - p and scaled up.

    m_i ~ Bernoulli(1 - p) / (1 - p)       the paper drops 0.6, so it keeps 40 % and scales them by 1 / 0.4
    y   = m * x
    dx  = m * dy

E[y] = x, so inference is the identity and needs no scaling. That holds as long as what follows is linear. In front of a
maximum over the T frames of a clip it does not: if every frame draws a mask of its own, the maximum finds the frames
that kept a unit, scaled up, and sees larger numbers in training than at inference. There, all frames of a clip share
one mask (per_clip), which comes out of the maximum as if it stood behind it:

    m_ntd = m_nd,   max_t m_nd x_ntd = m_nd max_t x_ntd

m_i is number i of a counter-based generator (Philox, Salmon et al. 2011) under a key that the forward pass draws: a
function of (key, i) alone. So a GPU stores no mask but computes it again in the backward pass (dropout.cu), and the
mask of a seed is the same on every device. A shared m_nd is number n D + d.
"""

import math
from typing import NamedTuple

import numpy as np

from snippets.layers.core.base import Layer
from snippets.layers.device.launch import launch_elementwise
from snippets.layers.device.xp import on_gpu


class FrameRng(NamedTuple):
    """What a layer on frames draws from, in place of a Generator, if the frames are a chunk of those of several clips.

    They are numbered through all clips, frame t of clip n is n T + t.
    """

    own: np.random.Generator  # of this chunk
    common: np.random.Generator  # with the same draws in every chunk
    first: int  # number of the chunk's first frame
    T: int


def new_key(rng):
    """The next 64 bits of a Generator, an int: what names a mask."""
    return int(rng.integers(2**64, dtype=np.uint64))


def uniform_numbers(key, shape, T=1, first=0):
    """A number in [0, 1) for each element of x of a shape (..., D): float32, whatever the dtype of x.

    T: rows of x, numbered from `first`, that share theirs: row r has those of r // T. All have their own by default.
    """
    draw, D = np.random.Generator(np.random.Philox(key=key)).random, shape[-1:]
    if (T, first) == (1, 0):
        return draw(shape, dtype="float32")
    masks = (first + np.arange(math.prod(shape[:-1]))) // T  # the number of each row's
    return draw((masks[-1] + 1, *D), dtype="float32")[masks].reshape(shape)


def dropout_forward(x, p, rng, T=1, first=0):
    """x (..., D), p the probability of being dropped, rng a Generator (None: identity) -> y, cache.

    A `new_key` of rng names the mask: an element stays if its number in `uniform_numbers`(key, ...) is p or more.
    """
    if rng is None or p == 0:
        return x, None
    key = new_key(rng)
    if on_gpu(x):
        return dropout_cuda(x, key, p, T, first), (key, p, T, first)
    draws = uniform_numbers(key, x.shape, T, first)
    mask = (draws >= p).astype(x.dtype)
    mask /= 1 - p
    return x * mask, mask


def dropout_backward(dy, cache):
    """dy -> dx, of the same shape; the cache is the mask, on a GPU what it is made of, None if nothing was dropped."""
    if cache is not None and on_gpu(dy):
        return dropout_cuda(dy, *cache)
    return dy if cache is None else dy * cache


class Dropout(Layer):
    """Drops each unit with probability p in [0, 1) while training (rng given); the identity at inference.

    per_clip: one mask for all frames of a clip. x is then (N, T, D), or frames (B, D) that come with a `FrameRng`.
    """

    def __init__(self, p=0.6, per_clip=False):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is {p}, expected the probability of being dropped, 0 <= p < 1")
        self.p, self.per_clip = p, per_clip

    def forward(self, x, rng=None):
        self.expect(x)
        T, first = x.shape[1] if self.per_clip and x.ndim > 2 else 1, 0
        if isinstance(rng, FrameRng):
            rng, first, T = (rng.common, rng.first, rng.T) if self.per_clip else (rng.own, 0, 1)
        return dropout_forward(x, self.p, rng, T, first)

    def backward(self, dy, cache):
        return dropout_backward(dy, cache), {}


def dropout_cuda(x, key, p, T=1, first=0):
    """x times the mask of a key: forward for x, backward for dy."""
    return launch_elementwise("layers/dropout.cu", "dropout", [x], key, p, 1 - p, x.shape[-1], T, first)
