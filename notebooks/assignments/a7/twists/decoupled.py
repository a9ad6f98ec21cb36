r"""Twist: decoupled weight decay. The decay goes past the momentum, straight from w:

    v' = m v - lr g
    w' = w + v' - lr wd w

On the right stands the old w throughout.
"""


def twist_step(w, v, g, lr, m, wd):
    """Parameters w, velocity v and gradient g of one shape -> the new w and v; writes into no argument."""
    v = m * v - lr * g
    return w + v - lr * wd * w, v
