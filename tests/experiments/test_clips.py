"""The demo's page on real clips: names and percentages under frames, an LSTM where there are classes."""

import shutil

import numpy as np
import pytest
from caffe_graph import caffe_graph
from html_pages import check_page

from snippets.data.layouts.table import VideoFolder
from snippets.data.video import write_video
from snippets.layers.loss import softmax
from snippets.training.cli.main import execute, main
from snippets.training.evaluate import result_of
from snippets.training.experiments import clips
from snippets.training.model import load_model, video_set
from snippets.training.predictions import load_predictions

onnx = pytest.importorskip("onnx", reason="reading ONNX needs one more package: pip install onnx")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """GoogLeNet's weights, random, with 10 classes, and their names as ImageNet has them."""
    folder = tmp_path_factory.mktemp("weights")
    graph = onnx.load(caffe_graph(np.random.default_rng(0), folder / "net.onnx")).graph
    arrays = {tensor.name: np.array(onnx.numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    arrays["loss3/classifier_w_0"] *= 0.01  # percentages that differ
    np.savez(folder / "net.npz", **arrays)
    (folder / "names.txt").write_text("\n".join(f"n0000000{k} thing {k}, item {k}" for k in range(10)))
    return folder / "net.npz", folder / "names.txt"


def headings(page):
    """The levels of its headings, in order."""
    return " ".join(tag for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4"))


@pytest.fixture(autouse=True)
def few_frames(monkeypatch):
    monkeypatch.setattr(clips, "FRAMES", 3)
    monkeypatch.setattr(clips, "COUNT", 4)


def test_what_is_said_of_a_clip_is_what_the_network_says(weights, mini, tmp_path):
    """Loose clips, without classes: no LSTM, and why; the names and numbers under the frames are the network's."""
    for k, name in enumerate(("CardSun", "BallRising")):
        shutil.copy(next((mini / name).glob("*.avi")), tmp_path / f"clip{k}.avi")
    wide = [np.full((48, 96, 3), 90 * t, np.uint8) for t in range(2)]
    write_video(tmp_path / "two.avi", wide, 25)
    (tmp_path / "bad.avi").write_bytes(b"no video")
    page = clips.write_clips(tmp_path / "out", weights[0], tmp_path, weights[1], execute=execute)
    found, words = check_page(page), " ".join(check_page(page).texts)
    assert "None was trained, for this folder cannot be split" in words and "bad.avi: not a video" in words
    assert headings(found) == "h1 h2 h3 h3 h3 h3 h2 h2"
    model = load_model(next((tmp_path / "out").glob("clips-*/named.npz")))
    assert model.config.variant == "caffe" and model.classes[3] == "thing 3, item 3"
    shown = {alt: image for alt, image in found.pictures().items()}
    for name, count in (("clip0.avi", 3), ("two.avi", 2)):
        alts = [alt for alt in shown if alt.startswith(name)]
        x = video_set([tmp_path / name], 1, 224, model.data).whole_video(0)
        x = x[np.linspace(0, len(x) - 1, count).round().astype(int)]
        p = softmax(model.net.predict(x[:, None]))
        said = [f"thing {row.argmax()} {100 * row.max():.0f} %" for row in p]
        assert p.max() < 0.995
        assert [alt.partition(": ")[2] for alt in alts] == said and all(words in found.texts for words in said)
    assert {shown[alt].shape[:2] for alt in shown if alt.startswith("two.avi")} == {(48, 96)}
    numbers = check_page(clips.write_clips(tmp_path / "out", weights[0], tmp_path, None, execute=execute)).texts
    assert clips.UNNAMED in numbers and any(text.startswith(("0 ", "1 ", "2 ", "3 ")) for text in numbers)


def test_an_lstm_is_trained_where_there_are_classes(weights, mini, tmp_path, capsys):
    videos, out = tmp_path / "videos", tmp_path / "out"
    for name in ("CardSun", "BallRising"):
        shutil.copytree(mini / name, videos / name)
    page = clips.write_clips(out, weights[0], videos, weights[1], execute=execute)
    found = check_page(page)
    (kept,) = out.glob("clips-*")
    result, split = load_predictions(kept / "lstm" / "predictions.npz").result, VideoFolder(videos).load(1)
    assert sorted(result.names) == sorted(v.name for v in split.test)
    told = f"Trained on 4 videos of 2 classes of this folder, tested on 2 others: {100 * result.hit1:.1f} % right"
    assert any(text.startswith(told) for text in found.texts)
    answers = [result.classes[p.argmax()] for p in result.probabilities]
    right = [name for name, answer in zip(result.names, answers, strict=True) if name.startswith(answer)]
    strips = [alt for alt in found.pictures() if alt.partition(" at ")[0] in result.names and ": thing" not in alt]
    shown = len({*right, *[n for n in result.names if n not in right][:1]})
    assert len(strips) == 4 * shown
    assert headings(found) == " ".join(["h1 h2", *["h3"] * 6, "h2", *["h3"] * shown, "h2"])
    texts = found.texts
    assert any(t.startswith("snippets features") for t in texts) and any(t.startswith("snippets train") for t in texts)
    before = (kept / "features.npz").stat().st_mtime_ns
    clips.write_clips(out, weights[0], videos, weights[1], execute=execute)
    assert (kept / "features.npz").stat().st_mtime_ns == before  # done once


def test_what_belongs_together_is_told(weights, tmp_path, capsys):
    for options in (["--weights", weights[0]], ["--videos", tmp_path], ["--labels", weights[1]]):
        assert main(["demo", "--out", str(tmp_path / "out"), *map(str, options)]) == 1
        assert "belong together" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    options = ["--weights", weights[0], "--videos", tmp_path / "empty"]
    assert main(["demo", "--out", str(tmp_path / "out"), *map(str, options)]) == 1
    assert "no videos in this folder or below it" in capsys.readouterr().err


def test_clips_of_many_classes_are_shown(tmp_path):
    """One of each class, of classes far apart where there are more; of few classes several, far apart in each."""
    for folder, names in (("many", "abcdefghijklm"), ("few", "ab")):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            for n in range(5):
                (tmp_path / folder / name / f"{n}.avi").touch()
    many, few = clips.some_videos(tmp_path / "many"), clips.some_videos(tmp_path / "few")
    assert [p.parent.name for p in many] == list("acehjm") and {p.name for p in many} == {"0.avi"}
    assert [f"{p.parent.name}{p.stem}" for p in few] == ["a0", "b0", "a2", "b2", "a4", "b4"]


def test_the_surest_right_answers_of_three_classes_and_the_surest_wrong_one():
    truth, best = [0, 0, 1, 2, 3, 1, 3], [0, 0, 1, 2, 3, 0, 2]
    top = [0.5, 0.9, 0.6, 0.8, 0.45, 0.7, 0.99]
    p = np.full((7, 4), 0.01)
    p[np.arange(7), best] = top
    result = result_of(list("abcd"), list("1234567"), np.array(truth), p)
    assert clips.surest(result) == [1, 3, 2, 6]
