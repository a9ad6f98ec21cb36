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


def rows(mask, column):
    """The covered rows of one column of a mask: row -> coverage."""
    return {row: pytest.approx(float(share), abs=1e-5) for row, share in enumerate(mask[:, column]) if share}


def test_the_coverage_of_curves_by_hand():
    """9 rows: 0 stands in row 6 and 1 in row 2. It is as wide across as it is high."""
    assert [canvas.level(value, 9) for value in (0, 0.5, 1)] == [6, 4, 2]
    flat = np.full(3, 0.5)
    for thickness, covered in ((1, {4: 1}), (2, {3: 0.5, 4: 1, 5: 0.5}), (3, {3: 1, 4: 1, 5: 1})):
        mask = canvas.curve_mask(flat, 4, 9, thickness)
        assert mask.shape == (9, 4) and mask.dtype == np.float32
        assert [rows(mask, k) for k in range(4)] == [covered] * 4, thickness
    rising = np.array([0.0, 1.0])  # rows 6, 5 1/3, 4 2/3, 4 ... at the edges and middles of three columns
    mask = canvas.curve_mask(rising, 3, 9, 1)
    assert rows(mask, 0) == {4: 1 / 3, 5: 1, 6: 1} and rows(mask, 1) == {3: 2 / 3, 4: 1, 5: 2 / 3}
    assert rows(mask, 2) == {2: 1, 3: 1, 4: 1 / 3}
    mask = canvas.curve_mask(rising, 3, 9)  # of thickness 3: rows 6 to 3 1/3, all of them, 4 2/3 to 2
    assert rows(mask, 0) == {2: 2 / 3, **dict.fromkeys(range(3, 8), 1)}
    assert rows(mask, 1) == dict.fromkeys(range(1, 8), 1)
    assert rows(mask, 2) == {**dict.fromkeys(range(1, 6), 1), 6: 2 / 3}
    peak = canvas.curve_mask(np.array([0, 1, 0]), 2, 9, 1)
    assert rows(peak, 0) == rows(peak, 1) == dict.fromkeys(range(2, 7), 1)


def test_colours_are_mixed_by_coverage_and_rounded():
    image = np.full((3, 4, 3), 10, np.uint8)
    canvas.mix(image, 1, 2, np.array([[0.5, 0.25]], np.float32), (20, 10, 0))
    assert image[1].tolist() == [[10] * 3, [10] * 3, [15, 10, 5], [13, 10, 8]]
    assert (image[[0, 2]] == 10).all()
    for top, left in ((-1, -1), (2, 3), (-1, 3), (2, -1)):  # a corner of it is inside
        image[:] = 0
        canvas.mix(image, top, left, np.array([[0.1, 0.2], [0.3, 0.4]], np.float32), (100, 0, 0))
        inside = image[max(top, 0), max(left, 0), 0]
        assert (
            image.any(axis=2).sum() == 1 and inside == {(-1, -1): 40, (2, 3): 10, (-1, 3): 30, (2, -1): 20}[top, left]
        )


def test_text_is_as_large_as_its_size_in_pixels():
    """By the outlines of its letters, a thousand pixels large."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    for weight in ("normal", "bold"):
        outline = TextPath((0, 0), "xg", 1000, prop=FontProperties(family="DejaVu Sans", weight=weight)).get_extents()
        mask, above = canvas.text_mask("xg", 1000, weight)
        assert mask.shape == (pytest.approx(outline.height, abs=3), pytest.approx(outline.width, abs=3))
        assert above == pytest.approx(outline.y1, abs=2)


def test_text_is_of_18_pixels_and_stands_left_of_the_middle_or_right():
    def drawn(**how):
        image = np.zeros((30, 60, 3), np.uint8)
        canvas.draw_text(image, "xg", (30, 20), (255, 255, 255), **how)
        return image

    mask, above = canvas.text_mask("xg", 18, "normal")
    assert (canvas.text_mask("xg")[0] == mask).all()
    for align, left in (("left", 30), ("right", 30 - mask.shape[1]), ("centre", 30 - mask.shape[1] // 2)):
        image = drawn(align=align)
        expected = np.zeros((30, 60))
        expected[20 - above :, left:][: len(mask), : mask.shape[1]] = 255 * mask
        np.testing.assert_allclose(image[..., 0], expected, atol=0.51)
        assert (drawn(align=align, size=18, weight="normal") == image).all()
    assert (drawn() == drawn(align="left")).all()


def test_a_text_that_just_fits_is_whole():
    width = canvas.text_mask("a long name")[0].shape[1]
    assert canvas.fitted("a long name", width) == "a long name"
    short = canvas.fitted("a long name", width - 1)
    assert short != "a long name" and short.endswith("…")
    assert canvas.fitted("a long name", canvas.text_mask(short)[0].shape[1]) == short  # as many letters as fit
    assert len(canvas.fitted("a long name", canvas.text_mask(short)[0].shape[1] - 1)) < len(short)
    assert canvas.fitted("a long name", 0) == "…"
    for look in ((18, "bold"), (30, "normal")):
        found = canvas.fitted("a long name", width - 1, *look)
        more = "a long name"[: len(found)] + "…"
        assert canvas.text_mask(found, *look)[0].shape[1] < width <= canvas.text_mask(more, *look)[0].shape[1]
