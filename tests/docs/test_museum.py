"""The museum: what docs/museum keeps is of the bugs that are planted, and is found again."""

import re
import subprocess
import sys

import museum
import pytest

AGAIN = "run python -m tests.museum"


def test_the_matrix_is_of_the_planted_bugs():
    kept = [(row["file"], row["bug"]) for row in museum.read_matrix()]
    assert kept == [(bug.file, bug.name) for bug in museum.EXHIBITS], AGAIN


def test_the_tables_of_the_pages_are_those_of_the_matrix():
    rows = museum.read_matrix()
    for page in museum.pages():
        text = page.read_text(encoding="utf-8")
        assert museum.with_tables(text, rows) == text, f"{page.name}: {AGAIN}"
        for found in museum.BLOCK.finditer(text):
            assert "●" in found[0] or "|" in found[0], f"{page.name}: nothing is chosen by {found[2]}"


def test_every_room_of_the_museum_cites_where_a_library_shipped_it():
    for page in museum.FOLDER.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        if page.name != "README.md":
            assert re.search(r"https://github.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", text), page.name
            assert all(f"**{heading}.**" in text for heading in ("Symptom", "Mechanism", "In the wild", "What sees it"))


@pytest.mark.book
@pytest.mark.parametrize("file", sorted({bug.file for bug in museum.EXHIBITS}))
def test_a_bug_of_each_file_is_found_again(file):
    """The second bug of each file, as it stands in the matrix."""
    bugs = [bug for bug in museum.EXHIBITS if bug.file == file]
    bug = bugs[min(1, len(bugs) - 1)]
    (kept,) = [row for row in museum.read_matrix() if (row["file"], row["bug"]) == (bug.file, bug.name)]
    found = museum.examine(bug)
    assert found == kept, AGAIN


@pytest.mark.book
def test_the_command_shows_some_bugs():
    command = [sys.executable, "-m", "snippets.training.cli.main", "museum", "--only", "the factor 2 is missing"]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert (
        re.search(r"layers/lrn.py: the factor 2 is missing", shown.stdout)
        and "| gradient check | 1 | 1 | 0 |" in shown.stdout
    )
