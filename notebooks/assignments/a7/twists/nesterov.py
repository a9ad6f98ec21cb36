r"""Twist: Nesterov's momentum, which looks one step ahead:

    a  = g + wd w
    v' = m v - lr a
    w' = w + m v' - lr a

so that w moves by what the velocity will be after the next step, if the gradient stayed the same.
"""


def twist_step(w, v, g, lr, m, wd):
    """Parameters w, velocity v and gradient g of one shape -> the new w and v; writes into no argument."""
    change = lr * (g + wd * w)
    v = m * v - change
    return w + m * v - change, v
