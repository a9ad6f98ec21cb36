"""Figures with a slider that need no kernel and no network: each of their positions is drawn when the book is built.

A page says where one stands: `<!-- slider: memory -->`. The curves come from the library itself; the page holds all of
them as SVG, and the slider shows one.
"""

from typing import NamedTuple

import numpy as np

from snippets.layers.lstm import lstm_forward
from snippets.layers.temporal import temporal_max_backward, temporal_max_forward

WIDTH, HEIGHT, LEFT, BELOW = 480, 210, 44, 34  # pixels; room for the numbers at the axes
SHOW = (
    "this.closest('figure').querySelectorAll('svg').forEach((s, n) => s.style.display = n == this.value ? '' : 'none')"
)


class Slider(NamedTuple):
    """A curve of shares y, from 0 to 1, over frames for each position."""

    moves: str
    curves: list  # (what is said above the curve, x, y)
    start: int  # the position at first
    shows: str  # what y is


def memory():
    """What is left of a cell after t frames that bring nothing new."""
    T, biases, curves = 30, np.arange(0, 5.5, 0.5), []
    x, one, W = np.zeros((1, 1, 1)), np.ones((1, 1)), np.zeros((1, 4))  # every weight is zero
    for bias in biases:
        b = np.array([0.0, bias, 0.0, 0.0])  # gates in the order i f g o
        left = [1.0]
        for _ in range(T):
            _, (_, c), _ = lstm_forward(x, 0 * one, left[-1] * one, W, W, np.zeros((3, 1)), b)
            left.append(c.item())
        half = np.log(0.5) / np.log(left[1])
        curves.append((f"b = {bias:g}: one half is left after {half:.1f} frames", range(T + 1), left))
    shows = "what is left of a cell, and of the gradient that goes back through it"
    return Slider("the forget gate's bias b", curves, biases.tolist().index(1), shows)


def winners():
    """How many features of each frame get a gradient through a maximum over windows."""
    T, curves = 30, []
    x = np.random.default_rng(0).standard_normal((1, T + 4, 1024)).cumsum(axis=1)
    x = x[:, 4:] - x[:, :-4]  # neighbours are alike
    for window in (1, 2, 4, 6, 10, 20, 30):
        y, cache = temporal_max_forward(x, window, max(1, window // 2))
        share = (temporal_max_backward(np.ones_like(y), cache)[0] != 0).mean(axis=1)
        curves.append((f"windows of {window}: {100 * share.mean():.0f} % of dx is not zero", range(1, T + 1), share))
    shows = "part of a frame's features that get a gradient"
    return Slider("length of the windows, which overlap by half", curves, 4, shows)


SLIDERS = {"memory": memory, "winners": winners}


def svg(said, x, y, shown):
    """One position as SVG, in the colours of the page."""
    right, floor = WIDTH - 8, HEIGHT - BELOW
    across = np.interp(x, [0, x[-1]], [LEFT, right])
    up = np.interp(y, [0, 1], [floor, 24])
    parts = [f'<text x="{LEFT}" y="14" font-weight="bold">{said}</text>']
    for share in (0, 0.5, 1):
        at = np.interp(share, [0, 1], [floor, 24])
        parts.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="currentColor" opacity="0.25"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{share:g}</text>')
    for at in (0, len(x) // 2, len(x) - 1):
        parts.append(f'<text x="{across[at]:.1f}" y="{floor + 15}" text-anchor="middle">{x[at]}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 3}" text-anchor="middle">frame</text>')
    points = " ".join(f"{a:.1f},{u:.1f}" for a, u in zip(across, up, strict=True))
    parts.append(f'<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="2.5"/>')
    hidden = "" if shown else ' style="display: none"'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}"{hidden}>{"".join(parts)}</svg>'


def html(name):
    """The figure as a piece of a page."""
    moves, curves, start, shows = SLIDERS[name]()
    pictures = "".join(svg(*curve, n == start) for n, curve in enumerate(curves))
    slider = f'<input type="range" max="{len(curves) - 1}" value="{start}" autocomplete="off" oninput="{SHOW}">'
    return f'<figure class="slider"><figcaption>{shows}</figcaption>{pictures}<label>{moves} {slider}</label></figure>'
