"""The inputs of A2's questions, and how each function is called; it has no answers.

CASES: the sizes of each case: N images of H x W pixels and C channels, F filters of kh x kw, stride s, pad: pixels on
every side, or -1 for "same", -2 for "valid", -3 for "ceil". CALLS: for each question a function that draws inputs and
one that calls the student's function on them. OWN: the same, for whether a backward pass is the derivative of the
forward pass beside it.
"""

from functools import partial

import numpy as np

from snippets.training.assignments.calls import hunt, slopes, with_directions

CASES = {
    "public": {"small": {}, "views": dict(N=3, s=2, kh=2)},
    "hidden": {
        "stride 2": dict(H=7, W=6, s=2, relu=False),
        "stride 3": dict(H=8, W=9, s=3, kh=4, kw=2),
        "valid": dict(H=8, W=7, s=2, pad=-2),
        "2 pixels": dict(kh=3, kw=3, s=2, pad=2, ties=True),
        "over the edge": dict(H=6, W=7, s=2, pad=-3),
        "one pixel": dict(kh=1, kw=1, C=5),
        "one of two": dict(kh=1, kw=1, s=2, H=5, relu=False),
        "ties": dict(N=1, H=6, W=8, s=1, ties=True),
        "views": dict(C=2, F=4),
        "float32": {},
    },
    "own": {"slope": dict(relu=False, s=2)},
}
WINDOWS = [(5, 1, 3, -3), (5, 1, 3, -1), (6, 3, 2, -1), (6, 3, 2, -3), (2, 5, 1, -2)]  # size, kernel, stride, pad
PADS = {-1: "same", -2: "valid", -3: "ceil"}


def padded(pad):
    return PADS.get(int(pad), int(pad))


def draw_padding(window, rng, **unused):
    """Some windows that are easy to get wrong, and twelve of any kind; some do not fit."""
    size, kernel, stride = rng.integers(1, 13, 12), rng.integers(1, 6, 12), rng.integers(1, 4, 12)
    others = np.stack([size, kernel, stride, rng.integers(-3, kernel)])
    windows = np.concatenate([np.transpose(WINDOWS), others], axis=1)
    return dict(zip(("size", "kernel", "stride", "pad"), windows, strict=True))


def padding(window, **arrays):
    """(before, after, out) of each window, by its name; three times -1 if it is refused by ValueError."""
    found, columns = {}, [arrays[name].tolist() for name in ("size", "kernel", "stride", "pad")]
    for size, kernel, stride, pad in zip(*columns, strict=True):
        name = f"padding({size}, {kernel}, {stride}, {padded(pad)!r})"
        try:
            found[name] = np.array(window.padding(size, kernel, stride, padded(pad)))
        except ValueError:
            found[name] = np.array([-1, -1, -1])
    return found


def draw_image(rng, ties, *shape):
    """Different pixels in random order, or many equal ones."""
    if ties:
        return np.rint(rng.standard_normal(shape))
    return rng.permutation(np.arange(np.prod(shape, dtype=int)) / 8 - 5).reshape(shape) / np.sqrt(np.prod(shape))


def output_size(window, length, kernel, s, pad):
    return window.padding(length, kernel, s, padded(pad))[2]


def draw_conv(conv, rng, N=2, H=5, W=6, C=3, F=4, kh=3, kw=3, s=1, pad=-1, relu=True, ties=False):
    pad = min(pad, kh - 1, kw - 1)
    arrays = dict(x=draw_image(rng, ties, N, H, W, C), W=rng.standard_normal((kh, kw, C, F)))
    Ho, Wo = output_size(conv, H, kh, s, pad), output_size(conv, W, kw, s, pad)
    dy, windows = rng.standard_normal((N, Ho, Wo, F)), rng.standard_normal((N, Ho, Wo, kh, kw * C))
    return arrays | dict(b=rng.standard_normal(F), s=s, pad=pad, relu=relu, dy=dy, windows=windows)


def conv_forward(conv, x, W, b, s, pad, relu, dy, windows):
    y, _ = conv.conv_forward(x, W, b, int(s), padded(pad), bool(relu))
    return dict(cols=conv.im2col(windows).copy(), y=y)


def conv_backward(conv, x, W, b, s, pad, relu, dy, windows):
    """dx_parts and dW_parts are those of `conv_input_grad` and `conv_filter_grad`, called with dy as it is."""
    s, pad = int(s), padded(pad)
    y, cache = conv.conv_forward(x, W, b, s, pad, bool(relu))
    dx, dW, db = conv.conv_backward(dy, cache)
    skipped, dW_alone, _ = conv.conv_backward(dy, cache, input_grad=False)
    rows, columns = conv.padding(x.shape[1], W.shape[0], s, pad), conv.padding(x.shape[2], W.shape[1], s, pad)
    return dict(
        y=y, dx=dx, dW=dW, db=db, dW_alone=dW_alone, skipped=skipped is None,
        dx_parts=conv.conv_input_grad(dy, W, x.shape, s, rows[0], columns[0]),
        dW_parts=conv.conv_filter_grad(dy, conv.pad2d(x, rows[:2], columns[:2]), W.shape, s),
    )  # fmt: skip


def draw_conv_slope(conv, rng, **sizes):
    return with_directions(draw_conv(conv, rng, **sizes), rng, ["x", "W", "b"])


def draw_pool(pool, rng, N=2, H=5, W=6, C=3, kh=3, s=2, pad=-1, ties=False, **unused):
    """size is the larger of kh and 2."""
    size = max(kh, 2)
    pad = min(pad, size - 1)
    Ho, Wo = (output_size(pool, length, size, s, pad) for length in (H, W))
    return dict(x=draw_image(rng, ties, N, H, W, C), size=size, s=s, pad=pad, dy=rng.standard_normal((N, Ho, Wo, C)))


def max_pool(pool, x, size, s, pad, dy):
    window = int(size), int(s), padded(pad)
    y, cache = pool.max_pool_forward(x, *window)
    return dict(y=y, dx=pool.max_pool_backward(dy, cache), y_inference=pool.max_pool_forward(x, *window, False)[0])


def draw_pool_slope(pool, rng, **sizes):
    return with_directions(draw_pool(pool, rng, **sizes), rng, ["x"])


def draw_any_pool(pool, rng):
    """A window of any kind, on an image with many equal pixels."""
    sizes = dict(zip("HW", (int(n) for n in rng.integers(5, 10, 2)), strict=True))
    window = dict(kh=int(rng.integers(2, 4)), s=int(rng.integers(1, 4)), pad=int(rng.integers(-3, 2)))
    return draw_pool(pool, rng, ties=True, **sizes, **window)


def draw_twist(twist, rng, N=2, H=7, W=8, C=3, kh=3, s=2, ties=False, **unused):
    size, length = min(max(kh, 2), 3), max(H, W)
    arrays = dict(x=draw_image(rng, ties, N, length, length + 1, C), size=size, s=s)
    y, _ = twist.twist_forward(arrays["x"], size, s)
    return arrays | dict(dy=rng.standard_normal(y.shape))


def twist(module, x, size, s, dy):
    y, cache = module.twist_forward(x, int(size), int(s))
    return dict(y=y, dx=module.twist_backward(dy, cache))


def draw_twist_slope(module, rng, **sizes):
    return with_directions(draw_twist(module, rng, **sizes), rng, ["x"])


CALLS = {
    "padding": (draw_padding, padding),
    "conv_forward": (draw_conv, conv_forward),
    "conv_backward": (draw_conv, conv_backward),
    "max_pool": (draw_pool, max_pool),
    "twist": (draw_twist, twist),
    "hunt": (None, hunt),
}
HUNT = "max_pool", draw_any_pool  # the question whose function is run by others in the bug hunt, and its inputs
OWN = {
    "conv_backward": (draw_conv_slope, partial(slopes, conv_backward)),
    "max_pool": (draw_pool_slope, partial(slopes, max_pool)),
    "twist": (draw_twist_slope, partial(slopes, twist)),
}
