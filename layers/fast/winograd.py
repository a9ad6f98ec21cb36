r"""Convolution with small kernels by interpolation: a square of k x k weights for fewer than k^2 multiplications.

The product of two polynomials, of t and of k coefficients, is determined by its values at S = t + k - 1 points, one
multiplication each, where the coefficients take t k (Toom 1963, Cook 1966; for convolutions Winograd 1980, Lavin and
Gray 2016). Let row p of V_n (S, n) be the powers of point p: V_n a are the values of the polynomial with coefficients
a. The gradient dx of a convolution is such a product, of dy and the filter w, in one dimension

    dx = B [(A dy) (G w)]               A = V_t, G = V_k, B = V_S^-1; values are multiplied point by point

and the other two passes are its transposes, for dL = dy . y is linear in x, in w and in dy alike:

    y  = A^T [(B^T x) (G w)]            x (S,): the part of a row under t outputs
    dw = G^T [(B^T x) (A dy)]

In two dimensions each matrix acts along rows and columns of a square, at once as its Kronecker product with itself.
Between the transforms, written with hats, each of the S^2 points has a matrix product of its own:

    y^ = x^ w^                          (R, C) (C, F)         R rows: squares of t x t outputs, over all frames
    dx^ = dy^ (w^)^T                    (R, F) (F, C)
    dw^ = (x^)^T dy^                    (C, R) (R, F)

So an output takes S^2 / t^2 multiplications per channel and filter instead of k^2: for t = 4 and 3 x 3 weights 2.25
instead of 9, for 5 x 5 4 instead of 25. It costs the transforms, and digits, because values at the points grow with the
powers: a float32 result is off by 1e-6 (3 x 3) and 4e-6 (5 x 5) of its deviation, with im2col by 3e-7. Where one pixel
is far louder than the others of its square, these lose more digits: see `layers.fast`.
"""

import math
from functools import cache

import numpy as np

from snippets.layers.core.window import blocks, pad2d
from snippets.layers.device.xp import scratch
from snippets.layers.relu import add_bias

T = 4  # t: squares of 4 x 4 outputs
POINTS = (0, 1, -1, 1 / 2, -2, 2, -1 / 2)  # and infinity, where a polynomial has its last coefficient for a value
STRIP_SQUARES = 196  # in a strip, about: their transforms stay in the cache, and their products are not too small


def is_faster(x_shape, W_shape, stride):
    """Whether a convolution of x (N, H, W, C) takes less time so than by im2col (measured on GoogLeNet's layers)."""
    (_, H, width, _), (kh, kw, C, F) = x_shape, W_shape
    squares = -(-H // T) * -(-width // T)
    return stride == 1 and kh == kw and kh in (3, 5) and min(C, F) >= 16 and squares >= 16


@cache
def matrices(k, dtype):
    """A (S^2, t^2), G (S^2, k^2) and B (S^2, S^2) for squares."""
    S = T + k - 1

    def values(n):
        return np.concatenate([np.vander(POINTS[: S - 1], n, increasing=True), np.eye(1, n, n - 1)])

    return tuple(np.kron(V, V).astype(dtype) for V in (values(T), values(k), np.linalg.inv(values(S))))


def whole_squares(x, Ho, Wo, rows=(0, 0), columns=(0, 0)):
    """x (N, H, W, C) padded for Ho x Wo outputs, and at the bottom and right for squares that reach over these."""
    return pad2d(x, (rows[0], rows[1] + -Ho % T), (columns[0], columns[1] + -Wo % T))


def strips(N, Ho, Wo):
    """N maps of Ho x Wo outputs in strips of about STRIP_SQUARES squares: pairs of slices (images, rows of squares)."""
    return blocks(N, -(-Ho // T), max(1, STRIP_SQUARES // -(-Wo // T)))


def squares(x, strip, s):
    """The squares s x s, t apart, of a strip of x (N, H, W, C): a view (s, s, N, m, n, C)."""
    x = x[:, T * strip.start :]
    (N, _, W, C), (image, row, column, number) = x.shape, x.strides
    shape = (s, s, N, strip.stop - strip.start, (W - s) // T + 1, C)
    return np.lib.stride_tricks.as_strided(x, shape, (row, column, image, T * row, T * column, number))


def transform(matrix, parts, name):
    """matrix (Q, s^2) times parts (s, s, ..., C) -> (Q, R, C), in the scratch array `name`."""
    s, C = len(parts), parts.shape[-1]
    gathered = scratch("squares", parts.shape, parts.dtype)
    gathered[...] = parts
    out = scratch(name, (len(matrix), gathered[0, 0].size), parts.dtype)
    return np.matmul(matrix, gathered.reshape(s * s, -1), out=out).reshape(len(matrix), -1, C)


def interpolate(matrix, values, N, strip):
    """matrix (s^2, S^2) times values (S^2, R, C), where the squares of a strip of N images lie: (N, m, s, n, s, C)."""
    s, C = math.isqrt(len(matrix)), values.shape[2]
    found = scratch("squares", (len(matrix), values[0].size), values.dtype)
    found = np.matmul(matrix, values.reshape(len(values), -1), out=found)
    return found.reshape(s, s, N, strip.stop - strip.start, -1, C).transpose(2, 3, 0, 4, 1, 5)


def add_squares(found, out, strip):
    """Add found (N, m, s, n, s, C), squares that reach over the edges of t x t, to out (N, M, t, L, t, C)."""
    m, n = found.shape[1], found.shape[3]
    for a, b in np.ndindex(2, 2):  # what lies in a square of out, below it, to its right, and both
        part = found[:, :, T * a : T * (a + 1), :, T * b : T * (b + 1)]
        first = strip.start + a
        out[:, first : first + m, : part.shape[2], b : b + n, : part.shape[4]] += part


def correlate(x, W, rows, columns, b, relu=False):
    """x (N, H, W, C), W (k, k, C, F), b (F,) -> y (N, Ho, Wo, F); rows, columns: pixels of padding before and after."""
    (N, H, width, _), k, F = x.shape, W.shape[0], W.shape[3]
    Ho, Wo = H + sum(rows) - k + 1, width + sum(columns) - k + 1
    A, G, B = matrices(k, x.dtype)
    x, w_hat, y = whole_squares(x, Ho, Wo, rows, columns), transform(G, W, "w_hat"), np.empty((N, Ho, Wo, F), x.dtype)
    for images, strip in strips(N, Ho, Wo):
        x_hat = transform(B.T, squares(x[images], strip, T + k - 1), "x_hat")
        y_hat = np.matmul(x_hat, w_hat, out=scratch("y_hat", (*x_hat.shape[:2], F), x.dtype))
        part = y[images, T * strip.start : T * strip.stop]
        found = interpolate(A.T, y_hat, len(part), strip)  # (N, m, t, n, t, F)
        whole = scratch("whole", found.shape, x.dtype)
        whole[...] = found
        whole = whole.reshape(len(part), T * found.shape[1], T * found.shape[3], F)
        add_bias(whole[:, : part.shape[1], :Wo], b, relu, out=part)
    return y


def grads(dy, x, W, rows, columns, input_grad=True):
    """dy (N, Ho, Wo, F), x (N, H, W, C) -> dx (None without input_grad), dW (k, k, C, F)."""
    (N, H, width, C), (_, Ho, Wo, _), k = x.shape, dy.shape, len(W)
    A, G, B = matrices(k, x.dtype)
    x, dy = whole_squares(x, Ho, Wo, rows, columns), whole_squares(dy, Ho, Wo)
    w_hat, dw_hat = transform(G, W, "w_hat"), np.zeros(((T + k - 1) ** 2, *W.shape[2:]), x.dtype)
    dx = np.zeros((N, -(-Ho // T) + 1, T, -(-Wo // T) + 1, T, C), x.dtype) if input_grad else None
    for images, strip in strips(N, Ho, Wo):
        x_hat = transform(B.T, squares(x[images], strip, T + k - 1), "x_hat")
        dy_hat = transform(A, squares(dy[images], strip, T), "dy_hat")
        dw_hat += np.matmul(x_hat.swapaxes(1, 2), dy_hat, out=scratch("dw_part", dw_hat.shape, x.dtype))
        if input_grad:
            dx_hat = np.matmul(dy_hat, w_hat.swapaxes(1, 2), out=x_hat)
            add_squares(interpolate(B, dx_hat, len(x[images]), strip), dx[images], strip)
    dW = (G.T @ dw_hat.reshape(len(dw_hat), -1)).reshape(W.shape)
    if not input_grad:
        return None, dW
    dx = dx.reshape(N, T * dx.shape[1], T * dx.shape[3], C)
    return dx[:, rows[0] : rows[0] + H, columns[0] : columns[0] + width], dW
