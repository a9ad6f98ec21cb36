"""For the hand-outs: what `snippets assignment check` says, in a notebook."""

import subprocess
import sys


def check(question):
    """Prints what the program says about a question, which it runs in a process of its own."""
    command = [sys.executable, "-m", "snippets.training.cli.main", "assignment", "check", question]
    print(subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout)
