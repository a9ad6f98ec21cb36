"""Folders that are nearly of a layout: what they are taken for, and what is said of those that are of none."""

import pytest
from layout_folders import manifest, names, pictures, touched

from snippets.data.decoder import Decoder
from snippets.data.layouts.folder import find_parts
from snippets.data.layouts.splits import Split, Video, check_groups, check_present, only_present
from snippets.data.layouts.survey import check_dataset
from snippets.data.layouts.table import LAYOUTS, VideoFolder, is_data, layout_of
from snippets.data.layouts.ucf101 import read_classes
from snippets.data.listing import video_at

LOOSE = "and 2 videos (files, or folders of pictures) in no folder of a class"


@pytest.mark.parametrize(
    "files, found",
    [
        (["a/1.avi", "a/2.avi"], "only a"), (["a/1.avi", "1.avi", "2.avi"], f"only a, {LOOSE}"),
        (["1.avi", "2.avi"], f"none, {LOOSE}"), (["notes.txt"], "none"),
    ],
)  # fmt: skip
def test_fewer_than_two_classes(tmp_path, files, found):
    """One is enough where all are test videos."""
    folder = VideoFolder(touched(tmp_path, *files))
    with pytest.raises(ValueError) as caught:
        folder.listed(1)
    words = "expected two folders or more, one per class, with videos in each; found"
    assert str(caught.value) == f"{tmp_path}: {words} {found}"
    if found.startswith("only"):
        assert names(folder.listed("all").test) == [file for file in files if "/" in file]
    else:
        with pytest.raises(ValueError, match=found.split(",")[0]):
            folder.listed("all")


def test_parts_of_a_data_set(tmp_path):
    """A folder of training videos and another one; files do not count, nor do other folders."""
    for made, parts in (
        ("train/", None), ("TESTING/", ["train", "test"]), ("other/", ["train", "test"]), ("val", ["train", "test"]),
    ):  # fmt: skip
        (tmp_path / made).mkdir() if made.endswith("/") else (tmp_path / made).touch()
        found = find_parts(tmp_path)
        assert found == (parts and {"train": tmp_path / "train", "test": tmp_path / "TESTING"})
    (tmp_path / "train").rmdir()
    (tmp_path / "val").unlink()
    (tmp_path / "Valid").mkdir()
    assert find_parts(tmp_path) is None is find_parts(tmp_path / "none")


def test_what_is_a_data_set_and_what_is_one_video(tmp_path):
    touched(tmp_path, "d/a/1.avi")
    pictures(tmp_path / "v", range(3))
    assert [is_data(tmp_path / name) for name in ("d", "v", "d/a/1.avi", "none", "none.CSV")] == [
        True, False, False, False, True,
    ]  # fmt: skip


def test_a_listed_file_or_the_folder_of_its_pictures(tmp_path):
    touched(tmp_path, "both.avi", "file.avi", "both/1.png", "folder/1.png")
    (tmp_path / "broken.avi").symlink_to("nowhere")
    (tmp_path / "broken").mkdir()
    found = {name: video_at(tmp_path / f"{name}.avi").name for name in ("both", "file", "folder", "broken", "none")}
    assert found == {"folder": "folder"} | {name: f"{name}.avi" for name in found if name != "folder"}


def test_of_several_groups_or_videos_on_both_sides_the_first_is_named():
    train, test = ([Video(None, 0, f"{g}{side}", g) for g in "cab"] for side in "12")
    with pytest.raises(ValueError) as caught:
        check_groups(Split(["x"], train, test[1:]))
    words = "group a is on both sides of the split (a1 trains, a2 tests; such groups: 2); keep all clips of a group on"
    assert str(caught.value) == f"{words} one side"
    with pytest.raises(ValueError, match=r"^a1 is on both sides of the split \(such videos: 3\); take it off one"):
        check_groups(Split(["x"], train, train))


def test_videos_that_are_missing_are_counted(tmp_path):
    touched(tmp_path, "1.avi")
    one, two, three = (Video(tmp_path / f"{n}.avi", 0, str(n), str(n)) for n in (1, 2, 3))
    split = Split(["a"], [one, two], [three])
    assert only_present(split) == Split(["a"], [one], [])
    with pytest.raises(FileNotFoundError) as caught:
        check_present(split, "the list")
    assert str(caught.value).startswith(
        f"{two.path}: listed in the list, but no file is there (missing: 2 of 3 videos); get them, or name those"
    )


def test_where_missing_videos_are_listed(tmp_path):
    """The lists are named, and the fold if there are any."""
    root = manifest(tmp_path / "d", "path,label,split", "1.avi,a,train", "2.avi,b,test")
    with pytest.raises(FileNotFoundError, match=f"1.avi: listed in videos.csv of {root}, but"):
        VideoFolder(root).load(None)
    manifest(root, "path,label", *(f"{c}{n}.avi,{c}" for c in "ab" for n in (1, 2, 3)))
    with pytest.raises(FileNotFoundError, match=f"avi: listed in videos.csv of {root}, fold 2, but"):
        VideoFolder(root).load(2)
    with pytest.raises(FileNotFoundError, match=f"avi: listed in videos.csv of {root}, but"):
        VideoFolder(root).load("all", check=False)
    (root / "videos.csv").unlink()
    (touched(root, "a/1.avi", "a/2.avi", "b/1.avi") / "b" / "2.avi").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=f"b/2.avi: listed in {root}, fold 1, but"):
        VideoFolder(root).load()
    assert len(VideoFolder(root).load(check=False).train) < 4  # the caller says what is missing


@pytest.mark.parametrize("line, told", [("2", "'2'"), ("Apple", "'Apple'"), ("Apple pie", "'Apple pie'")])
def test_a_line_of_classes_without_number_or_name(tmp_path, line, told):
    (tmp_path / "classInd.txt").write_text(f"1 Zebra\n{line}\n")
    with pytest.raises(ValueError, match=f"line 2 is {told}, expected '2 ClassName'"):
        read_classes(tmp_path)


def test_a_video_that_is_none_of_youtubes(tmp_path):
    head = "label,youtube_id,time_start,time_end,split"
    for row in ("x,a/b,1,2,train", "x,aaaaaaaaaaa,1,,train", "x,aaaaaaaaaaa,-1,2,train"):
        root = manifest(tmp_path / "d", head, "y,bbbbbbbbbbb,1,2.5,test", row)
        with pytest.raises(ValueError, match=f"line 3: found {row[2:-6]}, expected a YouTube"):
            VideoFolder(root).listed(None)


def test_what_a_survey_can_say_of_headers(tmp_path):
    """A number of frames is declared of a whole video at its native rate."""
    root = touched(tmp_path, *(f"{c}/{n}.avi" for c in "ab" for n in (1, 2, 3)))
    for source, exact in ((None, True), (Decoder(), True), (Decoder(fps=25), False), (Decoder(limit=4), False)):
        survey = check_dataset(root, source, progress=False)
        assert survey.exact == exact == ("\nheader " in str(survey)) and survey.frames == 30


def test_layouts_that_whoever_published_a_data_set_made():
    """They say which clips are of one film; of others it is told if nothing does, and "all" reads every fold."""
    assert [(layout.name.split()[-1], layout.folds, layout.official) for layout in LAYOUTS] == [
        ("splits", (None,), False), ("manifest", (1, 2, 3), False), ("lists", (1, 2, 3), True),
        ("lists", (None,), True), ("files", (1, 2, 3), True), ("test", (None,), False), ("class", (1, 2, 3), False),
    ]  # fmt: skip
    assert layout_of("nowhere").name == "one folder per class" and layout_of("nowhere").defaults == {}
