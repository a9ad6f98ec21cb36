"""Images of strokes: what the networks of the hand-outs learn from."""

import numpy as np

DIRECTIONS = ["level", "rising", "upright", "falling"]


def render(count, rng, side=16, strokes=3):
    """count images (count, side, side, 1) float32, labels (count,): which of DIRECTIONS all strokes of an image have.

    Noise with a few strokes six pixels long, each bright or dark, each anywhere.
    """
    labels = rng.integers(4, size=count)
    angle = (labels * np.pi / 4 + rng.uniform(-0.15, 0.15, count))[:, None, None]
    y, x = np.mgrid[:side, :side]
    images = 0.25 * rng.standard_normal((count, side, side))
    for _ in range(strokes):
        cy, cx = rng.uniform(3, side - 4, (2, count, 1, 1))
        along = (x - cx) * np.cos(angle) - (y - cy) * np.sin(angle)
        across = (x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        distance = np.hypot(np.maximum(abs(along) - 3, 0), across)  # pixels from a line six pixels long
        images += rng.choice([-1, 1], (count, 1, 1)) * np.exp(-((distance / 0.8) ** 2))
    return images[..., None].astype(np.float32), labels
