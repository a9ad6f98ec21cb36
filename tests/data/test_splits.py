"""Official lists with their traps, the folder layout, and groups that stay on one side."""

import numpy as np
import pytest

from snippets.data.layouts.splits import Split, Video, check_groups, group_of, read_skip, split_by_group
from snippets.data.layouts.table import VideoFolder
from snippets.data.layouts.ucf101 import COUNTS, list_ucf101, read_classes, read_fold, read_list


def make_ucf(root, lists=None):
    """Two classes, groups 1-3, fold k tests group k; empty files stand for videos, lists have CRLF ends."""
    lists = lists or root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    classes = ["Zebra", "Apple"]  # not in alphabetical order: the numbers come from classInd.txt
    (lists / "classInd.txt").write_bytes(b"1 Zebra\r\n2 Apple\r\n")
    names = {(g, c): f"{c}/v_{c}_g{g:02d}_c01.avi" for g in (1, 2, 3) for c in classes}
    for name in names.values():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for fold in (1, 2, 3):
        train = "".join(f"{n} {classes.index(c) + 1}\r\n" for (g, c), n in names.items() if g != fold)
        test = "".join(f"{n}\r\n" for (g, _), n in names.items() if g == fold)
        (lists / f"trainlist0{fold}.txt").write_bytes(train.encode())
        (lists / f"testlist0{fold}.txt").write_bytes(test.encode() + b"\r\n")
    return lists


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_official_lists(shared, fold):
    classes, train, test = read_fold(shared / "ucfTrainTestlist", fold)
    assert (len(train), len(test)) == COUNTS[fold]
    assert (len(classes), classes[0], classes[100]) == (101, "ApplyEyeMakeup", "YoYo")
    assert {label for _, label in train} == {label for _, label in test} == set(range(101))
    assert all(name.startswith(classes[label] + "/") and name.endswith(".avi") for name, label in train + test)
    trap = [(name, label) for name, label in train + test if "HandStandPushups" in name]
    assert len(trap) > 100 and all(classes[label] == "HandstandPushups" for _, label in trap)
    videos = [[Video(None, label, name, group_of(name)) for name, label in side] for side in (train, test)]
    assert all(v.group.partition("/")[2].startswith("g") for side in videos for v in side)
    check_groups(Split(classes, *videos))
    assert len({name for name, _ in train + test}) == 13320


def test_official_lists_with_a_line_missing(shared, tmp_path):
    for file in (shared / "ucfTrainTestlist").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lines = (tmp_path / "testlist02.txt").read_text().splitlines()
    (tmp_path / "testlist02.txt").write_text("\n".join(lines[1:]))
    with pytest.raises(
        ValueError, match="fold 2 lists 9586 training and 3733 test videos, but UCF-101 has 9586 and 3734"
    ):
        read_fold(tmp_path, 2)


@pytest.mark.parametrize("place", ["in", "beside"])
def test_load_ucf101(tmp_path, place):
    root = tmp_path / "videos"
    make_ucf(root, tmp_path / "ucfTrainTestlist" if place == "beside" else None)
    classes, train, test = VideoFolder(root).load(fold=2)
    assert classes == ["Zebra", "Apple"]
    assert [v.name for v in test] == ["Zebra/v_Zebra_g02_c01.avi", "Apple/v_Apple_g02_c01.avi"]
    assert [v.label for v in test] == [0, 1]
    assert {v.group for v in train} == {f"{c}/g0{g}" for c in classes for g in (1, 3)}
    assert all(v.path == root / v.name for v in train + test)
    with pytest.raises(ValueError, match="fold is 4, expected one of 1 to 3"):
        VideoFolder(root).load(4)


def test_missing_videos(tmp_path):
    make_ucf(tmp_path)
    (tmp_path / "Apple/v_Apple_g01_c01.avi").unlink()
    (tmp_path / "Zebra/v_Zebra_g02_c01.avi").unlink()
    with pytest.raises(FileNotFoundError, match=r"v_Zebra_g02_c01.avi: listed in .* \(missing: 2 of 6 videos\)"):
        VideoFolder(tmp_path).load()
    (tmp_path / "skip.txt").write_text("# lost\r\n Zebra/v_Zebra_g02_c01.avi \r\n\r\nApple/v_Apple_g01_c01.avi\n")
    _, train, test = VideoFolder(tmp_path).load(skip=read_skip(tmp_path / "skip.txt"))
    assert (len(train), len(test)) == (3, 1)
    with pytest.raises(ValueError, match="skip list: Apple/typo.avi is not in the lists of fold 1"):
        VideoFolder(tmp_path).load(skip=["Apple/typo.avi"])
    with pytest.raises(FileNotFoundError, match="no ucfTrainTestlist/classInd.txt in it or beside it"):
        list_ucf101(tmp_path / "Apple" / "deeper", 1, (), [])


@pytest.mark.parametrize(
    "lines, message",
    [
        ("Pear/v_Pear_g01_c01.avi 1", "class Pear of Pear/v_Pear_g01_c01.avi is not among the 2 of classInd.txt"),
        ("Apple/a.avi 1", "Apple/a.avi has number 1, but Apple is 2 in classInd.txt"),
        ("Apple/a.avi 2\nApple/a.avi 2", "Apple/a.avi is listed twice"),
        ("a.avi", "found line 'a.avi', expected 'Class/video.avi"),
    ],
)
def test_bad_lists(tmp_path, lines, message):
    (tmp_path / "trainlist01.txt").write_text(lines)
    with pytest.raises(ValueError, match=message):
        read_list(tmp_path / "trainlist01.txt", ["Zebra", "Apple"])


@pytest.mark.parametrize(
    "text, message",
    [
        ("0 Zebra\n1 Apple\n", "line 1 is '0 Zebra', expected '1 ClassName'"),
        ("1 Zebra\n3 Apple\n", "line 2 is '3 Apple', expected '2 ClassName'"),
        ("1 Zebra\n2 Zebra\n", "class Zebra is listed twice"),
        ("", "line 1 is 'nothing'"),
    ],
)
def test_bad_class_index(tmp_path, text, message):
    (tmp_path / "classInd.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_classes(tmp_path)


def test_group_on_both_sides(tmp_path):
    lists = make_ucf(tmp_path)
    (tmp_path / "Apple/v_Apple_g01_c02.avi").touch()
    with open(lists / "trainlist01.txt", "a") as file:
        file.write("Apple/v_Apple_g01_c02.avi 2\n")
    with pytest.raises(ValueError, match="group Apple.g01 is on both sides .*g01_c02.avi trains.*g01_c01.avi"):
        VideoFolder(tmp_path).load(1)
    VideoFolder(tmp_path).load(2)  # there the two clips are on one side


def test_one_video_on_both_sides():
    video = Video(None, (0, 1), "x", "x")
    with pytest.raises(ValueError, match="x is on both sides of the split .such videos: 1."):
        check_groups(Split(["a", "b", "c"], [video], [video._replace(label=(2,))]))


def test_available_videos_are_those_that_are_there(tmp_path):
    make_ucf(tmp_path)
    (tmp_path / "Apple/v_Apple_g01_c01.avi").unlink()
    with pytest.raises(FileNotFoundError, match="missing: 1 of 6 videos.*--available"):
        VideoFolder(tmp_path).load()
    _, train, test = VideoFolder(tmp_path).load(available=True)
    assert (len(train), [v.name for v in test]) == (4, ["Zebra/v_Zebra_g01_c01.avi"])


def test_group_names():
    assert group_of("Archery/v_Archery_g07_c01.avi") == "Archery/g07"
    assert group_of("my_g1rl.avi") == "my_g1rl.avi"


def test_split_by_group():
    """Groups whole, each tested in exactly one fold; the same split whatever the order, another for another seed."""
    videos = [Video(None, k, f"{k}/{g}/{c}", f"g{g}") for k in (0, 1) for g in range(8) for c in range(3)]
    tests = []
    for fold in (1, 2, 3):
        split = split_by_group(videos, ["a", "b"], fold)
        check_groups(split)
        assert sorted(split.train + split.test) == sorted(videos)
        assert {v.label for v in split.test} == {0, 1}
        shuffled = [videos[i] for i in np.random.default_rng(fold).permutation(len(videos))]
        assert set(split_by_group(shuffled, ["a", "b"], fold).test) == set(split.test)
        tests += split.test
    assert sorted(tests) == sorted(videos)
    assert split_by_group(videos, ["a", "b"], seed=1).test != split_by_group(videos, ["a", "b"], seed=0).test
    with pytest.raises(ValueError, match="class b has 1 group of clips, expected at least 2"):
        split_by_group([v for v in videos if v.label == 0 or v.group == "g0"], ["a", "b"])


def test_load_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        VideoFolder(tmp_path / "none").load()
    with pytest.raises(ValueError, match="two folders or more, one per class, with videos in each; found none"):
        VideoFolder(tmp_path).load()
    for name in ("run", "jump"):
        (tmp_path / name).mkdir()
        for i in range(4):
            (tmp_path / name / f"{i}.MP4").touch()
        (tmp_path / name / "notes.txt").touch()
    (tmp_path / ".cache").mkdir()
    classes, train, test = VideoFolder(tmp_path).load()
    assert classes == ["jump", "run"]
    assert len(train) + len(test) == 8 and {v.label for v in train} == {v.label for v in test} == {0, 1}
    assert all(classes[v.label] == v.path.parent.name for v in train + test)
    _, train, test = VideoFolder(tmp_path).load(skip=["run/2.MP4"])
    assert len(train) + len(test) == 7
    with pytest.raises(ValueError, match="skip list: run/9.MP4 is not among the 8 videos"):
        VideoFolder(tmp_path).load(skip=["run/9.MP4"])
    (tmp_path / "walk").mkdir()
    with pytest.raises(ValueError, match=r"walk: no videos \(.avi, "):
        VideoFolder(tmp_path).load()
