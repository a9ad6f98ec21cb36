"""Parts of the pages about runs and of the demo's page, each on a case of a few videos."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from html_pages import Page

from snippets.data.mini.make import CLASSES
from snippets.training.evaluate import result_of
from snippets.training.experiments import demo_page, report
from snippets.training.experiments.report import CANNOT, CHANGES


def run(name="run", classes="ab", labels=(0, 1), p=((0.9, 0.1), (0.2, 0.8)), groups=None, **about):
    """A run of these test videos, and what its checkpoint says."""
    names = [f"v{n}" for n in range(len(labels))]
    result = result_of(list(classes), names, np.array(labels), np.array(p), len(labels), (0.5, 0.5))
    about = {"history": [], "config": {"head": "lstm"}} | about
    return report.Run(name, SimpleNamespace(**about), replace(result, groups=groups))


def wrong(count, K=2):
    """Answers that are wrong, each surer than the one before."""
    return [0] * count, [np.r_[0.4 - n / 100, 0.6 + n / 100, np.zeros(K - 2)] for n in range(count)]


def test_how_much_is_shown():
    assert (report.MOST, report.ERRORS, report.SHOWN, demo_page.SHOWN) == (120, 6, 8, 12)


def test_the_surest_errors_come_first_and_no_more_than_fit(monkeypatch):
    told = []
    monkeypatch.setattr(report, "table", lambda head, rows, title: told.append((rows, title)) or "")
    labels, p = wrong(report.ERRORS + 2)
    report.errors(run(labels=[*labels, 0], p=[*p, (0.99, 0.01)]), None)
    ((rows, title),) = told
    assert title == "run" and [row[0] for row in rows] == ["v7", "v6", "v5", "v4", "v3", "v2"]
    assert rows[0][1:] == ["a", "b", "67 %"]
    assert "it made none" in report.errors(run(), None)


def test_what_is_second_best_is_no_answer():
    """Right is a video whose most probable class is a true one."""
    assert run(labels=[0, 1, 0], p=[(0.9, 0.1), (0.6, 0.4), (0.2, 0.8)]).right.tolist() == [1, 0, 0]


@pytest.mark.parametrize("more", [{}, {"differences": True}])
def test_what_a_network_cannot_see_is_told_once_for_each_head(more):
    """With differences, if any of the runs has them."""
    runs = [run(config={"head": "lstm", **more}), run(config={"head": "lstm"}), run(config={"head": "conv"})]
    lstm, conv = (Page(part).texts for part in report.blind(runs))
    assert lstm[1:] == [" ".join([CANNOT["lstm"], *([CHANGES] if more else [])])] and conv[1:] == [CANNOT["conv"]]


def test_the_last_test_and_the_best():
    def learned(*shares):
        history = [{"epoch": n, "loss": 1.0, "accuracy": 0.5} for n in range(1, 6)]
        for record, share in zip(history[5 - len(shares) :], shares, strict=True):
            record["test"] = {"hit1": share}
        return " ".join(Page(report.learning(run(history=history))).texts)

    assert "Last test 25.0 %, best 75.0 % after epoch 3." in learned(0.125, 0.75, 0.5, 0.25)  # epochs 2 to 5
    assert "Last test 50.0 %, best 50.0 % after epoch 5." in learned(0.5)
    assert "Last test" not in learned()
    assert "it was not trained epoch by epoch" in report.learning(run())


def test_hit5_stands_where_there_are_more_classes():
    """Of five classes all videos hit; beside a run of six it has an empty cell."""
    five, six = ((np.eye(K)[[0, 0]] + 0.1) / (1 + K / 10) for K in (5, 6))
    few, many = run("few", "abcde", p=five), run("many", "abcdef", p=six)
    heads = ["run", "video Hit@1", "clip Hit@1"]
    assert Page(report.accuracies([few])).texts[1:4] == heads and "Hit@" not in Page(report.accuracies([few])).texts[4]
    for runs in [many], [few, many], [many, few]:
        assert Page(report.accuracies(runs)).texts[1:5] == [*heads, "Hit@5"]
    assert report.top_of([run(), many]) == 5


def test_classes_and_counts_are_those_of_the_first_run(monkeypatch):
    """Another run may have other classes and other videos."""
    told = []
    monkeypatch.setattr(report, "bar_table", lambda head, rows: told.append((head, rows)))
    first = run("one", "abc", [0, 1, 1], np.eye(3)[[0, 1, 0]])
    report.classes([first, run("two", "bd", [0, 1], np.eye(2)[[0, 0]])])
    ((head, rows),) = told
    assert head == ["class", "test videos", "one", "two"]
    assert [(name, count) for name, count, *_ in rows] == [("a", 1), ("b", 2), ("c", 0)]
    shares = np.array([row[2:] for row in rows], float)
    np.testing.assert_array_equal(shares, [[1.0, np.nan], [0.5, 1.0], [np.nan, np.nan]])


def test_differences_are_of_runs_on_the_same_videos(monkeypatch):
    """To the first one, in points, by its groups."""
    asked = []
    monkeypatch.setattr(report, "bootstrap", lambda d, groups: asked.append((d.tolist(), groups)) or (0.5, -0.25, 1))
    first = run("one", labels=[0, 1], groups=["g", "h"])
    other = run("two", labels=[0, 1], p=[(0.9, 0.1), (0.7, 0.3)], groups=["g", "h"])
    third = run("three", labels=[0, 1, 1], p=[(0.9, 0.1)] * 3)
    found = Page(report.differences([first, other, third])).texts
    assert asked == [([[0.0, -1.0]], ["g", "h"])] and "three" not in found
    assert found[-2:] == ["two", "+50.0 [-25.0, +100.0]"]
    assert report.differences([first, third]) == "" == report.differences([first])


def about(seed, lr, head="conv"):
    """A checkpoint's settings."""
    config = {"head": head, "tower": "alexnet", "fc": 5}
    return {
        "config": config,
        "data": {"fps": 2},
        "settings": {"seed": seed, "lr": lr},
        "fold": 1,
        "epoch": 3,
        "steps": 6,
    }


def test_settings_that_differ_come_first():
    """In the order in which they are told; a setting that the first two runs share may still differ in the third."""
    runs = [run(**about(0, 0.5)), run(**about(0, 0.25)), run(**about(7, 0.25))]
    found = Page(report.settings(runs)).texts
    rows = [found[n : n + 4] for n in range(found.index("seed"), len(found), 4)]
    assert rows[:2] == [["seed", "0", "0", "7"], ["lr", "0.5", "0.25", "0.25"]]
    assert [row[0] for row in rows[2:]] == ["fps", "head", "tower", "fc", "fold", "epochs done", "updates"]
    assert "First those that differ." in found and "First those" not in " ".join(Page(report.settings(runs[:1])).texts)


# The demo's page


def test_frames_and_curves_of_a_mirrored_pair(monkeypatch):
    """Pixels from -1 to 1 become 0 to 255, what lies outside is cut off; answers are those at the last frame."""
    clip = np.repeat([-1.5, -1.0, 0.0, 1.0, 1.5], 4).reshape(5, 2, 2, 1).repeat(3, axis=3)
    p = np.array([  # of five classes after each frame; the true ones are the first two
        [0.4, 0.5, 0.0, 0.0, 0.1], [0.1, 0.3, 0.5, 0.0, 0.1], [0.4, 0.1, 0.0, 0.4, 0.1], [0.1, 0.8, 0.0, 0.0, 0.1],
        [0.7, 0.2, 0.0, 0.0, 0.1],
    ])  # fmt: skip
    q = np.tile([0.45, 0.25, 0.05, 0.05, 0.2], (5, 1))
    told = []
    monkeypatch.setattr(demo_page, "order_pair", lambda *given: [0, 1] if given == ("net", videos, "result") else None)
    monkeypatch.setattr(demo_page, "predicted", lambda net, test_set, i: (clip, (p, q)[i]))
    monkeypatch.setattr(demo_page, "over_time", lambda x, y, names, unit, bold: told.append((x, y, names, unit, bold)))
    monkeypatch.setattr(demo_page, "strip", lambda *given: told.append(given) or "")
    monkeypatch.setattr(demo_page, "picture", lambda curve, alt, caption: f"{alt} {caption}")
    videos = SimpleNamespace(classes=["up", "down", "c", "d", "e"], labels=np.array([0, 1]))
    found = demo_page.watching("net", videos, "result")
    assert len(told) == 4
    for n, ((x, y, names, unit, bold), (frames, alts, percent, least)) in enumerate((told[:2], told[2:])):
        assert (x.tolist(), names, unit, bold) == ([1, 2, 3, 4, 5], ["up", "down", "c", "d"], "frame", n)
        np.testing.assert_array_equal(y, (p, q)[n][:, :4])
        assert frames.dtype == np.uint8 and frames[:, 0, 0, 0].tolist() == [0, 0, 127, 255, 255] and least == 48
        own = [f"{100 * x:.0f} %" for x in (p, q)[n][:, n]]
        assert percent == own and alts == [f"frame {t}, {videos.classes[n]} {x}" for t, x in enumerate(own, 1)]
    assert "gives up, the true class, 70 %" in found and "gives down, the true class, 25 %" in found
    assert found.count("the most probable class is up.") == 2 and found.count("<h3>") == 2


@pytest.mark.parametrize("right, surest", [
    ({"CountingUp": (1, 0.6), "CountingDown": (1, 0.5), "LampRedGreenBlue": (1, 0.9), "LampBlueGreenRed": (1, 0.4)},
     {"CountingUp", "CountingDown"}),  # by the less sure one of both
    ({"CountingUp": (1, 0.6), "CountingDown": (0, 0.9), "LampRedGreenBlue": (1, 0.3), "LampBlueGreenRed": (1, 0.3)},
     {"LampRedGreenBlue", "LampBlueGreenRed"}),  # both right
    ({"CountingUp": (0, 0.6), "CountingDown": (0, 0.9), "LampRedGreenBlue": (0, 0.3), "LampBlueGreenRed": (0, 0.3)},
     {"CountingUp", "CountingDown"}),  # none is
])  # fmt: skip
def test_the_pair_that_is_shown_is_the_surest_that_is_right(right, surest):
    """right: whether the true class is the most probable one, and the probability that it has."""
    classes = sorted(CLASSES)
    pairs = {name for name in classes if demo_page.KINDS[name] == "order"}
    names = [f"{name}/v_{name}_g01_c01.avi" for name in classes]
    p = np.full((len(classes), len(classes)), 0.01)
    for k, name in enumerate(classes):
        first, sure = right.get(name, (0, 0.05))
        p[k, k] = sure
        if not first:
            p[k, (k + 1) % len(classes)] = 0.95
    labels = np.arange(len(classes))
    videos = SimpleNamespace(names=names, labels=labels, classes=classes)
    one, other = demo_page.order_pair("net", videos, SimpleNamespace(probabilities=p))
    assert {classes[one], classes[other]} == surest <= pairs and not CLASSES[classes[one]][-1]
