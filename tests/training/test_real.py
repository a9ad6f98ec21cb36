"""`snippets real`: what it runs, late fusion by draws and folds, and its page, on predictions that are known."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from snippets.data.features import save_features
from snippets.data.video import write_video
from snippets.training.cli.main import main, parser
from snippets.training.evaluate import result_of
from snippets.training.experiments import statistics
from snippets.training.predictions import Predictions, save_predictions
from snippets.training.small import real as module
from snippets.training.small import real_page
from snippets.training.small.crossval import REGRESSIONS
from snippets.training.small.real import SPLITS, TUNED, Plan, fused, parts, prediction_files
from snippets.training.small.table import records_of

NAMES = [f"{'ab'[i % 2]}/{i}.avi" for i in range(8)]  # two classes, clips 0 to 3 of film0, the others of film1
FOLDS = {"film": [range(4), range(4, 8)], "random": [(0, 1, 4, 5), (2, 3, 6, 7)]}


def predictions(rows, right, sure=0.8):
    """Of some videos; right: whether each of NAMES is."""
    labels = np.array([i % 2 for i in rows])
    p = np.full((len(labels), 2), 1 - sure)
    p[np.arange(len(labels)), np.where([right[i] for i in rows], labels, 1 - labels)] = sure
    result = result_of(["a", "b"], [NAMES[i] for i in rows], labels, p)
    return Predictions(replace(result, groups=[f"film{i // 4}" for i in rows]), None)


@pytest.fixture
def plan(tmp_path):
    """All runs of a plan, done: by film every second clip is right, at random all are; the first ones are surest."""
    for i, name in enumerate(NAMES):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / "videos" / name, [np.full((24, 32, 3), 20 * i, np.uint8)] * 4, 25)
    (tmp_path / "weights.npz").touch()
    plan = Plan(str(tmp_path / "videos"), str(tmp_path / "weights.npz"), None, tmp_path / "out", "cache", 1, 2)
    for c in plan.commands():
        c.product.parent.mkdir(parents=True, exist_ok=True)
        c.product.touch()
    for split in SPLITS:
        for name, part in parts(split).items():
            for head in (*part.heads, *(REGRESSIONS if part.plain else ())):
                right = np.ones(8) if split == "random" or head == "conv" else np.arange(8) < 4
                for (file,), rows in zip(zip(*prediction_files(plan, split, name, head), strict=True), FOLDS[split],
                                         strict=True):  # fmt: skip
                    file.parent.mkdir(parents=True, exist_ok=True)
                    save_predictions(file, predictions(rows, right))
    for name, right in (("tower-as-it-was", np.arange(8) < 4), ("fine-tuned", np.ones(8))):
        for k, rows in enumerate((range(3), range(3, 6), range(6, 8))):
            file = plan.folder("pixels", name) / f"fold{k + 1}" / "predictions.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            save_predictions(file, predictions(rows, right))
    return plan


def test_its_commands_are_ones_that_can_be_typed(tmp_path):
    plan = Plan("VIDEOS", "w.npz", None, Path("out"), "cache", 2, 4)
    commands = plan.commands()
    assert len(commands) == 2 + sum(len(parts(split)) for split in SPLITS) + len(TUNED)
    assert len({c.product for c in commands}) == len(commands)
    for c in commands:
        args, flags = parser().parse_args(c.arguments), [w for w in c.arguments if w.startswith("--")]
        assert len(flags) == len({flag.partition("=")[0] for flag in flags})
        if "pixels" in str(c):
            assert "tower-rgb" in args.init and (args.freeze == ["tower/"]) == (args.lr_group == [])
        elif args.command == "train":
            assert (args.draws, args.folds) == (2, 4) and args.split_by == ("group" if "film" in str(c) else "video")
            assert ("tower-flow" in args.features_of) == (Path(args.out).name == "flow")


TOWERS = "snippets import w.npz --keep-classifier {}--out out/tower-{}.npz"
HEADS = (
    "snippets train VIDEOS --preset features --no-differences {}--epochs 12 --tune-lr 0.001 0.003 0.01 "
    "--tune-weight-decay 0.1 --split-by {} --features-of out/tower-{}.npz --draws 2 --folds 4 --heads {} "
    "--cache cache --out out/{}"
)
PIXELS = (
    "snippets train VIDEOS --tower googlenet --variant caffe --tap vector --head conv --fc 0 --standardise --size 112 "
    "--count 8 --frames 8 --epochs 6 --evaluate-every 6 --batch 16 --lr 0.003 --decay 0.85 --weight-decay 0.01 "
    "--fold all {} --init out/tower-rgb.npz --cache cache --out out/pixels/{}"
)
ON_FRAMES = "single average conv timeconv lstm"


def test_its_commands_are_these():
    """Word for word, and the file that each leaves behind."""
    commands = Plan("VIDEOS", "w.npz", None, Path("out"), "cache", 2, 4).commands()
    assert [str(c).replace("\\", "/") for c in commands] == [
        TOWERS.format("", "rgb"),
        TOWERS.format("--stream flow --size 112 --bound 20 ", "flow"),
        HEADS.format("", "group", "rgb", ON_FRAMES, "film/frames"),
        HEADS.format("--fc 64 --dropout 0.3 ", "group", "rgb", "late slow local --no-regressions", "film/layers"),
        HEADS.format("--depth 5 ", "group", "rgb", "lstm --no-regressions", "film/deep"),
        HEADS.format("", "group", "flow", "conv lstm --no-regressions", "film/flow"),
        HEADS.format("", "video", "rgb", ON_FRAMES, "random/frames"),
        PIXELS.format("--freeze tower/", "tower-as-it-was"),
        PIXELS.format("--lr-group tower/=0.1", "fine-tuned"),
    ]
    for c in commands[:2]:
        assert (str(c.product), c.folder) == (c.arguments[-1], None)
    for c in commands[2:]:
        assert str(c.folder) == c.arguments[-1]
        assert c.product == c.folder / ("model.npz" if "--heads" in c.arguments else "fold3/predictions.npz")


def test_what_is_run_and_compared(plan, monkeypatch):
    """What is not on videos is a comparison of its own, with as many processes as there are cores."""
    assert Plan("v", "w", None, Path("o"), "c")[5:] == (3, 5, 10, "")
    seen, told = [], {}
    monkeypatch.setattr(statistics, "bootstrap", partial(statistics.bootstrap, draws=5))
    monkeypatch.setattr(module, "run", lambda *given: seen.append(given))
    monkeypatch.setattr(module, "usable_cores", lambda: 7)
    monkeypatch.setattr(module, "compare", lambda *given, **how: told.update(given=given, how=how) or "compared")
    monkeypatch.setattr(module, "write_page", lambda *given: seen.append(given))
    plan = plan._replace(features="f.npz", seeds=4)
    module.real(plan, "execute")
    assert seen[0] == (plan.commands(), "execute", plan.out / "output.txt")
    options = dict(fc=256, units=256, depth=1, dropout=0.3, epochs=6, batch=16, lr=0.02, decay=0.8, clip_norm=5.0)
    names = ("average", "single", "conv", "late", "slow", "local", "timeconv", "fcpool", "rnn", "lstm")
    assert told["given"] == ("f.npz", names, 4, plan.out / "ucf101", options)
    assert told["how"] == dict(execute="execute", workers=7)
    given, records, pairs, ucf, results = seen[1]
    assert given is plan and ucf == "compared"
    assert {name: {r["to"] for r in rows} for name, rows in records.items()} == {
        "film": {"single frame"}, "random": {"single frame"}, "pixels": {"tower as it was"}
    }  # fmt: skip
    leaks = {r["head"]: (r["random"], r["leak"][0]) for r in records["film"] if "leak" in r}
    assert leaks["single frame"] == (100, 50) and leaks["Conv Pooling"] == (100, 0)
    assert pairs[0][:3] == ("What does joining frames add?", "Conv Pooling", "single frame") and pairs[0][3][0] == 50
    assert results["LSTM on flow"][0][0].names == NAMES[:4]


def test_streams_of_other_folds_are_not_fused(plan):
    files = prediction_files(plan, "film", "frames", "conv")
    for other in (files * 2, [files[0] * 2]):
        with pytest.raises(ValueError, match="zip"):
            fused(files, other)


def test_the_page(plan, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(statistics, "bootstrap", partial(statistics.bootstrap, draws=50))
    monkeypatch.setattr(module, "UCF_HEADS", ("average", "lstm"))
    feat = np.random.default_rng(0).random((12, 3, 5), np.float32)
    save_features(tmp_path / "f.npz", feat, 1 + np.arange(12) % 2, np.arange(12) >= 8)
    given = ["real", plan.videos, "--weights", plan.weights, "--draws", "1", "--folds", "2", "--out", str(plan.out)]
    assert main([*given, "--published", "about 72 % (somebody)", "--cache", "cache",
                 "--features", str(tmp_path / "f.npz"), "--seeds", "2"]) == 0  # fmt: skip
    assert "error" not in capsys.readouterr().err and (plan.out / "real-video.jpg").stat().st_size > 1000
    text, found = (plan.out / "real-video.md").read_text(), json.loads((plan.out / "real-video.json").read_text())
    assert "## 8 clips of 2 films" in text and "Published for these clips: about 72 % (somebody)." in text
    rows = {r["head"]: r for r in found["film"]}
    assert rows["single frame"]["mean"] == 50 and rows["single frame"]["leak"][0] == 50
    assert rows["Conv Pooling"]["mean"] == 100 and rows["Conv Pooling"]["leak"] == [0, 0, 0]
    assert "| single frame | 50.0 | 0.0 to 100.0 | 50.0 | 100.0 | +50.0 [+0.0, +100.0] |" in text
    assert (
        rows["LSTM, both by SVM"]["mean"] == 0
    )  # each fold's SVM has learned of a film where both streams err, or not
    assert f"in the mean of {5 + len(REGRESSIONS)} rows" in text and "lies above zero in 0 of them" in text
    assert "The best network by film, Conv Pooling, is right on 100.0 % [100.0, 100.0] of the clips" in text
    assert "| LSTM on flow | 50.0 | 0.0 to 100.0 | 50.0 | – | – |" in text
    assert "| Conv Pooling over single frame | +50.0 [+0.0, +100.0] | not told apart |" in text
    tuned = {r["head"]: r for r in found["pixels"]}
    assert tuned["tower as it was"]["mean"] == 50 and tuned["fine-tuned"]["mean"] == 100
    assert "| fine-tuned | 100.0 | 100.0 | 100.0 to 100.0 | +50.0 [+0.0, +100.0] |" in text
    assert "## Heads on f.npz\n\n4 test videos of 4 groups; one split, 2 seeds.\n\n| head | Hit@1" in text
    assert [(r["head"], len(r["by_seed"])) for r in found["ucf101"]] == [("average", 2), ("lstm", 2)]
    assert len(found["random"]) == 5 + len(REGRESSIONS) and len(rows) == 11 + 4 + len(REGRESSIONS)


def test_videos_without_groups_are_not_counted():
    found = predictions(range(4), np.ones(8)).result
    some = {"single frame": [[replace(found, groups=["film0"])]]}
    for call in (lambda: module.hits_of({"film": some}), lambda: records_of(some, ())):
        with pytest.raises(ValueError, match="zip"):
            call()


def test_the_page_is_of_the_best_network(tmp_path, monkeypatch, capsys):
    """Of those that are no regressions; the picture is of its first draw."""
    seen = []
    monkeypatch.setattr(real_page, "page", lambda *given: seen.append(given) or "TEXT\n")
    monkeypatch.setattr(real_page, "picture", lambda *given: seen.append(given))
    rows = [
        {"head": name, "mean": mean} for name, mean in (("a", 50), ("b", 70), ("c", 60), (next(iter(REGRESSIONS)), 90))
    ]
    plan, records = Plan("clips", "w", None, tmp_path, "c"), {"film": rows, "pixels": []}
    real_page.write_page(plan, records, ["pairs"], ["ucf"], {"b": ["first", "second"], "a": ["third"]})
    assert seen == [
        (plan, records, ["pairs"], ["ucf"], rows[1]), (tmp_path / "real-video.jpg", Path("clips"), "first")
    ]  # fmt: skip
    assert capsys.readouterr().out == f"TEXT\n\n{tmp_path / 'real-video.md'} (.json, .jpg)\n"
    assert (tmp_path / "real-video.md").read_text() == "TEXT\n"
    found = json.loads((tmp_path / "real-video.json").read_text())
    assert found == records | {"pairs": ["pairs"], "ucf101": ["ucf"]}


@pytest.mark.parametrize(
    "low, high, said",
    [
        (0.5, 2, "better"), (0, 2, "not told apart"), (-2, -0.5, "worse"), (-2, 0, "not told apart"),
        (-2, 0.5, "not told apart"), (-0.5, 2, "not told apart"),
    ],
)  # fmt: skip
def test_an_interval_that_holds_zero_tells_nothing_apart(low, high, said):
    text = f"+0.2 [{low:+.1f}, {high:+.1f}]"
    assert real_page.pair_row("why", "a", "b", (0.2, low, high)) == ["why", "a over b", text, said]


def test_fusion_by_fold(tmp_path):
    """One stream is right and hardly sure, the other wrong and sure: the mean follows the second, the SVM learns."""
    files = []
    for stream, right, sure in (("x", np.ones(8), 0.6), ("y", np.zeros(8), 0.9)):
        files.append([[tmp_path / f"{stream}{k}.npz" for k in (0, 1)]])
        for file, rows in zip(files[-1][0], FOLDS["film"], strict=True):
            save_predictions(file, predictions(rows, right, sure))
    (mean,), (svm,) = fused(*files)
    assert [r.hit1 for r in mean] == [0, 0] and [r.hit1 for r in svm] == [1, 1]
    np.testing.assert_allclose(mean[0].probabilities[0], [0.35, 0.65])
    assert mean[1].names == svm[1].names == NAMES[4:] and svm[1].groups == ["film1"] * 4
    odd = predictions(range(4, 8), np.zeros(8), 0.9)  # the SVM of fold 1 has learned of these alone
    labels = 1 - odd.result.labels
    save_predictions(files[1][0][1], replace(odd, result=replace(odd.result, labels=labels)))
    other = predictions(range(4, 8), np.zeros(8), 0.6)
    save_predictions(files[0][0][1], replace(other, result=replace(other.result, labels=labels)))
    _, (svm,) = fused(*files)
    assert svm[0].hit1 == 0
