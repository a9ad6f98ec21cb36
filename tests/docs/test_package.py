"""Installed as a wheel or from a checkout, the package takes the name `snippets` and no other."""

import configparser
import importlib.util
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata

import pytest
from conftest import ROOT
from waiting import HANG

PACKAGES = ("layers", "nets", "data", "training")
NEEDED = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
PIP = ("-m", "pip", "--disable-pip-version-check", "-q")
OFFLINE = ("--no-deps", "--no-index", "--no-build-isolation")


def can_build():
    """Whether pip and a setuptools that builds wheels by itself are in this environment."""
    try:
        major, minor = map(int, metadata.version("setuptools").split(".")[:2])
    except metadata.PackageNotFoundError:
        return False
    return (major, minor) >= (70, 1) and importlib.util.find_spec("pip") is not None


needs_tools = pytest.mark.skipif(not can_build(), reason="needs pip and setuptools >= 70.1")


def run(python, *arguments, cwd, path=""):
    """Output of a Python program; AssertionError with what it printed if it fails."""
    env = os.environ | {"PYTHONPATH": str(path), "PYTHONSAFEPATH": ""}
    done = subprocess.run(
        [python, *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True, timeout=HANG
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout's library, for a build leaves files beside it."""
    folder = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in NEEDED:
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel of the copy."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, *PIP, "wheel", *OFFLINE, "-w", folder, source, cwd=folder)
    (file,) = folder.glob("snippets-*.whl")
    return file


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request, tmp_path_factory):
    """Python of a new environment in which the package is installed; dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder)
    paths = {"base": str(folder), "platbase": str(folder)}
    packages = sysconfig.get_path("purelib", vars=paths)
    found = dict.fromkeys((*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    with open(os.path.join(packages, "dependencies.pth"), "w") as file:
        file.write("\n".join(found) + "\n")  # the .pth files in those are not read: no editable install of ours
    python = os.path.join(sysconfig.get_path("scripts", vars=paths), os.path.basename(sys.executable))
    what = (
        ["-e", request.getfixturevalue("source")] if request.param == "editable" else [request.getfixturevalue("wheel")]
    )
    run(python, *PIP, "install", "--ignore-installed", *OFFLINE, *what, cwd=folder)
    return python


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of somebody who has modules of the same names as our folders."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "data").mkdir()
    (folder / "data" / "my.py").write_text("NAME = 'my data'\n")
    (folder / "layers.py").write_text("NAME = 'my layers'\n")
    (folder / "training").mkdir()
    (folder / "training" / "__init__.py").write_text("NAME = 'my training'\n")
    return folder


def test_setup_lists_every_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    found = [path.parent.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("__init__.py")]
    assert listed == sorted(".".join(("snippets", *path.parts)) for path in found)


@pytest.mark.skipif(os.name == "nt", reason="Git on Windows may store links as text")
def test_editors_find_the_packages():
    links = {path.name: path.resolve() for path in (ROOT / ".links" / "snippets").iterdir()}
    assert links == {name: ROOT / name for name in PACKAGES}


@needs_tools
def test_wheel_holds_every_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (
        path
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.suffix in (".py", ".cu", ".h", ".css", ".toml")
    )
    assert held == {f"snippets/{path.relative_to(ROOT).as_posix()}" for path in files}


@needs_tools
def test_beside_a_users_project(python, project):
    code = (
        "import data.my, layers, training, snippets.layers.conv, snippets.training.distributed.downpour;"
        "print(data.my.NAME, layers.NAME, training.NAME, snippets.layers.conv.Conv2D.__name__, sep=', ')"
    )
    assert run(python, "-c", code, cwd=project) == "my data, my layers, my training, Conv2D\n"
    assert "usage: snippets" in run(python, "-m", "snippets.training.cli.main", "--help", cwd=project)
    command = os.path.join(os.path.dirname(python), "snippets")
    assert "usage: snippets" in run(python, command, "--help", cwd=project, path=project)


@needs_tools
@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_name_is_taken(python, tmp_path, name):
    code = f"import importlib.util as u; print(u.find_spec({name!r}), u.find_spec('snippets.{name}') is not None)"
    assert run(python, "-c", code, cwd=tmp_path) == "None True\n"
