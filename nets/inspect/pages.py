"""Write the tables and the pictures of docs/architectures from the networks themselves.

    python -m snippets.nets.inspect.pages docs/architectures/*.md

In a page, what stands between `<!-- net: OPTIONS -->` and `<!-- end -->` is a table of the network that
`snippets summary OPTIONS` prints, `tower:` in place of `net:` gives the table of its frame network alone, and
`<!-- picture: FILE OPTIONS -->` draws the network into FILE. A test compares the tables with the networks.
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

from snippets.data.files import write
from snippets.data.markdown import markdown_table
from snippets.data.options import add_options, chosen
from snippets.nets.inspect.draw import draw, drawn_layers, shape_text
from snippets.nets.inspect.fake import output_shape
from snippets.nets.zoo import HEADS, NetConfig, build, input_shape

CLASSES = 487  # Sports-1M's


def config_of(options):
    """The NetConfig that options of `snippets summary` describe; they must say how many frames there are."""
    parser = argparse.ArgumentParser("net", exit_on_error=False)
    parser.add_argument("--classes", type=int, default=CLASSES, help="K")
    add_options(parser, NetConfig, "network")
    args = parser.parse_args(shlex.split(options))
    return NetConfig(args.classes, **chosen(args, NetConfig))


def summed(head, rows):
    """A table in Markdown whose last column is added up in a last row."""
    cells = [(*row[:-1], f"{row[-1]:,}") for row in rows]
    total = ("**all**", *[""] * (len(head) - 2), f"**{sum(row[-1] for row in rows):,}**")
    return markdown_table(head, [*cells, total], numbers=1)


def net_table(options):
    """The rows of `nets.inspect.draw.drawn_layers`, from the scores down to the frames."""
    config = config_of(options)
    net = build(config, seed=None)
    rows = drawn_layers(net, input_shape(config))[::-1]
    table = [(f"`{row.name}`", str(len(row.spans)), shape_text(row.shape), row.params) for row in rows]
    return command(options) + summed(("layer", "places in time", "each place", "parameters"), table)


def tower_table(options):
    """The layers of the frame network, from the image up, that have parameters or change the shape."""
    config = config_of(options)
    shape, rows = (1, *input_shape(config)[2:]), []
    for name, layer in build(config, seed=None).layers["tower"].layer.layers.items():
        before, shape = shape, output_shape(layer, shape)
        if layer.params or shape != before:
            params = sum(a.size for a in layer.params.values())
            rows.append((f"`{name}`", type(layer).__name__, shape_text(shape[1:]), params))
    return command(options) + summed(("layer", "kind", "output", "parameters"), rows)


def command(options):
    """The command that prints the network."""
    return f"`snippets summary --classes {CLASSES} {options}`\n\n"


TABLES = {"net": net_table, "tower": tower_table}


def filled(text):
    """The page with its tables written anew."""

    def write(found):
        return f"<!-- {found[1]}: {found[2]} -->\n{TABLES[found[1]](found[2])}\n\n<!-- end -->"

    return re.sub(r"<!-- (net|tower): (.*?) -->\n.*?<!-- end -->", write, text, flags=re.DOTALL)


def pictures(text):
    """(file, options) of each picture that a page asks for."""
    return re.findall(r"<!-- picture: (\S+) (.*?) -->", text)


def main(paths):
    """Write the pages at `paths` anew, and their pictures."""
    for path in map(Path, paths):
        text = path.read_text(encoding="utf-8")
        for file, options in pictures(text):
            config = config_of(options)
            about = HEADS[config.head].about
            draw(build(config, seed=None), input_shape(config), path.parent / file, about[0].upper() + about[1:])
        write(path, filled(text))
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
