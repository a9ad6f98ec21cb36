r"""Twist: the focal loss (Lin et al. 2017), which looks away from rows that are right already. Row r has the label l:

    q_r = p_rl,     p = softmax(s)
    L   = sum_r w_r  -(1 - q_r)^2 log q_r

Scores may be of any size: exp(1000) is no number, and neither is log 0.
"""

from snippets.layers.device.xp import xp_of


def twist_loss(scores, labels, weight):
    """scores (N, K), labels (N,) integers, weight (N,) -> the loss, a number, and dscores (N, K)."""
    xp = xp_of(scores)
    row = xp.arange(len(scores))
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
    p, log_q = xp.exp(log_p), log_p[row, labels]
    q = p[row, labels]
    loss = -(weight * (1 - q) ** 2 * log_q).sum()
    slope = (1 - q) ** 2 - 2 * q * (1 - q) * log_q  # of -(1 - q)^2 log q in log q, with the other sign
    dscores = p * (weight * slope)[:, None]
    dscores[row, labels] -= weight * slope
    return loss, dscores
