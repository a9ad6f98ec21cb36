"""One slow oracle per operation: plain loops, written from the paper's formula and never from the code in layers/.

A gradient check proves only that a backward pass is the derivative of its own forward pass; these say what the forward
pass has to be. Letters as everywhere: N clips or images, T frames, H, W, C, F filters, kh, kw, D, M units, K classes.
"""

import math

import numpy as np


def placed(size, k, stride, pad):
    """(output length, padding before the first entry) of one axis; "same" puts an odd extra entry after the last.

    "ceil": windows begin at 0, stride, ... inside the image, up to the first one that reaches its end.
    """
    if pad == "ceil":
        reaches = [n for n in range(size) if n * stride < size and (n * stride + k >= size or (n + 1) * stride >= size)]
        return reaches[0] + 1, 0
    if pad == "same":
        out = math.ceil(size / stride)
        return out, max((out - 1) * stride + k - size, 0) // 2
    p = 0 if pad == "valid" else pad
    return (size + 2 * p - k) // stride + 1, p


def conv(x, W, b, stride=1, pad="same", relu=False):
    """x (N,H,W,C), W (kh,kw,C,F), b (F,) -> y (N,Ho,Wo,F): every product by hand, zero outside the image."""
    N, height, width, C = x.shape
    kh, kw, _, F = W.shape
    (Ho, top), (Wo, left) = placed(height, kh, stride, pad), placed(width, kw, stride, pad)
    y = np.empty((N, Ho, Wo, F))
    for n, i, j, f in np.ndindex(y.shape):
        total = float(b[f])
        for p, q, c in np.ndindex(kh, kw, C):
            row, col = i * stride + p - top, j * stride + q - left
            if 0 <= row < height and 0 <= col < width:
                total += float(x[n, row, col, c]) * float(W[p, q, c, f])
        y[n, i, j, f] = max(total, 0.0) if relu else total
    return y


def max_pool_winners(x, size=3, stride=2, pad="same"):
    """{place in y: place in x} of the largest entry of each window, the first in row-major order among equals."""
    N, height, width, C = x.shape
    (Ho, top), (Wo, left) = placed(height, size, stride, pad), placed(width, size, stride, pad)
    winners = {}
    for n, i, j, c in np.ndindex(N, Ho, Wo, C):
        best = None
        for p, q in np.ndindex(size, size):
            row, col = i * stride + p - top, j * stride + q - left
            if 0 <= row < height and 0 <= col < width and (best is None or x[n, row, col, c] > x[best]):
                best = (n, row, col, c)
        winners[n, i, j, c] = best
    return winners


def take(x, winners):
    """The winning entries of x, in the shape of the output."""
    y = np.empty([1 + max(axis) for axis in zip(*winners, strict=True)])
    for place, source in winners.items():
        y[place] = x[source]
    return y


def give_back(dy, winners, shape):
    """dx: each output's gradient goes to its winner, and an entry that wins several windows gets their sum."""
    dx = np.zeros(shape)
    for place, source in winners.items():
        dx[source] += dy[place]
    return dx


def avg_pool(x, size, stride):
    """The mean of every whole window of size x size entries."""
    N, height, width, C = x.shape
    y = np.empty((N, (height - size) // stride + 1, (width - size) // stride + 1, C))
    for n, i, j, c in np.ndindex(y.shape):
        window = [float(x[n, i * stride + p, j * stride + q, c]) for p, q in np.ndindex(size, size)]
        y[n, i, j, c] = sum(window) / len(window)
    return y


def average(x, axes):
    """Arithmetic mean of x over the given axes, summed one entry at a time."""
    kept = [a for a in range(x.ndim) if a not in axes]
    y = np.zeros([x.shape[a] for a in kept])
    for place in np.ndindex(x.shape):
        y[tuple(place[a] for a in kept)] += x[place] / math.prod(x.shape[a] for a in axes)
    return y


def lrn(x, n=5, k=2.0, alpha=1e-4, beta=0.75, divide_by_n=False):
    """AlexNet's b = a / (k + alpha * sum of a^2 over the n channels around)^beta; Caffe divides alpha by n."""
    y, C = np.empty(x.shape), x.shape[-1]
    for place in np.ndindex(x.shape):
        c, total = place[-1], 0.0
        for j in range(max(0, c - n // 2), min(C - 1, c + n // 2) + 1):
            total += float(x[(*place[:-1], j)]) ** 2
        y[place] = x[place] / (k + (alpha / n if divide_by_n else alpha) * total) ** beta
    return y


def lcn(x, size=9, sigma=2.0, floor=1e-6):
    """Jarrett et al. 2009: subtract the Gaussian mean over window and channels, divide by the deviation or its mean.

    Weights outside the image are left out and the others scaled up to sum to one.
    """
    N, height, width, C = x.shape

    def local_mean(image, i, j):
        total = weight = 0.0
        for p, q in np.ndindex(height, width):
            if max(abs(p - i), abs(q - j)) <= size // 2:
                w = math.exp(-((p - i) ** 2 + (q - j) ** 2) / (2 * sigma**2))
                weight += w
                total += w * sum(float(value) for value in image[p, q]) / C
        return total / weight

    y = np.empty(x.shape)
    for n in range(N):
        v, contrast = np.empty((height, width, C)), np.empty((height, width))
        for i, j in np.ndindex(height, width):
            v[i, j] = x[n, i, j] - local_mean(x[n], i, j)
        for i, j in np.ndindex(height, width):
            contrast[i, j] = math.sqrt(local_mean(v**2, i, j) + floor**2)
        for i, j in np.ndindex(height, width):
            y[n, i, j] = v[i, j] / max(contrast[i, j], contrast.mean())
    return y


def linear(x, W, b):
    """y_m = sum_d x_d W_dm + b_m over the last axis of x."""
    y = np.empty((*x.shape[:-1], W.shape[1]))
    for place in np.ndindex(y.shape):
        *rows, m = place
        y[place] = sum(float(x[(*rows, d)]) * float(W[d, m]) for d in range(W.shape[0])) + float(b[m])
    return y


def softmax_loss(scores, targets, weights):
    """Weighted sum of -sum_k target_k log p_k and its gradient; scores and targets (R,K), weights (R,)."""
    loss, dscores = [], np.empty(scores.shape)
    for r, row in enumerate(scores):
        top = max(float(s) for s in row)
        log_sum = top + math.log(math.fsum(math.exp(float(s) - top) for s in row))
        for k, s in enumerate(row):
            log_p = float(s) - log_sum
            if targets[r, k]:
                loss.append(-float(weights[r]) * float(targets[r, k]) * log_p)
            dscores[r, k] = weights[r] * (math.exp(log_p) - targets[r, k])
    return math.fsum(loss), dscores
