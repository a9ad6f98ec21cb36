"""The demo's pictures show what they say: frames side by side, and shares of each true class."""

from types import SimpleNamespace

import numpy as np

from snippets.data.mini.make import CLASSES, KINDS
from snippets.training.evaluate import result_of
from snippets.training.experiments.report import (
    class_order,
    confusion_matrices,
    frame_predictions,
    learning_curves,
    thumbnails,
)


def test_thumbnails_stand_side_by_side():
    clip = np.linspace(-1, 1, 3)[:, None, None, None] * np.ones((3, 2, 4, 3))
    strip = thumbnails(clip)
    assert strip.shape == (2, 12, 3)
    assert strip[0, ::4, 0].tolist() == [0.0, 0.5, 1.0]


def test_a_confusion_matrix_shows_shares_of_each_true_class():
    """Two videos a class, one of them taken for the first class: a half on the diagonal, a half in its column."""
    classes = list(CLASSES)
    K = len(classes)
    p = np.zeros((2 * K, K))
    p[np.arange(K), np.arange(K)] = p[K:, 0] = 1
    result = result_of(classes, [f"v{n}" for n in range(2 * K)], np.tile(np.arange(K), 2), p)
    axis, _ = confusion_matrices({"A": result, "B": result}).axes
    (image,) = axis.images
    order = class_order(classes)
    wanted = 0.5 * np.eye(K)
    wanted[:, order.index(0)] += 0.5
    np.testing.assert_array_equal(image.get_array(), wanted)
    assert image.get_clim() == (0, 1)  # a colour means the same share in every panel
    assert [text.get_text() for text in axis.get_xticklabels()] == [classes[k] for k in order]


def test_learning_curves_are_those_of_the_history():
    history = [{"epoch": 1, "loss": 2.0, "accuracy": 0.25}, {"epoch": 2, "loss": 0.5, "accuracy": 0.75}]
    loss, accuracy = learning_curves({"A": history}).axes
    assert np.array(loss.lines[0].get_data()).tolist() == [[1, 2], [2.0, 0.5]]
    assert np.array(accuracy.lines[0].get_data()).tolist() == [[1, 2], [25.0, 75.0]]


def test_an_order_clip_is_shown_with_the_three_most_probable_other_classes():
    """Those that reach the highest probability at any of the frames, in that order."""
    names = list(CLASSES)
    truth = next(k for k, name in enumerate(names) if KINDS[name] == "order")
    others = [k for k in range(len(names)) if k != truth]
    p = np.full((3, len(names)), 0.01)
    p[0, others[4]], p[1, others[7]], p[2, others[1]], p[2, truth] = 0.9, 0.6, 0.4, 0.5
    net = SimpleNamespace(params={"W": np.zeros(1)}, predict=lambda x: np.log(p)[None])
    clips = SimpleNamespace(labels=[truth], classes=names, test_clips=lambda i: iter([np.zeros((3, 4, 4, 3))]))
    figure = frame_predictions(net, clips, SimpleNamespace(probabilities=p[-1:]))
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels == [f"{names[truth]} (true class)", *(names[others[n]] for n in (4, 7, 1))]
