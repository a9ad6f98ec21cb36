"""The other layers of one frame held against the oracles: pooling, normalisation, inception; see oracle_table.py."""

import numpy as np
import oracles
import pytest
from agreement import agrees, normal, slopes_agree
from contract import assert_close, upstream
from layer_cases import spaced

from snippets.layers.conv import conv_plain
from snippets.layers.lrn import lrn_plain
from snippets.layers.pool import max_pool_plain

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
    """A large window has the gradient in the right place; on a GPU the largest whose offsets fit one byte, not more."""
    limited = module.on_gpu(np.zeros(1))
    size = module.CUDA_SIZE if limited else 260
    x = np.zeros((1, size + 1, size + 1, 1))
    x[0, size, size] = 1
    y, cache = module.max_pool_forward(x, size, 1, "valid")
    dx = module.max_pool_backward(np.ones(y.shape), cache)
    assert dx[0, size, size, 0] == 1, "dx of the last offset"
    assert dx.sum() == 4 and dx[0, 0, 0, 0] == dx[0, 0, 1, 0] == dx[0, 1, 0, 0] == 1, "dx of ties"
    if limited:
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
    layer = module.Inception(4, (3, 2, 5, 1, 2, 2), rng=np.random.default_rng(0))
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
    small = module.Inception(4, (3, 2, 5, 1, 2, 2), kernel5=3, rng=np.random.default_rng(0)).params
    for params, kernel5 in ((p, 5), (small, 3)):
        sizes = {name: value.shape[:2] for name, value in params.items() if name.endswith("W")}
        assert sizes["conv3/conv/W"] == (3, 3) and sizes["conv5/conv/W"] == (kernel5,) * 2, f"kernels are {sizes}"


CHECKS = {
    "snippets.layers.pool": [max_pool, max_pool_in_blocks, max_pool_offsets, average_pool, global_average],
    "snippets.layers.lrn": [lrn, lrn_defaults],
    "snippets.layers.lcn": [lcn],
    "snippets.layers.inception": [inception],
}
