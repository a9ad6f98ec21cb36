r"""Convolutional LSTM: the paper's Equations 3-7 with convolutions for matrix products (Shi et al. 2015).

    a_t = W_x * x_t + W_h * h_{t-1} + b                       "*" is a convolution, "same", four gates' filters in each
    i, f, g, o, c_t, h_t   from a_t and c_{t-1} as in `layers.lstm`, at every pixel

x_t is a map of the frame network, h and c are maps of the same height and width: at every pixel the layer reads the
current frame, and its own activations of the previous one in a neighbourhood that grows with time. It is the recurrent
convolutional network that the paper names as future work (section 5).

Peepholes W_ci, W_cf, W_co are vectors of F, shared by all pixels (Shi et al. give every pixel its own), so a map may
have any size. On maps of one pixel with kernels of one pixel the layer is `layers.lstm.PeepholeLSTM`.

    delta_t, dc_{t-1}   from dh_t and dc_t as in `layers.lstm`, at every pixel
    dh_{t-1} = delta_t * flip(W_h),    dx_t = delta_t * flip(W_x)
    dW_x, dW_h = sum_t of the filter gradients of the convolutions,    db = sum over t and pixels of delta_t

Stored: x (N, T, H, W, C), h and c (N, T, H, W, F), W_x (k, k, C, 4F), W_h (k, k, F, 4F), b (4F,), W_c (3, F).
"""

from snippets.layers.conv import conv_backward, conv_filter_grad, conv_forward, conv_input_grad
from snippets.layers.core.base import glorot_uniform, side_by_side, zeros
from snippets.layers.core.window import check_window, pad2d, padding
from snippets.layers.device.xp import xp_of
from snippets.layers.lstm import GATES, Cells, gate_biases, gates_backward, gates_forward, peephole_grads


def rows(a):
    """(..., F) -> (rows, F): pixels, frames and clips side by side."""
    return a.reshape(-1, a.shape[-1])


def images(a):
    """(N, T, H, W, C) -> (N T, H, W, C)."""
    return a.reshape(-1, *a.shape[2:])


def conv_lstm_forward(x, h0, c0, W_x, W_h, W_c, b):
    """x (N, T, H, W, C), h0 and c0 (N, H, W, F) -> h (N, T, H, W, F), (h_T, c_T), cache."""
    xp = xp_of(x)
    N, T, H, W, _ = x.shape
    F = h0.shape[-1]
    a, x_cache = conv_forward(images(x), W_x, b)
    a = a.reshape(N, T, H, W, 4 * F)
    h, c = (xp.empty((N, T + 1, H, W, F), x.dtype) for _ in "hc")  # index 0 holds the initial state
    h[:, 0], c[:, 0] = h0, c0
    gates, no_bias = xp.empty_like(a), xp.zeros_like(b)
    for t in range(T):
        a_t = a[:, t] + conv_forward(h[:, t], W_h, no_bias)[0]
        h[:, t + 1], c[:, t + 1], gates[:, t] = gates_forward(a_t, c[:, t], W_c)
    return h[:, 1:], (h[:, T], c[:, T]), (x_cache, h, c, gates, W_h, W_c)


def conv_lstm_backward(dh, cache, dhT=None, dcT=None):
    """dh (N, T, H, W, F), the final state's gradients dhT, dcT or None -> dx, dh0, dc0 (N, H, W, F), grads."""
    x_cache, h, c, gates, W_h, W_c = cache
    xp = xp_of(dh)
    N, T, H, W, F = dh.shape
    (top, bottom, _), (left, right, _) = (padding(n, len(W_h), 1, "same") for n in (H, W))
    zero = xp.zeros((N, H, W, F), dh.dtype)
    dh_next, dc_next = zero if dhT is None else dhT, zero if dcT is None else dcT
    delta = xp.empty_like(gates)
    for t in reversed(range(T)):
        delta[:, t], dc_next = gates_backward(dh[:, t] + dh_next, dc_next, gates[:, t], c[:, t], c[:, t + 1], W_c)
        dh_next = conv_input_grad(delta[:, t], W_h, (N, H, W, F), 1, top, left)
    dx, dW_x, db = conv_backward(images(delta), x_cache)
    h_prev = pad2d(images(h[:, :T]), (top, bottom), (left, right))
    grads = {
        "W_x": dW_x,
        "W_h": conv_filter_grad(images(delta), h_prev, W_h.shape, 1),
        "W_c": peephole_grads(rows(delta), rows(c[:, :T]), rows(c[:, 1:])),
        "b": db,
    }
    return dx.reshape(N, T, *dx.shape[1:]), dh_next, dc_next, grads


class ConvLSTM(Cells):
    """F maps of cells over a sequence of maps, (N, T, H, W, C) -> (N, T, H, W, F); kernel in pixels."""

    sequence, sequence_backward = staticmethod(conv_lstm_forward), staticmethod(conv_lstm_backward)

    def __init__(self, C, F, kernel=3, *, rng, forget_bias=1.0):
        check_window(kernel, 1, "same")

        def filters(channels):
            shape, area = (kernel, kernel, channels, F), kernel * kernel
            return side_by_side([glorot_uniform(rng, shape, area * channels, area * F) for _ in GATES])

        super().__init__(W_x=filters(C), W_h=filters(F), W_c=zeros(rng, (3, F)), b=gate_biases(rng, F, forget_bias))

    def state_shape(self, x):
        C, F = self.params["W_x"].shape[2], self.params["W_h"].shape[2]
        self.expect(x, ndim=5, last=C)
        return len(x), *x.shape[2:4], F
