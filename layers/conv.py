r"""Convolution over images, channels last.

    y[n, p, q, f] = b_f + sum_{i,j,c} x[n, s p + i - top, s q + j - left, c] W[i, j, c, f]       x is zero outside

As a matrix product: row (n, p, q) of `cols` holds the kh kw C inputs under the kernel (im2col), so that

    y = cols W + b                      cols (N Ho Wo, kh kw C),  W (kh kw C, F)
    dW = cols^T dy,   db = sum_rows dy
    dx = dy * flip(W)                   a convolution again: dy dilated by the stride (zeros between), filters rotated
                                        by 180 degrees, input and output channels exchanged

Channels last, a row of cols is kh runs of kw C neighbours in memory, and a 1x1 convolution is only the product: its
im2col is a view. As in every deep-learning library, "convolution" is a correlation: the forward pass does not flip the
kernel.

Padding "same" gives ceil(H / s) rows, the odd row or column at the bottom and right; an integer pads every side
(Caffe); "valid" pads nothing, and rows that do not fill a window are left out; "ceil", the rule of Caffe's pooling,
gives them a window that reaches over the edge. With relu=True the layer ends in max(., 0): the mask of the backward
pass is y > 0.

cols has kh kw times as many elements as x, so it is never whole: a block of its rows is made and multiplied, and bias
and ReLU are applied while that block of y is in the processor's cache. Where it saves time, two other algorithms
compute the same sums: `layers.fast.winograd` for kernels of 3 x 3 and 5 x 5, `layers.fast.fft` for larger ones, with
other rounding (`layers.fast`); `direct_sums` does without them. The twin on a GPU is conv.cu.
"""

import contextlib
import math

import numpy as np

from snippets.layers.core.base import Layer, he_normal
from snippets.layers.core.window import blocks, check_window, pad2d, padding
from snippets.layers.device.launch import BLOCK_THREADS, LARGEST, launch
from snippets.layers.device.xp import on_gpu, scratch, xp_of
from snippets.layers.fast import fft, winograd
from snippets.layers.relu import add_bias, add_bias_backward, add_bias_backward_cuda, add_bias_cuda

BLOCK_ELEMENTS = 2**18  # in a block of cols: 1 MB of float32, about one core's second-level cache
BLOCK_ROWS = 1024  # but at least so many rows, or the product spends its time on reading the filters again
GPU_ELEMENTS = 2**28  # in a block of cols on a GPU: 1 GB of float32
SHARED_ELEMENTS = 4096  # that im2col_image of conv.cu keeps in shared memory
FAST = (winograd, fft)  # the other algorithms


@contextlib.contextmanager
def direct_sums():
    """In this block every convolution of the program is the direct sum: slower, but no pixel costs others their digits.

    with direct_sums():
        net.predict(x)
    """
    global FAST
    before, FAST = FAST, ()
    try:
        yield
    finally:
        FAST = before


def conv_plain(x, W, b, stride=1, pad="same", relu=False):
    """The equation, one position (p, q) after the other; shapes as in `conv_forward`, which is the fast version."""
    kh, kw, _, F = W.shape
    *rows, Ho = padding(x.shape[1], kh, stride, pad)
    *columns, Wo = padding(x.shape[2], kw, stride, pad)
    x, y = pad2d(x, rows, columns), np.empty((len(x), Ho, Wo, F), x.dtype)
    for p, q in np.ndindex(Ho, Wo):
        window = x[:, stride * p : stride * p + kh, stride * q : stride * q + kw]  # (N, kh, kw, C)
        y[:, p, q] = np.tensordot(window, W, axes=3) + b
    return np.maximum(y, 0) if relu else y


def cols_blocks(windows, factor=1):
    """The windows (N, Ho, Wo, kh, kw C) in blocks of `factor` BLOCK_ELEMENTS: a list of slices (images, rows)."""
    N, Ho, Wo, kh, run = windows.shape
    return blocks(N, Ho, max(1, BLOCK_ROWS // Wo, factor * BLOCK_ELEMENTS // (Wo * kh * run)))


def sliding_windows(x, kh, kw, stride, Ho, Wo):
    """What the kernel sees at each position, x (N, Hp, Wp, C) already padded: a view (N, Ho, Wo, kh, kw C).

    Raises ValueError for windows that reach over the edge.
    """
    xp = xp_of(x)
    x = xp.ascontiguousarray(x)
    N, Hp, Wp, C = x.shape
    if stride * (Ho - 1) + kh > Hp or stride * (Wo - 1) + kw > Wp:
        raise ValueError(f"{Ho} x {Wo} windows of {kh} x {kw}, stride {stride}, do not fit into {Hp} x {Wp} pixels")
    c = x.itemsize  # not x.strides: an axis of length one may have any stride, even in a contiguous array
    n, h, w = Hp * Wp * C * c, Wp * C * c, C * c
    shape = (N, Ho, Wo, kh, kw * C)  # kw and C lie side by side in memory: one run
    return xp.lib.stride_tricks.as_strided(x, shape, (n, stride * h, stride * w, h, c))


def im2col(windows):
    """Those windows, or some of them, as rows of a matrix (rows, kh kw C): a view for a 1x1 kernel, else a copy."""
    kh, run = windows.shape[3:]
    if kh == 1 and windows.flags.c_contiguous:
        return windows.reshape(-1, run)
    cols = scratch("cols", windows.shape, windows.dtype, xp_of(windows))
    cols[...] = windows
    return cols.reshape(-1, kh * run)


def correlate(x, W, stride, Ho, Wo, b=None, relu=False):
    """Products summed, plus b, then ReLU: x (N, Hp, Wp, C) already padded, W (kh, kw, C, F) -> (N, Ho, Wo, F)."""
    xp = xp_of(x)
    kh, kw, C, F = W.shape
    windows, filters = sliding_windows(x, kh, kw, stride, Ho, Wo), W.reshape(kh * kw * C, F)
    out = xp.empty((len(x), Ho, Wo, F), x.dtype)
    for block in cols_blocks(windows):
        y = out[block].reshape(-1, F)
        xp.matmul(im2col(windows[block]), filters, out=y)
        if b is not None:
            add_bias(y, b, relu, out=y)
    return out


def conv_forward(x, W, b, stride=1, pad="same", relu=False):
    """x (N, H, W, C), W (kh, kw, C, F), b (F,) -> y (N, Ho, Wo, F), cache; pad: see the module's docstring."""
    kh, kw = W.shape[:2]
    *rows, Ho = padding(x.shape[1], kh, stride, pad)
    *columns, Wo = padding(x.shape[2], kw, stride, pad)
    if on_gpu(x):
        y = conv_forward_cuda(x, W, b, relu, (stride, rows[0], columns[0], Ho, Wo))
    elif fast := fast_algorithm(x.shape, W.shape, stride):
        y = fast.correlate(x, W, rows, columns, b, relu)
    else:
        y = correlate(pad2d(x, rows, columns), W, stride, Ho, Wo, b, relu)
    return y, (x, W, y if relu else None, stride, rows, columns)


def conv_backward(dy, cache, input_grad=True):
    """dy (N, Ho, Wo, F) -> dx (N, H, W, C) (None without input_grad), dW (kh, kw, C, F), db (F,)."""
    x, W, y, stride, rows, columns = cache
    if on_gpu(dy):
        return conv_backward_cuda(dy, cache, input_grad)
    dy, db = add_bias_backward(dy, y)
    if fast := fast_algorithm(x.shape, W.shape, stride):
        return *fast.grads(dy, x, W, rows, columns, input_grad), db
    dx = conv_input_grad(dy, W, x.shape, stride, rows[0], columns[0]) if input_grad else None
    return dx, conv_filter_grad(dy, pad2d(x, rows, columns), W.shape, stride), db


def fast_algorithm(x_shape, W_shape, stride):
    """The module that computes this convolution in less time on a CPU than a product with cols, or None."""
    return next((module for module in FAST if module.is_faster(x_shape, W_shape, stride)), None)


def conv_filter_grad(dy, x, shape, stride):
    """dy (N, Ho, Wo, F), x (N, Hp, Wp, C) already padded -> dW of `shape` (kh, kw, C, F)."""
    kh, kw, C, F = shape  # dW = cols^T dy, summed over blocks; cols is made again, for it is too large to keep
    windows = sliding_windows(x, kh, kw, stride, *dy.shape[1:3])
    dW = None
    for block in cols_blocks(windows, factor=4):  # larger ones: each adds a whole dW
        part = im2col(windows[block]).T @ dy[block].reshape(-1, F)
        dW = part if dW is None else xp_of(dy).add(dW, part, out=dW)
    return dW.reshape(shape)


def conv_input_grad(dy, W, x_shape, stride, top, left):
    """dy (N, Ho, Wo, F), W (kh, kw, C, F) -> dx (N, H, W, C) of x_shape; top, left: rows and columns of padding."""
    kh, kw = W.shape[:2]
    (N, H, width, _), (_, Ho, Wo, F) = x_shape, dy.shape
    rotated = W[::-1, ::-1].transpose(0, 1, 3, 2)  # (kh, kw, F, C)
    if kh == kw == stride == 1:
        return correlate(dy, rotated, 1, H, width)
    # dx[h] needs dy[p] where h = stride p + i - top for some i: put dy[p] at row kh - 1 - top + stride p
    first_row, first_column = kh - 1 - top, kw - 1 - left
    dilated = xp_of(dy).zeros((N, H + kh - 1, width + kw - 1, F), dy.dtype)
    dilated[:, first_row:][:, : stride * Ho : stride, first_column:][:, :, : stride * Wo : stride] = dy
    return correlate(dilated, rotated, 1, H, width)


class Conv2D(Layer):
    """F filters of kernel x kernel over C channels, (N, H, W, C) -> (N, Ho, Wo, F).

    pad: "same", "valid", "ceil" or pixels on every side; relu: max(y, 0). Raises ValueError for an impossible window.
    """

    input_grad = True  # False: backward returns None for dx; for the first layer, whose input is the image

    def __init__(self, C, F, kernel, stride=1, pad="same", relu=False, *, rng):
        check_window(kernel, stride, pad)
        W = he_normal(rng, (kernel, kernel, C, F), kernel * kernel * C)
        super().__init__(W=W, b=np.zeros(F, np.float32))
        self.stride, self.pad, self.relu = stride, pad, relu

    def forward(self, x, rng=None):
        self.expect(x, ndim=4, last=self.params["W"].shape[2])
        return conv_forward(x, **self.params, stride=self.stride, pad=self.pad, relu=self.relu)

    def backward(self, dy, cache):
        dx, dW, db = conv_backward(dy, cache, self.input_grad)
        return dx, {"W": dW, "b": db}


def image_blocks(x_shape, W_shape, positions):
    """The images in blocks for a GPU, whose cols have at most GPU_ELEMENTS; positions: (s, top, left, Ho, Wo)."""
    most = max(math.prod(x_shape[1:]), math.prod(positions[3:]) * math.prod(W_shape[:3]))  # elements of x or cols
    images = max(1, min(GPU_ELEMENTS, LARGEST) // most)
    return [slice(n, n + images) for n in range(0, x_shape[0], images)]


def im2col_cuda(x, W_shape, positions):
    """x (N, H, W, C) -> cols (N Ho Wo, kh kw C); x itself for a 1x1 kernel. positions: (s, top, left, Ho, Wo)."""
    (N, H, width, C), (kh, kw), (s, _, _, Ho, Wo) = x.shape, W_shape[:2], positions
    if kh == kw == s == 1:
        return x.reshape(-1, C)
    cols = xp_of(x).empty((N * Ho * Wo, kh * kw * C), x.dtype)
    shape = (H, width, C, kh, kw, *positions)
    fitting = (SHARED_ELEMENTS // (kh * C) - kw) // s + 1  # positions whose inputs fit into shared memory
    if C * x.itemsize % 32 and fitting >= 8:
        across = -(-Wo // fitting)  # tiles in a row of positions
        tiles = N * Ho * across
        launch("layers/conv.cu", "im2col_image", tiles * BLOCK_THREADS, x, cols, *shape, -(-Wo // across), tiles)
    else:
        launch("layers/conv.cu", "im2col", cols.size, x, cols, *shape, cols.size)
    return cols


def conv_forward_cuda(x, W, b, relu, positions):
    """`conv_forward` on a GPU -> y; positions: (s, top, left, Ho, Wo)."""
    xp, F = xp_of(x), W.shape[3]
    x, filters = xp.ascontiguousarray(x), xp.ascontiguousarray(W).reshape(-1, F)
    parts = [im2col_cuda(x[i], W.shape, positions) @ filters for i in image_blocks(x.shape, W.shape, positions)]
    y = parts[0] if len(parts) == 1 else xp.concatenate(parts)
    add_bias_cuda(y, b, relu)
    return y.reshape(len(x), *positions[3:], F)


def conv_backward_cuda(dy, cache, input_grad):
    """`conv_backward` on a GPU: col2im gathers dx from dcols = dy W^T."""
    x, W, y, stride, rows, columns = cache
    xp, F, positions = xp_of(dy), W.shape[3], (stride, rows[0], columns[0], *dy.shape[1:3])
    x, filters = xp.ascontiguousarray(x), xp.ascontiguousarray(W).reshape(-1, F)
    dz, db = add_bias_backward_cuda(dy, y)
    dW, dx = None, xp.empty(x.shape, x.dtype) if input_grad else None
    for images in image_blocks(x.shape, W.shape, positions):
        dz_rows = dz[images].reshape(-1, F)
        part = im2col_cuda(x[images], W.shape, positions).T @ dz_rows
        dW = part if dW is None else xp.add(dW, part, out=dW)
        if input_grad and W.shape[:2] == (1, 1) and stride == 1 and dz_rows.size == dz.size:
            dx = (dz_rows @ filters.T).reshape(x.shape)
        elif input_grad:
            dcols, part = dz_rows @ filters.T, dx[images]
            shape = (*x.shape[1:], *W.shape[:2], *positions)
            launch("layers/conv.cu", "col2im", part.size, dcols, part, *shape, part.size)
    return dx, dW.reshape(W.shape), db
