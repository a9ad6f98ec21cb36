"""The mini data set: files like UCF-101's, the same ones every time, and cues that are where the class table says."""

import itertools
import re
from collections import Counter
from functools import cache

import av
import imageio.v3 as iio
import numpy as np
import pytest

from snippets.data.mini import make as mini
from snippets.data.mini.make import CLASSES, KINDS, look_of, make_mini, paint_clip
from snippets.data.mini.scenes import OFF, ball, stages
from snippets.data.mini.sprites import Canvas

SMALL = {"groups": 3, "clips": 1, "frames": 16, "side": 32}
PAIRS = [
    ("BallApproaching", "BallReceding"),
    ("BallRising", "BallSinking"),
    ("CountingUp", "CountingDown"),
    ("LampRedGreenBlue", "LampBlueGreenRed"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three groups of two clips at full size, in a folder that did not exist."""
    return make_mini(tmp_path_factory.mktemp("mini") / "new", seed=3, groups=3)


@cache
def decode(root, name, group=1, clip=1):
    path = root / name / f"v_{name}_g{group:02d}_c{clip:02d}.avi"
    pixels = np.stack(list(iio.imiter(path, plugin="pyav")))
    pixels.flags.writeable = False  # kept for the next test
    return pixels


def bytes_of(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_four_kinds_have_four_classes_each_in_alphabetical_order():
    assert Counter(KINDS.values()) == dict.fromkeys(["appearance", "motion", "order", "moment"], 4)
    assert list(KINDS) == sorted(KINDS) and list(KINDS) == list(CLASSES)


def test_a_ball_that_has_risen_out_of_the_picture_comes_in_again_below():
    """In 48 frames it rises by more than the height of the picture, and is seen in each of them."""
    look = look_of("BallRising", 0, 1)
    canvas = Canvas(look, np.zeros((48, 2)), 32)
    empty = canvas.pixels.copy()
    ball(canvas, look, np.random.default_rng(0), "up")
    assert (abs(canvas.pixels - empty) > 0.1).any(axis=(1, 2, 3)).all()


def test_files_are_mpeg4_avi_of_independent_frames(root):
    clips = [path.read_bytes() for path in root.glob("*/v_*.avi")]
    assert len(clips) == len(set(clips)) == 16 * 3 * 2
    with av.open(str(root / "CardSun" / "v_CardSun_g02_c01.avi")) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        assert (container.format.name, codec.name, codec.codec_tag) == ("avi", "mpeg4", "XVID")
        assert stream.average_rate == 25
        frames = list(container.decode(stream))
    assert len(frames) == 24 and {(f.width, f.height) for f in frames} == {(64, 64)}
    assert {int(f.pict_type) for f in frames} == {1}  # I


def test_lists_are_ucf101s(root):
    lists = root / "ucfTrainTestlist"
    assert {p.name for p in lists.iterdir()} == {"classInd.txt"} | {
        f"{s}list0{k}.txt" for s in ("train", "test") for k in (1, 2, 3)
    }
    for path in lists.iterdir():
        data = path.read_bytes()
        assert data.endswith(b"\r\n") and data.count(b"\n") == data.count(b"\r\n")
    index = dict(line.split()[::-1] for line in (lists / "classInd.txt").read_text().splitlines())
    assert index == {name: str(label) for label, name in enumerate(sorted(KINDS), 1)}
    tested = []
    for k in (1, 2, 3):
        train = [line.split(" ") for line in (lists / f"trainlist0{k}.txt").read_text().splitlines()]
        test = (lists / f"testlist0{k}.txt").read_text().splitlines()
        assert all(index[path.split("/")[0]] == label for path, label in train)
        paths = [path for path, _ in train] + test
        assert sorted(paths) == sorted(p.relative_to(root).as_posix() for p in root.glob("*/*.avi"))
        groups = [
            {re.fullmatch(r"(\w+)/v_\1_(g\d\d)_c\d\d\.avi", path)[2] for path in side}
            for side in (paths[: len(train)], test)
        ]
        assert groups[1] == {f"g0{k}"} and not groups[0] & groups[1]
        tested += test
    assert sorted(tested) == sorted(paths)  # each clip tests in one fold


@pytest.mark.parametrize("groups, sizes", [(3, [1, 1, 1]), (7, [3, 2, 2])])
def test_folds_share_the_groups_out(tmp_path, groups, sizes):
    mini.write_lists(tmp_path / "lists", groups, clips=1)
    tests = [(tmp_path / "lists" / f"testlist0{k}.txt").read_text().split() for k in (1, 2, 3)]
    assert [len(t) for t in tests] == [16 * n for n in sizes]


def test_same_arguments_same_bytes_other_seed_other_clips(tmp_path):
    one = bytes_of(make_mini(tmp_path / "a", **SMALL, workers=1))
    many = bytes_of(make_mini(tmp_path / "b", **SMALL, workers=3))
    other = bytes_of(make_mini(tmp_path / "c", **SMALL, seed=1))
    assert one == many
    assert [p for p in one if p.suffix == ".avi" and one[p] == other[p]] == []
    clips = [data for path, data in one.items() if path.suffix == ".avi"]
    assert len(set(clips)) == len(clips)


def test_a_second_call_renders_nothing_and_an_interrupted_one_is_completed(tmp_path, monkeypatch):
    whole = bytes_of(make_mini(tmp_path / "whole", **SMALL))
    write, calls = mini.write_avi, []

    def fails_after_five(path, pixels):
        calls.append(path)
        if len(calls) > 5:
            raise InterruptedError
        write(path, pixels)

    monkeypatch.setattr(mini, "write_avi", fails_after_five)
    with pytest.raises(InterruptedError):
        make_mini(tmp_path / "cut", **SMALL, workers=1)
    assert len(list((tmp_path / "cut").rglob("*.avi"))) == 5
    monkeypatch.setattr(mini, "write_avi", write)
    assert bytes_of(make_mini(tmp_path / "cut", **SMALL)) == whole
    calls.clear()
    monkeypatch.setattr(mini, "write_avi", fails_after_five)
    assert bytes_of(make_mini(tmp_path / "cut", **SMALL)) == whole and not calls
    (tmp_path / "cut" / "StarDance" / "v_StarDance_g02_c01.avi").unlink()
    assert bytes_of(make_mini(tmp_path / "cut", **SMALL)) == whole and len(calls) == 1


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    pixels = np.zeros((4, 32, 32, 3), np.uint8)
    mini.write_avi(tmp_path / "whole.avi", pixels)
    frames = (image if t < 2 else np.zeros(0) for t, image in enumerate(pixels))  # the third frame cannot be encoded

    class Breaks(np.ndarray):
        def __iter__(self):
            return frames

    with pytest.raises(ValueError):
        mini.write_avi(tmp_path / "broken.avi", pixels.view(Breaks))
    assert [p.name for p in tmp_path.glob("*.avi")] == ["whole.avi"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    make_mini(tmp_path / "a", **SMALL)
    with pytest.raises(ValueError, match=r"mini\.json says frames 16 \(wanted: 20\), side 32 \(wanted: 48\): choose"):
        make_mini(tmp_path / "a", **SMALL | {"frames": 20, "side": 48})
    (tmp_path / "a" / "mini.json").write_text("not json")
    with pytest.raises(ValueError, match="does not hold the mini data set's parameters"):
        make_mini(tmp_path / "a", **SMALL)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="not empty"):
        make_mini(tmp_path / "b", **SMALL)
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "name, value",
    [("seed", -1), ("groups", 2), ("clips", 0), ("frames", 15), ("side", 63), ("side", 64.0), ("clips", 100)],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}, expected"):
        make_mini(tmp_path / "new", **{name: value})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("first, second", PAIRS)
def test_a_pair_is_one_clip_played_both_ways_bit_for_bit(root, first, second):
    for group in (1, 2, 3):
        forwards, backwards = decode(root, first, group), decode(root, second, group)
        np.testing.assert_array_equal(forwards, backwards[::-1])
        assert (forwards != backwards).any(), "a clip that is its own reversal tells nothing"


def test_compression_keeps_the_pictures(root):
    rng = np.random.default_rng([3, 3, CLASSES["SquareDance"][3], 2, 1])
    painted = paint_clip("SquareDance", look_of("SquareDance", 3, 2), rng)
    error = decode(root, "SquareDance", 2).astype(float) - painted
    assert abs(error.mean()) < 2 and abs(error).mean() < 8  # of 255; the colour planes have half the resolution


def ink(pixels):
    """(T, H): dark pixels in each row; of the ball's outline and hub, for the balls."""
    return (pixels.max(-1) < 50).sum(2).astype(float)


@pytest.mark.parametrize("group", [1, 2, 3])
def test_balls_rise_and_grow(root, group):
    """Two classes of each pair are each other's reversal, so testing one direction of each pair is enough."""
    rows = np.fft.rfft(ink(decode(root, "BallRising", group)))
    match = np.fft.irfft(rows[1:] * rows[:-1].conj()).sum(
        0
    )  # circular cross-correlation of adjacent frames, by shift down
    assert 64 - match.argmax() in (2, 3, 4)  # pixels up a frame
    size = ink(decode(root, "BallApproaching", group)).sum(1)
    assert (np.diff(size) > 0).sum() >= 16  # of 23; the others are the jumps back, and rounding


def lamp_colour(pixels):
    """(T,) 0 red, 1 green, 2 blue or OFF in the middle of the picture."""
    middle = pixels[:, 26:38, 26:38].mean((1, 2))
    return np.where(np.ptp(middle, axis=1) > 90, middle.argmax(1), OFF)


def test_lamps_show_red_then_green_then_blue_and_go_out_between(root):
    for group in (1, 2, 3):
        shown = lamp_colour(decode(root, "LampRedGreenBlue", group))
        lit = shown[shown != OFF]
        assert (np.diff(lit) >= 0).all() and set(lit) == {0, 1, 2}
        changes = np.flatnonzero(np.diff(shown))
        assert OFF in shown and all(OFF in shown[t : t + 2] for t in changes), "a colour follows another at once"


@pytest.mark.parametrize("frames", [16, 17, 18, 24, 25, 30, 120])
def test_two_thirds_of_a_clip_show_every_stage(frames):
    third = frames // 3
    for seed in range(50):
        shown = stages(np.random.default_rng(seed), frames)
        for start in range(third + 1):
            assert set(shown[start : start + frames - third]) == {OFF, 0, 1, 2}


MARKS = {  # most red, green and blue of a pixel of the mark, and least: nothing else on a card is like it
    "CardHeart": lambda r, g, b: (r > 190) & (g < 90) & (b < 90),
    "CardSun": lambda r, g, b: (r > 200) & (g > 160) & (b < 90),
    "CardLeaf": lambda r, g, b: (r < 90) & (g > 150) & (b < 100),
    "CardDrop": lambda r, g, b: (r < 90) & (g < 120) & (b > 190),
}


@pytest.mark.parametrize("name", MARKS)
def test_a_card_shows_its_mark_and_no_other_for_two_or_three_frames_in_any_two_thirds(root, name):
    for group in (1, 2, 3):
        for clip in (1, 2):
            pixels = decode(root, name, group, clip)[:, 20:42, 20:42].astype(int)  # inside the frame
            shown = {mark: f(*np.moveaxis(pixels, -1, 0)).sum((1, 2)) > 60 for mark, f in MARKS.items()}
            times = np.flatnonzero(shown.pop(name))
            assert len(times) in (2, 3) and np.ptp(times) == len(times) - 1
            assert times[-1] >= 8 and times[0] < 16
            assert not any(other.any() for other in shown.values())


@pytest.mark.parametrize("frames", [16, 17, 24, 31])
def test_marks_come_at_any_time_that_two_thirds_of_a_clip_cannot_miss(frames):
    third, starts = frames // 3, set()
    for seed in range(80):
        rng = np.random.default_rng(seed)
        red = MARKS["CardHeart"](
            *np.moveaxis(paint_clip("CardHeart", look_of("CardHeart", 0, 1), rng, frames, 32), -1, 0)
        )
        times = np.flatnonzero(red.sum((1, 2)) > 15)
        assert times[-1] >= third and times[0] < frames - third
        starts.add(int(times[0]))
    assert len(starts) > (frames - 2 * third) * 0.7


def test_dances_differ_in_the_actor_only(root):
    clips = [decode(root, name, 2).astype(int) for name in KINDS if KINDS[name] == "appearance"]
    corners = [np.concatenate([c[:, :8, :8], c[:, -8:, -8:]]) for c in clips]
    for a in range(4):
        for b in range(a):
            assert abs(corners[a] - corners[b]).mean() < 3
            assert (abs(clips[a] - clips[b]).mean(-1) > 60).sum((1, 2)).min() > 80  # pixels of each frame


def test_groups_look_different_and_casts_are_shared_as_the_table_says():
    casts = {name: cast for name, (_, _, _, cast, _) in CLASSES.items()}
    assert all(casts[a] == casts[b] for a, b in PAIRS)
    assert len({casts[name] for name in KINDS if KINDS[name] == "moment"}) == 4
    looks = {name: [look_of(name, 0, group) for group in range(1, 13)] for name in KINDS}
    for a, b in itertools.combinations(KINDS, 2):
        assert len(set(looks[a] + looks[b])) == (12 if casts[a] == casts[b] else 24)
        own_place = "moment" in (KINDS[a], KINDS[b])
        assert len({look.ground for look in looks[a] + looks[b]}) == (24 if own_place else 12)
    for part in ("colour", "ground", "waves"):
        values = np.array([np.ravel(getattr(look, part)) for look in looks["StarDance"]])
        assert np.median([abs(a - b).max() for a, b in itertools.combinations(values, 2)]) > 0.1
