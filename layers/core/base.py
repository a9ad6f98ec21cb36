r"""What a layer is, and how layers join into networks.

A layer owns parameters and two methods, written by hand; there is no other way to a gradient:

    y, cache  = layer.forward(x, rng)       what the layer computes, and what its backward pass will need
    dx, grads = layer.backward(dy, cache)   dL/dx and dL/dparams from dL/dy, by the chain rule

The cache is returned, never kept on the layer: one layer may run twice before either backward pass, or in two threads,
and one tower serves every frame of a video. The tests hold every layer to these rules:

- `grads` has exactly the keys, shapes and dtypes of `params`; parameters are only ever updated in place.
- Nothing writes into an argument; results have the dtype of the inputs.
- `rng` is a `numpy.random.Generator` while training (dropout draws from it) and None at inference; inside a tower it is
  a `FrameRng` (`layers.dropout`), which knows whose frames they are.

Containers are layers as well. Their parameters have joined names, `tower/inception3a/conv5/W`, so that optimisers and
checkpoints are loops over one flat dict.
"""

import numpy as np


class Layer:
    """A function with parameters and a hand-written derivative; see the module's docstring for the contract."""

    def __init__(self, **params):
        self.params = params

    def forward(self, x, rng=None):
        """Return `y, cache`."""
        raise NotImplementedError

    def backward(self, dy, cache):
        """Return `dx, grads` for an upstream gradient `dy` of y's shape."""
        raise NotImplementedError

    def predict(self, x):
        """The inference output alone; whatever a backward pass would have needed is dropped."""
        return self.forward(x)[0]

    def convert(self, change):
        """Replace every parameter array `a` by `change(a)`, e.g. `lambda a: a.astype(np.float64)`; returns self."""
        self.params = {name: change(a) for name, a in self.params.items()}
        return self

    def expect(self, x, ndim=None, last=None):
        """Refuse an input of the wrong kind before it turns into a wrong answer.

        ndim: number of axes, or None for any; last: length of the last axis (channels or features), or None for any.
        Raises TypeError for a dtype that is not floating or is not the parameters', ValueError for a wrong shape.
        """
        name, dtype = type(self).__name__, getattr(x, "dtype", None)
        if dtype is None or dtype.kind != "f":
            found = dtype or type(x).__name__
            raise TypeError(f"{name}: x is {found}, expected a floating-point array; scale and convert it first")
        key, a = next(iter(self.params.items()), (None, x))
        if a.dtype != dtype:
            raise TypeError(f"{name}: x is {dtype}, parameter {key} is {a.dtype}; convert x, or the layer by convert()")
        if ndim is not None and x.ndim != ndim:
            raise ValueError(f"{name}: x has shape {x.shape}, expected {ndim} axes")
        if last is not None and (x.ndim == 0 or x.shape[-1] != last):
            raise ValueError(f"{name}: x has shape {x.shape}, expected {last} on the last axis")


class Recurrent(Layer):
    """A layer over time, (N, T, ...) -> (N, T, ...), whose state can be carried on: a stream has no end."""

    def scan(self, x, state=None):
        """Return `y, state, cache`: the state after the last frame of x, from the one given, None for zeros."""
        raise NotImplementedError

    def forward(self, x, rng=None):
        y, _, cache = self.scan(x)
        return y, cache


class Container(Layer):
    """Named layers; subclasses say how data flows through them."""

    def __init__(self, **layers):
        self.layers = layers

    @property
    def params(self):
        """Flat dict `child/name` -> array, the arrays themselves: updating one in place updates the child."""
        return {f"{name}/{k}": a for name, layer in self.layers.items() for k, a in layer.params.items()}

    def convert(self, change):
        for layer in self.layers.values():
            layer.convert(change)
        return self


class Sequential(Container):
    """Layers one after the other: `Sequential(conv1=Conv2D(...), pool1=MaxPool2D())`."""

    cut = None  # name of the layer behind which the chain may be run in two parts, to save memory (nets.recompute)

    def forward(self, x, rng=None):
        caches = []
        for layer in self.layers.values():
            x, cache = layer.forward(x, rng)
            caches.append(cache)
        return x, caches

    def backward(self, dy, cache):
        grads = {}
        for (name, layer), layer_cache in zip(reversed(self.layers.items()), reversed(cache), strict=True):
            dy, layer_grads = layer.backward(dy, layer_cache)
            grads.update({f"{name}/{k}": g for k, g in layer_grads.items()})
        return dy, grads

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.predict(x)
        return x


def he_normal(rng, shape, fan_in):
    """Normal weights of variance 2 / fan_in, which keeps the scale of activations through ReLUs (He et al., 2015)."""
    return no_weights(shape) if rng is None else (rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32)


def glorot_uniform(rng, shape, fan_in, fan_out):
    """Uniform weights of variance 2 / (fan_in + fan_out), for linear and saturating units (Glorot and Bengio, 2010)."""
    bound = np.sqrt(6.0 / (fan_in + fan_out))
    return no_weights(shape) if rng is None else rng.uniform(-bound, bound, shape).astype(np.float32)


def zeros(rng, shape):
    """Weights that are zero at the start."""
    return no_weights(shape) if rng is None else np.zeros(shape, np.float32)


def no_weights(shape):
    """Weights of a network that never runs (rng None): an array of a shape that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)


def side_by_side(weights):
    """Weights of several gates, joined on the last axis."""
    if weights[0].strides[-1] == 0:  # see no_weights
        return no_weights((*weights[0].shape[:-1], sum(w.shape[-1] for w in weights)))
    return np.concatenate(weights, axis=-1)
