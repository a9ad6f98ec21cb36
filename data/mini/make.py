r"""The mini data set: a small UCF-101 look-alike, rendered from a seed, with something for each claim of the paper.

Layout, codec and lists are UCF-101's: `<root>/<Class>/v_<Class>_g01_c01.avi` (MPEG-4, fourcc XVID, 25 fps) and, in
`<root>/ucfTrainTestlist/`, CRLF lists of three folds; fold k tests the k-th third of the groups and trains on the
others.

    kind        classes                               how they differ
    appearance  SquareDance, StarDance,               the actor's shape and pattern, in any one frame;
                TriangleDance, CrossDance             all four move alike
    motion      BallRising / BallSinking,             a ball moves up or down by 2 to 3 pixels a frame (at side 64),
                BallApproaching / BallReceding        grows or shrinks; no single frame shows it
    order       LampRedGreenBlue / LampBlueGreenRed,  one lamp's colours in turn, or one, two, three bars, and the
                CountingUp / CountingDown             same backwards; no set of frames shows it
    moment      CardDrop, CardHeart,                  a coloured mark on a card, for 2 or 3 frames; the other frames
                CardLeaf, CardSun                     show black signs that all four classes share

What makes these claims exact rather than likely:

- Within a motion or order pair, the clip of one class is the clip of the other played backwards, and a window that
  starts s frames after the first one's beginning is the window that ends s frames before the second one's end.
  Whatever ignores order (max-pooling over single frames does) is right on 50 % of a pair: on whole clips, on their
  middle window, on windows drawn uniformly, all at the native frame rate. Always the first window is no fair test.
- The stream is intra-only with a fixed quantiser: a decoded frame depends on that frame alone, so the compressed
  clips are each other's reversal bit for bit as well.
- Lamps and bars go out between two stages and now and then within one, so that in a whole clip light comes and goes
  alike in both directions. Any window of two thirds of a clip shows all three stages.
- Any window of two thirds of a clip shows a moment class's mark, and one random frame in about ten does.
- A ball's place and size are distributed alike in all four motion classes: place on a ring (what leaves at the top
  comes in at the bottom), size over one range.
- Nothing changes its class under the horizontal flip of the augmentation, hence there is no left or right.

Actor (colour, size) and background belong to the group. The classes of a cast (the dances; the balls; a pair of
lamps or counts) share them and all that is random, group by group, and except for the cards all classes share the
backgrounds: they differ only as the table says. Each card class has its own actors and backgrounds, as every class has
in UCF-101: there a split that leaks groups raises the accuracy, as a net can memorise the place.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from snippets.data.files import read_json, write
from snippets.data.mini.scenes import ball, card, count, dance, lamp
from snippets.data.mini.sprites import BLUE, GREEN, PAPER, RED, YELLOW, Canvas, draw_look
from snippets.data.options import Range, check
from snippets.layers.device.xp import usable_cores

FPS = 25
VERSION = 1  # of the pictures: a folder that another version rendered is refused, not mixed
QUICK = {"groups": 9, "clips": 1}  # make_mini(root, **QUICK): three eighths of the clips, for first tries

# class: (kind, scene, its arguments, cast, played backwards)
CLASSES = {
    "BallApproaching": ("motion", ball, ("nearer",), 1, False),
    "BallReceding": ("motion", ball, ("nearer",), 1, True),
    "BallRising": ("motion", ball, ("up",), 1, False),
    "BallSinking": ("motion", ball, ("up",), 1, True),
    "CardDrop": ("moment", card, ("drop", BLUE), 4, False),
    "CardHeart": ("moment", card, ("heart", RED), 5, False),
    "CardLeaf": ("moment", card, ("leaf", GREEN), 6, False),
    "CardSun": ("moment", card, ("sun", YELLOW), 7, False),
    "CountingDown": ("order", count, (PAPER,), 2, True),
    "CountingUp": ("order", count, (PAPER,), 2, False),
    "CrossDance": ("appearance", dance, ("plus",), 0, False),
    "LampBlueGreenRed": ("order", lamp, ((RED, GREEN, BLUE),), 3, True),
    "LampRedGreenBlue": ("order", lamp, ((RED, GREEN, BLUE),), 3, False),
    "SquareDance": ("appearance", dance, ("square",), 0, False),
    "StarDance": ("appearance", dance, ("star",), 0, False),
    "TriangleDance": ("appearance", dance, ("triangle",), 0, False),
}
KINDS = {name: kind for name, (kind, *_) in CLASSES.items()}
KIND_NAMES = ("appearance", "motion", "order", "moment")


def look_of(name, seed, group):
    """The `Look` of a group of a class."""
    kind, _, _, cast, _ = CLASSES[name]
    return draw_look(seed, cast, cast if kind == "moment" else 0, group)


def paint_clip(name, look, rng, frames=24, side=64):
    """One clip of class `name` in that `Look`, everything else drawn from rng: (T, side, side, 3) uint8 RGB."""
    _, scene, arguments, _, backwards = CLASSES[name]
    t, phase = np.arange(frames)[:, None], rng.uniform(0, 2 * np.pi, 2)
    canvas = Canvas(look, 0.012 * np.sin(2 * np.pi * t / rng.uniform(16, 30, 2) + phase), side)
    scene(canvas, look, rng, *arguments)
    exposure, noise = rng.uniform(0.85, 1.1), rng.standard_normal((frames, side, side, 1), dtype=np.float32)
    pixels = (255 * np.clip(exposure * canvas.pixels + 0.01 * noise, 0, 1)).astype(np.uint8)
    return pixels[::-1] if backwards else pixels


def write_avi(path, pixels):
    """Write pixels (T, H, W, 3) uint8 RGB as an MPEG-4 AVI file, whole or not at all."""
    options = {"qmin": "3", "qmax": "3", "g": "1", "flags": "+bitexact", "threads": "1"}  # intra-only, fixed quantiser

    def content(file):
        with av.open(file.name, "w", format="avi", options={"fflags": "+bitexact"}) as container:
            stream = container.add_stream("mpeg4", rate=FPS, options=options)
            stream.height, stream.width, stream.pix_fmt = *pixels.shape[1:3], "yuv420p"
            stream.codec_context.codec_tag = "XVID"
            for image in pixels:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
            container.mux(stream.encode())

    write(path, content)


def write_lines(path, lines):
    """Write lines with CRLF ends, as in UCF-101's lists."""
    write(path, "".join(f"{line}\r\n" for line in lines))


def write_lists(folder, groups, clips):
    """classInd.txt (labels from 1), trainlist0k.txt ("path label") and testlist0k.txt ("path"), folds k = 1, 2, 3."""
    labels = {name: label for label, name in enumerate(CLASSES, 1)}
    write_lines(folder / "classInd.txt", [f"{label} {name}" for name, label in labels.items()])
    for k, held_out in enumerate(np.array_split(np.arange(1, groups + 1), 3), 1):
        jobs = every_clip(groups, clips)
        train = [f"{clip_path(*job)} {labels[job[0]]}" for job in jobs if job[1] not in held_out]
        test = [clip_path(*job) for job in jobs if job[1] in held_out]
        write_lines(folder / f"trainlist{k:02d}.txt", train)
        write_lines(folder / f"testlist{k:02d}.txt", test)


def every_clip(groups, clips):
    """(class, group, clip) of every clip, in the lists' order; groups and clips count from 1."""
    return [(name, group + 1, clip + 1) for name in CLASSES for group, clip in np.ndindex(groups, clips)]


def clip_path(name, group, clip):
    """Path of a clip below the root, with forward slashes."""
    return f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi"


def claim(root, wanted):
    """Make `root` the data set's folder: write mini.json, or check that the one there asks for the same pictures.

    FileExistsError: a folder of other things; ValueError: other pictures.
    """
    manifest = root / "mini.json"
    root.mkdir(parents=True, exist_ok=True)
    if not manifest.exists():
        if any(not entry.name.startswith(".snippets-") for entry in root.iterdir()):
            raise FileExistsError(
                f"{root} is not empty and has no mini.json: give the mini data set a new or empty folder"
            )
        write_lines(manifest, [json.dumps(wanted)])
    try:
        found = read_json(manifest)
    except ValueError:
        raise ValueError(f"{manifest} does not hold the mini data set's parameters: choose another folder") from None
    differ = [f"{key} {found.get(key)} (wanted: {value})" for key, value in wanted.items() if found.get(key) != value]
    if differ:
        raise ValueError(f"{manifest} says {', '.join(differ)}: choose another folder, or delete this one")


def make_mini(root, seed=0, groups=12, clips=2, frames=24, side=64, workers=None):
    """Render the mini data set into `root`, a new or empty folder or one that it rendered before; returns its Path.

    groups per class, clips per group: 16 * groups * clips files of `frames` frames of side x side pixels; workers:
    threads, by default one per core. The same arguments give the same bytes (under the same NumPy and PyAV; elsewhere a
    pixel may be rounded differently). Clips that are there are kept. ValueError: a number out of range, or a folder
    with other parameters; FileExistsError: a folder of other things.
    """
    parameters = {"seed": seed, "groups": groups, "clips": clips, "frames": frames, "side": side}
    limits = {"seed": (0, 2**32 - 1), "groups": (3, 99), "clips": (1, 99), "frames": (16, 9999), "side": (32, 1024)}
    for name, (least, most) in limits.items():
        check(name, parameters[name], Range(least, most), whole=True)
    if side % 2:
        raise ValueError(f"side is {side}, expected an even number, for the codec halves the colour planes")
    root = Path(root)
    claim(root, {"version": VERSION, **parameters})

    def render(job):
        name, group, clip = job
        rng = np.random.default_rng([seed, 3, CLASSES[name][3], group, clip])
        write_avi(root / clip_path(*job), paint_clip(name, look_of(name, seed, group), rng, frames, side))

    missing = [job for job in every_clip(groups, clips) if not (root / clip_path(*job)).exists()]
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        for _ in tqdm(pool.map(render, missing), desc="mini data set", total=len(missing), unit="clip", disable=None):
            pass
    if not (root / "ucfTrainTestlist" / "testlist03.txt").exists():  # the last one written
        write_lists(root / "ucfTrainTestlist", groups, clips)
    return root
