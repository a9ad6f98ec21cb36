"""The main job, small: renders, trains three networks, prints one table, writes a report with its pictures."""

import numpy as np
from outcomes import Outcome, hold

from snippets.data.open import DataSpec, open_data
from snippets.training.cli.main import main
from snippets.training.evaluate import evaluate
from snippets.training.experiments.demo import KIND_NAMES, SIZE, demo, table
from snippets.training.model import load_model


def told(accuracies, full=False):
    """What the documentation says of the table, as outcomes; of the few videos of --quick it says less."""
    single, conv, lstm = ({kind: np.median(found) for kind, found in row.items()} for row in accuracies.values())
    blind = max(max(accuracies[title]["order"]) for title in ("Single frame", "Conv Pooling"))
    quick = [
        Outcome("order: the best head of the networks that are blind to it", blind, "<=", 0.5),
        Outcome("order: the LSTM's median", lstm["order"], ">", 0.75 if full else 0.5),
    ]
    return (
        quick
        if not full
        else [
            *quick,
            Outcome(
                "appearance: the worst network's median",
                min(row["appearance"] for row in (single, conv, lstm)),
                ">",
                0.9,
            ),
            Outcome(
                "moment: Conv Pooling's median less the single frame's", conv["moment"] - single["moment"], ">", 0.1
            ),
            Outcome(
                "overall: Conv Pooling's median less the single frame's", conv["overall"] - single["overall"], ">", 0
            ),
            Outcome("overall: the LSTM's median less Conv Pooling's", lstm["overall"] - conv["overall"], ">", 0),
        ]
    )


def quick_demo(seed):
    """`snippets demo --quick`, in the folder where the process stands."""
    return told(demo(f"quick{seed}", seed, quick=True))


def full_demo(seed):
    """`snippets demo`, likewise: minutes for every seed."""
    return told(demo(f"full{seed}", seed), full=True)


def test_quick_demo(tmp_path, monkeypatch, capsys):
    found = []
    monkeypatch.setattr("snippets.training.cli.experiments.demo", lambda *args: found.append(demo(*args)))
    out = tmp_path / "demo"
    assert main(["demo", "--quick", "--out", str(out)]) == 0
    hold(told(found[0]))
    text, page = capsys.readouterr().out, (out / "report.html").read_text()
    assert table(found[0]) in text and table(found[0]) in page
    for name in ("frames.png", "curves.png", "confusion.png", "lstm.png"):
        assert name in page and (out / name).stat().st_size > 5000
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
    assert "50 (25 to 100)" in table({"LSTM": heads}) and "median of 3 heads" in table({"LSTM": heads})
