r"""Long short-term memory with peepholes, the paper's Equations 3-7 (Graves 2013; peepholes: Gers et al. 2002).

    i_t = sigma(x_t W_xi + h_{t-1} W_hi + W_ci c_{t-1} + b_i)                    (3)   what may enter the cell
    f_t = sigma(x_t W_xf + h_{t-1} W_hf + W_cf c_{t-1} + b_f)                    (4)   what stays in it
    g_t = tanh (x_t W_xc + h_{t-1} W_hc + b_c)
    c_t = f_t c_{t-1} + i_t g_t                                                  (5)
    o_t = sigma(x_t W_xo + h_{t-1} W_ho + W_co c_t + b_o)                        (6)   sees the NEW cell
    h_t = o_t tanh(c_t)                                                          (7)

The peepholes W_ci, W_cf, W_co are diagonal: vectors, multiplied element by element. Backward through one step, where d
is dL/d and delta is taken before the gate's non-linearity; dh and dc already hold what frame t+1 sent back:

    delta_o = dh tanh(c_t) o(1-o)
    dc     += dh o (1 - tanh^2 c_t) + delta_o W_co            the cell is read three ways: by h_t, by o_t, by frame t+1
    delta_i = dc g i(1-i)      delta_f = dc c_{t-1} f(1-f)      delta_g = dc i (1-g^2)
    dc_{t-1} = dc f + delta_i W_ci + delta_f W_cf
    [dx_t, dh_{t-1}] = delta [W_x, W_h]^T
    dW_x = sum_t x_t^T delta,  dW_h = sum_t h_{t-1}^T delta,  db = sum_t delta
    dW_ci = sum_t delta_i c_{t-1},  dW_cf = sum_t delta_f c_{t-1},  dW_co = sum_t delta_o c_t

Stored: x (N, T, D), h and c (N, T, M); the four gates side by side in the order of GATES on one axis of 4M:
W_x (D, 4M), W_h (M, 4M), b (4M,); W_c (3, M) with rows i, f, o. What needs no previous frame (the product with W_x,
and all parameter gradients) is one matrix product for all frames. One bias per gate (cuDNN has two), no projection. The
twin on a GPU is lstm.cu.
"""

import numpy as np

from snippets.layers.core.base import Recurrent, glorot_uniform, side_by_side, zeros
from snippets.layers.device.launch import launch
from snippets.layers.device.xp import on_gpu, xp_of
from snippets.layers.rnn import logistic

GATES = "ifgo"  # order of the four blocks of M columns; libraries differ


def split(a):
    """The four gates' blocks of an array (..., 4M), as views, in the order of GATES."""
    M = a.shape[-1] // 4
    return a[..., :M], a[..., M : 2 * M], a[..., 2 * M : 3 * M], a[..., 3 * M :]


def gates_forward(a, c_prev, W_c):
    """Eqs. 3-7 after the products: a (N, ..., 4M), c_prev (N, ..., M) -> h, c (N, ..., M), gates (N, ..., 4M).

    `gates` holds the values of i, f, g and o side by side, in the order of GATES.
    """
    xp = xp_of(a)
    W_ci, W_cf, W_co = W_c
    gates = xp.empty_like(a)
    (i, f, g, o), (a_i, a_f, a_g, a_o) = split(gates), split(a)
    i[:] = logistic(a_i + W_ci * c_prev)  # (3)
    f[:] = logistic(a_f + W_cf * c_prev)  # (4)
    g[:] = xp.tanh(a_g)
    c = f * c_prev + i * g  # (5)
    o[:] = logistic(a_o + W_co * c)  # (6)
    return o * xp.tanh(c), c, gates  # (7)


def gates_backward(dh, dc, gates, c_prev, c, W_c):
    """dh, dc of frame t (N, ..., M) -> delta = dL/da (N, ..., 4M), a as in gates_forward, dc_prev (N, ..., M)."""
    xp = xp_of(dh)
    W_ci, W_cf, W_co = W_c
    i, f, g, o = split(gates)
    delta = xp.empty_like(gates)
    delta_i, delta_f, delta_g, delta_o = split(delta)
    tanh_c = xp.tanh(c)
    delta_o[:] = dh * tanh_c * o * (1 - o)
    dc = dc + dh * o * (1 - tanh_c * tanh_c) + delta_o * W_co
    delta_i[:] = dc * g * i * (1 - i)
    delta_f[:] = dc * c_prev * f * (1 - f)
    delta_g[:] = dc * i * (1 - g * g)
    return delta, dc * f + delta_i * W_ci + delta_f * W_cf


def peephole_grads(delta, c_prev, c):
    """dW_c (3, M) from delta (rows, 4M) and the cells (rows, M); a row is a frame of a clip."""
    delta_i, delta_f, _, delta_o = split(delta)
    return xp_of(c).stack([(delta_i * c_prev).sum(axis=0), (delta_f * c_prev).sum(axis=0), (delta_o * c).sum(axis=0)])


def gate_biases(rng, M, forget_bias):
    """b (4M,) at the start: zero, but for the forget gate's."""
    b = zeros(rng, 4 * M)
    if rng is not None:
        split(b)[GATES.index("f")][:] = forget_bias
    return b


def lstm_step(x_t, h_prev, c_prev, W_x, W_h, W_c, b):
    """One frame: x_t (N, D), h_prev and c_prev (N, M) -> h, c (N, M), cache."""
    h, c, gates = gates_forward(x_t @ W_x + h_prev @ W_h + b, c_prev, W_c)
    return h, c, (x_t, h_prev, c_prev, c, gates, W_x, W_h, W_c)


def lstm_step_backward(dh, dc, cache):
    """dh, dc (N, M) -> dx (N, D), dh_prev, dc_prev (N, M), dW_x, dW_h, dW_c, db."""
    x_t, h_prev, c_prev, c, gates, W_x, W_h, W_c = cache
    delta, dc_prev = gates_backward(dh, dc, gates, c_prev, c, W_c)
    dW_c = peephole_grads(delta, c_prev, c)
    return delta @ W_x.T, delta @ W_h.T, dc_prev, x_t.T @ delta, h_prev.T @ delta, dW_c, delta.sum(axis=0)


def lstm_forward(x, h0, c0, W_x, W_h, W_c, b):
    """x (N, T, D), h0 and c0 (N, M) -> h (N, T, M), (h_T, c_T), cache."""
    if on_gpu(x):
        return lstm_forward_cuda(x, h0, c0, W_x, W_h, W_c, b)
    N, T, D = x.shape
    M = h0.shape[1]
    a = (x.reshape(N * T, D) @ W_x + b).reshape(N, T, 4 * M)
    h, c = np.empty((N, T + 1, M), x.dtype), np.empty((N, T + 1, M), x.dtype)  # index 0 holds the initial state
    h[:, 0], c[:, 0] = h0, c0
    gates = np.empty((N, T, 4 * M), x.dtype)
    for t in range(T):
        h[:, t + 1], c[:, t + 1], gates[:, t] = gates_forward(a[:, t] + h[:, t] @ W_h, c[:, t], W_c)
    return h[:, 1:], (h[:, T], c[:, T]), (x, h, c, gates, W_x, W_h, W_c)


def lstm_backward(dh, cache, dhT=None, dcT=None):
    """dh (N, T, M), and the final state's gradients dhT, dcT (N, M) or None -> dx (N, T, D), dh0, dc0 (N, M), grads.

    grads has W_x, W_h, W_c and b, of the shapes of the parameters.
    """
    if on_gpu(dh):
        return lstm_backward_cuda(dh, cache, dhT, dcT)
    x, h, c, gates, W_x, W_h, W_c = cache
    N, T, D = x.shape
    M = h.shape[2]
    zero = np.zeros((N, M), dh.dtype)
    dh_next, dc_next = zero if dhT is None else dhT, zero if dcT is None else dcT
    delta = np.empty((N, T, 4 * M), dh.dtype)
    for t in reversed(range(T)):
        delta[:, t], dc_next = gates_backward(dh[:, t] + dh_next, dc_next, gates[:, t], c[:, t], c[:, t + 1], W_c)
        dh_next = (W_h @ delta[:, t].T).T  # = delta W_h^T, but BLAS reads W_h as it lies in memory, which is faster
    rows = delta.reshape(N * T, 4 * M)
    grads = {
        "W_x": x.reshape(N * T, D).T @ rows,
        "W_h": h[:, :T].reshape(N * T, M).T @ rows,
        "W_c": peephole_grads(rows, c[:, :T].reshape(N * T, M), c[:, 1:].reshape(N * T, M)),
        "b": rows.sum(axis=0),
    }
    return (rows @ W_x.T).reshape(x.shape), dh_next, dc_next, grads


class Cells(Recurrent):
    """A layer with a state (h, c); a subclass has the functions sequence, sequence_backward and state_shape.

    `scan` raises ValueError for a state of another shape.
    """

    def state_shape(self, x):
        """The shape of h and c for an input x, after checking it."""
        raise NotImplementedError

    def scan(self, x, state=None):
        """x (N, T, ...), state (h, c) or None for zeros -> h of every frame, the state after the last frame, cache."""
        shape = self.state_shape(x)
        if state is None:
            state = (xp_of(x).zeros(shape, x.dtype),) * 2
        for name, part in zip("hc", state, strict=True):
            if part.shape != shape:
                raise ValueError(f"{type(self).__name__}: state {name} has shape {part.shape}, expected {shape}")
        return self.sequence(x, *state, **self.params)

    def scan_backward(self, dy, cache, dstate=None):
        """dy like h of every frame, dstate (dh_T, dc_T) or None -> dx, (dh_0, dc_0), grads."""
        dx, dh0, dc0, grads = self.sequence_backward(dy, cache, *(dstate or (None, None)))
        return dx, (dh0, dc0), grads

    def backward(self, dy, cache):
        dx, _, grads = self.scan_backward(dy, cache)
        return dx, grads


class PeepholeLSTM(Cells):
    """M cells over a sequence, (N, T, D) -> (N, T, M).

    forget_bias: initial b_f; 1 lets a new network remember (Gers et al. 2000), the paper does not say.
    """

    sequence, sequence_backward = staticmethod(lstm_forward), staticmethod(lstm_backward)

    def __init__(self, D, M, rng, forget_bias=1.0):
        super().__init__(
            W_x=side_by_side([glorot_uniform(rng, (D, M), D, M) for _ in GATES]),
            W_h=side_by_side([glorot_uniform(rng, (M, M), M, M) for _ in GATES]),
            W_c=zeros(rng, (3, M)),
            b=gate_biases(rng, M, forget_bias),
        )

    def state_shape(self, x):
        D, M = self.params["W_x"].shape[0], self.params["W_h"].shape[0]
        self.expect(x, ndim=3, last=D)
        return len(x), M


def by_frame(a):
    """(N, T, ...) -> contiguous (T, N, ...): a frame of all clips is one matrix."""
    return xp_of(a).ascontiguousarray(a.swapaxes(0, 1))


def lstm_forward_cuda(x, h0, c0, W_x, W_h, W_c, b):
    """`lstm_forward` on a GPU, with time as the first axis of `*_by_frame`, so that a frame is contiguous.

    Two launches per frame: the product with W_h, and all the rest (lstm.cu).
    """
    xp = xp_of(x)
    (N, T, D), M = x.shape, h0.shape[1]
    x_by_frame, W_c, b = by_frame(x), xp.ascontiguousarray(W_c), xp.ascontiguousarray(b)
    a_by_frame = (x_by_frame.reshape(T * N, D) @ W_x).reshape(T, N, 4 * M)
    h_by_frame, c_by_frame = (xp.empty((T + 1, N, M), x.dtype) for _ in "hc")  # index 0 holds the initial state
    h_by_frame[0], c_by_frame[0] = h0, c0
    gates_by_frame = xp.empty_like(a_by_frame)
    for t in range(T):
        arrays = a_by_frame[t], h_by_frame[t] @ W_h, b, c_by_frame[t], W_c, gates_by_frame[t]
        arrays = *arrays, c_by_frame[t + 1], h_by_frame[t + 1]
        launch("layers/lstm.cu", "gates_forward", N * M, *arrays, M, N * M)
    cache = x_by_frame, h_by_frame, c_by_frame, gates_by_frame, W_x, W_h, W_c
    return h_by_frame[1:].swapaxes(0, 1), (h_by_frame[T], c_by_frame[T]), cache


def lstm_backward_cuda(dh, cache, dhT, dcT):
    """`lstm_backward` on a GPU."""
    x_by_frame, h_by_frame, c_by_frame, gates_by_frame, W_x, W_h, W_c = cache
    xp = xp_of(dh)
    (T, N, D), M = x_by_frame.shape, h_by_frame.shape[2]
    dh_by_frame, delta_by_frame = by_frame(dh), xp.empty_like(gates_by_frame)
    dh_next = xp.zeros((N, M), dh.dtype) if dhT is None else xp.ascontiguousarray(dhT)
    dc = xp.zeros((N, M), dh.dtype) if dcT is None else dcT.copy(order="C")
    for t in reversed(range(T)):
        cells = c_by_frame[t], c_by_frame[t + 1]
        arrays = dh_by_frame[t], dh_next, gates_by_frame[t], *cells, W_c, delta_by_frame[t], dc
        launch("layers/lstm.cu", "gates_backward", N * M, *arrays, M, N * M)
        dh_next = delta_by_frame[t] @ W_h.T
    rows, dW_c, db = delta_by_frame.reshape(T * N, 4 * M), xp.empty((3, M), dh.dtype), xp.empty(4 * M, dh.dtype)
    cells = c_by_frame[:T], c_by_frame[1:]
    launch("layers/lstm.cu", "peephole_grads", 4 * M, delta_by_frame, *cells, dW_c, db, T * N, M, 4 * M)
    dW_x, dW_h = x_by_frame.reshape(T * N, D).T @ rows, h_by_frame[:T].reshape(T * N, M).T @ rows
    dx = (rows @ W_x.T).reshape(T, N, D).swapaxes(0, 1)
    return dx, dh_next, dc, {"W_x": dW_x, "W_h": dW_h, "W_c": dW_c, "b": db}
