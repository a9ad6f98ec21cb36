"""What the walkthroughs share: the reader's bet, planted bugs, real data, and the library that arrays belong to.

    prepare()                                      figures of print quality, one thread
    bet("bugs that look healthy", guess=5, found=12)
    with planted("dW_co is missing"): ...          the running library is wrong in this block
    real("clips/v_Archery_g01_c01.avi", "...")     a path, or None, and it is said what is taken instead
    mark(1, forward, backward, x)                  the check of an exercise

Arrays are those of `xp`: NumPy's, or CuPy's where the environment variable SNIPPETS_DEVICE is cuda.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from snippets.layers.core.check import check_gradient
from snippets.nets.googlenet import googlenet
from snippets.nets.pretrained.names import PIXELS, map_tensors, read_weights
from snippets.training.assignments import bugs
from snippets.training.checkpoint import load_into
from snippets.training.parameters import move_to_device, use_device

HERE = Path(__file__).resolve().parent
BUGS = bugs.read_bugs((HERE.parent / "tests" / "kit" / "planted_bugs.txt").read_text(encoding="utf-8"))
# as in tests/conftest.py
SHARED = Path(os.environ.get("SNIPPETS_SHARED") or HERE.parent.parent / "shared" / "data")

DEVICE = os.environ.get("SNIPPETS_DEVICE", "cpu")  # or cuda
xp = use_device(DEVICE)  # the library of its arrays


def prepare():
    """Figures of print quality, and one thread for matrices that are done before a second one has woken up."""
    plt.style.use(HERE / "figures.mplstyle")
    threadpool_limits(1)


def bet(what, guess, found, unit=""):
    """Print a guess beside what was measured, and how far apart they are."""
    space = " " if unit else ""
    print(f"{what}\n    your bet   {guess:g}{space}{unit}\n    measured   {found:.3g}{space}{unit}")
    if min(abs(guess), abs(found)) > 0 and not 0.2 < guess / found < 5:
        ratio = max(guess / found, found / guess)
        print(f"    off by     a factor of {ratio:.2g}" if ratio > 0 else "    off by     its sign")
    else:
        print(f"    off by     {abs(guess - found):.2g}{space}{unit}")


def planted(bug, file=None):
    """A context in which the running library has a bug: a Bug, or a name in tests/kit/planted_bugs.txt.

    file: where two of them have one name.
    """
    if isinstance(bug, bugs.Bug):
        return bugs.planted(bug)
    found = [b for b in BUGS if b.name == bug and file in (None, b.file)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} planted bugs are called {bug!r} (file {file}): see tests/kit/planted_bugs.txt")
    return bugs.planted(found[0])


def real(path, instead):
    """SHARED / path if it is there, else None, and what is taken instead is printed."""
    found = SHARED / path
    if found.exists():
        return found
    print(f"no {path} in the folder that SNIPPETS_SHARED names, or shared/data beside the checkout: {instead}")
    return None


def imagenet(seed=0):
    """GoogLeNet with the weights that Caffe's was published with, and its class names; else random ones, and None.

    It reads what `as_caffe` makes of frames of 224 x 224 pixels.
    """
    net, names = googlenet(np.random.default_rng(seed), variant="caffe"), None
    if weights := real("weights/bvlc_googlenet.npz", "random weights, which know no classes"):
        load_into(net.params, map_tensors(read_weights(weights), net.params).params)
        lines = (weights.parent / "imagenet_synset_words.txt").read_text(encoding="utf-8").splitlines()
        names = [line.split(maxsplit=1)[1].split(",")[0] for line in lines]
    return move_to_device(net, DEVICE), names


def as_caffe(frames):
    """Frames (..., 3) uint8 as its GoogLeNet reads them: float32, less the mean colour."""
    return xp.asarray(np.asarray(frames, np.float32) - np.float32(PIXELS["caffe"]["mean"]))


def mark(exercise, forward, backward, x, seed=0):
    """Checks backward(dy, x) against forward(x); says so if there is nothing to check yet."""
    dy = np.random.default_rng(seed).standard_normal(forward(x).shape)
    dx = backward(dy, x)
    if dx is None:
        print(f"Exercise {exercise}: not written yet")
        return
    error = check_gradient(lambda x: float((forward(x) * dy).sum()), x, np.asarray(dx, float))
    print(f"Exercise {exercise}: right, worst relative error {error:.1e}")


def mark_same(exercise, mine, known, *inputs):
    """Checks that mine(*one) is known(*one) for each of the inputs, tuples; says so if it is not written yet."""
    for one in inputs:
        found = mine(*one)
        if found is None:
            print(f"Exercise {exercise}: not written yet")
            return
        np.testing.assert_allclose(found, known(*one), rtol=1e-6, err_msg=f"exercise {exercise}, for {one}")
    print(f"Exercise {exercise}: right on {len(inputs)} cases")
