r"""Fully connected layer, shared by whatever axes stand in front of the features.

    y = x W + b            x (..., D),  W (D, M),  b (M,),  y (..., M)

    dx = dy W^T            every row of x meets the same W and b, so their gradients add up over rows:
    dW = sum_rows x^T dy
    db = sum_rows dy

With x of shape (N, T, D) it is a layer shared by all frames: the "FC" of the pooling networks, the softmax layer of the
LSTM, and the output equation y_t = W_ho h_t + b_o (2) of a plain RNN.
"""

import numpy as np

from snippets.layers.core.base import Layer, glorot_uniform, he_normal


def linear_forward(x, W, b):
    """x (..., D), W (D, M), b (M,) -> y (..., M), cache."""
    rows = x.reshape(-1, W.shape[0])  # (rows, D): one product for all leading axes
    y = rows @ W
    y += b
    return y.reshape(*x.shape[:-1], W.shape[1]), (x, W)


def linear_backward(dy, cache):
    """dy (..., M) -> dx (..., D), dW (D, M), db (M,)."""
    x, W = cache
    rows, drows = x.reshape(-1, W.shape[0]), dy.reshape(-1, W.shape[1])
    return (drows @ W.T).reshape(x.shape), rows.T @ drows, drows.sum(axis=0)


class Linear(Layer):
    """D features to M units. `relu` says which initial scale: He normal before a ReLU, else Glorot uniform."""

    def __init__(self, D, M, rng, relu=False):
        W = he_normal(rng, (D, M), D) if relu else glorot_uniform(rng, (D, M), D, M)
        super().__init__(W=W, b=np.zeros(M, np.float32))

    def forward(self, x, rng=None):
        self.expect(x, last=self.params["W"].shape[0])
        return linear_forward(x, **self.params)

    def backward(self, dy, cache):
        dx, dW, db = linear_backward(dy, cache)
        return dx, {"W": dW, "b": db}


class Flatten(Layer):
    """(N, ...) -> (N, D): the spatial layout of a map becomes one feature vector, in C order.

    `start` axes are kept: 1 for clips or frames, 2 to keep time as well.
    """

    def __init__(self, start=1):
        super().__init__()
        self.start = start

    def forward(self, x, rng=None):
        self.expect(x)
        if x.ndim < self.start:
            raise ValueError(f"Flatten: x has shape {x.shape}, expected at least {self.start} axes")
        return x.reshape(*x.shape[: self.start], -1), x.shape

    def backward(self, dy, cache):
        return dy.reshape(cache), {}


class AsMap(Layer):
    """(..., D) -> (..., 1, 1, D): a feature vector seen as a map of one pixel, for layers that read maps."""

    def forward(self, x, rng=None):
        self.expect(x)
        return x.reshape(*x.shape[:-1], 1, 1, x.shape[-1]), None

    def backward(self, dy, cache):
        return dy.reshape(*dy.shape[:-3], dy.shape[-1]), {}
