"""`training.sgd` on a GPU: one launch updates every parameter, two give the norm of all gradients.

For that the parameters must be views of one vector (`training.flat.rehome`), as they are in a net that
`training.device.move` has put on a GPU; velocities get a vector of the same layout. The norm stays on the GPU: to look
at it would hold up everything that follows.
"""

import numpy as np

from snippets.layers.device.launch import BLOCK_THREADS, launch, pointer
from snippets.layers.device.xp import xp_of

ARRAYS, GROUPS, TILES = 160, 16, 512
TABLE = np.dtype(
    [
        ("g", np.uintp, ARRAYS), ("start", np.int32, ARRAYS + 1), ("at", np.int32, ARRAYS),
        ("group", np.uint8, ARRAYS), ("rate", np.float64, GROUPS), ("pull", np.float64, GROUPS), ("count", np.int32),
    ],
    align=True,
)  # fmt: skip


def vector_of(params):
    """The one vector that all arrays of a dict are views of."""
    vectors = {id(v): v for v in (a if a.base is None else a.base for a in params.values())}
    (vector, *others) = vectors.values()
    if others or vector.ndim != 1 or not vector.flags.c_contiguous:
        raise ValueError(
            f"the parameters are {len(vectors)} separate arrays, expected views of one vector on a GPU: call "
            "training.device.move (or training.flat.rehome) on the net before the optimiser is built"
        )
    return vector


def places(params, vector):
    """Where each array stands in the vector: dict key -> slice."""
    starts = {key: (pointer(a) - pointer(vector)) // vector.itemsize for key, a in params.items()}
    return {key: slice(start, start + params[key].size) for key, start in starts.items()}


def velocities(params):
    """Zeros in a vector of the layout of the parameters', and the dict of its views."""
    vector = vector_of(params)
    velocity = xp_of(vector).zeros_like(vector)
    return velocity, {key: velocity[at].reshape(params[key].shape) for key, at in places(params, vector).items()}


def tables(grads, at=None, rates=None):
    """The structs of sgd.cu for a dict of contiguous gradients, and how many numbers each is about.

    at: dict key -> slice in the parameters' vector; rates: dict key -> (lr, lr wd).
    """
    items = list(grads.items())
    kinds = sorted(set(rates.values())) if rates else []
    if len(kinds) > GROUPS:
        raise ValueError(f"{len(kinds)} different learning rates and decays, expected at most {GROUPS} on a GPU")
    for some in (items[i : i + ARRAYS] for i in range(0, len(items), ARRAYS)):
        t, count = np.zeros((), TABLE), len(some)
        t["g"][:count], t["count"] = [pointer(g) for _, g in some], count
        t["start"][1 : count + 1] = np.cumsum([g.size for _, g in some])
        if rates:
            t["at"][:count] = [at[key].start for key, _ in some]
            t["group"][:count] = [kinds.index(rates[key]) for key, _ in some]
            t["rate"][: len(kinds)], t["pull"][: len(kinds)] = np.transpose(kinds)
        yield t[()], int(t["start"][count])


def contiguous(grads):
    return {key: xp_of(g).ascontiguousarray(g) for key, g in grads.items()}


def norm(grads):
    """Euclidean norm of all gradients together, an array of no axes on their device."""
    grads, (first, *_) = contiguous(grads), grads.values()
    sums = []
    for table, n in tables(grads):
        sums.append(xp_of(first).empty(TILES, first.dtype))
        launch("training/sgd.cu", "squares", TILES * BLOCK_THREADS, sums[-1], table, TILES, n)
    total = sums[0].sum() if len(sums) == 1 else sum(part.sum() for part in sums)
    return xp_of(first).sqrt(total)


def update(opt, grads, norm):
    """`SGD.step` on its vectors."""
    grads, w = contiguous(grads), vector_of(opt.params)
    lr = {key: opt.lr * factor for key, factor in opt.factors.items()}
    rates = {key: (lr[key], lr[key] * opt.decays[key]) for key in grads}
    norm = xp_of(w).asarray(norm, dtype=w.dtype).reshape(1)
    for table, n in tables(grads, places(opt.params, w), rates):
        launch("training/sgd.cu", "sgd", n, w, opt.vector, table, norm, opt.momentum, opt.clip_norm or 0, n)
