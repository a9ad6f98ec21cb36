r"""Softmax and its cross-entropy loss, a weighted sum over samples and frames.

    p_k = exp(s_k) / sum_j exp(s_j)                     computed from s - max(s), which changes nothing but overflow
    L   = sum_r w_r  sum_k  -t_rk log p_rk              r runs over clips, or clips and frames
    dL/ds_rk = w_r (p_rk - t_rk)                        for any target t_r that sums to one

A term with w_r t_rk = 0 is left out of L: a class that cannot be, of score -inf, is as good as absent unless it is the
label. Then the loss is infinite and its gradient still finite. NaN or +inf among the scores, or no score above -inf,
makes the loss of the row NaN.

The target is one-hot for a single label and uniform over the true labels for several (Sports-1M). The loss is a sum, so
that gradients of chunks, frames and replicas add up exactly; "mean" is the weight 1/N. The paper's gain g_t, which
scales the gradient that the label sends into frame t, is the weight w_nt = g_t.
"""

import math

import numpy as np

from snippets.layers.device.launch import BLOCK_THREADS, launch
from snippets.layers.device.xp import on_gpu, xp_of


def softmax(scores):
    """Probabilities along the last axis: scores (..., K) -> p (..., K)."""
    xp = xp_of(scores)
    p = xp.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


def check_labels(labels, shape):
    """Raise ValueError for labels that `softmax_loss` does not take, for scores of `shape`.

    Their values are checked on the host only: a GPU would have to wait. There, a label out of range makes the loss NaN.
    """
    K, indices, on_host = shape[-1], labels.dtype.kind in "iu", xp_of(labels) is np
    if indices:
        fits = labels.ndim < len(shape) and labels.shape in (shape[:-1], shape[:1])
    else:  # multi-hot rows, or distributions
        fits = 2 <= labels.ndim <= len(shape) and labels.shape == (*shape[: labels.ndim - 1], K)
    if not fits:
        raise ValueError(
            f"labels have shape {labels.shape} and dtype {labels.dtype}, expected integer class indices {shape[:-1]} "
            f"or {shape[:1]}, or multi-hot rows of {K}"
        )
    if on_host and indices and labels.size and not (0 <= int(labels.min()) and int(labels.max()) < K):
        raise ValueError(f"labels from {labels.min()} to {labels.max()}, expected 0 to {K - 1} for {K} classes")
    if on_host and not indices and not (labels > 0).any(axis=-1).all():
        raise ValueError("labels have a row without any true label, expected at least one in every row")


def true_classes(labels, shape, dtype):
    """Where the target t of scores of `shape` (..., K) is not zero -> row, class and t there, for checked labels.

    Rows count all axes but the last; a clip's label serves each of its frames.
    """
    K, rows = shape[-1], math.prod(shape[:-1])
    if labels.dtype.kind in "iu":
        return np.arange(rows), np.repeat(labels.ravel(), rows // labels.size), np.ones(rows, dtype)
    t = labels.astype(dtype).reshape(-1, K)
    t = np.repeat(t / t.sum(axis=-1, keepdims=True), rows // len(t), axis=0)
    row, k = np.nonzero(t)
    return row, k, t[row, k]


def softmax_loss(scores, labels, weight=1.0):
    """Weighted sum of cross-entropies -> loss (a 0-d array), dscores (of the shape of scores).

    scores (N, K) or (N, T, K); labels: integers of shape scores.shape[:-1], or (N,) for all frames of a clip, or
    multi-hot (N, K) / (N, T, K) floats or booleans; weight: broadcasts to scores.shape[:-1].
    """
    xp = xp_of(scores)
    labels = labels if xp_of(labels) is xp else np.asarray(labels)
    check_labels(labels, scores.shape)
    weight = xp.broadcast_to(xp.asarray(weight, dtype=scores.dtype), scores.shape[:-1])
    if on_gpu(scores):
        return softmax_loss_cuda(scores, xp.asarray(labels), weight)
    row, k, t = true_classes(labels, scores.shape, scores.dtype)
    w = weight.ravel()
    wt = w[row] * t
    p = scores.reshape(len(w), -1)
    p = p - p.max(axis=-1, keepdims=True)
    true = p[row, k]
    np.exp(p, out=p)
    Z = p.sum(axis=-1)
    counts = wt != 0
    loss = (wt[counts] * (np.log(Z)[row] - true)[counts]).sum()
    p *= (w / Z)[:, None]  # w p
    p[row, k] -= wt
    return loss, p.reshape(scores.shape)


def softmax_loss_cuda(scores, labels, weight):
    """`softmax_loss` on a GPU, for checked labels and a weight of the shape of scores without its last axis."""
    xp, K = xp_of(scores), scores.shape[-1]
    scores, weight, rows = xp.ascontiguousarray(scores), xp.ascontiguousarray(weight), scores.size // K
    label, target, dense = xp.empty(1, np.int64), xp.empty(1, scores.dtype), labels.dtype.kind not in "iu"
    if dense:
        target = labels.astype(scores.dtype)
        target /= target.sum(axis=-1, keepdims=True)
    else:
        label = labels.astype(np.int64, copy=False)
    frames = rows // (labels.size // K if dense else labels.size)  # rows that share a label
    loss, dscores = xp.empty(rows, scores.dtype), xp.empty_like(scores)
    arrays = scores, label, target, dense, weight, dscores, loss
    launch("layers/loss.cu", "softmax_loss", rows * BLOCK_THREADS, *arrays, frames, K, rows)
    return loss.sum(), dscores
