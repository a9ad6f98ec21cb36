"""Layers on another device behind NumPy arguments, so that every check written for NumPy serves there too."""

import contextlib
import copy
import functools
import importlib
import inspect
import types
from unittest import mock

import numpy as np
import oracle_checks_conv
import oracle_checks_units as units
from contract import PROMISES, assert_close, upstream
from layer_cases import CASES, generator, spaced
from oracle_table import CHECKS
from planted import HERE, read_bugs, source

from snippets.data.flow import tvl1
from snippets.layers import conv
from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Layer, Sequential
from snippets.layers.device import cu_source, launch
from snippets.layers.dropout import Dropout
from snippets.layers.inception import Inception
from snippets.layers.linear import Linear
from snippets.layers.loss import softmax_loss
from snippets.layers.lrn import LRN
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.pool import MaxPool2D
from snippets.layers.relu import ReLU
from snippets.layers.temporal import TemporalMaxPool
from snippets.training.parameters import flatten, views
from snippets.training.sgd import SGD

WITH_KERNELS = [
    name for name in CHECKS if hasattr(importlib.import_module(name), "on_gpu") and name != "snippets.layers.device.xp"
]  # modules that hand over to kernels
USERS = ("snippets.layers.inception", "snippets.nets.frames")  # and modules that are made of those


@contextlib.contextmanager
def kernels_on_host():
    """NumPy arrays take the way of CuPy's, over kernels that the host's compiler made."""
    with contextlib.ExitStack() as stack:
        for name in WITH_KERNELS:
            stack.enter_context(mock.patch.object(importlib.import_module(name), "on_gpu", lambda x: True))
        yield


@contextlib.contextmanager
def planted(bug):
    """The kernels of one file with a bug of planted_kernel_bugs.txt in them."""
    wrong, right = source(bug), cu_source.source
    with mock.patch.object(launch, "source", lambda file: wrong if file == bug.file else right(file)):
        yield


BUGS = read_bugs((HERE / "planted_kernel_bugs.txt").read_text())


NUMPY_CHECKS = (
    oracle_checks_conv.conv_by_fast_algorithms,
    oracle_checks_conv.loud_pixels,
    units.bias_and_relu,
    units.branches_that_pass,
)  # the last has layers of its own


def checks_of(file, cp=None):
    """(module's name, check) of every oracle that runs the kernels of a `.cu` file, and on the host every promise."""
    modules = {
        "layers/relu.cu": ("snippets.layers.relu", "snippets.layers.conv"),
        "layers/core/branches.cu": ("snippets.layers.core.branches", "snippets.layers.inception"),
    }
    for name in modules.get(file, ("snippets." + file.removesuffix(".cu").replace("/", "."),)):
        for check in CHECKS.get(name, []):
            if check not in NUMPY_CHECKS:
                yield name, check
        for case in CASES:
            if case.module == name and cp is None:
                for promise in PROMISES:
                    yield name, lambda module, p=promise, c=case: p(c, module)


LARGER = [  # file whose kernels it is about, layer, shape of x: several blocks of threads, several tiles, odd ends
    ("layers/relu.cu", lambda: Sequential(fc=Linear(30, 40, generator()), relu=ReLU()), (23, 30)),
    ("layers/relu.cu", lambda: Inception(16, (3, 2, 3, 4, 5, 1), rng=generator()), (2, 4, 3, 16)),
    ("layers/relu.cu", lambda: Conv2D(8, 24, 1, relu=True, rng=generator()), (3, 40, 31, 8)),
    ("layers/conv.cu", lambda: Conv2D(3, 4, 7, 2, relu=True, rng=generator()), (2, 8, 201, 3)),
    ("layers/conv.cu", lambda: Conv2D(3, 5, 11, 4, rng=generator()), (2, 12, 120, 3)),
    ("layers/conv.cu", lambda: Conv2D(16, 8, 3, relu=True, rng=generator()), (2, 9, 11, 16)),
    ("layers/conv.cu", lambda: Conv2D(8, 3, 5, 2, pad=2, rng=generator()), (3, 12, 11, 8)),
    ("layers/core/branches.cu", lambda: Inception(24, (8, 8, 16, 8, 8, 16), rng=generator()), (2, 9, 8, 24)),
    ("layers/pool.cu", lambda: MaxPool2D(), (2, 13, 12, 24)),
    ("layers/pool.cu", lambda: MaxPool2D(3, 1), (2, 7, 9, 16)),
    ("layers/lrn.cu", lambda: LRN(alpha=0.5), (3, 5, 4, 24)),
    ("layers/lrn.cu", lambda: LRN(3, 1.0, 0.7, 0.6, divide_by_n=True), (2, 7, 9, 20)),
    ("layers/temporal.cu", lambda: TemporalMaxPool(), (2, 13, 5, 7, 9)),
    ("layers/temporal.cu", lambda: TemporalMaxPool(10, 5), (2, 33, 130)),
    ("layers/lstm.cu", lambda: PeepholeLSTM(20, 48, generator()), (9, 7, 20)),
    ("layers/dropout.cu", lambda: Dropout(0.6), (7, 3, 61)),
    ("layers/dropout.cu", lambda: Dropout(0.6, per_clip=True), (7, 13, 61)),
]


def both_passes(layer, x, dtype):
    """y, dx and gradients by name, in this precision; dropout draws from the same generator."""
    layer = layer.convert(lambda a: a.astype(dtype))
    for key, value in layer.params.items():
        value += np.random.default_rng(len(key)).normal(0, 0.1, value.shape).astype(dtype)  # no zero biases
    y, cache = layer.forward(x.astype(dtype), np.random.default_rng(5))
    dx, grads = layer.backward(upstream(y), cache)
    return {"y": y, "dx": dx, **grads}


TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


@functools.cache
def by_numpy(number, dtype):
    """What the NumPy code makes of number `number` of LARGER."""
    _, make, shape = LARGER[number]
    return both_passes(make(), spaced(shape, 1), dtype)


def larger(number, dtype, device=lambda layer: layer):
    """A layer of LARGER on a device gives what NumPy gives, forward and backward."""
    _, make, shape = LARGER[number]
    got = both_passes(device(make()), spaced(shape, 1), dtype)
    for name, value in by_numpy(number, dtype).items():
        assert got[name].dtype == dtype, f"{name} is {got[name].dtype}"
        assert_close(got[name], value, name, rtol=TOLERANCE[dtype])


def long_rows(dtype, loss=softmax_loss, right=softmax_loss):
    """Softmax over more classes than a block has threads; a label for each clip, each frame, and a distribution."""
    rng = np.random.default_rng(3)
    scores, weight = 3 * rng.normal(size=(2, 3, 700)).astype(dtype), rng.random((2, 3))
    for labels in (np.array([5, 699]), rng.integers(0, 700, (2, 3)), rng.random((2, 3, 700))):
        wanted, got = right(scores, labels, weight), loss(scores, labels, weight)
        for name, a, b in zip(("loss", "dscores"), got, wanted, strict=True):
            assert_close(a, b, name, rtol=TOLERANCE[dtype])


def iterations(dtype, iterate=tvl1.iterate):
    """w, p and the change after three iterations of TV-L1 on images of several blocks and odd sizes."""
    rng, (N, H, W) = np.random.default_rng(4), (3, 37, 61)
    w, p = rng.standard_normal((2, N, H, W)).astype(dtype), rng.uniform(-0.7, 0.7, (2, 2, N, H, W)).astype(dtype)
    p[0, ..., -1] = p[1, ..., -1, :] = 0
    J, c = rng.standard_normal((2, N, H, W)).astype(dtype), rng.standard_normal((N, H, W)).astype(dtype)
    for _ in range(3):
        change = iterate(w, p, (J, c, 1 / (J * J).sum(axis=0)), 0.2, 0.06, True)
    return {"w": w, "p": p, "change": change}


def flow_like_numpys(dtype, iterate=tvl1.iterate, wanted=None):
    """`iterations` by `iterate`, held against NumPy's."""
    wanted = wanted or iterations(dtype)
    for name, got in iterations(dtype, iterate).items():
        assert got.dtype == dtype, f"{name} is {got.dtype}"
        assert_close(got, wanted[name], name, rtol=TOLERANCE[dtype])


SIZES = {"tower/W": (30, 50), "tower/b": (7,), "fc1/W": (20, 30), "fc1/b": (3,), "fc2/W": (11, 13), "fc2/b": (13,)}


def updates(params, clip, there=np.asarray):
    """Three updates in place: momentum, decay, groups, frozen parameters, the clip; and the norms."""
    options = dict(momentum=0.8, weight_decay=0.1, clip_norm=clip, groups={"tower/": 0.3, "fc1/": 0.0})
    opt, rng, norms = SGD(params, lambda step: 0.1 / (1 + step), **options), np.random.default_rng(0), {}
    for n in range(3):
        norms[f"norm {n}"] = opt.step({key: there(rng.normal(size=a.shape)) for key, a in params.items()})
    return to_host({**params, **{f"velocity/{key}": v for key, v in opt.velocity.items()}, **norms})


def updates_like_numpys(there=np.asarray):
    """`updates` by kernels on one vector, of more numbers than the norm has threads, held against NumPy's."""
    for clip in (None, 10, 1e4):
        rng = np.random.default_rng(1)
        params = {key: rng.normal(size=size) for key, size in SIZES.items()}
        vector = there(flatten(params))  # a copy
        wanted = updates(params, clip)
        with (
            mock.patch("snippets.training.sgd.on_gpu", lambda a: True),
            mock.patch("snippets.training.sgd.TILES", 5),
        ):
            got = updates(views(vector, params), clip, there)
        for key, value in wanted.items():
            assert_close(got[key], value, key, rtol=1e-12)


def to_device(a, cp):
    """An array on the device, in the memory layout that it has, or a tuple of arrays; anything else as it is."""
    if isinstance(a, tuple) and all(isinstance(part, np.ndarray) for part in a):
        return tuple(to_device(part, cp) for part in a)
    if not isinstance(a, np.ndarray):
        return a
    if a.flags.c_contiguous:
        return cp.asarray(a)
    if a.flags.f_contiguous:
        return cp.asfortranarray(cp.asarray(a))
    return cp.repeat(cp.asarray(a), 2, axis=-1)[..., ::2]


def to_host(a):
    """The same on the host, in tuples and dicts too."""
    if isinstance(a, (tuple, list)):
        return type(a)(to_host(part) for part in a)
    if isinstance(a, dict):
        return {key: to_host(part) for key, part in a.items()}
    return a.get() if type(a).__module__.startswith("cupy") else a


class DeviceLayer(Layer):
    """A layer that computes on the device; its parameters are on the host, where a check may change them."""

    def __init__(self, layer, cp):
        self.__dict__.update(layer=layer, cp=cp)

    def __setattr__(self, name, value):
        setattr(self.layer, name, value)

    @property
    def params(self):
        return self.layer.params

    def convert(self, change):
        self.layer.convert(change)
        return self

    def there(self):
        return copy.deepcopy(self.layer).convert(self.cp.asarray)

    def run(self, method, a, other):
        layer, there = self.there(), to_device(a, self.cp)
        result = getattr(layer, method)(there, *other)
        assert not isinstance(there, self.cp.ndarray) or np.array_equal(there.get(), a), f"{method} wrote into {a}"
        for key, value in layer.params.items():
            assert np.array_equal(value.get(), self.params[key]), f"{method} wrote into parameter {key}"
        return result

    def forward(self, x, rng=None):
        y, cache = self.run("forward", x, (rng,))
        return to_host(y), cache

    def backward(self, dy, cache):
        return to_host(self.run("backward", dy, (cache,)))

    def predict(self, x):
        return to_host(self.run("predict", x, ()))

    def __getattr__(self, name):
        return getattr(self.layer, name)


class DeviceModule:
    """A module whose functions and layers take NumPy arrays and compute on the device."""

    def __init__(self, module, cp):
        self.__dict__.update(module=module, cp=cp)

    def __setattr__(self, name, value):
        setattr(self.module, name, value)

    def __getattr__(self, name):
        value = getattr(self.module, name)
        if inspect.isclass(value) and issubclass(value, Layer):
            return lambda *args, **options: DeviceLayer(value(*args, **options), self.cp)
        if not isinstance(value, types.FunctionType):
            return value

        def call(*args, **options):
            there = [to_device(a, self.cp) for a in args]
            if name == "softmax_loss":
                there[1] = args[1]  # labels are looked at on the host
            result = value(*there, **{k: to_device(a, self.cp) for k, a in options.items()})
            for a, changed in zip(args, there, strict=True):
                if isinstance(a, np.ndarray) and isinstance(changed, self.cp.ndarray) and a.flags.writeable:
                    a[...] = changed.get()  # what it wrote into its arguments, if anything
            if name.endswith("_forward") or name == "lstm_step":  # the cache goes back as it came
                return (*to_host(result[:-1]), result[-1])
            return to_host(result)

        return call


@contextlib.contextmanager
def small_blocks():
    """Convolutions take their images one by one."""
    with mock.patch.object(conv, "GPU_ELEMENTS", 100):
        yield
