"""Which array library a function works with: the one that its argument comes from.

The same code runs on NumPy and on CuPy arrays. A function asks once, at its top, `xp = xp_of(x)`; there is no global
switch, and CuPy is imported only when one of its arrays shows up.
"""

import sys

import numpy as np


def xp_of(x):
    """The module whose array `x` is: numpy, or cupy for an array on a GPU."""
    return sys.modules["cupy"] if type(x).__module__.startswith("cupy") else np
