"""Question 5.8, the bug hunt: write a check that tells right LSTMs from wrong ones.

Somebody has run several implementations of `lstm_forward` and `lstm_backward`, some of them right, most with one bug.
Your check sees what went in and what came out of one run, and no code. Points: the share of wrong runs that it
refuses, and none at all if it refuses a right one. A numerical derivative of your own forward pass is a good start, but
a check that shares a mistake with what it checks is blind to it: write down the equations once more, in plain loops.
"""


def check(inputs, outputs):
    """Raises AssertionError if the outputs cannot be those of Equations 3-7 and their derivatives.

    inputs: x (N, T, D), h0 and c0 (N, M), W_x (D, 4M), W_h (M, 4M), W_c (3, M), b (4M,), and the gradients sent back:
    dh (N, T, M) of every h, dhT and dcT (N, M) of the final state. outputs: h (N, T, M), hT, cT (N, M), dx, dh0, dc0,
    dW_x, dW_h, dW_c, db, each of the shape of what it is the gradient of. All are float64.
    """
    raise NotImplementedError("5.8 hunt")
