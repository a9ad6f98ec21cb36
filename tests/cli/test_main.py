"""The command line itself: exit statuses, what is said of errors and where, texts of help, files before any work."""

import argparse
import errno
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from snippets.training.cli import assignment, errors, main, options
from snippets.training.cli.files import (
    Archive,
    Film,
    Folder,
    Html,
    Input,
    Json,
    Output,
    Picture,
    Predicted,
    RunFolder,
    SkipList,
    Table,
    check_outputs,
    writable,
)


@pytest.mark.parametrize(
    "found, status, err",
    [
        (0, 0, ""), (None, 0, ""), (3, 3, ""), (KeyboardInterrupt(), 130, "\nstopped\n"),
        (KeyboardInterrupt("stopped after step 3"), 130, "\nstopped after step 3\n"),
        (signal.SIGTERM, 143, "\nstopped\n"), (ValueError("what\nis wrong"), 1, "snippets: what\\nis wrong\n"),
        (MemoryError("8 GiB"), 1, "snippets: out of memory (8 GiB); try a smaller --size, --frames or --batch\n"),
        (ModuleNotFoundError("no ray"), 1, "snippets: no ray\n"), (FloatingPointError("NaN"), 1, "snippets: NaN\n"),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once")
def test_how_a_command_ends(monkeypatch, capsys, found, status, err):
    """What it returns is the exit status; words go to stderr."""

    def run(args):
        if isinstance(found, signal.Signals):
            signal.raise_signal(found)
        if isinstance(found, BaseException):
            raise found
        return found

    words = []
    monkeypatch.setattr(main, "parsed", lambda given: words.append(given) or SimpleNamespace(run=run))
    assert main.main(["summary", "a"]) == status
    assert capsys.readouterr() == ("", err) and words == [["summary", "a"]]


def test_words_come_from_the_command_line_unless_given(monkeypatch):
    found = []
    monkeypatch.setattr(main, "parsed", lambda given: SimpleNamespace(run=lambda args: found.append(given)))
    monkeypatch.setattr(sys, "argv", ["snippets", "summary", "--fc", "8"])
    swept = []
    monkeypatch.setattr(main, "sweep", SimpleNamespace(cache_clear=lambda: swept.append(True)))
    assert main.main() == main.main([]) == 0 and found == [["summary", "--fc", "8"], []]
    assert swept == [True, True]  # each run looks anew for what killed ones have left


def test_other_errors_are_the_programs_and_keep_their_traceback(monkeypatch, capsys):
    monkeypatch.setattr(main, "parsed", lambda given: SimpleNamespace(run=lambda args: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        main.main([])
    try:
        raise RuntimeError("of a rank")
    except RuntimeError as error:
        errors.report(error, "rank 3: ")
    out, err = capsys.readouterr()
    assert not out and err.startswith("Traceback") and err.endswith("RuntimeError: of a rank\n")
    errors.report(ValueError("wrong"), "rank 3: ")
    assert capsys.readouterr() == ("", "snippets: rank 3: wrong\n")


def noted(error, *notes):
    for note in notes:
        error.add_note(note)
    return error


@pytest.mark.parametrize(
    "error, words",
    [
        (ValueError(), "ValueError"), (ValueError("why"), "why"), (OSError("no number"), "no number"),
        (OSError(errno.EACCES, "not allowed"), "not allowed"),
        (OSError(errno.EACCES, "not allowed", "a.npz"), "a.npz: not allowed"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.npz"), "a.npz: the disk is full; make room and run again"),
        (noted(ValueError("why"), "a\nb", "c"), "why\n  a\\nb\n  c"),
    ],
    ids=repr,
)  # fmt: skip
def test_errors_in_words(error, words):
    assert errors.in_words(error) == words


def test_a_students_commands_load_nothing_else():
    """`assignment` alone: the library may be wrong or unwritten."""
    assert main.families("assignment") == (assignment,)
    assert [action.dest for action in commands(main.parser("assignment"))] == ["assignment"]
    asked, of = [], main.families
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "families", lambda command: asked.append(command) or of(command))
        assert main.parsed(["assignment", "submit", "--partial"]).partial
    assert asked == ["assignment"]


def commands(parser):
    """What the help says of each command."""
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return subparsers._choices_actions


def test_everything_has_a_help_text():
    """A command's is the first line of what its page begins with; every option says what it does."""
    subparsers = next(a for a in main.parser()._actions if isinstance(a, argparse._SubParsersAction))
    for action in commands(main.parser()):
        parser = subparsers.choices[action.dest]
        about = parser.description
        assert about[0].isupper() and action.help == about[0].lower() + about[1:].removesuffix("."), action.dest
        assert parser.formatter_class is options.Help
    inner = next(a for a in subparsers.choices["assignment"]._actions if isinstance(a, argparse._SubParsersAction))
    for name, parser in (subparsers.choices | inner.choices).items():
        silent = [a.dest for a in parser._actions if not (a.help or isinstance(a, argparse._SubParsersAction))]
        assert not silent, f"{name}: {silent}"


def test_defaults_are_shown_where_there_are_any():
    shown = options.Help("snippets")
    for default, told in ((None, ""), ([], ""), ("", ""), (False, ""), (True, "D"), (0, "D"), (0.5, "D"), ("a", "D")):
        action = argparse.Action(["--x"], "x", default=default, help="what")
        assert shown._get_help_string(action) == "what" + (" (default: %(default)s)" if told else ""), default


def test_processes_that_compute_videos(monkeypatch):
    """One for each core, or for each GPU; as many as are asked for."""
    monkeypatch.setattr(options, "usable_cores", lambda: 6)
    for workers, device, found in ((None, "cpu", 6), (None, "cuda:1", 1), (3, "cpu", 3), (3, "cuda", 3)):
        assert options.executor(SimpleNamespace(ray=None, workers=workers), device) == options.Processes(found)
    assert options.executor(SimpleNamespace(ray=None, workers=None)) == options.Processes(6)
    found = options.executor(SimpleNamespace(ray="head:1", workers=None), "cuda:1")
    assert found == options.RayTasks("head:1", "cuda:1") == options.ray_tasks(SimpleNamespace(ray="head:1"), "cuda:1")


def test_factors_of_groups():
    assert options.lr_groups(["a/=0.5", "b=c=2"], ["a/", "d"]) == {"a/": 0.0, "b=c": 2.0, "d": 0.0}
    for text in ("a", "=1", "a=", "a=x"):
        with pytest.raises(ValueError, match=f"^--lr-group {text}: expected PREFIX=FACTOR"):
            options.lr_groups([text], [])


def test_where_ray_is(capsys):
    for text in ("head:1", "10.9.0.1:6379", options.HERE):
        assert options.address(text) == text
    for text in ("data", "data/a:1", "head:", "head:x", "he ad:1"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no HEAD:PORT"):
            options.address(text)


KINDS = {  # endings, one of them in capitals, and how a file begins that may be replaced
    Archive: (("npz", "NPZ"), [b"PK"]), Picture: (("png", "EPS", "jpeg"), [b""]), Film: (("mp4", "avi", "svg"), [b""]),
    Json: (("json", "txt"), [b"{"]), Html: (("html",), [b"<!doctype html>"]), SkipList: (("txt", "csv"), [b"#"]),
    Table: (("csv", "json"), [b"video,", b"{"]), Predicted: (("npz", "csv", "json"), [b"PK", b"video,", b"{"]),
    Output: (("any",), [b""]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_which_files_a_command_replaces(tmp_path, kind):
    """Its own, empty ones and none; a name says what is written where it matters."""
    endings, beginnings = KINDS[kind]
    for ending in endings:
        path = tmp_path / f"a.{ending}"
        for content in (None, b"", *(begin + b" and more" for begin in beginnings)):
            if content is not None:
                path.write_bytes(content)
            check_outputs(SimpleNamespace(out=kind(path)))
        path.write_bytes(b"\0something else")
        if beginnings != [b""]:
            with pytest.raises(
                ValueError, match=f"--out-file .*a.{ending} exists, and this command writes no such file"
            ):
                check_outputs(SimpleNamespace(out_file=kind(path)))
    if kind.endings:
        with pytest.raises(ValueError, match=f"expected a name that ends in \\{kind.endings[0]}"):
            check_outputs(SimpleNamespace(out=kind(tmp_path / "a.doc")))


def test_inputs_of_every_fold_are_kept(tmp_path, monkeypatch):
    """By whatever name, as one of a list of files, and where a run writes its folds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for n in range(5):
        args = SimpleNamespace(init=Input("x{fold}.npz"), out=Archive(f"sub/../x{n}.npz"))
        if n in (1, 2, 3):
            with pytest.raises(
                ValueError, match=f"^--out sub/../x{n}.npz would overwrite x{n}.npz, which this command"
            ):
                check_outputs(args)
        else:
            check_outputs(args)
    for product in ("checkpoint.npz", "best.npz", "log.jsonl", "predictions.npz"):
        for place in ("run", "run/fold1", "run/fold2", "run/fold3"):
            args = SimpleNamespace(files=["a.npz", Input("b.npz"), Input(f"{place}/{product}")], out=RunFolder("run"))
            with pytest.raises(ValueError, match=f"^--out run would overwrite {place}/{product}"):
                check_outputs(args)
    check_outputs(SimpleNamespace(files=[Input("run/fold4/best.npz"), Input("run/other.npz")], out=RunFolder("run")))
    check_outputs(SimpleNamespace(files=[Input("run/best.npz")], out=Folder("run"), others=["run"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sub"]


def test_a_disk_without_a_block_is_told_before_the_work(tmp_path, monkeypatch):
    """What is tried is written, for some disks take a file and no content."""

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def write(self, content):
            raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("snippets.training.cli.files.tempfile.TemporaryFile", lambda dir: Full())
    with pytest.raises(OSError, match=f"{tmp_path / 'a.npz'} cannot be written there: no space") as info:
        check_outputs(SimpleNamespace(out=Archive(tmp_path / "a.npz")))
    assert (info.value.errno, info.value.filename) == (errno.ENOSPC, str(tmp_path))


def test_a_folder_is_writable_or_refused_and_nothing_is_left_in_it(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "new" / "run"):
        assert writable(folder) == folder
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(NotADirectoryError, match="not a folder, so .* cannot be written"):
            writable(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_was_typed_is_told_from_what_a_preset_says(tmp_path):
    """A preset may be one for several heads: only what was typed is refused where nothing reads it."""
    (tmp_path / "mine.toml").write_text("units = 4\nfc = 3\n")
    preset = ["train", "f.npz", "--preset", str(tmp_path / "mine.toml")]
    for typed, fc in (([], 3), (["--fc", "5"], 5)):
        args = main.parsed([*preset, *typed])
        assert (args.units, args.fc, set(args.typed)) == (4, fc, {"fc"} if typed else set())
    assert not hasattr(main.parsed(["train", "f.npz", "--fc", "5"]), "typed")
