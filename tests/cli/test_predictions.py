"""`evaluate` and `predict` as a user meets them: per class, confusions, other folders, tables for other programs."""

import csv
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.layouts.table import VideoFolder
from snippets.training.checkpoint import load
from snippets.training.cli.evaluate import class_lines, confusion_lines
from snippets.training.cli.main import main
from snippets.training.evaluate import evaluate_whole, result_of
from snippets.training.model import load_model
from snippets.training.predictions import load_predictions

SMALL = "--size 28 --width 0.1 --fc 8 --epochs 1 --batch 8".split()


@pytest.fixture(scope="module")
def models(mini, tmp_path_factory):
    """Checkpoints after an epoch, by head, and the cache of their frames."""
    out = tmp_path_factory.mktemp("models")
    for head, frames in (("conv", "4"), ("single", "1")):
        options = ["--head", head, "--frames", frames, "--cache", str(out / "cache"), *SMALL]
        assert main(["train", str(mini), "--out", str(out / head), *options]) == 0
    return {head: out / head / "checkpoint.npz" for head in ("conv", "single")} | {"cache": out / "cache"}


@pytest.fixture(scope="module")
def elsewhere(mini, tmp_path_factory):
    """A folder of other videos, as a user has one: two of the classes, one of a single clip; and it."""
    root = tmp_path_factory.mktemp("elsewhere")
    test = VideoFolder(mini).load().test
    chosen = [next(v for v in test if v.path.parent.name == "CardSun")]
    chosen += [v for v in test if v.path.parent.name == "BallRising"]
    for video in chosen:
        (root / video.path.parent.name).mkdir(exist_ok=True)
        shutil.copy(video.path, root / video.path.parent.name / video.path.name.replace("v_", "mine_"))
    return root


def test_all_videos_of_another_folder_are_tested(models, mini, elsewhere, tmp_path, capsys):
    command = ["evaluate", str(models["conv"]), str(elsewhere), "--cache", "none"]
    assert main([*command, "--all", "--save", str(tmp_path / "p.npz")]) == 0
    text = capsys.readouterr().out
    count = sum(1 for _ in elsewhere.glob("*/*"))
    assert f"({count} videos)" in text and "no videos of 14 classes" in text and "CardSun (1)" in text
    found, known = load_predictions(tmp_path / "p.npz"), load(models["conv"]).classes
    assert found.result.classes == known and found.fold is None
    assert {known[k] for k in found.result.labels} == {"CardSun", "BallRising"}
    # the same videos as in the test set, with the same probabilities
    there = tmp_path / "q.npz"
    assert (
        main(["evaluate", str(models["conv"]), str(mini), "--cache", str(models["cache"]), "--save", str(there)]) == 0
    )
    r = load_predictions(there).result
    rows = {name.rpartition("/")[2].replace("v_", "mine_"): p for name, p in zip(r.names, r.probabilities, strict=True)}
    for name, p in zip(found.result.names, found.result.probabilities, strict=True):
        np.testing.assert_allclose(p, rows[name.rpartition("/")[2]], rtol=1e-5)


def test_what_all_cannot_do_is_explained(models, mini, elsewhere, tmp_path, capsys):
    def error(data, *options):
        assert main(["evaluate", str(models["conv"]), str(data), "--all", "--cache", "none", *options]) == 1
        return capsys.readouterr().err

    assert "--side train or --fold" in error(elsewhere, "--fold", "2")
    shutil.copytree(elsewhere, tmp_path / "other")
    (tmp_path / "other" / "CardSun").rename(tmp_path / "other" / "Sun")
    assert "1 classes are not among the network's 16, the first Sun" in error(tmp_path / "other")
    assert main(["evaluate", str(models["conv"]), str(mini), "--all", "--cache", str(models["cache"])]) == 0
    assert "was trained on 32 of these 48 videos" in capsys.readouterr().out


def test_a_single_frame_network_gives_one_answer_to_a_whole_video(models, mini, tmp_path, capsys):
    """evaluate --whole, predict --whole and --render: the mean over all frames, not the maximum."""
    from snippets.data.open import DataSpec, open_data
    from snippets.training.render.predictions import watch

    model = load_model(models["single"])
    _, videos = open_data(DataSpec(mini, 28, model.data, cache=models["cache"], progress=False), 1)
    videos.videos, videos.names, videos.labels = videos.videos[:2], videos.names[:2], videos.labels[:2]
    found = evaluate_whole(model.net, videos, alone=True).probabilities
    for i in range(2):
        alone = [model.net.predict(frame[None, None]) for block in videos.blocks(i) for frame in block]
        p = np.concatenate([np.exp(s - s.max()) / np.exp(s - s.max()).sum() for s in alone]).mean(axis=0)
        np.testing.assert_allclose(found[i], p, rtol=1e-5)
        np.testing.assert_allclose(watch(model, videos.blocks(i))[1], p, rtol=1e-5)
    clip, printed = str(videos.videos[0].path), []
    capsys.readouterr()
    for option in (["--whole"], ["--render", str(tmp_path / "a.png")]):
        assert main(["predict", str(models["single"]), clip, *option]) == 0
        printed.append(capsys.readouterr().out.splitlines()[:7])
    assert printed[0] == printed[1] and "mean over all frames, as --whole and --render" in printed[0][-1]
    assert main(["predict", str(models["single"]), clip]) == 0
    assert "(mean of 5 frames per video)" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_predictions_for_other_programs(models, mini, elsewhere, suffix, tmp_path, capsys):
    file = tmp_path / f"p{suffix}"

    def rows():
        if suffix == ".json":
            return [{**row, **row.pop("probabilities")} for row in json.loads(file.read_text())["videos"]]
        return list(csv.DictReader(file.read_text().splitlines()))

    assert main(["predict", str(models["conv"]), str(elsewhere), "--save", str(file)]) == 0
    classes, out = load(models["conv"]).classes, capsys.readouterr().out
    videos = sorted(map(str, elsewhere.glob("*/*")))
    assert [row["video"] for row in rows()] == videos and f"wrote {file}" in out
    assert [line for line in out.splitlines() if line in videos] == videos
    for row in rows():
        p = [float(row[name]) for name in classes]
        assert sum(p) == pytest.approx(1, abs=1e-4) and "label" not in row
        assert row["predicted"] == classes[int(np.argmax(p))] and float(row["probability"]) == pytest.approx(max(p))
    # over its own kind it may write, with labels now
    options = ["--save", str(file), "--cache", str(models["cache"])]
    assert main(["evaluate", str(models["conv"]), str(mini), *options]) == 0
    for row in rows():
        label = row["label"] if suffix == ".csv" else row["label"][0]
        assert row["video"].startswith(f"{label}/v_{label}_")
    (tmp_path / "notes.csv").write_text("mine")
    assert main(["predict", str(models["conv"]), str(elsewhere), "--save", str(tmp_path / "notes.csv")]) == 1
    assert "choose another name" in capsys.readouterr().err and (tmp_path / "notes.csv").read_text() == "mine"


def test_a_folder_without_videos_is_told(models, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(models["conv"]), str(tmp_path / "empty")]) == 1
    assert "no videos in this folder or below it" in capsys.readouterr().err


def test_classes_and_confusions_are_printed_with_their_counts():
    labels = np.array([0, 0, 0, 1, 1])
    p = np.eye(3)[[0, 0, 1, 1, 0]]
    result = result_of(["a", "long name", "none"], list("vwxyz"), labels, p)
    assert class_lines(result) == [
        "  66.7 %  a (3)",
        "  50.0 %  long name (2)",
        "     – %  no videos of 1 classes: none",
    ]
    head, numbers, first, second = confusion_lines(result)
    assert "true class in rows" in head and numbers.split() == ["1", "2"]
    assert first.split() == ["1", "a", "2", "1"] and second.split() == ["2", "long", "name", "1", "1"]
    never = result_of(["a", "b", "none"], ["v", "w"], np.array([0, 1]), np.eye(3)[[0, 0]])
    assert [line.split() for line in confusion_lines(never)[2:]] == [["1", "a", "1", "0"], ["2", "b", "1", "0"]]


def test_of_many_classes_the_commonest_errors_are_printed():
    names, labels = [f"c{k}" for k in range(25)], np.arange(50) % 25
    predicted = np.where(np.arange(50) < 25, labels, (labels + (labels < 2)) % 25)
    predicted[0] = 1
    result = result_of(names, [f"v{n}" for n in range(50)], labels, np.eye(25)[predicted])
    assert [line.split() for line in confusion_lines(result)] == [
        "2 of 2 videos of c0 taken for c1".split(), "1 of 2 videos of c1 taken for c2".split()
    ]  # fmt: skip


@pytest.mark.parametrize("classes, told", [(2, ""), (5, ""), (6, ", Hit@5 50.0 %")])
def test_hits_among_as_many_as_there_are_classes_are_not_told(classes, told):
    result = SimpleNamespace(top=min(5, classes), classes=[str(k) for k in range(classes)])
    from snippets.training.evaluate import Result

    assert Result.accuracies(result, 0.25, 0.5) == f"Hit@1 25.0 %{told}"
