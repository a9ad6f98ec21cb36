"""A small seeded share of the fault tests: damaged files (tests/fuzz.py) and killed runs (tests/kills.py)."""

import os
import random
import subprocess
import sys

import pytest
from file_kinds import KINDS
from fuzz import DAMAGES, FAULTS, damaged, fuzz
from kill_jobs import JOBS, SHARES
from kills import ROOT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # of what a damaged file makes other packages say
def test_a_damaged_file_is_refused_by_name_or_of_no_consequence(kind):
    cases = list(fuzz(kind, 0, 6, apart=False))
    assert len(cases) == 6
    wrong = [case for case in cases if case[3] in FAULTS]
    assert not wrong, f"python -m tests.fuzz --kind '{kind}' --n 6 --seed 0 --show: {wrong}"


def test_damages_change_something_and_come_from_the_seed(rng):
    data = rng.integers(0, 256, 3000).astype("uint8").tobytes()
    drawn = [damaged(data, random.Random(n)) for n in range(200)]
    assert drawn == [damaged(data, random.Random(n)) for n in range(200)]
    assert {how for how, _ in drawn} == {how.__name__ for how in DAMAGES} and all(new != data for _, new in drawn)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forks of one process")
def test_killed_runs_end_with_the_same_bits():
    assert set(JOBS) == set(SHARES)
    command = [
        sys.executable,
        "-m",
        "tests.kills",
        "--kills",
        "6",
        "--seed",
        "0",
        "--job",
        "features",
        "video",
        "compare",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1].split("|")
    assert int(last[2]) >= 6 and int(last[3]) == int(last[4])
