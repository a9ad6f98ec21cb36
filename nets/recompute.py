r"""Memory against time: run forward again in the backward pass instead of keeping caches until then.

A chain with a `cut` is run again in two parts. With x the input, u what stands at the cut, and y the output:

    forward     u = first(x), y = second(u)     kept: x, u and the states of the random generator in front of each
    backward    second(u) once more with its caches, du from dy and these; then first(x) likewise, dx from du

So the caches of one part are there at a time, and each is free as soon as its layer has sent its gradient back. Every
layer runs forward twice, with or without a cut, and gradients are the same bits as those of a layer that keeps its
caches.
"""

import copy
import ctypes
import functools

from snippets.layers.core.base import Container, Sequential
from snippets.layers.device.xp import on_gpu


class Recomputed(Container):
    """The layer, with caches that live inside the backward pass only; its parameters have the layer's own names."""

    def __init__(self, layer):
        super().__init__(layer=layer)

    @property
    def params(self):
        return self.layers["layer"].params

    def parts(self):
        """The layer, or the two chains up to its cut and behind it."""
        layer = self.layers["layer"]
        if not getattr(layer, "cut", None):
            return [layer]
        items = list(layer.layers.items())
        n = list(layer.layers).index(layer.cut) + 1
        return [Sequential(**dict(items[:n])), type(layer)(**dict(items[n:]))]

    def forward(self, x, rng=None):
        cache = []
        for part in self.parts():
            cache.append((x, copy.deepcopy(rng)))
            x = part.forward(x, rng)[0]
        return x, cache

    def backward(self, dy, cache):
        grads = {}
        for part, kept in zip(reversed(self.parts()), reversed(cache), strict=True):
            dy, part_grads = run_again(part, *kept, dy)
            grads |= part_grads
        return dy, grads

    def predict(self, x):
        return self.layers["layer"].predict(x)


class ReadOnce(list):
    """The caches of a chain, each of them free as soon as its layer's backward pass is over."""

    def __reversed__(self):
        while self:
            yield self.pop()


def run_again(layer, x, rng, dy):
    """Both passes, the forward one as from this state of rng -> dx, grads."""
    cache = layer.forward(x, copy.deepcopy(rng))[1]
    if isinstance(cache, list):  # of a Sequential, of which nobody else has it
        cache = ReadOnce(cache)
    found = layer.backward(dy, cache)
    if (trim := malloc_trim()) and not on_gpu(dy):
        trim(0)
    return found


@functools.cache
def malloc_trim():
    """The C library's function that gives freed memory back to the system; None where it has none.

    glibc keeps what was freed, and the arrays of the other part, of other sizes, do not fit into the holes.
    """
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return None
