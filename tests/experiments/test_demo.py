"""The main job, small: renders, trains three networks, prints one table, writes a report with its pictures."""

import re

import numpy as np
from html_pages import check_page
from outcomes import Outcome, hold

from snippets.data.mini.make import KIND_NAMES, KINDS
from snippets.data.open import DataSpec, open_data
from snippets.training.cli.main import main
from snippets.training.evaluate import evaluate
from snippets.training.experiments import demo_page
from snippets.training.experiments.demo import QUICK_STAGES, SIZE, accuracy_table, demo
from snippets.training.model import load_model


def outcomes(accuracies, full=False):
    """What the documentation says of the table, as outcomes; of the few videos of --quick it says less."""
    single, conv, lstm = ({kind: np.median(found) for kind, found in row.items()} for row in accuracies.values())
    blind = max(max(accuracies[title]["order"]) for title in ("Single frame", "Conv Pooling"))
    found = [
        Outcome("order: the best head of the networks that are blind to it", blind, "<=", 0.5),
        Outcome("order: the LSTM's median", lstm["order"], ">", 0.75 if full else 0.5),
    ]
    if full:
        worst = min(row["appearance"] for row in (single, conv, lstm))
        moment, overall = (conv[kind] - single[kind] for kind in ("moment", "overall"))
        found += [
            Outcome("appearance: the worst network's median", worst, ">", 0.9),
            Outcome("moment: Conv Pooling's median less the single frame's", moment, ">", 0.1),
            Outcome("overall: Conv Pooling's median less the single frame's", overall, ">", 0),
            Outcome("overall: the LSTM's median less Conv Pooling's", lstm["overall"] - conv["overall"], ">", 0),
        ]
    return found


def quick_demo(seed):
    """`snippets demo --quick`, in the folder where the process stands."""
    return outcomes(demo(f"quick{seed}", seed, quick=True))


def full_demo(seed):
    """`snippets demo`, likewise: minutes for every seed."""
    return outcomes(demo(f"full{seed}", seed), full=True)


def test_quick_demo(tmp_path, monkeypatch, capsys):
    found = []
    monkeypatch.setattr("snippets.training.cli.experiments.demo", lambda *args: found.append(demo(*args)))
    out = tmp_path / "demo"
    assert main(["demo", "--quick", "--out", str(out)]) == 0
    hold(outcomes(found[0]))
    printed, towers = capsys.readouterr(), {str(s.tower.epochs) for s in QUICK_STAGES.values() if s.tower}
    assert accuracy_table(found[0]) in printed.out
    assert set(re.findall(r"epoch 1/(\d+)", printed.err)) == towers  # the heads have one bar for all of them
    page, pictures = check_page(out / "report.html"), list(out.glob("*.png"))
    for title, row in found[0].items():
        shares = [100 * f(row["overall"]) for f in (np.median, min, max)]
        assert title in page.texts and "{:.0f} % ({:.0f} to {:.0f})".format(*shares) in page.texts
    shown = page.pictures()
    assert not pictures and all(any(alt.startswith(name) for alt in shown) for name in KINDS)
    assert all(any(f"Learning curves, {title}" in alt and "test videos" in alt for alt in shown) for title in found[0])
    mirrored = [t for t in page.texts if t.endswith("above, played backwards")]
    assert len(mirrored) == 4 and sum(KINDS[t.partition(":")[0]] == "order" for t in mirrored) == 2
    # what is kept is the middle head, joined with its tower: a network like any other
    for name, row in zip(("conv", "lstm"), list(found[0].values())[1:], strict=True):
        model = load_model(out / name / "checkpoint.npz")
        spec = DataSpec(out / "data", SIZE, model.data, cache=out / "cache", progress=False)
        _, test_set = open_data(spec, model.config.frames)
        one_video = 1 / len(test_set)  # of two equal probabilities either may win
        assert abs(evaluate(model.net, test_set).hit1 - np.median(row["overall"])) <= one_video
    clip = str(out / "data" / "CardHeart" / "v_CardHeart_g01_c01.avi")
    assert main(["predict", str(out / "lstm" / "checkpoint.npz"), clip]) == 0


def test_the_table_says_how_far_heads_differ():
    heads = dict.fromkeys((*KIND_NAMES, "overall"), [0.5, 1.0, 0.25])
    table = accuracy_table({"LSTM": heads})
    assert "50 (25 to 100)" in table and "median of 3 heads" in table


def test_clips_of_the_demos_page_are_of_the_class_that_is_said(mini, monkeypatch):
    """One test clip of each class; mirrored classes show the same one, for it is the same film, played backwards."""
    _, videos = open_data(DataSpec(mini, SIZE, cache=None, progress=False), 12, build=False)
    label, shown = {video.path: video.label for video in videos.videos}, []
    monkeypatch.setattr(demo_page, "frames_of", lambda path, count: shown.append(path) or ([0.25], [path]))
    monkeypatch.setattr(demo_page, "strip", lambda frames, titles, least: titles[0])
    monkeypatch.setattr(demo_page, "text", lambda words, kind: "")
    for kind in dict.fromkeys(KINDS.values()):
        shown.clear()
        titles = demo_page.samples(videos, kind).split(", 0.25 s")[:-1]
        names = [videos.classes[label[path]] for path in shown]
        assert titles == names and sorted(names) == sorted(name for name, of in KINDS.items() if of == kind)
        numbers = {name: path.name[-11:] for name, path in zip(names, shown, strict=True)}
        assert all(numbers[name] == numbers[twin] for name in names if (twin := demo_page.mirror(name)) in names)
