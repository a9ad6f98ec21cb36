"""Pages of the demo, of one run, of several: they show what was found, and each is a file that stands alone."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from films import film, number, numbered, quadrants
from html_pages import Page, check_page

from snippets.data.features import save_features
from snippets.data.mini.make import CLASSES, KIND_NAMES, KINDS
from snippets.nets.zoo import HEADS
from snippets.training.cli.main import main
from snippets.training.evaluate import result_of
from snippets.training.experiments import demo_page, report
from snippets.training.experiments.report import CANNOT
from snippets.training.experiments.statistics import wilson
from snippets.training.log import read_log
from snippets.training.predictions import load_predictions, save_predictions
from snippets.training.render import charts, page


def test_what_is_put_in_as_text_is_escaped():
    parts = [
        page.section("<h>", page.text("a & <b>")), page.table(["<x>"], [["<y>", "<z>"]], "<c>"), page.code("<d>"),
        page.bar_table(["", "<x>"], [["<y>", (0.5, "<z>")]]), page.confusion(np.eye(2), ["<x>", "y"], "<t>"),
        page.image(np.zeros((2, 2, 3), np.uint8), '"><script>'),
    ]  # fmt: skip
    found = Page(page.page("<title>", "<lead>", parts))
    assert "a & <b>" in found.texts and "<z>" in found.texts and found.of("img")[0]["alt"] == '"><script>'
    assert not any(tag in ("x", "y", "z", "b", "script", "lead", "t", "c", "d", "h") for tag, _ in found.tags)


def test_a_picture_without_words_is_refused():
    with pytest.raises(ValueError, match="alt in words"):
        page.image(np.zeros((2, 2, 3), np.uint8), "")


def test_bars_are_as_long_as_their_shares_and_a_matrix_has_its_numbers():
    table = page.bar_table(["", "a", "b", "c"], [["one", 0.25, float("nan"), 3], ["two", (0.5, "half"), 1.0, "x"]])
    widths = [each["style"] for each in Page(table).of("td") if "style" in each]
    assert widths == [f"background-size:{w}% 100%" for w in ("25.0", "50.0", "100.0")]
    assert Page(table).texts[3:] == ["one", "25 %", "–", "3", "two", "half", "100 %", "x"]
    matrix = Page(page.confusion(np.array([[3.0, 1.0], [0.0, 0.5]]), ["a", "b"], "net", edges={1}))
    assert matrix.texts[1:] == ["a", "b", "a", "3", "1", "b", "0.5"]
    shades = [each["style"] for each in matrix.of("td")[1:]]
    assert len(set(shades)) == 4 and shades[3].startswith("background:rgb(0,92,150)")  # all videos of the class
    assert [each["class"] for each in matrix.of("td")[1:]] == ["own", "side", "edge", "own edge side"]


def test_learning_curves_are_those_of_the_history():
    history = [
        {"epoch": 1, "loss": 2.0, "accuracy": 0.25},
        {"epoch": 2, "loss": 0.5, "accuracy": 0.75, "test": {"hit1": 0.5}},
    ]
    right, loss = charts.curves(history, "A").axes
    drawn = [np.array(line.get_data()).tolist() for line in (*right.lines, *loss.lines)]
    assert drawn == [[[1, 2], [25.0, 75.0]], [[2], [50.0]], [[1, 2], [2.0, 0.5]]]
    styles = {(line.get_color(), line.get_linestyle()) for line in (*right.lines, *loss.lines)}
    assert len(styles) == len({color for color, _ in styles}) == len({style for _, style in styles}) == 3


def test_frames_are_shown_in_their_true_shape(tmp_path):
    """A wide video, of pixels that are not square, at most SIDE pixels wide, in the order of time."""
    film(tmp_path / "v.mp4", [np.kron(quadrants(), np.ones((4, 4, 1), np.uint8))] * 12, aspect=Fraction(8, 3))
    times, frames = charts.frames_of(tmp_path / "v.mp4", 5)
    assert len(frames) == len(times) == 5 and times[0] == 0 and (np.diff(times) > 0).all()
    h, w = frames[0].shape[:2]
    assert w == charts.SIDE and w / h == pytest.approx(32 / 9, rel=0.02)  # a picture of 4:3, its pixels 8:3
    assert [len(charts.frames_of(tmp_path / "v.mp4", 99)[1])] == [12]
    film(tmp_path / "numbered.mp4", [numbered(n) for n in range(12)])
    times, frames = charts.frames_of(tmp_path / "numbered.mp4", 5)
    assert [number(frame) for frame in frames] == [0, 3, 6, 8, 11] == [round(25 * t) for t in times]


# The demo's page


def test_mirrored_classes_know_each_other():
    pairs = {name: demo_page.mirror(name) for name in CLASSES}
    assert all(pairs[pairs[name]] == name and KINDS[pairs[name]] == KINDS[name] for name in pairs if pairs[name])
    assert {name for name, other in pairs.items() if other} == {n for n in CLASSES if KINDS[n] in ("motion", "order")}
    assert pairs["BallRising"] == "BallSinking" and pairs["CountingUp"] == "CountingDown"
    names = [list(CLASSES)[k] for k in demo_page.class_order(list(CLASSES))]
    assert list(dict.fromkeys(KINDS[name] for name in names)) == list(KIND_NAMES)
    places = {name: n for n, name in enumerate(names)}
    assert all(abs(places[name] - places[other]) == 1 for name, other in pairs.items() if other)


@pytest.mark.parametrize(
    "lstm, conv, where",
    [
        ([0.6, 0.7], [0.3, 0.5], "above"),
        ([0.1, 0.2], [0.3, 0.5], "below"),
        *((lstm, [0.3, 0.5], None)
          for lstm in ([0.4, 0.7], [0.2, 0.4], [0.5, 0.7], [0.1, 0.3], [0.35, 0.4], [0.2, 0.7])),
    ],
)  # fmt: skip
def test_findings_say_no_more_than_the_heads_do(lstm, conv, where):
    """where: all heads of the LSTM, and of the single frame, which is as right, beside those of Conv."""

    def row(found):
        return dict.fromkeys(("appearance", "motion", "order", "moment"), found)

    def verdict(one, where, other):
        apart = f"every head of {one} is {where} every head of {other}."
        return apart if where else "the ranges overlap, so this run does not tell them apart."

    found = demo_page.findings({"Single": row(lstm), "Conv": row(conv), "LSTM": row(lstm)})
    one, other = (f"{100 * np.mean(a):.0f} % ({100 * a[0]:.0f} to {100 * a[1]:.0f})" for a in (lstm, conv))
    assert found["appearance"] == f"Single {one}, Conv {other}, LSTM {one}."
    assert found["motion"] == found["order"] == f"LSTM {one}, Conv {other}: {verdict('LSTM', where, 'Conv')}"
    turned = {"above": "below", "below": "above"}.get(where)
    assert found["moment"] == f"Conv {other}, Single {one}: {verdict('Conv', turned, 'Single')}"


def test_both_clips_of_a_mirrored_pair_are_drawn(mini):
    """The pair that is right in both directions before a surer one that is not, and the frames of both clips."""
    from snippets.data.open import DataSpec, open_data

    _, videos = open_data(DataSpec(mini, 55, cache=None, progress=False), 12, build=False)
    K, up, down = len(videos.classes), *(videos.classes.index(f"Counting{way}") for way in ("Up", "Down"))
    p = np.full((len(videos), K), 0.01)
    p[:, videos.classes.index("LampRedGreenBlue")] = 0.99  # surer, but wrong for the other direction
    other = videos.classes.index("LampBlueGreenRed")
    p[np.flatnonzero(videos.labels == other), other] = 0.6
    for k in (up, down):
        p[np.flatnonzero(videos.labels == k)[0], [k, videos.classes.index("LampRedGreenBlue")]] = 0.5, 0.1
    result = result_of(videos.classes, videos.names, videos.labels, p)
    pair = demo_page.order_pair(None, videos, result)
    assert {videos.classes[videos.labels[i]] for i in pair} == {"CountingUp", "CountingDown"}
    scores = np.random.default_rng(0).standard_normal((1, 12, K))
    net = SimpleNamespace(params={"W": np.zeros(1)}, predict=lambda x: scores)
    shown = Page(demo_page.watching(net, videos, result))
    assert [t for t in shown.texts if t.startswith("Counting") and ":" not in t] == ["CountingUp", "CountingDown"]
    strips = [alt for alt in shown.pictures() if alt.startswith("frame")]
    frames = [videos.test_clips(i) for i in pair]
    a, b = (next(clip) for clip in frames)
    assert len(strips) == 24 and np.abs(a - b[::-1]).mean() < np.abs(a - b).mean() / 4


# Runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of three runs on features: two heads on the same videos, and one in folds on others."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    label = np.arange(60) % 3
    feat = rng.standard_normal((3, 6, 5))[label] + 2 * rng.standard_normal((60, 6, 5))
    names = [f"{'abc'[k]}/v_{'abc'[k]}_g{n:02d}_c01.avi" for n, k in enumerate(label)]
    save_features(folder / "f.npz", feat.astype(np.float32), label + 1, np.arange(60) >= 30, name=names)
    for head, more in (("conv", "--fc 6"), ("lstm", "--units 4 --depth 1")):
        options = f"--head {head} {more} --frames 4 --epochs 3 --batch 5 --lr 0.05".split()
        assert main(["train", str(folder / "f.npz"), "--out", str(folder / head), *options]) == 0
    return folder


def test_a_page_of_one_run(runs, capsys):
    assert main(["report", str(runs / "conv")]) == 0
    assert capsys.readouterr().out.strip() == str(runs / "conv" / "report.html")
    found = check_page(runs / "conv" / "report.html")
    r, text = load_predictions(runs / "conv" / "predictions.npz").result, " ".join(found.texts)
    low, high = wilson(r.hit1, 30)
    assert f"{100 * r.hit1:.1f} % [{100 * low:.1f} to {100 * high:.1f}]" in found.texts
    assert (
        CANNOT["conv"] in found.texts and "Trained on 30 videos of 3 classes, tested on 30 others of 30 groups." in text
    )
    assert [f"{100 * share:.0f} %" for share in r.per_class] == [
        found.texts[found.texts.index(name, found.texts.index("Class by class")) + 2] for name in "abc"
    ]
    wrong = [n for n, p in zip(r.names, r.probabilities, strict=True) if p.argmax() != "abc".index(n[0])]
    surest = max(wrong, key=lambda name: r.probabilities[r.names.index(name)].max())
    assert found.texts.index(surest) > found.texts.index("Errors of which the network was surest")
    epochs = [line for line in read_log(runs / "conv" / "log.jsonl") if line["event"] == "epoch"]
    best = max(line["test"]["hit1"] for line in epochs)
    assert f"best {100 * best:.1f} % after epoch" in text and "clip norm" in found.texts


def test_a_page_that_compares_runs(runs, tmp_path, capsys):
    out = tmp_path / "both.html"
    assert main(["report", str(runs / "conv"), str(runs / "lstm"), "--out", str(out)]) == 0
    found = check_page(out)
    assert "2 runs compared" in found.texts and all(CANNOT[head] in found.texts for head in ("conv", "lstm"))
    settings = found.texts[found.texts.index("First those that differ.") :]
    for name, one, two in (("head", "conv", "lstm"), ("fc", "6", "–"), ("units", "–", "4")):
        place = settings.index(name)
        assert settings[place + 1 : place + 3] == [one, two] and place < settings.index("frames")
    assert not {"norm", "size", "tap", "activation"} & {*settings}  # nothing reads them
    assert any("points, with the 95 %" in text for text in found.texts)
    r = [load_predictions(runs / head / "predictions.npz").result.hit1 for head in ("conv", "lstm")]
    assert any(t.startswith(f"{100 * (r[1] - r[0]):+.1f} [") for t in found.texts)


def test_folds_are_runs_and_frames_are_shown_where_the_videos_are(mini, tmp_path, capsys):
    out, cache = tmp_path / "run", str(tmp_path / "cache")
    options = "--head single --size 28 --width 0.1 --fc 8 --epochs 1 --batch 8 --fold all".split()
    assert main(["train", str(mini), "--out", str(out), "--cache", cache, *options]) == 0
    assert main(["report", str(out), "--videos", str(mini)]) == 0
    found = check_page(out / "report.html")
    assert "3 runs compared" in found.texts and {"fold1", "fold2", "fold3"} < {*found.texts}
    assert len(found.pictures()) > 3 * 8 and any(alt.endswith(", 0.00 s") for alt in found.pictures())
    assert "taken for" not in found.texts  # 16 classes have a matrix
    shutil.rmtree(out / "fold2")
    assert main(["report", str(out), "--videos", str(tmp_path / "gone")]) == 1
    assert "no such folder of videos" in capsys.readouterr().err


def test_many_classes_have_their_commonest_errors(tmp_path, runs):
    run = shutil.copytree(runs / "conv", tmp_path / "many")
    old = load_predictions(run / "predictions.npz")
    names, labels = [f"c{k}" for k in range(30)], np.arange(60) % 30
    predicted = np.where(labels == 7, 9, labels)
    many = result_of(names, [f"v{n}" for n in range(60)], labels, np.eye(30)[predicted])
    save_predictions(run / "predictions.npz", replace(old, result=many))
    assert main(["report", str(run)]) == 0
    texts = check_page(run / "report.html").texts
    place = texts.index("taken for")
    assert texts[place + 2 : place + 5] == ["c7", "c9", "2 of 2"]


def test_what_is_no_run_is_told(runs, tmp_path, capsys):
    def error(*args):
        assert main(["report", *map(str, args)]) == 1
        return capsys.readouterr().err

    assert "expected the folder of a training" in error(tmp_path)
    run = shutil.copytree(runs / "conv", tmp_path / "run")
    (run / "predictions.npz").unlink()
    assert "go on with train --resume" in error(run)
    (tmp_path / "mine.html").write_text("<p>mine")
    assert "choose another name" in error(runs / "conv", "--out", tmp_path / "mine.html")


def test_every_head_has_its_limits_in_words():
    assert set(CANNOT) == set(HEADS) and json.dumps(CANNOT).isascii()


@pytest.mark.parametrize("more", [0, 1])
def test_of_very_many_classes_those_stand_there_that_are_wrong_most(more, monkeypatch):
    """As many as fit keep their order; with one more the best is left out, as which a class without videos counts."""
    monkeypatch.setattr(report, "MOST", 4)
    shown = []
    monkeypatch.setattr(report, "bar_table", lambda head, rows: shown.append([row[0] for row in rows]))
    names, right = ["a", "b", "c", "d", "e"][: 4 + more], [0.5, np.nan, 0.25, 1.0, 0.75][: 4 + more]
    result = SimpleNamespace(classes=names, per_class=right, truth=np.ones((3, len(names))))
    report.classes([SimpleNamespace(name="run", result=result)])
    assert shown == [["a", "b", "c", "d"] if not more else ["c", "a", "e", "d"]]


@pytest.mark.parametrize("K", [report.LARGEST, report.LARGEST + 1])
def test_the_largest_matrix_of_confusions(K, monkeypatch):
    monkeypatch.setattr(report, "confusion", lambda matrix, names, title: ("matrix", names, title))
    monkeypatch.setattr(report, "commonest_errors", lambda result: [("k1", "k2", 3, 4)])
    monkeypatch.setattr(report, "table", lambda head, rows, title: ("list", rows, title))
    result = SimpleNamespace(classes=[f"k{k}" for k in range(K)], confusion=np.eye(K))
    kind, rows, title = report.confusions(SimpleNamespace(name="run", result=result))
    if K == report.LARGEST:
        assert (kind, rows, title) == ("matrix", result.classes, "run")
    else:
        assert (kind, rows, title) == ("list", [["k1", "k2", "3 of 4"]], "run: the commonest errors")
