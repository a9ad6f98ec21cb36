r"""One layer over several machines: a fully connected layer whose columns are split, as a worked example.

The paper splits each model over four partitions (section 3.3). Rank r of R owns columns c_r of W and b:

    y_r = x W_r + b_r       y  = [y_1 ... y_R]                every rank has all of x; gather the M outputs
    dx  = sum_r dy_r W_r^T  dW_r = x^T dy_r,  db_r = sum dy_r   add up dx; dW_r and db_r stay

Nothing is computed twice and no weight ever travels. What travels, for B rows of D features and M units, is
activations: B M numbers to gather and B D numbers to add. Data parallelism would send the gradient of W instead, D M
numbers, whatever the batch. docs/scale-out.md works out when which is less.
"""

import numpy as np

from snippets.layers.linear import linear_backward, linear_forward


class ColumnLinear:
    """This rank's columns of a layer with parameters W (D, M) and b (M,); forward and backward as a layer's.

    Every rank passes the same x and dy and gets the whole y and dx.
    """

    def __init__(self, ranks, W, b):
        self.ranks, self.M = ranks, len(b)
        first, end = (self.M * r // ranks.size for r in (ranks.rank, ranks.rank + 1))
        self.columns = slice(first, end)
        self.params = {"W": np.ascontiguousarray(W[:, self.columns]), "b": b[self.columns].copy()}

    def forward(self, x, rng=None):
        """x (..., D) -> y (..., M), cache."""
        mine, cache = linear_forward(x, **self.params)
        y = np.zeros((*x.shape[:-1], self.M), x.dtype)
        y[..., self.columns] = mine
        self.ranks.sum(y)  # the others' columns are zero here, so that adding is gathering
        return y, cache

    def backward(self, dy, cache):
        """dy (..., M) -> dx (..., D), gradients of this rank's columns."""
        dx, dW, db = linear_backward(np.ascontiguousarray(dy[..., self.columns]), cache)
        self.ranks.sum(dx)
        return dx, {"W": dW, "b": db}
