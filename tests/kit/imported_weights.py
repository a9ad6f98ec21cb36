"""GoogLeNet from a file of weights, an image for it, and such a file."""

import json

import numpy as np

from snippets.nets.googlenet import googlenet
from snippets.nets.pretrained.names import map_tensors, read_weights
from snippets.training.checkpoint import load_into


def imported(path, width=1.0, variant=None):
    """Our GoogLeNet with the weights of a file of 10 classes, and the map."""
    source = read_weights(path)
    net = googlenet(np.random.default_rng(0), width, 10, variant=variant or source.variant)
    found = map_tensors(source, net.params)
    load_into(net.params, found.params)
    return net, found


def pixels(size, seed=3):
    """An RGB image (1, size, size, 3) of uint8 that is not the same at its borders as inside."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 200, (1, size, size, 3)) + np.linspace(0, 55, size)[:, None]).astype(np.uint8)


def write_safetensors(path, arrays):
    """The format, written down a second time."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, a in arrays.items():
        kind = {"float32": "F32", "float16": "F16", "int64": "I64"}[str(a.dtype)]
        header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
