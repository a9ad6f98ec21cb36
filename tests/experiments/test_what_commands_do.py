"""How commands are run: with which log, threads, processes and hosts, and what is said while they run."""

import io
import os
import re
import time
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from snippets.training.experiments import runner
from snippets.training.experiments.runner import Step, Steps, command, do_step, done_step, run, training_command


def touch(arguments):
    """An `execute` that makes what its last word names."""
    print("a line")
    Path(arguments[-1]).touch()


@pytest.mark.parametrize("ray, workers, count, together", [
    (None, 1, 2, False), (None, 2, 1, False), (None, 2, 2, True), ("ray", 1, 1, True), (None, 0, 2, False),
])  # fmt: skip
def test_commands_run_side_by_side_where_that_is_asked_and_there_are_two(
    ray, workers, count, together, monkeypatch, tmp_path, capsys
):
    """Of those that are not done, each once."""
    told = []
    monkeypatch.setattr(runner, "side_by_side", lambda *args: told.append(args) or [(61.26, "p"), (0.04, "q")])
    monkeypatch.setattr(runner, "run_one", lambda how, c: told.append((how, c)) or (1234.56, "p"))
    some = [command("make", tmp_path / name, product=tmp_path / name) for name in "abc"[: count + 1]]
    some[0].product.touch()
    run([*some, some[-1]], "execute", "log", workers, ray)
    if together:
        assert told == [(some[1:], ("execute", "log"), workers, ray)]
        assert capsys.readouterr().out == "   61.3 s  p\n    0.0 s  q\n"
    else:
        assert told == [(("execute", "log"), c) for c in some[1:]]
        assert capsys.readouterr().out == " 1234.6 s  p\n" * count


def test_folders_are_made_for_products_and_logs(tmp_path):
    """Where they are not there yet; a second command finds them."""
    log = tmp_path / "logs" / "of" / "all.txt"
    some = [command("make", p, product=p) for p in (tmp_path / "deep" / "down" / name for name in "ab")]
    run(some, touch, log)
    assert all(c.done for c in some) and log.read_text() == "".join(f"{c}\na line\n" for c in some)
    no_product = command("features", tmp_path / "new", product=None)
    assert not no_product.done
    run([no_product, no_product], touch, log)
    assert (tmp_path / "new").exists()  # and its absence is no error


class Screen(io.StringIO):
    """Notes what has been written when it is flushed."""

    flushed = ""

    def flush(self):
        self.flushed = self.getvalue()


def test_what_is_done_is_told_at_once(tmp_path, monkeypatch):
    """Whoever reads through a pipe, or the log while a command runs, sees it then; BLAS has one thread."""
    limits, seen, screen, log = [], [], Screen(), tmp_path / "log.txt"
    monkeypatch.setattr(runner, "threadpool_limits", lambda *args: limits.append(args) or nullcontext())

    def execute(arguments):
        seen.append((screen.flushed, log.read_text().splitlines()[-1]))
        touch(arguments)

    a, b = (command("make", tmp_path / name, product=tmp_path / name) for name in "ab")
    with redirect_stdout(screen):
        run([a, b], execute, log)
    (nothing, first), (told, second) = seen
    assert (nothing, first, second) == ("", str(a), str(b)) and limits == [(1, "blas")] * 2
    assert re.fullmatch(rf" +\d\.\d s  {re.escape(str(a.product))}\n", told)
    assert screen.flushed == screen.getvalue() != told


@pytest.mark.parametrize("place", ["", "fold1", "fold2", "fold3"])
@pytest.mark.parametrize("name", ["checkpoint.npz", "heads.json"])
def test_a_training_is_taken_up_where_one_of_its_files_is(place, name, tmp_path):
    training = training_command("DATA", out=tmp_path)
    (tmp_path / place).mkdir(exist_ok=True)
    for other in ("fold0", "fold4"):
        (tmp_path / other).mkdir()
        (tmp_path / other / name).touch()
    assert not training.begun and not replace(training, folder=None).begun
    (tmp_path / place / name).touch()
    assert training.begun


def test_of_an_option_that_is_there_twice_the_last_one_counts():
    made = command("do", "DATA", "--a 1 2 --b", None, 3, "--a=5", "--c 'x y'", "--b 4", product=None)
    assert made.arguments == ("do", "DATA", "--a=5", "--b", "4", "--c", "x y")


def test_on_ray_features_take_all_hosts_and_others_one_core_each(monkeypatch, tmp_path):
    """Stage by stage; features print to the screen, and no mark is made where there is nothing but features."""
    told = []

    class Ray:
        address = "head:1"

        def map(self, *args):
            told.append(args)
            return [(1.0, step.path) for step in args[2]]

    monkeypatch.setattr(runner, "mark_in", lambda folder: told.append(folder) or nullcontext("mark"))
    monkeypatch.setattr(runner, "run_one", lambda how, c: told.append((how, c)) or (2.0, c.product))
    train = [training_command("DATA", "--seed", n, out=tmp_path / f"{n}") for n in (0, 1)]
    features = command("features", "DATA", "--model", tmp_path / "0" / "c.npz", product=tmp_path / "f.npz")
    found = list(runner.side_by_side([*train, features], ("execute", tmp_path / "log"), 5, Ray()))
    asked = replace(features, arguments=(*features.arguments, "--ray", "head:1"))
    steps = [Step(c.product, str(c.product), c) for c in train]
    how = Steps(("execute", tmp_path / "log"), os.getcwd(), "mark")
    assert told == [tmp_path, (do_step, how, steps, done_step), (("execute", None), asked)]
    assert found == [(1.0, train[0].product), (1.0, train[1].product), (2.0, features.product)]
    told.clear()
    monkeypatch.setattr(runner, "in_processes", lambda *args: told.append(args) or [])
    list(runner.side_by_side([*train, features], ("execute", None), 5, None))
    assert told == [
        (runner.run_one, ("execute", None), train, 5), (("execute", None), features),
        (runner.run_one, ("execute", None), [], 5),
    ]  # fmt: skip


def step_in(tmp_path, monkeypatch, execute):
    """What a command's step on a host needs: the folder "here", which is not where the process stands."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    steps = Steps((execute, None), str(tmp_path / "here"), tmp_path / "mark")
    made = command("make", "made", product=Path("made"))
    return steps, Step(made.product, "made", made)


def test_a_step_says_that_it_goes_on_until_it_is_done(tmp_path, monkeypatch):
    """Each second, and in the end what it took."""
    steps, step = step_in(tmp_path, monkeypatch, touch)
    steps.mark.touch()
    waited, wait = [], runner.wait

    def patient(futures, timeout):
        waited.append(timeout)
        return SimpleNamespace(done=set()) if len(waited) < 3 else wait(futures, 10)

    monkeypatch.setattr(runner, "wait", patient)
    threads = []
    thread = runner.threading.Thread
    monkeypatch.setattr(runner.threading, "Thread", lambda **how: threads.append(how["daemon"]) or thread(**how))
    *first, last = found = list(do_step(steps, step))
    assert len(first) == 2 and waited == [1, 1, 1] and all(0 <= seconds < 60 for seconds in found)
    assert threads == [True]  # it does not keep a process alive that is told to end
    assert (tmp_path / "here" / "made").exists() and done_step(step, found) == (last, Path("made"))


def test_a_step_waits_for_the_folder_of_all_hosts(tmp_path, monkeypatch):
    """So long as it takes to be seen, looking ten times a second; a mark that comes in time is enough."""
    steps, step = step_in(tmp_path, monkeypatch, touch)
    clock, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        clock[0] += seconds
        if len(slept) == appears:
            steps.mark.touch()

    monkeypatch.setattr(
        runner, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep, perf_counter=time.perf_counter)
    )
    monkeypatch.setattr(runner, "SEEN", 1.0)
    appears = 9
    assert len(list(do_step(steps, step))) >= 1 and slept == [0.1] * 9
    steps.mark.unlink()
    slept.clear()
    appears = 99
    with pytest.raises(OSError, match=f"does not see {re.escape(str(tmp_path))}: share that folder"):
        next(do_step(steps, step))
    assert 10 <= len(slept) <= 12


def test_what_is_wrong_with_a_step_is_its_error(tmp_path, monkeypatch):
    def broken(arguments):
        raise ValueError("not so")

    steps, step = step_in(tmp_path, monkeypatch, broken)
    steps.mark.touch()
    with pytest.raises(ValueError, match="not so") as found:
        list(do_step(steps, step))
    assert found.value.__notes__ == [f"on host {runner.socket.gethostname()}"]
