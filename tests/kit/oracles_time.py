"""Plain-loop oracles of the operations that see time: N clips, T frames, D features, M units; see oracles.py."""

import math

import numpy as np
from oracles import placed

from snippets.layers.conv import conv_plain


def time_conv(x, W, b, stride=5, relu=True, space=1):
    """x (N,T,H,W,C), W (kt,kh,kw,C,F) -> (N,m,Ho,Wo,F): windows of kt frames, the sides of a map zero-padded."""
    N, T, height, width, C = x.shape
    kt, kh, kw, _, F = W.shape
    starts = [0]
    while starts[-1] + kt < T:  # frames are left
        starts.append(min(starts[-1] + stride, T - kt))
    (Ho, top), (Wo, left) = placed(height, kh, space, "same"), placed(width, kw, space, "same")
    y = np.empty((N, len(starts), Ho, Wo, F))
    for n, s, i, j, f in np.ndindex(y.shape):
        total = float(b[f])
        for u, p, q, c in np.ndindex(kt, kh, kw, C):
            row, col = i * space + p - top, j * space + q - left
            if 0 <= row < height and 0 <= col < width:
                total += float(x[n, starts[s] + u, row, col, c]) * float(W[u, p, q, c, f])
        y[n, s, i, j, f] = max(total, 0.0) if relu else total
    return y


def temporal_windows(T, window=None, stride=None):
    """Frames of each window: starts 0, s, 2s, ... until one reaches the last frame, clipped; None is one window."""
    if window is None:
        return [list(range(T))]
    windows, start = [], 0
    while True:
        windows.append([t for t in range(start, start + window) if t < T])
        if start + window >= T:
            return windows
        start += stride


def temporal_max_winners(x, window=None, stride=None):
    """{place in y (N,m,...): place in x} of the largest frame of each window, the earliest among equals."""
    windows = temporal_windows(x.shape[1], window, stride)
    winners = {}
    for n, m, *rest in np.ndindex((x.shape[0], len(windows), *x.shape[2:])):
        best = None
        for t in windows[m]:
            if best is None or x[(n, t, *rest)] > x[best]:
                best = (n, t, *rest)
        winners[(n, m, *rest)] = best
    return winners


def logistic(z):
    """1 / (1 + e^-z) of one number; e^z / (1 + e^z) where e^-z would be too large."""
    return 1.0 / (1.0 + math.exp(-z)) if z > 0 else math.exp(z) / (1.0 + math.exp(z))


def rnn(x, h0, W_x, W_h, b, activation="logistic"):
    """Equation 1, one unit at a time: h_t = H(W_ih x_t + W_hh h_{t-1} + b_h); x (N,T,D) -> h (N,T,M)."""
    (N, T, D), M = x.shape, b.shape[0]
    act = logistic if activation == "logistic" else math.tanh
    h = np.empty((N, T, M))
    for n in range(N):
        h_prev = [float(v) for v in h0[n]]
        for t in range(T):
            for m in range(M):
                z = sum(float(x[n, t, d]) * float(W_x[d, m]) for d in range(D))
                z += sum(h_prev[u] * float(W_h[u, m]) for u in range(M))
                h[n, t, m] = act(z + float(b[m]))
            h_prev = [float(v) for v in h[n, t]]
    return h


def conv_lstm(x, h0, c0, W_x, W_h, W_c, b):
    """Equations 3-7 at every pixel of maps x (N,T,H,W,C), the products being convolutions; peepholes by channel.

    Returns h (N,T,H,W,F), last c (N,H,W,F).
    """
    T, F = x.shape[1], h0.shape[-1]
    h, c, h_all = h0.copy(), c0.copy(), np.empty((*x.shape[:4], F))
    for t in range(T):
        a = conv_plain(x[:, t], W_x, b) + conv_plain(h, W_h, np.zeros(4 * F))
        for place in np.ndindex(c.shape):
            i, f, g, o = (float(a[(*place[:-1], gate * F + place[-1])]) for gate in range(4))
            w_ci, w_cf, w_co = (float(w) for w in W_c[:, place[-1]])
            cell = float(c[place])
            new = logistic(f + w_cf * cell) * cell + logistic(i + w_ci * cell) * math.tanh(g)
            c[place] = new
            h[place] = logistic(o + w_co * new) * math.tanh(new)
        h_all[:, t] = h
    return h_all, c


def differences(x, before=None):
    """Each frame's features, and behind them how far each of them is from that of the frame before."""
    y = np.empty((*x.shape[:-1], 2 * x.shape[-1]))
    for n, t, *place in np.ndindex(*x.shape[:-1]):
        last = x[n, t - 1][tuple(place)] if t else (x[n, 0] if before is None else before[n])[tuple(place)]
        y[(n, t, *place)] = [*x[(n, t, *place)], *(abs(a - b) for a, b in zip(x[(n, t, *place)], last, strict=True))]
    return y


def lstm(x, h0, c0, W_x, W_h, W_c, b):
    """Equations 3-7, one cell at a time; columns i, f, g, o of M each, peepholes W_c rows i, f, o.

    Returns h (N,T,M), last c (N,M).
    """
    (N, T, D), M = x.shape, h0.shape[1]
    h_all, c_last = np.empty((N, T, M)), np.empty((N, M))
    for n in range(N):
        h, c = [float(v) for v in h0[n]], [float(v) for v in c0[n]]
        for t in range(T):
            h_new, c_new = [], []
            for m in range(M):
                a = []
                for gate in range(4):  # W_x. x_t + W_h. h_{t-1} + b.
                    column = gate * M + m
                    z = sum(float(x[n, t, d]) * float(W_x[d, column]) for d in range(D))
                    z += sum(h[u] * float(W_h[u, column]) for u in range(M))
                    a.append(z + float(b[column]))
                i = logistic(a[0] + float(W_c[0, m]) * c[m])  # Eq. 3
                f = logistic(a[1] + float(W_c[1, m]) * c[m])  # Eq. 4
                cell = f * c[m] + i * math.tanh(a[2])  # Eq. 5
                o = logistic(a[3] + float(W_c[2, m]) * cell)  # Eq. 6: the new cell
                c_new.append(cell)
                h_new.append(o * math.tanh(cell))  # Eq. 7
            h, c = h_new, c_new
            h_all[n, t] = h
        c_last[n] = c
    return h_all, c_last
