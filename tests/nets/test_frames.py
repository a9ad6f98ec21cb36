"""OverFrames: chunks, threads and recomputing change nothing, and a tower sees every frame of a clip alone."""

import numpy as np
import pytest
from contract import assert_close, assert_same_bits, upstream
from layer_cases import spaced

from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Linear
from snippets.layers.lrn import LRN
from snippets.layers.pool import GlobalAvgPool, MaxPool2D
from snippets.nets.frames import OverFrames, fold, unfold


def frame_tower(dtype=np.float32):
    """A small tower with everything that draws, pools and multiplies."""
    rng = np.random.default_rng(0)
    net = Sequential(
        conv1=Conv2D(3, 6, 3, relu=True, rng=rng),
        pool1=MaxPool2D(),
        norm1=LRN(),
        drop=Dropout(0.5),
        average=GlobalAvgPool(),
        drop_per_clip=Dropout(0.3, per_clip=True),
        fc=Linear(6, 4, rng),
    )
    return net.convert(lambda a: a.astype(dtype))


def run(layer, x, rng=None):
    """y, dx, grads."""
    y, cache = layer.forward(x, rng)
    return (y, *layer.backward(upstream(y), cache))


def assert_same_run(got, wanted, what):
    """The same bits in y, dx and every gradient."""
    for part, array, other in zip(("y", "dx"), got, wanted, strict=False):
        assert_same_bits(array, other, f"{part} {what}")
    for key in wanted[2]:
        assert_same_bits(got[2][key], wanted[2][key], f"d{key} {what}")


@pytest.mark.parametrize("training", [False, True])
def test_threads_and_recomputing_change_no_bit(training):
    """1, 2 and 4 threads, caches kept or made again in the backward pass: one answer, dropout included."""
    x = spaced((3, 7, 9, 8, 3), 1).astype(np.float32)

    def answer(cut=None, **options):
        tower = frame_tower()
        tower.cut = cut
        return run(OverFrames(tower, chunk=2, **options), x, np.random.default_rng(8) if training else None)

    wanted = answer(threads=1)
    again = [dict(threads=k, recompute=True, cut=cut) for k in (1, 4) for cut in (None, "norm1", "average")]
    for options in [dict(threads=2), dict(threads=4), *again]:
        for _ in range(3):  # another order of threads each time
            assert_same_run(answer(**options), wanted, f"with {options}")


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 100])
def test_chunks_change_nothing_but_rounding(chunk):
    """Each frame alone through the tower, by hand, against chunks that cut clips in two."""
    tower, x = frame_tower(np.float64), spaced((2, 3, 9, 8, 3), 1)
    layer = OverFrames(tower, chunk=chunk)
    y, dx, grads = run(layer, x)
    assert_close(layer.predict(x), y, "predict", rtol=1e-12)
    dy, sums = upstream(y), {key: 0 for key in grads}
    for n, t in np.ndindex(2, 3):
        y_frame, cache = tower.forward(x[n, t][None])
        dx_frame, frame_grads = tower.backward(dy[n, t][None], cache)
        assert_close(y[n, t], y_frame[0], f"y of clip {n} frame {t}", rtol=1e-12)
        assert_close(dx[n, t], dx_frame[0], f"dx of clip {n} frame {t}", rtol=1e-12)
        sums = {key: sums[key] + frame_grads[key] for key in grads}
    for key, value in grads.items():
        assert_close(value, sums[key], "d" + key, rtol=1e-11)


def test_fold_keeps_the_frames_of_a_clip_together():
    x = spaced((2, 3, 4), 1)
    for n, t in np.ndindex(2, 3):
        np.testing.assert_array_equal(fold(x)[3 * n + t], x[n, t])
    np.testing.assert_array_equal(unfold(fold(x), 3), x)


def test_an_error_in_a_thread_reaches_the_caller():
    with pytest.raises(ValueError, match="3 on the last axis"):
        OverFrames(frame_tower(), threads=2, chunk=1).forward(np.zeros((2, 2, 9, 8, 4), np.float32))
    with pytest.raises(ValueError, match="chunk is 0"):
        OverFrames(frame_tower(), chunk=0)


def test_a_first_layer_without_dx_has_the_same_gradients():
    """Nobody needs the gradient of the pixels."""
    x, rng = spaced((2, 6, 5, 3), 1), np.random.default_rng(0)
    whole, bare = (Conv2D(3, 4, 3, rng=np.random.default_rng(0)) for _ in range(2))
    bare.input_grad = False
    for layer in (whole, bare):
        layer.convert(lambda a: a.astype(np.float64))
    dy = rng.normal(size=(2, 6, 5, 4))
    dx, grads = bare.backward(dy, bare.forward(x)[1])
    assert dx is None
    wanted = whole.backward(dy, whole.forward(x)[1])[1]
    for key, value in grads.items():
        assert_same_bits(value, wanted[key], "d" + key)
