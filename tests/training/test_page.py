"""Parts of pages in HTML: their numbers, shades and options, of cases small enough to be written by hand."""

from contextlib import nullcontext
from types import SimpleNamespace

import imageio.v3
import numpy as np
import pytest

from snippets.training.render import charts, page


def test_how_pictures_are_stored(monkeypatch):
    """Figures at 170 dots per inch, cut to what is drawn; photographs at a quality that hides its losses."""
    told = []
    figure = SimpleNamespace(savefig=lambda file, **how: told.append(how) or file.write(b"a figure"))
    assert page.uri(figure) == "data:image/png;base64,YSBmaWd1cmU="
    monkeypatch.setattr(imageio.v3, "imwrite", lambda file, picture, **how: told.append(how) or file.write(picture))
    assert page.uri(b"pixels") == "data:image/jpeg;base64,cGl4ZWxz"
    assert told == [{"dpi": 170, "bbox_inches": "tight", "format": "png"}, {"extension": ".jpg", "quality": 88}]


def test_a_picture_has_words_and_perhaps_a_caption(monkeypatch):
    monkeypatch.setattr(page, "uri", lambda picture: f"<{picture}>")
    with pytest.raises(ValueError, match="expected alt in words"):
        page.image("x", "")

    def figure(name, below=""):
        return f'<figure><img src="<{name}>" alt="a {name}">{below}</figure>'

    assert page.picture("x", "a x") == figure("x") + "\n"
    assert page.picture("x", "a x", "<b>") == figure("x", "<figcaption>&lt;b&gt;</figcaption>") + "\n"
    start = '<div class="strip" style="--least:{}px">'
    assert page.strip("xy", ["a x", "a y"]) == start.format(72) + figure("x") + figure("y") + "</div>\n"
    found = page.strip("xy", ["a x", "a y"], ["", "&"], least=9)
    assert found == start.format(9) + figure("x") + figure("y", "<figcaption>&amp;</figcaption>") + "</div>\n"
    for alts, captions in ((["a x"], None), (["a x", "a y", "a z"], None), (["a x", "a y"], ["c"])):
        with pytest.raises(ValueError, match="zip"):
            page.strip("xy", alts, captions)


def rows_of(text):
    """The cells of a table, row by row, without its head; and whether it is one of words."""
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        row.partition("</th>")[2].removesuffix("</tr>") for row in body.splitlines()
    ], '<table class="words">' in text


def test_a_table_of_long_words_gives_them_room():
    """More than 50 characters in a cell, its tags with it; the numbers of a table stand at the right."""
    for length in (50, 51):
        words = "w" * (length - len("<td></td>"))
        assert rows_of(page.table(["a", "b"], [["x", "y"], ["x", words]])) == (
            ["<td>y</td>", f"<td>{words}</td>"], length > 50,
        )  # fmt: skip
    assert rows_of(page.bar_table(["a", "b"], [["x", (0.5, "w" * 80)]]))[1] is False
    assert rows_of(page.table(["a", "b"], [["w" * 80, 1.0]])) == (['<td class="n">1</td>'], True)
    head = '<div class="wide"><table><thead><tr><th scope="col">a</th><th scope="col">&lt;</th></tr></thead>\n'
    assert page.table(["a", "<"], [[1, 0.5]]) == (
        head + '<tbody><tr><th scope="row">1</th><td class="n">0.5</td></tr>\n</tbody></table></div>\n'
    )
    assert page.table(["a", "<"], [], "above").startswith('<p class=note>above</p>\n<div class="wide">')


def test_a_bar_is_as_long_as_its_share():
    (row,), _ = rows_of(
        page.bar_table([], [["x", 0.256, (0.5, "<half>"), np.nan, (np.nan, "none"), "a<", 7, np.int64(8)]])
    )
    bar = '<td class="n bar" style="background-size:%s%% 100%%">%s</td>'
    none = '<td class="n">–</td>'
    assert row == (
        bar % ("25.6", "26 %") + bar % ("50.0", "&lt;half&gt;") + none * 2 + "<td>a&lt;</td><td>7</td><td>8</td>"
    )


def test_a_cell_of_a_confusion_matrix_is_as_dark_as_its_share():
    """Of four videos of a one is taken for b; of c there is none; a line stands before b, in its row and column."""
    found = page.confusion(np.array([[3, 1, 0], [0.5, 1.5, 0], [0, 0, 0]]), ["a", "b", "<"], "Mine", (1,))
    assert "Mine: true class in rows, predicted class in columns, in videos" in found
    assert '<td></td><th scope="col">a</th><th scope="col">b</th><th scope="col">&lt;</th>' in found
    light, dark = "#1b1e24", "#fff"

    def cell(kinds, share, number=""):
        rgb = ",".join(str(round(255 - share * (255 - c))) for c in (0, 92, 150))
        return f'<td class="{kinds}" style="background:rgb({rgb});color:{dark if share > 0.5 else light}">{number}</td>'

    assert rows_of(found)[0] == [
        cell("own", 0.75, "3") + cell("side", 0.25, "1") + cell("", 0),
        cell("edge", 0.25, "0.5") + cell("own edge side", 0.75, "1.5") + cell("edge", 0),
        cell("", 0) + cell("side", 0) + cell("own", 0),
    ]
    half = page.confusion(np.array([[1, 1], [0, 2]]), ["a", "b"], "")
    assert rows_of(half)[0] == [cell("own", 0.5, "1") + cell("", 0.5, "1"), cell("", 0) + cell("own", 1, "2")]


def test_sections_and_paragraphs(monkeypatch):
    assert page.section("a<", "b", "c") == "<h2>a&lt;</h2>\nbc" and page.section("a", level=3) == "<h3>a</h3>\n"
    assert page.text("a<", "b.") == "<p>a&lt; b.</p>\n" and page.code("a<") == "<p><code>a&lt;</code></p>\n"
    assert page.grid("a", "b") == '<div class="grid">ab</div>\n'
    for own, told in ((["a.py", "b.py"], "Lead. Computed by your a.py, b.py."), ([], "Lead.")):
        monkeypatch.setattr(page, "files_of_student", lambda own=own: own)
        assert f'<h1>T&lt;</h1>\n<p class="lead">{told}</p>\nbody</body>' in page.page("T<", "Lead.", ["bo", "dy"])


@pytest.mark.parametrize("width, height, size", [
    (240, 100, None), (100, 240, None), (480, 100, (50, 240)), (100, 241, (240, 100)), (4800, 1, (1, 240)),
    (1, 4800, (240, 1)),
])  # fmt: skip
def test_frames_of_a_video_are_as_large_as_a_page_has_room_for(width, height, size, monkeypatch):
    """Spread evenly from the first to the last, at the rate asked for, with the times at which they are shown."""
    asked = []
    film = SimpleNamespace(times=lambda: (n / 4 for n in range(8)))
    film.pictures = lambda size: asked.append(size) or ((0, 0, f"frame {n}") for n in range(8))
    header = SimpleNamespace(width=width, height=height)
    monkeypatch.setattr(charts, "read_header", lambda path, fps: asked.append((path, fps)) or header)
    monkeypatch.setattr(charts, "open_film", lambda path, fps: asked.append((path, fps)) or nullcontext(film))
    times, found = charts.frames_of("v.avi", 3, 7)
    assert times.tolist() == [0, 1, 1.75] and found == ["frame 0", "frame 4", "frame 7"]
    assert asked == [("v.avi", 7)] * 3 + [size]
    assert charts.frames_of("v.avi", 1)[1] == ["frame 0"] and asked[-2] == ("v.avi", charts.PICTURE_FPS)


def test_many_curves_differ_in_colour_dash_or_mark():
    """Of eight the eighth has the first one's colour, but another dash and another mark; the bold one is the first."""
    p = np.tile(np.linspace(0.1, 0.8, 8), (3, 1))
    axis = charts.over_time(np.array([0, 1, 2]), p, list("abcdefgh"), "frame").axes[0]
    looks = [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in axis.lines]
    assert looks == [
        (page.COLOURS[n % 7], page.DASHES[n % 4], "o^sDv"[n % 5]) for n in range(8)
    ] and len(set(looks)) == 8  # fmt: skip
    assert [line.get_linewidth() for line in axis.lines] == [2.6] + [1.4] * 7
    assert (
        np.allclose(axis.lines[2].get_ydata(), 30) and not (axis.xaxis.get_major_locator().tick_values(0, 1) % 1).any()
    )
    seconds = charts.over_time(np.array([0, 1, 2]), p, list("abcdefgh")).axes[0]
    assert seconds.get_xlabel() == "seconds" and (seconds.xaxis.get_major_locator().tick_values(0, 1) % 1).any()
