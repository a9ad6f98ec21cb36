"""Sports-1M: its lists, local files by YouTube id, several labels, the first five minutes, and a network on them."""

import numpy as np
import pytest

from snippets.data.layouts.sports1m import find_files, list_sports1m, read_partition
from snippets.data.layouts.table import VideoFolder
from snippets.data.open import DataSettings, DataSpec, fold_for, open_data, settings_for
from snippets.data.video import write_video
from snippets.training.checkpoint import load
from snippets.training.cli.main import main

IDS = ["aaaaaaaaaaa", "-b_bbbbbbbb", "cccccccccc-", "ddddddddddd", "eeeeeeeeeee", "fffffffffff"]
LABELS = ["0", "1,2", "2", "0", "1", "0,2"]  # the first four train


def make_sports1m(root, write=True):
    """Three classes, six videos of 20 frames at 2 fps in folders below root, lists in root/original."""
    (root / "original").mkdir(parents=True)
    (root / "labels.txt").write_text("curling\nbócz\nfencing\n", encoding="utf-8")
    lines = [f"https://www.youtube.com/watch?v={i} {labels}\n" for i, labels in zip(IDS, LABELS, strict=True)]
    (root / "original" / "train_partition.txt").write_text("".join(lines[:4]))
    (root / "original" / "test_partition.txt").write_text("".join(lines[4:]))
    for k, name in enumerate(IDS if write else []):
        path = root / "videos" / str(k % 2) / f"{name}{('.mp4', '.AVI', '.mkv')[k % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = np.eye(3, dtype=np.uint8)[int(LABELS[k][0])] * 200
        write_video(path, np.broadcast_to(colour + np.uint8(k), (20, 32, 32, 3)), fps=2)
    return root


@pytest.fixture(scope="module")
def sports(tmp_path_factory):
    return make_sports1m(tmp_path_factory.mktemp("sports1m"))


def test_the_published_lists(shared):
    """500 real lines: ids that begin with a dash, several labels; the 487 names in their order."""
    found = read_partition(shared / "sports1m" / "test_partition_excerpt500.txt", 487)
    assert len(found) == 500 and found["-lsNw_WvGgE"] == (380,)
    several = [labels for labels in found.values() if len(labels) > 1]
    assert len(several) == 30 and all(sorted(set(labels)) == list(labels) for labels in several)
    with pytest.raises(ValueError, match="has class 38., but labels.txt names only 0 to 379"):
        read_partition(shared / "sports1m" / "test_partition_excerpt500.txt", 380)


def test_a_folder_made_of_the_published_lists(shared, tmp_path):
    (tmp_path / "labels.txt").write_bytes((shared / "sports1m" / "labels.txt").read_bytes())
    excerpt = (shared / "sports1m" / "test_partition_excerpt500.txt").read_bytes()
    (tmp_path / "test_partition.txt").write_bytes(excerpt)
    (tmp_path / "videos").mkdir()
    for name in ("-lsNw_WvGgE.webm", "iRxs379Vq_k.mp4"):
        (tmp_path / "videos" / name).touch()
    with pytest.raises(FileNotFoundError, match=r"missing: 498 of 500 videos.*skip list.*--available"):
        VideoFolder(tmp_path / "videos").load(None)  # the lists beside the folder of videos
    split = VideoFolder(tmp_path).load(None, available=True)
    assert (len(split.classes), split.classes[0], split.classes[486]) == (487, "boomerang", "model aircraft")
    assert split.train == [] and [(v.name, v.label) for v in split.test] == [
        ("-lsNw_WvGgE", (380,)),
        ("iRxs379Vq_k", (205,)),
    ]


@pytest.mark.parametrize(
    "line, message",
    [
        ("https://www.youtube.com/watch?v=short 1", "found line 'https.*short 1', expected 'https://www.youtube"),
        ("https://www.youtube.com/watch?v=aaaaaaaaaaab 1", "expected"),
        ("https://www.youtube.com/watch?v=aaaaaaaaaaa", "expected"),
        ("https://www.youtube.com/watch?v=aaaaaaaaaaa 1, 2", "expected"),
        ("https://www.youtube.com/watch?v=aaaaaaaaaaa -1", "expected"),
        ("https://www.youtube.com/watch?v=aaaaaaaaaaa 3", "has class 3, but labels.txt names only 0 to 2"),
        ("https://www.youtube.com/watch?v=aaaaaaaaaaa 3,0", "has class 3, but labels.txt names only 0 to 2"),
    ],
)
def test_bad_lines(tmp_path, line, message):
    (tmp_path / "list.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        read_partition(tmp_path / "list.txt", 3)


def test_links_in_other_forms_and_videos_on_two_lines(tmp_path):
    lines = "http://www.youtube.com/watch?a=b&v=aaaaaaaaaaa&t=1 2\r\nhttps://youtu.be/aaaaaaaaaaa 0,2\r\n"
    (tmp_path / "list.txt").write_bytes(lines.encode())
    assert read_partition(tmp_path / "list.txt", 3) == {"aaaaaaaaaaa": (0, 2)}


def test_listing(sports):
    split = VideoFolder(sports).listed(None)
    assert split.classes == ["curling", "bócz", "fencing"]
    assert [v.name for v in split.train + split.test] == IDS
    assert [v.label for v in split.train + split.test] == [(0,), (1, 2), (2,), (0,), (1,), (0, 2)]
    assert all(v.path.is_file() and v.path.stem == v.name for v in split.train + split.test)
    assert VideoFolder(sports).listed(None, skip=["ddddddddddd"]).train == split.train[:3]
    with pytest.raises(ValueError, match="skip list: typo is not in the partitions"):
        VideoFolder(sports).listed(None, ["typo"])
    with pytest.raises(FileNotFoundError, match="no labels.txt with train_partition.txt or test_partition.txt"):
        list_sports1m(sports / "videos" / "0", None, (), [])


def test_two_files_or_two_sides_for_one_video_are_refused(tmp_path):
    root = make_sports1m(tmp_path / "s", write=False)
    (root / "aaaaaaaaaaa.mp4").touch()
    (root / "aaaaaaaaaaa.part").touch()
    assert find_files(VideoFolder(root).contents, IDS) == {"aaaaaaaaaaa": root / "aaaaaaaaaaa.mp4"}
    (root / "aaaaaaaaaaa.webm").touch()
    with pytest.raises(ValueError, match="aaaaaaaaaaa.mp4 and .*aaaaaaaaaaa.webm: two files for one video"):
        VideoFolder(root).listed(None)
    (root / "aaaaaaaaaaa.webm").unlink()
    with open(root / "original" / "test_partition.txt", "a") as file:
        file.write("https://www.youtube.com/watch?v=aaaaaaaaaaa 2\n")
    with pytest.raises(ValueError, match="aaaaaaaaaaa is on both sides"):
        VideoFolder(root).load(None, available=True)
    assert VideoFolder(root).load(None, skip=["aaaaaaaaaaa"], available=True).train == []


def test_five_minutes_at_one_frame_a_second(sports, tmp_path):
    """300 frames, from a short video by repetition; the options can say otherwise; it has no folds."""
    settings = settings_for(sports, DataSettings())
    assert (settings.fps, settings.seconds, settings.limit) == (1, 300, 300)
    assert settings_for(sports, DataSettings(fps=2, seconds=4)).limit == 8
    assert settings_for(sports.parent, DataSettings()) == DataSettings() and DataSettings().limit is None
    with pytest.raises(ValueError, match="the first 5 seconds at the native frame rate: expected --fps"):
        _ = DataSettings(seconds=5).limit
    train_set, test_set = open_data(DataSpec(sports, 28, settings, None, tmp_path), 120)
    assert train_set.source.frames(train_set.videos[0]).shape == (10, 33, 33, 3)  # its ten seconds, decoded once
    whole = train_set.whole_video(0)
    assert whole.shape == (300, 28, 28, 3)
    np.testing.assert_array_equal(whole[10:20], whole[:10])
    assert next(test_set.test_clips(0)).shape == (120, 28, 28, 3)
    assert train_set.labels.dtype == bool and test_set.labels.tolist() == [[0, 1, 0], [1, 0, 1]]
    assert fold_for(sports) is None and fold_for(sports.parent) == 1
    with pytest.raises(ValueError, match="no folds, but fold 2"):
        fold_for(sports, 2)


SMALL = "--size 28 --width 0.1 --fc 8 --frames 4 --batch 2".split()


def test_train_and_evaluate(sports, tmp_path, capsys):
    """The whole way on the command line: several labels in loss, accuracy, checkpoint, predictions and features."""
    out, cache = tmp_path / "run", ["--cache", str(tmp_path / "cache")]
    start = ["train", str(sports), "--out", str(out), *cache, *SMALL]
    assert main([*start, "--epochs", "1"]) == 0
    assert main([*start, "--epochs", "2", "--resume"]) == 0
    checkpoint = load(out / "checkpoint.npz")
    assert checkpoint.fold is None and checkpoint.epoch == 2 and len(checkpoint.classes) == 3
    assert (checkpoint.data["fps"], checkpoint.data["seconds"]) == (1, 300)
    saved, model = tmp_path / "p.npz", str(out / "checkpoint.npz")
    assert main(["evaluate", model, str(sports), *cache, "--whole", "--save", str(saved)]) == 0
    with np.load(saved) as file:
        assert file["labels"].tolist() == [[0, 1, 0], [1, 0, 1]] and file["names"].tolist() == IDS[4:]
    assert main(["features", str(sports), *cache, "--model", model, "--count", "3", "--out", f"{tmp_path}/f.npz"]) == 0
    assert main(["train", f"{tmp_path}/f.npz", "--out", f"{tmp_path}/h", "--epochs", "1", "--head", "conv"]) == 0
    assert load(tmp_path / "h" / "checkpoint.npz").classes == checkpoint.classes
    assert main(["check-data", f"{tmp_path}/f.npz"]) == 0
    assert "2 of 6 videos have several classes" in capsys.readouterr().out
    assert main([*start, "--fold", "2", "--epochs", "1"]) == 1
    assert main([*start, "--fold", "all", "--epochs", "1"]) == 1
    assert "leave out --fold all" in capsys.readouterr().err


def test_only_a_part_is_available(tmp_path, capsys):
    root = make_sports1m(tmp_path / "s")
    next(root.rglob("ddddddddddd.*")).unlink()
    train = ["train", str(root), "--cache", "none", "--out", str(tmp_path / "run"), *SMALL, "--epochs", "1"]
    assert main(train) == 1
    assert "ddddddddddd.*: listed in" in capsys.readouterr().err
    assert main([*train, "--available"]) == 0
    out = capsys.readouterr().out
    assert "available: 3 of 4 training videos" in out and "available: 2 of 2 test videos" in out
    skip = tmp_path / "skip.txt"
    assert main(["check-data", str(root), "--write-skip", str(skip)]) == 1
    assert skip.read_text() == "# missing\nddddddddddd\n"
    assert main(["check-data", str(root), "--skip", str(skip)]) == 0
    again = [*train, "--skip", str(skip), "--out", str(tmp_path / "again")]
    assert main(again) == 0
    (root / "original" / "test_partition.txt").unlink()
    assert main([*train, "--available", "--out", str(tmp_path / "no-test")]) == 1
    assert "no test videos" in capsys.readouterr().err
