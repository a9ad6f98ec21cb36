"""What `snippets tables` prints, runs and hands on, with stand-ins for networks; and what statistics it reports."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from snippets.data.files import read_json
from snippets.training.experiments import compare, statistics, tables, tables_report
from snippets.training.experiments.paper import ROWS, Row
from snippets.training.experiments.scales import LAPTOP, MINI, MINI_IMPORTED, PAPER
from snippets.training.experiments.tables import parse_numbers, print_commands, record
from snippets.training.experiments.trial import Trial


class Made:
    """A trial whose networks are made by two commands each, in two folds; a row called "gone" cannot be run."""

    def __init__(self, seed):
        self.seed = seed

    def missing(self, row):
        return "not here" if row.title == "gone" else ""

    def row_commands(self, row):
        return [] if self.missing(row) else [f"make {name}{self.seed}" for name in ("tower", *row.nets, "tower")]

    def folds(self):
        return "fold1/", "fold2/"

    def folder(self, name):
        return Path(f"{name}{self.seed}")


def test_what_is_printed_in_place_of_running(monkeypatch, capsys):
    """Each command once per seed; how predictions of two networks are fused, once per fold."""
    rows = [Row(1, "other", ("a",), None, 1), Row(2, "one", ("a",), None, 1), Row(3, "two", ("a", "b"), None, 1)]
    monkeypatch.setattr(tables, "ROWS", [*rows, Row(3, "gone", ("a", "b"), None, 1)])
    print_commands((2, 3), [Made(4), Made(5)])
    fusions = [
        f"snippets fuse a{s}/fold{k}/predictions.npz b{s}/fold{k}/predictions.npz" for s in (4, 5) for k in (1, 2)
    ]
    assert capsys.readouterr().out.replace("\\", "/").splitlines() == [
        "", "# Table 2: one", "make tower4", "make a4", "make tower5", "make a5",
        "", "# Table 3: two", "make tower4", "make a4", "make b4", "make tower5", "make a5", "make b5", *fusions,
        "", "# Table 3: gone (not here)", "",
    ]  # fmt: skip


DATA = {"seed": 0, "frames": 36}
RENDERED = (
    "the rendered mini data set (seed 0, frames 36), fold 1: trained on two thirds of the groups, tested on the others"
)
RUNS = (  # scale, settings of rendered data, ray; the log, how many processes, what the page says of data and command
    (MINI, DATA, None, "output.txt", 1, "--data mini", RENDERED),
    (MINI, DATA, "ray", "output.txt", 1, "--data mini", RENDERED),
    (MINI_IMPORTED, DATA, None, "output.txt", 1, "--data mini --weights w.npz", RENDERED),
    (PAPER, None, None, None, 1, "--data DATA", "DATA"),
    (PAPER, None, "ray", "output.txt", 1, "--data DATA", "DATA"),
    (LAPTOP, None, None, "output.txt", 7, "--data DATA --scale laptop --weights w.npz", "DATA"),
)


@pytest.mark.parametrize("case", RUNS)
def test_tables_are_run_and_written(case, monkeypatch, tmp_path):
    (scale, rendered, ray, log, workers, command, about), told = case, {}
    for name in ("make_mini", "run", "write_tables"):
        monkeypatch.setattr(tables, name, lambda *args, name=name, **how: told.update({name: (args, how)}))
    monkeypatch.setattr(tables, "usable_cores", lambda: 7)
    trials = Trial("DATA", scale, 4, tmp_path, "cache", weights="some/w.npz" if scale.weights else None).seeds(2)
    records = tables.tables((2, 6), trials, rendered, "execute", ray)
    rows = [row for row in ROWS if row.table in (2, 6)]
    commands = [c for trial in trials for row in rows for c in trial.row_commands(row)]
    assert told.pop("run") == ((commands, "execute", log and tmp_path / log, workers, ray), {})
    assert told.pop("make_mini", None) == ((("DATA",), DATA) if rendered else None)
    head = {"command": f"snippets tables {command} --table 2 6 --seeds 2", "data": about, "seeds": [4, 5]}
    assert told.pop("write_tables") == ((tmp_path, records, head), {})
    assert [r["row"] for r in records] == [row.title for row in rows] and not any(r["ours"] for r in records)
    tables.tables((2, 6), trials, rendered)  # measured so far: nothing is rendered or run
    assert list(told) == ["write_tables"]


def test_a_row_says_how_many_seeds_are_measured():
    """A share of a third and of two thirds, in per cent to three digits; measures that the first seed has."""
    row = next(row for row in ROWS if row.nets)
    found = {0: {"hit1": 1 / 3, "hit5": 1.0}, 1: {"hit1": 2 / 3, "hit5": 1.0}}

    def trial(seed, done=True, why=""):
        return SimpleNamespace(
            scale=PAPER, missing=lambda row: why, done=lambda row: done, accuracies=lambda row: found[seed]
        )

    whole = record(row, [trial(0), trial(1)])
    assert whole["ours"] == {"hit1": [33.333, 66.667], "hit5": [100.0, 100.0]} and whole["differs"] == ""
    assert record(row, [trial(0), trial(1, False)])["differs"] == "1 of 2 seeds measured"
    gone = record(row, [trial(0, why="not here"), trial(1, why="not here")])
    assert (gone["differs"], gone["ours"]) == ("not here", {})


def test_tables_are_printed_and_written_in_four_ways(monkeypatch, tmp_path, capsys):
    """A row that is measured, one that the paper has and we have not; a measure that we have and the paper has not."""
    pictures = []
    monkeypatch.setattr(tables_report, "picture", lambda *args: pictures.append(args))
    both = {"table": 3, "row": "both", "paper": {"hit1": 72.1}, "ours": {"hit1": [100 / 3, 200 / 3], "clip": [10.0]}}
    rows = [both | {"differs": "thin"}, {"table": 3, "row": "none", "paper": {"hit5": 1.0}, "ours": {}, "differs": ""}]
    about = {"command": "snippets tables", "data": "mini", "seeds": [4, 5]}
    tables_report.write_tables(tmp_path, rows, about)
    page, place = tables_report.markdown(rows, about), tmp_path / "tables"
    assert capsys.readouterr().out == f"{page}\n{place}.md (.csv, .json, .png)\n"
    assert (tmp_path / "tables.md").read_text(encoding="utf-8") == page and pictures == [
        (tmp_path / "tables.png", rows)
    ]
    assert read_json(tmp_path / "tables.json") == about | {"rows": rows}
    assert (tmp_path / "tables.csv").read_text().splitlines() == [
        "table,row,measure,paper,ours_mean,ours_std,ours_by_seed,differs",
        "3,both,clip Hit@1,,10.0,,10.0,thin",
        f"3,both,Hit@1,72.1,50.0,23.57,{100 / 3} {200 / 3},thin",
        "3,none,Hit@5,1.0,,,,",
    ]


def test_the_picture_of_one_table(monkeypatch):
    """An error bar where there are several seeds, as long as their standard deviation, and with caps."""
    found = []
    monkeypatch.setattr(tables_report, "write_figure", lambda path, figure, **how: found.append((path, figure, how)))
    rows = [{"table": 3, "row": name, "paper": {"hit1": 70.0}, "ours": {"hit1": ours}}
            for name, ours in (("a", [40.0]), ("b", [50.0, 60.0]))]  # fmt: skip
    tables_report.picture("p.png", rows)
    ((path, figure, how),) = found
    (axis,) = figure.axes
    (errors,) = (c for c in axis.containers if isinstance(c, ErrorbarContainer))
    _, caps, (bars,) = errors
    half = 50**0.5  # of 50 and 60
    np.testing.assert_allclose(bars.get_segments(), [[[55 - half, 1], [55 + half, 1]]])
    assert {cap.get_markersize() for cap in caps} == {4.0} and (path, how) == ("p.png", {"dpi": 100})


@pytest.mark.parametrize("words", [["8"], ["0"], ["12"], [""], ["1", "23"], ["one"]])
def test_what_is_no_number_of_a_table(words):
    with pytest.raises(ValueError, match=f"--table {words[-1]}: expected numbers from 1 to 7, or all"):
        parse_numbers(words)
    assert parse_numbers(["1", "7"]) == (1, 7) and parse_numbers(["2", "all"], (2, 6)) == (2, 6)


def test_the_bootstrap_draws_seeds_and_groups_4000_times(rng):
    """By hand, video by video; from the same seed each time."""
    difference, groups = rng.standard_normal((3, 7)), np.array([2, 0, 1, 0, 2, 2, 1])
    draw, means = np.random.default_rng(0), []
    for _ in range(4000):
        seeds, drawn = draw.integers(0, 3, 3), draw.integers(0, 3, 3)
        videos = np.concatenate([np.flatnonzero(groups == g) for g in drawn])
        means.append(difference[np.ix_(seeds, videos)].mean())
    expected = difference.mean(), *np.percentile(means, [2.5, 97.5])
    assert statistics.bootstrap(difference, groups) == pytest.approx(expected, rel=1e-12)
    assert statistics.bootstrap(difference, [f"group {g}" for g in groups]) == pytest.approx(expected, rel=1e-12)
    assert statistics.percent(np.array([[1.0, 0, 0], [1, 1, 0]])) == [33.33, 66.67]


@pytest.mark.parametrize("seeds, told", [(1, "-5.0, undecided: one seed"), (2, "-5.0 [-7.5, +2.0]")])
def test_one_seed_compares_nothing(seeds, told):
    """The first head has no difference to itself."""
    one = {"head": "a", "by_seed": [50.0] * seeds, "wilson": (40.0, 60.0), "difference": [0, 0, 0]}
    records = [one | {"videos": 8, "groups": 3}, one | {"head": "b", "difference": [-5.0, -7.5, 2.0]}]
    lines = compare.comparison_table(records).splitlines()
    shares = "50.0 ± 0.0 | 40.0 to 60.0" if seeds == 2 else "50.0 | 40.0 to 60.0"
    each = " ".join(["50.0"] * seeds)
    assert lines[2:] == [f"| a | {shares} | – | {each} |", f"| b | {shares} | {told} | {each} |"]
    assert f"std of {seeds} seeds" in lines[0]


def test_the_commands_of_a_comparison_are_those_of_its_first_seed(monkeypatch, tmp_path):
    """Written once per head, without its folder; all are handed on, with a file for what they print."""
    told = {}
    monkeypatch.setattr(compare, "run", lambda commands, **how: told.update(how, commands=commands))
    monkeypatch.setattr(
        compare.statistics, "hits",
        lambda files: (np.ones((2, 4)), SimpleNamespace(groups=None, names=[f"v_a_g{n}_c1" for n in range(4)])),
    )  # fmt: skip
    monkeypatch.setattr(compare, "write_json", lambda path, found: told.update({path.name: found}))
    options = {"units": 7, "fc": 5, "standardise": True, "differences": False, "lr": 0.5, "dropout": None}
    compare.compare("f.npz", ["lstm", "conv"], 2, str(tmp_path), options, execute="execute", workers=3, ray=None)
    words = {"lstm": "--units=7 --standardise --lr=0.5", "conv": "--fc=5 --standardise --lr=0.5"}
    places = [(head, seed, tmp_path / head / f"seed{seed}") for head in words for seed in (0, 1)]
    assert [str(c) for c in told["commands"]] == [
        f"snippets train f.npz --head {head} {words[head]} --seed {seed} --out {out}" for head, seed, out in places
    ]
    assert [c.folder for c in told.pop("commands")] == [out for *_, out in places]
    assert told.pop("compare.json")["commands"] == [
        f"snippets train f.npz --head {head} {words[head]} --seed SEED" for head in words
    ]
    assert told == {"execute": "execute", "workers": 3, "ray": None, "log": tmp_path / "output.txt"}
