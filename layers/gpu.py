"""The layers whose mathematics is fused into CUDA kernels: which kernel follows which, and what is kept in between.

The equations stand in each layer's own file, and in the `.cu` file beside it; a function here has the name of the
layer's and does the same on a GPU in as few launches as the matrix products leave room for. Nothing here knows what
library its arrays are from, so it also runs on NumPy arrays, on kernels compiled for the host
(`layers.device.on_host`).
"""

import numpy as np

from snippets.layers.device.launch import BLOCK, LARGEST, launch, pointer, row_stride
from snippets.layers.device.xp import xp_of

COLS = 2**28  # numbers in a block of cols: 1 GB of float32
SEEN = 4096  # numbers that im2col_image keeps in shared memory
SUMS = 2**16  # threads that add up columns together: enough to fill a GPU
PARTS = np.dtype([("part", np.uintp, 8), ("start", np.int32, 9), ("count", np.int32)], align=True)


def rows_of(a):
    """An array whose rows lie evenly apart (a copy if need be), and how far: what kernels take as a and a_row."""
    a = a if row_stride(a) is not None else xp_of(a).ascontiguousarray(a)
    return a, row_stride(a)


def relu_backward(dy, y):
    xp = xp_of(dy)
    dy, y = xp.ascontiguousarray(dy), xp.ascontiguousarray(y)
    dx = xp.empty_like(dy)
    launch("layers/relu.cu", "relu_backward", dx.size, dy, y, dx, dx.size)
    return dx


def bias_backward(dy, y=None):
    """dy (..., F) under the mask y > 0 (None: none) -> contiguous, and its sums over all rows (F,)."""
    xp, F = xp_of(dy), dy.shape[-1]
    rows = dy.size // F
    chunk = max(1, -(-rows * F // SUMS))
    chunks = -(-rows // chunk)
    dy, dy_row = rows_of(dy)
    dz, db = xp.empty(dy.shape, dy.dtype), xp.empty((chunks, F), dy.dtype)
    mask = dz if y is None else y
    launch(
        "layers/relu.cu", "bias_backward", chunks * F,
        dy, dy_row, mask, dz, db, y is not None, chunk, rows, F, chunks * F,
    )  # fmt: skip
    return dz, db[0] if chunks == 1 else db.sum(axis=0)


def geometry(x_shape, W_shape, stride, top, left, Ho, Wo):
    """What the kernels of a convolution ask: H, W, C, kh, kw, s, top, left, Ho, Wo."""
    return *x_shape[1:], *W_shape[:2], stride, top, left, Ho, Wo


def image_blocks(N, row_numbers):
    """The N images in runs whose cols fit into COLS numbers."""
    step = max(1, min(COLS, LARGEST) // row_numbers)
    return [slice(n, n + step) for n in range(0, N, step)]


def im2col(x, shape):
    """x (N, H, W, C) -> cols (N Ho Wo, kh kw C); x itself for a 1x1 kernel."""
    H, W, C, kh, kw, s, _, _, Ho, Wo = shape
    if (kh, kw, s) == (1, 1, 1):
        return x.reshape(-1, C)
    cols = xp_of(x).empty((len(x) * Ho * Wo, kh * kw * C), x.dtype)
    Q = (SEEN // (kh * C) - kw) // s + 1  # positions of the kernel whose inputs fit into shared memory
    if C * x.itemsize % 32 and Q >= 8:
        across = -(-Wo // Q)
        tiles = len(x) * Ho * across
        launch("layers/conv.cu", "im2col_image", tiles * BLOCK, x, cols, *shape, -(-Wo // across), tiles)
    else:
        launch("layers/conv.cu", "im2col", cols.size, x, cols, *shape, cols.size)
    return cols


def conv_forward(x, W, b, stride, relu, top, left, Ho, Wo):
    xp = xp_of(x)
    x, W = xp.ascontiguousarray(x), xp.ascontiguousarray(W)
    shape, F = geometry(x.shape, W.shape, stride, top, left, Ho, Wo), W.shape[3]
    filters = W.reshape(-1, F)
    parts = [im2col(x[i], shape) @ filters for i in image_blocks(len(x), Ho * Wo * len(filters))]
    y = parts[0] if len(parts) == 1 else xp.concatenate(parts)
    launch("layers/relu.cu", "bias_forward", y.size, y, xp.ascontiguousarray(b), relu, F, y.size)
    return y.reshape(len(x), Ho, Wo, F)


def conv_backward(dy, x, W, y, stride, top, left, input_grad):
    xp = xp_of(dy)
    x, W = xp.ascontiguousarray(x), xp.ascontiguousarray(W)
    shape, F = geometry(x.shape, W.shape, stride, top, left, *dy.shape[1:3]), W.shape[3]
    filters = W.reshape(-1, F)
    dz, db = bias_backward(dy, y)
    dW, dx = None, xp.empty(x.shape, x.dtype) if input_grad else None
    for images in image_blocks(len(x), dz[0].size // F * len(filters)):
        rows = dz[images].reshape(-1, F)
        part = im2col(x[images], shape).T @ rows
        dW = part if dW is None else xp.add(dW, part, out=dW)
        if input_grad and W.shape[:2] == (1, 1) and stride == 1 and len(rows) * F == dz.size:
            dx = (rows @ filters.T).reshape(x.shape)
        elif input_grad:
            dcols, some = rows @ filters.T, dx[images]
            launch("layers/conv.cu", "col2im", some.size, dcols, some, *shape, some.size)
    return dx, dW.reshape(W.shape), db


def parts(arrays):
    """The struct Parts of conv.cu; `arrays` must live until the kernel is launched."""
    struct = np.zeros((), PARTS)
    struct["part"][: len(arrays)] = [pointer(a) for a in arrays]
    struct["start"][1 : len(arrays) + 1] = np.cumsum([a.shape[-1] for a in arrays])
    struct["count"] = len(arrays)
    return struct[()]


def join(arrays):
    """Up to eight arrays side by side on the last axis."""
    xp = xp_of(arrays[0])
    arrays = [xp.ascontiguousarray(a) for a in arrays]
    C = sum(a.shape[-1] for a in arrays)
    y = xp.empty((*arrays[0].shape[:-1], C), arrays[0].dtype)
    launch("layers/conv.cu", "join", y.size, y, parts(arrays), C, y.size)
    return y


def add(arrays):
    """The sum of up to eight arrays of one shape."""
    xp = xp_of(arrays[0])
    arrays = [xp.ascontiguousarray(a) for a in arrays]
    y = xp.empty_like(arrays[0])
    launch("layers/conv.cu", "add", y.size, y, parts(arrays), y.size)
    return y


def max_pool_forward(x, size, stride, top, left, Ho, Wo):
    xp = xp_of(x)
    x = xp.ascontiguousarray(x)
    y = xp.empty((len(x), Ho, Wo, x.shape[3]), x.dtype)
    winner = xp.empty(y.shape, np.uint8)
    shape = (*x.shape[1:], size, stride, top, left, Ho, Wo, y.size)
    launch("layers/pool.cu", "max_pool_forward", y.size, x, y, winner, *shape)
    return y, winner


def max_pool_backward(dy, winner, x_shape, size, stride, top, left):
    dx = xp_of(dy).empty(x_shape, dy.dtype)
    shape = (*x_shape[1:], size, stride, top, left, *winner.shape[1:3], dx.size)
    launch("layers/pool.cu", "max_pool_backward", dx.size, *rows_of(dy), winner, dx, *shape)
    return dx


def lrn_forward(x, n, k, a, beta):
    xp = xp_of(x)
    x = xp.ascontiguousarray(x)
    y = xp.empty_like(x)
    launch("layers/lrn.cu", "lrn_forward", x.size, x, y, k, a, beta, n // 2, x.shape[-1], x.size)
    return y, (x, n, k, a, beta)


def lrn_backward(dy, cache):
    x, n, k, a, beta = cache
    xp = xp_of(dy)
    dy, dx = xp.ascontiguousarray(dy), xp.empty_like(x)
    launch("layers/lrn.cu", "lrn_backward", x.size, dy, x, dx, k, a, beta, n // 2, x.shape[-1], x.size)
    return dx


def temporal_max_forward(x, spans, window, stride):
    """spans: those of `layers.temporal.windows`; y always has an axis of windows."""
    xp, M, T = xp_of(x), len(spans), x.shape[1]
    x, D = xp.ascontiguousarray(x), int(np.prod(x.shape[2:]))
    y = xp.empty((len(x), M, *x.shape[2:]), x.dtype)
    winner = xp.empty(y.shape, np.uint16)
    shape = (T, D, window or T, stride or T, M)
    launch("layers/temporal.cu", "temporal_max_forward", y.size, x, y, winner, *shape, y.size)
    return y, (x.shape, winner, shape)


def temporal_max_backward(dy, cache):
    x_shape, winner, shape = cache
    xp = xp_of(dy)
    dx = xp.empty(x_shape, dy.dtype)
    dy = xp.ascontiguousarray(dy)
    launch("layers/temporal.cu", "temporal_max_backward", dx.size, dy, winner, dx, *shape, dx.size)
    return dx


def time_first(a):
    """(N, T, ...) -> contiguous (T, N, ...): a frame of all clips is one matrix; no copy of what lies so already."""
    return xp_of(a).ascontiguousarray(a.swapaxes(0, 1))


def lstm_forward(x, h0, c0, W_x, W_h, W_c, b):
    """Inside, time is the first axis. Two launches a frame: the product with W_h, and everything else."""
    xp = xp_of(x)
    (N, T, D), M = x.shape, h0.shape[1]
    x, W_c, b = time_first(x), xp.ascontiguousarray(W_c), xp.ascontiguousarray(b)
    a = (x.reshape(T * N, D) @ W_x).reshape(T, N, 4 * M)
    h, c = (xp.empty((T + 1, N, M), x.dtype) for _ in range(2))
    h[0], c[0] = h0, c0
    gates = xp.empty_like(a)
    for t in range(T):
        frame = a[t], h[t] @ W_h, b, c[t], W_c, gates[t], c[t + 1], h[t + 1]
        launch("layers/lstm.cu", "gates_forward", N * M, *frame, M, N * M)
    return h[1:].swapaxes(0, 1), (h[T], c[T]), (x, h, c, gates, W_x, W_h, W_c)


def lstm_backward(dh, cache, dhT, dcT):
    x, h, c, gates, W_x, W_h, W_c = cache
    xp = xp_of(dh)
    (T, N, D), M = x.shape, h.shape[2]
    dh, delta = time_first(dh), xp.empty_like(gates)
    dh_next = xp.zeros((N, M), dh.dtype) if dhT is None else xp.ascontiguousarray(dhT)
    dc = xp.zeros((N, M), dh.dtype) if dcT is None else dcT.copy(order="C")
    for t in reversed(range(T)):
        frame = dh[t], dh_next, gates[t], c[t], c[t + 1], W_c, delta[t], dc
        launch("layers/lstm.cu", "gates_backward", N * M, *frame, M, N * M)
        dh_next = delta[t] @ W_h.T
    rows, dW_c, db = delta.reshape(T * N, 4 * M), xp.empty((3, M), dh.dtype), xp.empty(4 * M, dh.dtype)
    launch("layers/lstm.cu", "peephole_grads", 4 * M, delta, c[:T], c[1:], dW_c, db, T * N, M, 4 * M)
    dW_x, dW_h = x.reshape(T * N, D).T @ rows, h[:T].reshape(T * N, M).T @ rows
    dx = (rows @ W_x.T).reshape(T, N, D).swapaxes(0, 1)
    return dx, dh_next, dc, {"W_x": dW_x, "W_h": dW_h, "W_c": dW_c, "b": db}


def softmax_loss(scores, labels, weight):
    """labels, checked: class indices, or rows of K numbers; one for each row of scores, or for each clip. weight: of
    the shape of scores without its last axis."""
    xp, K = xp_of(scores), scores.shape[-1]
    scores, weight, rows = xp.ascontiguousarray(scores), xp.ascontiguousarray(weight), scores.size // K
    label, target, dense = xp.empty(1, np.int64), xp.empty(1, scores.dtype), labels.dtype.kind not in "iu"
    if dense:
        target = labels.astype(scores.dtype)
        target /= target.sum(axis=-1, keepdims=True)
    else:
        label = labels.astype(np.int64, copy=False)
    frames = rows // (labels.size // K if dense else labels.size)
    loss, dscores = xp.empty(rows, scores.dtype), xp.empty_like(scores)
    launch(
        "layers/loss.cu", "softmax_loss", rows * BLOCK,
        scores, label, target, dense, weight, dscores, loss, frames, K, rows,
    )  # fmt: skip
    return loss.sum(), dscores


def dropout(x, key, p):
    """x times the mask of a key: forward on x, backward on dy."""
    xp = xp_of(x)
    x = xp.ascontiguousarray(x)
    y = xp.empty_like(x)
    launch("layers/dropout.cu", "dropout", x.size, x, y, key, p, 1 - p, x.size)
    return y
