"""Numbers that `snippets train` and `snippets expand` work out themselves: memory, frames, classes, means of folds."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.nets.inspect.memory import GIB
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, load, save
from snippets.training.cli import train
from snippets.training.cli.main import main
from snippets.training.evaluate import result_of
from snippets.training.settings import Settings

CONFIG = NetConfig(3, "features", "conv", 4, features=5, fc=6, dropout=0.0)
PARAMETERS = 4 * (5 * 6 + 6 + 6 * 6 + 6 + 6 * 3 + 3)  # bytes


class Videos(list):
    """A data set, which is its labels."""

    def __init__(self, labels, classes="ab"):
        super().__init__(labels)
        self.labels, self.classes = np.array(labels), list(classes)


@pytest.mark.parametrize(
    "labels, tests, classes, said, wrong",
    [
        ([0, 1], [0], "ab", "", None),
        ([0, 1], [], "ab", "", "no test videos"),
        ([0, 0, 1], [0], "abc", "no training videos of 1 classes, which cannot be learned: c", None),
        ([0, 0, 0], [0], "ab", "", "3 training videos of 1 classes, expected two"),
        ([2, 7], [0], "abcdefgh", "no training videos of 6 classes, which cannot be learned: a, b, d, e, f", None),
        ([[1, 0, 1], [0, 0, 1]], [0], "abc", "no training videos of 1 classes, which cannot be learned: b", None),
        ([[0, 0, 1], [0, 0, 1]], [0], "abc", "", "2 training videos of 1 classes, expected two"),
    ],
)
def test_what_can_be_learned(capsys, labels, tests, classes, said, wrong):
    """Two classes at least; of those that have no videos the first five are named."""
    if wrong:
        with pytest.raises(ValueError, match=f"^data: {wrong}"):
            train.check_classes("data", Videos(labels, classes), Videos(tests))
    else:
        train.check_classes("data", Videos(labels, classes), Videos(tests))
    assert capsys.readouterr().out == (f"data: {said}\n" if said else "")


@pytest.mark.parametrize(
    "given, frames",
    [
        (dict(frames=7, head="conv", count=9, data="v"), 7), (dict(frames=7, head="single", count=9, data="v"), 7),
        (dict(head="single", count=9, data="v"), 1), (dict(count=9, data="v"), 9), (dict(data="v"), 30),
        (dict(data="f.npz"), None), (dict(head="single", data="f.npz"), 1),
    ],
)  # fmt: skip
def test_frames_of_a_clip(given, frames):
    assert train.clip_frames(SimpleNamespace(**dict(frames=None, head="conv", count=None) | given)) == frames


@pytest.fixture
def planned(monkeypatch):
    """What is asked of the planner; two GiB are free where nobody says how many."""
    found = []
    monkeypatch.setattr(train, "plan_memory", lambda *args, ahead: found.append((*args, ahead)) or "a plan")
    monkeypatch.setattr(train, "allowed_memory", lambda gib: 2 * GIB if gib is None else gib and gib * GIB)
    return found


@pytest.mark.parametrize(
    "how, memory, ahead, told",
    [
        ({}, 2 * GIB, 0, "; 2.00 GiB are allowed"),
        (dict(gib=3), 3 * GIB, 0, "; 3.00 GiB are allowed"),
        (dict(workers=2), 2 * GIB, 9, "; 2.00 GiB are allowed"),
        (dict(processes=4), GIB / 2, 0, "; 0.50 GiB are allowed"),
        (dict(processes=2, more=GIB // PARAMETERS // 2), GIB - GIB // PARAMETERS // 2 * PARAMETERS, 0, "; 0.50 GiB"),
        (dict(gib=0), 0, 0, ""),
    ],
)
def test_memory_that_a_step_may_take(planned, capsys, how, memory, ahead, told):
    """Shared by the processes, less what each of them takes besides; a loader has a batch and more ready."""
    assert train.fit_memory(CONFIG, (7, 4, 5), Settings(groups={"fc1/": 0.0, "fc2/W": 0.1}), **how) == "a plan"
    ((net, shape, allowed, trained, loading),) = planned
    assert (shape, allowed, loading) == ((7, 4, 5), memory, ahead)
    assert sum(a.nbytes for a in net.params.values()) == PARAMETERS
    assert sorted(trained) == ["fc2/W", "fc2/b", "scores/W", "scores/b"]
    assert net.params["fc1/W"].strides == (0, 0), "weights were made"
    out = capsys.readouterr().out
    assert out.startswith(f"a plan{told}") and ("allowed" in out) == bool(told)


def test_a_step_that_fits_into_no_processs_share_is_told(monkeypatch):
    def nothing_fits(*args, **how):
        raise ValueError("too much")

    monkeypatch.setattr(train, "plan_memory", nothing_fits)
    for processes, words in ((1, "too much"), (2, r"too much \(each of 2 processes\)")):
        with pytest.raises(ValueError, match=f"^{words}$"):
            train.fit_memory(CONFIG, (7, 4, 5), Settings(), processes=processes)


@pytest.mark.parametrize("whole", [False, True])
def test_the_mean_of_three_folds(monkeypatch, capsys, tmp_path, whole):
    """Each is told with its number; of clips where there were clips."""
    labels, found = np.arange(6), {}
    for fold, hits in {1: 6, 2: 3, 3: 0}.items():
        p = np.eye(6)[np.where(labels < hits, labels, (labels + 1) % 6)]
        found[fold] = result_of(list("abcdef"), list("uvwxyz"), labels, p, 12, [hits / 12, hits / 8])
    calls = []

    def train_fold(args, fold, out, resume):
        calls.append((fold, out, resume))
        return found[fold]

    monkeypatch.setattr(train, "train_fold", train_fold)
    (tmp_path / "fold2").mkdir()
    (tmp_path / "fold2" / "checkpoint.npz").touch()
    train.train_all_folds(SimpleNamespace(resume=True, whole=whole), tmp_path)
    assert calls == [(fold, tmp_path / f"fold{fold}", fold == 2) for fold in (1, 2, 3)]
    lines = [f"fold {fold} of 3: {tmp_path / f'fold{fold}'}" for fold in found]
    lines += [f"fold {fold}: {result}" for fold, result in found.items()]
    hit5 = np.mean([result.hit5 for result in found.values()])
    clips = "" if whole else "; clip Hit@1 25.0 %, Hit@5 37.5 %"
    lines.append(f"mean of 3 folds: video Hit@1 50.0 %, Hit@5 {100 * hit5:.1f} %{clips}")
    assert capsys.readouterr().out.splitlines() == lines
    with pytest.raises(FileExistsError, match="fold2 holds a run"):
        train.train_all_folds(SimpleNamespace(resume=False, whole=whole), tmp_path)


def test_an_expanded_network_begins_its_training_anew(tmp_path, capsys):
    """Of the old training it says on what that was; its velocity and its auxiliary heads are gone."""
    config = NetConfig(2, "googlenet", "single", 1, 32, width=0.05, vector=6, fc=0, dropout=0.0, auxiliary=0.3)
    params, old, new = build(config, seed=1).params, tmp_path / "old.npz", tmp_path / "new.npz"
    about = dict(settings={"lr": 0.1}, data={"fps": 5.0}, classes=["a", "b"], content=[["a", 0, 0]])
    about |= dict(fold=2, seed=4, videos=8)
    run = dict(epoch=3, step=2, steps=9, partial={"loss": 1.0}, history=[{"loss": 1.0}])
    save(old, Checkpoint(params, {key: a + 1 for key, a in params.items()}, asdict(config), **about, **run))
    assert main(["expand", str(old), "--head", "conv", "--frames", "5", "--out", str(new)]) == 0
    found = load(new)
    assert found.config == {**asdict(config), "head": "conv", "frames": 5, "auxiliary": 0.0}
    assert {name: getattr(found, name) for name in about} == about
    begun = (found.velocity, found.epoch, found.step, found.steps, found.partial, found.history)
    assert begun == ({}, 0, 0, 0, {}, [])
    assert set(found.params) == {key for key in params if "/aux" not in key}
    assert all((a == params[key]).all() for key, a in found.params.items())
    told = f"{len(found.params)} arrays copied, none new: {new} has head conv and 5 frames"
    assert told in capsys.readouterr().out
