"""Fixtures that every test may use."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from simulator import mend

from snippets.data.mini.make import make_mini
from snippets.data.video import write_video
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, save

ROOT = Path(__file__).resolve().parent.parent
TOOLS = {".git", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis", ".venv", "snippets.egg-info"}
BEFORE = pytest.StashKey()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs deaf to Ctrl-C


@pytest.fixture(scope="session", autouse=True)
def elsewhere(tmp_path_factory):
    """Tests run in a folder of their own: what is written under a relative name does not land in the checkout."""
    os.chdir(tmp_path_factory.mktemp("here"))


def checkout():
    """The names of all files and folders of the checkout, those that tools keep there left out."""
    found = set()
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in TOOLS]
        found.update(os.path.relpath(os.path.join(folder, name), ROOT) for name in names + files)
    return found


def pytest_sessionstart(session):
    session.config.stash[BEFORE] = checkout()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """A run whose tests leave something in the checkout, or take something away, has failed."""
    changed = session.config.stash[BEFORE] ^ checkout()
    if changed and not hasattr(session.config, "workerinput"):  # the workers of pytest-xdist end one by one
        session.config.get_terminal_writer().line(
            f"\ntests changed the checkout: {', '.join(sorted(changed))}", red=True
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def rng():
    """A seeded generator, new for every test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared():
    """Folder of real clips, features and split lists: $SNIPPETS_SHARED, else ../shared/data beside the checkout."""
    folder = Path(os.environ.get("SNIPPETS_SHARED", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs real clips, features and split lists in {folder} (set SNIPPETS_SHARED to their folder)")
    return folder


@pytest.fixture(scope="session")
def mini(tmp_path_factory):
    """Three groups of the mini data set, 48 clips of 16 frames, which nobody changes."""
    return make_mini(tmp_path_factory.mktemp("mini") / "data", groups=3, clips=1, frames=16)


@pytest.fixture
def short_blocks(monkeypatch):
    """Two chunks of the small towers, so that short videos are several blocks."""
    monkeypatch.setattr("snippets.nets.streaming.stream.BLOCK", 4)


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A video of eight frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    write_video(path, pixels, fps=25)
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A small network for two classes, untrained."""
    config = dict(classes=2, tower="alexnet", head="conv", frames=4, size=64, width=0.05, fc=4, units=4)
    path, net = tmp_path_factory.mktemp("model") / "model.npz", build(NetConfig(**config))
    save(path, Checkpoint(net.params, config=config, data={}, classes=["a", "b"]))
    return path


@pytest.fixture(scope="session")
def cp():
    """CuPy, on a GPU if there is one, else on the simulator of one that stands built in $CUDASIM_HOME."""
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("needs CuPy (pip install cupy-cuda13x) and a GPU or a simulator of one")
    simulator = os.environ.get("CUDASIM_HOME")
    if simulator:
        sys.path.insert(0, simulator)
        cudasim = importlib.import_module("cudasim")
        simulated = cudasim.activate_if_no_gpu()
    cupy = importlib.import_module("cupy")
    if simulator and simulated:
        mend(cupy, cudasim)
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"CuPy finds no GPU ({error}), and $CUDASIM_HOME names no simulator of one")
    return cupy


@pytest.fixture(scope="session")
def course(request, tmp_path_factory):
    """The Course of the assignment whose name is the parameter."""
    from course import Course

    return Course(request.param, tmp_path_factory.mktemp)


@pytest.fixture(scope="session")
def a5(tmp_path_factory):
    """A5 as a Course, for what is the same in all of them."""
    from course import Course

    return Course("a5", tmp_path_factory.mktemp)


def pytest_terminal_summary(terminalreporter):
    """How many of the planted bugs some check has noticed (test_planted_bugs.py)."""
    outcome = {}
    for word in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(word):
            properties = getattr(report, "user_properties", [])  # a module that failed to import has none
            outcome.update((value, word) for key, value in properties if key == "planted_bug")
    if outcome:
        killed = sum(word == "passed" for word in outcome.values())
        terminalreporter.write_line(f"planted bugs: killed {killed} / {len(outcome)}")
