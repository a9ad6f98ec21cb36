"""Known flow: painted pairs, files of true flow, and the errors that `snippets flow-error` prints."""

import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from imageio.v3 import imwrite

from snippets.data.flow.known import SCENES, affine, disc, known_pair, texture, turned
from snippets.data.flow.truth import end_point_error, read_flow
from snippets.training.bench.flow_truth import PEERS, measured, own_pair, painted, table
from snippets.training.bench.jobs import flow
from snippets.training.bench.peers import in_threads
from snippets.training.cli.main import main

SIZE = (48, 64)
FORMAT = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
SOUND = b"RIFF" + struct.pack("<I", 44) + b"WAVEfmt " + FORMAT + b"data" + struct.pack("<I", 8) + bytes(8)


def png16(path, pixels):
    """Writes a PNG of 16 bits per channel, (H, W, 3), byte by byte as its standard says."""
    H, W, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", W, H, 16, 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
            file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def flo(path, u):
    """Writes Middlebury's format."""
    H, W, _ = u.shape
    path.write_bytes(b"PIEH" + struct.pack("<ii", W, H) + u.astype("<f4").tobytes())


def test_pixels_arrive_where_the_truth_says():
    """Motion by whole pixels, so that the second frame can be looked up: also for the disc and what it hides."""
    rng = np.random.default_rng(0)
    pairs = [
        affine(SIZE, np.eye(2), np.array([5, -3]), rng), affine((49, 49), turned(90), np.zeros(2), rng),
        disc(SIZE, np.array([7, 2]), np.array([-2, 1]), rng),
    ]  # fmt: skip
    for pair in pairs:
        H, W = pair.I0.shape
        y, x = np.indices((H, W))
        target = np.rint(np.stack([y + pair.u[..., 1], x + pair.u[..., 0]])).astype(int)[:, pair.visible]
        assert 0.5 * H * W < pair.visible.sum() <= H * W
        np.testing.assert_allclose(pair.I1[tuple(target)], pair.I0[pair.visible], atol=1)  # 1: the edge of rounding


def test_the_disc_hides_its_background():
    """Of the background the pixels are hidden that the disc comes to cover, or that leave; the disc is not."""
    d, behind = np.array([10, 0]), np.array([0, 0])
    pair = disc(SIZE, d, behind, np.random.default_rng(1))
    y, x = np.indices(SIZE)
    y, x = y - (SIZE[0] - 1) / 2, x - (SIZE[1] - 1) / 2
    before, after = (np.hypot(y, x - k) <= 0.2 * SIZE[0] for k in (0, 10))
    np.testing.assert_array_equal(pair.visible, before | ~after)
    np.testing.assert_array_equal(pair.u[..., 0], 10 * before)


def test_a_texture_is_grey_and_shows_all_motion():
    values = [known_pair(name, SIZE, seed).I0 for seed in range(3) for name in SCENES]
    assert all(v.min() >= 0 and v.max() <= 255 and (v == np.rint(v)).all() and 10 < v.std() < 60 for v in values)
    f = texture(np.random.default_rng(0))
    assert f(np.zeros(2)) == f(np.zeros((5, 2)))[3]
    far = {name: known_pair(name, SIZE).u for name in SCENES}
    assert np.hypot(*far["shift by 30"][0, 0]) == pytest.approx(30)
    assert np.hypot(*far["zoom by 1.2"][0, 0]) == pytest.approx(0.2 * np.hypot(31.5, 23.5))
    assert not np.array_equal(known_pair("shift by 5", SIZE, 0).u, known_pair("shift by 5", SIZE, 1).u)


PAINTED = """
shift by 0.5 | -0.33 -0.38 105.16 19.39 105.86 18.90 713
shift by 2 | 1.54 -1.28 107.83 24.41 109.18 25.41 660
shift by 5 | 4.37 2.43 104.14 25.44 97.17 24.52 567
shift by 10 | 7.90 -6.13 124.80 32.84 146.46 32.09 408
shift by 20 | 14.84 -13.41 136.93 19.95 183.75 27.18 170
shift by 30 | -22.14 20.24 141.42 31.03 169.77 19.43 27
turn by 2° | 0.41 -0.53 157.86 27.60 158.00 27.75 712
turn by 10° | 2.23 -2.52 80.69 35.42 80.93 35.28 680
zoom by 1.05 | -0.78 -0.58 168.98 28.66 171.09 28.11 660
zoom by 1.2 | -3.10 -2.30 62.87 26.16 61.93 27.17 520
disc by 4 | 0.42 1.44 128.49 24.93 125.45 24.10 642
disc by 16 | 0.66 1.34 107.35 20.52 101.44 18.34 614
"""


def test_the_painted_pairs_are_those_that_are_written_down():
    """Those that the tables of errors are of: flow in a corner, mean and deviation of both frames, visible pixels."""
    for name, wanted in zip(SCENES, PAINTED.strip().splitlines(), strict=True):
        pair = known_pair(name, (24, 32))
        found = *pair.u[0, 0], pair.I0.mean(), pair.I0.std(), pair.I1.mean(), pair.I1.std(), pair.visible.sum()
        assert wanted.startswith(f"{name} | ")
        np.testing.assert_allclose(found, np.fromstring(wanted.split("|")[1], sep=" "), atol=0.01, err_msg=name)
    assert known_pair("disc by 4").I0.shape == (240, 320)
    assert affine((4, 5), np.eye(2), np.zeros(2), np.random.default_rng(0)).visible.all()  # to the edge
    far = texture(np.random.default_rng(0))(np.random.default_rng(1).uniform(-1e5, 1e5, (100_000, 2)))
    assert far.mean() == pytest.approx(128, abs=0.5) and far.std() == pytest.approx(40, abs=0.5)


def test_files_of_true_flow(tmp_path):
    rng = np.random.default_rng(0)
    u, known = rng.uniform(-40, 40, (6, 9, 2)).astype(np.float32), rng.random((6, 9)) < 0.7
    flo(tmp_path / "a.flo", np.where(known[..., None], u, [[[1e10, 3]]]))
    found, there = read_flow(tmp_path / "a.flo")
    np.testing.assert_array_equal(there, known)
    np.testing.assert_array_equal(found[known], u[known])
    png16(tmp_path / "a.png", np.dstack([np.rint(64 * u + 2**15), known]).astype(np.uint16))
    found, there = read_flow(tmp_path / "a.png")
    np.testing.assert_array_equal(there, known)
    np.testing.assert_allclose(found, u, atol=0.5 / 64)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.flo", b"PIEH\x01", "does not begin with PIEH"), ("a.flo", b"", "does not begin with PIEH"),
        ("a.flo", b"HIEP" + struct.pack("<ii", 1, 1) + bytes(8), "does not begin"),
        ("a.flo", b"PIEH" + struct.pack("<ii", -1, 1), "does not begin"),
        ("a.flo", b"PIEH" + struct.pack("<ii", 1, 0), "does not begin"),
        ("a.flo", b"PIEH" + struct.pack("<ii", 0, 1), "does not begin"),
        ("a.flo", b"PIEH" + struct.pack("<ii", 1, 32769) + bytes(8 * 32769), "does not begin"),
        ("a.flo", b"PIEH" + struct.pack("<ii", 2, 1) + bytes(8), "20 bytes, expected 28 for 2 x 1"),
        ("a.png", SOUND, "not a picture, or damaged"),
        ("a.png", b"\x89PNG", "not a picture, or damaged"), ("a.txt", b"", r"expected true flow in a \.flo"),
    ],
    ids=range(11),
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_flow(tmp_path / name)


def test_errors_are_those_of_loops():
    rng = np.random.default_rng(0)
    u, truth = rng.normal(size=(2, 3, 4, 2))
    expected = [[np.sqrt(((u[i, j] - truth[i, j]) ** 2).sum()) for j in range(4)] for i in range(3)]
    np.testing.assert_allclose(end_point_error(u, truth), expected, rtol=1e-12)
    pair = disc(SIZE, np.array([6, 0]), np.array([0, 2]), rng)
    off = np.zeros((*SIZE, 2))
    off[..., 0] = np.where(pair.visible, 0.5, 3)
    off[0, :8, 0] = 2
    by = {"right": lambda I0, I1: pair.u[None], "off": lambda I0, I1: (pair.u + off)[None]}
    found = measured([pair], by)
    assert found["right"] == (0, 0, 0) and pair.visible[0, :8].all()
    n = pair.visible.sum()
    assert found["off"] == pytest.approx(((0.5 * (n - 8) + 2 * 8) / n, 8 / n, 3))


def test_flow_of_painted_pairs_is_found():
    """Each kind of motion, once; over ten seeds errors are 0.06 pixels at most, half of the limit."""
    from snippets.data.flow.tvl1 import tvl1

    found = painted({"ours": tvl1}, seeds=1, size=(96, 128))
    for name in ("shift by 0.5", "shift by 2", "shift by 5", "turn by 2°", "zoom by 1.05", "disc by 4"):
        assert found[name]["ours"][0] < 0.12, (name, found[name])
    assert "shift by 0.5" in table(found)


def test_a_pair_of_ones_own(tmp_path, capsys):
    pair = affine(SIZE, np.eye(2), np.array([2, 1]), np.random.default_rng(0))
    files = [str(tmp_path / name) for name in ("0.png", "1.png")]
    for file, frame in zip(files, (pair.I0, pair.I1), strict=True):
        imwrite(file, np.repeat(frame[..., None], 3, -1).astype(np.uint8))
    flo(tmp_path / "u.flo", np.where(pair.visible[..., None], pair.u, 1e10))
    assert main(["flow-error", *files, str(tmp_path / "u.flo")]) == 0
    said = capsys.readouterr().out
    error = float(said.splitlines()[-1].split("|")[2].split()[0])
    assert error < 0.3 and "hidden" not in said and "nan" not in said
    assert measured([own_pair(*files, tmp_path / "u.flo")], {"still": lambda a, b: np.zeros((1, *SIZE, 2))}) == {
        "still": (pytest.approx(np.sqrt(5), rel=1e-5), 1.0, pytest.approx(np.nan, nan_ok=True))
    }
    flo(tmp_path / "small.flo", pair.u[1:])
    assert main(["flow-error", *files, str(tmp_path / "small.flo")]) == 1
    assert "64 x 48 pixels, expected 64 x 47 as in" in capsys.readouterr().err
    assert main(["flow-error", *files]) == 1 and "2 files, expected two pictures" in capsys.readouterr().err
    flo(tmp_path / "none.flo", np.full((*SIZE, 2), 1e10))
    assert main(["flow-error", *files, str(tmp_path / "none.flo")]) == 1
    assert "no pixel has a true flow" in capsys.readouterr().err


def test_options_of_flow_error(monkeypatch, capsys):
    """Another number of pairs, other TV-L1 parameters and a peer: each changes the table; an absent peer is named."""
    monkeypatch.setattr("snippets.training.bench.flow_truth.SCENES", ("shift by 2",))
    monkeypatch.setattr(known_pair, "__defaults__", ((24, 32), 0))
    monkeypatch.setattr(painted, "__defaults__", (3, (24, 32)))
    still = SimpleNamespace(
        missing=lambda device: "", counterparts=lambda device: {flow: in_threads(lambda a, b: np.zeros((*a.shape, 2)))}
    )
    monkeypatch.setitem(PEERS, "opencv", still)
    monkeypatch.setitem(PEERS, "scikit-image", SimpleNamespace(missing=lambda device: "skimage not installed"))

    def rows(*options):
        assert main(["flow-error", *options]) == 0
        return capsys.readouterr().out.splitlines()[3:]

    (usual,) = rows()
    assert usual.startswith("| shift by 2 |") and rows("--seeds", "3") == [usual] != rows("--seeds", "1")
    assert rows("--tvl1", "iterations=1,warps=1") != [usual]
    (beside,) = rows("--against", "opencv")
    assert beside.startswith(usual[:-2]) and "2.000 (100.0%" in beside
    assert main(["flow-error", "--against", "scikit-image"]) == 1
    assert "--against scikit-image: skimage not installed" in capsys.readouterr().err
