"""Pages in HTML that stand alone: one file with its pictures inside, for wide and narrow screens, without scripts.

    page(title, lead, body)     the whole file
    section, text, table        its parts, str -> str; what is put in as text is escaped
    picture, strip              a drawing, or frames of a video, with what they show in words
    bar_table, confusion        numbers with bars or shades behind them

Colours are those of Okabe and Ito, which colour-blind readers can tell apart, and every number that a colour shows is
there in figures, too. Figures are about 4.6 inches wide, so that their text can be read on a phone.
"""

import base64
import html
import io
from pathlib import Path

import numpy as np

from snippets.training.assignments.manifest import files_of_student

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("-", "--", "-.", ":")  # beside the colour
STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def page(title, lead, body):
    """A whole page; lead: its first paragraph, text; body: parts in HTML. A student reads whose code computed it."""
    if own := files_of_student():
        lead += f" Computed by your {', '.join(own)}."
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{html.escape(title)}</h1>\n"
        f'<p class="lead">{html.escape(lead)}</p>\n{"".join(body)}</body>\n</html>\n'
    )


def section(heading, *parts, level=2):
    """A heading and parts in HTML."""
    return f"<h{level}>{html.escape(heading)}</h{level}>\n{''.join(parts)}"


def text(*sentences, kind=""):
    """A paragraph; kind: "note" for what is secondary."""
    return f"<p{f' class={kind}' if kind else ''}>{html.escape(' '.join(sentences))}</p>\n"


def code(line):
    """A command on a line of its own."""
    return f"<p><code>{html.escape(line)}</code></p>\n"


def uri(picture):
    """A data URI of a matplotlib Figure (PNG), or of an image uint8 (H, W, 3) (JPEG; PNG if it has few colours)."""
    file = io.BytesIO()
    if hasattr(picture, "savefig"):
        picture.savefig(file, dpi=170, bbox_inches="tight", format="png")
        kind = "png"
    else:
        from imageio.v3 import imwrite

        kind = "jpeg"
        imwrite(file, picture, extension=".jpg", quality=88)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def image(picture, alt):
    """An <img> that holds its picture; alt: what it shows, in words."""
    if not alt:
        raise ValueError("a picture without a text for those who cannot see it, expected alt in words")
    return f'<img src="{uri(picture)}" alt="{html.escape(alt)}">'


def picture(drawn, alt, caption=""):
    """A figure with its caption."""
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{image(drawn, alt)}{below}</figure>\n"


def grid(*parts):
    """Parts beside each other where there is room."""
    return f'<div class="grid">{"".join(parts)}</div>\n'


def strip(frames, alts, captions=None, least=72):
    """Frames uint8 (H, W, 3) side by side in their own shape, in as many rows as it takes.

    alts: what each one shows; captions: text under each. least: width in pixels under which none shrinks.
    """
    captions = captions or [""] * len(frames)
    below = [f"<figcaption>{html.escape(caption)}</figcaption>" if caption else "" for caption in captions]
    cells = [f"<figure>{image(x, alt)}{b}</figure>" for x, alt, b in zip(frames, alts, below, strict=True)]
    return f'<div class="strip" style="--least:{least}px">{"".join(cells)}</div>\n'


def table(head, rows, caption=""):
    """A table of text; the first cell of a row names it. Numbers stand at the right."""

    def cell(value):
        number = not isinstance(value, str)
        return f'<td class="n">{value:g}</td>' if number else f"<td>{html.escape(value)}</td>"

    return framed(head, [[html.escape(str(row[0])), *map(cell, row[1:])] for row in rows], caption)


def bar_table(head, rows, caption=""):
    """A table of shares in [0, 1] as per cent, each with a bar behind it: rows of a name, then floats or pairs.

    A pair is (share, text); NaN is shown as "–"; text and whole numbers stand as they are.
    """

    def cell(value):
        if isinstance(value, (str, int, np.integer)):
            return f"<td>{html.escape(str(value))}</td>"
        share, words = value if isinstance(value, tuple) else (value, f"{100 * value:.0f} %")
        if np.isnan(share):
            return '<td class="n">–</td>'
        return f'<td class="n bar" style="background-size:{100 * share:.1f}% 100%">{html.escape(words)}</td>'

    return framed(head, [[html.escape(row[0]), *map(cell, row[1:])] for row in rows], caption)


def framed(head, rows, caption):
    """A table that scrolls by itself where the screen is narrow; rows of cells in HTML, the first one a name."""
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    body = "".join(f'<tr><th scope="row">{first}</th>{"".join(rest)}</tr>\n' for first, *rest in rows)
    kind = ' class="words"' if any(len(cell) > 50 and "bar" not in cell for row in rows for cell in row) else ""
    above = text(caption, kind="note") if caption else ""
    return f'{above}<div class="wide"><table{kind}><thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'


def confusion(matrix, names, title, edges=()):
    """A confusion matrix (K, K), in videos, as a table: a cell's shade is its share of the true class's videos.

    edges: numbers of classes in front of which a line is drawn.
    """
    videos = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.where(videos > 0, videos, 1)
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    body = []
    for i, name in enumerate(names):
        cells = []
        for k, share in enumerate(shares[i]):
            kinds = [kind for kind, yes in (("own", i == k), ("edge", i in edges), ("side", k in edges)) if yes]
            light = 1 - share  # from white to the dark blue of COLOURS
            rgb = ",".join(str(round(c + (255 - c) * light)) for c in (0, 92, 150))
            style = f"background:rgb({rgb});color:{'#fff' if share > 0.5 else '#1b1e24'}"
            number = f"{matrix[i, k]:.3g}" if matrix[i, k] else ""
            cells.append(f'<td class="{" ".join(kinds)}" style="{style}">{number}</td>')
        body.append(f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>\n')
    return (
        text(f"{title}: true class in rows, predicted class in columns, in videos", kind="note")
        + '<div class="wide"><table class="confusion">'
        f"<thead><tr><td></td>{top}</tr></thead>\n<tbody>{''.join(body)}</tbody></table></div>\n"
    )
