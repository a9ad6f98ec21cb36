"""Presets: files of options, of which typed ones count more; and what `train --heads` makes of videos."""

import json
import tomllib

import numpy as np
import pytest

from snippets.data.features import save_features
from snippets.data.open import DataSettings, DataSpec, open_data
from snippets.data.video import write_video
from snippets.layers.core.base import Sequential
from snippets.training.checkpoint import load, save
from snippets.training.cli.main import main, parser
from snippets.training.cli.predict import video_set
from snippets.training.model import features_of, load_model
from snippets.training.predictions import load_predictions
from snippets.training.small import crossval
from snippets.training.small.presets import FOLDER, preset_words, toml

NAMES = sorted(file.stem for file in FOLDER.glob("*.toml"))


def parsed(*words):
    """Arguments of `snippets train`."""
    top = parser("train")
    return top.parse_args(["train", *preset_words(words[0], top, "train"), *words[1:]])


def films(folder, groups=4, clips=2):
    """Videos of two classes, moving and still, each film with clips of both."""
    rng, rows = np.random.default_rng(0), ["path,label,group"]
    for g in range(groups):
        for kind, c in (("moves", c) if c % 2 else ("still", c) for c in range(2 * clips)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            picture = np.kron(rng.integers(0, 255, (5, 7, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
            frames = [np.roll(picture, 5 * t * (kind == "moves"), axis=1) for t in range(8)]
            write_video(folder / kind / f"{g}{c}.avi", frames, 25)
            rows.append(f"{kind}/{g}{c}.avi,{kind},film{g}")
    (folder / "videos.csv").write_text("\n".join(rows))
    return folder


def test_there_are_three_presets():
    assert NAMES == ["features", "paper", "quick"]


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_a_preset_reaches_its_option(name):
    values = {}
    for table in tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8")).values():
        values |= table
    args = vars(parsed(name, "VIDEOS"))
    for option, value in values.items():
        found = args[option.replace("-", "_")]
        assert found == value, f"{option} is {found!r}, the file says {value!r}"
    assert args["data"] == "VIDEOS" and args["preset"] == name


def test_typed_options_count_more_than_the_preset():
    typed = "--epochs", "3", "--no-standardise", "--tune-lr", "0.5", "--heads", "rnn"
    args = parsed("features", "VIDEOS", *typed)
    assert (args.epochs, args.standardise, args.tune_lr, args.heads) == (3, False, [0.5], ["rnn"])
    assert args.differences and args.tune_weight_decay == [0.1, 1.0]


def test_a_preset_of_ones_own_is_kept_with_the_run(tmp_path, capsys):
    feat = np.random.default_rng(0).standard_normal((8, 6, 4)).astype(np.float32)
    save_features(tmp_path / "f.npz", feat, np.arange(8) % 2 + 1, np.arange(8) >= 4)
    (tmp_path / "mine.toml").write_text('epochs = 2\n[network]\nhead = "average"\nfc = 3\nstandardise = true\n')
    given = ["train", str(tmp_path / "f.npz"), "--preset", str(tmp_path / "mine.toml"), "--fc", "5"]
    assert main([*given, "--out", str(tmp_path / "run")]) == 0
    found = load(tmp_path / "run" / "checkpoint.npz")
    assert (found.config["fc"], found.config["head"], found.settings["epochs"]) == (5, "average", 2)
    kept = tomllib.loads((tmp_path / "run" / "options.toml").read_text())
    assert kept == {"epochs": 2, "head": "average", "fc": 5, "standardise": True}
    again = ["train", str(tmp_path / "f.npz"), "--preset", str(tmp_path / "run" / "options.toml")]
    assert main([*again, "--out", str(tmp_path / "again")]) == 0
    for key, a in load(tmp_path / "again" / "checkpoint.npz").params.items():
        np.testing.assert_array_equal(a, found.params[key])


@pytest.mark.parametrize(
    "text, error",
    [
        ("epochs = ", "mine.toml: Invalid value"),
        ("epochs = 1\n[a]\nepochs = 2", "epochs stands there twice"),
        ("epoch = 1", "there is no option --epoch"),
        ("epochs = -1", "--epochs is -1, expected at least 0"),
    ],
)
def test_a_wrong_preset_is_refused(tmp_path, capsys, text, error):
    (tmp_path / "mine.toml").write_text(text)
    assert main(["train", "f.npz", "--preset", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "run")]) == 1
    assert error in capsys.readouterr().err
    assert main(["train", "f.npz", "--preset", "fast", "--out", str(tmp_path / "run")]) == 1
    assert "--preset fast: expected features, paper, quick" in capsys.readouterr().err


def test_values_as_toml():
    for value in (True, 3, 0.5, 1e-5, float("inf"), 'a "b" \\ é', [0.1, 2], ["conv", "lstm"]):
        assert tomllib.loads(f"x = {toml(value)}")["x"] == value


HEADS = (
    "--heads average conv --count 4 --features raw --differences --standardise --fc 0 --dropout 0 --epochs 3 --batch 4 "
    "--folds 2 --draws 1 --seeds 1"
)


def test_heads_are_compared_and_the_best_becomes_a_network_for_videos(tmp_path, capsys, monkeypatch):
    """From a folder of videos and a tower: the table, and a network that answers as its head did on features.

    Without scikit-learn there is no regression in the table; installed later, it is added to what was done.
    """
    data, out = films(tmp_path / "data"), tmp_path / "run"
    tower = "--tower googlenet --vector 12 --head single --size 36 --width 0.05 --fc 6 --epochs 1 --batch 4"
    assert main(["train", str(data), *tower.split(), "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "t")]) == 0
    known = load(tmp_path / "t" / "checkpoint.npz")
    known.fold, known.content = None, None  # a tower from elsewhere
    save(tmp_path / "tower.npz", known)
    place = ["--cache", str(tmp_path / "c"), "--out", str(out)]
    given = ["train", str(data), "--features-of", str(tmp_path / "tower.npz"), *HEADS.split(), *place]
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(crossval, "find_spec", lambda name: None)
        assert main(given) == 0
    assert "it needs scikit-learn" in capsys.readouterr().out and "regression" not in (out / "heads.md").read_text()
    assert [r["head"] for r in json.loads((out / "heads.json").read_text())["rows"]] == ["average", "conv"]
    assert main([*given, "--resume"]) == 0
    said = capsys.readouterr().out
    rows = json.loads((out / "heads.json").read_text())["rows"]
    assert [r["head"] for r in rows] == ["average", "conv", "regression on the mean", "regression on the maximum"]
    assert all(r["videos"] == 16 and r["groups"] == 4 for r in rows)
    assert "16 test videos of 4 groups, 1 draw of 2 folds by group" in (out / "heads.md").read_text()
    best = max(rows[:2], key=lambda r: r["mean"])["head"]
    assert f"the best head, {best}, trained on all 16 videos" in said and "snippets predict" in said
    assert load_predictions(out / best / "draw1" / "fold1.npz").result.groups

    model = load_model(out / "model.npz")
    assert model.config.head == best and model.config.tower == "googlenet" and model.data.count == 4
    spec = DataSpec(data, settings=DataSettings(count=4, features="raw"), fold="all", cache=tmp_path / "c")
    _, videos = open_data(features_of(spec, str(tmp_path / "tower.npz")), 4)
    head = Sequential(**{name: layer for name, layer in model.net.layers.items() if name != "tower"})
    for i in (0, 9):
        clip = next(video_set([data / videos.names[i]], 4, 36, model.data).test_clips(0))
        whole, alone = model.net.predict(clip[None]), head.predict(videos.whole_video(i)[None])
        np.testing.assert_allclose(whole, alone, rtol=1e-3, atol=1e-3)
    assert main(["predict", str(out / "model.npz"), str(data / "moves" / "01.avi")]) == 0
    assert "moves" in capsys.readouterr().out

    assert main(given) == 1
    assert "holds a run: go on with it by --resume" in capsys.readouterr().err
    (out / "conv" / "draw1" / "fold2.npz").unlink()
    before = (out / "average" / "draw1" / "fold1.npz").stat().st_mtime_ns
    assert main([*given, "--resume"]) == 0
    assert json.loads((out / "heads.json").read_text())["rows"] == rows
    assert (out / "average" / "draw1" / "fold1.npz").stat().st_mtime_ns == before
    assert main([*given, "--resume", "--epochs", "4"]) == 1
    assert "holds a run of other settings" in capsys.readouterr().err


def test_videos_may_be_dealt_as_if_there_were_no_films(tmp_path, capsys):
    feat = np.random.default_rng(0).standard_normal((16, 4, 3)).astype(np.float32)
    label, group = np.arange(16) % 2 + 1, [f"film{i // 4}" for i in range(16)]
    save_features(tmp_path / "f.npz", feat, label, np.arange(16) >= 8, group=group)
    given = ["train", str(tmp_path / "f.npz"), *HEADS.replace("--count 4 ", "").split(), "--no-regressions"]
    found = {}
    for kind, groups in (("group", 4), ("video", 16)):
        out = tmp_path / kind
        assert main([*given, "--heads", "single", "average", "--split-by", kind, "--out", str(out)]) == 0
        rows = json.loads((out / "heads.json").read_text())["rows"]
        assert [(r["head"], r["groups"], r["videos"]) for r in rows] == [(h, groups, 16) for h in ("single", "average")]
        assert f"1 draw of 2 folds by {kind}" in (out / "heads.md").read_text()
        tests = load_predictions(out / "single" / "draw1" / "fold1.npz").result.names
        found[kind] = {group[int(name)] for name in tests}
    assert len(found["group"]) == 2 and len(found["video"]) > 2


@pytest.mark.parametrize(
    "words, error",
    [
        ("--heads conv", "--heads needs features: --weights FILE"),
        ("--heads conv --fold 1 --features-of t.npz", "leave out --fold"),
        ("--weights w.npz", "--weights goes with --heads"),
        ("--heads conv --units 4 --features-of t.npz", "--units 4: head conv does not read it"),
    ],
)
def test_options_that_do_not_go_with_heads(tmp_path, capsys, words, error):
    assert main(["train", str(films(tmp_path / "data", 2)), *words.split(), "--out", str(tmp_path / "run")]) == 1
    assert error in capsys.readouterr().err


def test_one_network_is_tuned_and_resumed_with_what_was_chosen(tmp_path, capsys):
    rng = np.random.default_rng(0)
    label = np.arange(24) % 2
    feat = (label[:, None, None] * 2 + rng.standard_normal((24, 4, 3))).astype(np.float32)
    group = [f"film{i // 4}" for i in range(24)]
    save_features(tmp_path / "f.npz", feat, label + 1, np.arange(24) >= 16, group=group)
    given = ["train", str(tmp_path / "f.npz"), *"--head average --fc 0 --dropout 0 --standardise --epochs 6".split()]
    given += [*"--batch 4 --tune-lr 0.001 0.05 --out".split(), str(tmp_path / "run")]
    assert main(given) == 0
    said = capsys.readouterr().out
    found = load(tmp_path / "run" / "checkpoint.npz").settings
    assert f"chosen: lr {found['lr']:g}, weight decay 0.0005, {found['epochs']} epochs" in said
    assert found["lr"] in (0.001, 0.05) and len(load(tmp_path / "run" / "checkpoint.npz").history) == found["epochs"]
    assert main([*given, "--resume"]) == 0
    assert load(tmp_path / "run" / "checkpoint.npz").settings == found
    assert "chosen" not in capsys.readouterr().out


def test_weights_from_elsewhere_become_the_tower(tmp_path, capsys, shared):
    """GoogLeNet's real weights, the preset with fewer frames and folds; two classes, that stand still and that move."""
    out, data = tmp_path / "run", films(tmp_path / "data")
    given = ["train", str(data), "--preset", "features", "--weights", str(shared / "weights" / "bvlc_googlenet.npz")]
    few = "--count 3 --heads average --batch 4 --folds 2 --draws 1 --seeds 1 --tune-weight-decay 0.1"
    assert main([*given, *few.split(), "--cache", str(tmp_path / "c"), "--out", str(out)]) == 0
    model = load_model(out / "model.npz")
    assert (model.config.tower, model.config.variant, model.config.size) == ("googlenet", "caffe", 224)
    assert (out / "tower.npz").exists() and tomllib.loads((out / "options.toml").read_text())["count"] == 3
    rows = {r["head"]: r["mean"] for r in json.loads((out / "heads.json").read_text())["rows"]}
    assert rows["average"] >= 75, "motion of five pixels a frame, seen by differences of features"


def test_real_features_are_learned_as_well_as_by_the_regression(tmp_path, shared):
    """105 videos of five UCF-101 classes: on groups that it has not seen, a head is not below the regression."""
    file = shared / "ucf101_features" / "fixture_5cls_pca128_f16.npz"
    given = ["train", str(file), "--preset", "features", "--heads", "average", "--tune-weight-decay", "0.1"]
    assert main([*given, "--folds", "3", "--draws", "1", "--seeds", "2", "--out", str(tmp_path / "run")]) == 0
    rows = {r["head"]: r["mean"] for r in json.loads((tmp_path / "run" / "heads.json").read_text())["rows"]}
    assert rows["average"] >= 75 and rows["average"] >= rows["regression on the mean"] - 8


def test_a_handful_of_videos_leads_to_the_next_command(tmp_path, capsys):
    """Said where a tower begins with nothing, and only there."""
    data, hint = films(tmp_path / "data", 2), "--preset features --weights FILE"
    small = "--head single --size 36 --width 0.05 --fc 6 --epochs 1 --batch 4 --cache".split() + [str(tmp_path / "c")]
    assert main(["train", str(data), *small, "--out", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().out
    assert "videos are few for a tower that begins with nothing" in said and f"snippets train {data} {hint}" in said
    start = ["--init", str(tmp_path / "one" / "checkpoint.npz")]
    assert main(["train", str(data), *small, *start, "--out", str(tmp_path / "two")]) == 0
    assert hint not in capsys.readouterr().out
