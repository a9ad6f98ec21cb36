r"""Plain recurrent network, the paper's Equation 1 (Equation 2, y_t = W_ho h_t + b_o, is a `Linear` shared over time).

    a_t = x_t W_x + h_{t-1} W_h + b
    h_t = H(a_t)                                                          (1)   H is the logistic sigmoid by default

Backward, from the last frame to the first; dh_t is what the layer above sends plus what the next frame sends back:

    da_t = (dh_t + da_{t+1} W_h^T) H'(a_t)        logistic: H' = h (1 - h);  tanh: H' = 1 - h^2
    dx_t = da_t W_x^T,   dh_0 = da_1 W_h^T
    dW_x = sum_t x_t^T da_t,   dW_h = sum_t h_{t-1}^T da_t,   db = sum_t da_t

Rows are clips: x (N, T, D), h (N, T, M), W_x (D, M), W_h (M, M), b (M,). The product with W_x needs no previous frame,
so it is one matrix product for all frames.
"""

import numpy as np

from snippets.layers.core.base import Recurrent, glorot_uniform
from snippets.layers.device.xp import xp_of


def logistic(z):
    """1 / (1 + exp(-z)), written with tanh so that no z overflows."""
    return 0.5 * xp_of(z).tanh(0.5 * z) + 0.5


ACTIVATIONS = {  # name -> H(a), and H' as a function of h = H(a)
    "logistic": (logistic, lambda h: h * (1 - h)),
    "tanh": (lambda a: xp_of(a).tanh(a), lambda h: 1 - h * h),
}


def rnn_forward(x, h0, W_x, W_h, b, activation="logistic"):
    """x (N, T, D), h0 (N, M) -> h (N, T, M), cache."""
    H, _ = ACTIVATIONS[activation]
    N, T, D = x.shape
    a = (x.reshape(N * T, D) @ W_x + b).reshape(N, T, -1)
    h = xp_of(x).empty_like(a)
    h_prev = h0
    for t in range(T):
        h_prev = h[:, t] = H(a[:, t] + h_prev @ W_h)
    return h, (x, h0, h, W_x, W_h, activation)


def rnn_backward(dh, cache):
    """dh (N, T, M) -> dx (N, T, D), dh0 (N, M), dW_x, dW_h, db."""
    x, h0, h, W_x, W_h, activation = cache
    _, H_slope = ACTIVATIONS[activation]
    xp = xp_of(dh)
    N, T, D = x.shape
    da = H_slope(h)  # (N, T, M)
    dh_next = 0  # from frame t+1 into h_t
    for t in reversed(range(T)):
        da[:, t] *= dh[:, t] + dh_next
        dh_next = (W_h @ da[:, t].T).T  # = da W_h^T, but BLAS reads W_h as it lies in memory
    rows = da.reshape(N * T, -1)
    h_prev = xp.concatenate([h0[:, None], h[:, :-1]], axis=1).reshape(N * T, -1)
    dx = (rows @ W_x.T).reshape(x.shape)
    return dx, dh_next, x.reshape(N * T, D).T @ rows, h_prev.T @ rows, rows.sum(axis=0)


class RNN(Recurrent):
    """M recurrent units over a sequence, (N, T, D) -> (N, T, M). `scan` carries the state into the next block."""

    def __init__(self, D, M, rng, activation="logistic"):
        if activation not in ACTIVATIONS:
            raise ValueError(f"RNN: activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
        super().__init__(
            W_x=glorot_uniform(rng, (D, M), D, M),
            W_h=glorot_uniform(rng, (M, M), M, M),
            b=np.zeros(M, np.float32),
        )
        self.activation = activation

    def scan(self, x, state=None):
        """x (N, T, D), state h (N, M) or None for zeros -> h (N, T, M), the state after the last frame, cache."""
        D, M = self.params["W_x"].shape
        self.expect(x, ndim=3, last=D)
        h0 = xp_of(x).zeros((len(x), M), x.dtype) if state is None else state
        if h0.shape != (len(x), M):
            raise ValueError(f"RNN: the state has shape {h0.shape}, expected {(len(x), M)}")
        h, cache = rnn_forward(x, h0, **self.params, activation=self.activation)
        return h, h[:, -1], cache

    def backward(self, dy, cache):
        dx, _, dW_x, dW_h, db = rnn_backward(dy, cache)
        return dx, {"W_x": dW_x, "W_h": dW_h, "b": db}
