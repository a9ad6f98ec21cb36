r"""How much each feature changes from frame to frame, beside the feature: motion for heads that have only features.

    y_t  = [x_t, |x_t - x_{t-1}|]                                     x (N, T, ..., D) -> y (N, T, ..., 2 D)
    dx_t = da_t + sign(x_t - x_{t-1}) db_t - sign(x_{t+1} - x_t) db_{t+1}        da, db: the two halves of dy

The first frame has nothing before it, or else the last frame of the block before (`state`): its difference is 0. So a
still video has differences of 0, at any length. It is their size alone that is kept: with their signs they would add up
over a clip to x_T - x_1, whatever happens in between.
"""

from snippets.layers.core.base import Recurrent
from snippets.layers.device.xp import xp_of
from snippets.layers.temporal import expect_frames


def differences_forward(x, before=None):
    """x (N, T, ..., D), the frame before it (N, ..., D) or None -> y (N, T, ..., 2 D), cache."""
    xp = xp_of(x)
    change = x - xp.concatenate([x[:, :1] if before is None else before[:, None], x[:, :-1]], axis=1)
    return xp.concatenate([x, abs(change)], axis=-1), xp.sign(change)


def differences_backward(dy, cache):
    """dy (N, T, ..., 2 D) -> dx (N, T, ..., D)."""
    sign, D = cache, dy.shape[-1] // 2
    dchange = sign * dy[..., D:]
    dx = dy[..., :D] + dchange
    dx[:, :-1] -= dchange[:, 1:]
    return dx


class Differences(Recurrent):
    """Features of frames with the sizes of their changes beside them; the state is the last frame."""

    def scan(self, x, state=None):
        expect_frames(self, x)
        if x.ndim < 3:
            raise ValueError(f"Differences: x has shape {x.shape}, expected features of frames (N, T, ..., D)")
        if state is not None and state.shape != (len(x), *x.shape[2:]):
            raise ValueError(f"Differences: the state has shape {state.shape}, expected {(len(x), *x.shape[2:])}")
        y, cache = differences_forward(x, state)
        return y, x[:, -1], cache

    def backward(self, dy, cache):
        return differences_backward(dy, cache), {}
