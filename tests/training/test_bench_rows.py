"""The sizes of the benchmark's rows: what docs/performance.md says that each of them measures."""

from pathlib import Path

import numpy as np
import pytest

from snippets.training.bench.rows import ROWS, Setup, real

VIDEOS = ("decode", "decode-real")  # of video files: test_bench.py
SIZES = {  # row: of each argument the shape, or the number of parameters
    "googlenet-forward": (6998552, (1, 16, 220, 220, 3)),
    "googlenet-both": (6998552, (1, 16, 220, 220, 3), (1, 16, 1000)),
    "alexnet-forward": (3664512, (1, 16, 220, 220, 3)),
    "alexnet-both": (3664512, (1, 16, 220, 220, 3), (1, 16, 7, 7, 256)),
    "conv-7x7": (9472, (16, 220, 220, 3), (16, 110, 110, 64)),
    "conv-3x3": (110784, (16, 55, 55, 64), (16, 55, 55, 192)),
    "conv-1x1": (135424, (16, 14, 14, 528), (16, 14, 14, 256)),
    "conv-1x1-map": (4160, (16, 55, 55, 64), (16, 55, 55, 64)),
    "conv-5x5": (76896, (16, 28, 28, 32), (16, 28, 28, 96)),
    "conv-11x11": (34944, (16, 220, 220, 3), (16, 55, 55, 96)),
    "conv-9x9": (1990912, (16, 28, 28, 96), (16, 28, 28, 256)),
    "conv-5x5-256": (1638656, (16, 14, 14, 256), (16, 14, 14, 256)),
    "max-pool-2": (0, (16, 110, 110, 64), (16, 55, 55, 64)),
    "max-pool-1": (0, (16, 28, 28, 256), (16, 28, 28, 256)),
    "lrn": (0, (16, 55, 55, 192), (16, 55, 55, 192)),
    "inception3b": (388736, (16, 28, 28, 256), (16, 28, 28, 480)),
    "average": (0, (16, 7, 7, 1024), (16, 1024)),
    "linear": (51384320, (16, 12544), (16, 4096)),
    "relu": (0, (16, 4096), (16, 4096)),
    "dropout": (0, (16, 4096), (16, 4096)),
    "conv-pooling-head": (68579429, (16, 30, 7, 7, 256), (16, 101)),
    "lstm-8x30": (11503104, (8, 30, 1000), (8, 30, 512)),
    "lstm-32x30": (11503104, (32, 30, 1000), (32, 30, 512)),
    "lstm-8x120": (11503104, (8, 120, 1000), (8, 120, 512)),
    "softmax-loss": ((32, 30, 487), (32,)),
    "sgd": (6998552, 6998552),
    "step-conv": (28293757, (1, 30, 220, 220, 3), (1,)),
    "step-lstm": (18553469, (1, 30, 220, 220, 3), (1,)),
    "video-300": (28293757, (30, 220, 220, 3)),
    "tvl1": ((3, 240, 320), (3, 240, 320)),
    "tvl1-pan": ((24, 240, 320), (24, 240, 320)),
}


def size(argument):
    """The shape of an array, the number of parameters of a layer or a dict of them; None for anything else."""
    if isinstance(argument, np.ndarray):
        return argument.shape
    params = argument if isinstance(argument, dict) else getattr(argument, "params", None)
    return None if params is None else sum(a.size for a in params.values())


def test_every_row_has_its_sizes_here():
    assert {row.name for row in ROWS} == {*SIZES, *VIDEOS}


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in VIDEOS], ids=lambda row: row.name)
def test_a_row_measures_what_it_says(row, tmp_path):
    sizes = [size(argument) for argument in row.make(Setup(folder=str(tmp_path)))]
    assert tuple(found for found in sizes if found is not None) == SIZES[row.name]


def test_real_clips_are_taken_from_a_folder_and_its_folders(tmp_path):
    for name in ("a.avi", "more/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for quick, sizes in (False, (30, 220)), (True, (4, 27)):
        paths, *found = real(Setup(clips=str(tmp_path), quick=quick))
        assert [Path(path).name for path in paths] == ["a.avi", "b.mp4"] and tuple(found) == sizes
    with pytest.raises(ValueError, match="no videos there"):
        (tmp_path / "empty").mkdir()
        real(Setup(clips=str(tmp_path / "empty")))


def test_the_true_motion_and_errors_of_tvl1_pan():
    """What stays inside the frame is found again where the truth says; an error is the mean distance from it there."""
    (row,) = [row for row in ROWS if row.name == "tvl1-pan"]
    I0, I1, truth = arguments = row.make(Setup(quick=True))
    N, H, W = I0.shape
    y, x = np.indices((H, W))
    u, far = np.empty((2, N, H, W, 2))
    errors = []
    for n, (right, down) in enumerate(truth):
        inside = (0 <= y + down) & (y + down < H) & (0 <= x + right) & (x + right < W)
        np.testing.assert_array_equal(I1[n][y[inside] + down, x[inside] + right], I0[n][inside])
        u[n] = np.where(inside[..., None], (right + 3, down - 4), 1e3)
        far[n] = np.stack([right + x, down + 0 * x], axis=-1)  # off by more, the further at the right
        errors.append(x[inside].mean())
    assert row.note_on(arguments, {"u": far}) == f"error {np.mean(errors):.3f} at 5 px"
    assert len(set(truth)) == 4 and {np.hypot(*motion) for motion in truth} == {5}
    assert row.note_on(arguments, {"u": u}) == "error 5.000 at 5 px"
    u -= 3, -4
    assert row.note_on(arguments, {"u": u}, {"u": u + (0, 0.5)}) == "error 0.000 at 5 px; theirs error 0.500 at 5 px"


def test_what_two_flows_are_worth():
    """On grey frames only what differs within a flow costs anything: a ramp, not a flow that is the same everywhere."""
    (row,) = [row for row in ROWS if row.name == "tvl1"]
    I0, ours, theirs = np.full((3, 6, 8), 100.0), np.zeros((3, 6, 8, 2)), np.zeros((3, 6, 8, 2))
    theirs[0, ..., 0], theirs[1:] = 0.5 * np.arange(8), (3, 4)
    ramp, apart = 0.5 * 7 / 8, (0.5 * 3.5 + 5 + 5) / 3
    assert row.note_on((I0, I0), {"u": theirs}) == f"energy {ramp / 3:.4f}"
    told = row.note_on((I0, I0), {"u": ours}, {"u": theirs})
    assert told == f"energy 0.0000, theirs {ramp / 3:.4f}, lower in 1 of 3 pairs; {apart:.2f} pixels apart"
