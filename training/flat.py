"""All parameters of a net as one vector, of which the layers' own arrays are views.

What crosses a network is one long vector, not hundreds of small arrays: it is summed over ranks in chunks of any size
and cut into shards at any place. Nothing else changes: a layer computes with its view, an optimiser updates it in
place, and both change the vector; a name is where a parameter stands in it.

    w                0 ............................... n        one array
    slices(arrays)   conv1/W      | conv1/b | fc/W    |         dict key -> slice, in the order of the keys
    views(w, arrays) (7, 7, 3, 8) | (8,)    | (64, 5) |         dict key -> array that shares w's memory

NumPy and CuPy alike, in the library and on the device of the arrays given.
"""

import numpy as np

from snippets.layers.device.xp import xp_of


def slices(arrays):
    """Where each array of a dict stands in the vector of them all: dict key -> slice."""
    ends = np.cumsum([0, *(a.size for a in arrays.values())]).tolist()
    return {key: slice(*ends[i : i + 2]) for i, key in enumerate(arrays)}


def views(vector, arrays):
    """The vector (n,) as a dict of arrays with the keys and shapes of `arrays`, without a copy."""
    return {key: vector[where].reshape(arrays[key].shape) for key, where in slices(arrays).items()}


def empty_like(arrays, fill=None):
    """A new vector with room for all arrays of a dict; `fill`: its value everywhere, None leaves it as it comes."""
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


def rehome(net, keys=None):
    """Move the net's parameters, or those with the keys given, into one vector, whose views the layers then hold.

    Returns the vector. Build the optimiser afterwards, for it keeps the arrays themselves.
    """
    params = {key: a for key, a in net.params.items() if keys is None or key in keys}
    vector = flatten(params)
    home = {id(a): view for a, view in zip(params.values(), views(vector, params).values(), strict=True)}
    net.convert(lambda a: home.get(id(a), a))  # `params` keeps the old arrays, so that no id is given away
    return vector
