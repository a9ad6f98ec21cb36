"""A student's `.cu` file as if it were a module: its kernels run on the host, watched."""

import re
from pathlib import Path

from snippets.layers.device.cu_source import kernels
from snippets.layers.device.watch import watch
from snippets.training.assignments.cut import functions_of


class Kernels:
    """The kernels of a source text; file: its path, for messages."""

    def __init__(self, text, file):
        self.text, self.file = text, file

    def run(self, function, grid, *args):
        """Run a kernel with (blocks, threads) on NumPy arrays, in place; returns the `Notes` of what it touched.

        Raises NotImplementedError where it is not written yet, ValueError with the first error of the compiler.
        """
        if function not in kernels(self.text):
            raise ValueError(f"{self.file}: no kernel {function!r}, found {', '.join(kernels(self.text)) or 'none'}")
        (body,) = functions_of(self.text, [function], self.file)
        if stub := re.search(r'// raise NotImplementedError\("(.*)"\)', body.text):
            raise NotImplementedError(stub[1])
        try:
            return watch(self.text, function, grid, *args)
        except ValueError as error:
            if not (first := re.search(r"kernel\.cu:(\d+):\d+: error: (.*)", str(error))):
                raise
            line = int(first[1])
            text = f"{self.file}, line {line}, is not C++ ({first[2]}): {self.text.splitlines()[line - 1].strip()}"
            raise ValueError(text) from error


def read(path, file):
    """The kernels of a file of a tree."""
    return Kernels(Path(path).read_text(encoding="utf-8"), file)
