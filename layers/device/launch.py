r"""`launch`: run a CUDA kernel on the arrays that are given, after checking what a kernel cannot check itself.

Kernels stand in `.cu` files beside their Python. A kernel is written once for float and double, as REAL, and asks
nothing of the array library:

    extern "C" __global__ void relu_backward(const REAL *dy, const REAL *y, REAL *dx, int n)
    {
        for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x)
            dx[k] = dy[k] * (y[k] > 0);
    }

    launch("layers/relu.cu", "relu_backward", dx.size, dy, y, dx, dx.size)

The declaration is all there is to know about the arguments, so `launch` reads it: a pointer wants a contiguous array of
that type, on the device of the others (where `int dy_row` follows `dy`, rows that lie so many numbers apart will do); a
number is converted to the type that is declared, for CUDA believes whatever size it is handed. One thread makes one
number, adjacent threads make neighbours in memory, and each gathers what it needs: no atomics, so the same bits come
out every time. Where the threads of a block work together, `size` is blocks * BLOCK.

On CuPy arrays NVRTC compiles the file; on NumPy arrays the host's C++ compiler does (`layers.device.on_host`), slowly
but with the same result, so that a kernel can be tried without a GPU.
"""

import functools
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snippets.layers.device.xp import xp_of

ROOT = Path(__file__).resolve().parents[2]
BLOCK = 256  # threads of a block
WAVES = 64  # blocks in a grid at most, per multiprocessor: enough to fill it several times over
HOST_GRID = 3  # blocks on the host, one after the other: few, so that every kernel has to come round again
LARGEST = 2**31 - 2**25  # kernels count in int: threads beyond the last number must not overflow it
TYPES = {
    "int": np.int32,
    "unsigned char": np.uint8,
    "unsigned short": np.uint16,
    "long long": np.int64,
    "unsigned long long": np.uint64,
    "float": np.float32,
    "double": np.float64,
}


class Parameter(NamedTuple):
    name: str
    type: str  # a key of TYPES, "REAL", or the name of a struct
    pointer: bool
    const: bool


def source(file):
    """The text of a `.cu` file, named from the root of the project."""
    return (ROOT / file).read_text(encoding="utf-8")


@functools.cache
def declaration(text, function):
    """The Parameters of a kernel, from its source."""
    found = re.search(rf'extern "C" __global__ void {function}\(([^)]*)\)', text)
    if not found:
        kernels = re.findall(r"__global__ void (\w+)", text)
        raise ValueError(f"no kernel {function!r}, found {', '.join(kernels) or 'none'}")
    parameters = []
    for words in found[1].split(","):
        const, type_, star, name = re.fullmatch(r"(const )?([\w ]+?) (\*?)(\w+)", " ".join(words.split())).groups()
        parameters.append(Parameter(name, type_, bool(star), bool(const)))
    return parameters


def launch(file, function, size, *args):
    """Run kernel `function` of `file` with `size` threads, or as many as fit in several grids' worth, on `args`.

    args: what the kernel declares, in its order; arrays are written in place. Raises TypeError or ValueError for an
    argument that is not what the kernel declares, before anything runs.
    """
    text = source(file)
    parameters, what = declaration(text, function), f"{file}: {function}"
    if len(args) != len(parameters):
        raise TypeError(f"{what} takes {len(parameters)} arguments, got {len(args)}")
    if not 0 <= size <= LARGEST:
        raise ValueError(f"{what}: {size} threads are more than {LARGEST}; give it fewer frames at a time")
    arrays = [a for a, p in zip(args, parameters, strict=True) if p.pointer]
    like = next(a for a, p in zip(args, parameters, strict=True) if p.pointer and p.type == "REAL")
    if size == 0:
        return
    named = {p.name: a for a, p in zip(args, parameters, strict=True)}
    args = [convert(a, p, like, what, named.get(f"{p.name}_row")) for a, p in zip(args, parameters, strict=True)]
    xp = xp_of(like)
    if xp is np:
        from snippets.layers.device.on_host import run

        run(text, function, min(-(-size // BLOCK), HOST_GRID), BLOCK, like.dtype, parameters, args)
        return
    if len({a.device.id for a in arrays}) > 1 or like.device.id != xp.cuda.runtime.getDevice():
        found = {a.device.id for a in arrays}
        raise ValueError(f"{what}: arrays on devices {found}, expected all on the current one (with cupy.cuda.Device)")
    grid = min(-(-size // BLOCK), WAVES * multiprocessors(like.device.id))
    compiled(text, like.dtype.char, like.device.id).get_function(function)((grid,), (BLOCK,), tuple(args))


def row_stride(a):
    """Numbers from one row (the last axis) of an array to the next, if all rows lie evenly apart; else None."""
    rows = [(n, s) for n, s in zip(a.shape[:-1], a.strides[:-1], strict=True) if n > 1]
    if a.shape[-1] > 1 and a.strides[-1] != a.itemsize:
        return None
    if any(outer != n * inner for (_, outer), (n, inner) in zip(rows, rows[1:], strict=False)):
        return None
    return rows[-1][1] // a.itemsize if rows else a.shape[-1]


def pointer(a):
    """The address of an array's first number."""
    return a.ctypes.data if isinstance(a, np.ndarray) else a.data.ptr


def convert(a, parameter, like, what, row=None):
    """An argument as the kernel declares it; row: how far apart an array's rows may lie, None for contiguous ones."""
    name, type_, pointer, _ = parameter
    dtype = like.dtype if type_ == "REAL" else np.dtype(TYPES[type_]) if type_ in TYPES else None
    if pointer:
        if type(a) is not type(like):
            raise TypeError(f"{what}: {name} is a {type(a).__name__}, expected an array like the others")
        if a.dtype != dtype:
            raise TypeError(f"{what}: {name} is {a.dtype}, expected {dtype}")
        if not (a.flags.c_contiguous if row is None else row_stride(a) == row):
            raise ValueError(f"{what}: {name} is not contiguous (strides {a.strides}); make a copy of it first")
        return a
    if dtype is None:
        return a  # a struct, made by whoever knows its fields
    if dtype.kind == "f":
        return dtype.type(a)
    number = int(a)
    if number != a or not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
        raise ValueError(f"{what}: {name} is {a}, expected a whole number that fits {type_}")
    return dtype.type(number)


@functools.cache
def multiprocessors(device):
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(device)["multiProcessorCount"]


@functools.cache
def compiled(text, char, device):
    """The file as a module for float ("f") or double ("d") on a device."""
    import cupy

    options = ("-std=c++17", f"-DREAL={'float' if char == 'f' else 'double'}")
    with cupy.cuda.Device(device):
        return cupy.RawModule(code=text, options=options)
