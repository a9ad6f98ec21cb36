"""What `evaluate` and `predict` hand on to what computes, and every line that they print: stand-ins record it."""

from types import SimpleNamespace

import numpy as np
import pytest
from recorded_calls import record

from snippets.data.features import save_features
from snippets.data.video import VideoError
from snippets.training.cli import evaluate, predict
from snippets.training.cli.evaluate import class_lines, confusion_lines
from snippets.training.cli.main import main, parsed
from snippets.training.evaluate import result_of
from snippets.training.predictions import Predictions

RESULT = result_of(list("01"), list("xy"), np.array([0, 1]), np.eye(2), 6, [1.0, 1.0])


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Nine training videos and four of fold 2, a network trained on them; the calls of an evaluation."""
    monkeypatch.chdir(tmp_path)
    feat = np.random.default_rng(0).standard_normal((13, 4, 3)).astype(np.float32)
    save_features("f.npz", feat, np.arange(13) % 2 + 1, np.arange(13) >= 9, fold=2)
    words = "train f.npz --head lstm --units 2 --depth 1 --epochs 1 --inference max --view-starts random --out run"
    assert main([*words.split(), "--batch", "3"]) == 0
    answers = {
        "check_memory": None, "save_predictions": None, "write_probabilities": None, "prediction_memory": 99,
        "evaluate": RESULT, "evaluate_whole": RESULT,
    }  # fmt: skip
    return {name: record(monkeypatch, evaluate, name, answer) for name, answer in answers.items()}


@pytest.mark.parametrize(
    "options, side, clips, how",
    [
        ("", 4, 4, [(1, "random"), 16, "max"]),
        ("--views 3 --batch 5 --view-starts spread --mode last", 4, 5, [(3, "spread"), 5, "last"]),
        ("--views 3 --batch 100 --side train", 9, 27, [(3, "random"), 100, "max"]),
    ],
)
def test_an_evaluation_by_clips(calls, capsys, options, side, clips, how):
    """With what the network was trained with, unless told otherwise; its memory is that of a batch."""
    capsys.readouterr()
    assert main(["evaluate", "run/checkpoint.npz", "f.npz", "--save", "p.npz", *options.split()]) == 0
    ((net, videos, *found),) = calls["evaluate"]
    assert (len(videos), found) == (side, how)
    assert calls["prediction_memory"] == [(net, (clips, 4, 3))]
    assert calls["check_memory"] == [(f"a prediction for {clips} clips of 4 frames", 99)]
    kept = Predictions(RESULT, 2, "train" if side == 9 else "test", how[2], how[0][0], 3)
    assert calls["save_predictions"] == [("p.npz", kept)] and not calls["write_probabilities"]
    *_, result, path = capsys.readouterr().out.splitlines()
    assert (result, path) == ("on the training videos: " * (side == 9) + str(RESULT), "p.npz")


def test_an_evaluation_of_whole_videos(calls, capsys):
    capsys.readouterr()
    assert main("evaluate run/checkpoint.npz f.npz --whole --views 3 --save p.npz".split()) == 0
    assert main("evaluate run/checkpoint.npz f.npz --whole --save p.CSV".split()) == 0
    assert [(len(videos), *how) for _, videos, *how in calls["evaluate_whole"]] == [(4, "max", False)] * 2
    assert calls["save_predictions"] == [("p.npz", Predictions(RESULT, 2, mode="max", views=0, steps=3))]
    ((path, classes, names, p, truth),) = calls["write_probabilities"]
    assert (path, classes, names, p is RESULT.probabilities) == ("p.CSV", ["0", "1"], ["x", "y"], True)
    assert truth.tolist() == [[True, False], [False, True]]
    assert not (calls["evaluate"] or calls["check_memory"] or calls["prediction_memory"])
    assert "p.CSV" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "options, data, found",
    [
        ("--all", "f.npz", "a file of features"), ("--all --side train", "f.npz", "a file of features"),
        ("--all --side train", "videos", "--side train or --fold"), ("--all --fold 2", "videos", "--side train or"),
    ],
)  # fmt: skip
def test_what_all_does_not_go_with(options, data, found):
    with pytest.raises(ValueError, match=f"^--all tests all videos of a folder, found {found}"):
        evaluate.fold_of(parsed(["evaluate", "m.npz", data, *options.split()]), None)
    assert evaluate.fold_of(parsed(["evaluate", "m.npz", "videos", "--all"]), None) == "all"


@pytest.mark.parametrize("without, named", [(1, "c1"), (5, "c1, c2, c3, c4, c5"), (6, "c1, c2, c3, c4, c5 ...")])
def test_classes_without_videos_are_named(without, named):
    names = ["a", *(f"c{n + 1}" for n in range(without))]
    assert class_lines(result_of(names, ["v"], np.array([0]), np.eye(len(names))[[0]])) == [
        " 100.0 %  a (1)", f"     – %  no videos of {without} classes: {named}"
    ]  # fmt: skip


def test_a_matrix_of_confusions():
    """Columns as wide as the numbers, five at least, and as the longest name; only classes that occur."""
    labels, predicted = np.repeat([0, 1], [1234, 2]), np.zeros(1236, int)
    predicted[-1] = 3
    for videos, lines in (
        (slice(None), ["             1     2     3", "  1 a     1234     0     0", "  2 long     1     0     1",
                       "  3 c        0     0     0"]),
        (slice(1231, None), ["            1    2    3", "  1 a       3    0    0", "  2 long    1    0    1",
                             "  3 c       0    0    0"]),
    ):  # fmt: skip
        names = [f"v{n}" for n in range(len(labels[videos]))]
        p = np.eye(5)[predicted[videos]]
        found = confusion_lines(result_of(["a", "long", "none", "c", "d"], names, labels[videos], p))
        assert found == ["true class in rows, predicted class in columns, in videos:", *lines]


@pytest.mark.parametrize("K, matrix", [(20, True), (21, False)])
def test_up_to_twenty_classes_are_a_matrix(K, matrix):
    labels = np.arange(K)
    result = result_of([f"c{k}" for k in labels], labels.astype(str), labels, np.eye(K)[np.roll(labels, 1)])
    lines = confusion_lines(result)
    assert len(lines) == (K + 2 if matrix else 10)
    assert lines[0].startswith("true class in rows" if matrix else "     1 of 1 videos of c0 taken for ")


def network(head="conv", length=None):
    """What `load_model` gives, without a network in it."""
    config = SimpleNamespace(tower="alexnet", head=head, frames=4, size=8)
    data = SimpleNamespace(length=length)
    return SimpleNamespace(config=config, classes=["x", "y", "z"], net="net", mode="max", data=data)


@pytest.fixture
def predicting(monkeypatch, tmp_path):
    """A network of three classes with answers made up: every file but the damaged ones is a video."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.avi", "b.avi", "bad.avi", "gone.avi"):
        (tmp_path / name).touch()
    model = network()
    calls, answers = [], {"a.avi": [0.25, 0.5, 0.25], "b.avi": [0.96, 0.04, 0.0]}

    def probabilities(path, *given):
        calls.append((path, *given))
        if path not in answers:
            raise VideoError(f"{path} is damaged") if path == "bad.avi" else FileNotFoundError(f"{path}: no such file")
        return np.array(answers[path])

    monkeypatch.setattr(predict, "probabilities", probabilities)
    monkeypatch.setattr(predict, "load_model", lambda path, device: model)
    monkeypatch.setattr(predict, "write_probabilities", lambda *args: calls.append(args))
    return model, calls


A = "a.avi\n   50.0 %  y\n   25.0 %  x\n   25.0 %  z\n"
B = "b.avi\n   96.0 %  x\n    4.0 %  y\n    0.0 %  z\n"
HOW = "  (mean of 5 clips of 4 frames per video)\n"
LAST = "error: gone.avi: no such file\n"


@pytest.mark.parametrize(
    "command, out, err, status",
    [
        ("a.avi b.avi", A + B + HOW, "", 0),
        ("a.avi bad.avi b.avi", A + B + HOW, "error: bad.avi is damaged\n", 1),
        ("a.avi --top 1 --views 2", "a.avi\n   50.0 %  y\n" + HOW.replace("5", "2"), "", 0),
        ("bad.avi gone.avi --save p.csv", "", "error: bad.avi is damaged\n" + LAST, 1),
        ("b.avi gone.avi --save p.csv", B + HOW + "wrote p.csv\n", LAST, 1),
        ("a.avi --render a.png --save p.csv", A + "HOW\nwrote a.png\nwrote p.csv\n", "", 0),
    ],
)
def test_what_predict_prints_and_where(predicting, monkeypatch, capsys, command, out, err, status):
    """Errors on stderr, and the others are still told; how the answers came about is said once."""
    model, calls = predicting
    if "--render" in command:
        monkeypatch.setattr(predict, "how", lambda *args: "HOW")
    assert main(["predict", "model.npz", *command.split()]) == status
    assert capsys.readouterr() == (out, err)
    asked = [given for given in calls if len(given) == 3]
    assert [path for path, *_ in asked] == [word for word in command.split() if word.endswith(".avi")]
    assert all(of is model for _, of, _ in asked)
    saved = [given for given in calls if len(given) == 4]
    assert len(saved) == ("--save" in command and out != "")
    for path, classes, names, p in saved:
        answered = ["b.avi"] if "b.avi" in command else ["a.avi"]
        assert (path, classes, list(names), len(p)) == ("p.csv", ["x", "y", "z"], answered, 1)


def test_one_video_is_drawn_at_a_time(predicting, capsys):
    assert main("predict model.npz a.avi b.avi --render a.png".split()) == 1
    assert capsys.readouterr().err == "snippets: --render a.png takes one video at a time, found 2\n"
    assert not predicting[1]


@pytest.mark.parametrize(
    "head, frames, given, words",
    [
        ("conv", 4, {}, "mean of 5 clips of 4 frames per video"), ("conv", 1, {}, "mean of 5 frames per video"),
        ("conv", 4, {"whole": True}, "all frames in one pass, as --whole"),
        ("conv", 4, {"render": "a.png"}, "all frames in one pass, as --whole"),
        ("single", 1, {"render": "a.png"}, "mean over all frames, as --whole"),
        ("single", 2, {}, "mean of 5 clips of 2 frames per video"),
    ],
)  # fmt: skip
def test_how_a_prediction_came_about(head, frames, given, words):
    model = SimpleNamespace(config=SimpleNamespace(head=head, frames=frames))
    args = SimpleNamespace(**dict(whole=False, render=None, views=5) | given)
    assert predict.how(model, args).startswith(f"  ({words}")


@pytest.mark.parametrize("head", ["conv", "single"])
@pytest.mark.parametrize("limited", [False, True])
def test_what_computes_a_prediction(monkeypatch, head, limited):
    """Views, a whole video frame by frame, or a picture of it; a video of limited length ends or repeats."""
    model, calls, blocks = network(head, 6 if limited else None), [], [np.arange(2), np.arange(2, 3)]
    videos = SimpleNamespace(blocks=lambda i: iter(blocks[i:]), test_clips=lambda i, views, rng: [("clip", i, views)])
    monkeypatch.setattr(predict, "video_set", lambda *given: calls.append(given) or videos)
    monkeypatch.setattr(predict, "whole_video", lambda path, of: iter([np.array([path == "a.avi" and of is model])]))
    monkeypatch.setattr(predict, "predict_clips", lambda of, clips: (of is model, clips))
    monkeypatch.setattr(predict, "whole_answer", lambda net, frames, *how: (net, [f.tolist() for f in frames], *how))
    monkeypatch.setattr(predict, "to_numpy", lambda a: a)
    monkeypatch.setattr(predict, "render", lambda path, out, of, frames: (path, out, [f.tolist() for f in frames]))
    frames = [[0], [1], [2]] if limited else [[True]]
    for given, answer in (
        ({}, (True, [("clip", 0, 5)])),
        ({"whole": True}, ("net", frames, "max", head == "single")),
        ({"render": "a.png"}, ("a.avi", "a.png", frames)),
        ({"render": "a.png", "whole": True}, ("a.avi", "a.png", frames)),
    ):
        args = SimpleNamespace(**dict(whole=False, render=None, views=5) | given)
        assert predict.probabilities("a.avi", model, args) == answer
    assert calls == [(["a.avi"], 4, 8, model.data)] * 4
