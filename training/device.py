"""Where a network computes: `--device cpu | cuda | cuda:N`. Once its parameters are there, everything follows them."""

import importlib
import importlib.util

from snippets.nets.frames import OverFrames
from snippets.training.flat import rehome

CHUNK = 64  # frames that go through a tower together on a GPU: enough to fill it
HELP = "cpu, cuda, or cuda:N for one of several GPUs"


def use(device):
    """The array library of a device, which is made the current one. ValueError for one that is not there."""
    kind, _, number = device.partition(":")
    if device == "cpu":
        return importlib.import_module("numpy")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise ValueError(f"device is {device!r}, expected {HELP}")
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


def move(net, device):
    """Put a net on a device, its parameters in one vector there (`training.flat`); returns the net.

    A tower then takes CHUNK frames at a time.
    """
    if device != "cpu":
        net.convert(use(device).asarray)
        if net.params:
            rehome(net)
        for layer in (net, *getattr(net, "layers", {}).values()):
            if isinstance(layer, OverFrames):
                layer.chunk = CHUNK
    return net
