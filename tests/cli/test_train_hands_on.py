"""What `snippets train` hands on to what computes, alone and on every rank: stand-ins record it."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.features import save_features
from snippets.training.cli import train
from snippets.training.cli.main import main, parsed
from snippets.training.evaluate import result_of
from snippets.training.predictions import Predictions, save_predictions

RESULT = result_of(list("ab"), list("xy"), np.array([0, 1]), np.eye(2))
HISTORY = [{"steps": 3}, {"steps": 5}, {"steps": 9}]


class Team:
    """Rank `rank` of `size`, two on each machine."""

    def __init__(self, rank, size, calls):
        self.rank, self.size, self.calls = rank, size, calls
        self.host = SimpleNamespace(rank=rank % 2, size=min(2, size))

    def same(self, value):
        self.calls.append(("same", (value,), {}))
        return value


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Nine training videos and four of fold 2; the calls of a training, each with its arguments, in their order."""
    monkeypatch.chdir(tmp_path)
    feat = np.random.default_rng(0).standard_normal((13, 4, 3)).astype(np.float32)
    save_features("f.npz", feat, np.arange(13) % 2 + 1, np.arange(13) >= 9, fold=2)
    (tmp_path / "mine.toml").write_text("epochs = 7\n")
    found = []

    def record(name, answer):
        def call(*args, **options):
            found.append((name, args, options))
            return answer(*args, **options) if callable(answer) else answer

        monkeypatch.setattr(train, name, call)

    for name, answer in {
        "open_data": train.open_data, "new_net": train.new_net, "one_run": nullcontext(), "keep_options": None,
        "fit_memory": SimpleNamespace(apply=lambda net: found.append(("apply", (net,), {}))),
        "move_to_device": lambda net, device: net, "train": HISTORY, "evaluate": RESULT, "evaluate_whole": RESULT,
        "save_predictions": None, "check_address": None,
        "downpour": {"staleness": {3: 1, 0: 2}, "waiting": 0.126, "history": HISTORY},
    }.items():  # fmt: skip
        record(name, answer)
    return found


def run(calls, monkeypatch, rank, size, *options, net="--head average --fc 0 --dropout 0"):
    """{function: its calls} of a training by this rank."""
    monkeypatch.setattr(train, "ranks", lambda report: nullcontext(Team(rank, size, calls)))
    calls.clear()
    assert main(["train", "f.npz", *net.split(), *options]) == 0
    return {name: [call[1:] for call in calls if call[0] == name] for name, *_ in calls}


@pytest.mark.parametrize("rank, size", [(0, 1), (0, 2), (1, 3), (2, 3)])
def test_every_rank_trains_its_part_and_the_first_one_writes(calls, monkeypatch, capsys, rank, size):
    options = "--batch 7 --workers 5 --memory 2 --evaluate-every 4 --views 6 --view-starts random --inference max"
    options += " --preset mine.toml --freeze scores/b --lr-group scores/=0.5 --lr 0.04 --out run --device cuda"
    found = run(calls, monkeypatch, rank, size, *options.split(), net="--head lstm --units 2 --depth 1")
    out, err = capsys.readouterr()
    assert ("learning rates: scores/ 0.02, scores/b 0, all else 0.04" in out) == (rank == 0) and not err
    assert [str(args[0]) for args, _ in found["one_run"]] == ["None" if rank else "run"]
    assert [args[1] for args, _ in found.get("keep_options", [])] == ["mine.toml"] * (rank == 0)
    order = [name for name, *_ in calls if name in ("same", "open_data")]
    turns = {True: ["open_data", "same"], False: ["same", "open_data"]}[rank == 0]
    assert order == ["same", *turns] + ["same"] * (size > 1)
    assert found["move_to_device"][0][0][1] == ("cuda" if size == 1 else f"cuda:{rank % 2}")
    (((net, train_set, settings), how),) = found["train"]
    assert (len(train_set), settings.epochs, settings.groups) == (9, 7, {"scores/": 0.5, "scores/b": 0})
    assert (how["evaluate_every"], how["workers"], how["resume"], how["fold"]) == (4, 5, False, 2)
    assert (str(how["folder"]), how["config"]["units"], how["data"]["features"]) == ("run", 2, "unit")
    assert (len(how["test"]), how["ranks"].rank) == (4, rank)
    (((tested, test_set, views, batch, mode), how),) = found["evaluate"]
    assert (tested, test_set, batch, mode, how["ranks"].rank) == (net, found["train"][0][1]["test"], 7, "max", rank)
    assert tuple(views) == (6, "random")
    saved = [(str(path), p) for (path, p), _ in found.get("save_predictions", [])]
    kept = Predictions(RESULT, 2, mode="max", views=6, steps=9)
    assert saved == [(str(train.Path("run") / "predictions.npz"), kept)] * (rank == 0)


@pytest.mark.parametrize("device, size, used", [("cuda:3", 2, "cuda:3"), ("cuda:3", 1, "cuda:3"), ("cpu", 2, "cpu")])
def test_a_device_that_is_named_is_the_one(calls, monkeypatch, capsys, device, size, used):
    found = run(calls, monkeypatch, 1 if size > 1 else 0, size, "--device", device)
    assert found["move_to_device"][0][0][1] == used
    assert ("fit_memory" in found) == ("apply" in found) == (device == "cpu")
    assert ("on a GPU: " in capsys.readouterr().out) == (device != "cpu")


@pytest.mark.parametrize(
    "team, options, clips, processes",
    [
        ((0, 1), "--batch 7", 7, 1),
        ((1, 3), "--batch 7", 3, 2),
        ((0, 2), "--batch 100", 5, 2),
        ((0, 1), "--batch 7 --downpour --replicas 6 --shards 2", 7, 6),
        ((0, 1), "--batch 7 --downpour --replicas 6 --shards 2 --address head:1", 7, 1),
    ],
)
def test_the_memory_of_a_ranks_share_of_a_batch(calls, monkeypatch, capsys, team, options, clips, processes):
    found = run(calls, monkeypatch, *team, "--workers", "5", "--memory", "2", *options.split())
    (((config, shape, settings, *more), named),) = found["fit_memory"]
    assert (config.head, shape, settings.batch) == ("average", (clips, 4, 3), int(options.split()[1]))
    assert (more, named) == ([5, 2.0, processes], {})
    (((net,), _),) = found["apply"]
    replicated = "downpour" in found
    assert net is found["downpour" if replicated else "train"][0][0][0]
    if replicated:
        asked = "head:1" if "--address" in options else None
        assert found["downpour"][0][1]["address"] == asked
        assert [args for args, _ in found.get("check_address", [])] == [(asked,)] * bool(asked)
        assert found["downpour"][0][0][3].replicas == 6 and found["save_predictions"][0][0][1].steps == 9
        told = "staleness: 0: 2, 3: 1\nreplicas waited for shards for 13 % of their time\n"
        assert told in capsys.readouterr().out


def test_a_test_of_whole_videos_and_of_a_network_that_was_not_trained(calls, monkeypatch):
    for options, head in (("--whole", "average"), ("--whole --head single --frames 1", "single")):
        found = run(calls, monkeypatch, 0, 1, *options.split())
        (((net, test_set, mode, alone), _),) = found["evaluate_whole"]
        assert (len(test_set), mode, alone) == (4, "weighted", head == "single") and "evaluate" not in found
        assert found["save_predictions"][0][0][1] == Predictions(RESULT, 2, views=0, steps=9)
    monkeypatch.setattr(train, "train", lambda *args, **how: [])
    assert run(calls, monkeypatch, 0, 1)["save_predictions"][0][0][1] == Predictions(RESULT, 2, steps=0)


def test_predictions_that_are_there_are_taken_if_they_are_of_this_network_and_test(calls, monkeypatch, tmp_path):
    names = run(calls, monkeypatch, 0, 1)["train"][0][1]["test"].names
    old = result_of(list("01"), names, np.arange(4) % 2, np.full((4, 2), 0.5))
    (tmp_path / "run").mkdir()
    for changed, resume, size, again in (
        ({}, True, 1, False), ({}, False, 1, True), ({}, True, 2, True), ({"steps": 8}, True, 1, True),
        ({"views": 2}, True, 1, True), ({"mode": "max"}, True, 1, True), ({"names": list("wxyz")}, True, 1, True),
    ):  # fmt: skip
        result = result_of(old.classes, changed.get("names", names), old.labels, old.probabilities)
        about = {"steps": 9} | {key: value for key, value in changed.items() if key != "names"}
        save_predictions(tmp_path / "run" / "predictions.npz", Predictions(result, 2, **about))
        found = run(calls, monkeypatch, 0, size, "--out", "run", *(["--resume"] if resume else []))
        assert ("evaluate" in found) == ("save_predictions" in found) == again, (changed, resume, size)
        assert found["train"][0][1]["resume"] == resume


def test_a_few_videos_are_told_to_be_few(monkeypatch, capsys):
    """Fewer than a thousand, by the first rank, of a tower that begins with nothing."""
    stop = SimpleNamespace(rank=0, size=1)
    videos = SimpleNamespace(features=None)
    monkeypatch.setattr(train, "spec_for", lambda args, fold: videos)

    def reached(*args):
        raise FloatingPointError

    monkeypatch.setattr(train, "tuned_once", reached)
    for count, rank, options, told in (
        (999, 0, "", True), (1000, 0, "", False), (999, 1, "", False), (999, 0, "--init a.npz", False),
        (999, 0, "--features-of a.npz", False),
    ):  # fmt: skip
        stop.rank = rank
        monkeypatch.setattr(train, "data_in_turn", lambda *_, count=count: (range(count), range(9), None))
        with pytest.raises(FloatingPointError):
            train.train_fold(parsed(["train", "folder", *options.split()]), 1, None, False, stop)
        assert capsys.readouterr().out.startswith(f"note: {count} videos are few") == told, (count, rank, options)
