"""Question 7.6, the bug hunt: write a check that tells right stochastic gradient descent from wrong.

Somebody has run several implementations of `SGD.step`, some of them right, most with one bug. Your check sees what went
in and what came out of one run of several steps, and no code. Points: the share of wrong runs that it refuses, and none
at all if it refuses a right one. Write the equations of training/sgd.py down once more, number by number.
"""


def check(inputs, outputs):
    """Raises AssertionError if the outputs cannot be those of SGD with momentum, weight decay and a limit on |g|.

    inputs: "w KEY", the parameters at the start, and "g KEY" (steps, ...), their gradients in each step, for the keys
    fc1.W, fc1.b, fc2.W, fc2.b; numbers: lr, decay (step n = 0, 1, ... has the rate lr decay^n), momentum, weight_decay
    (of all but the biases, fc1.b and fc2.b), clip (the limit), factor (on the rate of fc2.W and fc2.b). outputs:
    "w KEY" and "v KEY" after the last step, norms (steps,), |g| of each step before the limit, and steps, how many.
    """
    raise NotImplementedError("7.6 hunt")
