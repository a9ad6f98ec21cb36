"""Scenes of the mini data set: what happens in a clip, before its class decides whether it is played backwards.

Each function paints the frames of a canvas in the group's `Look`, and draws all that does not belong to the group from
rng: place, phase, speed, timing. data/mini/make.py says why they are as they are.
"""

import numpy as np

from snippets.data.mini import sprites
from snippets.data.mini.sprites import BOX, INK, PAPER

OFF = -1  # the stage in which a display shows nothing


def dance(canvas, look, rng, shape):
    """An actor sways about; every shape has a pattern of its own."""
    t, (p, q, s) = np.arange(len(canvas.pixels)), rng.uniform(0, 2 * np.pi, 3)
    r, spin = 0.29 * look.size, 0.35 * np.sin(t / rng.uniform(2, 5) + s)
    cy, cx = 0.5 + 0.08 * np.sin(t / rng.uniform(3, 6) + p), 0.5 + 0.08 * np.sin(t / rng.uniform(3, 6) + q)
    u, v = canvas.around(cy, cx, r, spin)
    canvas.outlined(getattr(sprites, shape)(u, v), r, look.colour)
    pattern = {
        "square": lambda: -np.sign(np.sin(5.5 * u) * np.sin(5.5 * v)) * 0.2,
        "triangle": lambda: abs((v + 0.55) % 0.5 - 0.25) - 0.12,
        "plus": lambda: 0.6 - np.maximum(abs(u), abs(v)),
        "star": lambda: sprites.star(u / 0.45, v / 0.45),
    }[shape]()
    canvas.paint(np.maximum(pattern, getattr(sprites, shape)(u, v)), r, PAPER)


def ball(canvas, look, rng, moves):
    """A beach ball that rises and comes in again below (moves "up"), or grows and starts again small ("nearer")."""
    t = np.arange(len(canvas.pixels))
    small, large, phase = 0.10, 0.30, rng.uniform()
    cy, cx = rng.uniform(), rng.uniform(0.38, 0.62)
    if moves == "up":
        cy, r = cy - rng.uniform(0.035, 0.050) * t, np.full(len(t), small + (large - small) * phase)
    else:
        r = small + (large - small) * ((phase + t / rng.uniform(10, 14)) % 1)
    u, v = canvas.around(cy, cx, r, rng.uniform(0, 2 * np.pi), wrap=True)
    sectors = np.sin(3 * np.arctan2(u, v))[..., None] > 0
    canvas.outlined(sprites.disc(u, v), r, np.where(sectors, *np.float32([look.colour, PAPER])))
    canvas.paint(sprites.disc(4 * u, 4 * v) / 4, r, INK)


def display(canvas, look, rng, colour):
    """A panel in a frame of the group's colour, darker than what the panel shows; returns its u, v and radius."""
    r = 0.31 * look.size
    u, v = canvas.around(*rng.uniform(0.44, 0.56, 2), r)
    canvas.outlined(sprites.square(u, v), r, 0.45 * np.float32(look.colour) + 0.3)
    canvas.paint(sprites.square(u / 0.84, v / 0.84) * 0.84, r, colour)
    return u / 0.7, v / 0.7, 0.7 * r


def stages(rng, frames):
    """0 ..., 1 ..., 2 ... (T,) and OFF at each change and in that rhythm; any two thirds of the clip show all three."""
    third = frames // 3
    middle = frames - 2 * third  # the frames that every window of two thirds holds
    rhythm = rng.integers(middle // 2, middle - 2)
    first = rng.integers(third + 1, third + middle - 1 - rhythm)  # stage 0 ends, stage 1 lasts one beat
    t = np.arange(frames)
    return np.where((t - first) % rhythm == 0, OFF, (t > first).astype(int) + (t > first + rhythm))


def lamp(canvas, look, rng, colours):
    """One lamp that shows three colours in turn and goes out between them."""
    u, v, r = display(canvas, look, rng, BOX)
    shown = np.float32([*colours, (0.27, 0.27, 0.29)])  # OFF = -1 is the last
    canvas.paint(sprites.disc(u, v), r, shown[stages(rng, len(canvas.pixels))])


def count(canvas, look, rng, colour):
    """One, two, three bars in turn on a display that goes dark between them."""
    u, v, r = display(canvas, look, rng, BOX)
    stage = stages(rng, len(canvas.pixels))
    for k in range(3):
        canvas.paint(sprites.bars(u, v, k + 1), r, colour, stage == k)


def card(canvas, look, rng, mark, colour):
    """A card that shows black signs, and the mark for two or three frames; any two thirds of the clip show it."""
    u, v, r = display(canvas, look, rng, PAPER)
    frames, length = len(canvas.pixels), rng.integers(2, 4)
    signs = np.repeat(rng.integers(0, 4, frames), rng.integers(3, 6, frames))[:frames]
    third = frames // 3
    start = rng.integers(third - length + 1, frames - third)
    signs[start : start + length] = 4
    for k, shape in enumerate(("ring", "bars", "dots", "saltire", mark)):
        canvas.paint(getattr(sprites, shape)(u, v), r, colour if shape == mark else INK, signs == k)
