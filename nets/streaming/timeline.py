"""What a network says while it watches: its class probabilities after each frame, for videos of any length.

A recurrent network predicts at every frame. A network that pools over all frames is asked again after each one, with
the maximum (or the mean) so far; at the last frame that is its answer to the whole video.
"""

import numpy as np

from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import xp_of
from snippets.layers.loss import softmax
from snippets.layers.temporal import TemporalAvgPool
from snippets.nets.frame_predictions import Running
from snippets.nets.frames import one_blas_thread
from snippets.nets.streaming.stream import chain, parts_in_time, regroup, stream


@one_blas_thread
def whole_answer(net, blocks, mode="weighted", alone=False):
    """Class probabilities (K,) of a whole video in one pass; arguments and errors as `stream` and `follow`.

    alone: a single-frame network, whose answer is the mean over all frames: it was never trained on maxima.
    """
    if not alone:
        return stream(net, blocks, mode)
    found = Running("sum")
    for p, _ in follow(net, blocks, alone):
        found.add(p)
    return found.result()


def follow(net, blocks, alone=False):
    """Yield p (m, K) and t, again and again: m predictions spread evenly over the next t frames of the video.

    m = t where the network sees frame by frame; behind windows of frames there are fewer, and t may be 0 for the last
    one. alone: leave the pool out, every frame by itself (a single-frame network). blocks: as in
    `nets.streaming.stream.stream`, which says what cannot be followed, and raises the same TypeError for it.
    """
    before, pool, after = parts_in_time(net)
    seen = []

    def frames():
        for x in regroup(net, blocks):  # (1, t, ...)
            seen.append(x.shape[1])
            yield x

    rows = (y[0] for y in chain(before, frames()))  # (m, ...)
    for y in rows if pool is None or alone else so_far(pool, rows):
        scores = y if pool is None else Sequential(**after).predict(y)
        yield softmax(scores), sum(seen)
        seen.clear()


def so_far(pool, blocks):
    """Of blocks (m, ...): the maximum or the mean of all rows up to each one, in blocks of the same shape."""
    mean, state, T = isinstance(pool, TemporalAvgPool), None, 0
    for x in blocks:
        xp, rows = xp_of(x), []
        for row in x.astype(np.float64) if mean else x:
            state = row if state is None else (xp.add if mean else xp.maximum)(state, row)
            T += 1
            rows.append(state / T if mean else state)
        yield xp.stack(rows).astype(x.dtype)


class Timeline:
    """Predictions for a video of any length in at most `columns` rows, each the mean over `step` frames."""

    def __init__(self, columns=2048):
        self.columns, self.step, self.frames, self.sums = columns, 1, 0, None

    def add(self, p, t):
        """Takes predictions p (m, K), spread over the next t frames."""
        if self.sums is None:
            self.sums = np.zeros((self.columns, p.shape[1]))
        for row in p[np.arange(t) * len(p) // max(t, 1)]:
            if self.frames == self.columns * self.step:  # full: two rows become one
                self.sums = np.concatenate([self.sums[::2] + self.sums[1::2], np.zeros_like(self.sums[::2])])
                self.step *= 2
            self.sums[self.frames // self.step] += row
            self.frames += 1

    def curves(self):
        """(rows, K): the mean prediction over each run of `step` frames."""
        counts = np.minimum(self.step, self.frames - np.arange(0, self.frames, self.step))
        return self.sums[: len(counts)] / counts[:, None]
