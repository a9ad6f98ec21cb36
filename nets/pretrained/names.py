r"""Trained GoogLeNets from elsewhere: Caffe's, as exported to ONNX, and torchvision's state dict (docs/weights.md).

Each tensor's name stands for one layer of ours. Filters (F, C, kh, kw) become (kh, kw, C, F), a linear layer's (K, D)
becomes (D, K).

    Caffe         sees blue, green, red: the channels of its first filters are reversed, for ours are red, green, blue
    torchvision   has batch norm and no bias, y = gamma (W * x - mean) / sqrt(var + 0.001) + beta, which is
                  W' = W gamma / sqrt(var + 0.001)    b' = beta - mean gamma / sqrt(var + 0.001)

Padding, LRN and kernels that differ are the network's `variant`; PIXELS says how pixels are scaled for the network. A
mean is not folded into the first bias: padding is zero *after* it is subtracted, so the border would come out wrong.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.nets.pretrained.files import read_tensors

STEM = {  # our layer: Caffe's name, torchvision's
    "conv1": ("conv1/7x7_s2", "conv1"),
    "reduce2": ("conv2/3x3_reduce", "conv2"),
    "conv2": ("conv2/3x3", "conv3"),
    "linear": ("loss3/classifier", "fc"),
}
BRANCHES = {  # the same in inception3a ... 5b, with inception_3a/ and inception3a. before the name
    "conv1": ("1x1", "branch1"),
    "conv3/reduce": ("3x3_reduce", "branch2.0"),
    "conv3/conv": ("3x3", "branch2.1"),
    "conv5/reduce": ("5x5_reduce", "branch3.0"),
    "conv5/conv": ("5x5", "branch3.1"),
    "pool/proj": ("pool_proj", "branch4.1"),
}
PIXELS = {  # the network sees (pixel - mean) / scale: red, green, blue in 0..255
    "caffe": dict(mean=[123.0, 117.0, 104.0], scale=1.0),
    "torchvision": dict(mean=127.5, scale=127.5),  # its normalisation and its transform_input, one after the other
}


class Source(NamedTuple):
    """A file of weights: its arrays by name, whose names these are, and the variant of GoogLeNet that they are for."""

    path: Path
    tensors: dict
    program: str
    variant: str


class Map(NamedTuple):
    """Our parameters by name, the layer that each tensor went into, and the tensors that no layer has a use for."""

    params: dict
    used: dict
    left: list

    def __str__(self):
        lines = [f"{name:44} -> {layer}" for name, layer in self.used.items()]
        lines += [f"{name:44} left over: not a part of this network" for name in self.left]
        return "\n".join([*lines, self.total])

    @property
    def total(self):
        """In one line, how many tensors."""
        return f"{len(self.used)} tensors used, none missing, {len(self.left)} left over"


def read_weights(path):
    """The Source at `path`. FileNotFoundError, or ValueError for a file that holds no GoogLeNet."""
    tensors, variant = read_tensors(path)
    for program in PIXELS:
        if tensor_names("conv2", program)[0] in tensors:
            return Source(Path(path), tensors, program, variant or program)
    raise ValueError(
        f"{path}: its tensors are {', '.join(list(tensors)[:3]) or 'none'} ..., but Caffe's GoogLeNet in ONNX has "
        f"{tensor_names('conv2', 'caffe')[0]} and torchvision's has {tensor_names('conv2', 'torchvision')[0]}"
    )


def tensor_names(layer, program):
    """The tensors of one of our layers: filters and bias, or filters and the four arrays of batch norm."""
    module, _, branch = layer.partition("/")
    caffe, torchvision = BRANCHES[branch] if branch else STEM[layer]
    if program == "caffe":
        name = f"{module.replace('inception', 'inception_')}/{caffe}" if branch else caffe
        return [f"{name}_w_0", f"{name}_b_0"]
    name = f"{module}.{torchvision}" if branch else torchvision
    if layer == "linear":
        return [f"{name}.weight", f"{name}.bias"]
    return [f"{name}.conv.weight", *(f"{name}.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var"))]


def vector_length(source):
    """Length K of the network's output vector: the rows of its last layer, 1000 for ImageNet."""
    W = source.tensors.get(tensor_names("linear", source.program)[0])
    if W is None or W.ndim < 2:
        raise ValueError(f"{source.path} lacks its last layer, {tensor_names('linear', source.program)[0]}")
    return W.shape[-2]


def map_tensors(source, params):
    """The Map from a Source to a GoogLeNet whose parameters are `params` (name -> array; their shapes are what counts).

    Raises ValueError that names the tensors that are missing, or the first one that is not what the layer needs.
    """
    wanted = {
        key.removesuffix("/W"): tensor_names(key.removesuffix("/W"), source.program)
        for key in params
        if key[-2:] == "/W"
    }
    missing = [name for names in wanted.values() for name in names if name not in source.tensors]
    if missing:
        raise ValueError(
            f"{source.path} lacks {len(missing)} of the {sum(map(len, wanted.values()))} tensors of {source.program}'s "
            f"GoogLeNet: {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        )
    found = {}
    for layer, names in wanted.items():
        W = params[f"{layer}/W"]
        shapes = [W.T.shape if W.ndim == 2 else W.transpose(3, 2, 0, 1).shape, *[W.shape[-1:]] * 4]
        arrays = [take(source, name, shape, layer) for name, shape in zip(names, shapes, strict=False)]
        W, b = fold_batch_norm(*arrays) if len(arrays) == 5 else arrays
        if layer == "conv1" and source.program == "caffe":
            W = W[:, ::-1]
        W = W.T if W.ndim == 2 else W.transpose(2, 3, 1, 0)
        found |= {key: np.ascontiguousarray(a, params[key].dtype) for key, a in ((f"{layer}/W", W), (f"{layer}/b", b))}
    used = {name: layer for layer, names in wanted.items() for name in names}
    return Map(found, used, [name for name in source.tensors if name not in used])


def take(source, name, shape, layer):
    """One tensor in float64, if it is of this shape and finite."""
    a = source.tensors[name]
    if a.shape == (1, 1, *shape):  # Caffe keeps the matrix of a linear layer with four axes
        a = a[0, 0]
    if a.shape != shape or a.dtype.kind != "f":
        raise ValueError(f"{source.path}: {name} is {a.dtype} {a.shape}, expected floating-point {shape} for {layer}")
    if not np.isfinite(a).all():
        raise ValueError(f"{source.path}: {name} holds NaN or infinite values; get the file again")
    return a.astype(np.float64)


def fold_batch_norm(W, gamma, beta, mean, var, epsilon=0.001):
    """Filters W (F, C, kh, kw) and the batch norm after them, (F,) each, as one convolution: W', b'."""
    factor = gamma / np.sqrt(var + epsilon)
    return W * factor[:, None, None, None], beta - mean * factor
