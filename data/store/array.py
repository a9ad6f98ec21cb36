"""One file of a store: the arrays of a video's frames, of which those that are asked for are read."""

import contextlib
import itertools
import math
import os

import numpy as np
from numpy.lib import format as npy

from snippets.data.video import VideoError


class StoredArray:
    """Arrays (frames, *shape) in a file of the store; indexing along the first axis reads only those frames.

    They are read, and not mapped into memory: if another program cut a mapped file short, this process would end.
    ValueError if the file holds other arrays, or is shorter than it says; VideoError if it becomes so later.
    """

    def __init__(self, path, shape: tuple, dtype: np.dtype):
        self.path, self.dtype = path, dtype
        with open(path, "rb") as file:
            npy.read_magic(file)
            self.shape, order, found = npy.read_array_header_1_0(file)
            self.start, stat = file.tell(), os.fstat(file.fileno())
        self.stamp = stat.st_ino, stat.st_size, stat.st_mtime_ns
        size = math.prod(self.shape) * dtype.itemsize
        if order or found != dtype or self.shape[1:] != shape or stat.st_size < self.start + size:
            raise ValueError(f"{path} does not hold arrays of {dtype} {shape}, or not all of them")

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        chosen = np.arange(len(self))[index]
        frames = np.empty((*chosen.shape, *self.shape[1:]), self.dtype)
        numbers, rows = chosen.reshape(-1), frames.reshape(-1, *self.shape[1:])
        ends = [*(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]  # frames in a row are read at once
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb", buffering=0) as file:
            for first, end in itertools.pairwise([0, *ends]):
                part = memoryview(rows[first:end]).cast("B") if end else b""
                if end:
                    file.seek(self.start + int(numbers[first]) * rows[0].nbytes)
                while len(part) and (read := file.readinto(part)):
                    part = part[read:]
                if len(part):
                    break
            else:
                return frames
        raise VideoError(f"{self.path}: another program has cut or removed it while it was read; run again")

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype)
