r"""Twist: label smoothing. The target gives a tenth of each row away to all classes alike, e = 0.1:

    t_rk = (1 - e) [k is the label of row r] + e / K        p = softmax(s)
    L    = sum_r w_r  sum_k -t_rk log p_rk

Scores may be of any size: exp(1000) is no number.
"""

from snippets.layers.device.xp import xp_of

E = 0.1


def twist_loss(scores, labels, weight):
    """scores (N, K), labels (N,) integers, weight (N,) -> the loss, a number, and dscores (N, K)."""
    xp, (N, K) = xp_of(scores), scores.shape
    t = xp.full_like(scores, E / K)
    t[xp.arange(N), labels] += 1 - E
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
    loss = -(weight * (t * log_p).sum(axis=1)).sum()
    return loss, weight[:, None] * (xp.exp(log_p) - t)
