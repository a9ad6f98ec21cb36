r"""Twist: a squared hinge instead of the softmax. The label's score is to be larger than every other by a margin of 1:

v_rk = max(0, 1 + s_rk - s_rl)      for every class k but l, the label of row r; v_rl = 0
L    = sum_r w_r  sum_k v_rk^2
"""

from snippets.layers.device.xp import xp_of


def twist_loss(scores, labels, weight):
    """scores (N, K), labels (N,) integers, weight (N,) -> the loss, a number, and dscores (N, K)."""
    xp = xp_of(scores)
    row = xp.arange(len(scores))
    v = xp.maximum(1 + scores - scores[row, labels][:, None], 0)
    v[row, labels] = 0
    loss = (weight * (v * v).sum(axis=1)).sum()
    dscores = 2 * weight[:, None] * v
    dscores[row, labels] = -dscores.sum(axis=1)
    return loss, dscores
