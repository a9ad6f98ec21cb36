"""Layers of one frame held against the oracles: forward entry by entry, backward as the slope of the oracle.

A check takes the module to test, so that a planted wrong version can be handed in. oracle_checks_units.py and
oracle_checks_time.py have the other layers and the loss; test_oracles.py has the table of all.
"""

import itertools

import numpy as np
import oracles
import pytest
from contract import assert_close, upstream
from layer_cases import spaced

from snippets.layers.conv import conv_plain
from snippets.layers.lrn import lrn_plain
from snippets.layers.pool import max_pool_plain


def agrees(forward, backward, oracle, arrays, what):
    """forward equals the oracle, and backward's gradients equal the oracle's slopes along random directions."""
    y, cache = forward(*arrays)
    assert_close(y, oracle(*arrays), f"{what}: y", rtol=1e-10)
    dy = upstream(y)
    gradients = backward(dy, cache)
    slopes_agree(
        lambda *a: (dy * oracle(*a)).sum(), arrays, gradients if isinstance(gradients, tuple) else [gradients], what
    )


def slopes_agree(loss, arrays, gradients, what, epsilon=1e-5):
    """<gradient, v> equals the central difference of loss along v, for two random v in each of the arrays."""
    rng = np.random.default_rng(9)
    for k, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        assert gradient.shape == array.shape, f"{what}: gradient {k} has shape {gradient.shape}, array {array.shape}"
        for _ in range(2):
            v = rng.normal(0, 1, array.shape)
            ends = [loss(*[a + s * epsilon * v if j == k else a for j, a in enumerate(arrays)]) for s in (1, -1)]
            wanted, got = (ends[0] - ends[1]) / (2 * epsilon), float((gradient * v).sum())
            scale = np.abs(gradient * v).sum() + abs(wanted) + 1e-12
            assert abs(got - wanted) <= 1e-6 * scale, (
                f"{what}: slope along argument {k} is {got:.12g}, oracle {wanted:.12g}"
            )


def normal(*shape, seed=4):
    """Random parameters of order one."""
    return np.random.default_rng(seed).normal(0, 1, shape)


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


POOLS = [  # H, W, size, stride, pad
    (5, 6, 3, 2, "same"),
    (6, 7, 3, 2, "same"),
    (4, 5, 3, 1, "same"),
    (7, 4, 2, 2, "valid"),
    (7, 8, 3, 2, "valid"),
    (5, 6, 3, 2, 1),
    (4, 4, 3, 1, 1),
    (5, 5, 5, 3, 2),
    (1, 2, 3, 2, "same"),
    (7, 9, 2, 3, "valid"),
    (6, 7, 3, 2, "ceil"),
    (7, 8, 3, 2, "ceil"),
    (5, 6, 2, 2, "ceil"),
    (9, 8, 3, 3, "ceil"),
    (6, 3, 2, 3, "ceil"),
    (2, 4, 3, 2, "ceil"),
]


def max_pool(module):
    """Largest entries and their gradient; padding never wins over negative values; ties go to the first, row by row."""
    rng = np.random.default_rng(6)
    for H, W, *options in POOLS:
        shape = (2, H, W, 3)
        for x, what in [
            (spaced(shape, 3), "spaced"),
            (spaced(shape, 3) - 9, "negative"),
            (rng.integers(0, 3, shape).astype(float), "ties"),
            (np.zeros(shape), "all equal"),
            (np.full(shape, -2.0), "all equal and negative"),
        ]:
            wanted, winners = max_pool_plain(x, *options)
            y, cache = module.max_pool_forward(x, *options)
            assert_close(y, wanted, f"max-pool {options} of {what} values: y", rtol=0)
            dy = upstream(y)
            dx = np.zeros((2, H * W, 3))
            for (n, p, q, c), pixel in np.ndenumerate(winners):
                dx[n, pixel, c] += dy[n, p, q, c]
            got = module.max_pool_backward(dy, cache)
            assert_close(got, dx.reshape(shape), f"max-pool {options} of {what} values: dx", rtol=1e-12)


def max_pool_in_blocks(module):
    """The same with blocks of one row of output, and of two."""
    whole = module.BLOCK_ELEMENTS
    for module.BLOCK_ELEMENTS in (1, 60):
        max_pool(module)
    module.BLOCK_ELEMENTS = whole


def max_pool_offsets(module):
    """The largest size whose offsets fit one byte has the gradient in the right place, and a larger one is refused."""
    sizes = module.CUDA_SIZE, module.CPU_SIZE
    size = sizes[0] if module.on_gpu(np.zeros(1)) else sizes[1]
    x = np.zeros((1, size + 1, size + 1, 1))
    x[0, size, size] = 1
    y, cache = module.max_pool_forward(x, size, 1, "valid")
    dx = module.max_pool_backward(np.ones(y.shape), cache)
    assert dx[0, size, size, 0] == 1, "dx of the last offset"
    assert dx.sum() == 4 and dx[0, 0, 0, 0] == dx[0, 0, 1, 0] == dx[0, 1, 0, 0] == 1, "dx of ties"
    with pytest.raises(ValueError, match=f"{size + 1} x {size + 1}"):
        module.max_pool_forward(x, size + 1, 1, "valid")


def average_pool(module):
    """Whole windows only: a row or column that is left over has no effect and gets no gradient."""
    for H, W, size, stride in [(5, 6, 3, 2), (6, 5, 2, 2), (14, 14, 5, 3), (4, 3, 3, 1), (3, 3, 3, 3), (7, 8, 2, 3)]:
        agrees(
            lambda x, o=(size, stride): module.avg_pool_forward(x, *o),
            module.avg_pool_backward,
            lambda x, o=(size, stride): oracles.avg_pool(x, *o),
            [spaced((2, H, W, 2), 1)],
            f"average of {size}x{size}/{stride} on {H}x{W}",
        )
    with pytest.raises(ValueError, match="5.*4"):
        module.avg_pool_forward(spaced((1, 4, 6, 1), 1), 5, 3)


def global_average(module):
    """One number per map."""
    x = spaced((2, 3, 5, 4), 1)
    layer = module.GlobalAvgPool()
    y, cache = layer.forward(x)
    assert_close(y, oracles.average(x, (1, 2)), "global average", rtol=1e-12)
    assert_close(module.global_avg_pool_forward(x)[0], y, "global_avg_pool_forward", rtol=0)
    dx, _ = layer.backward(upstream(y), cache)
    slopes_agree(lambda x: (upstream(y) * oracles.average(x, (1, 2))).sum(), [x], [dx], "global average")


def lrn(module):
    """Constants of order one (1e-4 hides the cross-channel term), windows smaller and larger than the channels."""
    for C, *options in [
        (9, 5, 2.0, 0.7, 0.75, False),
        (9, 5, 1.0, 0.7, 0.75, True),
        (3, 5, 1.3, 0.9, 0.5, False),
        (3, 7, 1.3, 0.9, 1.2, True),
        (6, 3, 0.8, 1.1, 0.75, False),
        (4, 1, 1.0, 0.6, 0.75, False),
        (1, 5, 1.0, 0.6, 0.75, True),
    ]:
        agrees(
            lambda x, o=options: module.lrn_forward(x, *o),
            module.lrn_backward,
            lambda x, o=options: lrn_plain(x, *o),
            [spaced((2, 2, 3, C), 1)],
            f"LRN {options} over {C} channels",
        )


def lrn_defaults(module):
    """AlexNet's constants are the defaults of function and class; large inputs, so that alpha = 1e-4 shows."""
    x = 100 * spaced((2, 3, 3, 7), 1)
    wanted = lrn_plain(x, 5, 2.0, 1e-4, 0.75, False)
    assert_close(module.lrn_forward(x)[0], wanted, "lrn_forward defaults", rtol=1e-12)
    assert_close(module.LRN().forward(x)[0], wanted, "LRN defaults", rtol=1e-12)
    caffe = module.LRN(k=1.0, divide_by_n=True).forward(x)[0]
    assert_close(caffe, lrn_plain(x, 5, 1.0, 1e-4, 0.75, True), "LRN in Caffe's mode", rtol=1e-12)
    whole = module.BLOCK_ELEMENTS
    for module.BLOCK_ELEMENTS in (1, 30):
        assert_close(module.LRN().forward(x)[0], wanted, "LRN in blocks", rtol=1e-12)
        assert_close(module.LRN().predict(x), wanted, "LRN at inference", rtol=1e-12)
    module.BLOCK_ELEMENTS = whole


def lcn(module):
    """Windows inside, across and larger than the image; one channel and several."""
    for H, W, C, *options in [(5, 6, 2, 3, 1.0, 1e-6), (4, 5, 1, 5, 2.0, 0.3), (3, 4, 3, 9, 2.0, 1e-6)]:
        agrees(
            lambda x, o=options: module.lcn_forward(x, *o),
            module.lcn_backward,
            lambda x, o=options: oracles.lcn(x, *o),
            [spaced((2, H, W, C), 1)],
            f"LCN {options} on {H}x{W}x{C}",
        )


def inception(module):
    """1x1, 3x3, 5x5 and pool in this order on the channel axis; reductions come first, every branch ends in ReLU."""
    layer = module.Inception(4, 3, 2, 5, 1, 2, 2, rng=np.random.default_rng(0))
    layer.convert(lambda a: a.astype(np.float64))
    for k, value in enumerate(layer.params.values()):
        value[...] = normal(*value.shape, seed=30 + k)
    x, p = spaced((2, 4, 5, 4), 1), layer.params

    def step(x, name):
        return conv_plain(x, p[name + "/W"], p[name + "/b"], relu=True)

    pooled = max_pool_plain(x, 3, 1)[0]
    branches = [
        step(x, "conv1"),
        step(step(x, "conv3/reduce"), "conv3/conv"),
        step(step(x, "conv5/reduce"), "conv5/conv"),
        step(pooled, "pool/proj"),
    ]
    assert_close(layer.forward(x)[0], np.concatenate(branches, axis=-1), "inception", rtol=1e-11)
    small = module.Inception(4, 3, 2, 5, 1, 2, 2, kernel5=3, rng=np.random.default_rng(0)).params
    for params, kernel5 in ((p, 5), (small, 3)):
        sizes = {name: value.shape[:2] for name, value in params.items() if name.endswith("W")}
        assert sizes["conv3/conv/W"] == (3, 3) and sizes["conv5/conv/W"] == (kernel5,) * 2, f"kernels are {sizes}"
