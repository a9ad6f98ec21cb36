"""Question 1.6, the bug hunt: write a check that tells right softmax losses from wrong ones.

Somebody has run several implementations of `softmax_loss`, some of them right, most with one bug. Your check sees what
went in and what came out of one run, and no code. Points: the share of wrong runs that it refuses, and none at all if
it refuses a right one. A numerical derivative of your own loss is a good start, but a check that shares a mistake with
what it checks is blind to it: write the equations down once more, in plain loops.
"""


def check(inputs, outputs):
    """Raises AssertionError if the outputs cannot be those of the equations in `layers/loss.py`.

    inputs: scores (N, T, K), some of them -inf; labels: integers (N,), one for all frames of a clip, or several true
    labels per clip, booleans (N, K); weight (N, T). outputs: p (N, T, K), the probabilities; loss, a 0-d array, which
    may be infinite; dscores (N, T, K). Numbers are float64.
    """
    raise NotImplementedError("1.6 hunt")
