"""What a `.cu` file declares: its text, and the parameters of its kernels."""

import functools
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
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
    """One parameter of a kernel."""

    name: str
    type: str  # a key of TYPES, "REAL" (float or double), or the name of a struct
    pointer: bool
    const: bool


def source(file):
    """The text of a `.cu` file, whose path is relative to the root of the project."""
    return (ROOT / file).read_text(encoding="utf-8")


def kernels(text):
    """The names of the kernels in a source text."""
    return re.findall(r"__global__ void (\w+)", text)


@functools.cache
def declaration(text, function):
    """The Parameters of a kernel, from its source text. Raises ValueError where there is no such kernel."""
    found = re.search(rf'extern "C" __global__ void {function}\(([^)]*)\)', text)
    if not found:
        raise ValueError(f"no kernel {function!r}, found {', '.join(kernels(text)) or 'none'}")
    parameters = []
    for words in found[1].split(","):
        const, type_, star, name = re.fullmatch(r"(const )?([\w ]+?) (\*?)(\w+)", " ".join(words.split())).groups()
        parameters.append(Parameter(name, type_, bool(star), bool(const)))
    return parameters
