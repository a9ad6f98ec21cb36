"""What optical flow does to whole images (N, H, W): warp them, resize them, smooth them, take medians.

Outside, an image continues as at its edge. Nothing here writes into an argument, and float32 and float64 are kept.
Resizing and smoothing are scipy's; the docstrings of `warp` and `median` say why these are written out.
"""

import importlib

import numpy as np

from snippets.layers.device.xp import xp_of


def warp(image, u):
    """image at x + u, its derivatives there to the right and down, and whether x + u is inside: (N, H, W) each.

    u (2, N, H, W). Between pixels the image is Keys' cubic convolution (a = -1/2), whose derivative at a pixel is the
    central difference; both are those of the 4x4 pixels around. Outside the frame its edge continues. scipy's
    map_coordinates has splines only, another interpolation, and gives no derivatives.
    """
    xp, (N, H, W) = xp_of(image), image.shape
    x = u[0] + xp.arange(W, dtype=u.dtype)
    y = u[1] + xp.arange(H, dtype=u.dtype)[:, None]
    inside = (x >= 0) & (x <= W - 1) & (y >= 0) & (y <= H - 1)
    x, y = xp.clip(x, 0, W - 1), xp.clip(y, 0, H - 1)
    left, top = xp.floor(x), xp.floor(y)
    (kx, dkx), (ky, dky) = _keys(x - left), _keys(y - top)
    padded = xp.pad(image, ((0, 0), (1, 2), (1, 2)), mode="edge")
    place = (xp.arange(N)[:, None, None] * (H + 3) + top.astype(np.int64)) * (W + 3) + left.astype(np.int64)
    value, dx, dy = (xp.zeros_like(image) for _ in range(3))
    for row in range(4):
        along, slope = xp.zeros_like(image), xp.zeros_like(image)
        for column in range(4):
            pixel = padded.ravel().take(place + row * (W + 3) + column)
            along += kx[column] * pixel
            slope += dkx[column] * pixel
        value += ky[row] * along
        dx += ky[row] * slope
        dy += dky[row] * along
    return value, dx, dy, inside


def _keys(f):
    """Weights of the pixels at -1, 0, 1, 2 for a place f in [0, 1), and the weights' derivatives."""
    g = 1 - f
    outer = -0.5 * f * g * g, -0.5 * f * f * g
    inner = 1 + f * f * (1.5 * f - 2.5), 1 + g * g * (1.5 * g - 2.5)
    slopes = 0.5 * g * (2 * f - g), f * (4.5 * f - 5), -g * (4.5 * g - 5), 0.5 * f * (f - 2 * g)
    return (outer[0], *inner, outer[1]), slopes


def resize(image, size):
    """image (N, H, W) at (h, w) = size, bilinear; the frame's borders fall on each other."""
    zoom, ratios = _ndimage(image).zoom, np.divide(size, image.shape[1:])
    return xp_of(image).stack([zoom(each, ratios, order=1, mode="nearest", grid_mode=True) for each in image])


def smooth(image):
    """image (N, H, W) under a binomial filter of five, about a Gaussian of one pixel, to be made smaller."""
    weights = xp_of(image).array([1, 4, 6, 4, 1], image.dtype) / 16
    for axis in (1, 2):
        image = _ndimage(image).correlate1d(image, weights, axis, mode="nearest")
    return image


def _ndimage(image):
    """scipy.ndimage, imported when flow is computed; for an array on a GPU cupyx.scipy.ndimage, which is like it."""
    return importlib.import_module("scipy.ndimage" if xp_of(image) is np else "cupyx.scipy.ndimage")


def median(u):
    """Median of the 3x3 pixels around each, u (..., H, W).

    By minima and maxima of whole images; with scipy's median_filter, 5 to 45 times slower, the flow of a pair of frames
    of 256x256 pixels takes half as long again.
    """
    xp, (H, W) = xp_of(u), u.shape[-2:]
    z = xp.pad(u.reshape(-1, H, W), ((0, 0), (1, 1), (1, 1)), mode="edge").reshape(-1)
    row = W + 2

    def sort(a, b, c):
        low, high = xp.minimum(a, b), xp.maximum(a, b)
        return xp.minimum(low, c), xp.maximum(low, xp.minimum(high, c)), xp.maximum(high, c)

    columns = sort(z[: -2 * row], z[row:-row], z[2 * row :])  # each column of three sorted, as long vectors again
    low, mid, high = ([part[:-2], part[1:-1], part[2:]] for part in columns)
    lows, highs = xp.maximum(xp.maximum(*low[:2]), low[2]), xp.minimum(xp.minimum(*high[:2]), high[2])
    z[: len(lows)] = sort(lows, sort(*mid)[1], highs)[1]
    return xp.ascontiguousarray(z.reshape(-1, H + 2, row)[:, :H, :W]).reshape(u.shape)
