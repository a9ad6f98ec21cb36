"""Commands in a row: each done once, taken up where it stopped, and what they print kept."""

import os
from pathlib import Path

import pytest

from snippets.training.experiments.runner import command, run, stages, training_command


def executing(told):
    """An `execute` that notes its arguments, prints, and leaves the product that they name behind."""

    def execute(arguments):
        told.append(arguments)
        print("a line of output")
        if "nothing" not in arguments:
            open(arguments[-2] if "--resume" in arguments else arguments[-1], "w").close()

    return execute


def test_each_command_is_done_once_and_told(tmp_path, capsys):
    told, log = [], tmp_path / "logs" / "all.txt"
    first, second = (command("make", None, "--n 3", "--out", p, product=p) for p in (tmp_path / "a", tmp_path / "b c"))
    assert str(second) == f"snippets make --n 3 --out '{tmp_path / 'b c'}'"
    run([first, second, first], executing(told), log)
    assert told == [["make", "--n", "3", "--out", str(p)] for p in (tmp_path / "a", tmp_path / "b c")]
    out, err = capsys.readouterr()
    assert out.count("\n") == 2 and str(tmp_path / "b c") in out and "a line of output" not in out + err
    assert log.read_text() == f"{first}\na line of output\n{second}\na line of output\n"
    run([first, second], executing(told), log)
    assert len(told) == 2
    first.product.unlink()
    run([first], executing(told))
    out, err = capsys.readouterr()
    assert err == f"{first}\n" and out.startswith("a line of output\n")


def test_a_training_goes_on_from_its_checkpoint(tmp_path):
    told, one = [], training_command("f.npz", "--fold", "all", out=tmp_path / "run", product="p.npz")
    (tmp_path / "run" / "fold2").mkdir(parents=True)
    assert not one.begun and one.product == tmp_path / "run" / "p.npz"
    (tmp_path / "run" / "fold2" / "checkpoint.npz").touch()
    assert one.begun
    with pytest.raises(FileNotFoundError, match=r"train f.npz --fold all --out .*run ended without .*p.npz"):
        run([one], lambda arguments: told.append(arguments))
    assert told == [["train", "f.npz", "--fold", "all", "--out", str(tmp_path / "run"), "--resume"]]
    heads = training_command("f.npz", "--heads lstm", out=tmp_path / "heads", product="model.npz")
    (tmp_path / "heads").mkdir()
    assert not heads.begun
    (tmp_path / "heads" / "heads.json").touch()
    assert heads.begun


def touch(arguments):
    """An `execute` for another process."""
    open(arguments[-1], "w").close()


def test_commands_in_processes(tmp_path, capsys):
    some = [command("make", "--out", tmp_path / name, product=tmp_path / name) for name in "abc"]
    some[0].product.touch()
    run(some, touch, tmp_path / "log.txt", workers=2)
    assert all(c.product.exists() for c in some)
    assert capsys.readouterr().out.count("\n") == 2
    assert sorted((tmp_path / "log.txt").read_text().splitlines()) == [str(c) for c in some[1:]]


def test_stages_hold_commands_that_do_not_need_each_other(tmp_path):
    """A command needs what makes a file or a folder among its words, and what keeps features of a model among them."""
    single, other = (training_command("data", "--seed", n, out=tmp_path / f"single{n}") for n in (1, 10))
    init = "--init", f"{single.folder}/fold{{fold}}/checkpoint.npz"
    words = "features", "data", "--model", single.folder / "c.npz"
    features = command(*words, "--out", tmp_path / "f", product=tmp_path / "f")
    heads = [training_command(tmp_path / "f", out=tmp_path / name) for name in "ab"]
    some = [single, other, features, *heads, through := training_command("data", *init, out=tmp_path / "through")]
    assert stages(some) == [[single, other], [features, through], heads]
    store, model = command(*words, product=None), single.folder / "c.npz"
    reads = training_command("data", "--features-of", model, out=tmp_path / "reads")
    assert stages([single, store, other, reads]) == [[single, other], [store], [reads]]
    assert stages([heads[0], through]) == [[heads[0], through]]  # what is there already is not among them
    assert stages([]) == []


def test_stages_follow_each_other_in_processes(tmp_path, capsys):
    """Two commands, and one that needs both; features are computed here, not beside others."""
    a, b = (command("make", tmp_path / name, product=tmp_path / name) for name in "ab")
    both = command("join", a.product, b.product, tmp_path / "c", product=tmp_path / "c")
    here = command("features", a.product, tmp_path / "d", product=tmp_path / "d")
    run([a, b, both, here], join, tmp_path / "log.txt", workers=2)
    texts = [c.product.read_text() for c in (a, b, both, here)]
    assert texts[2].startswith(texts[0] + texts[1]) and texts[3] == f"{texts[0]}{os.getpid()} "
    assert str(os.getpid()) not in texts[2].split()
    assert f"{here}\n" == capsys.readouterr().err


def join(arguments):
    """An `execute` that copies files into the last one, and the number of its process."""
    *needed, made = map(Path, arguments[1:])
    made.write_text("".join(path.read_text() for path in needed) + f"{os.getpid()} ")
