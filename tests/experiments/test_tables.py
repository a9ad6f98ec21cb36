"""The tables as code: numbers as printed, commands that parse at the paper's scale, rows that run and resume."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from tiny_tables import SMALL, TINY

from snippets.data.open import DataSettings
from snippets.data.options import chosen
from snippets.nets.zoo import NetConfig, build
from snippets.training.cli.main import execute, main, parser
from snippets.training.evaluate import result_of
from snippets.training.experiments import tables_report
from snippets.training.experiments.paper import NETS, ROWS, Net, Row
from snippets.training.experiments.scales import MINI, PAPER
from snippets.training.experiments.tables import parse_numbers, tables
from snippets.training.experiments.tables_report import TITLES
from snippets.training.experiments.trial import Trial
from snippets.training.predictions import Predictions, save_predictions
from snippets.training.settings import Settings

# The tables once more, typed from the paper: clip Hit@1 / Hit@1 / Hit@5, or what there is of them
PRINTED = {
    1: "68.7/71.1/89.3 65.1/67.5/87.2 67.1/69.7/88.4 68.1/70.4/88.9 64.2/67.2/87.2",
    2: "63.6/84.7 64.9/86.6 62.7/83.6 67.5/87.1 70.4/89.0 71.7/90.4",
    3: "72.1/90.4 66.0/71.7/90.4 70.8/72.3/90.8",
    4: "59.7/81.4 72.1/90.6 73.1/90.5 44.5/70.4 71.7/90.4 71.8/90.4",
    5: "41.1/59.3/77.7 41.9/60.9/80.2 70.8/72.4/90.8 73.1/90.5",
    6: "73.3 80.8 82.0 82.6 82.6",
    7: "87.9 65.4 73.0 73.9 86.9 88.0 73.3 87.6 88.2 88.6",
}


def test_rows_say_what_the_paper_prints():
    for number, printed in PRINTED.items():
        rows = [row for row in ROWS if row.table == number]
        assert ["/".join(f"{x:.1f}" for x in row.paper.values()) for row in rows] == printed.split()


def test_every_row_runs_networks_that_exist_or_says_why_not():
    for row in ROWS:
        assert len(row.nets) in (1, 2) or (row.note and not row.svm)
        for name in row.nets:
            seen = []
            while name:  # a start has a start of its own, and so on to a network that has none
                assert name not in seen
                seen.append(name)
                name = NETS[name].start
            assert NETS[seen[-1]].head in ("single", "slowfusion")
    used = {name for row in ROWS for name in row.nets}
    assert used | {NETS[name].start for name in used} >= set(NETS)


def paper_trial(tmp_path):
    return Trial("UCF-101", PAPER, 0, tmp_path, "cache")


@pytest.mark.parametrize("name", NETS)
def test_paper_settings_parse_and_build_the_network_of_the_row(name, tmp_path):
    net, trial = NETS[name], paper_trial(tmp_path)
    args = parser().parse_args(trial.commands(name)[-1].arguments)
    config = NetConfig(classes=101, **chosen(args, NetConfig))
    data, settings = DataSettings(**chosen(args, DataSettings)), Settings(**chosen(args, Settings))
    assert (config.tower, config.head, config.frames) == (net.tower, net.head, net.frames)
    fc = 0 if net.tower == "googlenet" and net.kind == "single" else 4096  # the paper adds them to it for pooling
    assert net.kind == "recurrent" and net.tower == "googlenet" or "fc" in args.given  # else that of the start
    assert (config.size, config.width, config.fc, config.dropout) == (220, 1.0, fc, 0.6)
    assert (config.units, config.depth, config.vector) == (512, 5, 1000)
    assert (data.stream, data.fps, args.fold, args.views) == (net.stream, net.fps, "all", 240)
    assert (settings.clip_norm, settings.view_starts) == (np.inf, "random")
    assert (settings.augmentation == "none") == args.whole == net.frozen
    assert (settings.momentum, settings.weight_decay, settings.loss) == (0.9, 0.0005, "sum")
    assert settings.lr == pytest.approx(30e-5 if net.head == "lstm" else 1e-5)  # N times as much for N frames
    assert (args.init is None) == (net.start is None) and ("tower/" in args.freeze) == net.frozen
    if net.start:
        assert args.init == str(trial.folder(net.start) / "fold{fold}" / "checkpoint.npz")
    small = replace(config, size=32, width=0.03, fc=8, units=8, vector=8)
    assert build(small).params.keys() == build(replace(small, size=55)).params.keys()


def test_starts_come_before_what_starts_from_them(tmp_path):
    outs = [c.folder.name for c in paper_trial(tmp_path).commands("googlenet-conv-120-flow")]
    assert outs == [f"googlenet-{n}" for n in ("single", "conv-1", "conv-30", "conv-120", "conv-120-flow")]
    for head in ("conv", "late", "slow", "local", "timeconv"):
        outs = [c.folder.name for c in paper_trial(tmp_path).commands(f"alexnet-{head}-120")]
        assert outs == ["alexnet-single", f"alexnet-{head}-30", f"alexnet-{head}-120"]


def test_pretrained_networks_are_starts_where_there_is_no_other(tmp_path):
    trial = replace(paper_trial(tmp_path), pretrained="sports")
    single, _, conv = (parser().parse_args(c.arguments).init for c in trial.commands("googlenet-conv-30"))
    assert single == "sports/googlenet-single/checkpoint.npz" and "fold{fold}" in conv


def test_dry_run_prints_every_command_and_runs_none(tmp_path, capsys):
    assert main(["tables", "--data", "mini", "--out", str(tmp_path / "out"), "--seeds", "1", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall("^# Table", printed, re.M)) == len(ROWS) and "not built here" in printed
    known, lines = parser(), dict.fromkeys(printed.splitlines())
    for line in lines:
        if line.startswith("snippets "):
            known.parse_args(line.split()[1:])
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def table3(tmp_path_factory):
    """Table 3 at a tiny scale, of two seeds: its trials and records."""
    out = tmp_path_factory.mktemp("tables")
    trials = Trial(str(out / "data"), TINY, 0, out, str(out / "cache")).seeds(2)
    return trials, tables((3,), trials, SMALL, execute)


def test_a_table_is_run_and_written(table3):
    (first, _), records = table3
    out = first.out
    assert [r["row"] for r in records] == [row.title for row in ROWS if row.table == 3]
    assert all(len(r["ours"]["hit1"]) == 2 and 0 <= r["ours"]["hit1"][0] <= 100 for r in records)
    assert json.loads((out / "tables.json").read_text())["rows"] == records
    assert (out / "tables.png").stat().st_size > 1000
    assert "| 72.1 |" in (out / "tables.md").read_text() and "tower as trained" in (out / "tables.csv").read_text()


def test_what_is_done_is_not_done_again_and_what_is_interrupted_goes_on(table3):
    trials, records = table3
    out = trials[0].out
    files = sorted(out.glob("seed*/*/*.npz"))
    before = {file: file.stat().st_mtime_ns for file in files}
    victim = out / "seed1" / "googlenet-conv-120"
    (victim / "predictions.npz").unlink()  # as if it had been stopped behind its last epoch
    assert tables((3,), trials, SMALL, execute) == records
    changed = {file for file in files if file.stat().st_mtime_ns != before[file]}
    assert changed <= {victim / "predictions.npz", victim / "checkpoint.npz"} and changed


def predictions(path, p, labels, side="test"):
    names = [f"v_{side}{n}" for n in range(len(p))]
    save_predictions(path, Predictions(result_of(["a", "b", "c"], names, labels, p), 1, side))


def test_a_row_of_two_networks_is_fused(tmp_path):
    """Each network is sure and right about one class alone; their mean, and the SVM, are right about both."""
    nets = {"one": Net("alexnet", "single", 1), "two": Net("alexnet", "single", 1)}
    trial, labels = Trial("data", MINI, 0, tmp_path, "cache", nets), np.array([0, 0, 1, 1])
    for name, p in (("one", [[0.8, 0.1, 0.1], [0.2, 0.3, 0.5]]), ("two", [[0.3, 0.2, 0.5], [0.1, 0.8, 0.1]])):
        for side, file in (("test", "predictions.npz"), ("train", "train.npz")):
            predictions(trial.folder(name) / file, np.repeat(p, 2, axis=0), labels, side)
        assert trial.accuracies(Row(4, "", (name,), None, 0))["hit1"] == 0.5
    assert trial.accuracies(Row(4, "", ("one", "two"), None, 0)) == {"hit1": 1.0, "hit5": 1.0}
    assert trial.accuracies(Row(7, "", ("one", "two"), None, 0, svm=True))["hit1"] == 1.0


def test_numbers_of_tables():
    assert parse_numbers(["all"]) == (1, 2, 3, 4, 5, 6, 7) and parse_numbers(["3", "6"]) == (3, 6)
    with pytest.raises(ValueError, match="1 to 7"):
        parse_numbers(["8"])


def test_the_picture_has_bars_of_ours_and_diamonds_of_the_paper(monkeypatch):
    figures = []
    monkeypatch.setattr(tables_report, "write_figure", lambda path, figure, **_: figures.append((path, figure)))

    def record(table, row, paper, ours):
        return {"table": table, "row": row, "paper": {"hit1": paper}, "ours": {"hit1": ours} if ours else {}}

    records = [record(3, "a", 70.0, [50.0, 60.0]), record(3, "b", 80.0, []), record(5, "c", 60.0, [40.0])]
    tables_report.picture("tables.png", records)
    ((path, figure),) = figures
    assert path == "tables.png" and len(figure.axes) == 2
    first, second = figure.axes
    assert first.get_gridspec().get_height_ratios() == [3.4, 2.4]
    assert [bar.get_width() for bar in first.patches] == [55.0] and [bar.get_width() for bar in second.patches] == [
        40.0
    ]
    assert [sum(isinstance(c, ErrorbarContainer) for c in axis.containers) for axis in figure.axes] == [1, 0]
    diamonds = [
        [(line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines if line.get_marker() == "D"]
        for axis in figure.axes
    ]
    assert diamonds == [[(70.0, 0), (80.0, 1)], [(60.0, 0)]]
    assert [text.get_text() for text in first.get_yticklabels()] == ["a", "b"] and first.yaxis_inverted()
    assert first.get_title(loc="left") == f"Table 3. {TITLES[3]}" and first.get_xlim() == (0, 100)
    assert {text.get_text() for text in first.get_legend().get_texts()} == {"ours", "paper"}
