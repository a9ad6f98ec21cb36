"""Assignments as a course gives them out: their trees, their answers, and wrong answers judged in this process.

course_a5.py and its like say what is special about one assignment: HUNT, the answer to its bug hunt; WRONG, answers
that are wrong in a way that nobody planted; DERIVED, lines that students are to derive; NOT_ASKED, planted bugs in
functions that students do not write; FOLLOW_THROUGH, wrong forward passes with their right derivative; milestone, which
looks at what the last cell of the hand-out printed.
"""

import importlib
import shutil
from functools import cached_property

from snippets.training.assignments import manifest
from snippets.training.assignments.bugs import Bug, load, source
from snippets.training.assignments.grade import judge, read_answers
from snippets.training.assignments.release import release, release_grader, solution
from snippets.training.assignments.worker import run_cases

SEED = 7
NAMES = manifest.names()


class Course:
    """One assignment, what students and teachers get, and answers to it; `folder` makes new folders by name."""

    def __init__(self, name, folder=None):
        self.assignment, self.kit, self.folder = (
            manifest.read_assignment(name),
            importlib.import_module(f"course_{name}"),
            folder,
        )

    @cached_property
    def student(self):
        """The tree that students receive, which nobody changes."""
        tree = self.folder("a course") / "student tree"
        release(self.assignment, tree, SEED)
        return tree

    @cached_property
    def grader(self):
        """The folder that teachers grade with."""
        folder = self.folder("a teacher") / "the grader"
        release_grader(self.assignment, folder, SEED)
        return folder

    @cached_property
    def solved(self):
        """The students' tree with all questions answered."""
        tree = self.folder("a student") / "solved tree"
        shutil.copytree(self.student, tree)
        self.write_work(tree)
        return tree

    @property
    def hand_out(self):
        """The source of its notebook."""
        return self.assignment.folder / f"{self.assignment.name}.py"

    @property
    def written(self):
        """The questions that are answered by code of the library, or of a twist."""
        return [question for question in self.assignment.questions if not question.hunt]

    def answer(self, file):
        """The text that answers a file."""
        return self.kit.HUNT if file == "hunt.py" else solution(self.assignment, file, SEED)

    def changed(self, question, *changes):
        """A question's answer with other text in some places: (old, new), each there once."""
        return source(Bug("wrong", question.file, list(changes)), self.answer(question.file))

    def judged(self, question, text, grader=None):
        """The Grade of a version of a question's file, run in this process."""
        answers = read_answers((grader or self.grader) / "answers" / f"{question.name}.npz")
        cases, calls = {}, {}
        for key, a in answers.inputs.items():
            case, _, name = key.rpartition("/")
            cases.setdefault(case, {})[name] = a
        exec((self.assignment.folder / "cases.py").read_text(), calls)
        module = load(Bug("nothing", question.file, []), text)
        return judge(question, answers, run_cases(module, calls, question.name, cases))

    def write_work(self, folder, **texts):
        """A submission in a folder: right answers, but for the files given by their names without an ending."""
        for file in self.assignment.files:
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts.get(path.stem, self.answer(file)))
        return folder
