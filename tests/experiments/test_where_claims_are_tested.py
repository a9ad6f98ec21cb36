"""Where claims are tested: which videos are rendered, how real features are dealt, and which commands are run."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from snippets.data.features import load_features, save_features
from snippets.data.mini.make import CLASSES
from snippets.training.evaluate import result_of
from snippets.training.experiments.claims import judge, lab
from snippets.training.experiments.claims.ablations import VARIED
from snippets.training.experiments.claims.lab import GROUNDS, QUICK, FeatureTrial, Ground, Lab
from snippets.training.experiments.claims.sentences import CLAIMS, Claim
from snippets.training.experiments.scales import LAB, REAL
from snippets.training.experiments.trial import Trial
from snippets.training.predictions import Predictions, save_predictions


@pytest.mark.parametrize("shake", [0, 3])
def test_the_videos_of_a_seed(shake, monkeypatch, tmp_path):
    """One clip per group; the first two groups of each class train, the third tests."""
    told = []

    def noted(name, root, *args):
        told.append((name, root, *args))
        root.mkdir(parents=True)
        return root

    for name in ("make_mini", "make_shaky"):
        monkeypatch.setattr(lab, name, lambda *args, name=name: noted(name, *args))
    ground, out = Ground(LAB, 2, 1, 16, 32, shake), tmp_path / "still"
    lab_ = Lab(tmp_path, grounds={"still": ground}, device="cuda:1")
    trial = lab_.rendered("still", 5, VARIED)
    folder = out / "seed5"
    rendered = [("make_mini", folder / "data", 5, 3, 1, 16, 32)]
    assert told == rendered + ([("make_shaky", folder / "shaken", folder / "data", 5, 3)] if shake else [])
    data = folder / ("shaken" if shake else "data") / "split.csv"
    assert trial == Trial(str(data), LAB, 5, out, str(folder / "cache"), VARIED, device="cuda:1")
    head, *lines = data.read_text().splitlines()
    assert head == "path,label,group,split" and len(lines) == 3 * len(CLASSES)
    mine = [line.split(",") for line in lines if line.startswith("CardSun/")]
    assert [(path[-11:], label, side) for path, label, _, side in mine] == [
        ("g01_c01.avi", "CardSun", "train"), ("g02_c01.avi", "CardSun", "train"), ("g03_c01.avi", "CardSun", "test"),
    ]  # fmt: skip
    assert len({group for _, _, group, _ in mine}) == 3


def test_a_quick_lab_tests_on_fewer_groups():
    assert {name: ground.test for name, ground in GROUNDS.items()} == {"still": 24, "shaken": 12}
    assert QUICK == {name: replace(ground, test=6) for name, ground in GROUNDS.items()}
    assert Lab("out").grounds is GROUNDS and Ground() == GROUNDS["still"]
    claim = SimpleNamespace(seeds=6)
    assert [Lab("out", seeds).seeds_of(claim) for seeds in (None, 2, 6, 9)] == [6, 2, 6, 6]


def test_claims_are_tried_on_real_features_where_there_are_some():
    real, not_real = SimpleNamespace(real="classes"), SimpleNamespace(real=None)
    assert Lab("out", features="f.npz").tried([real, not_real]) == [real]
    assert Lab("out").tried([real, not_real]) == []


@pytest.fixture
def features(tmp_path, rng, monkeypatch):
    """A file of features whose names say nothing of their groups: two classes, each of four groups of two videos."""
    monkeypatch.setattr(lab, "FOLDS", 2)
    label, group = np.repeat([1, 2], 8), [f"film {n // 2}" for n in range(16)]
    names, is_test = [f"some/{n}.avi" for n in range(16)], np.arange(16) % 8 > 5
    feat = rng.integers(1, 200, (16, 3, 33), dtype=np.uint8)
    about = dict(scale=np.arange(33) + 1, classes=["up", "down"], group=group)
    save_features(tmp_path / "f.npz", feat, label, is_test, name=names, **about)
    return Lab(tmp_path, features=str(tmp_path / "f.npz"), device="cuda:1"), feat * (np.arange(33) + 1.0), label, group


def test_real_features_are_dealt_by_their_groups(features):
    """What is given with them is kept; every sixteenth number, from the first on."""
    here, feat, label, group = features
    trials = here.real("classes", VARIED)
    folder = here.out / "real" / "classes"
    assert trials == [
        FeatureTrial(str(folder / f"fold{k}.npz"), REAL, k, folder, "", VARIED, device="cuda:1") for k in (0, 1)
    ]
    tested = []
    for trial in trials:
        learn, test = load_features(trial.data)
        assert learn.classes == ["up", "down"] and set(learn.groups).isdisjoint(test.groups)
        assert len(test) == len(learn) == 8 and learn.dim == 3
        for one in (learn, test):
            rows = [int(name[5:-4]) for name in one.names]
            assert [group[n] for n in rows] == one.groups and (label[rows] - 1 == one.labels).all()
            np.testing.assert_array_equal([one.whole_video(i) for i in range(8)], feat[rows][:, :, ::16])
        tested += test.names
    assert len(set(tested)) == 16


def test_each_real_video_runs_in_both_directions(features):
    here, feat, _, group = features
    for trial in here.real("direction", VARIED):
        for one in load_features(trial.data):
            rows = [int(name.split("/")[1][:-4]) for name in one.names]
            assert [name.split("/")[0] for name in one.names] == ["forwards"] * 8 + ["backwards"] * 8
            assert one.labels.tolist() == [0] * 8 + [1] * 8 and rows[:8] == rows[8:]
            assert one.groups == [group[n] for n in rows]
            for i, n in enumerate(rows):
                np.testing.assert_array_equal(one.whole_video(i), feat[n, :: 1 if i < 8 else -1, ::16])


def test_folds_that_are_missing_are_written_and_others_stay(features):
    """A run may have been stopped between two of them."""
    here, *_ = features
    first, second = (here.out / "real" / "classes" / f"fold{k}.npz" for k in (0, 1))
    here.real("classes", VARIED)
    before = first.stat().st_mtime_ns
    here.real("classes", VARIED)
    assert first.stat().st_mtime_ns == before
    second.unlink()
    here.real("classes", VARIED)
    assert second.exists()


def test_a_network_on_features_has_one_command():
    trial = FeatureTrial("f.npz", REAL, 3, Path("out"), "", VARIED)
    (made,) = trial.commands("alexnet-conv-30")
    assert made.arguments[:2] == ("train", "f.npz") and "--frames 12 " in str(made) and "--seed 3 " in str(made)


def test_claims_run_all_commands_of_their_seeds(monkeypatch, tmp_path, capsys):
    """Seed by seed, of claims with as many seeds as each takes; folds of real features beside them."""
    told, judged = {}, []
    monkeypatch.setattr(judge, "run", lambda *args, **how: told.update(args=args, how=how))
    monkeypatch.setattr(judge, "judge", lambda claim, trials: judged.append((claim.name, trials)) or claim.name)
    monkeypatch.setattr(judge, "page", lambda found, chosen, lab, known: f"a page on {len(chosen)} of {len(known)}")

    def trial(name):
        return SimpleNamespace(commands=lambda net: [f"{name}: tower", f"{name}: {net}"])

    one = Claim("one", "", "", ("a",), ("b", "c"), seeds=1, ground="still")
    two = Claim("two", "", "", ("d",), ("e",), seeds=2, ground="shaken", real="classes")
    monkeypatch.setattr(judge, "CLAIMS", (one, two))
    here = SimpleNamespace(
        out=tmp_path, seeds_of=lambda c: c.seeds, tried=lambda claims: [c for c in claims if c.real],
        rendered=lambda ground, seed, nets: trial(f"{ground}{seed}") if nets is VARIED else None,
        real=lambda way, nets: [trial(f"{way}{k}") for k in range(3)] if nets is VARIED else None,
    )  # fmt: skip
    found = judge.claims(here, [], "execute", "ray")
    parts = ("still0", "abc"), ("shaken0", "de"), ("classes0", "de"), ("shaken1", "de"), ("classes1", "de")
    commands = [
        f"{name}: {what}" for name, nets in (*parts, ("classes2", "de")) for net in nets for what in ("tower", net)
    ]
    assert told == {"args": (commands, "execute", tmp_path / "output.txt"), "how": {"ray": "ray"}}
    assert [(name, len(trials)) for name, trials in judged] == [("one", 1), ("two", 2), ("two", 3)]
    assert found == {"rendered": ["one", "two"], "real": ["two"]}
    assert capsys.readouterr().out == "a page on 2 of 2\n" == (tmp_path / "claims.md").read_text() + "\n"
    with pytest.raises(ValueError, match="no claim is called three or four; there are: one; two"):
        judge.claims(here, ["three", "four"])
    assert judge.claims(here, ["three", "tw"], "execute")["rendered"] == ["two"]
    assert judge.claims(here, ["layers"], "execute", ablations=True)["rendered"] == ["layers"]
    assert (tmp_path / "ablations.json").exists() and (tmp_path / "ablations.md").exists()


def test_accuracies_of_a_claim_are_rounded_and_counted_on_the_classes_of_its_kinds(tmp_path):
    """A third of the clips, 33.33 %; classes that are none of the rendered ones count whatever the kinds are."""
    clips = next(c for c in CLAIMS if c.clips)
    trials = Trial("data", LAB, 0, tmp_path, "", VARIED).seeds(2)
    for trial in trials:
        for name, share in ((clips.a[0], 2 / 3), (clips.b[0], 1 / 3)):
            result = result_of(["x", "y"], ["v", "w", "u"], np.array([0, 1, 1]), np.eye(2)[[0, 0, 1]], 8, (share, 1.0))
            save_predictions(trial.folder(name) / "predictions.npz", Predictions(result, 1))
    found = judge.judge(clips, trials)
    assert (found["a"], found["b"], found["videos"]) == ([66.67, 66.67], [33.33, 33.33], 6)
    assert found["difference"] == pytest.approx([100 / 3] * 3) and found["frames"] == [16, 8]
    found = judge.judge(replace(clips, clips=False, kinds=("order",)), trials[:1])
    assert (found["a"], found["videos"], found["seeds"], found["difference"]) == ([66.67], 3, 1, [0.0, None, None])


def test_an_undecided_claim_says_how_many_seeds_would_decide(tmp_path):
    """Differences of 40 and -30 points: 5 on average, within 12.7062 * 35 of it; as near to zero as 5."""
    clips = next(c for c in CLAIMS if c.clips)
    trials = Trial("data", LAB, 0, tmp_path, "", VARIED).seeds(2)
    for trial, shares in zip(trials, ((0.9, 0.5), (0.2, 0.5)), strict=True):
        for name, share in zip((clips.a[0], clips.b[0]), shares, strict=True):
            result = result_of(["x", "y"], ["v"], np.array([0]), np.eye(2)[:1], 8, (share, 1.0))
            save_predictions(trial.folder(name) / "predictions.npz", Predictions(result, 1))
    found = judge.judge(clips, trials)
    assert (found["verdict"], found["needed"]) == ("undecided", 15822)  # 2 (12.7062 * 35 / 5)^2
