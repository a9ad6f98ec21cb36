"""What pictures are drawn with: curves, boxes, text."""

import numpy as np
import pytest

from snippets.training.render import canvas


def test_a_curve_passes_through_its_values_and_has_no_gaps():
    mask = canvas.curve_mask(np.array([0, 0, 1, 1, 0.5]), 41, 21, thickness=1)
    middle = (mask * np.arange(21)[:, None]).sum(axis=0) / mask.sum(axis=0)
    assert middle[[0, 5, 25, 40]].tolist() == pytest.approx([18, 18, 2, 10], abs=0.6)
    assert (mask.max(axis=0) > 0.85).all()
    steep = canvas.curve_mask(np.array([0.0, 1.0]), 2, 50, thickness=1)  # as steep as can be
    assert (steep.max(axis=1)[canvas.MARGIN : -canvas.MARGIN] > 0.4).all()


def test_boxes_and_text_are_cut_off_at_the_edges():
    image = np.zeros((20, 30, 3), np.uint8)
    canvas.draw_box(image, 25, -3, 10.5, 5, (200, 100, 50))
    assert image[:2, 25:].tolist() == np.broadcast_to([200, 100, 50], (2, 5, 3)).tolist()
    assert image.sum() == 350 * 10
    canvas.draw_box(image, 2, 10, 2.5, 1, (100, 0, 0))
    assert image[10, :6, 0].tolist() == [0, 0, 100, 100, 50, 0]
    canvas.draw_text(image, "Wg", (28, 18), (255, 255, 255))
    canvas.draw_text(image, "Wg", (2, 2), (255, 255, 255), align="right")


def test_text_stands_on_its_line_and_is_shortened_to_fit():
    plain, low = canvas.text_mask("x", 30), canvas.text_mask("xg", 30)
    assert plain[1] == len(plain[0]) and 0 < low[1] < len(low[0])
    bold = canvas.text_mask("x", 30, "bold")[0]
    assert 0.9 < plain[0].max() <= 1 and len(np.unique(plain[0])) > 2  # with smooth edges
    assert plain[0].mean() < bold.mean() and bold.shape[1] > plain[0].shape[1]
    image = np.zeros((40, 40, 3), np.uint8)
    canvas.draw_text(image, "x", (5, 35), (200, 100, 0), 30)
    h, w = plain[0].shape
    np.testing.assert_allclose(
        image[35 - h : 35, 5 : 5 + w] / (200, 100, 1), plain[0][..., None] * [1, 1, 0], atol=0.01
    )
    assert image.any(axis=2).sum() == (plain[0] > 0.0025).sum()  # and nothing else is touched
    assert canvas.fitted("short", 200) == "short"
    long = canvas.fitted("a very long name of a class", 100)
    assert long.endswith("…") and 60 < canvas.text_mask(long)[0].shape[1] <= 100


def test_what_is_full_in_a_letter_covers_all_of_a_pixel():
    mask, above = canvas.text_mask("\u2588")  # a block
    assert mask.max() == 1 and mask.min() >= 0 and 0 < above <= len(mask)
