"""The mini data set filmed badly: the same clips under a shaking camera and a flickering light.

Every frame is shifted by up to `shake` pixels in both directions and made darker or brighter by up to `flicker`, drawn
for each frame. Optical flow then shows the camera more than what moves in front of it.
"""

import shutil
from pathlib import Path

import numpy as np

from snippets.data.files import read_json
from snippets.data.mini.make import claim, write_avi
from snippets.data.video import read_frames


def make_shaky(root, mini, seed=0, shake=4, flicker=0.15):
    """Copy the mini data set in folder `mini` to `root`, each frame shaken; clips that are there are kept."""
    root, mini = Path(root), Path(mini)
    claim(root, read_json(mini / "mini.json") | {"shaken": seed, "shake": shake, "flicker": flicker})
    for number, path in enumerate(sorted(mini.glob("*/*.avi"))):
        out = root / path.relative_to(mini)
        if out.exists():
            continue
        rng = np.random.default_rng([seed, number])
        write_avi(out, np.stack([shaken(frame, rng, shake, flicker) for frame in read_frames(path)]))
    shutil.copytree(mini / "ucfTrainTestlist", root / "ucfTrainTestlist", dirs_exist_ok=True)
    return root


def shaken(frame, rng, shake, flicker):
    """The frame (H, W, 3) uint8, shifted by up to `shake` pixels, its edges repeated, and made darker or brighter."""
    (dy, dx), light = rng.integers(0, 2 * shake + 1, 2), rng.uniform(1 - flicker, 1 + flicker)
    H, W, _ = frame.shape
    wide = np.pad(frame, [(shake, shake), (shake, shake), (0, 0)], mode="edge")
    return np.clip(light * wide[dy : dy + H, dx : dx + W].astype(np.float32), 0, 255).astype(np.uint8)
