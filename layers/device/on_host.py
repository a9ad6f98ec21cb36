"""CUDA kernels without CUDA: compile a `.cu` file with the host's C++ compiler and run it on NumPy arrays.

`on_host.h` defines `__global__`, `threadIdx` and `__syncthreads` for a processor: the threads of a block take turns on
one core, each running until a barrier or its end. Too slow for training, but a kernel can be changed and checked where
there is no GPU. Needs g++ or $CXX.
"""

import ctypes
import functools
import hashlib
import os
import shlex
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np

from snippets.layers.device.cu_source import declaration, kernels

HEADER = Path(__file__).with_name("on_host.h")
REALS = {"f": "float", "d": "double"}  # by the character of a dtype
ONE_AT_A_TIME = threading.Lock()  # threadIdx and the like are one set of variables for the whole process


def folder():
    """Where compiled kernels are kept, each under a digest of what it was compiled from."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"snippets-kernels-{user}"


def library(text, real):
    """The kernels of a source text as a shared library; `real` is "float" or "double". Errors: those of `compiled`."""
    calls = "".join(call(name, declaration(text, name)) for name in kernels(text))
    return compiled(f'#include "{HEADER}"\n#line 1 "kernel.cu"\n{text}\n{calls}', real)


@functools.cache
def compiled(code, real):
    """A program as a shared library.

    Raises FileNotFoundError where there is no compiler, ValueError with the compiler's message.
    """
    compiler = os.environ.get("CXX") or "g++"  # may be several words, such as "ccache g++"
    digest = hashlib.sha256(f"{compiler}\0{real}\0{HEADER.read_text()}\0{code}".encode()).hexdigest()[:24]
    path = folder() / f"{digest}.so"
    if not path.exists():
        folder().mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder()) as scratch:
            made = Path(scratch) / "kernels.so"
            (Path(scratch) / "kernels.cpp").write_text(code, encoding="utf-8")
            options = ["-std=c++17", "-O0", "-shared", "-fPIC", f"-DREAL={real}"]
            command = [*shlex.split(compiler, posix=os.name == "posix"), *options, "kernels.cpp", "-o", str(made)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, cwd=scratch)
            except FileNotFoundError as error:
                raise FileNotFoundError(f"no C++ compiler {command[0]!r}: install g++ or set CXX to yours") from error
            if done.returncode:
                raise ValueError(f"{compiler} refuses the kernels:\n{done.stderr}")
            os.replace(made, path)
    return ctypes.CDLL(str(path))


def call(name, parameters, pointer="{value}"):
    """C++ that runs a whole grid of a kernel; its arguments are passed as pointers, as in cuLaunchKernel.

    pointer: what a pointer is passed as, made of its `value` and the `number` of its parameter.
    """
    values = [f"*({p.type} {'**' if p.pointer else '*'})args[{i}]" for i, p in enumerate(parameters)]
    values = ", ".join(
        pointer.format(value=value, number=i) if p.pointer else value
        for i, (value, p) in enumerate(zip(values, parameters, strict=True))
    )
    return (
        f"static void call_{name}(void **args) {{ {name}({values}); }}\n"
        f'extern "C" void grid_{name}(int blocks, int threads, int barriers, void **args)\n'
        f"{{ run_grid(blocks, threads, barriers, call_{name}, args); }}\n"
    )


def run(text, function, blocks, threads, dtype, args):
    """Run a kernel over `blocks` blocks of `threads`; args: what `layers.device.launch.convert` returns.

    The kernel works on copies that are surrounded by NaN (or by the largest integer): that is what it reads beside an
    array, and what it writes there raises IndexError.
    """
    run_in(library(text, REALS[dtype.char]), text, function, (blocks, threads), args)


def run_in(lib, text, function, grid, args):
    """`run` in the library that was made of the source text."""
    arrays = [(a, p) for a, p in zip(args, declaration(text, function), strict=True) if p.pointer]
    guarded = {a.ctypes.data: Guarded(a) for a, _ in arrays}
    values = [np.array(guarded[a.ctypes.data].address if isinstance(a, np.ndarray) else a) for a in args]
    pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
    with ONE_AT_A_TIME:
        getattr(lib, f"grid_{function}")(*grid, int("__syncthreads" in text), pointers)
    for a, p in arrays:
        if not guarded[a.ctypes.data].is_clean():
            raise IndexError(f"{function} writes outside of {p.name} (or of an array that lies before it)")
        if not p.const:
            a[...] = guarded[a.ctypes.data].inside


class Guarded:
    """A copy of an array with the same strides, and poisoned memory around it that no kernel should touch."""

    def __init__(self, a):
        self.poison = np.nan if a.dtype.kind == "f" else np.iinfo(a.dtype).max
        span = 1 + sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True)) // a.itemsize
        self.first, self.memory = span + 2**12, np.full(3 * span + 2**13, self.poison, a.dtype)
        start = self.memory[self.first :]
        self.inside = np.lib.stride_tricks.as_strided(start, a.shape, a.strides)
        self.inside[...] = a
        self.address = start.ctypes.data

    def is_clean(self):
        """Whether the memory around the array is unchanged."""
        kept = self.inside.copy()
        self.inside[...] = self.poison
        clean = np.isnan(self.memory) if self.memory.dtype.kind == "f" else self.memory == self.poison
        self.inside[...] = kept
        return bool(clean.all())
