"""One slow oracle per operation: plain loops, written from the paper's formula and never from the code in layers/.

Convolution, max-pooling and LRN have theirs beside the fast version: `conv_plain`, `max_pool_plain`, `lrn_plain`.

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
