"""Question 2.6, the bug hunt: write a check that tells right max-pooling from wrong.

Somebody has run several implementations of `max_pool_forward` and `max_pool_backward`, some of them right, most with
one bug. Your check sees what went in and what came out of one run, and no code. Points: the share of wrong runs that it
refuses, and none at all if it refuses a right one. Every dy has to arrive somewhere, and only once; but a sum that is
right says nothing about the places. Write the equation down once more, in plain loops over windows.
"""


def check(inputs, outputs):
    """Raises AssertionError if the outputs cannot be those of the equations in `layers/pool.py`.

    inputs: x (N, H, W, C), with many equal pixels; the integers size and stride; pad, an integer: pixels on every side,
    or -1 for "same", -2 for "valid", -3 for "ceil" (`layers.core.window.padding` knows what these mean); dy (N, Ho, Wo,
    C). outputs: y of dy's shape, dx of x's, and y_inference, which is y without a record of the winners. Numbers are
    float64.
    """
    raise NotImplementedError("2.6 hunt")
