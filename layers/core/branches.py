"""Layers side by side: each sees x, and their outputs are joined on the last axis."""

import numpy as np

from snippets.layers.core.base import Container
from snippets.layers.device.launch import launch, pointer
from snippets.layers.device.xp import on_gpu, xp_of

PARTS = np.dtype([("part", np.uintp, 8), ("start", np.int32, 9), ("count", np.int32)], align=True)


class Branches(Container):
    """y = [y_1 | y_2 | ...], dx = dx_1 + dx_2 + ...: GoogLeNet's inception modules; up to eight branches on a GPU."""

    def forward(self, x, rng=None):
        outputs, caches = zip(*(layer.forward(x, rng) for layer in self.layers.values()), strict=True)
        return join(outputs), ([y.shape[-1] for y in outputs], caches)

    def backward(self, dy, cache):
        widths, caches = cache
        parts = xp_of(dy).split(dy, np.cumsum(widths)[:-1].tolist(), axis=-1)
        dxs, grads = [], {}
        for (name, layer), part, layer_cache in zip(self.layers.items(), parts, caches, strict=True):
            branch_dx, branch_grads = layer.backward(part, layer_cache)
            dxs.append(branch_dx)
            grads.update({f"{name}/{k}": g for k, g in branch_grads.items()})
        return add(dxs), grads  # every branch saw x, so their gradients add

    def predict(self, x):
        return join([layer.predict(x) for layer in self.layers.values()])


def join(outputs):
    """Arrays of one shape but for the last axis, side by side on that axis."""
    return join_cuda(outputs) if on_gpu(outputs[0]) else np.concatenate(outputs, axis=-1)


def add(dxs):
    """The sum of arrays of one shape, in a new array."""
    if on_gpu(dxs[0]):
        return add_cuda(dxs)
    total = dxs[0].copy()
    for dx in dxs[1:]:
        total += dx
    return total


def parts_struct(arrays):
    """The struct Parts of branches.cu; `arrays` must live until the kernel is launched."""
    struct = np.zeros((), PARTS)
    struct["part"][: len(arrays)] = [pointer(a) for a in arrays]
    struct["start"][1 : len(arrays) + 1] = np.cumsum([a.shape[-1] for a in arrays])
    struct["count"] = len(arrays)
    return struct[()]


def join_cuda(outputs):
    """`join` on a GPU."""
    xp = xp_of(outputs[0])
    outputs = [xp.ascontiguousarray(a) for a in outputs]
    C = sum(a.shape[-1] for a in outputs)
    y = xp.empty((*outputs[0].shape[:-1], C), outputs[0].dtype)
    launch("layers/core/branches.cu", "join", y.size, y, parts_struct(outputs), C, y.size)
    return y


def add_cuda(dxs):
    """`add` on a GPU."""
    xp = xp_of(dxs[0])
    dxs = [xp.ascontiguousarray(a) for a in dxs]
    total = xp.empty_like(dxs[0])
    launch("layers/core/branches.cu", "add", total.size, total, parts_struct(dxs), total.size)
    return total
