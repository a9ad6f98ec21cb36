"""One network for every frame: folding time into the batch, and running frames in parallel.

fold and unfold are the only place where clips and frames change places: (N, T, ...) <-> (N T, ...), frame t of clip n
is row n T + t. Frames are independent until they meet in time, so the tower runs on chunks of frames in a pool of
threads with BLAS held to one thread each: element-wise work then uses every core too, and a chunk's activations stay
in cache. Which thread computes a chunk changes nothing, and gradients are summed in the order of the chunks, so the
result is the same to the last bit for any number of threads. What does change bits is the length of a chunk, the order
of sums and the masks of dropout with it: so it is part of the network, and nothing chooses it by the memory that is
free. BLAS cuts long sums into a part for each of its own threads: `one_blas_thread` is around all that trains or
predicts.
"""

import contextlib
import contextvars
import copy
import functools
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import threadpoolctl

from snippets.layers.core.base import Container, Sequential
from snippets.layers.device.xp import usable_cores, xp_of
from snippets.layers.dropout import FrameRng
from snippets.nets.recompute import Recomputed

CHUNK = 8  # frames at a time: more have longer products on small maps, fewer take less memory


def fold(x):
    """(N, T, ...) -> (N T, ...)."""
    return x.reshape(-1, *x.shape[2:])


def unfold(y, T):
    """(N T, ...) -> (N, T, ...)."""
    return y.reshape(-1, T, *y.shape[1:])


class OneBlasThread(contextlib.ContextDecorator):
    """BLAS keeps to one thread while any thread of the program is in such a block, or in a function marked with it."""

    blas = threadpoolctl.ThreadpoolController()

    def __init__(self):
        self.lock, self.inside, self.limit = threading.Lock(), 0, None

    def __enter__(self):
        with self.lock:
            if not self.inside:
                self.take_control()
                self.limit = self.blas.limit(limits=1, user_api="blas")
            self.inside += 1

    def __exit__(self, *_):
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.take_control()
                self.limit.restore_original_limits()
                self.take_control()

    def take_control(self):
        """From the thread that has set a limit before: from threadpoolctl 3.8 on, others would ask in vain."""
        for library in self.blas.lib_controllers:
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)


one_blas_thread = OneBlasThread()


def behind_tower(net):
    """What stands behind the net's tower, as a chain."""
    return Sequential(**{name: layer for name, layer in net.layers.items() if name != "tower"})


@functools.cache
def _pool(threads):
    return ThreadPoolExecutor(threads, thread_name_prefix="frames")


def _forked():
    """In the child of a fork, which has the pools, but none of their threads, and locks that those may have held."""
    _pool.cache_clear()
    one_blas_thread.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class OverFrames(Container):
    """A layer on frames made a layer on clips: (N, T, ...) -> (N, T, ...), its weights shared by all frames.

    chunk: frames that a call of the layer sees, which share the filters' transforms (`layers.fast.winograd`); threads:
    None for all cores. recompute: where there are several chunks, run each forward again in the backward pass instead
    of keeping its caches (`nets.recompute`).
    """

    def __init__(self, layer, chunk=CHUNK, threads=None, recompute=False):
        super().__init__(frame=layer)
        if chunk < 1:
            raise ValueError(f"OverFrames: chunk is {chunk}, expected at least one frame")
        self.chunk, self.threads, self.recompute = chunk, threads, recompute

    @property
    def layer(self):
        """The layer on frames."""
        return self.layers["frame"]

    @property
    def params(self):
        return self.layer.params  # the tower's own names, without a "frame/" of no meaning

    def _map(self, work, *items):
        """work(*item) for each chunk, results in order."""
        threads = min(self.threads or usable_cores(), len(items[0]))
        with one_blas_thread:
            if threads == 1 or xp_of(items[0][0]).__name__ == "cupy":
                yield from map(work, *items)
            else:
                contexts = [contextvars.copy_context() for _ in items[0]]  # of np.errstate
                yield from _pool(threads).map(lambda context, *item: context.run(work, *item), contexts, *items)

    def _layer_of(self, chunks):
        return Recomputed(self.layer) if self.recompute and len(chunks) > 1 else self.layer

    def _chunks(self, x):
        return [x[i : i + self.chunk] for i in range(0, len(x), self.chunk)]

    def forward(self, x, rng=None):
        self.expect_clips(x)
        chunks, rngs = self._chunks(fold(x)), itertools.repeat(None)
        if rng is not None:
            *own, common = rng.spawn(len(chunks) + 1)
            rngs = [FrameRng(r, copy.deepcopy(common), n * self.chunk, x.shape[1]) for n, r in enumerate(own)]

        outputs, caches = zip(*self._map(self._layer_of(chunks).forward, chunks, rngs), strict=True)
        return unfold(xp_of(x).concatenate(outputs), x.shape[1]), caches

    def backward(self, dy, cache):
        dxs, grads = [], None
        for dx, chunk_grads in self._map(self._layer_of(cache).backward, self._chunks(fold(dy)), cache):
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
