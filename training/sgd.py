r"""Stochastic gradient descent with momentum and weight decay (section 3.3 of the paper).

    g = g min(1, clip / |g|)         option; |g| is the norm of all trained gradients together
    v = m v - lr (g + wd w)
    w = w + v

Libraries disagree on where the learning rate stands. Here, as in Krizhevsky et al. (2012), Caffe and Keras, it is
inside the velocity: a change of lr acts on new gradients only. PyTorch keeps it outside,

    u = m u + g + wd w,   w = w - lr u

so that a change of lr rescales past gradients too. While lr is constant v = -lr u and both give the same w.

The paper is silent on biases. The default decays every parameter but those whose key ends in "b", as Caffe's AlexNet
and GoogLeNet do: decay keeps a function smooth by keeping its slopes small, and a bias is no slope.
`decay_biases=True` decays them too. The clip looks at the gradient of the loss alone, before weight decay is added.

Parameters are a flat dict, "tower/conv1/W" -> array, and a group is a prefix of its keys: {"tower/": 0.1} multiplies
the learning rate of everything under tower/ by 0.1; the longest matching prefix wins; 0 freezes: no update, no decay,
no momentum. What is measured and not learned (`layers.features.standardise`) is always frozen.
"""

import math

import numpy as np

from snippets.data.options import Range, check
from snippets.layers.device.launch import BLOCK_THREADS, launch, pointer
from snippets.layers.device.xp import on_gpu, scratch, xp_of

MEASURED = "standardise/"  # keys of a layer that `training.small.standardise` fills
ARRAYS, GROUPS, TILES = 160, 16, 512
TABLE = np.dtype(
    [
        ("g", np.uintp, ARRAYS), ("start", np.int32, ARRAYS + 1), ("at", np.int32, ARRAYS),
        ("group", np.uint8, ARRAYS), ("rate", np.float64, GROUPS), ("pull", np.float64, GROUPS), ("count", np.int32),
    ],
    align=True,
)  # fmt: skip


def exponential(lr, decay, every):
    """Learning rate as a function of the updates done: lr * decay ** (step / every), smooth, not in stairs."""
    if not (lr > 0 and 0 < decay <= 1 and every > 0):
        raise ValueError(f"exponential needs lr > 0, 0 < decay <= 1 and every > 0, got {lr}, {decay} and {every}")
    return lambda step: lr * decay ** (step / every)


def gradient_norm(grads):
    """Euclidean norm of all arrays of a dict taken as one long vector; a float, or on a GPU an array of no axes."""
    if on_gpu(next(iter(grads.values()))):
        return gpu_norm(grads)
    return math.sqrt(sum(np.vdot(g, g).astype("float64") for g in grads.values()))


def multiplier(key, groups):
    """Learning-rate factor of one parameter: the value of the longest prefix in groups that fits the key, else 1.

    0 for what `layers.features.standardise` holds.
    """
    if key.startswith(MEASURED):
        return 0.0
    fitting = [prefix for prefix in groups if key.startswith(prefix)]
    return float(groups[max(fitting, key=len)]) if fitting else 1.0


class SGD:
    """Updates the arrays of a flat dict in place; `velocity` and `steps` are all its state.

    params        dict key -> array; build the optimiser after any change of dtype, for it keeps these very arrays
    lr            number, or function of the number of updates done, see `exponential`
    momentum      m above, 0 <= m < 1
    weight_decay  wd above
    clip_norm     maximum gradient norm (over all trained parameters together), None = no limit
    groups        key prefix -> learning-rate multiplier
    """

    def __init__(self, params, lr, momentum=0.9, weight_decay=0.0005, clip_norm=None, groups=None, decay_biases=False):
        groups = dict(groups or {})
        check("momentum", momentum, Range(least=0, below=1))
        check("weight_decay", weight_decay, Range(least=0))
        check("clip_norm", math.inf if clip_norm is None else clip_norm, Range(above=0))
        for prefix, factor in groups.items():
            if not any(key.startswith(prefix) for key in params):
                raise ValueError(f"group {prefix!r} fits no parameter; the keys begin with {', '.join(_heads(params))}")
            check(f"the factor of group {prefix!r}", factor, Range(least=0))
        self.schedule = lr if callable(lr) else lambda step: lr
        self.momentum, self.clip_norm = float(momentum), clip_norm
        self.factors = {key: f for key in params if (f := multiplier(key, groups)) > 0}
        self.decays = {
            key: float(weight_decay) if decay_biases or key.split("/")[-1] != "b" else 0.0 for key in self.factors
        }
        self.params = {key: params[key] for key in self.factors}  # only what is trained
        self.vector = None  # of velocities, on a GPU
        if on_gpu(next(iter(self.params.values()), None)):
            self.vector, self.velocity = gpu_velocities(self.params)
        else:
            self.velocity = {key: np.zeros_like(w) for key, w in self.params.items()}
        self.steps = 0

    @property
    def lr(self):
        """Learning rate of the next update, before group multipliers."""
        return float(self.schedule(self.steps))

    def trained(self, grads):
        """The gradients that this optimiser uses, in the order of its parameters; checks that none is missing."""
        for key, w in self.params.items():
            if key not in grads or grads[key].shape != w.shape:
                found = f"one of shape {grads[key].shape}" if key in grads else "none"
                raise ValueError(f"parameter {key} needs a gradient of shape {w.shape}, got {found}")
        return {key: grads[key] for key in self.params}

    def step(self, grads, norm=None):
        """One update in place; returns the gradient norm before clipping. Pass `norm` if it is already known.

        All of it goes by the learning rate at the number of updates so far, `steps`, which then counts one more.
        """
        grads = self.trained(grads)
        norm = gradient_norm(grads) if norm is None else norm
        if self.vector is not None:
            gpu_update(self, grads, norm)
            self.steps += 1
            return norm
        shrink = 1.0 if self.clip_norm is None or norm <= self.clip_norm else self.clip_norm / norm
        for key, whole in self.params.items():
            lr = self.lr * self.factors[key]
            for w, v, g in pieces(whole, self.velocity[key], grads[key]):
                self.change(w, v, g, lr, shrink, self.decays[key])
        self.steps += 1
        return norm

    def change(self, w, v, g, lr, shrink, decay):
        """The equations above for a piece of a parameter, in place; shrink: min(1, clip / |g|)."""
        v *= self.momentum
        part = scratch("sgd", v.shape, v.dtype)
        v -= np.multiply(g, lr * shrink, out=part)
        if decay:
            v -= np.multiply(w, lr * decay, out=part)
        w += v


def pieces(*arrays, size=1 << 17):
    """The arrays, all of one shape, cut alike into flat views of `size` elements.

    Five operations on a piece that stays in the cache are two to three times as fast as five passes over memory.
    """
    if not all(a.flags.c_contiguous for a in arrays):
        return [arrays]  # there is no flat view
    flat = [a.reshape(-1) for a in arrays]
    return (tuple(a[i : i + size] for a in flat) for i in range(0, flat[0].size, size))


def _heads(params):
    """First parts of the keys, in order, for error messages."""
    return dict.fromkeys(key.split("/")[0] + "/" if "/" in key else key for key in params)


# On a GPU one launch of training/sgd.cu updates every parameter, two give the norm of all gradients. For that the
# parameters are views of one vector (`training.parameters`), and velocities get a vector of the same layout. The norm
# stays on the GPU: to read it would hold up everything that follows.


def vector_of(params):
    """The one vector that all arrays of a dict are views of."""
    vectors = {id(v): v for v in (a if a.base is None else a.base for a in params.values())}
    (vector, *others) = vectors.values()
    if others or vector.ndim != 1 or not vector.flags.c_contiguous:
        raise ValueError(
            f"the parameters are {len(vectors)} separate arrays, expected views of one vector on a GPU: call "
            "training.parameters.move_to_device (or pack_parameters) on the net before the optimiser is built"
        )
    return vector


def places(params, vector):
    """Where each array stands in the vector: dict key -> slice."""
    starts = {key: (pointer(a) - pointer(vector)) // vector.itemsize for key, a in params.items()}
    return {key: slice(start, start + params[key].size) for key, start in starts.items()}


def gpu_velocities(params):
    """Zeros in a vector of the layout of the parameters', and the dict of its views."""
    vector = vector_of(params)
    velocity = xp_of(vector).zeros_like(vector)
    return velocity, {key: velocity[at].reshape(params[key].shape) for key, at in places(params, vector).items()}


def tables(grads, at=None, rates=None):
    """The structs of sgd.cu for a dict of contiguous gradients, and how many elements each has.

    at: dict key -> slice in the parameters' vector; rates: dict key -> (lr, lr wd).
    """
    items = list(grads.items())
    kinds = sorted(set(rates.values())) if rates else []
    if len(kinds) > GROUPS:
        raise ValueError(f"{len(kinds)} different learning rates and decays, expected at most {GROUPS} on a GPU")
    for some in (items[i : i + ARRAYS] for i in range(0, len(items), ARRAYS)):
        t, count = np.zeros((), TABLE), len(some)
        t["g"][:count], t["count"] = [pointer(g) for _, g in some], count
        ends = np.cumsum([g.size for _, g in some])
        t["start"][1 : count + 1] = ends
        if rates:
            t["at"][:count] = [at[key].start for key, _ in some]
            t["group"][:count] = [kinds.index(rates[key]) for key, _ in some]
            t["rate"][: len(kinds)], t["pull"][: len(kinds)] = np.transpose(kinds)
        yield t[()], int(ends[-1])  # not what the table holds: `launch` refuses a number that was too large for it


def contiguous(grads):
    """The same gradients, copied where they are not contiguous."""
    return {key: xp_of(g).ascontiguousarray(g) for key, g in grads.items()}


def gpu_norm(grads):
    """Euclidean norm of all gradients together, an array of no axes on their device."""
    grads, (first, *_) = contiguous(grads), grads.values()
    sums = []
    for table, n in tables(grads):
        sums.append(xp_of(first).empty(TILES, first.dtype))
        launch("training/sgd.cu", "squares", TILES * BLOCK_THREADS, sums[-1], table, TILES, n)
    total = sums[0].sum() if len(sums) == 1 else sum(part.sum() for part in sums)
    return xp_of(first).sqrt(total)


def gpu_update(opt, grads, norm):
    """`SGD.step` on its vectors."""
    grads, w = contiguous(grads), vector_of(opt.params)
    lr = {key: opt.lr * factor for key, factor in opt.factors.items()}
    rates = {key: (lr[key], lr[key] * opt.decays[key]) for key in grads}
    norm = xp_of(w).asarray(norm, dtype=w.dtype).reshape(1)
    for table, n in tables(grads, places(opt.params, w), rates):
        launch("training/sgd.cu", "sgd", n, w, opt.vector, table, norm, opt.momentum, opt.clip_norm or 0, n)
