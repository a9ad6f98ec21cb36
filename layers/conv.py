r"""Convolution over images, channels last.

    y[n, p, q, f] = b_f + sum_{i,j,c} x[n, s p + i - top, s q + j - left, c] W[i, j, c, f]       x is zero outside

As a matrix product: row (n, p, q) of `cols` holds the kh kw C inputs under the kernel (im2col), so that

    y = cols W + b                      cols (N Ho Wo, kh kw C),  W (kh kw C, F)
    dW = cols^T dy,   db = sum_rows dy
    dx = dy * flip(W)                   a convolution again: dy spread out by the stride with zeros between, filters
                                        turned by 180 degrees, input and output channels exchanged

Channels last, a row of cols is kh runs of kw C neighbours in memory, and a 1x1 convolution is the bare product: its
im2col is a view. As in every deep-learning library "convolution" is a correlation: the kernel is not flipped in the
forward pass.

Padding "same" gives ceil(H / s) rows and puts the odd row or column at the bottom and right; an integer pads every side
(Caffe); "valid" pads nothing, and rows that no longer fill a window are left out; "ceil", the rule of Caffe's pooling,
gives them a window that reaches over the edge. With relu=True the layer ends in max(., 0): the mask of the backward
pass is y > 0.

cols is never made whole: it has kh kw times as many numbers as x. A block of its rows is made, multiplied, and the
bias and the ReLU are applied while that block of y is still in the processor's cache; then the next one takes its
place. Large kernels over many channels take another way to the same sums, `layers.fft_conv`.
"""

import numpy as np

from layers import gpu
from layers.base import Layer, he_normal
from layers.fft_conv import fft_correlate, fft_grads, pays
from layers.xp import on_gpu, scratch, xp_of


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


def pad2d(x, rows, columns, value=0):
    """x (N, H, W, C) with (before, after) rows and columns of `value` added; x itself where there is nothing to add."""
    if not any((*rows, *columns)):
        return x
    N, H, W, C = x.shape
    padded = xp_of(x).full((N, H + sum(rows), W + sum(columns), C), value, x.dtype)
    padded[:, rows[0] : rows[0] + H, columns[0] : columns[0] + W] = x
    return padded


BLOCK = 2**18  # numbers in a block of cols: 1 MB of float32, about one core's second-level cache
ROWS = 256  # but at least so many rows, or the product spends its time on reading the filters again


def blocks(N, Ho, Wo, row_length, times=1):
    """Cut the (N, Ho, Wo) rows of cols into runs of about `times` BLOCK numbers: slices (images, output rows)."""
    rows = max(1, ROWS // Wo, times * BLOCK // (Wo * row_length))
    if rows >= Ho:
        step = rows // Ho
        return [(slice(n, n + step), slice(0, Ho)) for n in range(0, N, step)]
    rows = -(-Ho // -(-Ho // rows))  # equal parts
    return [(slice(n, n + 1), slice(p, min(p + rows, Ho))) for n in range(N) for p in range(0, Ho, rows)]


def under_kernel(x, kh, kw, stride, Ho, Wo):
    """Every position of the kernel over an x (N, Hp, Wp, C) already padded, as a view (N, Ho, Wo, kh, kw C)."""
    xp = xp_of(x)
    x = xp.ascontiguousarray(x)
    N, Hp, Wp, C = x.shape
    c = x.itemsize  # not x.strides: an axis of length one may have any stride, even in a contiguous array
    n, h, w = Hp * Wp * C * c, Wp * C * c, C * c
    shape = (N, Ho, Wo, kh, kw * C)  # kw and C lie side by side in memory: one run
    return xp.lib.stride_tricks.as_strided(x, shape, (n, stride * h, stride * w, h, c))


def im2col(positions):
    """Those positions, or some of them, as rows of a matrix: (rows, kh kw C); a view for a 1x1 kernel, else a copy."""
    kh, run = positions.shape[3:]
    shape = (-1, kh * run)
    if kh == 1 and positions.flags.c_contiguous:
        return positions.reshape(shape)
    cols = scratch("cols", positions.shape, positions.dtype, xp_of(positions))
    cols[...] = positions
    return cols.reshape(shape)


def correlate(x, W, stride, Ho, Wo, b=None, relu=False):
    """The sum of products, plus b, under ReLU: x (N, Hp, Wp, C) already padded, W (kh, kw, C, F) -> (N, Ho, Wo, F)."""
    xp = xp_of(x)
    kh, kw, C, F = W.shape
    positions, filters = under_kernel(x, kh, kw, stride, Ho, Wo), W.reshape(kh * kw * C, F)
    out = xp.empty((len(x), Ho, Wo, F), x.dtype)
    for images, rows in blocks(len(x), Ho, Wo, kh * kw * C):
        y = out[images, rows].reshape(-1, F)
        xp.matmul(im2col(positions[images, rows]), filters, out=y)
        if b is not None:
            add_bias(y, b, relu)
    return out


def add_bias(y, b, relu):
    """y + b, under ReLU or not, in place."""
    if relu:
        xp_of(y).maximum(y, -b, out=y)  # max(y + b, 0) = max(y, -b) + b: NumPy compares with a row faster than with 0
    y += b
    return y


def conv_forward(x, W, b, stride=1, pad="same", relu=False):
    """x (N, H, W, C), W (kh, kw, C, F), b (F,) -> y (N, Ho, Wo, F), cache."""
    kh, kw = W.shape[:2]
    top, bottom, Ho = padding(x.shape[1], kh, stride, pad)
    left, right, Wo = padding(x.shape[2], kw, stride, pad)
    if on_gpu(x):
        y = gpu.conv_forward(x, W, b, stride, relu, top, left, Ho, Wo)
        return y, (x, W, y if relu else None, stride, (top, bottom), (left, right))
    padded = pad2d(x, (top, bottom), (left, right))
    if by_fft(x, W, stride):
        y = add_bias(fft_correlate(padded, W), b, relu)
    else:
        y = correlate(padded, W, stride, Ho, Wo, b, relu)
    return y, (x, W, y if relu else None, stride, (top, bottom), (left, right))


def conv_backward(dy, cache, input_grad=True):
    """dy (N, Ho, Wo, F) -> dx (N, H, W, C) (None without input_grad), dW (kh, kw, C, F), db (F,)."""
    x, W, y, stride, rows, columns = cache
    if on_gpu(dy):
        return gpu.conv_backward(dy, x, W, y, stride, rows[0], columns[0], input_grad)
    if y is not None:
        dy = dy * (y > 0)
    padded, db = pad2d(x, rows, columns), dy.reshape(-1, W.shape[3]).sum(axis=0)
    if by_fft(x, W, stride):
        dx, dW = fft_grads(dy, padded, W, input_grad)
        if input_grad:
            dx = dx[:, rows[0] : rows[0] + x.shape[1], columns[0] : columns[0] + x.shape[2]]
    else:
        dx = conv_input_grad(dy, W, x.shape, stride, rows[0], columns[0]) if input_grad else None
        dW = conv_filter_grad(dy, padded, W.shape, stride)
    return dx, dW, db


def by_fft(x, W, stride):
    """Whether `layers.fft_conv` computes this one: on the CPU, where it pays."""
    return xp_of(x) is np and pays(x.shape, W.shape, stride)


def conv_filter_grad(dy, x, shape, stride):
    """dW of `shape`: cols^T dy, summed over blocks; x already padded. cols is made again: it is too large to keep."""
    kh, kw, C, F = shape
    N, Ho, Wo, _ = dy.shape
    positions = under_kernel(x, kh, kw, stride, Ho, Wo)
    dW = None
    for images, rows in blocks(N, Ho, Wo, kh * kw * C, times=4):  # larger ones: each adds a whole dW
        part = im2col(positions[images, rows]).T @ dy[images, rows].reshape(-1, F)
        dW = part if dW is None else xp_of(dy).add(dW, part, out=dW)
    return dW.reshape(shape)


def conv_input_grad(dy, W, x_shape, stride, top, left):
    """dx (N, H, W, C): the convolution of dy, spread out by the stride, with the turned filters."""
    kh, kw = W.shape[:2]
    (N, H, width, _), (_, Ho, Wo, F) = x_shape, dy.shape
    turned = W[::-1, ::-1].transpose(0, 1, 3, 2)  # (kh, kw, F, C)
    # dx[h] needs dy[p] where h = stride p + i - top for some i: put dy[p] at row kh - 1 - top + stride p
    first_row, first_column = kh - 1 - top, kw - 1 - left
    spread = xp_of(dy).zeros((N, H + kh - 1, width + kw - 1, F), dy.dtype)
    spread[:, first_row:][:, : stride * Ho : stride, first_column:][:, :, : stride * Wo : stride] = dy
    return correlate(spread, turned, 1, H, width)


class Conv2D(Layer):
    """F filters of kernel x kernel over C channels.

    pad: "same", "valid", "ceil" or pixels on every side; relu: max(y, 0).
    input_grad=False leaves out dx (backward returns None for it): the first layer, whose input is the image.
    """

    def __init__(self, C, F, kernel, stride=1, pad="same", relu=False, *, rng, input_grad=True, dtype=np.float32):
        check_window(kernel, stride, pad)
        W = he_normal(rng, (kernel, kernel, C, F), kernel * kernel * C, dtype)
        super().__init__(W=W, b=np.zeros(F, dtype))
        self.stride, self.pad, self.relu, self.input_grad = stride, pad, relu, input_grad

    def forward(self, x, rng=None):
        self.expect(x, ndim=4, last=self.params["W"].shape[2])
        return conv_forward(x, **self.params, stride=self.stride, pad=self.pad, relu=self.relu)

    def backward(self, dy, cache):
        dx, dW, db = conv_backward(dy, cache, self.input_grad)
        return dx, {"W": dW, "b": db}
