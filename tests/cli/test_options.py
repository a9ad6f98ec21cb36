"""Every option of the command line changes a result: none is read and then forgotten, and none has only its default.

A case is a command on small data and one option with another value; what comes out must differ. What comes out is
arrays and accuracies, not the settings that a file keeps of itself. An option that no case changes here is in
ELSEWHERE, with the test that does; one that is in neither place fails the last test: add it to a table.
"""

import ast
import contextlib
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from option_cases import BASES, CASES, ELSEWHERE, SAME
from toy_clips import Clips, recurrent

import snippets.training.cli.scale
import snippets.training.cli.train
import snippets.training.experiments.compare
from snippets.data.features import save_features
from snippets.data.video import write_video
from snippets.training.cli.main import main, parser
from snippets.training.distributed.downpour import Downpour
from snippets.training.evaluate import result_of
from snippets.training.loop import train
from snippets.training.predictions import Predictions, save_predictions
from snippets.training.settings import Settings

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{word: path} of what the cases name: data, networks, predictions."""
    folder = tmp_path_factory.mktemp("options")
    rng = np.random.default_rng(0)
    label = np.arange(21) % 3
    feat = rng.standard_normal((3, 6, 5))[label] + 2 * rng.standard_normal((21, 6, 5))
    save_features(folder / "f.npz", feat.astype(np.float32), label + 1, np.arange(21) >= 12)
    for root in ("data", "missing"):
        for kind in ("a", "b"):
            (folder / root / kind).mkdir(parents=True)
            for g in (1, 2, 3):
                if (root, kind, g) != ("missing", "a", 2):
                    still = np.kron(rng.integers(0, 255, (5, 7, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
                    moving = [np.roll(still, 2 * t * (1 + g), axis=1) for t in range(8)]
                    write_video(folder / root / kind / f"v_{kind}_g{g:02d}_c01.avi", moving, 25)
        lists = folder / root / "ucfTrainTestlist"
        lists.mkdir()
        (lists / "classInd.txt").write_text("1 a\n2 b\n")
        for fold in (1, 2, 3):
            names = {g: [f"{k}/v_{k}_g{g:02d}_c01.avi" for k in "ab"] for g in (1, 2, 3)}
            numbered = [f"{name} {1 + (name[0] == 'b')}" for g in names if g != fold for name in names[g]]
            (lists / f"trainlist0{fold}.txt").write_text("\n".join(numbered))
            (lists / f"testlist0{fold}.txt").write_text("\n".join(names[fold]))
    (folder / "skip.txt").write_text("a/v_a_g03_c01.avi\nb/v_b_g01_c01.avi\n")
    for name, side in (("one", "test"), ("two", "test"), ("train1", "train"), ("train2", "train")):
        labels = np.arange(12) % 3
        p = rng.dirichlet(np.ones(3), 12) + 0.2 * np.eye(3)[labels]
        p /= p.sum(axis=1, keepdims=True)
        names = [f"{side}{n}" for n in range(12)]
        save_predictions(folder / f"{name}.npz", Predictions(result_of(list("abc"), names, labels, p), 1, side))
    known = dict(DATA="data", MISSING="missing", FEATURES="f.npz", CACHE="cache", SKIP="skip.txt", ONE="one.npz")
    known |= dict(TWO="two.npz", TRAIN1="train1.npz", TRAIN2="train2.npz", CLIP="data/a/v_a_g01_c01.avi")
    known |= {key: f"{run}/checkpoint.npz" for key, run in
              dict(MODEL="videos", SINGLE="single", POOLED="pooling", LSTM="recurrent").items()}  # fmt: skip
    known = {key: str(folder / name) for key, name in known.items()}
    single = BASES["videos"].replace("--head conv --frames 3", "--head single --frames 1")
    trained = {"pooling": BASES["pooling"] + " --seed 5", "recurrent": BASES["recurrent"]}
    videos = BASES["videos"] + " --epochs 4 --lr 0.05"
    for run, command in {**trained, "videos": videos, "single": single}.items():
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert main([*words(command, known), "--out", str(folder / run)]) == 0
    return known


def words(command, known):
    """The words of a command, with the files that it names."""
    pattern = re.compile(r"\b(" + "|".join(sorted(known, key=len, reverse=True)) + r")\b")
    return [pattern.sub(lambda found: known[found[1]], word) for word in command.split()]


def result(command, known, folder, monkeypatch):
    """What comes out of a command: a dict of texts and of the bytes of arrays."""
    name, out = command.split()[0], folder / "out"
    out.mkdir()
    found = {}
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        if name == "compare":  # that each option does something when training is what the others check
            patch.setattr(
                snippets.training.experiments.compare,
                "run",
                lambda steps, **how: found.update({str(s): "" for s in steps}),
            )
        if name == "simulate" and "--counts 1" in command:  # what networks and data are made of is computed by `train`

            def recorded(job, test, *more):
                data = job.dataset
                found.update(costs(job.net, data.whole_video(0)[None], data.labels, None, test.names))
                return found.update(settings=str(job.settings))

            patch.setattr(snippets.training.cli.scale, "simulate_all", recorded)
        if name == "scaling":
            patch.setattr(snippets.training.cli.scale, "scaling", lambda *a: found.update(costs(*a)) or dict.fromkeys(
                ("step", "alone", "reduce", "memcpy", "bytes", "ranks", "cores"), 1))  # fmt: skip
        if "--downpour" in command:
            patch.setattr(snippets.training.cli.train, "check_address", lambda address: None)
            train, nothing = snippets.training.cli.train, {"staleness": {}, "waiting": 0, "history": []}
            patch.setattr(train, "downpour", lambda net, videos, s, d, address, **how: found.update(
                {"downpour": str(d), "address": str(address)}) or nothing)  # fmt: skip
        line = words(command, {**known, "OUT": str(out)})
        if "--out" not in command and name in ("train", "simulate", "compare"):
            line += ["--out", str(out)]
        text, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(error):
            found["status"] = main(line)
    if name == "compare":
        found["status"] = 0  # nothing was trained that could be compared
    if name not in ("train", "simulate", "compare", "scaling"):  # what these print follows from their files
        found["text"] = re.sub(r"[\w./-]*" + re.escape(str(folder)) + r"\S*", "PATH", text.getvalue())
    if found.get("status"):
        found["error"] = error.getvalue()
    for path in sorted(out.rglob("*")):
        if path.suffix == ".npz":
            found |= {f"{path.relative_to(out)} {key}": value for key, value in arrays(path).items()}
        elif path.name == "simulate.json":
            found["rows"] = json.dumps(json.loads(path.read_text())["rows"])
        elif path.is_file() and path.suffix not in (".jsonl", ".lock", ".png", ".svg", ".json", ".sha256"):
            found[str(path.relative_to(out))] = path.read_bytes()
        elif path.suffix in (".png", ".svg"):
            found[path.name] = "a picture"
    return found


def costs(net, x, labels, team, repeat):
    """What a benchmark is of."""
    found = {key: a.tobytes() for key, a in net.params.items()}
    weight = str(getattr(net, "weight", None))  # of auxiliary heads
    scores = np.asarray(net.predict(x)).tobytes()
    return found | dict(x=x.tobytes(), labels=labels.tobytes(), repeat=str(repeat), scores=scores, weight=weight)


def arrays(path):
    """The arrays of an .npz file, without what it says about how it was made; of a checkpoint the history, too."""
    with np.load(path) as file:
        found = {
            key: file[key].tobytes()
            for key in file.files
            if key.split("/")[0]
            in (
                "params",
                "velocity",
                "probabilities",
                "names",
                "clips",
                "clip_hits",
                "feat",
                "label",
                "is_test",
                "name",
            )
        }
        if "about" in file:
            history = json.loads(str(file["about"]))["history"]
            found["history"] = str([{k: v for k, v in r.items() if not k.endswith("_seconds")} for r in history])
    return found


@pytest.fixture(scope="module")
def plain(files, tmp_path_factory):
    """base -> its result without another option, computed once."""
    kept = {}

    def of(base):
        if base not in kept:
            with pytest.MonkeyPatch.context() as patch:
                kept[base] = result(BASES[base], files, tmp_path_factory.mktemp("base"), patch)
            assert kept[base].get("status", 0) == (1 if "missing" in base else 0), kept[base]
        return kept[base]

    return of


def cases(table):
    return [
        pytest.param(base, option, id=f"{base} {option}") for base, text in table.items() for option in text.split("|")
    ]


@pytest.mark.parametrize("base, option", cases(CASES))
def test_an_option_changes_the_result(base, option, plain, files, tmp_path, monkeypatch):
    before = plain(base)
    after = result(f"{BASES[base]} {option}", files, tmp_path, monkeypatch)
    assert after.get("status", 0) == 0, after
    assert after != before, sorted(after)


@pytest.mark.parametrize("base, option", cases(SAME))
def test_an_option_changes_nothing_but_time_and_memory(base, option, plain, files, tmp_path, monkeypatch):
    assert result(f"{BASES[base]} {option}", files, tmp_path, monkeypatch) == plain(base)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_views_at_random_starts(command, files, tmp_path, monkeypatch):
    """`evaluate` starts them as the network's training did, unless told otherwise."""
    trained, found = f"{BASES['pooling']} --epochs 1 --frames 2 --views 3 --view-starts", []
    if command == "evaluate":
        assert main([*words(f"{trained} random", files), "--out", str(tmp_path / "run")]) == 0
        trained = f"evaluate {tmp_path / 'run' / 'checkpoint.npz'} FEATURES --save OUT/p.npz --views 3 --view-starts"
    for name, options in (("a", "spread"), ("b", "random"), ("c", "random")):
        (tmp_path / name).mkdir()
        line = f"{trained} {options}" if command == "train" or name != "c" else trained.removesuffix("--view-starts")
        found.append(result(line, files, tmp_path / name, monkeypatch))
    assert found[0] != found[1] == found[2]


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Settings) if f.name != "view_starts"])
def test_every_setting_of_a_training_changes_it(name):
    """Those without an option, too: decay_biases, groups."""
    other = dict(
        epochs=3, batch=4, lr=0.05, decay=0.5, momentum=0.1, weight_decay=0.3, decay_biases=True, clip_norm=0.01,
        groups={"lstm1/": 0.1}, loss="sum", gain="ones", inference="last", seed=1, augmentation="none",
    )  # fmt: skip
    found = []
    for settings in (Settings(epochs=2, batch=5, weight_decay=0.1), Settings(epochs=2, batch=5, weight_decay=0.1)):
        net, data = recurrent(), Clips()
        settings = dataclasses.replace(settings, **({name: other[name]} if found else {}))
        history = train(net, data, settings, test=data, progress=False)
        tested = [(record["loss"], record["accuracy"], record["test"]) for record in history]
        found.append(({key: a.tobytes() for key, a in net.params.items()}, tested))
    assert found[0] != found[1]


def test_every_option_has_a_case():
    commands = parser()._subparsers._group_actions[0].choices
    covered = {(BASES[base].split()[0], word) for table in (CASES, SAME) for base, text in table.items()
               for word in re.findall(r"--[a-z0-9-]+", text)}  # fmt: skip
    for key, test in ELSEWHERE.items():
        names, options = ([w for w in key.split() if w.startswith("--") == dashed] for dashed in (False, True))
        covered |= {(name, option) for name in names for option in options}
        file, _, start = test.partition("::")
        tree = ast.parse(next(HERE.parent.rglob(file)).read_text(encoding="utf-8"))
        assert any(isinstance(f, ast.FunctionDef) and f.name.startswith(start) for f in tree.body), f"{test} is gone"
    there = {(name, action.option_strings[0]) for name, p in commands.items() for action in p._actions
             if action.option_strings and action.help != "==SUPPRESS==" and action.dest != "help"}  # fmt: skip
    missing, gone = sorted(there - covered), sorted(covered - there)
    assert not missing, f"no test changes a result by {missing}: add a case to CASES or name its test in ELSEWHERE"
    assert not gone, f"there is no option {gone} any more: take it out of the tables"
    assert {f.name.replace("_", "-") for f in dataclasses.fields(Downpour)} <= {option[2:] for _, option in covered}
