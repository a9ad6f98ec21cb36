"""Question 6.5, the bug hunt: write a check that tells right kernels of temporal max-pooling from wrong ones.

Somebody has run several versions of `temporal_max_forward` and `temporal_max_backward`, some of them right, most with
one bug. Your check sees what went in and what came out of one run, and how often each element was written: a kernel can
have the right results and still be wrong. It sees no code. Points: the share of wrong runs that it refuses, and none at
all if it refuses a right one. Write plain loops over clips, windows, features and frames.
"""


def check(inputs, outputs):
    """Raises AssertionError if the outputs cannot be those of right kernels.

    inputs: x (N, T, D), which has ties; dy (N, M, D) and winner (N, M, D), which the backward kernel was given; window,
    stride, blocks and threads, whole numbers. outputs: y and winner (N, M, D) of the forward kernel, dx (N, T, D) of
    the backward kernel, and for each of these "writes of each element of y" and so on, flat. The last window is clipped
    at the end of the clip; of equal frames the first wins; a winner is an offset in its window.
    """
    raise NotImplementedError("6.5 hunt")
