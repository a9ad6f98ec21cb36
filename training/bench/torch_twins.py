"""Our layers rebuilt from torch.nn, with our weights: what a user of PyTorch would write. Needs the package torch.

Torch keeps filters as (F, C, kh, kw) and matrices as (outputs, inputs).
"""

import itertools
from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.core.window import padding
from snippets.layers.dropout import Dropout
from snippets.layers.inception import Inception
from snippets.layers.linear import Flatten, Linear
from snippets.layers.lrn import LRN
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.pool import GlobalAvgPool, MaxPool2D
from snippets.layers.relu import ReLU
from snippets.layers.temporal import TemporalMaxPool
from snippets.nets.frames import OverFrames

AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # axes of our parameters in torch's order, by their number
NAMES = {"weight": "W", "bias": "b"}  # torch's name: ours


class Conv(nn.Conv2d):
    """Padding "same" as ours: an odd row or column goes to the bottom and right."""

    def __init__(self, layer):
        kernel, _, C, Fs = layer.params["W"].shape
        super().__init__(C, Fs, kernel, layer.stride)
        self.pad, self.relu = layer.pad, layer.relu

    def forward(self, x):
        top, bottom, _ = padding(int(x.shape[2]), self.kernel_size[0], self.stride[0], self.pad)
        left, right, _ = padding(int(x.shape[3]), self.kernel_size[1], self.stride[1], self.pad)
        if (top, left) != (bottom, right):
            x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
        y = F.conv2d(x, self.weight, self.bias, self.stride, (top, left))
        return F.relu_(y) if self.relu else y


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


class LSTMs(nn.LSTM):
    """A stack of LSTM layers, {name: our layer}; both have the gates in the order i, f, g, o."""

    def __init__(self, layers):
        D, rows = next(iter(layers.values())).params["W_x"].shape
        super().__init__(D, rows // 4, len(layers), batch_first=True)
        self.names = {}
        for n, name in enumerate(layers):
            self.names[f"weight_ih_l{n}"] = f"{name}/W_x"
            self.names[f"weight_hh_l{n}"] = f"{name}/W_h"
            self.names[f"bias_ih_l{n}"] = f"{name}/b"
            nn.init.zeros_(getattr(self, f"bias_hh_l{n}"))  # torch has two biases per gate

    def forward(self, x):
        return super().forward(x)[0]


class Joined(nn.ModuleDict):
    """Branches side by side, their outputs joined on the channel axis."""

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.values()], dim=1)


class Frames(nn.Sequential):
    """A tower on clips: (N, T, C, H, W) -> (N, T, ...)."""

    def forward(self, x):
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def children(layer):
    """Modules by name for the children of one of our containers; neighbouring LSTM layers become one nn.LSTM."""
    modules = {}
    for are_lstms, group in itertools.groupby(layer.layers.items(), lambda item: isinstance(item[1], PeepholeLSTM)):
        if are_lstms:
            modules["lstms"] = LSTMs(dict(group))
        else:
            modules.update({name: module_of(child) for name, child in group})
    return modules


def max_pool(layer):
    """Max-pooling; padding at the bottom and right alone is torch's `ceil_mode`."""

    def forward(x):
        top, bottom, _ = padding(int(x.shape[2]), layer.size, layer.stride, layer.pad)
        return F.max_pool2d(x, layer.size, layer.stride, top, ceil_mode=bottom > top)

    return Apply(forward)


def lrn(layer):
    """Local response normalisation."""
    o = layer.options
    alpha = o["alpha"] if o["divide_by_n"] else o["alpha"] * o["n"]  # torch divides by n
    return nn.LocalResponseNorm(o["n"], alpha, o["beta"], o["k"])


MODULES = {
    Conv2D: Conv,
    MaxPool2D: max_pool,
    Linear: lambda layer: nn.Linear(*layer.params["W"].shape),
    LRN: lrn,
    ReLU: lambda layer: nn.ReLU(),
    Dropout: lambda layer: nn.Dropout(layer.p),
    GlobalAvgPool: lambda layer: Apply(lambda x: x.mean((2, 3))),
    Flatten: lambda layer: Apply(lambda x: x.movedim(1, -1).flatten(1)),  # our order of features: channels last
    TemporalMaxPool: lambda layer: Apply(lambda x: x.max(dim=1).values),
    Sequential: lambda layer: nn.Sequential(OrderedDict(children(layer))),
    Inception: lambda layer: Joined(children(layer)),
    OverFrames: lambda layer: Frames(OrderedDict(children(layer.layer))),
}


def module_of(layer):
    """The module that computes what one of our layers does, its weights not yet copied."""
    return MODULES[type(layer)](layer)


def shared(module):
    """(our key, torch's parameter) for every parameter that both sides have."""
    for path, part in module.named_modules():
        folder = [word for word in path.split(".") if word not in ("", "lstms")]
        names = getattr(part, "names", NAMES)
        for name, p in part.named_parameters(recurse=False):
            if name in names:
                yield "/".join([*folder, names[name]]), p


def as_ours(p):
    """A parameter, or its gradient, as our side has it: a NumPy array."""
    a = p.detach().cpu().numpy()
    return a.transpose(np.argsort(AXES[a.ndim]))


def twin(layer, channels_last=False):
    """The module that computes what `layer` does, with a copy of its weights, in inference mode."""
    module = module_of(layer).eval()
    with torch.no_grad():
        for key, p in shared(module):
            p.copy_(torch.tensor(layer.params[key].transpose(AXES[p.ndim])))
    return module.to(memory_format=torch.channels_last) if channels_last else module
