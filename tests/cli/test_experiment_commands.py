"""What the commands that try something out hand on to what does it, which is noted here and does nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

import snippets.training.cli.experiments as experiments
from snippets.data.features import save_features
from snippets.training.cli.main import execute, main
from snippets.training.distributed.ray_tasks import RayTasks
from snippets.training.experiments.claims.lab import GROUNDS, QUICK
from snippets.training.experiments.price import Hosts
from snippets.training.experiments.scales import LAPTOP, MINI, MINI_DATA, MINI_IMPORTED, PAPER
from snippets.training.experiments.trial import Trial
from snippets.training.small.real import Plan


@pytest.fixture
def told(monkeypatch, tmp_path):
    """{function: (arguments, options)} of the last calls; in the folder are w.npz, v/ and f/, of two classes each."""
    calls = {}
    for name in "demo write_clips write_report claims compare tables price_rows make_mini real print_commands".split():

        def noted(*args, name=name, **options):
            calls[name] = args, options
            return f"what {name} made"

        monkeypatch.setattr(experiments, name, noted)
    for name in ("v/a/one.avi", "v/b/two.avi", "w.npz", "runs/one/checkpoint.npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    save_features(tmp_path / "f.npz", [[[1.0]]] * 4, [1, 2, 1, 2], [0, 0, 1, 1])
    monkeypatch.chdir(tmp_path)
    return calls


def done(command):
    """A command of the command line, which ends well."""
    assert main(command.split()) == 0, command


def test_the_demo_has_a_folder_of_its_own_when_it_is_quick(told, capsys):
    for words, handed in (
        ("", ("runs/demo", 0, False, "cpu")), ("--quick --seed 3", ("runs/demo-quick", 3, True, "cpu")),
        ("--quick --out d", ("d", 0, True, "cpu")),
    ):  # fmt: skip
        done(f"demo {words}")
        assert told["demo"] == (handed, {}) and "write_clips" not in told
    assert capsys.readouterr().out == ""
    done("demo --weights w.npz --videos v")
    assert told["write_clips"] == (("runs/demo", "w.npz", "v", None, "cpu", execute), {})
    assert capsys.readouterr().out == "what write_clips made\n"
    told.clear()
    for words in ("--weights w.npz", "--videos v", "--labels w.npz", "--videos v --labels w.npz"):
        assert main(["demo", *words.split()]) == 1 and not told
        assert "belong together" in capsys.readouterr().err


def test_where_the_page_about_runs_is_written(told, capsys):
    for words, folders, out, videos in (
        ("runs/one", ["runs/one"], "runs/one/report.html", None),
        ("runs/one w.npz", ["runs/one", "w.npz"], "runs/report.html", None),
        ("runs/one --out page.html --videos v", ["runs/one"], "page.html", "v"),
    ):
        done(f"report {words}")
        assert told["write_report"] == ((folders, Path(out), videos), {})
        assert capsys.readouterr().out == "what write_report made\n"


ALL = (1, 2, 3, 4, 5, 6, 7)
OUT = Path("runs/tables")
TABLES = (  # options, and what is made of them: numbers, the first trial, whether the data are rendered, execute, ray
    ("", (ALL, Trial("runs/tables/data", MINI, 0, OUT, "runs/tables/cache"), MINI_DATA, execute, None)),
    ("--table 3 6 --out o --cache c --measured", ((3, 6), Trial("o/data", MINI, 0, Path("o"), "c"), MINI_DATA, None,
                                                  None)),
    ("--weights w.npz --first-seed 4 --table 2 --ray", ((2,), Trial(
        "runs/tables/data", MINI_IMPORTED, 4, OUT, "runs/tables/cache", weights="w.npz"), MINI_DATA, execute,
        RayTasks)),
    ("--data v --available --pretrained runs", (ALL, Trial(
        "v", PAPER, 0, Path("runs/tables-v"), "runs/tables-v/cache", pretrained="runs", available=True), None, execute,
        None)),
    ("--data v --scale laptop --weights w.npz --native-rate", ((2, 6, 7), Trial(
        "v", replace(LAPTOP, fps=None), 0, Path("runs/tables-v"), "runs/tables-v/cache", weights="w.npz"), None,
        execute, None)),
    ("--data f.npz --table 2", ((2,), Trial(
        "f.npz", replace(PAPER, fold=""), 0, Path("runs/tables-f.npz"), "runs/tables-f.npz/cache"), None, execute,
        None)),
)  # fmt: skip


@pytest.mark.parametrize("words, expected", TABLES, ids=[words for words, _ in TABLES])
def test_what_the_tables_are_run_with(words, expected, told):
    numbers, trial, data, runs, ray = expected
    done(f"tables {words} --seeds 2 --device cuda:1")
    (found, trials, rendered, given, tasks), options = told.pop("tables")
    assert (found, rendered, given, options) == (numbers, data, runs, {}) and not told
    trial = replace(trial, device="cuda:1")
    assert trials == [trial, replace(trial, seed=trial.seed + 1)]
    assert tasks is None if ray is None else (type(tasks), tasks.device) == (ray, "cuda:1")
    assert not Path(trial.data).is_dir() or trial.data == "v"  # nothing is rendered here


def test_what_is_printed_in_place_of_running_the_tables(told, capsys):
    """Commands, without a folder for them; or prices, for which the rendered videos have to be there."""
    mini = Trial("runs/tables/data", MINI, 0, OUT, "runs/tables/cache")
    done("tables --table 3 --seeds 1 --dry-run")
    assert told == {"print_commands": (((3,), [mini]), {})} and not OUT.exists()
    told.clear()
    done("tables --table 3 --seeds 1 --price --hosts 4 --bandwidth 1e9")
    (rows, trials, parse, hosts, runs), options = told.pop("price_rows")
    assert ({row.table for row in rows}, trials, hosts, runs) == ({3}, [mini], Hosts(4, 1e9), execute)
    assert parse(["train", "w.npz"]).command == "train" and options == {}
    assert told == {"make_mini": (("runs/tables/data",), MINI_DATA)}
    assert capsys.readouterr().out == "what price_rows made\n"
    told.clear()
    done("tables --table 7 --seeds 1 --price --data v")
    assert told["price_rows"][0][3] == Hosts(1, 1.25e8) and "make_mini" not in told


def test_what_claims_are_tested_with(told):
    for words, names, seeds, grounds, features, out, ablations in (
        ("", [], None, GROUNDS, None, "runs/claims", False),
        ("--quick --claims order flow", ["order", "flow"], 2, QUICK, None, "runs/claims", False),
        ("--quick --seeds 5 --out o", [], 5, QUICK, None, "o", False),
        ("--seeds 5 --ablations --features f.npz", [], 5, GROUNDS, "f.npz", "runs/claims", True),
    ):
        done(f"claims {words}")
        (lab, *handed), options = told["claims"]
        assert (lab.out, lab.seeds, lab.grounds, lab.features, lab.device) == (
            Path(out), seeds, grounds, features, "cpu"
        )  # fmt: skip
        assert handed == [names, execute, None, ablations] and options == {}
    done("claims --ray --device cuda:1")
    (lab, _, _, ray, _), _ = told["claims"]
    assert (type(ray), ray.device, lab.device) == (RayTasks, "cuda:1", "cuda:1")


def test_what_heads_are_compared_with(told, capsys):
    done("compare f.npz --heads average lstm --seeds 3 --out o --workers 2 --units 7 --lr 0.5 --standardise")
    (features, heads, seeds, out, options), how = told["compare"]
    assert (features, heads, seeds, out) == ("f.npz", ["average", "lstm"], 3, "o")
    assert how == {"execute": execute, "workers": 2, "ray": None}
    assert (options["units"], options["lr"], options["standardise"], options["device"]) == (7, 0.5, True, "cpu")
    done("compare f.npz")
    assert told["compare"][0][1:4] == (["average", "conv", "lstm"], 5, "runs/compare")
    assert told["compare"][1] == {"execute": execute, "workers": 1, "ray": None}
    done("compare f.npz --ray --device cuda:1")
    ray = told["compare"][1]["ray"]
    assert (type(ray), ray.device) == (RayTasks, "cuda:1")
    told.clear()
    assert main("compare f.npz --heads average --units 7".split()) == 1 and not told  # no head that reads it
    assert "--units" in capsys.readouterr().err


def test_what_clips_of_films_are_tried_with(told):
    done("real v --weights w.npz")
    assert told["real"] == ((Plan("v", "w.npz", None, Path("runs/real"), "runs/real/cache", 3, 5, 10, ""), execute), {})
    done("real v --weights w.npz --features f.npz --out o --cache c --draws 2 --folds 4 --seeds 6 --published 72")
    assert told["real"] == ((Plan("v", "w.npz", "f.npz", Path("o"), "c", 2, 4, 6, "72"), execute), {})
