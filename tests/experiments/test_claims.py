"""Verdicts come from numbers: intervals, the bootstrap, the rule, and claims and comparisons run at a tiny scale."""

import re

import numpy as np
import pytest
from tiny_tables import SMALL, TINY

from snippets.data.features import save_features
from snippets.data.files import read_json
from snippets.data.layouts.splits import group_of
from snippets.data.layouts.table import VideoFolder
from snippets.data.mini.camera_shake import make_shaky
from snippets.data.mini.make import CLASSES, KIND_NAMES, make_mini
from snippets.data.video import read_frames
from snippets.training.cli.main import execute, main
from snippets.training.evaluate import result_of
from snippets.training.experiments.claims import CLAIMS, EXTRA, Claim, claims, cluster, judge, verdict
from snippets.training.experiments.paper import NETS
from snippets.training.experiments.scales import MINI
from snippets.training.experiments.statistics import bootstrap, mean_and_std, wilson
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
    assert cluster("v_BallRising_g01_c02") == cluster("v_BallSinking_g01_c01") != cluster("v_CardSun_g01_c01")


def test_the_rule():
    assert [verdict(*i) for i in ((1, 2), (-2, -1), (-1, 1), (0, 1))] == [
        "supported", "contradicted", "undecided", "undecided",
    ]  # fmt: skip


@pytest.mark.parametrize("better, expected", [("a", "supported"), ("b", "contradicted"), ("", "undecided")])
def test_a_claim_can_come_out_either_way(tmp_path, better, expected):
    trials = Trial("data", MINI, 0, tmp_path, "cache").seeds(2)
    names = [f"v_{kind}_g{g:02d}_c01" for kind in CLASSES for g in range(1, 5)]
    labels = np.repeat(np.arange(len(CLASSES)), 4)
    for trial in trials:
        for name in "ab":
            right = np.ones(len(names), bool) if name == better else np.arange(len(names)) % 3 > 0
            p = np.eye(len(CLASSES))[np.where(right, labels, (labels + 1) % len(CLASSES))]
            save_predictions(
                trial.folder(name) / "predictions.npz", Predictions(result_of(list(CLASSES), names, labels, p), 1)
            )
    found = judge(Claim("", "", "", ("a",), ("b",), ("order",)), trials)
    assert found["verdict"] == expected and found["videos"] == 16


def test_claims_name_networks_that_exist(tmp_path):
    assert {net for c in CLAIMS for net in c.a + c.b} <= set(NETS | EXTRA)
    with pytest.raises(ValueError, match="max over average"):
        claims(tmp_path / "out", ["no such claim"])


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_is_tested_as_its_experiment_says(claim):
    """On shaken video or not, on which kinds of class, at which T; one network a side, or two that are fused."""
    text, nets = claim.experiment, NETS | EXTRA
    assert claim.shaky == ("shaken" in text) == claim.name.startswith("noisy")
    assert claim.kinds == (("order",) if "classes of order" in text else KIND_NAMES)
    told = sorted({int(T) for T in re.findall(r"T = (\d+)", text)})
    used = sorted({MINI.frames[nets[name].frames] for name in claim.a + claim.b})
    assert told == used
    flow = {name for name in claim.a + claim.b if nets[name].stream == "flow"}
    assert bool(flow) == ("flow" in text) and len(set(claim.a) ^ set(claim.b)) == (1 if flow else 2)


def test_claims_are_run_judged_and_written(tmp_path):
    (record,) = claims(tmp_path, ["max over"], seeds=2, scale=TINY, data=SMALL, execute=execute)
    assert record["verdict"] == verdict(*record["difference"][1:])
    assert record["verdict"] in (tmp_path / "claims.md").read_text()


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
