"""One network for every frame: folding time into the batch, and running frames in parallel.

fold and unfold are the only place where clips and frames change places: (N, T, ...) <-> (N T, ...), frame t of clip n
is row n T + t. Frames are independent until they meet in time, so the tower runs on chunks of frames in a pool of
threads with BLAS held to one thread each: element-wise work then uses every core too, and a chunk's activations stay
in cache. Which thread computes a chunk changes nothing, and gradients are summed in the order of the chunks, so the
result is the same to the last bit for any number of threads.
"""

import copy
import functools
from concurrent.futures import ThreadPoolExecutor

import threadpoolctl

from layers.base import Container
from layers.xp import usable_cores, xp_of

CHUNK = 8  # frames at a time: more have longer products on small maps, fewer take less memory


def fold(x):
    """(N, T, ...) -> (N T, ...)."""
    return x.reshape(-1, *x.shape[2:])


def unfold(y, T):
    """(N T, ...) -> (N, T, ...)."""
    return y.reshape(-1, T, *y.shape[1:])


@functools.cache
def _pool(threads):
    return ThreadPoolExecutor(threads, thread_name_prefix="frames")


@functools.cache
def _blas():
    return threadpoolctl.ThreadpoolController()


class OverFrames(Container):
    """A layer on frames made a layer on clips: (N, T, ...) -> (N, T, ...), its weights shared by all frames.

    chunk: frames that a call of the layer sees, which share the filters' transforms (`layers.winograd`); threads: None
    for all cores. recompute: keep the input only and run each chunk forward again in the backward pass; the gradients
    are the same bits, the memory no longer grows with T.
    """

    def __init__(self, layer, chunk=CHUNK, threads=None, recompute=False):
        super().__init__(frame=layer)
        if chunk < 1:
            raise ValueError(f"OverFrames: chunk is {chunk}, expected at least one frame")
        self.layer, self.chunk, self.threads, self.recompute = layer, chunk, threads, recompute

    @property
    def params(self):
        return self.layer.params  # the tower's own names, without a "frame/" of no meaning

    def _map(self, work, *items):
        """work(*item) for each chunk, results in order."""
        threads = min(self.threads or usable_cores(), len(items[0]))
        with _blas().limit(limits=1, user_api="blas"):
            if threads == 1 or xp_of(items[0][0]).__name__ == "cupy":
                yield from map(work, *items)
            else:
                yield from _pool(threads).map(work, *items)

    def _chunks(self, x):
        return [x[i : i + self.chunk] for i in range(0, len(x), self.chunk)]

    def forward(self, x, rng=None):
        self.expect_clips(x)
        chunks = self._chunks(fold(x))
        rngs = rng.spawn(len(chunks)) if rng is not None else [None] * len(chunks)

        def work(frames, rng):
            if self.recompute:
                return self.layer.forward(frames, copy.deepcopy(rng))[0], (frames, rng)
            return self.layer.forward(frames, rng)

        outputs, caches = zip(*self._map(work, chunks, rngs), strict=True)
        return unfold(xp_of(x).concatenate(outputs), x.shape[1]), caches

    def backward(self, dy, cache):
        def work(dframes, chunk_cache):
            if self.recompute:
                frames, rng = chunk_cache
                chunk_cache = self.layer.forward(frames, copy.deepcopy(rng))[1]
            return self.layer.backward(dframes, chunk_cache)

        dxs, grads = [], None
        for dx, chunk_grads in self._map(work, self._chunks(fold(dy)), cache):
            dxs.append(dx)
            if grads is None:
                grads = chunk_grads
            else:
                for name, g in chunk_grads.items():
                    grads[name] += g
        dx = None if dxs[0] is None else unfold(xp_of(dy).concatenate(dxs), dy.shape[1])
        return dx, grads

    def predict(self, x):
        self.expect_clips(x)
        outputs = list(self._map(self.layer.predict, self._chunks(fold(x))))
        return unfold(xp_of(x).concatenate(outputs), x.shape[1])

    def expect_clips(self, x):
        self.expect(x)
        if x.ndim < 3 or 0 in x.shape[:2]:
            raise ValueError(f"OverFrames: x has shape {x.shape}, expected (N, T, ...) with at least one frame")
