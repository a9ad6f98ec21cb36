r"""Shapes, looks and a canvas: what the clips of the mini data set (data/mini/make.py) are painted with.

A shape is a function d(u, v) of coordinates around the actor's centre, u to the right and v upwards, in units of
the actor's radius: negative inside, zero on the edge, about the distance from the edge outside. The radius r, as a
fraction of the frame's side, gives it an edge one pixel soft, so that shapes move by fractions of a pixel:

    alpha = clip(1/2 - d r side, 0, 1),        pixels += alpha (colour - pixels)

Lengths on the canvas are fractions of the side, colours RGB in [0, 1].
"""

from colorsys import hsv_to_rgb
from typing import NamedTuple

import numpy as np

INK, PAPER, BOX = (0.04, 0.04, 0.05), (0.97, 0.97, 0.94), (0.10, 0.10, 0.12)  # outlines, cards, dark displays
RED, YELLOW, GREEN, BLUE = (0.95, 0.08, 0.10), (1.0, 0.80, 0.0), (0.05, 0.75, 0.15), (0.12, 0.25, 1.0)


def disc(u, v):
    """A disc."""
    return np.hypot(u, v) - 1


def square(u, v):
    """A square."""
    return np.maximum(abs(u), abs(v)) - 0.85


def triangle(u, v):
    """A triangle, one tip up."""
    return np.maximum(0.866 * abs(u) + 0.5 * v, -v) - 0.55


def plus(u, v, arm=0.36):
    """A cross of two bars, of half width `arm`."""
    u, v = abs(u), abs(v)
    return np.minimum(np.maximum(u - 1, v - arm), np.maximum(u - arm, v - 1))


def star(u, v, inner=0.42):
    """Five points: in the wedge between a tip (radius 1) and a notch (radius `inner`) the edge is a straight line."""
    r, wedge = np.hypot(u, v), np.pi / 5
    m = abs((np.arctan2(u, v) + wedge) % (2 * wedge) - wedge)  # angle from the nearest tip
    ex, ey = inner * np.cos(wedge) - 1, inner * np.sin(wedge)  # from the tip to the notch
    return ((r * np.cos(m) - 1) * ey - r * np.sin(m) * ex) / np.hypot(ex, ey)


def heart(u, v, a=0.85):
    """A heart: a square on its corner and two discs on its upper edges, `a` long."""
    u, v = abs(u), v + 0.15
    return np.minimum((u + abs(v) - a) * 0.707, np.hypot(u - a / 2, v - a / 2) - a * 0.707)


def sun(u, v):
    """A disc with eight waves on its edge."""
    return np.hypot(u, v) - 0.78 - 0.22 * np.cos(8 * np.arctan2(u, v))


def leaf(u, v, c=0.75):
    """The common part of two discs."""
    along, across = (u + v) * 0.707, (u - v) * 0.707
    return np.hypot(along, abs(across) + c) - np.hypot(1, c)


def drop(u, v, r=0.62):
    """A drop: a disc of radius r and the two lines from (0, 1) that touch it."""
    sine = r / (2 - r)
    cone = np.maximum(abs(u) * np.sqrt(1 - sine**2) - (1 - v) * sine, r - 1 + r * sine - v)
    return np.minimum(np.hypot(u, v + 1 - r) - r, cone)


def bars(u, v, count=3, half=0.17):
    """`count` horizontal bars, one above the other."""
    centres = 0.56 * (np.arange(count) - (count - 1) / 2)
    return np.maximum(abs(u) - 0.8, np.min([abs(v - c) for c in centres], axis=0) - half)


def ring(u, v):
    """A ring."""
    return abs(np.hypot(u, v) - 0.72) - 0.22


def dots(u, v):
    """Four dots."""
    return np.hypot(abs(u) - 0.5, abs(v) - 0.5) - 0.32


def saltire(u, v):
    """A cross like an x."""
    return plus((u + v) * 0.707, (u - v) * 0.707, arm=0.24)


class Look(NamedTuple):
    """What belongs to a group: its actor and its background."""

    colour: tuple  # the actor's; patterns on it are PAPER
    size: float  # factor on the actor's radius
    ground: tuple  # the background's upper and lower colour
    texture: str  # "stripes" | "blobs" | "checks"
    waves: tuple  # the texture's two frequencies, cycles per side
    angle: float
    contrast: float


def draw_look(seed, cast, place, group):
    """The `Look` of a group: its actor from the cast 0, 1, ..., its background from the place 0, 1, ...

    Hues and brightness go by steps of the golden ratio and similar ones, which spread groups evenly over the range.
    """
    hue = (np.random.default_rng([seed, 1, cast]).uniform() + 0.618 * group) % 1  # Python floats: float32 stays float32
    ground, light = (
        (np.random.default_rng([seed, 2, place]).uniform(size=2) + [0.755 * group, 0.570 * group]) % 1
    ).tolist()
    actor, place = np.random.default_rng([seed, 1, cast, group]), np.random.default_rng([seed, 2, place, group])
    light = 0.4 + 0.3 * light
    return Look(
        colour=hsv_to_rgb(hue, 0.9, 0.85),
        size=actor.uniform(0.9, 1.1),
        ground=(
            hsv_to_rgb(ground, 0.25, light),
            hsv_to_rgb((ground + place.uniform(-0.15, 0.15)) % 1, 0.25, 0.8 * light),
        ),
        texture=str(place.choice(["stripes", "blobs", "checks"])),
        waves=(place.uniform(1.5, 4), place.uniform(1.5, 4)),
        angle=place.uniform(0, np.pi),
        contrast=place.uniform(0.05, 0.1),
    )


class Canvas:
    """`pixels` (T, side, side, 3): the background of a `Look`; sway (T, 2): y and x of the camera."""

    def __init__(self, look, sway, side):
        self.side = side
        grid = ((np.arange(side) + 0.5) / side).astype(np.float32)
        self.y = grid[None, :, None] + sway[:, :1, None].astype(np.float32)  # (T, H, 1)
        self.x = grid[None, None, :] + sway[:, 1:, None].astype(np.float32)  # (T, 1, W)
        cos, sin = np.float32(np.cos(look.angle)), np.float32(np.sin(look.angle))
        a = np.sin(6.2832 * look.waves[0] * (cos * self.x + sin * self.y))  # (T, H, W)
        b = np.sin(6.2832 * look.waves[1] * (cos * self.y - sin * self.x))
        wave = {"stripes": lambda: a, "blobs": lambda: a * b, "checks": lambda: np.tanh(4 * a * b)}[look.texture]()
        above, below = np.float32(look.ground)
        self.pixels = above + (below - above) * self.y[..., None] + np.float32(look.contrast) * wave[..., None]

    def around(self, cy, cx, r, angle=0.0, wrap=False):
        """u, v (T, H, W) around the centre, in radii; arguments: numbers or (T,); `wrap` joins bottom to top."""
        cy, cx, r, angle = (np.asarray(a, np.float32).reshape(-1, 1, 1) for a in (cy, cx, r, angle))
        down = self.y - cy
        down = (down + 0.5) % 1 - 0.5 if wrap else down
        u, v = (self.x - cx) / r, -down / r
        if not angle.any():
            u, v = np.broadcast_arrays(u, v)
            return u, v
        return np.cos(angle) * u - np.sin(angle) * v, np.sin(angle) * u + np.cos(angle) * v

    def paint(self, d, r, colour, when=slice(None)):
        """Fills the shape d (T, H, W) of radius r, in the frames `when`; colour (3,), (T, 3) or (T, H, W, 3)."""
        colour = np.asarray(colour, np.float32)
        if colour.ndim > 1:
            colour = colour[when].reshape(-1, *((1, 1, 3) if colour.ndim == 2 else colour.shape[1:]))
        r = np.broadcast_to(np.asarray(r, np.float32).reshape(-1, 1, 1), (len(d), 1, 1))
        alpha = np.clip(0.5 - d[when] * (r[when] * self.side), 0, 1)[..., None]
        self.pixels[when] += alpha * (colour - self.pixels[when])

    def outlined(self, d, r, colour, line=0.022):
        """`paint` with an ink line of that width around it, so that the actor stands out from any background."""
        self.paint(d - line / np.asarray(r, np.float32).reshape(-1, 1, 1), r, INK)
        self.paint(d, r, colour)
