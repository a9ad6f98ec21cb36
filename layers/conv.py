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
place. Where it saves time, two other ways lead to the same sums: `layers.fast.winograd` for kernels of 3 x 3 and 5 x 5,
`layers.fast.fft` for larger ones.
"""

import numpy as np

from snippets.layers import gpu
from snippets.layers.core.base import Layer, he_normal
from snippets.layers.core.window import blocks, check_window, pad2d, padding
from snippets.layers.device.xp import on_gpu, scratch, xp_of
from snippets.layers.fast import fft as fft_conv
from snippets.layers.fast import winograd
from snippets.layers.relu import add_bias, add_bias_backward

BLOCK = 2**18  # numbers in a block of cols: 1 MB of float32, about one core's second-level cache
ROWS = 1024  # but at least so many rows, or the product spends its time on reading the filters again


def cols_blocks(positions, times=1):
    """Blocks of `times` BLOCK numbers of cols, which has as many as there are `positions` (N, Ho, Wo, kh, kw C)."""
    N, Ho, Wo, kh, run = positions.shape
    return blocks(N, Ho, max(1, ROWS // Wo, times * BLOCK // (Wo * kh * run)))


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
    for images, rows in cols_blocks(positions):
        y = out[images, rows].reshape(-1, F)
        xp.matmul(im2col(positions[images, rows]), filters, out=y)
        if b is not None:
            add_bias(y, b, relu, out=y)
    return out


def conv_forward(x, W, b, stride=1, pad="same", relu=False):
    """x (N, H, W, C), W (kh, kw, C, F), b (F,) -> y (N, Ho, Wo, F), cache."""
    kh, kw = W.shape[:2]
    *rows, Ho = padding(x.shape[1], kh, stride, pad)
    *columns, Wo = padding(x.shape[2], kw, stride, pad)
    if on_gpu(x):
        y = gpu.conv_forward(x, W, b, stride, relu, rows[0], columns[0], Ho, Wo)
    elif way := other_way(x, W, stride):
        y = way.correlate(x, W, rows, columns, b, relu)
    else:
        y = correlate(pad2d(x, rows, columns), W, stride, Ho, Wo, b, relu)
    return y, (x, W, y if relu else None, stride, rows, columns)


def conv_backward(dy, cache, input_grad=True):
    """dy (N, Ho, Wo, F) -> dx (N, H, W, C) (None without input_grad), dW (kh, kw, C, F), db (F,)."""
    x, W, y, stride, rows, columns = cache
    if on_gpu(dy):
        return gpu.conv_backward(dy, x, W, y, stride, rows[0], columns[0], input_grad)
    dy, db = add_bias_backward(dy, y)
    if way := other_way(x, W, stride):
        return *way.grads(dy, x, W, rows, columns, input_grad), db
    dx = conv_input_grad(dy, W, x.shape, stride, rows[0], columns[0]) if input_grad else None
    return dx, conv_filter_grad(dy, pad2d(x, rows, columns), W.shape, stride), db


def other_way(x, W, stride):
    """The module that computes this convolution in less time on a CPU than a product with cols, or None."""
    return next((way for way in (winograd, fft_conv) if way.pays(x.shape, W.shape, stride)), None)


def conv_filter_grad(dy, x, shape, stride):
    """dW of `shape`: cols^T dy, summed over blocks; x already padded. cols is made again: it is too large to keep."""
    kh, kw, C, F = shape
    positions = under_kernel(x, kh, kw, stride, *dy.shape[1:3])
    dW = None
    for images, rows in cols_blocks(positions, times=4):  # larger ones: each adds a whole dW
        part = im2col(positions[images, rows]).T @ dy[images, rows].reshape(-1, F)
        dW = part if dW is None else xp_of(dy).add(dW, part, out=dW)
    return dW.reshape(shape)


def conv_input_grad(dy, W, x_shape, stride, top, left):
    """dx (N, H, W, C): the convolution of dy, spread out by the stride, with the turned filters."""
    kh, kw = W.shape[:2]
    (N, H, width, _), (_, Ho, Wo, F) = x_shape, dy.shape
    turned = W[::-1, ::-1].transpose(0, 1, 3, 2)  # (kh, kw, F, C)
    if kh == kw == stride == 1:
        return correlate(dy, turned, 1, H, width)
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
