"""Pairs of frames whose optical flow is known, because they are painted: textures that move as formulas say.

A texture is a function of real coordinates, a sum of cosine waves 5 to 160 pixels long, so that the second frame is
painted, not interpolated: if x moves to m(x), then

    I0(x) = f(x)        I1(m(x)) = f(x)        u(x) = m(x) - x

A disc with a texture of its own hides other pixels of its background in each frame.
"""

from typing import NamedTuple

import numpy as np

WAVES, SHORTEST, LONGEST = 48, 5.0, 160.0  # of a texture; pixels
RADIUS = 0.2  # of the disc, in heights of the frame


class KnownPair(NamedTuple):
    """Two frames (H, W), grey, 0 to 255, and the flow (H, W, 2) in pixels from I0 to I1.

    visible: (H, W) bool, pixels of I0 that I1 shows: not outside it, and not behind the disc.
    """

    I0: np.ndarray
    I1: np.ndarray
    u: np.ndarray
    visible: np.ndarray


def texture(rng):
    """A function of places (..., 2) with whole values, mean 128 and deviation 40; longer waves are stronger."""
    length = np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST), WAVES))
    angle, phase = rng.uniform(0, 2 * np.pi, (2, WAVES))
    k = 2 * np.pi / length * np.stack([np.cos(angle), np.sin(angle)])  # (2, waves)
    strength = np.sqrt(length)
    strength *= 40 * np.sqrt(2 / (strength**2).sum())
    return lambda x: np.rint(np.clip(128 + np.cos(x @ k + phase) @ strength, 0, 255)).astype(np.float32)


def places(size):
    """The pixels' coordinates (H, W, 2), to the right and down, from the middle of the frame."""
    H, W = size
    y, x = np.indices(size)
    return np.stack([x - (W - 1) / 2, y - (H - 1) / 2], axis=-1)


def affine(size, A, d, rng):
    """A frame that moves as a whole, x to A x + d from its middle: turned, scaled, shifted."""
    x, f = places(size), texture(rng)
    moved = x @ A.T + d
    return KnownPair(f(x), f((x - d) @ np.linalg.inv(A).T), moved - x, inside(moved, size))


def disc(size, d, behind, rng):
    """A disc in the middle that moves by d before a background that moves by `behind`."""
    x, f, g, radius = places(size), texture(rng), texture(rng), RADIUS * size[0]

    def on_disc(x):
        return np.hypot(*np.moveaxis(x, -1, 0)) <= radius

    def frame(d, behind):
        return np.where(on_disc(x - d), g(x - d), f(x - behind))

    u = np.where(on_disc(x)[..., None], d, behind)
    visible = inside(x + u, size) & (on_disc(x) | ~on_disc(x + u - d))
    return KnownPair(frame(np.zeros(2), np.zeros(2)), frame(d, behind), u, visible)


def inside(x, size):
    """Which places, from the middle, lie in the frame."""
    H, W = size
    return (np.abs(x[..., 0]) <= (W - 1) / 2) & (np.abs(x[..., 1]) <= (H - 1) / 2)


def turned(degrees):
    """The matrix of a turn."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])


def any_direction(length, rng):
    """A vector of this length in pixels."""
    angle = rng.uniform(0, 2 * np.pi)
    return length * np.array([np.cos(angle), np.sin(angle)])


SCENES = {  # name -> function (size, rng) -> KnownPair
    **{
        f"shift by {d:g}": lambda size, rng, d=d: affine(size, np.eye(2), any_direction(d, rng), rng)
        for d in (0.5, 2, 5, 10, 20, 30)
    },
    **{f"turn by {a}°": lambda size, rng, a=a: affine(size, turned(a), np.zeros(2), rng) for a in (2, 10)},
    **{f"zoom by {z}": lambda size, rng, z=z: affine(size, z * np.eye(2), np.zeros(2), rng) for z in (1.05, 1.2)},
    **{
        f"disc by {d}": lambda size, rng, d=d: disc(size, any_direction(d, rng), any_direction(1.5, rng), rng)
        for d in (4, 16)
    },
}


def known_pair(name, size=(240, 320), seed=0):
    """The pair of a name in SCENES; size: (H, W)."""
    return SCENES[name](size, np.random.default_rng([seed, list(SCENES).index(name)]))
