"""`snippets assignment`: course assignments, for students and for teachers."""

from pathlib import Path

from snippets.training.assignments.grade import grade, grade_question
from snippets.training.assignments.manifest import names, read_assignment, released, student_tree
from snippets.training.assignments.release import release, release_grader
from snippets.training.assignments.submit import submit
from snippets.training.cli.files import Folder, Input, Json, kind
from snippets.training.cli.options import SEED, add_command


def add_parsers(subparsers):
    """Adds the parser of `snippets assignment` and of its own commands."""
    top = add_command(subparsers, "assignment", run_assignment)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    add_command(commands, "list", run_list)

    p = add_command(commands, "check", run_check)
    p.add_argument("questions", nargs="*", metavar="QUESTION", help="name or number (default: all)")

    add_command(commands, "hunt", run_hunt)

    p = add_command(commands, "submit", run_submit)
    p.add_argument("--out", type=kind(".zip", begins=b"PK"), default="submission.zip", help="the zip")
    p.add_argument("--partial", action="store_true", help="hand in although questions are not answered")

    p = add_command(commands, "release", run_release)
    p.add_argument("name", metavar="NAME", help="of the assignment, see `snippets assignment list`")
    p.add_argument("--out", type=Folder, required=True, help="a new folder")
    p.add_argument("--seed", **SEED, help="of the course: its twist, and the numbers of its hidden tests")
    p.add_argument("--instructor", action="store_true", help="write the grader, not the students' folder")

    p = add_command(commands, "grade", run_grade)
    p.add_argument("submission", type=Input, metavar="SUBMISSION", help="a zip of `submit`, or a folder")
    p.add_argument("--grader", type=Input, required=True, help="folder that `release --instructor` wrote")
    p.add_argument("--out", type=Json, default="results.json", help="points and messages, in Gradescope's format")


def run_assignment(args):
    """Course assignments: hand out the library with holes, check, grade."""
    raise ValueError("say which: snippets assignment list, check, hunt, submit, release or grade (--help explains)")


def run_list(args):
    """List assignments and their questions, with points."""
    assignments = [read_assignment(name) for name in names()] or [released(student_tree() / "assignment")]
    for assignment in assignments:
        print(f"{assignment.name}  {assignment.title}: {assignment.paper}, {assignment.hours} hours")
        for question in assignment.questions:
            print(f"    {question.title:22} {question.total:3}   {', '.join(question.functions)} in {question.file}")


def run_check(args):
    """Check your answers on the public tests, and name what is wrong.

    Returns 1 if a question is not right, else 0.
    """
    tree = student_tree()
    assignment = released(tree / "assignment")
    questions = [assignment.question(name) for name in args.questions] or assignment.questions
    wrong = 0
    for question in questions:
        outcome, printed = grade_question(question, tree, tree / "assignment")
        print(f"{question.title}: {'right' if outcome.right else 'not right yet'}")
        for line in (*outcome.text.splitlines(), *(f"printed: {line}" for line in printed.splitlines()[:40])):
            print(f"    {line}")
        if not outcome.right and outcome.text != "not written yet":
            print(f"    again: snippets assignment check {question.name}   (inputs and calls: assignment/cases.py)")
        wrong += not outcome.right
    return int(wrong > 0)


def run_hunt(args):
    """Say how many of the public bugs the check in hunt.py finds."""
    args.questions = ["hunt"]
    return run_check(args)


def run_submit(args):
    """Write the zip to hand in; refuses a folder in which something is missing."""
    tree = student_tree()
    path = submit(released(tree / "assignment"), tree, args.out, args.partial)
    print(f"{path}: hand in this file")


def run_release(args):
    """Write an assignment for students, or its grader for the teacher."""
    assignment = read_assignment(args.name)
    if args.instructor:
        path = release_grader(assignment, args.out, args.seed)
        print(f"{path}: upload this to Gradescope, or: snippets assignment grade SUBMISSION --grader {args.out}")
    else:
        release(assignment, args.out, args.seed)
        print(f"{Path(args.out)}: hand this out, or work in it (README.md says how); it holds no solution")


def run_grade(args):
    """Grade a submission and write results.json."""
    grade(args.submission, args.grader, args.out)
