"""Our layers rebuilt from torch.nn, with our weights: what a user of PyTorch would write. Needs the package torch."""

import itertools
from collections import OrderedDict

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


class Conv(nn.Conv2d):
    """Padding "same" as ours: an odd row or column goes to the bottom and right."""

    names = {"weight": ("W", (3, 2, 0, 1)), "bias": ("b", (0,))}  # torch's name: ours, axes of ours in torch's order

    def __init__(self, layer):
        kernel, _, C, Fs = layer.params["W"].shape
        super().__init__(C, Fs, kernel, layer.stride)
        self.pad, self.relu = layer.pad, layer.relu

    def forward(self, x):
        top, bottom, _ = padding(x.shape[2], self.kernel_size[0], self.stride[0], self.pad)
        left, right, _ = padding(x.shape[3], self.kernel_size[1], self.stride[1], self.pad)
        if (top, left) != (bottom, right):
            x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
        y = F.conv2d(x, self.weight, self.bias, self.stride, (top, left))
        return F.relu_(y) if self.relu else y


class Pool(nn.Module):
    """Max-pooling; padding at the bottom and right alone is torch's `ceil_mode`."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        size, stride = self.layer.size, self.layer.stride
        top, bottom, _ = padding(x.shape[2], size, stride, self.layer.pad)
        return F.max_pool2d(x, size, stride, top, ceil_mode=bottom > top)


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


class Dense(nn.Linear):
    """A fully connected layer."""

    names = {"weight": ("W", (1, 0)), "bias": ("b", (0,))}

    def __init__(self, layer):
        super().__init__(*layer.params["W"].shape)


class LSTMs(nn.LSTM):
    """A stack of LSTM layers, {name: our layer}; both have the gates in the order i, f, g, o."""

    def __init__(self, layers):
        D, rows = next(iter(layers.values())).params["W_x"].shape
        super().__init__(D, rows // 4, len(layers), batch_first=True)
        self.names = {}
        for n, name in enumerate(layers):
            self.names[f"weight_ih_l{n}"] = f"{name}/W_x", (1, 0)
            self.names[f"weight_hh_l{n}"] = f"{name}/W_h", (1, 0)
            self.names[f"bias_ih_l{n}"] = f"{name}/b", (0,)
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


def lrn(layer):
    """Local response normalisation."""
    o = layer.options
    alpha = o["alpha"] if o["divide_by_n"] else o["alpha"] * o["n"]  # torch divides by n
    return nn.LocalResponseNorm(o["n"], alpha, o["beta"], o["k"])


MODULES = {
    Conv2D: Conv,
    MaxPool2D: Pool,
    Linear: Dense,
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
    """(our key, torch's parameter, axes of ours in torch's order) for every parameter that both sides have."""
    for path, part in module.named_modules():
        for name, (ours, axes) in getattr(part, "names", {}).items():
            folder = [word for word in path.split(".") if word not in ("", "lstms")]
            yield "/".join([*folder, ours]), getattr(part, name), axes


def twin(layer, channels_last=False):
    """The module that computes what `layer` does, with a copy of its weights, in inference mode."""
    module, params = module_of(layer).eval(), layer.params
    with torch.no_grad():
        for key, p, axes in shared(module):
            p.copy_(torch.tensor(params[key].transpose(axes)))
    return module.to(memory_format=torch.channels_last) if channels_last else module
