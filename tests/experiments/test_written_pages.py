"""Whole pages and their pictures, written down a second time: whoever changes one has to mean it, and look at it.

Nothing is trained: accuracies, histories and probabilities are made up. After a change that is meant:
`PYTHONPATH=tests/kit python tests/experiments/test_written_pages.py > tests/experiments/pages.txt`.
"""

import os
import re
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
from seen import drawn, figure_lines, page_lines
from written import assert_written

from snippets.data.layouts.table import VideoFolder
from snippets.data.mini.make import make_mini
from snippets.data.open import DataSettings, DataSpec, open_data
from snippets.data.video import write_video
from snippets.nets.zoo import NetConfig
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.distributed import simulation_report
from snippets.training.evaluate import result_of
from snippets.training.experiments import clips, demo, demo_page, report, tables_report
from snippets.training.experiments.claims import judge
from snippets.training.experiments.claims.ablations import ABLATIONS
from snippets.training.experiments.claims.lab import QUICK, Lab
from snippets.training.experiments.claims.sentences import CLAIMS
from snippets.training.predictions import Predictions, save_predictions
from snippets.training.render import page
from snippets.training.settings import Settings
from snippets.training.small import heads, real_page
from snippets.training.small.crossval import Plan as Tries
from snippets.training.small.real import Plan

PAGES = Path(__file__).with_name("pages.txt")


def history(tests):
    """Of as many epochs; tests: accuracies, None where there was no test."""
    for n, hit1 in enumerate(tests, 1):
        yield {"epoch": n, "loss": 2 / n, "accuracy": n / 10, **({} if hit1 is None else {"test": {"hit1": hit1}})}


def run(folder, answers, labels, tests=(), **about):
    """A finished run on videos of six classes, one of which has none; answers: a class and how sure each is."""
    names = [f"{'abc'[n % 3]}/v_{'abc'[n % 3]}_g{n // 2:02d}_c{n % 2 + 1:02d}.avi" for n in range(len(answers))]
    p = np.array([np.where(np.arange(6) == k, sure / 100, (1 - sure / 100) / 5) for k, sure in answers])
    clips = 3 * len(names), (0.375, 0.75)
    result = result_of(["a", "b & c", "c", "d", "e", "f"], names, np.asarray(labels), p, *clips)
    config = asdict(NetConfig(6, **dict(frames=4, fc=8, units=5, depth=1) | about))
    save_predictions(folder / "predictions.npz", Predictions(result, 1))
    checkpoint = Checkpoint(
        {"W": np.zeros(1)}, {}, config, asdict(Settings(epochs=3)), asdict(DataSettings()), result.classes
    )
    save(folder / "checkpoint.npz", replace(checkpoint, videos=20, fold=1, epoch=3, steps=6, history=[*history(tests)]))
    return folder


SIX = [0, 1, 2, 0, 1, 2, 3, 4]
ANSWERS = [(0, 90), (1, 80), (0, 70), (0, 60), (2, 95), (2, 50), (3, 99), (5, 40)]
OTHERS = [(0, 50), (2, 80), (2, 70), (0, 60), (1, 95), (2, 50), (3, 99), (4, 40)]


def reports():
    """Name and page of one run, of runs that are compared, of one with frames, of one whose videos have two labels."""
    one = run(Path("runs/one"), ANSWERS, SIX, (None, 0.5, 0.25))
    two = run(Path("runs/two"), OTHERS, SIX, (0.5,), head="lstm", differences=True, tower="features", features=7)
    three = run(Path("runs/three"), OTHERS[:4], SIX[:4], head="single", frames=1, tower="googlenet", auxiliary=0.3)
    both = run(Path("runs/both"), ANSWERS[:4], np.eye(6, dtype=bool)[[0, 1, 2, 0]] | np.eye(6, dtype=bool)[5])
    Path("videos/c").mkdir(parents=True)
    write_video("videos/c/v_c_g01_c01.avi", [np.full((24, 48, 3), 20 * n, np.uint8) for n in range(10)], 25)
    for name, folders, videos in (
        ("one run", [one], None), ("three runs", [one, two, three], None), ("frames", [one], "videos"),
        ("two labels", [both], None),
    ):  # fmt: skip
        yield name, report.write_report(folders, Path("report.html"), videos).read_text(encoding="utf-8")


def demos(mini):
    """The demo's page, of two heads and one head; in a half of the videos mirrored classes are confused."""
    _, videos = open_data(DataSpec(mini, 55, cache=None, progress=False), 12, build=False)
    K, classes = len(videos.classes), videos.classes
    partner = [classes.index(demo_page.mirror(name) or classes[0]) for name in classes]

    def result(every):
        p = np.full((len(videos), K), 0.02)
        for i, k in enumerate(videos.labels):
            p[i, partner[k] if i % every == 0 else k] = 0.5 + i / 200
        return result_of(classes, videos.names, videos.labels, p)

    scores = 3 * np.sin(np.arange(12 * K).reshape(1, 12, K))
    net = SimpleNamespace(params={"W": np.zeros(1)}, predict=lambda x: scores)
    stages = {stage.title: stage for stage in demo.STAGES.values()}
    trained, accuracies = {}, {}
    for n, title in enumerate(stages):
        results = [result(every) for every in ((2, 3, 5), (3, 4, 7), (3, 6, 50))[n]]
        trained[title] = demo.Trained(net, results, [*history([None, 0.25 * n + 0.25])], videos)
        kinds = [demo.by_kind(each) for each in results]
        accuracies[title] = {kind: [one[kind] for one in kinds] for kind in kinds[0]}
    yield demo.accuracy_table(accuracies)
    yield demo_page.write_page(Path("demo.html"), trained, accuracies, stages, "snippets demo").read_text(
        encoding="utf-8"
    )


def real_clips():
    """What the page of real clips asks for, and what it shows: with the names of classes and an LSTM, and without."""
    for label in "abc":
        for n in range(9):
            Path(f"films/{label}").mkdir(parents=True, exist_ok=True)
            pixels = [np.full((24, 48, 3), 9 * t, np.uint8) for t in range((5, 20, 16)[n % 3])]
            write_video(f"films/{label}/v_{label}_g{n // 3}_c{n % 3}.avi", pixels, 25)
    Path("loose").mkdir()
    write_video("loose/one.avi", [np.full((24, 48, 3), 9 * t, np.uint8) for t in range(9)], 25)
    Path("loose/two.avi").write_text("no video")
    told, test = [], VideoFolder("films").load(1).test
    names, labels = [v.name for v in test], np.array([v.label for v in test])
    p = [np.roll([0.5 + n / 20, 0.2, 0.1, 0.05, 0.02], k + (n % 3 == 0)) for n, k in enumerate(labels)]
    classes, spoken = list("abcde"), ["one, first", "two, second", "three", "four"]
    data = SimpleNamespace(names=names, labels=labels, classes=classes, whole_video=lambda i: np.zeros((15, 4)))

    def predict(x):
        """Scores of frames (N, K), or after each frame (1, N, K)."""
        N, K = (x.shape[1], 5) if x.ndim == 3 else (len(x), 4)
        scores = 2 * np.sin(np.arange(N * K) * 4.0).reshape(N, K)
        return scores[None] if x.ndim == 3 else scores

    def load_model(path, device):
        told.append(f"model {path} {device}")
        net = SimpleNamespace(params={"W": np.zeros(1)}, predict=predict)
        about = {"data": DataSettings(features="raw" if "named" in str(path) else "unit"), "classes": spoken}
        return SimpleNamespace(net=net, config=SimpleNamespace(size=8), **about)

    stand_ins = {
        "read_weights": lambda path: SimpleNamespace(program="caffe"), "load_model": load_model,
        "run": lambda commands, execute, log=None: told.append(f"run {len(commands)} {execute} {log}"),
        "load_predictions": lambda path: SimpleNamespace(result=result_of(classes, names, labels, np.array(p))),
        "LARGEST": 5, "load_features": lambda *how: told.append("features {} {} {}".format(*how)) or (None, data),
    }  # fmt: skip
    with patch.multiple(clips, **stand_ins):
        for some in ("films", "labels.txt", "cuda:1", "execute"), ("loose", None):
            path = clips.write_clips("out", "w/net.onnx", *some)
            yield "\n".join([*told, path.read_text(encoding="utf-8")]).replace("\\", "/")
            told.clear()


def figures():
    """Name and Figure of the tables, and of a simulation."""
    found = []
    record = {"paper": {"hit1": 70.0}, "ours": {"hit1": [50.0, 60.0]}, "differs": ""}
    rows = [{**record, "table": 3, "row": "a"}, {**record, "table": 3, "row": "b", "ours": {}}]
    rows += [{**record, "table": 5, "row": "c", "ours": {"hit1": [40.0]}}]

    def noted(path, figure, dpi):
        found.append((f"tables: {path}, {dpi} dots per inch", figure))

    with patch.object(tables_report, "write_figure", noted):
        tables_report.picture("tables.png", rows)
    smooth = (np.array([1.0, 2.0]), np.array([4.0, 8.0]), np.array([3.0, 1.0]))
    traces = [
        SimpleNamespace(name=name, staleness=stale, throughput=rate, smooth=lambda width: smooth)
        for name, stale, rate in (("Downpour, 2", {1: 3, 0: 1}, 8.0), ("sync x1, 2 ranks", {}, 5.0))
    ]
    return [*found, ("real video", real_picture()), ("simulation", simulation_report.picture(traces, 3))]


def real_pages():
    """The page of real clips, and its picture: rows with and without a random split; pairs told apart and not."""
    about = {"by": "draw", "videos": 8, "groups": 3, "to": "single frame", "difference": [2.0, -1.0, 5.0]}
    film = [
        about | {"head": name, "each": each, "mean": sum(each) / 2, "interval": [mean - 9.0, mean + 8.0]}
        for name, each, mean in (
            ("single frame", [50.0, 60.0], 55),
            ("Conv Pooling", [70.0, 62.5], 66),
            ("regression on the mean", [90.0, 90.0], 90),
            ("LSTM", [40.0, 42.0], 41),
        )
    ]
    for row, leak in zip(film, ([3.0, 1.0, 5.0], [-2.0, -4.0, 1.0], [12.5, 0.0, 20.0]), strict=False):
        row |= {"random": row["mean"] + leak[0], "leak": leak}
    pixels = [
        about
        | {"head": "tower as it was", "to": "tower as it was", "each": [60.0], "mean": 60.0, "interval": [50.0, 70.0]}
    ]
    pixels += [pixels[0] | {"head": "fine-tuned", "each": [75.0], "mean": 75.0}]
    ucf = [
        {
            "head": head,
            "by_seed": seeds,
            "mean": 0,
            "std": 0,
            "wilson": [40.0, 60.0],
            "difference": [1.0, -2.0, 4.0],
            "videos": 12,
            "groups": 5,
        }
        for head, seeds in (("average", [50.0, 52.0]), ("lstm", [60.0, 50.0]))
    ]
    pairs = [
        ("Maximum or mean?", "max", "mean", [3.0, 1.0, 5.0]),
        ("", "LSTM", "max", [-9.0, -12.0, -1.0]),
        ("Flow?", "flow", "max", [1.0, 0.0, 2.0]),
    ]
    plan = Plan("some/videos", "w/net.npz", "f.npz", Path("out"), "cache", 2, 4, published="about 72 %")
    records = {"film": film, "pixels": pixels}
    yield real_page.page(plan, records, pairs, ucf, film[1])
    yield real_page.page(plan._replace(features=None, published="", draws=1), records, pairs, None, film[1])
    yield "\n".join(f"{one} over {other}" for _, one, other in real_page.PAIRS)


def heads_pages():
    """The page of heads: folds that were drawn and given, one network or the mean of several; groups known or not."""
    row = {
        "by": "draw",
        "each": [50.0, 70.0],
        "mean": 60.0,
        "interval": [50.0, 80.0],
        "to": "a",
        "difference": [3.0, -1.0, 7.0],
    }
    for plan, given, baselines, groups in (
        (Tries(draws=2, folds=4, seeds=3), [], ["a"], 8),
        (Tries(draws=1, folds=5, seeds=1, split_by="video"), [], [], 3),
        (Tries(seeds=2), [1], ["a"], 3),
        (Tries(seeds=2), [1, 2, 3], ["a"], 3),
    ):
        records = [row | {"head": head, "videos": 8, "groups": groups} for head in "ab"]
        records[1] |= {"mean": 65.0, "each": [65.0, 65.0]}
        trial = SimpleNamespace(plan=plan, given=given, baselines=baselines)
        yield heads.report(SimpleNamespace(data="a/f.npz"), trial, records)


def real_picture():
    """Figure of seven hits and seven misses, of which one is as sure as can be; clips of two frames, where six fit."""
    p = np.array([[1 - q, q] for q in np.linspace(0.55, 1, 14)])
    folds = [
        result_of(["a", "b"], [f"b/{i}.avi" for i in rows], np.array([i % 2 for i in rows]), p[list(rows)])
        for rows in (range(7), range(7, 14))
    ]
    found = []
    with patch.object(real_page, "write_figure", lambda path, figure, **how: found.append(figure)):
        with patch.object(
            real_page, "frames_of", lambda path, count: ([0, 1], [np.zeros((count, 9, 3), np.uint8)] * 2)
        ):
            real_page.picture("real.jpg", Path("videos"), folds)
    return found[0]


def verdicts():
    """The pages of claims: some of them, with all that a record may say; all; and what the paper leaves open."""
    record = {
        "sentence": "One is better.", "experiment": "One against the other", "frames": (8, 16), "a": [50.0, 60.0],
        "b": [40.0, 45.0], "difference": [12.5, 1.0, 24.0], "seeds": 2, "videos": 64, "verdict": "supported",
        "needed": None,
    }  # fmt: skip
    open_ = record | {"verdict": "undecided", "needed": 9, "frames": (8, 8)}
    alone = open_ | {"needed": None, "seeds": 1, "difference": [10.0, None, None]}
    some, lab = {"rendered": [record, open_, alone], "real": [open_, alone]}, Lab(Path("out"))
    yield judge.page(some, CLAIMS[1:3], Lab(Path("out"), 2, QUICK, "f.npz"), CLAIMS)
    for chosen, known in (CLAIMS, CLAIMS), (ABLATIONS, ABLATIONS), (ABLATIONS[:1], ABLATIONS):
        yield judge.page({"rendered": [record], "real": []}, chosen, lab, known)


def pages(mini):
    """Lines of all of them; they are written where the process stands."""
    with patch.object(page, "uri", drawn):
        for name, text in reports():
            yield from (f"== report: {name}", *page_lines(text))
        for text in demos(mini):
            yield from ("== demo", *page_lines(text))
        for text in real_clips():
            yield from ("== clips", *(re.sub("clips-[0-9a-f]{8}", "clips-OF-BOTH", line) for line in page_lines(text)))
    for name, texts in ("real video", real_pages()), ("heads", heads_pages()):
        for text in texts:
            yield from (f"== {name}", *text.splitlines())
    for text in verdicts():
        yield from ("== claims", *text.splitlines())
    for name, figure in figures():
        yield from (f"== {name}", *figure_lines(figure))


def test_pages_show_what_is_written_down(mini, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_written(pages(mini), PAGES)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    os.chdir(tempfile.mkdtemp())
    with redirect_stdout(sys.stderr):  # where it is said which files are ignored
        found = list(pages(make_mini("mini", groups=3, clips=1, frames=16)))
    print(*found, sep="\n")
