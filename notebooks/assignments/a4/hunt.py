"""Question 4.8, the bug hunt: write a check that tells right temporal max-pooling from wrong.

Somebody has run several implementations of `temporal_max_forward` and `temporal_max_backward`, some of them right, most
with one bug. Your check sees what went in and what came out of one run, and no code. Points: the share of wrong runs
that it refuses, and none at all if it refuses a right one. Write plain loops over clips, windows, features and frames:
a check that shares a mistake with what it checks is blind to it.
"""


def check(inputs, outputs):
    """Raises AssertionError if the outputs cannot be those of max-pooling over windows of frames.

    inputs: x (N, T, D), window and stride (whole numbers), dy (N, m, D), the gradient sent back; x has ties. outputs:
    y (N, m, D) and dx (N, T, D), float64. The last window is clipped at the end of the clip, of equal frames the first
    wins, and a frame that wins several windows gets the sum of their gradients.
    """
    raise NotImplementedError("4.8 hunt")
