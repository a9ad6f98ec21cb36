r"""`launch`: run a CUDA kernel on arrays, after checking what a kernel cannot check itself.

Kernels stand in `.cu` files beside their Python. A kernel is written once for float and double, as REAL:

    extern "C" __global__ void relu_backward(const REAL *dy, const REAL *y, REAL *dx, int n)
    {
        for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x)
            dx[k] = dy[k] * (y[k] > 0);
    }

    launch("layers/relu.cu", "relu_backward", dx.size, dy, y, dx, dx.size)

`launch` reads the declaration. A pointer needs a contiguous array of that type, on the same device as the others; where
`int dy_row` follows `dy`, the rows may lie that many elements apart. A number is converted to the declared type. One
thread computes one element, adjacent threads compute neighbours in memory, and each reads all that it needs: there are
no atomics, so the result has the same bits every time.

On CuPy arrays NVRTC compiles the file. On NumPy arrays the host's C++ compiler does (`layers.device.on_host`): slow,
but with the same result, so that a kernel can be tried without a GPU.
"""

import functools

import numpy as np

from snippets.layers.device import on_host
from snippets.layers.device.cu_source import TYPES, declaration, source
from snippets.layers.device.xp import xp_of

BLOCK_THREADS = 256
BLOCKS_PER_MULTIPROCESSOR = 64  # in a grid, at most: enough to fill it several times
HOST_BLOCKS = 3  # in a grid on the host, one after the other: few, so that every kernel's loop runs more than once
LARGEST = 2**31 - 2**25  # kernels count in int: threads beyond the last element must not overflow it


def launch(file, function, size, *args):
    """Run kernel `function` of `file` with `size` threads, or as many as a grid has, on `args`.

    args: what the kernel declares, in its order; arrays are written in place. Where the threads of a block work
    together, `size` is blocks * BLOCK_THREADS. Raises TypeError or ValueError for an argument that is not what the
    kernel declares, before anything runs.
    """
    text, what = source(file), f"{file}: {function}"
    parameters = declaration(text, function)
    if len(args) != len(parameters):
        raise TypeError(f"{what} takes {len(parameters)} arguments, got {len(args)}")
    arguments = {p.name: a for p, a in zip(parameters, args, strict=True)}
    arrays = [arguments[p.name] for p in parameters if p.pointer]
    largest = max(size, *(extent(arguments[p.name], arguments.get(f"{p.name}_row")) for p in parameters if p.pointer))
    if size < 0:
        raise ValueError(f"{what}: {size} threads, expected 0 or more")
    if largest > LARGEST:
        raise ValueError(f"{what}: {largest} elements are more than {LARGEST}; use fewer frames at a time")
    if size == 0:
        return
    like = next(arguments[p.name] for p in parameters if p.type == "REAL" and p.pointer)
    args = [convert(arguments[p.name], p, like, what, arguments.get(f"{p.name}_row")) for p in parameters]
    blocks = -(-size // BLOCK_THREADS)
    xp = xp_of(like)
    if xp is np:
        on_host.run(text, function, min(blocks, HOST_BLOCKS), BLOCK_THREADS, like.dtype, args)
        return
    devices = {a.device.id for a in arrays}
    if devices != {xp.cuda.runtime.getDevice()}:
        raise ValueError(
            f"{what}: arrays on devices {devices}, expected all on the current one (with cupy.cuda.Device)"
        )
    grid = min(blocks, BLOCKS_PER_MULTIPROCESSOR * multiprocessors(like.device.id))
    compiled(text, like.dtype.char, like.device.id).get_function(function)((grid,), (BLOCK_THREADS,), tuple(args))


def launch_elementwise(file, function, inputs, *numbers):
    """Run a kernel whose arguments are inputs of one shape, an output like the first, `numbers` and n -> the output."""
    xp = xp_of(inputs[0])
    inputs = [xp.ascontiguousarray(a) for a in inputs]
    out = xp.empty_like(inputs[0])
    launch(file, function, out.size, *inputs, out, *numbers, out.size)
    return out


def row_stride(a):
    """Elements from one row (the last axis) of an array to the next, or None if the rows are not evenly spaced."""
    rows = [(n, s) for n, s in zip(a.shape[:-1], a.strides[:-1], strict=True) if n > 1]
    if a.shape[-1] > 1 and a.strides[-1] != a.itemsize:
        return None
    if any(outer != n * inner for (_, outer), (n, inner) in zip(rows, rows[1:], strict=False)):
        return None
    return rows[-1][1] // a.itemsize if rows else a.shape[-1]


def extent(a, row=None):
    """How far a kernel counts in an array: its elements, and those between its rows where these lie `row` apart."""
    elements = getattr(a, "size", 0)
    return elements // a.shape[-1] * row if row and elements else elements


def evenly_spaced_rows(a):
    """The array, copied only if its rows are not evenly spaced, and its `row_stride`: a kernel's a and a_row."""
    a = a if row_stride(a) is not None else xp_of(a).ascontiguousarray(a)
    return a, row_stride(a)


def pointer(a):
    """The address of an array's first element."""
    return a.ctypes.data if isinstance(a, np.ndarray) else a.data.ptr


def convert(a, parameter, like, what, row=None):
    """An argument as the kernel declares it; row: the stride of an array's rows, None for a contiguous array."""
    name, type_, is_array, _ = parameter
    dtype = like.dtype if type_ == "REAL" else np.dtype(TYPES[type_]) if type_ in TYPES else None
    if is_array:
        if type(a) is not type(like):
            raise TypeError(f"{what}: {name} is a {type(a).__name__}, expected an array like the others")
        if a.dtype != dtype:
            raise TypeError(f"{what}: {name} is {a.dtype}, expected {dtype}")
        if not (a.flags.c_contiguous if row is None else row_stride(a) == row):
            raise ValueError(f"{what}: {name} is not contiguous (strides {a.strides}); make a copy of it first")
        return a
    if dtype is None:
        return a  # a struct: its fields are filled by the caller
    if dtype.kind == "f":
        return dtype.type(a)
    number, most = int(a), LARGEST if type_ == "int" else np.iinfo(dtype).max
    if number != a or not np.iinfo(dtype).min <= number <= most:
        raise ValueError(f"{what}: {name} is {a}, expected a whole number up to {most}")
    return dtype.type(number)


@functools.cache
def multiprocessors(device):
    """How many multiprocessors a GPU has."""
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(device)["multiProcessorCount"]


@functools.cache
def compiled(text, char, device):
    """The source text as a module for float ("f") or double ("d") on a device."""
    import cupy

    options = ("-std=c++17", f"-DREAL={'float' if char == 'f' else 'double'}")
    with cupy.cuda.Device(device):
        return cupy.RawModule(code=text, options=options)
