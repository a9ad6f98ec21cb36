"""Question 3.7, the bug hunt: write a check that tells right response normalisations from wrong ones.

Somebody has run several implementations of `lrn_forward` and `lrn_backward`, some of them right, most with one bug.
Your check sees what went in and what came out of one run, and no code. Points: the share of wrong runs that it refuses,
and none at all if it refuses a right one. A numerical derivative of your own forward pass is a good start, but a check
that shares a mistake with what it checks is blind to it: write the equation down once more, in plain loops.
"""


def check(inputs, outputs):
    """Raises AssertionError if the outputs cannot be those of the equations in `layers/lrn.py`.

    inputs: x and dy (N, H, W, C), the numbers n, k, alpha and beta, and divide_by_n, 0 or 1. outputs: y and dx, of x's
    shape. All arrays are float64.
    """
    raise NotImplementedError("3.7 hunt")
