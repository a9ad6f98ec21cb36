r"""Twist: coupled gates. What the cell forgets is exactly what it takes in:

    f_t = sigma(a_f + W_cf c_{t-1})          i_t = 1 - f_t
    g_t = tanh(a_g)                          c_t = f_t c_{t-1} + i_t g_t
    o_t = sigma(a_o + W_co c_t)              h_t = o_t tanh(c_t)

a (N, 4M) holds the four blocks in the order of `layers.lstm.GATES`, W_c (3, M) the rows i, f, o, as in `layers.lstm`.
The block a_i and the row W_ci are not read, so delta_i is zero; `gates` holds i_t all the same.
"""

from snippets.layers.device.xp import xp_of
from snippets.layers.lstm import split
from snippets.layers.rnn import logistic


def twist_forward(a, c_prev, W_c):
    """a (N, 4M) before the non-linearities, c_prev (N, M), W_c (3, M) -> h, c (N, M), the gates (N, 4M)."""
    xp, (_, W_cf, W_co) = xp_of(a), W_c
    gates = xp.empty_like(a)
    (i, f, g, o), (_, a_f, a_g, a_o) = split(gates), split(a)
    f[:] = logistic(a_f + W_cf * c_prev)
    i[:] = 1 - f
    g[:] = xp.tanh(a_g)
    c = f * c_prev + i * g
    o[:] = logistic(a_o + W_co * c)
    return o * xp.tanh(c), c, gates


def twist_backward(dh, dc, gates, c_prev, c, W_c):
    """dh, dc (N, M), both of frame t -> delta (N, 4M) before the non-linearities, dc_prev (N, M)."""
    xp, (_, W_cf, W_co) = xp_of(dh), W_c
    i, f, g, o = split(gates)
    delta = xp.zeros_like(gates)
    _, delta_f, delta_g, delta_o = split(delta)
    tanh_c = xp.tanh(c)
    delta_o[:] = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + delta_o * W_co
    delta_f[:] = dc * (c_prev - g) * f * (1 - f)
    delta_g[:] = dc * i * (1 - g * g)
    return delta, dc * f + delta_f * W_cf
