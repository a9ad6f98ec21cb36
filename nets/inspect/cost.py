"""What one forward and backward pass through a layer costs in memory, by arithmetic: nothing is computed.

The containers run their own code (`layers.core.base`, `nets.frames`), on `Ghost`s: arrays that have a shape, no
numbers, and count as so many bytes while somebody holds them. In the place of each other layer stands a `StandIn`,
which knows what the layer makes, what it keeps for its backward pass and what it needs meanwhile
(`nets.inspect.layer_memory`).
"""

import copy
import math
from typing import NamedTuple

import numpy as np

from snippets.layers.core.base import Container, Layer
from snippets.nets.inspect.layer_memory import USES


class Cost(NamedTuple):
    """Bytes of one forward and backward pass through a layer; parameters and scratch buffers are left out."""

    output: float
    kept: float  # between the two passes, the output left out
    forward: float  # in the worst moment
    backward: float  # in the worst moment, what was kept included
    after: float  # at the end: dx, the gradients, and the cache that the caller still holds


class Meter:
    """Bytes of all Ghosts that live, in the worst moment too, and of scratch buffers by their name."""

    def __init__(self):
        self.live, self.worst, self.scratch = 0, 0, {}

    def add(self, size):
        self.live += size
        self.worst = max(self.worst, self.live)

    def buffers(self, sizes):
        for name, size in sizes.items():
            self.scratch[name] = max(size, self.scratch.get(name, 0))

    def peak(self):
        """The worst moment since the last question."""
        worst, self.worst = self.worst, self.live
        return worst


class Ghost:
    """An array (float32) of which there is only the shape. base: the Ghost whose memory it shares."""

    dtype = np.dtype(np.float32)

    def __init__(self, meter, shape, base=None, itemsize=4):
        self.meter, self.shape, self.base = meter, tuple(shape), base
        self.own = 0 if base is not None else itemsize * math.prod(self.shape)
        meter.add(self.own)

    def __del__(self):
        self.meter.add(-self.own)

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    nbytes = property(lambda self: 4 * self.size)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        return Ghost(self.meter, np.broadcast_to(np.uint8(0), self.shape)[key].shape, self)

    def reshape(self, *shape):
        rest = math.prod(self.shape) // max(1, math.prod(n for n in shape if n != -1))
        return Ghost(self.meter, (rest if n == -1 else n for n in shape), self)

    def copy(self):
        return Ghost(self.meter, self.shape)

    def __add__(self, _):
        return self.copy()

    def __iadd__(self, _):
        return self

    def __array_function__(self, function, types, args, kwargs):
        how = {np.concatenate: joined, np.split: cut, np.repeat: repeated, np.zeros_like: Ghost.copy}
        return how[function](*args, **kwargs)


def joined(parts, axis=0):
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return Ghost(parts[0].meter, shape)


def repeated(x, times, axis):
    return joined([x] * times, axis)


def cut(whole, at, axis):
    return [whole[..., a:b] for a, b in zip([0, *at], [*at, whole.shape[axis]], strict=True)]


class StandIn(Layer):
    """In the place of a layer that is no container."""

    def __init__(self, layer):
        super().__init__(**layer.params)
        self.layer = layer

    def forward(self, x, rng=None):
        kind = type(self.layer).__name__
        if kind not in USES:
            raise TypeError(
                f"nets/inspect/layer_memory.py does not know what a {kind} does with memory: add a function for it"
            )
        uses = USES[kind](self.layer, x.shape, rng)
        x.meter.buffers(uses.scratch)
        work = Ghost(x.meter, (uses.forward,), itemsize=1)
        y = x.reshape(*(uses.as_shape or x.shape)) if uses.y is None else self.part(x.meter, uses.y, uses.more_y)
        kept = Ghost(x.meter, (uses.kept,), itemsize=1)
        del work
        return y, (x.shape, uses, x if "x" in uses.keeps else None, y if "y" in uses.keeps else None, kept)

    def backward(self, dy, cache):
        shape, uses, *_ = cache
        dy.meter.buffers(uses.again)
        work = Ghost(dy.meter, (uses.backward + uses.copied * (dy.base is not None),), itemsize=1)
        grads = {key: Ghost(dy.meter, a.shape) for key, a in self.params.items()}
        if uses.y is None:
            dx = dy.reshape(*shape)
        else:
            dx = None if not getattr(self.layer, "input_grad", True) else self.part(dy.meter, shape, uses.more_dx)
        del work
        return dx, grads

    @staticmethod
    def part(meter, shape, more):
        return Ghost(meter, shape, Ghost(meter, (4 * math.prod(shape) + more,), itemsize=1) if more else None)


def stand_in(layer):
    """The layer with a StandIn for each part of it that is no container."""
    if not isinstance(layer, Container):
        return StandIn(layer)
    layer = copy.copy(layer)
    layer.layers = {name: stand_in(child) for name, child in layer.layers.items()}
    for name in ("layer", "rest"):  # of OverFrames, and of a net with auxiliary heads
        if hasattr(layer, name):
            setattr(layer, name, stand_in(getattr(layer, name)))
    layer.threads = 1  # of OverFrames
    return layer


def measure(layer, shape, given=False, train=True):
    """Cost of an input of that shape, bytes of scratch buffers, shape of the output.

    given: the input's own bytes are not part of the cost. train=False: inference, no cache and no backward pass.
    """
    meter, layer = Meter(), stand_in(layer)
    inputs = [Ghost(meter, shape)]
    start = meter.live if given else 0
    held = inputs[0] if given else None  # else nobody but the layer holds the input
    rng = np.random.default_rng(0)
    y, cache = layer.forward(inputs.pop(), rng) if train else (layer.predict(inputs.pop()), None)
    y_shape, output, forward = y.shape, y.nbytes, meter.peak() - start
    del y
    kept = backward = after = 0
    if train:
        kept = meter.live - start
        result = layer.backward(Ghost(meter, y_shape), cache)
        backward, after = meter.peak() - start, meter.live - start
        del result
    del held
    return Cost(output, kept, forward, backward, after), sum(meter.scratch.values()), y_shape
