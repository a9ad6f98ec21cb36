"""One prediction out of those of all frames: how a net that predicts at every frame answers for a clip or a video.

    p_t (K,)    class probabilities at frame t = 1..T; they become one, which is then made to sum to one
    last        p_T
    max         max_t p_t
    sum         sum_t p_t
    weighted    sum_t g_t p_t, g_t = t/T: the paper's best (section 3.3)

`clip_probabilities` has a whole clip at once, `Running` a video of any length block by block: the maximum so far,
sum_t p_t or sum_t t p_t, for T drops out at the end.
"""

import numpy as np

from snippets.layers.device.xp import to_numpy, xp_of
from snippets.layers.loss import softmax

MODES = ("weighted", "last", "max", "sum")


def rising(T):
    """The gain g_t = t/T of frames t = 1..T, (T,)."""
    return np.arange(1, T + 1) / T


def check_mode(mode):
    """ValueError unless `mode` is one of MODES."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")


def clip_probabilities(scores, mode="weighted"):
    """Class probabilities of clips, (N, K) on the host, rows sum to one.

    scores: (N, K), softmax alone, `mode` plays no part; (N, T, K), one prediction per frame.
    """
    check_mode(mode)
    if scores.ndim not in (2, 3):
        raise ValueError(f"scores must have shape (N, K) or (N, T, K), got {scores.shape}")
    p = to_numpy(softmax(scores))
    if p.ndim == 2:
        return p
    if mode == "last":
        return p[:, -1].copy()
    if mode == "max":
        p = p.max(axis=1)  # (N, K)
    elif mode == "sum":
        p = p.sum(axis=1)  # (N, K)
    else:
        p = np.einsum("t,ntk->nk", rising(p.shape[1]).astype(p.dtype), p)
    return p / p.sum(axis=-1, keepdims=True)


class Running:
    """Predictions of frames becoming one, without keeping them: `add` blocks p (t, K), then `result` is (K,)."""

    def __init__(self, mode="weighted"):
        check_mode(mode)
        self.mode, self.T, self.state = mode, 0, None

    def add(self, p):
        """Takes the next t frames."""
        xp, first = xp_of(p), self.state is None
        if self.mode == "last":
            self.state = p[-1].copy()
        elif self.mode == "max":
            self.state = p.max(axis=0) if first else xp.maximum(self.state, p.max(axis=0))
        else:  # float64: thousands of frames
            t = xp.arange(self.T + 1, self.T + len(p) + 1, dtype=np.float64)
            weighted = (t if self.mode == "weighted" else xp.ones_like(t)) @ p.astype(np.float64)
            self.state = weighted if first else self.state + weighted
        self.T += len(p)

    def result(self):
        """The one prediction; rows sum to one."""
        return self.state / self.state.sum()
