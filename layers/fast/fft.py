r"""Convolution with large kernels by the convolution theorem: a sum over k^2 positions becomes one product a frequency.

With hats for the discrete Fourier transform over space, x^[u] = sum_p x[p] exp(-2 pi i u p / S), and * for the
conjugate, the correlation of `layers.conv` and both its gradients are, at every frequency (u, v), a matrix product:

    y^  = x^ (w^)*                  (R, C) (C, F)         R rows: tiles of frames
    dx^ = dy^ (w^)^T                (R, F) (F, C)
    dw^ = (x^)^T (dy^)*             (C, R) (R, F)         the product itself sums over tiles and frames

A map is cut into tiles of t x t outputs. A tile reads S = t + k - 1 rows and columns of x, so neighbours overlap, and a
transform of length S keeps the wanted positions apart (overlap-save; in the backward pass overlap-add).

Per output, channel and filter k^2 multiplications become 4 S V / t^2 with V = S // 2 + 1: for AlexNet's 9 x 9
convolution 81 become 5.4. The transforms cost time, so it takes large kernels and many channels, see `is_faster`. A
transform is a product with a matrix of cosines and sines, for tiles along columns and then along rows, for the small
filters in one product. The frequencies v and -v of a real array are conjugate, so V of the S are enough. Real and
imaginary parts are stored apart, and a complex product is made of real ones:
(a + i b)(c + i d)* = (ac + bd) + i (bc - ad). Where one pixel is far louder than the others of its tile, these lose
digits: see `layers.fast`.
"""

from functools import cache

import numpy as np

from snippets.layers.core.window import blocks, pad2d
from snippets.layers.device.xp import scratch
from snippets.layers.relu import add_bias

BLOCK_ELEMENTS = 2**18  # in the work array of a block of rows: 1 MB of float32


def is_faster(x_shape, W_shape, stride):
    """Whether a convolution of x (N, H, W, C) takes less time so than by im2col (measured on AlexNet's layers)."""
    (N, H, width, _), (kh, kw, C, F) = x_shape, W_shape
    return stride == 1 and kh == kw > 5 and min(C, F) >= 64 and N * H * width >= 2**10


@cache
def cos_sin(S, n, dtype):
    """[cos; sin] (2, S, n) of the angles 2 pi u p / S."""
    angle = 2 * np.pi / S * (np.outer(np.arange(S), np.arange(n)) % S)
    return np.stack([np.cos(angle), np.sin(angle)]).astype(dtype)


@cache
def filter_transform(S, k, dtype):
    """The transform of k x k filters as one matrix, (S V 2, k k), and its inverse (k k, S V 2)."""
    V = S // 2 + 1
    (u, v), (i, j) = np.indices((S, V)).reshape(2, -1, 1), np.indices((k, k)).reshape(2, 1, -1)
    angle = 2 * np.pi / S * ((u * i + v * j) % S)
    there = np.stack([np.cos(angle), -np.sin(angle)], axis=1)  # (S V, 2, k k)
    back = there * (multiplicity(S)[v] / S**2)[..., None]
    return there.reshape(-1, k * k).astype(dtype), back.reshape(-1, k * k).T.astype(dtype)


def multiplicity(S):
    """How many of the S frequencies each of the V stands for: itself, and its negative where that is another one."""
    v = np.arange(S // 2 + 1)
    return np.where((v == 0) | (2 * v == S), 1, 2)


def dft2(x, S, name):
    """x (R, h, w, C), h and w up to S, zero beyond -> its transform (S, V, 2, R, C), real and imaginary parts.

    The result is the scratch array `name`.
    """
    R, h, w, C = x.shape
    V = S // 2 + 1
    rows, (cos, sin) = cos_sin(S, h, x.dtype).reshape(2 * S, h), cos_sin(S, w, x.dtype)[:, :V]
    columns = np.concatenate([cos, -sin])
    out = scratch(name, (S, V, 2, R, C), x.dtype)
    for block, _ in blocks(R, 1, max(1, BLOCK_ELEMENTS // (4 * S * V * C))):
        a = np.matmul(columns, x[block]).reshape(-1, h, 2 * V * C)
        p = scratch("dft", (len(a), 2 * S, 2 * V * C), x.dtype)
        p = np.matmul(rows, a, out=p).reshape(-1, 2, S, 2, V, C)  # (r, cos and sin, S, real and imaginary, V, C)
        real, imaginary = out[:, :, :, block].transpose(2, 3, 0, 1, 4)  # (r, S, V, C) each
        np.add(p[:, 0, :, 0], p[:, 1, :, 1], out=real)  # (cos - i sin) (a + i b)
        np.subtract(p[:, 0, :, 1], p[:, 1, :, 0], out=imaginary)
    return out


def idft2(P, Q, n):
    """The first n x n places of what has the transform P + i Q, each (S, V, R, C): (R, n, n, C)."""
    S, V, R, C = P.shape
    (cos, sin), rows = cos_sin(S, n, P.dtype)[:, :V], cos_sin(S, n, P.dtype).swapaxes(1, 2).reshape(2 * n, S)
    scale = (multiplicity(S) / S**2)[:, None]
    columns = np.concatenate([scale * cos, -scale * sin]).T.astype(P.dtype)  # (n, 2 V)
    out = np.empty((R, n, n, C), P.dtype)
    for block, _ in blocks(R, 1, max(1, BLOCK_ELEMENTS // (2 * (S + 2 * n) * V * C))):
        r = block.stop - block.start
        z = scratch("parts", (r, S, 2, V, C), P.dtype)
        z[:, :, 0], z[:, :, 1] = (part[:, :, block].transpose(2, 0, 1, 3) for part in (P, Q))
        p = scratch("dft", (r, 2 * n, 2 * V * C), P.dtype)
        p = np.matmul(rows, z.reshape(r, S, -1), out=p).reshape(r, 2, n, 2, V, C)
        half = scratch("parts", (r, n, 2, V, C), P.dtype)
        np.subtract(p[:, 0, :, 0], p[:, 1, :, 1], out=half[:, :, 0])  # (cos + i sin) (a + i b)
        np.add(p[:, 0, :, 1], p[:, 1, :, 0], out=half[:, :, 1])
        np.matmul(columns, half.reshape(r, n, 2 * V, C), out=out[block])
    return out


def multiply(x, w, conjugate):
    """x^ (S, V, 2, R, C) times w^ (S, V, 2, C, F) or its conjugate: real and imaginary parts, (S, V, R, F) each."""
    S, V, _, R, C = x.shape
    rows, F = x.reshape(S, V, 2 * R, C), w.shape[4]
    P, Q = (scratch(name, (S, V, 2 * R, F), x.dtype) for name in "PQ")
    np.matmul(rows, w[:, :, 0], out=P)  # [ac; bc]
    np.matmul(rows, w[:, :, 1], out=Q)  # [ad; bd]
    (ac, bc), (ad, bd) = (z.reshape(S, V, 2, R, F).transpose(2, 0, 1, 3, 4) for z in (P, Q))
    plus, minus = (np.add, np.subtract) if conjugate else (np.subtract, np.add)
    return plus(ac, bd, out=ac), minus(bc, ad, out=bc)


def filters_hat(W, S):
    """W (k, k, C, F) -> w^ (S, V, 2, C, F), in a scratch array."""
    k, _, C, F = W.shape
    out = scratch("w_hat", (S, S // 2 + 1, 2, C, F), W.dtype)
    np.matmul(filter_transform(S, k, W.dtype)[0], W.reshape(k * k, C * F), out=out.reshape(-1, C * F))
    return out


def tile_sizes(H, W, k):
    """(t, tiles along both axes, S) for H x W outputs: tiles of about one and a half kernels, all of one size."""
    t = max(-(-length // max(1, round(length / (1.6 * k)))) for length in (H, W))
    return t, (-(-H // t), -(-W // t)), t + k - 1


def cut_tiles(x, s, t, counts):
    """Squares of s x s, t apart, of x (N, H, W, C), zero beyond its edge: (R, s, s, C)."""
    out = np.zeros((len(x), *counts, s, s, x.shape[3]), x.dtype)
    for i, j in np.ndindex(counts):
        piece = x[:, i * t : i * t + s, j * t : j * t + s]
        out[:, i, j, : piece.shape[1], : piece.shape[2]] = piece
    return out.reshape(-1, s, s, x.shape[3])


def join_tiles(pieces, t, counts, shape):
    """The transpose of `cut_tiles`: pieces (R, s, s, C) added up where they overlap, and cropped to `shape`."""
    (m, n), (_, s, _, C), (N, H, W, _) = counts, pieces.shape, shape
    pieces = pieces.reshape(N, m, n, s, s, C)
    out = np.zeros((N, (m - 1) * t + s, (n - 1) * t + s, C), pieces.dtype)
    for i, j in np.ndindex(m, n):
        out[:, i * t : i * t + s, j * t : j * t + s] += pieces[:, i, j]
    return out[:, :H, :W]


def correlate(x, W, rows, columns, b, relu=False):
    """x (N, H, W, C), W (k, k, C, F), b (F,) -> y (N, Ho, Wo, F); rows, columns: pixels of padding before and after."""
    k, F = W.shape[0], W.shape[3]
    x = pad2d(x, rows, columns)
    shape = len(x), x.shape[1] - k + 1, x.shape[2] - k + 1, F
    t, counts, S = tile_sizes(*shape[1:3], k)
    x_hat, w_hat = dft2(cut_tiles(x, S, t, counts), S, "x_hat"), filters_hat(W, S)
    y = join_tiles(idft2(*multiply(x_hat, w_hat, conjugate=True), t), t, counts, shape)
    return add_bias(y, b, relu, out=y)


def filter_grad(d_hat, x_hat, k):
    """dW (k, k, C, F): (a + i b)^T (c + i d)* summed over rows, real and imaginary rows in one product."""
    (S, V, _, _, C), F = x_hat.shape, d_hat.shape[4]
    d, dw_hat = d_hat.reshape(S, V, -1, F), scratch("w_hat", (S, V, 2, C, F), x_hat.dtype)
    np.matmul(x_hat.reshape(S, V, -1, C).swapaxes(2, 3), d, out=dw_hat[:, :, 0])  # [a; b]^T [c; d] = ac + bd
    turned = x_hat[:, :, ::-1].copy()
    np.negative(turned[:, :, 1], out=turned[:, :, 1])
    np.matmul(turned.reshape(S, V, -1, C).swapaxes(2, 3), d, out=dw_hat[:, :, 1])  # [b; -a]^T [c; d] = bc - ad
    return (filter_transform(S, k, d.dtype)[1] @ dw_hat.reshape(-1, C * F)).reshape(k, k, C, F)


def grads(dy, x, W, rows, columns, input_grad=True):
    """dy (N, Ho, Wo, F), x (N, H, W, C) -> dx (None without input_grad), dW (k, k, C, F)."""
    (_, height, width, _), (top, _), (left, _) = x.shape, rows, columns
    x = pad2d(x, rows, columns)
    t, counts, S = tile_sizes(*dy.shape[1:3], len(W))
    d_hat = dft2(cut_tiles(dy, t, t, counts), S, "d_hat")
    dW = filter_grad(d_hat, dft2(cut_tiles(x, S, t, counts), S, "x_hat"), len(W))
    if not input_grad:
        return None, dW
    w_hat = filters_hat(W, S).swapaxes(3, 4)  # (S, V, 2, F, C)
    dx = join_tiles(idft2(*multiply(d_hat, w_hat, conjugate=False), S), t, counts, x.shape)
    return dx[:, top : top + height, left : left + width], dW
