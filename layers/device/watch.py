"""Which thread of a kernel reads and writes what: the kernel runs on the host, and its pointers take notes.

For that, `const REAL *x` becomes `Watched<const REAL> x` (watch.h), for parameters and local pointers alike; the rest
of the source text stays as it is. Two threads that write the same number into one element, or a thread that does the
work of another, change no result, and yet the kernel is wrong, or slow: only the notes tell.

    dx = np.full(9, np.nan)
    notes = watch(source("layers/relu.cu"), "relu_backward", (2, 3), dy, y, dx, 9)     # 2 blocks of 3 threads
    notes.writes("dx")      # how often each element was written: 1 everywhere
    print(notes.map("dx"))  # which thread reads (r) and writes (w) which element
"""

import ctypes
import re
from typing import NamedTuple

import numpy as np

from snippets.layers.device import on_host
from snippets.layers.device.cu_source import TYPES, declaration, kernels
from snippets.layers.device.launch import convert

HEADER = on_host.HEADER.with_name("watch.h")
POINTER = re.compile(rf"\b(const )?(REAL|{'|'.join(TYPES)}) \*(\w+)")
NOTE = np.dtype([("block", np.int32), ("thread", np.int32), ("array", np.int32), ("write", np.int32), ("at", np.int64)])
MOST = 1 << 20  # notes of one run


class Notes(NamedTuple):
    """What was read and written: an array of NOTE; sizes: {parameter: elements}, in their order; grid of the run."""

    all: np.ndarray
    sizes: dict
    grid: tuple

    def of(self, name, write):
        """The notes of reads (write 0) or writes (1) of one array."""
        return self.all[(self.all["array"] == list(self.sizes).index(name)) & (self.all["write"] == write)]

    def writes(self, name):
        """How often each element of an array was written: (n,) int64."""
        return np.bincount(self.of(name, 1)["at"], minlength=self.sizes[name])

    def map(self, name):
        """Text: a row per thread, a column per element, r where it is read, w where it is written, W more than once."""
        blocks, threads = self.grid
        cells = np.full((blocks, threads, self.sizes[name]), ".")
        for write in (0, 1):
            notes = self.of(name, write)
            times = np.zeros(cells.shape, int)
            np.add.at(times, (notes["block"], notes["thread"], notes["at"]), 1)
            cells[times > 0] = "w" if write else "r"
            cells[times > write] = "W" if write else "r"
        rows = [f"block {b} thread {t}  {' '.join(cells[b, t])}" for b in range(blocks) for t in range(threads)]
        return "\n".join([name, *rows])


def watched(text):
    """C++ of all kernels of a source text, with pointers that take notes."""
    calls = "".join(on_host.call(name, declaration(text, name), "{{{value}, {number}}}") for name in kernels(text))
    noted = POINTER.sub(lambda found: f"Watched<{found[1] or ''}{found[2]}> {found[3]}", text)
    header = HEADER.read_text(encoding="utf-8")
    return f'#include "{on_host.HEADER}"\n{header}\n#line 1 "kernel.cu"\n{noted}\n{calls}'


def watch(text, function, grid, *args):
    """Run a kernel of a source text with (blocks, threads) on args, as `launch` does on the host; returns its `Notes`.

    Raises IndexError for the first element that is read or written outside of an array, with its thread; ValueError for
    what does not compile.
    """
    parameters = declaration(text, function)
    if len(args) != len(parameters):
        raise TypeError(f"{function} takes {len(parameters)} arguments, got {len(args)}")
    like = next(a for a, p in zip(args, parameters, strict=True) if p.type == "REAL" and p.pointer)
    arguments = [convert(a, p, like, function) for a, p in zip(args, parameters, strict=True)]
    library = on_host.compiled(watched(text), on_host.REALS[like.dtype.char])
    notes = np.zeros(MOST, NOTE)
    library.take_notes(ctypes.c_void_p(notes.ctypes.data), ctypes.c_longlong(MOST))
    outside = None
    try:
        on_host.run_in(library, text, function, grid, arguments)
    except IndexError as error:
        outside = error
    if (count := library.count_notes()) > MOST:
        raise ValueError(f"{function} reads and writes {count} times, expected at most {MOST}: watch a smaller run")
    sizes = {p.name: a.size if p.pointer else 0 for a, p in zip(args, parameters, strict=True)}
    found = Notes(notes[:count], sizes, grid)
    lengths = np.array(list(sizes.values()))[found.all["array"]]
    for note in found.all[(found.all["at"] < 0) | (found.all["at"] >= lengths)][:1]:
        name, what = list(sizes)[note["array"]], "writes" if note["write"] else "reads"
        raise IndexError(
            f"{function}: thread {note['thread']} of block {note['block']} {what} {name}[{note['at']}], but {name} has "
            f"{sizes[name]} elements"
        )
    if outside:
        raise outside
    return found
