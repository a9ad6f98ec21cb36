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
SMALL = "--size 36 --width 0.05 --fc 12 --dropout 0 --epochs 1 --batch 2 --cache CACHE"
UNCACHED = SMALL.replace("CACHE", "none")
BASES = {  # name: a command; DATA, FEATURES and others are files of the fixture `files`
    "pooling": "train FEATURES --head conv --fc 6 --frames 4 --epochs 2 --batch 5 --lr 0.05",
    "recurrent": "train FEATURES --head lstm --units 4 --depth 2 --frames 4 --epochs 2 --batch 5 --lr 0.05 --loss sum",
    "plain": "train FEATURES --head rnn --units 4 --depth 2 --frames 4 --epochs 1 --batch 5",
    "videos": f"train DATA --tower alexnet --head conv --frames 3 {SMALL}",
    "timed": f"train DATA --tower alexnet --head conv --frames 3 --fps 12.5 {SMALL}",
    "flow": f"train DATA --stream flow --bound 4 --head single --frames 1 --tvl1 iterations=3,warps=1 {UNCACHED}",
    "googlenet": f"train DATA --tower googlenet --vector 6 --head single --frames 1 {SMALL}",
    "shards": "train FEATURES --head conv --fc 6 --frames 4 --batch 5 --epochs 1 --downpour",
    "missing": f"train MISSING --tower alexnet --head single --frames 1 {SMALL}",
    "evaluate": "evaluate MODEL DATA --cache CACHE",
    "evaluate lstm": "evaluate LSTM FEATURES --save OUT/p.npz",
    "evaluate missing": "evaluate MODEL MISSING --cache CACHE",
    "expand": "expand SINGLE --out OUT/big.npz",
    "fuse": "fuse ONE TWO --save OUT/p.npz",
    "svm": "fuse ONE TWO --svm TRAIN1 TRAIN2",
    "check": "check-data DATA",
    "check timed": "check-data DATA --fps 25 --frames 1",
    "predict": "predict MODEL CLIP",
    "features": "features DATA --size 36 --width 0.04 --tower alexnet --count 3 --cache CACHE --out OUT/f.npz",
    "features timed": (
        "features DATA --size 36 --width 0.04 --tower alexnet --count 3 --fps 12.5 --cache CACHE --out OUT/f.npz"
    ),
    "features flow": (
        "features DATA --stream flow --size 36 --width 0.04 --tower alexnet --count 2 --tvl1 iterations=3,warps=1 "
        "--cache none --out OUT/f.npz"
    ),
    "features missing": "features MISSING --size 36 --width 0.04 --tower alexnet --count 2 --out OUT/f.npz",
    "tables": "tables --dry-run --seeds 1",
    "compare": "compare FEATURES --heads conv rnn --seeds 1",
    "flow picture": "flow CLIP --size 36 --tvl1 iterations=3,warps=1 --render OUT/flow.avi",
    "flow cache": "flow DATA --size 36 --tvl1 iterations=3,warps=1 --cache OUT/cache",
    "summary": "summary --tower alexnet --head conv --frames 2 --size 36 --width 0.04 --fc 6",
    "summary googlenet": "summary --tower googlenet --head conv --frames 2 --size 36 --width 0.04 --fc 6",
    "summary lstm": "summary --tower alexnet --head lstm --frames 2 --size 36 --width 0.04 --fc 6 --units 4",
    "scaling": "scaling --tower alexnet --head conv --frames 2 --size 36 --width 0.04 --fc 6 --batch 2",
    "scaling googlenet": "scaling --tower googlenet --head conv --frames 2 --size 36 --width 0.04 --fc 6 --batch 2",
    "scaling rnn": "scaling --tower googlenet --vector 6 --head rnn --frames 2 --size 36 --depth 1 --batch 1",
    "summary rnn": "summary --tower googlenet --vector 6 --head rnn --frames 2 --size 36 --width 0.04 --depth 1",
    "scaling lstm": "scaling --tower alexnet --head lstm --frames 2 --size 36 --width 0.04 --fc 6 --batch 2 --units 4",
    "simulate": "simulate FEATURES --head conv --fc 6 --frames 4 --batch 3 --epochs 2 --counts 2 --fetch 2 --lr 0.05",
    "simulate deaths": (
        "simulate FEATURES --head conv --fc 6 --frames 4 --batch 2 --epochs 4 --counts 2 --fetch 1 --push 1 --mtbf 1 "
        "--restart 0.3 --shards 1 --checkpoint-every 10"
    ),
    "simulate timed": f"simulate DATA --tower alexnet --head single --frames 1 --fps 12.5 --counts 1 {SMALL}",
    "simulate lstm": "simulate FEATURES --head lstm --units 4 --depth 2 --frames 4 --batch 5 --epochs 1 --counts 1",
    "simulate rnn": "simulate FEATURES --head rnn --units 4 --depth 1 --frames 4 --batch 5 --epochs 1 --counts 1",
    "simulate videos": f"simulate DATA --tower alexnet --head single --frames 1 --counts 1 {SMALL}",
    "simulate flow": (
        f"simulate DATA --stream flow --tvl1 iterations=3,warps=1 --head single --frames 1 --counts 1 {UNCACHED}"
    ),
    "simulate googlenet": f"simulate DATA --tower googlenet --vector 6 --head single --frames 1 --counts 1 {SMALL}",
    "simulate missing": f"simulate MISSING --tower alexnet --head single --frames 1 --counts 1 {SMALL}",
}
NET = "--width 0.08|--size 40|--head average|--frames 4|--fc 7|--tower googlenet"
TRAINING = (
    "--epochs 3|--batch 4|--lr 0.02|--decay 0.5|--momentum 0.5|--weight-decay 0.1|--clip-norm 0.05|--loss sum|--seed 1"
)
FLOW = "--flow-fps 25|--bound 1|--tvl1 iterations=4,warps=2"
PIXELS = "--fps 5|--mean 90|--scale 60"
GOOGLENET = "--tap average|--vector 5|--variant caffe|--auxiliary 0.5"
# base: options with another value, each a case of its own; several words together where one option needs another
CASES = {
    "pooling": f"{TRAINING}|--head late|--dropout 0.1|--frames 3|--fc 5|--features raw|--views 3|--evaluate-every 2"
    "|--freeze fc1/|--lr-group fc1/=0.1|--init POOLED",
    "recurrent": "--gain ones|--gain last|--inference max|--units 5|--depth 1|--loss mean",
    "plain": "--activation tanh",
    "videos": f"{PIXELS}|--size 40|--width 0.08|--norm lcn|--tower googlenet|--fold 2|--fold all|--skip SKIP"
    "|--stream flow",
    "timed": "--seconds 0.16",
    "flow": FLOW,
    "googlenet": GOOGLENET,
    "shards": "--replicas 3|--shards 2|--fetch 2|--push 2|--rule adagrad|--staleness 1|--ahead 1"
    "|--warm-start-steps 2|--checkpoint-every 7|--address here:1",
    "missing": "--available",
    "evaluate": "--views 3|--whole|--side train|--skip SKIP|--save OUT/p.npz",
    "evaluate lstm": "--mode max",
    "evaluate missing": "--available",
    "expand": "--head late|--frames 2",
    "fuse": "--weights 5 1|--save OUT/q.npz",
    "svm": "--svm-c 0.0001",
    "check timed": "--seconds 0.16",
    "check": "--frames 5|--fps 12.5|--skip SKIP|--write-skip OUT/skip.txt",
    "predict": "--views 2|--whole|--top 1|--render OUT/a.png",
    "features": f"{PIXELS}|--size 40|--width 0.08|--count 2|--seed 1|--tower googlenet|--fold 2|--skip SKIP"
    "|--stream flow|--out OUT/g.npz|--model MODEL",
    "features flow": FLOW,
    "features timed": "--seconds 0.16",
    "features missing": "--available",
    "tables": "--data elsewhere|--table 3|--seeds 2|--first-seed 4|--out else|--cache else|--pretrained else"
    "|--device cuda",
    "compare": f"{TRAINING.removesuffix('|--seed 1')}|--heads late|--seeds 2|--width 0.5|--fc 7|--dropout 0.1|--units 9"
    "|--depth 2|--activation tanh|--gain ones|--inference max|--device cuda",
    "flow picture": "--flow-fps 25|--tvl1 iterations=4,warps=2|--size 40|--fps 12.5|--render OUT/other.avi",
    "flow cache": f"{FLOW}|--skip SKIP|--size 40|--cache OUT/other",
    "summary": f"{NET}|--norm lcn|--classes 7|--batch 3|--draw OUT/a.svg",
    "summary googlenet": f"{GOOGLENET}".replace("|--auxiliary 0.5", ""),
    "summary lstm": "--units 5|--depth 1",
    "scaling": f"{NET}|--norm lcn|--classes 7|--batch 3|--seed 1|--repeat 3",
    "scaling googlenet": GOOGLENET,
    "scaling lstm": "--units 5|--depth 1",
    "scaling rnn": "--activation tanh",
    "simulate": f"{TRAINING}|--counts 3|--momenta 0.1|--head late|--frames 3|--fc 5|--dropout 0.1|--features raw"
    "|--compute 0.2|--std 0.5|--cores 1|--latency 0.05|--bandwidth 1e4|--apply 1e-4|--grow 1000|--cluster-seed 1"
    "|--shards 2|--fetch 3|--push 2|--rule adagrad|--warm-start-steps 3"
    "|--staleness 0|--ahead 1|--init POOLED",
    "simulate deaths": "--mtbf 2|--restart 0.1|--checkpoint-every 1",
    "simulate timed": "--seconds 0.16",
    "simulate lstm": "--gain ones|--inference max|--units 5|--depth 1",
    "simulate rnn": "--activation tanh",
    "simulate videos": f"{PIXELS}|--size 40|--width 0.08|--norm lcn|--tower googlenet|--fold 2|--skip SKIP"
    "|--stream flow",
    "simulate flow": FLOW,
    "simulate googlenet": GOOGLENET,
    "simulate missing": "--available",
}
# What changes nothing but time and memory, or belongs to a network but not to what is told of it
SAME = {
    "videos": "--workers 0|--workers 3|--memory 1", "check": "--workers 1", "evaluate": "--batch 1",
    "summary": "--dropout 0.1", "scaling": "--dropout 0.1", "summary rnn": "--activation tanh",
    "summary googlenet": "--auxiliary 0.5",
}  # fmt: skip
ELSEWHERE = {
    "demo --out --seed --quick": "test_demo.py::test_quick_demo",
    "make-data --seed --groups --clips --frames --side": (
        "test_mini.py::test_same_arguments_same_bytes_other_seed_other_clips"
    ),
    "train --out --cache": "test_cli.py::test_train_writes_a_checkpoint_and_a_log",
    "train --resume": "test_loop.py::test_resumed_is_uninterrupted_bit_for_bit",
    "train --downpour": "test_ray.py::test_the_command_line_trains_with_replicas",
    "evaluate --cache": "test_protocol.py::test_",
    "evaluate --fold": "test_cli.py::test_evaluate_refuses_another_fold",
    "simulate --cache --out": "test_simulate.py::test_the_command_line_simulates_and_draws",
    "simulate --measure --real": "test_reported_training.py::test_times_measured_for_the_simulator",
    "expand --out": "test_cli_heads.py::test_a_single_frame_network_is_expanded_step_by_step",
    "fuse --svm": "test_fusion.py::test_the_command",
    "features --cache": "test_cli.py::test_features_of_a_data_folder_train_a_head",
    "import --out --classes --keep-classifier --labels --variant --mean --scale --size": (
        "test_weights.py::test_the_command_says_where_each_tensor_went"
    ),
    "tables --measured": "test_reported_numbers.py::test_tables_of_the_small_scale",
    "tables --dry-run": "test_tables.py::test_dry_run_prints_every_command_and_runs_none",
    "claims --claims --seeds --out": "test_claims.py::test_claims_are_run_judged_and_written",
    "compare --out": "test_claims.py::test_compare_trains_heads_over_seeds",
    "bench --rows --against --repeat --json --clips --quick": "test_bench.py::test_every_row_is_measured",
    "demo claims train evaluate predict features flow bench --device": (
        "test_cuda_commands.py::test_experiments_pass_the_device_on"
    ),
}


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
                lambda steps, execute, log: found.update({str(s): "" for s in steps}),
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
            train = snippets.training.cli.train
            patch.setattr(train, "downpour", lambda net, videos, s, d, address, **how: found.update(
                {"downpour": str(d), "address": str(address)}) or {"staleness": {}, "history": []})  # fmt: skip
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


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Settings)])
def test_every_setting_of_a_training_changes_it(name):
    """Those without an option, too: decay_biases, groups."""
    other = dict(
        epochs=3, batch=4, lr=0.05, decay=0.5, momentum=0.1, weight_decay=0.3, decay_biases=True, clip_norm=0.01,
        groups={"lstm1/": 0.1}, loss="sum", gain="ones", inference="last", seed=1,
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
    there = {(name, action.option_strings[-1]) for name, p in commands.items() for action in p._actions
             if action.option_strings and action.help != "==SUPPRESS==" and action.dest != "help"}  # fmt: skip
    missing, gone = sorted(there - covered), sorted(covered - there)
    assert not missing, f"no test changes a result by {missing}: add a case to CASES or name its test in ELSEWHERE"
    assert not gone, f"there is no option {gone} any more: take it out of the tables"
    assert {f.name.replace("_", "-") for f in dataclasses.fields(Downpour)} <= {option[2:] for _, option in covered}
