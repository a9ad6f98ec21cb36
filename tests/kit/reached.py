"""A pytest plugin for tests/mutate.py: which functions of the library each test runs, and how long it takes.

    REACHED=FOLDER pytest -p reached

writes FOLDER/PROCESS.json, {"seconds": {test: s}, "functions": {"file:line it begins at": [tests]}}. What a fixture
runs counts for every test that uses it. What a test runs in other processes is not seen.
"""

import json
import os
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = [set()]  # code that runs now; under it what the test runs whose fixture that is
OF_FIXTURES, OF_TESTS, SECONDS = defaultdict(set), {}, Counter()


def trace(frame, event, arg):
    RUN[-1].add(frame.f_code)


def pytest_sessionstart():
    threading.settrace(trace)
    sys.settrace(trace)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    RUN.append(set())
    try:
        return (yield)
    finally:
        OF_FIXTURES[fixturedef.argname, fixturedef.baseid] |= RUN.pop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    RUN[:] = [set()]
    try:
        return (yield)
    finally:
        used = [
            codes for (name, where), codes in OF_FIXTURES.items()
            if name in item.fixturenames and item.nodeid.startswith(where)
        ]  # fmt: skip
        OF_TESTS[item.nodeid] = RUN[0].union(*used)


def pytest_runtest_logreport(report):
    SECONDS[report.nodeid] += report.duration


def pytest_sessionfinish():
    sys.settrace(None)
    threading.settrace(None)
    if not OF_TESTS:
        return  # the process that hands tests out to others
    functions = defaultdict(set)
    for test, codes in OF_TESTS.items():
        for code in codes:
            functions[code.co_filename, code.co_firstlineno].add(test)
    functions = {  # the library is imported through links
        f"{os.path.relpath(os.path.realpath(file), ROOT)}:{line}": sorted(tests)
        for (file, line), tests in functions.items() if file.startswith(str(ROOT))
    }  # fmt: skip
    text = json.dumps({"seconds": SECONDS, "functions": functions})
    Path(os.environ["REACHED"], f"{os.getpid()}.json").write_text(text, encoding="utf-8")
