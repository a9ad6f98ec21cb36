"""The layouts of data folders besides UCF-101, Sports-1M and manifests: parts, nested classes, HMDB51; and groups."""

import numpy as np
import pytest
from layout_folders import EXAMPLES, make_hmdb, names, touched

from snippets.data.features import load_features, save_features
from snippets.data.layouts.hmdb51 import find_split_files, list_hmdb51
from snippets.data.layouts.splits import Split, Video, check_groups, distinct, split_by_group
from snippets.data.layouts.table import VideoFolder, layout_of
from snippets.data.layouts.ucf101 import find_lists
from snippets.data.open import fold_for
from snippets.training.checkpoint import load
from snippets.training.cli.main import main
from snippets.training.cli.weights import read_labels
from snippets.training.predictions import load_predictions

SMALL = "--tower alexnet --size 36 --width 0.05 --fc 4 --head conv --frames 3 --batch 4 --epochs 1 --cache none".split()


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_train_and_features(name, tmp_path, capsys):
    """The whole way: the layout is named, nothing is wrong, and a network, its features and predictions know of it."""
    root, run = EXAMPLES[name](tmp_path / "data"), tmp_path / "run"
    assert main(["check-data", str(root), "--frames", "5"]) == 0
    text = capsys.readouterr().out
    assert (name if name != "pictures" else "one folder per class") in text.splitlines()[0]
    assert "nothing is wrong" in text and "short     0" in text
    assert ("no groups are known" in text) == (name not in ("a manifest", "HMDB51's split files"))
    assert ("6 videos are folders of pictures" in text) == (name == "pictures")
    assert main(["train", str(root), "--out", str(run), *SMALL]) == 0
    split = VideoFolder(root).load(fold_for(root))
    assert load(run / "checkpoint.npz").classes == split.classes and len(split.classes) == 2
    result = load_predictions(run / "predictions.npz").result
    assert (result.names, result.groups) == (names(split.test), [v.group for v in split.test])
    out = tmp_path / "f.npz"
    model = str(run / "checkpoint.npz")
    assert main(["features", str(root), "--model", model, "--count", "2", "--cache", "none", "--out", str(out)]) == 0
    train, test = load_features(out)
    assert test.classes == split.classes and (names(split.train), names(split.test)) == (train.names, test.names)
    assert train.labels.tolist() == [v.label for v in split.train] and test.groups == [v.group for v in split.test]
    assert main(["predict", model, str(split.test[0].path)]) == 0


def test_parts(tmp_path):
    root = touched(tmp_path, *(f"{p}/{c}/1.avi" for p in ("Train", "valid", "testing") for c in "ab"), "Train/c/2.avi")
    folder = VideoFolder(root)
    split = folder.load(None)
    assert split.classes == ["a", "b", "c"] and names(split.test) == ["testing/a/1.avi", "testing/b/1.avi"]
    reasons = {why for _, why in folder.ignored(v.path for v in split.train + split.test)}
    assert reasons == {"in no class folder, or of val beside test"}
    for name in ("testing/a/1.avi", "testing/b/1.avi"):
        (root / name).unlink()
    (root / "testing/a").rmdir()
    (root / "testing/b").rmdir()
    with pytest.raises(ValueError, match="testing: expected one folder per class"):
        VideoFolder(root).load(None)
    (root / "testing").rmdir()
    assert names(VideoFolder(root).load(None).test) == ["valid/a/1.avi", "valid/b/1.avi"]
    touched(root, "Train/a/v_a_g01_c01.avi", "valid/a/v_a_g01_c02.avi")
    with pytest.raises(ValueError, match="group a/g01 is on both sides"):
        VideoFolder(root).load(None)
    touched(root, "training/a/1.avi")
    with pytest.raises(ValueError, match="Train and training are one part twice"):
        VideoFolder(root)


def test_nested_classes(tmp_path):
    root = touched(tmp_path, *(f"{c}/{n}.avi" for c in ("ball/golf", "ball/tennis", "dive") for n in (1, 2)))
    touched(root, "dive/more/3.avi")  # below a class, and so left alone
    split = VideoFolder(root).load()
    assert split.classes == ["ball/golf", "ball/tennis", "dive"] and len(split.train + split.test) == 6
    (root / "ball" / "new").mkdir()
    with pytest.raises(ValueError, match="new: no videos .*here, found nothing"):
        VideoFolder(root).load()


def test_hmdb51(tmp_path):
    root = make_hmdb(tmp_path / "data" / "hmdb")
    split = VideoFolder(root).load(2)
    assert split.classes == ["ride", "run"] and names(split.test) == ["ride/ride 2.avi", "run/run 2.avi"]
    assert names(split.train)[:2] == ["ride/ride 1.avi", "ride/ride 3.avi"]
    beside = root.parent / "testTrainMulti_7030_splits"
    beside.mkdir()
    for path in root.glob("*.txt"):
        path.rename(beside / path.name)
    assert VideoFolder(root).load(2) == split
    (root.parent / "mine").mkdir()
    assert layout_of(root.parent / "mine").name == "one folder per class"  # whatever lists are beside it
    for line in ("run 1.avi 3", ". 1", ".. 2", "a/run 1.avi 1"):
        (beside / "run_test_split2.txt").write_text(f"{line}\n")
        with pytest.raises(ValueError, match=f"run_test_split2.txt: found line '{line}', expected 'video.avi 1'"):
            list_hmdb51(root, 2, (), [])
    (beside / "run_test_split2.txt").unlink()
    with pytest.raises(FileNotFoundError, match="run_test_split2.txt: no such list"):
        list_hmdb51(root, 2, (), [])


def test_groups_of_several_classes_are_dealt_whole():
    """Large groups first, to the fold with the fewest videos of the class."""
    sizes = {"a": (28, 0), "b": (19, 1), "c": (10, 9), "d": (9, 9), "e": (1, 9), "f": (1, 9)}
    videos = [Video(None, k, f"{g}{k}{n}", g) for g, pair in sizes.items() for k in (0, 1) for n in range(pair[k])]
    tests = [split_by_group(videos, ["calm", "fight"], fold).test for fold in (1, 2, 3)]
    counts = np.array([[sum(v.label == k for v in test) for k in (0, 1)] for test in tests])
    assert counts.sum(axis=0).tolist() == [68, 37] and counts.min() >= 9
    with pytest.raises(ValueError, match="class y has 1 group of clips"):
        split_by_group([Video(None, 0, "1", "g"), Video(None, 0, "2", "h"), Video(None, 1, "3", "g")], ["x", "y"])


def test_two_classes_are_called_crane(tmp_path):
    given, expected = "crane heron crane crane_2 crane".split(), "crane heron crane_3 crane_2 crane_4".split()
    assert distinct(name.replace("_", " ") for name in given) == [name.replace("_", " ") for name in expected]
    (tmp_path / "labels.txt").write_text("crane\nheron\ncrane\n")
    assert read_labels(tmp_path / "labels.txt", 3) == ["crane", "heron", "crane 2"]
    (tmp_path / "labels.txt").write_text("n02012849 crane\nn02009912 heron, egret\nn03126707 crane\n")
    assert read_labels(tmp_path / "labels.txt", 3) == ["crane", "heron, egret", "crane 2"]
    (tmp_path / "labels.txt").write_text("n02012849 crane\nheron\nn03126707\n")  # not a list of ImageNet's
    assert read_labels(tmp_path / "labels.txt", 3) == ["n02012849 crane", "heron", "n03126707"]
    feat = np.ones((3, 1, 2), np.float32)
    save_features(
        tmp_path / "f.npz", feat, [1, 2, 3], [0, 1, 0], classes=["crane", "heron", "crane"], group=list("xyx")
    )
    train, _ = load_features(tmp_path / "f.npz")
    assert (
        train.classes == ["crane", "heron", "crane 2"]
        and train.labels.tolist() == [0, 2]
        and train.groups == ["x", "x"]
    )
    with pytest.raises(ValueError, match="label holds 0 to 2, expected 1 to 3"):
        save_features(tmp_path / "f.npz", feat, [0, 1, 2], [0, 1, 0], classes=list("abc"))


def test_group_on_two_sides_whatever_the_class():
    one, other = Video(None, 0, "a/1", "film"), Video(None, 1, "b/1", "film")
    with pytest.raises(ValueError, match="group film is on both sides .*a/1 trains, b/1 tests"):
        check_groups(Split(["a", "b"], [one], [other]))


def test_folds_of_a_folder_stay_what_they_are():
    """So that results of different versions are on the same videos: the groups that test in each fold."""
    sizes = {"a": (3, 0, 0), "b": (1, 2, 0), "c": (2, 2, 0), "d": (1, 1, 1), "e": (4, 0, 1), "f": (1, 1, 0)}
    videos = [Video(None, k, f"{g}{k}{n}", g) for g in sizes for k in range(3) for n in range(sizes[g][k])]
    tests = [{v.group for v in split_by_group(videos, list("xyz"), fold).test} for fold in (1, 2, 3)]
    assert tests == [{"c", "d"}, {"b", "e"}, {"a", "d", "f"}]
    assert split_by_group(videos, list("xyz"), 2) == split_by_group(videos, list("xyz"), 2, 3, 0)
    assert split_by_group(videos, list("xyz"), "all") == Split(list("xyz"), [], videos)


def test_lists_beside_a_folder_that_has_one_of_their_classes(tmp_path):
    """One is enough; a folder that has none lies there by chance."""
    touched(tmp_path, "videos/b 2/1.avi", "other/d/1.avi")
    (tmp_path / "splits").mkdir()
    for name in ("a", "b 2", "c"):
        (tmp_path / "splits" / f"{name}_test_split1.txt").write_text("1.avi 1\n")
    assert find_split_files(tmp_path / "videos") == (tmp_path / "splits", ["a", "b 2", "c"])
    (tmp_path / "ucfTrainTestlist").mkdir()
    (tmp_path / "ucfTrainTestlist" / "classInd.txt").write_text("1 a\n2 b 2\n3 c\n")
    assert find_lists(tmp_path / "videos") == tmp_path / "ucfTrainTestlist"
    assert find_lists(tmp_path / "other") is None is find_split_files(tmp_path / "other")
