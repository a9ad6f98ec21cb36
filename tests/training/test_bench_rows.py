"""The sizes of the benchmark's rows: what docs/performance.md says that each of them measures."""

from pathlib import Path

import numpy as np
import pytest

from snippets.data.video import read_frames
from snippets.nets.googlenet import googlenet
from snippets.training.bench import rows
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


def arguments(name, **setup):
    (row,) = [row for row in ROWS if row.name == name]
    return row.make(Setup(**setup))


def test_layers_are_those_of_the_networks():
    """Convolutions with their ReLU, GoogLeNet's normalisation; the first layer of a network sends no gradient on."""
    for row in (row for row in ROWS if row.name.startswith("conv-") and row.name != "conv-pooling-head"):
        layer = row.make(Setup(quick=True))[0]
        assert layer.relu and layer.pad == "same" and layer.input_grad == (row.name not in ("conv-7x7", "conv-11x11"))
        assert layer.stride == {"conv-7x7": 2, "conv-11x11": 4}.get(row.name, 1)
    layers = dict(googlenet(np.random.default_rng(0), 0.1).layers)
    assert arguments("lrn", quick=True)[0].options == layers["norm1"].options
    for name, window in (("max-pool-2", (3, 2)), ("max-pool-1", (3, 1))):
        layer = arguments(name, quick=True)[0]
        assert (layer.size, layer.stride) == window
    assert arguments("dropout", quick=True)[0].p == 0.6


def test_both_sides_compute_the_same_numbers():
    """No dropout in a head; the same weights and inputs each time, float32, and none of them zero."""
    names = (
        "googlenet-forward conv-1x1 linear conv-pooling-head lstm-8x30 softmax-loss sgd step-conv step-lstm video-300"
    )
    for row in (row for row in ROWS if row.name in names.split()):
        first, second = (row.make(Setup(quick=True)) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            for one, other in zip(arrays_of(a), arrays_of(b), strict=True):
                np.testing.assert_array_equal(one, other)
        if row.name.startswith(("step", "video")):
            heads = (layer for name, layer in first[0].layers.items() if name != "tower")
            assert not any(getattr(layer, "p", 0) for layer in heads), row.name
        for a in first:
            if isinstance(a, np.ndarray) and a.ndim > 1:
                assert a.dtype == np.float32 and a.std() == pytest.approx(1, abs=0.2) and (a != 0).all(), row.name


def arrays_of(a):
    """The arrays of an argument: its own, a layer's parameters, a dict's values."""
    params = a if isinstance(a, dict) else getattr(a, "params", None)
    return [a] if isinstance(a, np.ndarray) else list((params or {}).values())


def test_labels_are_different_classes():
    for quick, count in ((True, 2), (False, 32)):
        assert arguments("softmax-loss", quick=quick)[1].tolist() == list(range(count))


def test_clips_that_are_rendered_for_decoding(tmp_path):
    """As many, as long and as large as the mini data set's, each of its own; what is there is not rendered again."""
    paths, length, size = arguments("decode", quick=True, folder=str(tmp_path))
    assert [path.name for path in paths] == ["rendered0.avi", "rendered1.avi"] and (length, size) == (4, 27)
    frames = [np.stack(list(read_frames(path))) for path in paths]
    assert frames[0].shape == frames[1].shape == (16, 32, 32, 3) and (frames[0] != frames[1]).mean() > 0.5
    before = [path.read_bytes() for path in paths]
    paths[1].unlink()
    paths[0].write_bytes(b"kept")
    arguments("decode", quick=True, folder=str(tmp_path))
    assert [path.read_bytes() for path in paths] == [b"kept", before[1]]


def test_sizes_of_clips_that_are_rendered(tmp_path, monkeypatch):
    """Four of 48 frames at 256 pixels, from which crops of 220 are cut; each of another group and another draw."""
    painted, written = [], []
    monkeypatch.setattr(rows, "look_of", lambda *how: how)
    monkeypatch.setattr(
        rows, "paint_clip", lambda name, look, rng, *size: painted.append((name, look, rng.random(), *size))
    )
    monkeypatch.setattr(rows, "write_avi", lambda path, pixels: written.append(path.name))
    paths, length, size = arguments("decode", folder=str(tmp_path))
    draws = [np.random.default_rng(n).random() for n in range(4)]
    assert painted == [("BallRising", ("BallRising", 0, n), draws[n], 48, 256) for n in range(4)]
    assert written == [path.name for path in paths] and (length, size) == (30, 220)


@pytest.mark.parametrize("clips", [None, "films"])
def test_pairs_of_frames_are_from_the_middle(clips, monkeypatch, tmp_path):
    """Of three classes, or of each video at 15 frames a second; grey, cut or scaled to the size that is asked for."""
    shades = np.arange(16, dtype=np.uint8)[:, None, None, None] * np.ones((1, 40, 40, 3), np.uint8)
    asked = []
    monkeypatch.setattr(rows, "look_of", lambda *how: how)
    monkeypatch.setattr(rows, "paint_clip", lambda name, look, rng, *size: asked.append((name, look, *size)) or shades)
    monkeypatch.setattr(rows, "read_frames", lambda path, *how: asked.append((path, *how)) or iter(shades[:7, :30]))
    monkeypatch.setattr(rows, "real", lambda setup: (["a", "b"], 30, 220))
    pairs = rows.grey_pairs(Setup(clips=clips), (30, 40))
    names = ("SquareDance", "BallRising", "CardSun")
    assert asked == (
        [(name, (name, 0, 1), 16, 40) for name in names] if clips is None else [(n, 15, (30, 40)) for n in "ab"]
    )
    first = 6 if clips is None else 2  # the middle of seven
    assert pairs.shape == (len(asked), 2, 30, 40)
    np.testing.assert_allclose(pairs[:, 0], first, rtol=1e-3)
    np.testing.assert_allclose(pairs[:, 1], first + 1, rtol=1e-3)


def test_windows_are_moved_by_sizes_in_four_directions(monkeypatch):
    """By 5 to 40 pixels, over frames that are larger by the largest motion on all sides, in turn."""
    asked = []

    def pairs(setup, size):
        asked.append(size)
        return np.arange(3)[:, None, None, None] * 1e6 + np.arange(np.prod(size)).reshape(1, 1, *size) * np.ones(
            (1, 2, 1, 1)
        )

    monkeypatch.setattr(rows, "grey_pairs", pairs)
    I0, I1, truth = arguments("tvl1-pan")
    assert asked == [(320, 400)] and I0.shape == I1.shape == (24, 240, 320)
    assert truth == [
        (a * k // 5, b * k // 5) for k in (5, 10, 15, 20, 30, 40) for a, b in ((5, 0), (0, -5), (-4, 3), (3, 4))
    ]
    for n, (right, down) in enumerate(truth):
        corner = n % 3 * 1e6 + 40 * 400 + 40
        assert I0[n, 0, 0] == corner and I1[n, 0, 0] == corner - 400 * down - right


def test_flow_of_a_smoke_test_is_small():
    for name, count in (("tvl1", 1), ("tvl1-pan", 4)):
        I0, I1, *_ = arguments(name, quick=True)
        assert I0.shape == I1.shape == (count, 24, 32) and I0.std() > 5 and (I0 != I1).mean() > 0.3
