"""The book: it builds without a warning, needs nothing from elsewhere, and what its pages say about code is true."""

import ast
import html.parser
import math
import re
import subprocess
import sys
from urllib.parse import unquote

import pytest
from conftest import ROOT

from snippets.training.cli.main import parser

DERIVATIONS = sorted((ROOT / "docs" / "derivations").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_CODE = [*DERIVATIONS, *sorted((ROOT / "docs" / "museum").glob("*.md"))]
CODE_LINK = re.compile(r"\]\(([^)\s]*\.py)#(\w+)\)")


def page_name(page):
    return page.relative_to(ROOT).as_posix()


def defined(path):
    """The names of functions, classes and constants that a file has at its top level."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        yield getattr(node, "name", None) or getattr(targets[0], "id", None)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_to_functions_name_what_is_there(page):
    found = CODE_LINK.findall(page.read_text(encoding="utf-8"))
    assert not [f"{file}#{name}" for file, name in found if name not in defined((page.parent / file).resolve())]


def test_every_layer_has_a_derivation():
    linked = {(page.parent / file).resolve() for page in DERIVATIONS for file, _ in CODE_LINK.findall(page.read_text())}
    missing = set((ROOT / "layers").glob("*.py")) - linked - {ROOT / "layers" / "__init__.py"}
    assert not [path.name for path in missing]
    overview = (ROOT / "docs" / "derivations" / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in DERIVATIONS if page.name != "README.md" and f"({page.name})" not in overview]


def test_every_option_of_the_ledger_is_one():
    text = (ROOT / "docs" / "ambiguities.md").read_text(encoding="utf-8")
    (commands,) = (action for action in parser()._actions if action.dest == "command")
    there = {option for command in commands.choices.values() for option in command._option_string_actions}
    assert set(re.findall(r"--[a-z][a-z0-9-]*", text)) <= there


@pytest.mark.book
@pytest.mark.parametrize("page", WITH_CODE, ids=page_name)
def test_equations_of_a_page_are_those_of_the_code(page):
    """The pieces of Python on a page, one after the other; they assert."""
    pieces = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    assert pieces or page.parent.name == "museum" or page.name == "README.md", f"{page.name} checks nothing"
    names = {}
    for piece in pieces:
        exec(compile(piece, page.name, "exec"), names)


class Resources(html.parser.HTMLParser):
    """What a page loads: scripts, style sheets, pictures, fonts; links that a reader may follow do not count."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        loads = tag != "a" and not (tag == "link" and attributes.get("rel") in ("canonical", "search", "next", "prev"))
        self.found += [
            attributes[key] for key in ("src", "href", "srcset", "data", "poster") if loads and key in attributes
        ]


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of the built book; built by README's command, as from a fresh clone."""
    pytest.importorskip("sphinx", reason='needs pip install -e ".[book]"')
    folder = tmp_path_factory.mktemp("book")
    (command,) = re.findall(r"&& python (-m sphinx .*) _book$", (ROOT / "README.md").read_text(), re.M)
    built = subprocess.run(
        [sys.executable, *command.split(), str(folder), "-q"], cwd=ROOT, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr[-4000:]
    return folder


@pytest.mark.book
def test_nothing_comes_from_elsewhere(book):
    pages = list(book.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        resources = Resources()
        resources.feed(page.read_text(encoding="utf-8"))
        assert not [url for url in resources.found if re.match(r"(https?:)?//", url)], page
        local = [url.split("?")[0].split("#")[0] for url in resources.found if not url.startswith("data:")]
        assert not [url for url in local if url and not (page.parent / url).exists()], page
    for sheet in book.rglob("*.css"):
        assert not re.search(r"@import|url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


@pytest.mark.book
def test_equations_are_drawn_by_the_browser_alone(book):
    """Every equation of a page is MathML, none is left as TeX."""
    page = (book / "docs" / "derivations" / "lstm.html").read_text(encoding="utf-8")
    source = (ROOT / "docs" / "derivations" / "lstm.md").read_text(encoding="utf-8")
    assert page.count("<math xmlns") >= source.count("$$") // 2
    text = re.sub(r"<(pre|code|annotation).*?</\1>|<[^>]*>", "", page, flags=re.S)
    assert not re.search(r"\\[a-zA-Z]{2,}|\$\$", text)


@pytest.mark.book
def test_sliders_show_one_position_of_as_many_as_they_have(book):
    """Every one that a page asks for; the curves of memory are powers of the forget gate."""
    asked = {}
    for page in (ROOT / "docs").rglob("*.md"):
        for name in re.findall(r"<!-- slider: (\w+) -->", page.read_text(encoding="utf-8")):
            built = (book / page.relative_to(ROOT).with_suffix(".html")).read_text(encoding="utf-8")
            (asked[name],) = re.findall(r'<figure class="slider">.*?</figure>', built, re.S)
    for figure in asked.values():
        last, start = map(int, re.search(r'type="range" max="(\d+)" value="(\d+)"', figure).groups())
        pictures = re.findall(r"<svg [^>]*>", figure)
        assert len(pictures) == last + 1 > 3
        assert [n for n, picture in enumerate(pictures) if "display: none" not in picture] == [start]
    assert set(asked) == {"memory", "winners"}
    halves = re.findall(r'aria-label="b = (\S+): one half is left after (\S+) frames', asked["memory"])
    assert len(halves) == 11
    for b, frames in halves:
        assert abs((1 / (1 + math.exp(-float(b)))) ** float(frames) - 0.5) < 0.02


@pytest.mark.book
def test_links_lead_somewhere(book):
    """Links within the book: the page is there, and in it the place."""
    text = {page: page.read_text(encoding="utf-8") for page in book.rglob("*.html")}
    places = {page: set(re.findall(r'id="([^"]+)"', written)) for page, written in text.items()}
    for page, written in text.items():
        for url in re.findall(r'<a [^>]*href="([^"]+)"', written):
            path, _, place = unquote(url).partition("#")
            if not re.match(r"\w+:", url):
                target = (page.parent / path).resolve() if path else page
                assert target.exists(), f"{page.name}: {url}"
                assert not place or target.suffix != ".html" or place in places[target], f"{page.name}: {url}"


@pytest.mark.book
def test_links_to_code_lead_to_the_function(book):
    page = book / "docs" / "derivations" / "lstm.html"
    links = re.findall(r'href="([^"]*_modules[^"]*)#(\w+)"', page.read_text(encoding="utf-8"))
    assert {"gates_forward", "gates_backward", "lstm_backward"} <= {name for _, name in links}
    for url, name in links:
        assert f'id="{name}"' in (page.parent / url).read_text(encoding="utf-8"), f"{url}#{name}"
