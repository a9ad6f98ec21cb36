"""Convolution, its windows and its fast algorithms, held against the oracles; see oracle_table.py."""

import itertools

import numpy as np
import oracles
import pytest
from agreement import agrees, normal
from contract import assert_close, upstream
from layer_cases import spaced

from snippets.layers.conv import conv_plain

CONVOLUTIONS = [  # H, W, C, F, kh, kw, stride, pad, relu
    (5, 6, 2, 3, 3, 3, 1, "same", False),
    (5, 6, 2, 3, 3, 3, 1, "same", True),
    (6, 5, 1, 2, 3, 3, 2, "same", False),
    (7, 8, 3, 2, 5, 5, 2, "same", True),
    (13, 9, 1, 2, 11, 11, 4, "same", False),
    (6, 7, 2, 2, 2, 4, 1, "same", False),
    (5, 6, 2, 2, 4, 2, 2, "same", False),
    (3, 2, 2, 2, 5, 5, 1, "same", False),
    (5, 4, 3, 2, 1, 1, 1, "same", True),
    (5, 4, 3, 2, 1, 1, 2, "same", False),
    (6, 5, 2, 3, 3, 3, 1, "valid", False),
    (8, 7, 2, 2, 3, 2, 2, "valid", True),
    (9, 10, 1, 2, 3, 3, 4, "valid", False),
    (6, 7, 2, 2, 3, 3, 2, "ceil", False),
    (3, 7, 1, 2, 2, 2, 3, "ceil", True),
    (5, 6, 2, 2, 3, 3, 1, 1, False),
    (5, 6, 2, 2, 3, 3, 2, 2, True),
    (7, 7, 1, 2, 7, 7, 2, 3, False),
    (3, 3, 9, 5, 3, 3, 1, 1, False),
]


def conv(module):
    """Every stride, padding and parity of size; the gradients of x, W and b."""
    for H, W, C, F, kh, kw, stride, pad, relu in CONVOLUTIONS:
        agrees(
            lambda x, w, b, o=(stride, pad, relu): module.conv_forward(x, w, b, *o),
            module.conv_backward,
            lambda x, w, b, o=(stride, pad, relu): conv_plain(x, w, b, *o),
            [spaced((2, H, W, C), 1), normal(kh, kw, C, F), normal(F, seed=5)],
            f"conv {kh}x{kw}/{stride} {pad} on {H}x{W}",
        )
    with pytest.raises(ValueError, match="7.*5"):
        module.conv_forward(spaced((1, 5, 8, 1), 1), normal(7, 7, 1, 1), np.zeros(1), pad="valid")


def conv_in_blocks(module):
    """The same with blocks of one image, of a few rows of an image, and of one row."""
    for size in (240, 100, 1):
        whole = module.BLOCK_ELEMENTS, module.BLOCK_ROWS
        module.BLOCK_ELEMENTS, module.BLOCK_ROWS = size, 1
        try:
            conv(module)
        finally:
            module.BLOCK_ELEMENTS, module.BLOCK_ROWS = whole


def conv_of_one_channel(module):
    """A grey image made with [..., None] is contiguous and yet has an odd stride on its last axis."""
    grey = np.random.default_rng(2).normal(size=(2, 6, 6))[..., None]
    W, b = normal(3, 3, 1, 2), np.zeros(2)
    for pad in ("valid", 0, "same"):
        (y, cache), (wanted, usual) = (module.conv_forward(x, W, b, 1, pad) for x in (grey, grey.copy()))
        assert_close(y, wanted, f"grey image, pad {pad}: y")
        for got, right, name in zip(
            module.conv_backward(upstream(y), cache),
            module.conv_backward(upstream(y), usual),
            ("dx", "dW", "db"),
            strict=True,
        ):
            assert_close(got, right, f"grey image, pad {pad}: {name}")


def conv_at_zero(module):
    """A convolution that gives exactly 0 sends no gradient through its ReLU."""
    x, w, b = np.zeros((1, 3, 3, 1)), normal(3, 3, 1, 2), np.zeros(2)
    y, cache = module.conv_forward(x, w, b, 1, "same", True)
    dx, dW, db = module.conv_backward(upstream(y), cache)
    assert not dx.any() and not dW.any() and not db.any(), "gradient through a ReLU whose input is 0"


def window(module):
    """Where windows stand, by counting them, for every size, kernel and stride that is small; what cannot be."""
    for size, k, stride in itertools.product(range(1, 10), range(1, 6), range(1, 4)):
        for pad in ("same", "valid", "ceil", *range(min(k, 3))):
            out, first = oracles.placed(size, k, stride, pad)
            if out < 1 or (pad == "ceil" and k >= size + stride):  # as Caffe, which rounds (size - k) / stride up
                with pytest.raises(ValueError, match=f"{k} does not fit into {size} pixels"):
                    module.padding(size, k, stride, pad)
                continue
            before, after, windows = module.padding(size, k, stride, pad)
            assert (before, windows) == (first, out), f"kernel {k}, stride {stride}, pad {pad!r} on {size}"
            assert before + size + after >= (windows - 1) * stride + k, f"pad {pad!r}: the last window has no pixels"
    for wrong in [(0, 1, "same"), (3, 0, "same"), (3, 1, 3), (3, 1, "Same"), (3, 1, -1)]:
        with pytest.raises(ValueError, match="expected"):
            module.check_window(*wrong)


def window_blocks(module):
    """Every row of every image once, in order, in blocks of equal parts or whole images, none too large."""
    for N, rows, most in itertools.product((1, 2, 5), (1, 4, 10), (1, 2, 3, 4, 8, 15, 99)):
        cut = module.blocks(N, rows, most)
        seen = [(n, p) for images, part in cut for n in range(N)[images] for p in range(rows)[part]]
        assert seen == list(np.ndindex(N, rows)), f"{N} images of {rows} rows in blocks of {most}"
        sizes = [len(range(N)[images]) * len(range(rows)[part]) for images, part in cut]
        assert max(sizes) <= most, f"a block of {max(sizes)} rows, expected {most} at most"
        assert most >= rows or max(sizes) == -(-rows // -(-rows // most)), f"{rows} rows in parts of {sizes}"
        assert len(cut) == (-(-N // (most // rows)) if most >= rows else N * -(-rows // most)), "number of blocks"


SQUARE_KERNELS = [  # H, W, C, F, k, (before, after) rows, columns: maps of one tile and of many, whole and clipped
    (9, 9, 2, 3, 5, (0, 0), (0, 0)),
    (12, 12, 2, 2, 3, (1, 1), (1, 1)),
    (7, 19, 3, 2, 5, (0, 0), (2, 2)),
    (20, 11, 1, 2, 5, (2, 2), (0, 1)),
    (5, 5, 2, 2, 5, (0, 0), (0, 0)),
    (8, 16, 2, 2, 2, (0, 1), (1, 0)),
    (3, 5, 2, 3, 3, (1, 1), (0, 2)),
]


def fast_algorithm(module):
    """A convolution that is not im2col: y with bias and ReLU, dx, dW; in blocks of one row and in one piece."""
    name = "BLOCK_ELEMENTS" if hasattr(module, "BLOCK_ELEMENTS") else "STRIP_SQUARES"
    whole = getattr(module, name)
    try:
        for (H, W, C, F, k, rows, columns), block in itertools.product(SQUARE_KERNELS, (1, whole)):
            setattr(module, name, block)
            x, w, b, padding = spaced((3, H, W, C), 1), normal(k, k, C, F), normal(F, seed=5), (rows, columns)
            agrees(
                lambda x, w, b=b, p=padding: (module.correlate(x, w, *p, b), (x, w, *p)),
                lambda dy, cache: module.grads(dy, *cache),
                lambda x, w, b=b, p=padding: conv_plain(np.pad(x, ((0, 0), *p, (0, 0))), w, b, 1, "valid"),
                [x, w],
                f"convolution {k}x{k} on {H}x{W}",
            )
            y = module.correlate(x, w, *padding, b, relu=True)
            assert_close(y, np.maximum(module.correlate(x, w, *padding, b), 0), "under ReLU", rtol=1e-12)
            dx, dW = module.grads(y, x, w, *padding, input_grad=False)
            assert dx is None, "dx, which nobody asked for"
            assert_close(dW, module.grads(y, x, w, *padding)[1], "dW without dx", rtol=1e-12)
    finally:
        setattr(module, name, whole)


def fft_is_faster(module):
    """Large kernels, many channels, stride 1."""
    large = (4, 28, 28, 96), (9, 9, 96, 256)
    assert module.is_faster(*large, 1) and not module.is_faster(*large, 2), "where it is faster"
    assert not module.is_faster((4, 28, 28, 96), (3, 3, 96, 128), 1) and not module.is_faster(
        (4, 8, 8, 96), (9, 9, 96, 128), 1
    )


def winograd_is_faster(module):
    """Kernels of 3 x 3 and 5 x 5, stride 1, some channels, maps of 16 squares of 4 x 4 outputs."""
    maps, W = (1, 14, 14, 96), (3, 3, 96, 208)
    assert module.is_faster(maps, W, 1) and module.is_faster((4, 29, 29, 16), (5, 5, 16, 32), 1), "where it is faster"
    for case in [(maps, W, 2), ((8, 7, 7, 96), W, 1), (maps, (3, 3, 96, 8), 1), (maps, (1, 3, 96, 208), 1)]:
        assert not module.is_faster(*case), f"where it is not: {case}"


def winograd_digits(module):
    """What float32 loses by values at points: no more than the module's docstring says."""
    for k, lost in ((3, 2e-6), (5, 6e-6)):
        x, w = normal(2, 16, 16, 32), normal(k, k, 32, 24)
        same = (k // 2, k // 2), (k // 2, k // 2)
        exact = module.correlate(x, w, *same, np.zeros(24))
        y = module.correlate(x.astype(np.float32), w.astype(np.float32), *same, np.zeros(24, np.float32))
        assert y.dtype == np.float32
        assert np.sqrt(((y - exact) ** 2).mean()) <= lost * exact.std(), f"{k} x {k}: float32 is off by more"


def conv_by_fast_algorithms(module):
    """A convolution by another algorithm than im2col: bias, ReLU, padding, gradients; and which is chosen where."""
    chosen = module.fast_algorithm
    try:
        for fast in (module.winograd, module.fft):
            module.fast_algorithm = lambda x, W, stride, fast=fast: (
                fast if stride == 1 and 1 < W[0] == W[1] < 6 else None
            )
            conv(module)
    finally:
        module.fast_algorithm = chosen
    assert chosen((4, 28, 28, 96), (3, 3, 96, 128), 1) is module.winograd, "3 x 3"
    assert chosen((8, 28, 28, 96), (9, 9, 96, 256), 1) is module.fft, "9 x 9"
    assert chosen((4, 28, 28, 96), (1, 1, 96, 128), 1) is None, "1 x 1: im2col"
    assert chosen((2, 4, 4, 96), (3, 3, 96, 128), 1) is None, "small maps: im2col"
    assert chosen((4, 28, 28, 96), (3, 3, 96, 128), 2) is None, "stride 2: im2col"


def loud_pixels(module):
    """A pixel of 1e6 costs the others of its square their digits, of which the direct sum keeps all."""
    if module.on_gpu(np.zeros(1)):
        return  # there is no other sum
    for k, C, lost in ((3, 16, 1.0), (5, 16, 1.0), (9, 64, 0.1)):
        x, w, b, r = normal(2, 32, 32, C), normal(k, k, C, C, seed=1) / k / C**0.5, np.zeros(C), k // 2
        x[0, 16, 16, 0] = 1e6
        with module.direct_sums():
            assert module.fast_algorithm(x.shape, w.shape, 1) is None, "the direct sum"
            exact = module.conv_forward(x, w, b)[0]
            direct = module.conv_forward(*(a.astype(np.float32) for a in (x, w, b)))[0]
        assert module.fast_algorithm(x.shape, w.shape, 1) is not None, "afterwards"
        fast = module.conv_forward(*(a.astype(np.float32) for a in (x, w, b)))[0]
        blind = np.ones(exact.shape, bool)
        blind[0, 16 - r : 17 + r, 16 - r : 17 + r] = False  # what does not read the loud pixel
        errors = [np.abs(y - exact)[blind].max() for y in (direct, fast)]
        assert errors[0] < 2e-5 and 100 * errors[0] < errors[1] < lost, f"{k} x {k}: errors {errors}"


def broken_pixels(module):
    """NaN and infinity reach every output that reads them, on every path, and no other image."""
    for value, (k, C) in itertools.product((np.nan, np.inf, -np.inf), ((3, 16), (5, 16), (9, 64))):
        x, w, b, r = normal(3, 32, 32, C), np.abs(normal(k, k, C, C, seed=1)) + 0.1, np.zeros(C), k // 2
        with np.errstate(invalid="ignore"):
            clean, _ = module.conv_forward(x, w, b)
            x[1, 13, 14, 3] = value
            y, cache = module.conv_forward(x, w, b)
            dx, dW, _ = module.conv_backward(np.ones_like(y), cache)
        assert not np.isfinite(y[1, 13 - r : 14 + r, 14 - r : 15 + r]).any(), f"{k} x {k}: {value} is lost"
        assert_close(y[::2], clean[::2], f"{k} x {k}: other images than that of {value}", rtol=0)
        assert not np.isfinite(dW[:, :, 3]).any() and np.isfinite(dx).all(), f"{k} x {k}: gradients from {value}"


CHECKS = {
    "snippets.layers.core.window": [window, window_blocks],
    "snippets.layers.fast.fft": [fast_algorithm, fft_is_faster],
    "snippets.layers.fast.winograd": [fast_algorithm, winograd_is_faster, winograd_digits],
    "snippets.layers.conv": [
        conv,
        conv_by_fast_algorithms,
        conv_in_blocks,
        conv_of_one_channel,
        conv_at_zero,
        loud_pixels,
        broken_pixels,
    ],
}
