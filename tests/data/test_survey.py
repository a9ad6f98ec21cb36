"""check-data: what is wrong with a data set is found, counted and named, and a skip list makes the rest usable."""

import numpy as np
import pytest
from films import film, numbered, set_stts

from snippets.data.decoder import Decoder
from snippets.data.layouts.survey import balance, check_dataset
from snippets.data.layouts.table import VideoFolder
from snippets.data.video import write_video
from snippets.training.cli.main import main


def make_ucf(root, frames=12):
    """Two classes of three groups, as UCF-101 has them; fold k tests group k."""
    (root / "ucfTrainTestlist").mkdir(parents=True)
    (root / "ucfTrainTestlist" / "classInd.txt").write_text("1 Apple\n2 Zebra\n")
    names = [(g, k, f"{c}/v_{c}_g{g:02d}_c01.avi") for g in (1, 2, 3) for k, c in ((1, "Apple"), (2, "Zebra"))]
    for n, (_, _, name) in enumerate(names):
        (root / name).parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 256, (frames + n, 6, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
        write_video(root / name, pixels, fps=25)
    for fold in (1, 2, 3):
        train = "".join(f"{name} {k}\n" for g, k, name in names if g != fold)
        (root / "ucfTrainTestlist" / f"trainlist0{fold}.txt").write_text(train)
        test = "".join(f"{name}\n" for g, _, name in names if g == fold)
        (root / "ucfTrainTestlist" / f"testlist0{fold}.txt").write_text(test)
    return root


@pytest.fixture
def ucf(tmp_path):
    return make_ucf(tmp_path / "videos")


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_data_set_without_faults(ucf, capsys):
    assert main(["check-data", str(ucf), "--frames", "14"]) == 0
    text, bar = capsys.readouterr()
    for line in (
        "UCF-101's lists",
        "classes   2, with 3 (Apple) to 3 videos (Apple), median 3",
        "fold 3    4 training and 2 test videos, 6 groups",
        f"decoded   6 videos, {6 * 12 + 15} frames: 12 to 17 per video",
        "short     2 of fewer than 14 frames",
        "Zebra/v_Zebra_g01_c01.avi: 13",
        "header    0 declare",
        "nothing is wrong",
    ):
        assert line in text
    assert "decode: 100%" in bar


def test_every_fault_is_named_and_the_skip_list_makes_the_rest_usable(ucf, tmp_path, capsys):
    cut_in_half(ucf / "Apple/v_Apple_g01_c01.avi")
    (ucf / "Zebra/v_Zebra_g02_c01.avi").unlink()
    (ucf / "Apple/v_Apple_g09_c01.avi").write_bytes((ucf / "Apple/v_Apple_g02_c01.avi").read_bytes())
    survey = check_dataset(ucf, progress=False)
    assert survey.path == ucf and survey.layout.startswith("UCF-101")
    assert list(survey.damaged) == ["Apple/v_Apple_g01_c01.avi"] and survey.missing == ["Zebra/v_Zebra_g02_c01.avi"]
    assert survey.unlisted == ["Apple/v_Apple_g09_c01.avi"] and survey.problems == [] and survey.wrong
    skip = tmp_path / "skip.txt"
    assert main(["check-data", str(ucf), "--write-skip", str(skip)]) == 1
    assert "something is wrong" in capsys.readouterr().out
    names = [line for line in skip.read_text().splitlines() if not line.startswith("#")]
    assert names == ["Apple/v_Apple_g01_c01.avi", "Zebra/v_Zebra_g02_c01.avi"]
    assert main(["check-data", str(ucf), "--skip", str(skip)]) == 0
    assert len(VideoFolder(ucf).load(1, names).train) == 3


def test_faults_of_lists(ucf):
    lists = ucf / "ucfTrainTestlist"
    with open(lists / "trainlist01.txt", "a") as file:
        file.write("Apple/v_Apple_g01_c01.avi 1\n")  # tests in this fold
    (lists / "testlist02.txt").unlink()
    (lists / "trainlist03.txt").write_text("Apple/v_Apple_g01_c01.avi 1\n")
    problems = check_dataset(ucf, progress=False).problems
    assert len(problems) == 3
    assert "fold 1: Apple/v_Apple_g01_c01.avi is on both sides" in problems[0]
    assert "fold 2: " in problems[1] and "testlist02.txt: no such list" in problems[1]
    assert problems[2] == "fold 3: classes without a training video: 1, Zebra for instance"
    for name in ("testlist01.txt", "testlist03.txt"):
        (lists / name).unlink()
    with pytest.raises(FileNotFoundError, match="testlist01.txt: no such list"):
        check_dataset(ucf, progress=False)


def test_as_much_as_a_limit_says(ucf):
    """Damage behind the frames that are used does no harm, and nothing is said about headers."""
    cut_in_half(ucf / "Apple/v_Apple_g03_c01.avi")
    assert check_dataset(ucf, progress=False).damaged
    survey = check_dataset(ucf, Decoder(fps=25, limit=4), frames=5, progress=False)
    assert not survey.wrong and "header" not in str(survey)
    assert {found.decoded for found in survey.decoded.values()} == {4}


def test_folders_and_real_clips(shared, tmp_path):
    """One folder a class; packed B-frames cost one frame, which is told and is no fault."""
    for k, path in enumerate(sorted((shared / "clips").iterdir())):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[k % 2] / path.name).write_bytes(path.read_bytes())
    survey = check_dataset(tmp_path, progress=False)
    assert not survey.wrong and survey.layout == "one folder per class" and len(survey.decoded) == 9
    text = str(survey)
    assert "header    2 declare another number of frames" in text and "73 declared, 72 decoded" in text


def test_balance():
    assert balance([0, 0, 1], ["a", "b", "c"]) == "3, with 0 (c) to 2 videos (a), median 1"
    assert balance([(0,), (0, 1)], ["a", "b"]).endswith("; 1 of 2 videos have several classes")


def test_a_clock_that_cannot_be_is_told_and_a_strange_one_that_can_is_not(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    pixels = [numbered(n) for n in range(20)]
    film(tmp_path / "a" / "late.mkv", pixels, [0.5 + n / 25 for n in range(20)])
    film(tmp_path / "a" / "usual.mp4", pixels)
    film(tmp_path / "b" / "held.mkv", pixels, [n / 25 for n in range(20)], last=9)
    film(tmp_path / "b" / "varies.mkv", pixels, [0.04 * n + 0.4 * max(0, n - 9) for n in range(20)])
    assert not check_dataset(tmp_path, progress=False).wrong
    film(tmp_path / "b" / "jumps.mkv", pixels, [n / 25 + 1e7 * (n > 9) for n in range(20)])
    film(tmp_path / "b" / "races.mp4", pixels)
    set_stts(tmp_path / "b" / "races.mp4", (20, 1))
    for fps in (None, 25):
        survey = check_dataset(tmp_path, Decoder(fps=fps), progress=False)
        assert survey.wrong and not survey.unusable
        assert sorted(survey.clocks) == [
            "b/jumps.mkv: 10 frames whose times stand still, run back or jump",
            "b/races.mp4: declares 12800 frames per second",
        ]
        assert "clock     2 have times" in str(survey)
