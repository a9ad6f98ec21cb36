"""The pages of docs/architectures: their tables are the networks', their pictures are there and drawn from the net."""

import itertools
import re

import numpy as np
import pytest
from small_nets import SMALL

from snippets.nets.inspect.draw import COLOURS, draw, drawn_layers
from snippets.nets.inspect.pages import TABLES, config_of, filled, pictures
from snippets.nets.inspect.pages import main as write_pages
from snippets.nets.inspect.summary import layer_rows
from snippets.nets.zoo import HEADS, NetConfig, build, input_shape
from snippets.training.cli.main import main

PAGES = "docs/architectures"


@pytest.fixture
def no_weights(monkeypatch):
    """Networks whose weights are all zero, which costs no time: only shapes and counts are asked for."""
    import snippets.layers.conv
    import snippets.layers.conv_lstm
    import snippets.layers.linear
    import snippets.layers.lstm
    import snippets.layers.rnn
    import snippets.layers.time_conv

    def zeros(rng, shape, *fans):
        return np.zeros(shape, np.float32)

    for module in (
        snippets.layers.conv,
        snippets.layers.conv_lstm,
        snippets.layers.linear,
        snippets.layers.lstm,
        snippets.layers.rnn,
        snippets.layers.time_conv,
    ):
        for name in ("he_normal", "glorot_uniform"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, zeros)


def test_the_tables_in_the_pages_are_those_of_the_networks(request, no_weights):
    pages = sorted((request.config.rootpath / PAGES).glob("*.md"))
    told = 0
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert filled(text) == text, f"{page} is stale: python -m snippets.nets.inspect.pages {page}"
        told += len(re.findall("<!-- (?:net|tower): ", text))
    assert told >= 20
    heads = {config_of(options).head for page in pages for _, options in pictures(page.read_text(encoding="utf-8"))}
    assert heads == set(HEADS), "a head without a picture, or one that is no more"


def test_a_page_is_written_anew_with_its_picture(tmp_path, no_weights, capsys):
    """Whatever stands in the place of a table is replaced; the picture has the network's own words as its title."""
    page, options = tmp_path / "page.md", "--tower alexnet --head average --frames 3 --size 36 --width 0.1 --fc 8"
    page.write_text(f"before\n<!-- picture: a.png {options} -->\n<!-- net: {options} -->\nold\n<!-- end -->\nafter\n")
    write_pages([str(page)])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text and "| " in text
    assert text == filled(text) and (tmp_path / "a.png").stat().st_size > 1000
    assert capsys.readouterr().out == f"{page}\n"


def test_every_link_in_the_pages_leads_somewhere(request):
    root = request.config.rootpath
    for page in [*(root / PAGES).glob("*.md"), root / "README.md"]:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
        for file, _ in pictures(text):
            assert f"({file})" in text, f"{page.name} draws {file} and does not show it"


def test_a_table_counts_what_the_summary_counts():
    config = "--tower googlenet --head conv --frames 2 --size 36 --width 0.1 --fc 8 --auxiliary 0.3"
    net = build(config_of(config))
    total = sum(row.params for row in layer_rows(net, input_shape(config_of(config))))
    assert TABLES["net"](config).endswith(f"**{total:,}** |")
    full = layer_rows(build(config_of("--tower googlenet --head single --frames 1")), (1, 1, 220, 220, 3))
    assert {row.name: row.shape for row in full}["tower/average"] == (1, 1024)  # four branches side by side
    assert net.layers["tower"].layer.params.keys() - {k.removeprefix("tower/") for k in net.params} == set()


def small(head, T):
    config = NetConfig(**{**SMALL, "head": head, "frames": T})
    return build(config), input_shape(config)


def test_the_picture_shows_which_frames_a_place_reads():
    """Windows of ten every five, places that all read one, all that reads all places."""
    local = {row.name: row for row in drawn_layers(*small("local", 20))}
    assert list(local) == ["frames", "tower", "windows", "fc1", "fc2", "scores"]
    assert local["windows"].spans == [(0, 10), (5, 15), (10, 20)] == local["fc2"].spans
    assert local["windows"].reads[1] == list(range(5, 15)) and local["scores"].reads == [[0, 1, 2]]
    assert local["windows"].shape == (2, 2, 21) and local["fc2"].shape == (24,) and local["scores"].shape == (5,)
    assert local["scores"].params == 3 * 24 * 5 + 5
    fusion = {row.name: row for row in drawn_layers(*small("slowfusion", 10))}
    assert fusion["tower/conv1"].spans == [(0, 4), (2, 6), (4, 8), (6, 10)] and fusion["tower/conv3"].spans == [(0, 10)]
    assert fusion["tower/conv2"].reads == [[0, 1], [2, 3]]
    lstm = drawn_layers(*small("lstm", 3))
    assert [row.kind for row in lstm] == ["frame", "convolutions", "recurrent", "recurrent", "softmax"]
    assert lstm[-1].reads == [[0], [1], [2]] and lstm[-1].shape == (5,)


@pytest.mark.parametrize("head", HEADS)
def test_every_network_can_be_drawn(head, tmp_path):
    net, shape = small(head, 1 if head == "single" else 12)
    assert sum(row.params for row in drawn_layers(net, shape)) == sum(a.size for a in net.params.values())
    assert {row.kind for row in drawn_layers(net, shape)} <= set(COLOURS)
    draw(net, shape, tmp_path / "net.png", head)
    assert (tmp_path / "net.png").stat().st_size > 10_000


def test_a_drawing_joins_the_boxes_that_read_one_another(monkeypatch):
    """Lines lead from the top of a box up to the bottom of another, arrows from cell to cell; a maximum spans time."""
    figures = []
    monkeypatch.setattr("snippets.nets.inspect.draw.write_figure", lambda path, figure, **_: figures.append(figure))
    for head in ("slow", "lstm"):
        draw(*small(head, 12), "net.png", head)
    for figure in figures:
        (ax,) = figure.axes
        boxes = [
            (p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in ax.patches if hasattr(p, "get_boxstyle")
        ]
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert all(left < x and x + w < right and bottom < y and y + h < top for x, y, w, h in boxes)
        assert all(bottom < text.get_position()[1] < top for text in ax.texts)
        assert all(b[0] - a[0] > a[2] or b[1] != a[1] for a, b in itertools.pairwise(boxes))  # side by side, apart
        assert ax.lines
        for line in ax.lines:
            (x0, x1), (y0, y1) = line.get_data()
            assert any(x <= x0 <= x + w and y0 == pytest.approx(y + h) for x, y, w, h in boxes)
            assert any(x <= x1 <= x + w and y1 == pytest.approx(y) for x, y, w, h in boxes)
            assert y0 < y1
    assert max(w for _, _, w, _ in boxes) < 1  # of the LSTM: a box for each frame
    assert sum(len(text.get_text()) == 0 for text in ax.texts) == 2 * 11 + 1  # arrows: two layers, and time's own
    widths = [p.get_width() for p in figures[0].axes[0].patches if hasattr(p, "get_boxstyle")]
    assert max(widths) > 5  # inches of the 6 that time takes


def test_the_summary_draws(tmp_path, capsys):
    options = "--width 0.1 --size 36 --fc 8 --frames 12 --head slow".split()
    assert main(["summary", *options, "--draw", str(tmp_path / "slow.svg")]) == 0
    assert "<svg" in (tmp_path / "slow.svg").read_text() and "slow.svg" in capsys.readouterr().out
