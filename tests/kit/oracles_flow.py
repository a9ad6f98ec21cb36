"""Slow oracles of optical flow: plain loops over pixels, written from Zach, Pock and Bischof's formulas and from Keys'.

Images are (H, W), flows (H, W, 2) in pixels to the right and down.
"""

import math

import numpy as np


def keys(s):
    """Keys' cubic convolution kernel with a = -1/2 at distance s."""
    s = abs(s)
    if s < 1:
        return 1.5 * s**3 - 2.5 * s**2 + 1
    return -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2 if s < 2 else 0.0


def sample(image, x, y):
    """The image at a place between its pixels; places and pixels outside are those of its edge."""
    H, W = image.shape
    x, y, total = min(max(x, 0), W - 1), min(max(y, 0), H - 1), 0.0
    for q in range(math.floor(x) - 1, math.floor(x) + 3):
        for p in range(math.floor(y) - 1, math.floor(y) + 3):
            total += keys(x - q) * keys(y - p) * image[min(max(p, 0), H - 1), min(max(q, 0), W - 1)]
    return total


def forward_difference(u, y, x):
    """(to the right, down), zero beyond the last column and row."""
    H, W = u.shape
    return (u[y, x + 1] - u[y, x] if x + 1 < W else 0.0), (u[y + 1, x] - u[y, x] if y + 1 < H else 0.0)


def divergence(p, y, x):
    """Of p (2, H, W), right and down: the negative adjoint of forward_difference."""
    right = p[0, y, x] - (p[0, y, x - 1] if x > 0 else 0.0)
    return right + p[1, y, x] - (p[1, y - 1, x] if y > 0 else 0.0)


def iteration(u, p, rho0, gradient, tau, lam, theta):
    """One iteration: u (2, H, W), p (2 components, 2 directions, H, W) -> new u, new p.

    rho(u) = rho0 + <gradient, u>, gradient (2, H, W). The thresholding in the three cases of the paper's Equation 15.
    """
    _, H, W = u.shape
    v, new_u, new_p = np.empty_like(u), np.empty_like(u), np.empty_like(p)
    for y, x in np.ndindex(H, W):
        g = gradient[:, y, x]
        rho, square = rho0[y, x] + g[0] * u[0, y, x] + g[1] * u[1, y, x], g[0] ** 2 + g[1] ** 2
        if rho < -lam * theta * square:
            step = lam * theta * g
        elif rho > lam * theta * square:
            step = -lam * theta * g
        else:
            step = -rho * g / square
        v[:, y, x] = u[:, y, x] + step
    for d in range(2):
        for y, x in np.ndindex(H, W):
            new_u[d, y, x] = v[d, y, x] + theta * divergence(p[d], y, x)
        for y, x in np.ndindex(H, W):
            right, down = forward_difference(new_u[d], y, x)
            length = 1 + tau / theta * math.hypot(right, down)
            new_p[d, 0, y, x] = (p[d, 0, y, x] + tau / theta * right) / length
            new_p[d, 1, y, x] = (p[d, 1, y, x] + tau / theta * down) / length
    return new_u, new_p


def energy(I0, I1, u, lam):
    """TV-L1 energy a pixel."""
    total, (H, W) = 0.0, I0.shape
    for y, x in np.ndindex(H, W):
        total += lam * abs(sample(I1, x + u[y, x, 0], y + u[y, x, 1]) - I0[y, x])
        for d in range(2):
            total += math.hypot(*forward_difference(u[..., d], y, x))
    return total / (H * W)


def around(image, y, x, reach):
    """The pixels up to `reach` away from (y, x), row by row; outside, those of the edge."""
    H, W = image.shape
    places = range(-reach, reach + 1)
    return [[image[min(max(y + i, 0), H - 1), min(max(x + j, 0), W - 1)] for j in places] for i in places]


def bilinear(image, size):
    """The image at (h, w) = size; the centre of pixel k of n lies at (k + 1/2) / n of the side."""
    (H, W), y = image.shape, np.empty(size)
    for p, q in np.ndindex(*size):
        total = 0.0
        row = min(max((p + 0.5) * H / size[0] - 0.5, 0), H - 1)
        column = min(max((q + 0.5) * W / size[1] - 0.5, 0), W - 1)
        for i, j in np.ndindex(H, W):
            total += max(1 - abs(row - i), 0) * max(1 - abs(column - j), 0) * image[i, j]
        y[p, q] = total
    return y
