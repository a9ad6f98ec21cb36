"""All parameters of a net as one vector, of which the layers' own arrays are views; and the device where they are.

What crosses a network is one long vector, not hundreds of small arrays: it is summed over ranks in chunks of any size
and cut into shards at any place. Nothing else changes: a layer computes with its view, an optimiser updates it in
place, and both change the vector; a name is where a parameter stands in it.

    w                0 ............................... n        one array
    slices(arrays)   conv1/W      | conv1/b | fc/W    |         dict key -> slice, in the order of the keys
    views(w, arrays) (7, 7, 3, 8) | (8,)    | (64, 5) |         dict key -> array that shares w's memory

NumPy and CuPy alike, in the library and on the device of the arrays given. Once the parameters of a net are on a device
(`--device cpu | cuda | cuda:N`), everything follows them.
"""

import importlib
import importlib.util

import numpy as np

from snippets.layers.device.xp import DEVICES, xp_of
from snippets.nets.frames import OverFrames

GPU_CHUNK = 64  # frames that go through a tower together on a GPU: enough to fill it


def slices(arrays):
    """Where each array of a dict stands in the vector of them all: dict key -> slice."""
    ends = np.cumsum([0, *(a.size for a in arrays.values())]).tolist()
    return {key: slice(*ends[i : i + 2]) for i, key in enumerate(arrays)}


def views(vector, arrays):
    """The vector (n,) as a dict of arrays with the keys and shapes of `arrays`, without a copy."""
    return {key: vector[where].reshape(arrays[key].shape) for key, where in slices(arrays).items()}


def empty_like(arrays, fill=None):
    """A new vector with room for all arrays of a dict; fill: its value everywhere, None: not set. TypeError: dtypes."""
    kinds = {a.dtype for a in arrays.values()}
    if len(kinds) != 1:
        found = ", ".join(sorted(map(str, kinds))) or "no array at all"
        raise TypeError(f"one vector needs arrays of one dtype, found {found}; convert the net first")
    xp, size = xp_of(next(iter(arrays.values()))), sum(a.size for a in arrays.values())
    return xp.empty(size, *kinds) if fill is None else xp.full(size, fill, *kinds)


def flatten(arrays, out=None):
    """A copy of all arrays of a dict as one vector (n,), into `out` if given."""
    out = empty_like(arrays) if out is None else out
    for key, view in views(out, arrays).items():
        view[...] = arrays[key]
    return out


def pack_parameters(net, keys=None):
    """Move the net's parameters, or those with the keys given, into one vector, whose views the layers then hold.

    Returns the vector. Build the optimiser afterwards, for it keeps the arrays themselves.
    """
    params = {key: a for key, a in net.params.items() if keys is None or key in keys}
    vector = flatten(params)
    packed = {id(a): view for a, view in zip(params.values(), views(vector, params).values(), strict=True)}
    net.convert(lambda a: packed.get(id(a), a))  # `params` keeps the old arrays, so that no id is given away
    return vector


def use_device(device):
    """The array library of a device, which is made the current one. ValueError for one that is not there."""
    kind, _, number = device.partition(":")
    if device == "cpu":
        return np
    if kind != "cuda" or (number and not number.isdecimal()):
        raise ValueError(f"device is {device!r}, expected {DEVICES}")
    if importlib.util.find_spec("cupy") is None:
        raise ValueError(f"device {device} needs CuPy: pip install 'snippets[cuda13]' (or cuda12), see docs/gpu.md")
    cupy = importlib.import_module("cupy")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise ValueError(f"device {device}: CuPy finds no GPU ({error})") from error
    if int(number or 0) >= count:
        raise ValueError(f"device {device}: there are {count} GPUs, the first is cuda:0")
    cupy.cuda.Device(int(number or 0)).use()
    return cupy


def move_to_device(net, device):
    """Put a net on a device, its parameters in one vector there; returns the net. Errors: those of `use_device`.

    A tower then takes GPU_CHUNK frames at a time.
    """
    if device != "cpu":
        net.convert(use_device(device).asarray)
        if net.params:
            pack_parameters(net)
        for layer in (net, *getattr(net, "layers", {}).values()):
            if isinstance(layer, OverFrames):
                layer.chunk = GPU_CHUNK
    return net
