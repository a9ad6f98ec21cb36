"""Verdicts come from numbers: intervals, the bootstrap, the rule, and claims and comparisons run at a tiny scale."""

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats
from tiny_tables import SMALL, TINY

from snippets.data.features import load_features, save_features
from snippets.data.files import read_json
from snippets.data.layouts.splits import group_of
from snippets.data.layouts.table import VideoFolder
from snippets.data.mini.camera_shake import make_shaky
from snippets.data.mini.make import CLASSES, KIND_NAMES, make_mini
from snippets.data.video import read_frames
from snippets.training.cli.main import execute, main, parsed
from snippets.training.evaluate import result_of
from snippets.training.experiments.claims import lab as labs
from snippets.training.experiments.claims.ablations import ABLATIONS, CHOICES, VARIED
from snippets.training.experiments.claims.judge import EQUAL, claims, judge, seeds_needed, verdict
from snippets.training.experiments.claims.lab import EVERY, GROUNDS, QUICK, Ground, Lab
from snippets.training.experiments.claims.sentences import CLAIMS, EXTRA, Claim
from snippets.training.experiments.paper import NETS
from snippets.training.experiments.scales import LAB, MINI, REAL
from snippets.training.experiments.statistics import bootstrap, mean_and_std, student, wilson
from snippets.training.experiments.trial import Trial
from snippets.training.predictions import Predictions, save_predictions


def test_wilson_holds_the_truth_as_often_as_it_says(rng):
    assert np.round(wilson(0.5, 10), 4).tolist() == [0.2366, 0.7634]  # worked by hand
    assert wilson(1.0, 260)[1] == pytest.approx(1.0) and wilson(0.0, 260)[0] == pytest.approx(0.0)
    shares = rng.binomial(260, 0.95, 4000) / 260
    inside = [low <= 0.95 <= high for low, high in map(lambda p: wilson(p, 260), shares)]
    assert 0.93 < np.mean(inside) < 0.97


def test_bootstrap_draws_groups_and_not_videos(rng):
    """Eight copies of each video say no more than one of it."""
    one = rng.integers(-1, 2, (3, 30)).astype(float)
    mean, low, high = bootstrap(one, np.arange(30))
    again = bootstrap(np.repeat(one, 8, axis=1), np.repeat(np.arange(30), 8))
    assert again == pytest.approx((mean, low, high)) and low < mean < high
    naive = bootstrap(np.repeat(one, 8, axis=1), np.arange(240))
    assert naive[2] - naive[1] < high - low
    assert bootstrap(np.full((2, 6), 0.5), [0, 0, 0, 1, 1, 2]) == (0.5, 0.5, 0.5)


def test_std_and_groups():
    assert mean_and_std([1.0, 2.0, 3.0]) == (2.0, 1.0) and np.isnan(mean_and_std([1.0])[1])
    names = "v_Archery_g07_c01", "v_Archery_g07_c12.avi", "v_Archery_g08_c01"
    assert [group_of(name) for name in names] == ["v_Archery_g07", "v_Archery_g07", "v_Archery_g08"]
    assert group_of("holiday_cats") == "holiday_cats"
    assert group_of("7") == "7"  # what a feature file without names calls its eighth video


def test_students_interval_is_scipys_and_holds_the_truth_as_often_as_it_says(rng):
    mean, low, high = student([1.0, 2.0, 6.0])  # worked by hand: 3 +- 4.3027 * 2.6458 / 1.7321
    assert (mean, round(low, 3), round(high, 3)) == (3.0, -3.572, 9.572)
    x = rng.standard_normal(12)
    assert student(x)[1:] == pytest.approx(stats.ttest_1samp(x, 0).confidence_interval(0.95))
    assert student([2.0])[0] == 2.0 and np.isnan(student([2.0])[1:]).all()
    inside = [low <= 0.5 <= high for _, low, high in (student(x) for x in 0.5 + rng.standard_normal((4000, 5)))]
    assert 0.94 < np.mean(inside) < 0.96


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (1, 4, "supported"), (4, 5, "supported"), (0.1, 1, "supported"),
        (-4, -1, "contradicted"), (-9, -8, "contradicted"), (-2, -0.1, "contradicted"),
        (-2, 2, EQUAL), (0, 2, EQUAL), (-2.9, 0, EQUAL), (0, 0, EQUAL), (-0.1, 2.9, EQUAL),
        (-1, 4, "undecided"), (-4, 1, "undecided"), (-3, 2, "undecided"), (0, 3, "undecided"), (-9, 9, "undecided"),
        (np.nan, np.nan, "undecided"),
    ],
)  # fmt: skip
def test_the_rule(low, high, expected):
    assert verdict(low, high) == expected


def test_no_difference_is_two_one_sided_tests(rng):
    """What holds zero lies within 3 points if both tests, of 3 and of -3, reject at 2.5 %."""
    seen = set()
    for x in rng.normal(rng.uniform(-4, 4, (300, 1)), 3, (300, 8)):
        tests = stats.ttest_1samp(x, -3, alternative="greater"), stats.ttest_1samp(x, 3, alternative="less")
        equal = all(test.pvalue < 0.025 for test in tests)
        zero = stats.ttest_1samp(x, 0).pvalue > 0.05
        assert (verdict(*student(x)[1:]) == EQUAL) == (equal and zero)
        seen.add((equal, zero))
    assert len(seen) == 4


def test_seeds_that_would_decide():
    """Half an interval is 4 points from 8 seeds: 1 point from 128; what is nearer decides, zero or three points."""
    assert seeds_needed((1, -3, 5), 8) == 32  # to lie below three: a half of 2
    assert seeds_needed((-2, -6, 2), 8) == 32  # to lie below zero: 2, too
    assert seeds_needed((5, -1, 11), 6) == 9  # 6 -> 5


@pytest.mark.parametrize("better, expected", [("a", "supported"), ("b", "contradicted"), ("", EQUAL)])
def test_a_claim_can_come_out_either_way(tmp_path, better, expected):
    nets = dict.fromkeys("ab", EXTRA["alexnet-average-120"])
    trials = Trial("data", MINI, 0, tmp_path, "cache", nets).seeds(3)
    names = [f"v_{kind}_g{g:02d}_c01" for kind in CLASSES for g in range(1, 5)]
    labels = np.repeat(np.arange(len(CLASSES)), 4)
    for trial in trials:
        for name in "ab":
            right = np.ones(len(names), bool) if name == better else (np.arange(len(names)) + trial.seed) % 3 > 0
            p = np.eye(len(CLASSES))[np.where(right, labels, (labels + 1) % len(CLASSES))]
            save_predictions(
                trial.folder(name) / "predictions.npz", Predictions(result_of(list(CLASSES), names, labels, p), 1)
            )
    found = judge(Claim("", "", "", ("a",), ("b",), ("order",)), trials)
    assert found["verdict"] == expected and found["videos"] == 3 * 16 and found["seeds"] == 3
    alone = judge(Claim("", "", "", ("a",), ("b",), ("order",)), trials[:1])
    assert alone["verdict"] == "undecided" and alone["needed"] is None


def test_claims_about_clips_count_clips(tmp_path):
    """Clip Hit@1 of 75, 70 and 80 % against 50 %; as videos all are right on both sides."""
    claim = next(c for c in CLAIMS if c.clips)
    trials = Trial("data", LAB, 0, tmp_path, "", NETS | EXTRA).seeds(3)
    for trial, share in zip(trials, (0.75, 0.7, 0.8), strict=True):
        for name, hit1 in ((claim.a[0], share), (claim.b[0], 0.5)):
            result = result_of(["a", "b"], ["v"], np.array([0]), np.eye(2)[:1], 8, (hit1, 1.0))
            save_predictions(trial.folder(name) / "predictions.npz", Predictions(result, 1))
    record = judge(claim, trials)
    assert (record["a"], record["b"], record["videos"]) == ([75.0, 70.0, 80.0], [50.0] * 3, 3)
    half = 4.3027 * 5 / np.sqrt(3)  # t of two degrees of freedom
    assert record["difference"] == pytest.approx([25, 25 - half, 25 + half], abs=1e-3)


def test_claims_name_networks_that_exist(tmp_path):
    assert {net for c in CLAIMS for net in c.a + c.b} <= set(NETS | EXTRA)
    assert {c.ground for c in CLAIMS} == set(GROUNDS) == set(QUICK) and len({c.name for c in CLAIMS}) == 12
    with pytest.raises(ValueError, match="max over average"):
        claims(Lab(tmp_path), ["no such claim"])


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_is_tested_as_its_experiment_says(claim):
    """On shaken video or not, which kinds of class, clips of one length or two, one network a side or two, fused."""
    text, nets = claim.experiment, NETS | EXTRA
    assert (claim.ground == "shaken") == ("shaken" in text) == claim.name.startswith("noisy")
    assert claim.kinds == (("order",) if "classes of order" in text else KIND_NAMES)
    assert claim.clips == ("clip Hit@1" in text)
    (a, b) = ({LAB.frames[nets[name].frames] for name in side} for side in (claim.a, claim.b))
    assert (a != b) == ("longer clip" in text) and (not claim.real or REAL.frames.keys() >= {nets[claim.a[0]].frames})
    flow = {name for name in claim.a + claim.b if nets[name].stream == "flow"}
    assert bool(flow) == ("flow" in text) and len(set(claim.a) ^ set(claim.b)) == (1 if flow else 2)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice[0])
def test_an_ablation_changes_its_options_and_nothing_else(choice, tmp_path):
    """The two commands, as the command line understands them, differ in the options that the page names."""
    (claim,) = (c for c in ABLATIONS if c.name == choice[0])
    trial = Trial("data", LAB, 0, tmp_path, "cache", VARIED)
    a, b = (vars(parsed([*trial.commands(net)[-1].arguments])) for (net,) in (claim.a, claim.b))
    differ = {name for name in a if a[name] != b[name]} - {"out", "given"}
    named = {w[2:].replace("-", "_") for w in f"{choice[3]} {choice[4]}".split() if w.startswith("--")}
    assert differ == named and a["out"] != b["out"] and all(w in claim.experiment for w in choice[3:])


def test_the_ledger_gives_what_was_measured():
    """Every difference that links to the page of ablations stands on it, with its interval."""
    docs = ROOT / "docs"
    measured = (docs / "results" / "ablations.md").read_text(encoding="utf-8")
    rows = [r for r in (docs / "ambiguities.md").read_text(encoding="utf-8").splitlines() if "ablations.md)" in r]
    figures = [figure for row in rows for figure in re.findall(r"[+-]\d+\.\d \[[^]]*\]", row)]
    assert len(figures) >= 10 and not [figure for figure in figures if f"| {figure} |" not in measured]
    assert all(c.sentence in measured for c in ABLATIONS)


SCALE = replace(TINY, fold="", flow=LAB.flow)
TINY_GROUNDS = {
    "still": Ground(SCALE, 2, 1, SMALL["frames"], SMALL["side"]),
    "shaken": Ground(SCALE, 2, 1, SMALL["frames"], SMALL["side"], shake=1),
}


def test_claims_are_run_judged_and_written(tmp_path, monkeypatch):
    """Two claims, of which one is tried on features of "real" videos, too; a second time from what is there."""
    monkeypatch.setattr(labs, "REAL", replace(SCALE, frames={30: 2, 120: 3}))
    monkeypatch.setattr(labs, "FOLDS", 3)
    label = np.repeat(np.arange(2), 30)
    names = [f"{'ab'[k]}/v_{'ab'[k]}_g{i % 15:02d}_c{i // 15:02d}.avi" for i, k in enumerate(label)]
    feat = np.random.default_rng(0).random((60, 3, 16)) + label[:, None, None]
    save_features(tmp_path / "f.npz", feat, label + 1, label * 0, name=names)
    lab, ran = Lab(tmp_path / "out", 1, TINY_GROUNDS, str(tmp_path / "f.npz")), []

    def executed(arguments):
        ran.append(arguments)
        return execute(arguments)

    for _ in range(2):
        found = claims(lab, ["max over", "noisy flow hurts"], executed)
    assert len(ran) == len({*map(tuple, ran)}) == (1 + 1 + 2) + (1 + 1 + 1 + 1 + 1 + 1) + 2 * 3
    assert [r["claim"] for r in found["rendered"]] == ["max over average", "noisy flow hurts pooling"]
    (real,) = found["real"]
    assert (real["seeds"], real["videos"]) == (3, 60)
    text = (lab.out / "claims.md").read_text(encoding="utf-8")
    assert read_json(lab.out / "claims.json") == found
    for record in found["rendered"] + found["real"]:
        low, high = record["difference"][1:]
        assert record["verdict"] == ("undecided" if low is None else verdict(low, high))
        assert f"**{record['verdict']}**" in text
    assert "; T = 10 |" in text and "; T = 4 |" in text and "; T = 3 |" in text
    assert '--claims "max over average" "noisy flow hurts pooling" --seeds 1 --features FEATURES`' in text


def test_the_quick_lab_of_the_command_line(tmp_path, monkeypatch, capsys):
    """--quick: two seeds; without real features the page says so. --seeds counts more than --quick."""
    monkeypatch.setattr("snippets.training.cli.experiments.QUICK", TINY_GROUNDS)
    options = ["--claims", "conv before", "--quick", "--out", str(tmp_path / "out")]
    assert main(["claims", *options]) == 0
    (record,) = read_json(tmp_path / "out" / "claims.json")["rendered"]
    assert record["seeds"] == 2 and record["verdict"] in capsys.readouterr().out
    assert "no file of real features" in (tmp_path / "out" / "claims.md").read_text(encoding="utf-8")
    assert main(["claims", *options, "--seeds", "1"]) == 0
    assert "one of the seeds says nothing about others" in capsys.readouterr().out
    options[1:2] = ["weighted, last", "--ablations"]
    assert main(["claims", *options, "--seeds", "1"]) == 0
    (record,) = read_json(tmp_path / "out" / "ablations.json")["rendered"]
    text = (tmp_path / "out" / "ablations.md").read_text(encoding="utf-8")
    assert record["sentence"] in text and '`snippets claims --ablations --claims "weighted, last" --seeds 1`' in text


def test_seeds_share_no_video_and_most_groups_test(tmp_path):
    ground = Ground(SCALE, 2, 4, 16, 32)
    one, two = (ground.trial(tmp_path, seed, NETS) for seed in (0, 1))
    split = VideoFolder(one.data).load(None)
    assert (len(split.train), len(split.test)) == (2 * 16, 4 * 16) and split.classes == sorted(CLASSES)
    assert {v.group for v in split.train}.isdisjoint(v.group for v in split.test)
    clip = "CardSun/v_CardSun_g01_c01.avi"
    assert (tmp_path / "seed0" / "data" / clip).read_bytes() != (tmp_path / "seed1" / "data" / clip).read_bytes()
    assert "--fold" not in " ".join(map(str, one.commands("alexnet-conv-30"))) and one.folder("a") != two.folder("a")


def test_folds_of_real_features_hold_every_group_once(tmp_path, rng):
    label = np.tile([1, 2], 60)
    names = [f"{'ab'[k - 1]}/v_{'ab'[k - 1]}_g{i // 8:02d}_c{i % 8:02d}.avi" for i, k in enumerate(label)]
    feat = rng.integers(0, 200, (120, 5, 32), dtype=np.uint8)
    save_features(tmp_path / "f.npz", feat, label, np.arange(120) % 8 == 0, name=names, scale=np.arange(32) + 1)
    lab = Lab(tmp_path, features=str(tmp_path / "f.npz"))
    tested = []
    for trial in lab.real("classes", NETS | EXTRA):
        learn, test = load_features(trial.data)
        assert len(learn) + len(test) == 120 and set(learn.groups).isdisjoint(test.groups) and learn.dim == 32 // EVERY
        tested += test.names
        name = test.names[0]
        row = names.index(name)
        assert test.labels[0] == label[row] - 1
        np.testing.assert_array_equal(test.whole_video(0), (feat[row] * (np.arange(32) + 1.0))[:, ::EVERY])
        (command,) = trial.commands("alexnet-conv-120")
        assert command.arguments[1] == trial.data and f"--frames {REAL.frames[120]}" in str(command)
    assert sorted(tested) == sorted(names)
    for trial in lab.real("direction", NETS | EXTRA):
        learn, test = load_features(trial.data)
        assert learn.classes == ["forwards", "backwards"] and set(learn.groups).isdisjoint(test.groups)
        half = len(test) // 2
        assert test.labels.tolist() == [0] * half + [1] * half
        np.testing.assert_array_equal(test.whole_video(0), test.whole_video(half)[::-1])


def test_shaky_video_moves_from_frame_to_frame(tmp_path):
    mini = make_mini(tmp_path / "mini", **SMALL)
    root = make_shaky(tmp_path / "shaky", mini)
    assert len(VideoFolder(root).load().train) == len(VideoFolder(mini).load().train)
    name = "SquareDance/v_SquareDance_g01_c01.avi"
    calm, shaky = (np.stack(list(read_frames(folder / name))).astype(float) for folder in (mini, root))
    assert calm.shape == shaky.shape
    assert abs(np.diff(shaky, axis=0)).mean() > 2 * abs(np.diff(calm, axis=0)).mean()


def test_compare_trains_heads_over_seeds(tmp_path, rng, capsys):
    label = np.tile([1, 2], 10)
    feat = rng.standard_normal((20, 6, 4)).astype(np.float32) + 3 * label[:, None, None]
    names = [f"{'ab'[n - 1]}/v_{'ab'[n - 1]}_g{i // 4:02d}_c{i % 4:02d}.avi" for i, n in enumerate(label)]
    save_features(tmp_path / "f.npz", feat, label, np.arange(20) >= 12, name=names)
    options = "--fc 8 --units 8 --depth 1 --epochs 2 --batch 6 --seeds 2 --heads average lstm".split()
    for _ in range(2):  # a second time from what is there
        assert main(["compare", str(tmp_path / "f.npz"), *options, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "8 videos" in printed and printed.count("| lstm |") == 2 and printed.count("lstm/seed1") == 1
    average, lstm = read_json(tmp_path / "out" / "compare.json")["commands"]
    assert "--head average" in average and "--epochs=2" in average and "--units" not in average
    assert "--head lstm" in lstm and "--epochs=2" in lstm and "--units=8 --depth=1" in lstm
    assert all(record["std"] >= 0 for record in read_json(tmp_path / "out" / "compare.json")["heads"])
    one = "--fc 8 --epochs 1 --seeds 1 --heads average".split()
    assert main(["compare", str(tmp_path / "f.npz"), *one, "--out", str(tmp_path / "one")]) == 0
    assert [record["std"] for record in read_json(tmp_path / "one" / "compare.json")["heads"]] == [None]
