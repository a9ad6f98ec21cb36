"""The museum of bugs: which kinds of tests notice which planted bugs?

    python -m tests.museum                      every bug against every kind; some minutes; rewrites docs/museum
    python -m tests.museum --only lstm window   only bugs with one of these in their file or name; nothing is written
    python -m tests.museum --tables             no bug: only the tables of the pages, from the matrix that is kept

Each bug of tests/kit/planted_bugs.txt in a file that has layers is planted by itself, and held against each of
tests/kit/kinds_of_tests.py. The result is docs/museum/matrix.csv, the picture beside it, and the tables between
`<!-- bugs: ... -->` and `<!-- end -->` in the pages, which tests/docs/test_museum.py compares.
"""

import argparse
import ast
import csv
import functools
import re
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = map(str, (ROOT / "tests", ROOT / "tests" / "kit"))
from kinds_of_tests import KINDS, MODULES, NotApplicable, oracle  # noqa: E402
from oracle_table import CHECKS  # noqa: E402
from planted import BUGS, SEEN, killer, load  # noqa: E402

from snippets.nets.inspect.figure import new_figure  # noqa: E402

FOLDER = ROOT / "docs" / "museum"
MATRIX, PICTURE = FOLDER / "matrix.csv", FOLDER / "matrix.png"
EXHIBITS = [bug for bug in BUGS if bug.module in MODULES]
FIELDS = ["file", "bug", *KINDS, "noticed first by"]
SIGNS = {"seen": "●", "missed": "–", "": ""}
BLOCK = re.compile(r"<!-- (bugs|paper|count): ?(.*?) ?-->\n.*?<!-- end -->\n", re.S)


def outcome(kind, module, name):
    """ "seen", "missed", or "" where there is nothing to test."""
    try:
        kind(module, name)
    except NotApplicable:
        return ""
    except (Exception, *SEEN):  # a test that breaks down has failed
        return "seen"
    return "missed"


def examine(bug):
    """The row of a bug: a dict of FIELDS."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as in every test run of this project
        module = load(bug)
        row = {"file": bug.file, "bug": bug.name, "noticed first by": killer(bug)}
        row |= {name: outcome(kind, module, bug.module) for name, kind in KINDS.items() if kind is not oracle}
    if CHECKS.get(bug.module):  # the oracles are what `killer` asks first
        row["oracle"] = "seen" if row["noticed first by"].startswith("oracle") else "missed"
    else:
        row["oracle"] = ""
    return row


@functools.cache
def definitions(file):
    """(first line, last line, name) of a file's functions, classes and constants."""
    nodes = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    named = [(node, getattr(node, "name", getattr(getattr(node, "targets", [None])[0], "id", None))) for node in nodes]
    return [(node.lineno, node.end_lineno, name) for node, name in named if name]


def functions(bug):
    """The names that a file defines at its top level and that a bug changes."""
    text = (ROOT / bug.file).read_text(encoding="utf-8")
    names = []
    for old, _ in bug.changes:
        line = text[: text.index(old)].count("\n") + 1 + (len(old) - len(old.lstrip("\n")))
        names += [name for first, last, name in definitions(bug.file) if first <= line <= last]
    return list(dict.fromkeys(names)) or [""]


def read_matrix():
    """The rows that are kept in docs/museum."""
    with MATRIX.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_matrix(rows):
    with MATRIX.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def chosen(rows, words):
    """Rows by words: files, /text/ that is in the bug's name, or "missed by" a kind of test."""
    files, texts = re.findall(r"[\w/]+\.py", words), re.findall(r"(?:^| )/(.+?)/(?= |$)", words)
    kind = words.removeprefix("missed by ") if words.startswith("missed by ") else None
    named = [row for row in rows if not texts or any(re.search(text, row["bug"]) for text in texts)]
    if kind:
        return [row for row in named if row[kind] == "missed"]
    return [row for row in rows if row["file"] in files or (texts and row in named)]


def table(rows):
    """A Markdown table of bugs against kinds."""
    head = ["file", "planted bug", *KINDS]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + ":-:|" * len(KINDS)]
    for row in rows:
        lines.append(
            "| " + " | ".join([f"`{Path(row['file']).stem}`", row["bug"], *(SIGNS[row[kind]] for kind in KINDS)]) + " |"
        )
    return "\n".join(lines) + "\n"


def counts(rows):
    """A Markdown table of kinds: how many bugs each was tried on, saw and missed."""
    lines = ["| kind of test | tried on | sees | misses |", "|---|--:|--:|--:|"]
    for kind in KINDS:
        found = [row[kind] for row in rows]
        seen, missed = found.count("seen"), found.count("missed")
        lines.append(f"| {kind} | {seen + missed} | {seen} | {missed} |")
    alone = [row["gradient check"] for row in rows]
    return "\n".join([*lines, "", f"A gradient check alone misses {alone.count('missed')} of {len(rows)}.", ""])


def paper(rows, page):
    """The table of docs/paper.md, its columns of bugs and tests filled in; the others stand in the page."""
    out = ["| paper | what | code | planted bugs | a gradient check misses | noticed by |", "|---|---|---|--:|--:|---|"]
    for line in re.findall(r"^\| (?!paper \||--).*\|$", page, re.M):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        places = re.findall(r"\]\(\.\./([\w/]+\.py)#(\w+)\)", cells[2])
        bugs = [bug for bug in BUGS if any(bug.file == file and name in functions(bug) for file, name in places)]
        names = {(bug.file, bug.name) for bug in bugs}
        found = [row for row in rows if (row["file"], row["bug"]) in names]
        missed = sum(row["gradient check"] == "missed" for row in found) if found else ""
        first = dict.fromkeys(row["noticed first by"] for row in found)
        cells = [*cells[:3], str(len(bugs)), str(missed), "; ".join(sorted(first))]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def with_tables(text, rows):
    """A page with its generated tables made anew."""

    def block(found):
        kind, words = found[1], found[2]
        if kind == "bugs":
            made = table(chosen(rows, words))
        else:
            made = counts(rows) if kind == "count" else paper(rows, found[0])
        return f"<!-- {kind}: {words} -->\n\n{made}\n<!-- end -->\n".replace(":  -->", ": -->")

    return BLOCK.sub(block, text)


def pages():
    """Pages with generated tables."""
    return [path for path in sorted((ROOT / "docs").rglob("*.md")) if BLOCK.search(path.read_text(encoding="utf-8"))]


def draw(rows):
    """The matrix as a picture: a column for each bug, a row for each kind."""
    figure = new_figure(11, 3.4, layout="constrained", dpi=150)
    axis = figure.subplots()
    colours = {"seen": "#0072b2", "missed": "#e69f00", "": "#ffffff"}  # of Okabe and Ito: safe for the colour-blind
    for y, kind in enumerate(KINDS):
        for what, colour in colours.items():
            at = [x for x, row in enumerate(rows) if row[kind] == what]
            axis.bar(at, 0.84, 1.0, bottom=y - 0.42, color=colour, linewidth=0)
    files = list(dict.fromkeys(row["file"] for row in rows))
    starts = [next(x for x, row in enumerate(rows) if row["file"] == file) - 0.5 for file in files]
    middles = [(a + b) / 2 for a, b in zip(starts, [*starts[1:], len(rows) - 0.5], strict=True)]
    for start in starts[1:]:
        axis.axvline(start, color="black", lw=0.8)
    axis.set_xticks(middles, [Path(file).stem for file in files], rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(KINDS)), KINDS)
    axis.tick_params(length=0, labelsize=9)
    axis.set(xlim=(-0.5, len(rows) - 0.5), ylim=(len(KINDS) - 0.5, -0.5))
    axis.set_title(f"{len(rows)} planted bugs: noticed (blue) or not (orange) by each kind of test", fontsize=10)
    for side in axis.spines.values():
        side.set_visible(False)
    figure.savefig(PICTURE)


def write_pages(rows):
    """Make the tables of all pages anew."""
    for path in pages():
        path.write_text(with_tables(path.read_text(encoding="utf-8"), rows), encoding="utf-8")


def examined(words):
    """The rows of the bugs with one of the words in their file or name, printed one by one; all without words."""
    print("  ".join(["", *KINDS, "bug"]))
    for bug in EXHIBITS:
        if not words or any(word in f"{bug.file} {bug.name}" for word in words):
            row = examine(bug)
            cells = (SIGNS[row[kind]].center(len(kind) + 2) for kind in KINDS)
            print(" " + "".join(cells) + f" {bug.file}: {bug.name}", flush=True)
            yield row


def main():
    parser = argparse.ArgumentParser("python -m tests.museum", description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="TEXT", nargs="+", help="bugs with one of these in their file or name")
    parser.add_argument("--tables", action="store_true", help="only write the tables of the pages anew")
    args = parser.parse_args()
    if args.tables:
        return write_pages(read_matrix())
    rows = list(examined(args.only))
    print("\n" + counts(rows))
    if not args.only:
        write_matrix(rows)
        draw(rows)
        write_pages(rows)
        print(f"{MATRIX.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)} and {len(pages())} pages: written")


if __name__ == "__main__":
    main()
