"""Windows that slide over images: kernel, stride and padding, and the blocks of rows that the work is cut into."""

import numpy as np

from snippets.layers.device.xp import xp_of


def check_window(kernel, stride, pad):
    """Refuse a sliding window that cannot be: its kernel, its stride, or its padding."""
    if kernel < 1 or stride < 1:
        raise ValueError(f"kernel {kernel} with stride {stride}: expected both to be at least 1")
    if pad not in ("same", "valid", "ceil") and not (isinstance(pad, (int, np.integer)) and 0 <= pad < kernel):
        expected = f"'same', 'valid', 'ceil' or pixels from 0 to kernel - 1 = {kernel - 1}"
        raise ValueError(f"pad is {pad!r}, expected {expected}")


def padding(size, kernel, stride, pad):
    """(before, after, output size) along one axis of `size` pixels; pad is "same", "valid", "ceil" or an integer."""
    check_window(kernel, stride, pad)
    if pad == "same":
        out = -(-size // stride)  # ceil
        total = max((out - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2, out
    before = after = 0 if pad in ("valid", "ceil") else pad
    out = (size + 2 * before - kernel) // stride + 1
    if pad == "ceil":
        out = min(-((kernel - size) // stride) + 1, -(-size // stride))  # the last window still begins inside
        after = max((out - 1) * stride + kernel - size, 0)
    if out < 1:
        raise ValueError(f"a kernel of {kernel} does not fit into {size} pixels padded by {before}; use pad='same'")
    return before, after, out


def pad2d(x, rows, columns):
    """x (N, H, W, C) with (before, after) rows and columns of zeros added; x itself where there is nothing to add."""
    if not any((*rows, *columns)):
        return x
    N, H, W, C = x.shape
    padded = xp_of(x).zeros((N, H + sum(rows), W + sum(columns), C), x.dtype)
    padded[:, rows[0] : rows[0] + H, columns[0] : columns[0] + W] = x
    return padded


def blocks(N, rows, most):
    """Cut N images of so many rows into blocks of at most `most` rows: several images, or equal parts of one.

    A list of pairs of slices (images, rows).
    """
    if most >= rows:
        step = most // rows
        return [(slice(n, min(n + step, N)), slice(0, rows)) for n in range(0, N, step)]
    parts = -(-rows // most)
    step = -(-rows // parts)
    return [(slice(n, n + 1), slice(p, min(p + step, rows))) for n in range(N) for p in range(0, rows, step)]
