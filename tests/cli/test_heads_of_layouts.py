"""`snippets train --heads` on every layout that people have: which folds it tests on, what is said of groups."""

import functools
import json
import shutil
from dataclasses import asdict

import pytest
from layout_folders import EXAMPLES, films, make_hmdb, make_parts, manifest

from snippets.data.open import DataSettings
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, load, save
from snippets.training.cli.main import main
from snippets.training.small import crossval, heads

FEW = (
    "--heads average --count 3 --features raw --standardise --fc 0 --dropout 0 --epochs 1 --batch 4 --tune-lr 0.01 "
    "--folds 3 --draws 1 --seeds 1"
)


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Jobs are done in this process, without the second that another one takes to start; one C for the regressions."""
    monkeypatch.setattr(crossval, "STRENGTHS", (1.0,))
    monkeypatch.setattr(heads, "in_processes", lambda job, trial, items, _: map(functools.partial(job, trial), items))


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    """An untrained GoogLeNet of 12 outputs."""
    path = tmp_path_factory.mktemp("tower") / "tower.npz"
    config = NetConfig(2, "googlenet", "single", 1, 32, width=0.05, vector=12, fc=0, dropout=0.0)
    about = {"config": asdict(config), "data": asdict(DataSettings()), "classes": ["a", "b"]}
    save(path, Checkpoint(build(config).params, **about))
    return path


def train(data, tower, folder, *more):
    place = ["--cache", str(folder / "cache"), "--out", str(folder / "run")]
    return main(["train", str(data), "--features-of", str(tower), *FEW.split(), *place, *more])


def table(folder):
    """Its page, and the first head's record."""
    return (folder / "run" / "heads.md").read_text(), json.loads((folder / "run" / "heads.json").read_text())["rows"][0]


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "a manifest with splits"])
def test_each_layout_has_its_folds_and_its_groups(name, tower, tmp_path, capsys):
    assert train(EXAMPLES[name](tmp_path / "data"), tower, tmp_path) == 0
    said, (page, row) = capsys.readouterr().out, table(tmp_path)
    how, fold, videos, unknown = {
        "a manifest": ("1 draw of 3 folds by group", None, 6, False),
        "one folder per class": ("1 draw of 3 folds by group", None, 6, True),
        "pictures": ("1 draw of 3 folds by group", None, 6, True),
        "folders of train, val and test": ("the data set's own split", None, 4, True),
        "HMDB51's split files": ("the data set's own 3 folds", 1, 6, False),
    }[name]
    assert how in page and f"{videos} test videos of" in page and row["videos"] == videos
    assert ("No groups are known" in page) == unknown == ("note: no groups are known" in said)
    assert (row["by"], len(row["each"])) == (("fold", 3) if fold else ("fold" if "own" in how else "draw", 1))
    model = load(tmp_path / "run" / "model.npz")
    learned = {"folders of train, val and test": 4, "HMDB51's split files": 4}.get(name, 6)
    assert model.fold == fold and model.videos == learned == len(model.content)
    seen = how.endswith("by group")  # then the network that is kept has learned from all videos
    given = [str(tmp_path / "run" / "model.npz"), str(tmp_path / "data"), "--cache", str(tmp_path / "cache")]
    assert main(["evaluate", *given]) == 0
    assert ("model.npz was trained on 2 of these 2 videos" in capsys.readouterr().out) == seen


def test_a_table_elsewhere_names_any_videos(tower, tmp_path):
    """Under its own name, in a folder above: what is not in it is left out."""
    films(tmp_path / "data", *(f"{g}{n}.avi" for g in "abcd" for n in (0, 1)))
    lines = (f"data/{g}{n}.avi,{'fight' if n else 'calm'},film {g}" for g in "abc" for n in (0, 1))
    manifest(tmp_path, "path,label,group", *lines, name="mine.csv")
    assert train(tmp_path / "mine.csv", tower, tmp_path) == 0
    assert "6 test videos of 3 groups" in table(tmp_path)[0] and "No groups" not in table(tmp_path)[0]


def test_one_training_video_of_every_class_is_told_before_anything_is_computed(tower, tmp_path, capsys):
    assert train(EXAMPLES["a manifest with splits"](tmp_path / "data"), tower, tmp_path) == 1
    assert "the 2 training videos have one group (film) of every class" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_a_fold_without_test_videos_is_told(tower, tmp_path, capsys):
    data = make_hmdb(tmp_path / "data")
    for name in ("ride/ride 2.avi", "run/run 2.avi"):
        (data / name).unlink()
    assert train(data, tower, tmp_path) == 1
    assert f"test_split[123].txt of {data}, but no file is there (missing: 2 of 6" in capsys.readouterr().err
    assert train(data, tower, tmp_path, "--available") == 1
    said = capsys.readouterr()
    assert "available: 4 of 6 videos" in said.out
    assert "fold 2: 4 training videos of 2 classes and 0 test videos, expected" in said.err


def test_a_fold_with_training_videos_of_one_class_is_told(tower, tmp_path, capsys):
    data = make_hmdb(tmp_path / "data")
    for name in ("ride/ride 2.avi", "ride/ride 3.avi"):
        (data / name).unlink()
    assert train(data, tower, tmp_path, "--available") == 1
    assert "fold 1: 2 training videos of 1 classes and 2 test videos, expected two classes" in capsys.readouterr().err


def test_classes_that_cannot_be_learned_are_counted(tower, tmp_path, capsys):
    data = films(make_parts(tmp_path / "data"), "test/c/1.avi", "test/c/2.avi", "test/c/3.avi")
    assert train(data, tower, tmp_path) == 0
    assert "note: 3 of the test videos are of classes without a training video" in capsys.readouterr().out
    assert table(tmp_path)[1]["videos"] == 7


def test_a_tower_that_has_seen_the_test_videos_is_refused(tower, tmp_path, capsys):
    """Its own training videos are not for a table; where the data have folds, it is tested on its own."""
    small = "--head single --tower googlenet --vector 12 --size 32 --width 0.05 --fc 0 --epochs 1 --batch 4".split()
    for make, code in ((EXAMPLES["one folder per class"], 1), (make_hmdb, 0), (make_parts, 0)):
        folder = tmp_path / make.__name__
        data, place = make(folder / "data"), ["--cache", str(folder / "c"), "--out", str(folder / "t")]
        assert main(["train", str(data), *small, *place]) == 0
        capsys.readouterr()
        assert train(data, folder / "t" / "checkpoint.npz", folder) == code
        said = capsys.readouterr()
        assert code == 0 or "of this run's 6 test videos" in said.err
    assert "2 test videos of 2 groups, the data set's own split" in table(tmp_path / "make_hmdb")[0]


def test_a_run_of_one_head_beside_it_does_not_count(tower, tmp_path, monkeypatch, capsys):
    """--resume of heads reads no other run's settings, though it lies where that of one head would."""
    monkeypatch.chdir(tmp_path)
    data = EXAMPLES["a manifest"](tmp_path / "data")
    given = ["train", str(data), "--features-of", str(tower), *FEW.split()]
    assert main(given) == 0
    shutil.copytree("runs/heads", "runs/conv")
    save("runs/conv/checkpoint.npz", load("runs/conv/model.npz"))
    capsys.readouterr()
    assert main([*given, "--resume"]) == 0
    assert "as in" not in capsys.readouterr().out
