r"""Twist: the candidate sees the cell, too, through the peephole of the input gate:

    i_t = sigma(a_i + W_ci c_{t-1})          f_t = sigma(a_f + W_cf c_{t-1})
    g_t = tanh(a_g + W_ci c_{t-1})           c_t = f_t c_{t-1} + i_t g_t
    o_t = sigma(a_o + W_co c_t)              h_t = o_t tanh(c_t)

a (N, 4M) holds the four blocks in the order of `layers.lstm.GATES`, W_c (3, M) the rows i, f, o, as in `layers.lstm`.
"""

from snippets.layers.device.xp import xp_of
from snippets.layers.lstm import split
from snippets.layers.rnn import logistic


def twist_forward(a, c_prev, W_c):
    """a (N, 4M) before the non-linearities, c_prev (N, M), W_c (3, M) -> h, c (N, M), the gates (N, 4M)."""
    xp, (W_ci, W_cf, W_co) = xp_of(a), W_c
    gates = xp.empty_like(a)
    (i, f, g, o), (a_i, a_f, a_g, a_o) = split(gates), split(a)
    i[:] = logistic(a_i + W_ci * c_prev)
    f[:] = logistic(a_f + W_cf * c_prev)
    g[:] = xp.tanh(a_g + W_ci * c_prev)
    c = f * c_prev + i * g
    o[:] = logistic(a_o + W_co * c)
    return o * xp.tanh(c), c, gates


def twist_backward(dh, dc, gates, c_prev, c, W_c):
    """dh, dc (N, M), both of frame t -> delta (N, 4M) before the non-linearities, dc_prev (N, M)."""
    xp, (W_ci, W_cf, W_co) = xp_of(dh), W_c
    i, f, g, o = split(gates)
    delta = xp.empty_like(gates)
    delta_i, delta_f, delta_g, delta_o = split(delta)
    tanh_c = xp.tanh(c)
    delta_o[:] = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + delta_o * W_co
    delta_i[:] = dc * g * i * (1 - i)
    delta_f[:] = dc * c_prev * f * (1 - f)
    delta_g[:] = dc * i * (1 - g * g)
    return delta, dc * f + (delta_i + delta_g) * W_ci + delta_f * W_cf
