"""What an assignment consists of: its assignment.toml in the checkout, or questions.json in a released tree."""

import sys
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path

from snippets.data.files import read_json
from snippets.training.assignments.bugs import ROOT

FOLDER = ROOT / "notebooks" / "assignments"


@dataclass(frozen=True)
class Question:
    """One question; a bug hunt is one whose function judges recorded runs.

    points: of the parts "public", "hidden" and "own"; needs: names of questions to be answered first.
    mistakes: what students get wrong, each a table with `hint` and `bug` (a name in planted_bugs.txt) or `old` and
    `new` (text of the solution, and what is written instead). They are not released.
    """

    id: str
    name: str
    file: str
    functions: list
    points: dict
    needs: list = field(default_factory=list)
    hunt: bool = False
    mistakes: list = field(default_factory=list)

    @property
    def total(self):
        return sum(self.points.values())

    @property
    def title(self):
        return f"{self.id} {self.name}"


@dataclass(frozen=True)
class Assignment:
    """An assignment: what is asked, and what students receive.

    release: patterns of files of the library; also_cut: {file: functions} that would give answers away.
    equations: tables with `file`, `first` and `until`, the beginnings of the first line to cut from a docstring and of
    the first to keep, and `instead`. twists: names of the files in its folder twists/, one of which a course gets.
    """

    name: str
    title: str
    paper: str
    hours: str
    questions: list
    release: list = field(default_factory=list)
    also_cut: dict = field(default_factory=dict)
    equations: list = field(default_factory=list)
    twists: list = field(default_factory=list)

    @property
    def folder(self):
        return FOLDER / self.name

    @property
    def files(self):
        """The files that a student hands in."""
        return list(dict.fromkeys(question.file for question in self.questions))

    def question(self, name):
        """The question of this name or number. ValueError if there is none."""
        for question in self.questions:
            if name in (question.id, question.name):
                return question
        known = ", ".join(question.title for question in self.questions)
        raise ValueError(f"{self.name} has no question {name!r}, expected one of {known}")


def names():
    """Names of the assignments in this checkout; none in an installed package."""
    return sorted(path.parent.name for path in FOLDER.glob("*/assignment.toml"))


def read_assignment(name):
    """The assignment of this name, from the checkout. ValueError if there is none."""
    if name not in names():
        here = ", ".join(names()) or "none: work in a checkout of the project"
        raise ValueError(f"no assignment {name!r} in {FOLDER}; there: {here}")
    table = tomllib.loads((FOLDER / name / "assignment.toml").read_text(encoding="utf-8"))
    table["questions"] = [Question(**question) for question in table.pop("question")]
    return Assignment(name=name, **table)


def released(folder):
    """The assignment that a released folder's questions.json describes."""
    table = read_json(Path(folder) / "questions.json")
    return Assignment(**table | {"questions": [Question(**question) for question in table["questions"]]})


def for_students(assignment):
    """What questions.json holds: all but the mistakes and what release needs."""
    questions = [asdict(question) | {"mistakes": []} for question in assignment.questions]
    return {key: getattr(assignment, key) for key in ("name", "title", "paper", "hours")} | {"questions": questions}


def student_tree(start="."):
    """The released tree in which `start` lies. FileNotFoundError if it lies in none."""
    start = Path(start).resolve()
    for folder in (start, *start.parents):
        if (folder / "assignment" / "questions.json").is_file():
            return folder
    raise FileNotFoundError(
        f"{start}: no assignment here; change to the folder that your teacher gave you, or make one in a clone of the "
        "project: snippets assignment release a5 --out FOLDER"
    )


def files_of_student():
    """The files that a student writes, of those loaded so far; an empty list where this is no released tree."""
    folder = ROOT / "assignment"
    files = released(folder).files if (folder / "questions.json").is_file() else []
    return [file for file in files if "snippets." + file.removesuffix(".py").replace("/", ".") in sys.modules]
