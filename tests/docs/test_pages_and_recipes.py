"""Documents: links lead somewhere, every page is reached from docs/index.md, and CONTRIBUTING's recipes are true."""

import re

import pytest
from conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").glob("*.md")])
RECIPES = {"add a head": 3, "add a layer with its CUDA twin": 5, "add a data layout": 2}  # files of code, at most
LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page):
    """Files and folders of the checkout that a page links to."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = [link.split("#")[0] for link in LINK.findall(text) if not re.match(r"https?:|mailto:|#", link)]
    return {(page.parent / target).resolve() for target in targets}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert not [target.relative_to(ROOT).as_posix() for target in links(page) if not target.exists()]


def test_every_page_is_reached_from_the_index():
    reached, new = set(), {ROOT / "docs" / "index.md"}
    while new:
        reached |= new
        new = {target for page in new for target in links(page) if target.suffix == ".md"} - reached
    reached |= {target for page in reached for target in links(page)}
    wanted = {*PAGES, *(ROOT / "notebooks").glob("*.ipynb")}
    assert not {path.relative_to(ROOT).as_posix() for path in wanted - reached}
    assert ROOT / "docs" / "index.md" in links(ROOT / "README.md")


@pytest.mark.parametrize("title", RECIPES)
def test_recipe(title):
    """Each step names a file that exists and, between backquotes, what that file has."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split(f"## Recipe: {title}\n")[1].split("\n## ")[0]
    steps = re.findall(r"^\d\. (.*)$", section, re.M)
    assert 0 < len(steps) <= RECIPES[title]
    for step in steps:
        file = LINK.findall(step)[0]
        names = re.findall(r"`(\w+)`", step)
        assert names, f"{step}: say what is to be found in {file}"
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not [name for name in names if not re.search(rf"\b{name}\b", source)], f"not in {file}"
