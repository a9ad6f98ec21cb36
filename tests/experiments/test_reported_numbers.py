"""Every accuracy that a command prints or writes, against a value worked out by hand on a case of a few videos.

Networks are not trained here: their predictions are written by hand, so that each number below can be checked on paper.
"""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import snippets.training.experiments.claims.judge
from snippets.data.features import save_features
from snippets.data.mini.make import CLASSES, KINDS
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.cli.main import main
from snippets.training.evaluate import result_of
from snippets.training.experiments.claims.lab import Ground, Lab
from snippets.training.experiments.paper import ROWS
from snippets.training.experiments.scales import LAB, MINI, MINI_DATA, PAPER
from snippets.training.experiments.statistics import wilson
from snippets.training.experiments.tables import tables
from snippets.training.experiments.trial import Trial
from snippets.training.predictions import Predictions, load_predictions, save_predictions

K = 6  # classes, so that Hit@5 says something


def probabilities(labels, right, k=K):
    """(V, k): the true class first where `right` holds 1, third where 3, last where 0 or 6; the others by index."""
    rows = []
    for label, place in zip(labels, right, strict=True):
        order = [c for c in range(k) if c != label]
        order.insert((place or k) - 1, label)
        p = np.empty(k)
        p[order] = np.arange(k, 0, -1) / (k * (k + 1) / 2)
        rows.append(p)
    return np.array(rows)


def write(path, right, names=None, clips=(0, (np.nan, np.nan)), classes="abcdef", labels=None, side="test"):
    """A file of predictions; right: see `probabilities`; clips: how many, and the shares that hit at 1 and at 5."""
    labels = np.arange(len(right)) % len(classes) if labels is None else np.asarray(labels)
    names = names or [f"v_{side}_g{n // 2:02d}_c{n % 2:02d}" for n in range(len(right))]
    p = probabilities(labels, right, len(classes))
    save_predictions(path, Predictions(result_of(list(classes), names, labels, p, *clips), 1, side))


def cells(line):
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows_of(text):
    """{first cell: the others} of the Markdown tables in a text."""
    return {cells(line)[0]: cells(line)[1:] for line in text.splitlines() if line.startswith("|")}


# snippets tables


def pretend(trial, rows, right):
    """Files as if all networks of the rows had been trained: right(name, fold) -> see `probabilities`."""
    for row in rows:
        for c in trial.row_commands(row):
            c.product.parent.mkdir(parents=True, exist_ok=True)
            c.product.touch()  # features, and what a row starts from
        for name in row.nets:
            for fold in trial.folds():
                folder = trial.folder(name) / fold
                write(folder / "predictions.npz", right(name, fold), clips=(16, (0.25, 0.5)))
                write(folder / "train.npz", right(name, fold), side="train")


def test_tables_of_the_small_scale(tmp_path, capsys):
    """Table 3, seeds 4 and 5: 1 and 2 of 4 videos at Hit@1, 3 of 4 at Hit@5; the third row has one seed only."""
    rows = [row for row in ROWS if row.table == 3]
    places = {4: [1, 3, 3, 6], 5: [1, 1, 3, 6]}
    for seed, right in places.items():
        trial = Trial(str(tmp_path / "data"), MINI, seed, tmp_path, str(tmp_path / "cache"))
        pretend(trial, rows[: 3 if seed == 4 else 2], lambda name, fold, right=right: right)
    tables((3,), replace(trial, seed=4).seeds(2), MINI_DATA)
    about = json.loads((tmp_path / "tables.json").read_text())
    assert about["seeds"] == [4, 5]
    assert [r["row"] for r in about["rows"]] == [row.title for row in rows]
    both = {"clip": [25.0, 25.0], "hit1": [25.0, 50.0], "hit5": [75.0, 75.0]}
    assert [r["ours"] for r in about["rows"]] == [both, both, {"clip": [25.0], "hit1": [25.0], "hit5": [75.0]}]
    assert [r["paper"] for r in about["rows"]] == [
        {"hit1": 72.1, "hit5": 90.4}, {"clip": 66.0, "hit1": 71.7, "hit5": 90.4},
        {"clip": 70.8, "hit1": 72.3, "hit5": 90.8},
    ]  # fmt: skip
    assert about["rows"][2]["differs"].startswith("1 of 2 seeds measured; ")
    assert "measured" not in about["rows"][0]["differs"]
    # mean 37.5; standard deviation of 25 and 50: 25 / sqrt 2 = 17.678
    text = (tmp_path / "tables.md").read_text()
    assert rows_of(text)["LSTM, 30 frames"][:6] == ["–", "25.0 ± 0.0", "72.1", "37.5 ± 17.7", "90.4", "75.0 ± 0.0"]
    assert rows_of(text)["Conv Pooling, 120 frames"][:6] == ["70.8", "25.0", "72.3", "25.0", "90.8", "75.0"]
    assert "over 2 seeds" in text and "Seeds of the networks: 4, 5." in text
    assert text in capsys.readouterr().out
    with (tmp_path / "tables.csv").open(newline="") as file:
        found = {(r["row"], r["measure"]): r for r in csv.DictReader(file)}
    assert len(found) == 9
    hit1 = found["Conv Pooling, 30 frames", "Hit@1"]
    assert [hit1[c] for c in ("table", "paper", "ours_mean", "ours_std", "ours_by_seed")] == [
        "3", "71.7", "37.5", "17.678", "25.0 50.0",
    ]  # fmt: skip
    assert found["LSTM, 30 frames", "clip Hit@1"]["paper"] == ""
    assert found["Conv Pooling, 120 frames", "Hit@1"]["ours_std"] == ""


def test_tables_of_the_papers_scale_are_means_of_three_folds(tmp_path):
    """Table 6: 1, 2 and 3 of 4 videos right in the three folds, 50 % on average; another network 0, 0 and 3: 25 %."""
    rows = [row for row in ROWS if row.table == 6]
    trial = Trial("UCF-101", PAPER, 0, tmp_path, "cache")

    def right(name, fold):
        n = int(fold[4]) if name != "googlenet-conv-30-6fps" else 3 * (fold == "fold3/")
        return [1] * n + [6] * (4 - n)

    pretend(trial, rows, right)
    (trial.folder("googlenet-conv-120-6fps") / "fold3" / "predictions.npz").unlink()  # not finished yet
    records = tables((6,), [trial])
    ours = {r["row"]: r["ours"] for r in records}
    assert ours["Single frame"] == {"clip": [25.0], "hit1": [50.0], "hit5": [50.0]}
    assert ours["Conv Pooling, 30 frames at 6 fps"] == {"clip": [25.0], "hit1": [25.0], "hit5": [25.0]}
    assert ours["Conv Pooling, 120 frames at 6 fps"] == {}
    text = (tmp_path / "tables.md").read_text()
    assert rows_of(text)["Single frame"] == ["–", "25.0", "73.3", "50.0", "–", "50.0", ""]
    assert json.loads((tmp_path / "tables.json").read_text())["data"] == "UCF-101"


def test_fused_rows_of_the_papers_scale(tmp_path):
    """Table 7, two-stream: frames alone are right about a and b, flow about c and d, in fold 2 surer of errors."""
    rows = [row for row in ROWS if row.title.startswith("Two-stream")]
    trial, labels = Trial("UCF-101", PAPER, 0, tmp_path, "cache"), np.arange(8) % 4
    pretend(trial, rows, lambda name, fold: [1] * 8)
    sure = {"googlenet-single": (0, 1), "googlenet-single-flow": (2, 3)}
    for name, known in sure.items():
        for fold in trial.folds():
            p = np.full((8, 4), 0.25)
            for v, label in enumerate(labels):
                if label in known:
                    p[v] = np.where(np.arange(4) == label, 0.7, 0.1)
                elif fold != "fold2/":
                    p[v, (label + 1) % 4], p[v, label] = 0.3, 0.2
                else:  # wrong, and surer of it than the other stream
                    p[v] = np.where(np.arange(4) == (label + 1) % 4, 0.91, 0.03)
            for side in ("test", "train"):
                names = [f"v_{side}_g00_c{n:02d}" for n in range(8)]
                file = trial.folder(name) / fold / ("predictions.npz" if side == "test" else "train.npz")
                save_predictions(file, Predictions(result_of(list("abcd"), names, labels, p), 1, side))
    mean, svm = rows
    assert trial.accuracies(mean) == {"hit1": pytest.approx(2 / 3), "hit5": 1.0}  # 1, 0, 1
    assert trial.accuracies(svm)["hit1"] == 1.0  # it learns from the training videos whom to believe


# snippets claims


def test_claims_report_each_side_by_seed_and_their_difference(tmp_path, monkeypatch, capsys):
    """A is right about every video; B about 1, 2 and 2 of 4 groups: 25, 50 and 50 %, 58.3 points less on average."""
    monkeypatch.setattr(snippets.training.experiments.claims.judge, "run", lambda *_, **how: None)  # "trained" already
    ground = Ground(LAB, 2, 1, 16, 32)
    names = [f"v_{kind}_g{g:02d}_c01" for kind in CLASSES for g in range(1, 5)]
    labels, classes = np.repeat(np.arange(len(CLASSES)), 4), list(CLASSES)
    some = {0: (1,), 1: (1, 2), 2: (3, 4)}  # which groups B gets right
    for seed, groups in some.items():
        folder = tmp_path / "still" / f"seed{seed}"
        right = [1 if int(name.split("_g")[1][:2]) in groups else 6 for name in names]
        for name, places in (("alexnet-lstm-120", [1] * len(names)), ("alexnet-conv-120", right)):
            write(folder / name / "predictions.npz", places, names, classes=classes, labels=labels)
    lab = Lab(tmp_path, 3, {"still": ground})
    found = snippets.training.experiments.claims.judge.claims(lab, ["order needs"])
    (record,) = found["rendered"]
    order = sum(kind == "order" for kind in KINDS.values())
    assert record["videos"] == 3 * 4 * order and json.loads((tmp_path / "claims.json").read_text()) == found
    assert (record["a"], record["b"]) == ([100.0] * 3, [25.0, 50.0, 50.0])
    half = 4.3027 * 14.4338 / np.sqrt(3)  # t of two degrees of freedom; standard deviation of 75, 50, 50
    assert record["difference"] == pytest.approx([58.3333, 58.3333 - half, 58.3333 + half], abs=1e-3)
    assert (record["verdict"], record["needed"]) == ("supported", None)
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    a, b, difference, seeds, videos, verdict = rows_of(text)[record["sentence"]][1:]
    assert (a, b) == ("100.0 ± 0.0", "41.7 ± 14.4") and difference == "+58.3 [+22.5, +94.2]"
    assert (seeds, videos, verdict) == ("3", str(3 * 4 * order), "**supported**")
    assert f"| {a} | {b} |" in capsys.readouterr().out and "--seeds 3`" in text


# snippets compare


def test_compare_reports_by_seed_mean_intervals_and_difference(tmp_path, capsys):
    """Two heads, three seeds, four videos of two groups: another number on every axis."""
    rng = np.random.default_rng(0)
    save_features(tmp_path / "f.npz", rng.random((6, 2, 3)), [1, 2, 1, 2, 1, 2], [0, 0, 1, 1, 1, 1])
    places = {  # by seed: which of the four videos
        "average": ([6, 6, 6, 6], [1, 6, 6, 6], [1, 1, 6, 6]),
        "conv": ([1, 6, 1, 6], [1, 6, 1, 6], [1, 6, 1, 6]),  # the first of each group, from every seed
    }
    for head, seeds in places.items():
        for seed, right in enumerate(seeds):
            write(tmp_path / "out" / head / f"seed{seed}" / "predictions.npz", right)
    options = ["--heads", "average", "conv", "--seeds", "3", "--out", str(tmp_path / "out")]
    assert main(["compare", str(tmp_path / "f.npz"), *options]) == 0
    average, conv = json.loads((tmp_path / "out" / "compare.json").read_text())["heads"]
    assert (average["by_seed"], conv["by_seed"]) == ([0.0, 25.0, 50.0], [50.0, 50.0, 50.0])
    assert (average["mean"], average["std"], conv["mean"], conv["std"]) == (25.0, 25.0, 50.0, 0.0)
    for head, p in ((average, 0.25), (conv, 0.5)):
        assert head["wilson"] == pytest.approx([100 * x for x in wilson(p, 4)])
        assert (head["videos"], head["groups"]) == (4, 2)
    assert average["difference"] == [0.0, 0.0, 0.0]
    assert conv["difference"][0] == pytest.approx(25.0)
    low, high = conv["difference"][1:]
    assert low <= 0 < 25 < high == pytest.approx(50.0)  # from 0 (group 1 of the last seed) to 50
    text = (tmp_path / "out" / "compare.md").read_text()
    assert text.strip() in capsys.readouterr().out
    assert "std of 3 seeds | Wilson, 4 videos | difference to average, by bootstrap of 2 groups" in text
    assert rows_of(text)["average"] == ["25.0 ± 25.0", "4.6 to 69.9", "–", "0.0 25.0 50.0"]
    assert rows_of(text)["conv"] == ["50.0 ± 0.0", "15.0 to 85.0", f"+25.0 [{low:+.1f}, {high:+.1f}]", "50.0 50.0 50.0"]


# snippets evaluate, fuse


@pytest.fixture
def knows_itself(tmp_path):
    """A checkpoint whose scores are 20 times the mean feature of a clip of 2 frames, and a file of such features.

    Test video 0 (class a) shows a, b, b, b: its clips of two frames are (a, b), (b, b), (b, b).
    Test video 1 (class b) shows b throughout; video 2 (class f) shows a, and nothing of f: last of six.
    """
    config = NetConfig(K, "features", "average", 2, fc=K, dropout=0.0, features=K)
    net = build(config)
    for key, a in net.params.items():
        a[...] = np.eye(K) * (20 if key.startswith("scores") else 1) if key.endswith("W") else 0
    one = np.eye(K)
    shown = [[0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], *[[k] * 4 for k in range(K)]]
    feat = one[np.array(shown)]
    feat[0, 0, 0] = 3.0  # frame (3 a) beats frame (b) in their mean
    feat[2, :, :K] += [0, 0.5, 0.5, 0.5, 0.5, 0]
    label, names = [1, 2, 6, *range(1, K + 1)], ["a/v0", "b/v1", "f/v2", *(f"{c}/t" for c in "abcdef")]
    save_features(tmp_path / "f.npz", feat, label, [1, 1, 1] + [0] * K, name=names)
    about = dict(config={**vars(config)}, data={"features": "raw"}, classes=list("abcdef"), fold=1, steps=7)
    save(tmp_path / "model.npz", Checkpoint(net.params, settings={"inference": "sum"}, **about))
    return str(tmp_path / "model.npz"), str(tmp_path / "f.npz")


def test_evaluate_prints_and_saves_its_accuracies(knows_itself, tmp_path, capsys):
    """Views 3: clip hits of the three videos 1/3, 1, 0, so 44.4 %; as videos 0, 1, 0; with one view 0, 1, 0."""
    out = tmp_path / "p.npz"
    assert main(["evaluate", *knows_itself, "--views", "3", "--batch", "2", "--save", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines[:4]] == [
        "0.0 %  a (1)", "100.0 %  b (1)", "0.0 %  f (1)", "– %  no videos of 3 classes: c, d, e"
    ]  # fmt: skip
    assert [line.split() for line in lines[5:9]] == [  # true class in rows; a clip of f is taken for a
        ["1", "2", "3"], ["1", "a", "0", "1", "0"], ["2", "b", "0", "1", "0"], ["3", "f", "1", "0", "0"]
    ]  # fmt: skip
    assert lines[9] == ("video Hit@1 33.3 %, Hit@5 66.7 % (3 videos); clip Hit@1 44.4 %, Hit@5 66.7 % (9 clips)")
    found = load_predictions(out)
    assert (found.fold, found.side, found.mode, found.views, found.steps) == (1, "test", "sum", 3, 7)
    assert found.result.names == ["a/v0", "b/v1", "f/v2"] and found.result.labels.tolist() == [0, 1, 5]

    def softmax(scores):
        e = np.exp(np.asarray(scores) - np.max(scores))
        return e / e.sum()

    clips = [softmax([30, 10, 0, 0, 0, 0]), *[softmax([0, 20, 0, 0, 0, 0])] * 2]
    np.testing.assert_allclose(found.result.probabilities[0], np.mean(clips, axis=0), atol=1e-6)
    np.testing.assert_allclose(found.result.probabilities[2], softmax([20, 10, 10, 10, 10, 0]), atol=1e-6)
    assert (found.result.clip_hit1, found.result.clip_hit5) == (pytest.approx(4 / 9), pytest.approx(2 / 3))
    assert main(["evaluate", *knows_itself, "--side", "train", "--views", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "on the training videos: video Hit@1 100.0 %, Hit@5 100.0 % (6 videos); "
        "clip Hit@1 100.0 %, Hit@5 100.0 % (12 clips)"
    )
    assert main(["evaluate", *knows_itself, "--whole"]) == 0  # video 0: mean (0.75 a, 0.75 b), and a comes first
    assert capsys.readouterr().out.splitlines()[-1] == (
        "video Hit@1 66.7 %, Hit@5 66.7 % (3 videos, each whole in one pass)"
    )


def test_fuse_prints_every_streams_accuracy_and_that_of_all(tmp_path, capsys):
    """Streams with 1 and 2 of 4 right; at weights 3 to 1 the first decides."""
    one, two = str(tmp_path / "one.npz"), str(tmp_path / "two.npz")
    write(one, [1, 3, 6, 6])
    write(two, [3, 1, 1, 6])
    out = str(tmp_path / "fused.npz")
    assert main(["fuse", one, two, "--weights", "30", "1", "--save", out]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("video ")[1] for line in lines[:3]] == [
        "Hit@1  25.0 %, Hit@5  50.0 %", "Hit@1  50.0 %, Hit@5  75.0 %", "Hit@1  25.0 %, Hit@5  50.0 %",
    ]  # fmt: skip
    assert lines[3].startswith("4 videos")
    a, b = (load_predictions(file).result.probabilities for file in (one, two))
    np.testing.assert_allclose(load_predictions(out).result.probabilities, (30 * a + b) / 31)
