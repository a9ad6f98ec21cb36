"""Before any work: an output is no input, by whatever name, and it can be written."""

import argparse
import errno
import os
import tempfile

import pytest

from snippets.data.options import float_or_none, int_or_none
from snippets.training.cli.files import Input, Output, check_outputs
from snippets.training.cli.main import main, parser

NO_FILES = {  # options with a value of their own kind
    "help", "device", "address", "fold", "cache", "root", "freeze", "lr_group", "claims", "rows", "table", "tvl1",
    "heads", "variant", "preset", "published", "ray", "only",
}  # fmt: skip


def test_every_option_that_may_be_a_file_is_declared():
    commands = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    for name, command in commands.items():
        for action in command._actions:
            numbers = int, float, int_or_none, float_or_none
            text = action.nargs != 0 and action.choices is None and action.type not in numbers
            file = isinstance(action.type, type) and issubclass(action.type, (Input, Output))
            told = file or action.dest in NO_FILES
            assert not text or told, f"{name} --{action.dest}: a file to read, to write, or neither?"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files of every kind, which no command gets as far as to look into."""
    monkeypatch.chdir(tmp_path)
    for name in ("model.npz", "run/checkpoint.npz", "run/fold2/checkpoint.npz", "f.npz", "p.npz", "w.npz"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PK" + name.encode())
    for name in ("clip.avi", "videos/a/b.avi", "videos/lists/trainlist01.txt", "videos/lists/map.json", "skip.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "skip.txt").write_bytes(b"# damaged\na.avi\n")
    os.link(tmp_path / "model.npz", tmp_path / "hard.npz")
    (tmp_path / "soft.npz").symlink_to("model.npz")
    (tmp_path / "there").symlink_to(".")

    def contents():
        return {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    before = contents()
    yield tmp_path
    assert contents() == before


OVER_AN_INPUT = [
    "features clip.avi --model model.npz --out model.npz",
    "features clip.avi --model model.npz --out ./there/model.npz",
    "features clip.avi --model model.npz --out hard.npz",
    "features clip.avi --model soft.npz --out model.npz",
    "features videos --model model.npz --out soft.npz",
    "evaluate model.npz f.npz --save model.npz",
    "evaluate model.npz f.npz --save f.npz",
    "fuse p.npz w.npz --save w.npz",
    "fuse p.npz w.npz --svm f.npz model.npz --save f.npz",
    "import w.npz --out w.npz",
    "expand model.npz --head lstm --out model.npz",
    "train f.npz --init run/checkpoint.npz --out run",
    "train f.npz --init there/run/fold{fold}/checkpoint.npz --fold all --out run",
    "check-data videos --skip skip.txt --write-skip skip.txt",
]
OF_ANOTHER_KIND = [
    "features clip.avi --out clip.avi",
    "features clip.avi --out features",
    "predict model.npz clip.avi --render clip.npz",
    "summary model.npz --draw model.npz",
    "summary model.npz --draw net.doc",
    "bench --json clip.avi",
    "bench --json skip.txt",
    "check-data videos --write-skip videos/a/b.avi",
    "check-data videos --write-skip videos/lists/trainlist01.txt",
    "check-data videos --write-skip model.npz",
]


@pytest.mark.parametrize("command", OVER_AN_INPUT)
def test_an_output_is_no_input(folder, capsys, command):
    assert main(command.split()) == 1
    assert "which this command reads; choose another" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict model.npz clip.avi --render clip.avi", "flow clip.avi --render clip.avi"])
def test_a_picture_is_not_drawn_over_its_video(folder, capsys, command):
    assert main(command.split()) == 1
    assert "--render clip.avi would overwrite clip.avi" in capsys.readouterr().err


@pytest.mark.parametrize("command", OF_ANOTHER_KIND)
def test_a_file_of_another_kind_is_not_replaced(folder, capsys, command):
    assert main(command.split()) == 1
    err = capsys.readouterr().err
    assert "writes no such file; choose another name" in err or "expected a name that ends in" in err


def test_what_is_no_file_or_no_folder(folder, capsys):
    for command, words in (
        ("evaluate model.npz f.npz --save videos", "--save videos is a folder"),
        ("train f.npz --out clip.avi", "--out clip.avi: this is a file, expected a folder"),
        ("demo --out clip.avi/demo", "clip.avi: not a folder, so clip.avi/demo/file cannot be written"),
        ("bench --json clip.avi/a/b.json", "clip.avi: not a folder"),
        (f"bench --json {'a' * 300}.json", "too long"),
    ):
        assert main(command.split()) == 1
        assert words in capsys.readouterr().err
    if os.path.exists(os.devnull) and os.name == "posix":
        assert main(["bench", "--json", os.devnull]) == 1
        assert "is no ordinary file" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_takes_no_file_is_told_before_the_work(folder, capsys, monkeypatch, number):
    def refuse(dir):
        raise OSError(number, os.strerror(number), f"{dir}/xyz")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    for command in (
        "bench --json new/bench.json",
        "train f.npz --out new/run",
        "claims",
        "fuse p.npz w.npz --save a.npz",
    ):
        assert main(command.split()) == 1
        assert "cannot be written there" in capsys.readouterr().err
    assert not (folder / "new").exists()


def test_what_may_be_written(folder):
    """The checks pass, and leave no trace, for new files and for files of the same kind."""
    for command in (
        "features clip.avi --model model.npz --out f.npz",
        "evaluate model.npz f.npz --save new/p.npz",
        "train f.npz --init model.npz --out run",
        "check-data videos --write-skip skip.txt",
        "flow clip.avi --render new.png",
        "summary --draw net.svg",
        "tables --out new",
    ):
        args = parser().parse_args(command.split())
        check_outputs(args)
