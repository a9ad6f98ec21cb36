"""The tests' own house-keeping: a run that leaves something in the checkout has failed."""

import shutil
import subprocess
import sys
from pathlib import Path

from waiting import HANG

HERE = Path(__file__).resolve().parent
TESTS = """
def test_one_is_fine():
    open("here.txt", "w").close()

def test_one_leaves_something(request):
    (request.config.rootpath / "runs").mkdir()
"""


def test_what_tests_leave_in_the_checkout_fails_the_run(tmp_path):
    (tmp_path / "tests").mkdir()
    for name in ("conftest.py", "kit/simulator.py", "kit/waiting.py"):
        shutil.copy(HERE.parent / name, tmp_path / "tests")
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "tests" / "test_two.py").write_text(TESTS)
    for chosen, told, status in (("fine", "1 passed, 1 deselected", 0), ("leaves", "changed the checkout: runs\n", 1)):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG)
        assert done.returncode == status and told in done.stdout, done.stdout + done.stderr
        assert not (tmp_path / "here.txt").exists()
