"""One forward and backward pass without its arrays: only their shapes, and the bytes that they would take.

The containers run their own code (`layers.core.base`, `nets.frames`), on `FakeArray`s. In the place of each other layer
stands a `FakeLayer`, which knows what the layer takes (`nets.inspect.layer_memory`). Nothing is computed.
"""

import copy
import math
from typing import NamedTuple

import numpy as np

from snippets.layers.core.base import Container, Layer
from snippets.nets.frames import OverFrames
from snippets.nets.inspect.layer_memory import LAYER_MEMORY, largest


class PassMemory(NamedTuple):
    """Bytes of one forward and backward pass through a layer, without its parameters."""

    shape: tuple  # of the output
    output: int  # the output alone
    kept: int  # between the two passes, without the output
    forward: int  # in the worst moment
    backward: int  # in the worst moment, with what was kept
    after: int  # at the end: dx, the gradients, and the cache that the caller still holds
    scratch: int  # buffers that stay, in none of the numbers above


class Meter:
    """Bytes in use: `live` now, `peak` in the worst moment; scratch buffers apart, by name; calls of layers."""

    def __init__(self):
        self.live, self.peak, self.scratch = 0, 0, {}
        self.calls = []  # (name, layer, shape of its output)

    def add(self, size):
        self.live += size
        self.peak = max(self.peak, self.live)

    def take_peak(self):
        """The worst moment since this was last called."""
        peak, self.peak = self.peak, self.live
        return peak


class Memory:
    """Bytes in use as long as anybody holds this object."""

    def __init__(self, meter, size):
        self.meter, self.size = meter, size
        meter.add(size)

    def __del__(self):
        self.meter.add(-self.size)


class FakeArray:
    """A float32 array without elements. memory: that of the array of which it is a part; None: its own."""

    dtype = np.dtype(np.float32)

    def __init__(self, meter, shape, memory=None):
        self.meter, self.shape = meter, tuple(shape)
        self.ndim, self.size = len(self.shape), math.prod(self.shape)
        self.nbytes = 4 * self.size
        self.memory = memory or Memory(meter, self.nbytes)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        return FakeArray(self.meter, np.broadcast_to(np.uint8(0), self.shape)[key].shape, self.memory)

    def reshape(self, *shape):
        shape = np.broadcast_to(np.uint8(0), self.shape).reshape(shape).shape
        return FakeArray(self.meter, shape, self.memory)

    def copy(self):
        return FakeArray(self.meter, self.shape)

    def __add__(self, _):
        return self.copy()

    def __iadd__(self, _):
        return self

    def __array_function__(self, function, types, args, kwargs):
        return FUNCTIONS[function](*args, **kwargs)


def _concatenate(parts, axis=0):
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return FakeArray(parts[0].meter, shape)


def _split(whole, at, axis):
    return [whole[..., a:b] for a, b in zip([0, *at], [*at, whole.shape[axis]], strict=True)]


FUNCTIONS = {np.concatenate: _concatenate, np.split: _split, np.zeros_like: FakeArray.copy}


class FakeLayer(Layer):
    """In the place of a layer that is no container."""

    def __init__(self, layer, name):
        # float32 as the FakeArrays, whatever the layer's own type
        super().__init__(**{key: np.broadcast_to(np.float32(0), a.shape) for key, a in layer.params.items()})
        self.layer, self.name = layer, name

    def forward(self, x, rng=None):
        kind = type(self.layer)
        if kind not in LAYER_MEMORY:
            raise TypeError(
                f"nets/inspect/layer_memory.py does not know what a {kind.__name__} does with memory: add a function "
                "for it"
            )
        takes, meter = LAYER_MEMORY[kind](self.layer, x.shape, rng), x.meter
        meter.calls.append((self.name, self.layer, takes.y))
        meter.scratch = largest(meter.scratch, takes.scratch)
        work = Memory(meter, takes.forward)
        y = x.reshape(*takes.y) if takes.view else _part(meter, takes.y, takes.more_y)
        kept = Memory(meter, takes.kept)
        del work
        return y, (takes, x.shape, [a for name, a in (("x", x), ("y", y)) if name in takes.keeps], kept)

    def backward(self, dy, cache):
        takes, shape, *_ = cache
        meter, is_part = dy.meter, dy.memory.size > dy.nbytes
        meter.scratch = largest(meter.scratch, takes.scratch_backward)
        work = Memory(meter, takes.backward + (dy.nbytes if takes.copies_part and is_part else 0))
        grads = {key: FakeArray(meter, a.shape) for key, a in self.params.items()}
        if takes.view:
            dx = dy.reshape(*shape)
        else:
            dx = _part(meter, shape, takes.more_dx) if getattr(self.layer, "input_grad", True) else None
        del work
        return dx, grads


def _part(meter, shape, more):
    """A FakeArray that is a part of one with so many more bytes."""
    return FakeArray(meter, shape, Memory(meter, 4 * math.prod(shape) + more))


def fake(layer, name=""):
    """The layer with a FakeLayer for each part of it that is no container. name: before the names of its parts."""
    if not isinstance(layer, Container):
        return FakeLayer(layer, name)
    faked = copy.copy(layer)
    faked.threads = 1  # of OverFrames, whose one part has its own name, as parameters have
    names = {key: name if isinstance(layer, OverFrames) else f"{name}/{key}".strip("/") for key in layer.layers}
    faked.layers = {key: fake(child, names[key]) for key, child in layer.layers.items()}
    return faked


def output_shape(layer, shape):
    """Shape of what a layer makes of an input of `shape`."""
    return fake(layer).predict(FakeArray(Meter(), shape)).shape


def pass_memory(layer, shape, given=False, train=True):
    """The PassMemory of a layer for an input of that shape.

    given: the input's own bytes are not counted. train=False: inference, no cache and no backward pass.
    """
    meter, layer = Meter(), fake(layer)
    inputs = [FakeArray(meter, shape)]
    start = meter.live if given else 0
    held = inputs[0] if given else None  # else nobody but the layer holds the input
    rng = np.random.default_rng(0)
    y, cache = layer.forward(inputs.pop(), rng) if train else (layer.predict(inputs.pop()), None)
    y_shape, output, forward = y.shape, y.nbytes, meter.take_peak() - start
    del y
    kept = backward = after = 0
    if train:
        kept = meter.live - start
        result = layer.backward(FakeArray(meter, y_shape), cache)
        backward, after = meter.take_peak() - start, meter.live - start
        del result
    del held
    return PassMemory(y_shape, output, kept, forward, backward, after, sum(meter.scratch.values()))
