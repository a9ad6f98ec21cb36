"""Limits of data, each by its number: what is just inside is taken, what is just outside is refused or told."""

import io
import json
import struct
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from films import film, numbered
from imageio.v3 import imwrite
from numpy.lib import format as npy

from snippets.data import files
from snippets.data.augment import Crop, centre_crop, random_crop, window
from snippets.data.decoder import Decoder
from snippets.data.features import load_features, save_features, unit_vectors
from snippets.data.files import read_npz, write_figure, write_json, write_npz
from snippets.data.flow.images import FlowDecoder
from snippets.data.flow.truth import read_flow
from snippets.data.flow.tvl1 import tvl1
from snippets.data.flow.warp import median, warp
from snippets.data.layouts.hmdb51 import list_hmdb51
from snippets.data.layouts.splits import Video
from snippets.data.lock import one_run
from snippets.data.mini import make as mini
from snippets.data.open import DataSettings, DataSpec
from snippets.data.options import Range, check
from snippets.data.store.store import Store


class Reached(Exception):
    """Everything was checked, and work would begin."""


def test_the_smallest_crops_clips_and_frames(rng):
    assert centre_crop(5, 4, 1) == Crop(2, 1, 1, False) and random_crop(1, 1, 1, rng)[:3] == (0, 0, 1)
    for height, width, size in ((4, 4, 0), (3, 4, 4), (4, 3, 4)):
        for crop in (centre_crop, partial(random_crop, rng=rng)):
            told = f"a crop of {size}x{size} pixels does not fit into frames of {height}x{width}"
            with pytest.raises(ValueError, match=told):
                crop(height, width, size)
    assert window(1, 1).tolist() == [0]
    for length, frames in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match=f"of {frames} frames from a video of {length}"):
            window(length, frames)
    assert Decoder(1).shape == (1, 1, 3) and tvl1(*np.zeros((2, 1, 4, 4), np.float32)).shape == (1, 4, 4, 2)
    with pytest.raises(ValueError, match="side is 0"):
        Decoder(0)
    for shape in ((1, 3, 4), (1, 4, 3), (4, 4)):
        with pytest.raises(ValueError, match="4x4 at least"):
            tvl1(*np.zeros((2, *shape), np.float32))
    assert FlowDecoder(8, 15, flow_fps=15.0).rate == 15
    for fps, flow_fps in ((15.1, 15.0), (0, 15.0), (None, 0.0)):
        with pytest.raises(ValueError, match="expected no more images than frames"):
            FlowDecoder(8, fps, flow_fps=flow_fps)
    assert DataSettings(seconds=0.2, fps=5).limit == 1 and DataSettings(seconds=0.5, fps=5.2).limit == 3
    with pytest.raises(ValueError, match="the first 0.19 seconds at 5 frames per second: expected --fps, and one"):
        DataSettings(seconds=0.19, fps=5).limit  # noqa: B018


def test_names_of_stores_and_locks(tmp_path):
    """The sources' parameters, and as much of a long name as fits into a name with something more."""
    assert [source.name for source in (Decoder(8), Decoder(8, 2.5, 3), FlowDecoder(8, 1, picture_fps=9))] == [
        "8px_native", "8px_2.5fps_first3", "8px_1fps_pictures9fps_flow",
    ]  # fmt: skip
    folder = tmp_path / ("n" * 70)
    folder.mkdir()
    assert DataSpec(folder, 55, cache=tmp_path).source().root.name.rpartition("-")[0] == "n" * 60
    film(tmp_path / "a.avi", [numbered(0)])
    store, lengths = Store(tmp_path / "cache", Decoder(8)), {}
    for length in (200, 201):
        store.frames(Video(tmp_path / "a.avi", 0, "v" * length, ""))
    assert sorted(len(path.stem) for path in store.folder.glob("*.npy")) == [64, 200]
    for length in (199, 200):
        with one_run(tmp_path / ("n" * length), file=True):
            (lengths[length],) = (len(path.name) for path in tmp_path.glob(".*.lock"))
    assert lengths == {199: 1 + 199 + 5, 200: 1 + 8 + 5}


def bomb(path, size, extra=0):
    """A zip file of `extra` bytes more whose table says that it unpacks to `size`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", bytes(100 + extra))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, size)
    path.write_bytes(data)


def test_what_is_a_bomb(tmp_path, monkeypatch):
    """Over 268 MB, and over 500 times its file."""
    for size in (1 << 28, (1 << 28) + 1):
        bomb(tmp_path / "a.npz", size)
        with pytest.raises(ValueError) as caught:
            read_npz(tmp_path / "a.npz", ("a",))
        assert ("would unpack to 0.3 GB, over 500 times" in str(caught.value)) == (size > 1 << 28)
    monkeypatch.setattr(files, "LARGE", 0)
    length = (tmp_path / "a.npz").stat().st_size
    for size in (500 * length, 500 * length + 1):
        bomb(tmp_path / "a.npz", size)
        with pytest.raises(ValueError) as caught:
            read_npz(tmp_path / "a.npz", ("a",))
        assert ("would unpack" in str(caught.value)) == (size > 500 * length)


def test_headers_of_both_versions_and_how_files_are_written(tmp_path, monkeypatch):
    """NumPy writes version 2 for long headers; text is written character by character, archives packed on demand."""
    for version in ((1, 0), (2, 0)):
        content = io.BytesIO()
        npy.write_array(content, np.arange(3.0), version)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("a.npy", content.getvalue())
        assert read_npz(tmp_path / "a.npz", ("a",))["a"].tolist() == [0, 1, 2]
    write_json(tmp_path / "a.json", {"a": [1, float("inf")]})
    assert (tmp_path / "a.json").read_text() == '{\n "a": [\n  1,\n  null\n ]\n}\n'
    sizes = []
    for compress in (True, False):
        write_npz(tmp_path / "b.npz", {"b": np.zeros(5000, np.uint8)}, compress)
        sizes.append((tmp_path / "b.npz").stat().st_size)
    assert sizes[0] < 1000 and 5000 < sizes[1] < 6000
    figure = SimpleNamespace(savefig=lambda file, **options: file.write(repr(options).encode()))
    for name, kind in (("a.svg", "svg"), ("a", "png")):
        write_figure(tmp_path / name, figure, dpi=7)
        assert (tmp_path / name).read_text() == f"{{'format': '{kind}', 'dpi': 7}}"


def test_the_largest_and_the_smallest_features(tmp_path):
    feat = np.ones((2, 1, 2))
    for largest in (1e15, 1.01e15):
        feat[1, 0, 1] = -largest / 2
        if largest == 1e15:
            save_features(tmp_path / "f.npz", feat, [1, 2], [0, 1], scale=2)
            assert load_features(tmp_path / "f.npz")[1].whole_video(0).tolist() == [[2, pytest.approx(-1e15)]]
        else:
            with pytest.raises(ValueError, match=r"values up to 1.01e\+15, expected numbers, not all zero, of at most"):
                save_features(tmp_path / "f.npz", feat, [1, 2], [0, 1], scale=2)
    for dtype in (np.float32, np.int8, np.uint8):
        with pytest.raises(ValueError, match="feat . scale holds nothing but zeros"):
            save_features(tmp_path / "f.npz", np.zeros((2, 1, 2), dtype), [1, 2], [0, 1])
    for least in (-(10**15), -(10**15) - 10**13):
        whole = np.array([[[least, 0]], [[1, 0]]])
        if least == -(10**15):
            save_features(tmp_path / "f.npz", whole, [1, 2], [0, 1])
        else:
            with pytest.raises(ValueError, match=r"values up to 1.01e\+15"):
                save_features(tmp_path / "f.npz", whole, [1, 2], [0, 1])
    small = unit_vectors(np.full((1, 4), 1e-6))
    np.testing.assert_allclose(small, np.sqrt(0.5), rtol=1e-9)  # mean square 1e-12, as much as is added to it


def test_numbers_at_the_ends_of_their_range():
    """A least and a most are allowed, what is above or below a limit is not the limit itself; True is no number."""
    for within, inside, outside, told in (
        (Range(1, 3), (1, 3), (0.99, 3.01), "at least 1 and at most 3"),
        (Range(above=0, below=1), (0.01, 0.99), (0, 1), "more than 0 and less than 1"),
        (Range(), (-1e300, 1e300, np.inf, -np.inf), (), ""),
    ):
        assert [x for x in (*inside, *outside) if x in within] == list(inside) and str(within) == told
        for x in outside:
            with pytest.raises(ValueError, match=f"^n is {x}, expected {told}$"):
                check("n", x, within)
    check("n", 1.5, Range(1, 3))
    check("n", np.int64(2), Range(1, 3), whole=True)
    for value, whole, told in (
        (1.5, True, "a whole number, at"),
        (True, True, "a whole number"),
        (True, False, "a num"),
    ):
        with pytest.raises(ValueError, match=f"n is {value}, expected {told}"):
            check("n", value, Range(1, 3), whole)


def test_files_of_flow_at_their_limits(tmp_path):
    for W in (32768, 32769):
        (tmp_path / "a.flo").write_bytes(b"PIEH" + struct.pack("<ii", W, 1) + bytes(8 * W))
        if W == 32768:
            assert read_flow(tmp_path / "a.flo")[0].shape == (1, W, 2)
        else:
            with pytest.raises(ValueError, match="does not begin with PIEH, a width and a height"):
                read_flow(tmp_path / "a.flo")
    values = struct.pack("<6f", 0, -9.9e8, 1.0e9, 0, 0, -1.01e9)
    (tmp_path / "a.flo").write_bytes(b"PIEH" + struct.pack("<ii", 3, 1) + values)
    assert read_flow(tmp_path / "a.flo")[1].tolist() == [[True, False, False]]
    imwrite(tmp_path / "a.png", numbered(0))
    with pytest.raises(ValueError, match="a.png: pixels are rgb24, expected KITTI's true flow"):
        read_flow(tmp_path / "a.png")
    assert tvl1(*np.zeros((2, 0, 5, 6))).shape == (0, 5, 6, 2)


def test_hmdb51_without_its_split_files(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no \*_test_split\S+ in it or beside it; put the split files there"):
        list_hmdb51(tmp_path, 1, (), [])


def test_a_set_is_hmdb51_by_its_classes_and_held_to_its_numbers(tmp_path):
    """51 classes, the first of them brush_hair: 70 videos train and 30 test of each."""
    lines = [f"{n}.avi {1 if n < 70 else 2}" for n in range(100)] + ["100.avi 0"]
    for n in range(51):
        (tmp_path / f"{f'z{n}' if n else 'brush_hair'}_test_split1.txt").write_text("\n".join(lines))
    split, one = list_hmdb51(tmp_path, 1, (), []), tmp_path / "z1_test_split1.txt"
    assert (len(split.classes), len(split.train), len(split.test)) == (51, 3570, 1530)
    for fewer, train, test in ((lines[1:], 3569, 1530), (lines[:-2], 3570, 1529)):
        one.write_text("\n".join(fewer))
        told = f"fold 1 lists {train} training and {test} test videos, but HMDB51 has 3570 and 1530; get"
        with pytest.raises(ValueError, match=told):
            list_hmdb51(tmp_path, 1, (), [])
    one.rename(tmp_path / "a_test_split1.txt")  # another set of 51 classes
    assert len(list_hmdb51(tmp_path, 1, (), []).test) == 1529
    (tmp_path / "a_test_split1.txt").unlink()  # and one of 50
    assert len(list_hmdb51(tmp_path, 1, (), []).test) == 1500


def test_the_mini_data_sets_numbers(tmp_path, monkeypatch):
    """The limits, each kept and each broken by one, and the defaults, by which folders know each other."""
    limits = {"seed": (0, 4294967295), "groups": (3, 99), "clips": (1, 99), "frames": (16, 9999), "side": (32, 1024)}

    def claim(root, wanted):
        raise Reached(wanted)

    monkeypatch.setattr(mini, "claim", claim)
    usual = {"version": 1, "seed": 0, "groups": 12, "clips": 2, "frames": 24, "side": 64}
    with pytest.raises(Reached) as caught:
        mini.make_mini(tmp_path)
    assert caught.value.args == (usual,)
    for name, (least, most) in limits.items():
        for value in (least, most):
            with pytest.raises(Reached) as caught:
                mini.make_mini(tmp_path, **{name: value})
            assert caught.value.args == (usual | {name: value},)
        for value in (least - 1, most + 1):
            with pytest.raises(ValueError, match=f"{name} is {value}, expected at least {least} and at most {most}"):
                mini.make_mini(tmp_path, **{name: value})
    with pytest.raises(Reached) as caught:
        mini.make_mini(tmp_path, **mini.QUICK)
    assert caught.value.args == (usual | {"groups": 9, "clips": 1},)


def test_mini_json(tmp_path):
    """What stands in a folder stays the same, or the folder is refused."""
    mini.claim(tmp_path / "a", {"version": 1, "seed": 0})
    assert Path(tmp_path / "a" / "mini.json").read_bytes() == json.dumps({"version": 1, "seed": 0}).encode() + b"\r\n"


def test_float32_stays_float32_on_its_way_through_warp_and_median():
    """One array of float64 among them and all that follow take twice the memory and time."""
    seen = set()

    class Noted(np.ndarray):
        def __array_finalize__(self, _):
            seen.add(self.dtype)

    u = np.random.default_rng(0).uniform(-2, 2, (2, 1, 6, 7)).astype(np.float32).view(Noted)
    warp(np.ones((1, 6, 7), np.float32), u)
    median(u)
    assert np.dtype(np.float32) in seen and np.dtype(np.float64) not in seen
