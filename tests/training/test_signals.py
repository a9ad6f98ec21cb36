"""Ctrl-C and SIGTERM: held back where they must be, and alike everywhere else."""

import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from snippets.data.features import save_features
from snippets.training.checkpoint import load
from snippets.training.interrupts import defer_interrupt, stoppable


def test_defer_interrupt_holds_an_interrupt_back_and_works_in_threads():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with defer_interrupt():
            signal.raise_signal(signal.SIGINT)
            done.append("block")
        done.append("after")
    assert done == ["block"]

    def work():
        with defer_interrupt(), stoppable() as came:
            done.append(came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["block", []]


def test_sigterm_is_ctrl_c_also_where_a_shell_has_made_the_process_deaf_to_that():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for deaf in (False, True):
        if deaf:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with pytest.raises(KeyboardInterrupt), stoppable() as came:
                signal.raise_signal(signal.SIGTERM)
            assert came == [signal.SIGTERM]
        finally:
            signal.signal(signal.SIGINT, before[0])
    done = []
    with pytest.raises(KeyboardInterrupt), stoppable(), defer_interrupt():
        signal.raise_signal(signal.SIGTERM)
        done.append("block")
    assert done == ["block"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_handlers_of_others_are_asked_and_put_back():
    """Of Ctrl-C the one that is there, as if it had been pressed; both signals have theirs again afterwards."""
    came, before = [], {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def theirs(number, frame):
        came.append((number, frame is not None))

    try:
        for number in before:
            signal.signal(number, theirs)
        with stoppable() as stopped:
            signal.raise_signal(signal.SIGTERM)
        assert stopped == [signal.SIGTERM] and came == [(signal.SIGINT, True)]
        with defer_interrupt() as held:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert held == [True, True] and len(came) == 1
        assert len(came) == 2  # once, however often it was pressed
        assert {signal.getsignal(number) for number in before} == {theirs}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once")
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_saves_and_tells_how_to_go_on(tmp_path, number, status):
    feat = np.random.default_rng(0).standard_normal((6, 4, 3)).astype(np.float32)
    save_features(tmp_path / "f.npz", feat, [1, 2] * 3, [0, 0, 0, 0, 1, 1])
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); " \
        "from snippets.training.cli.main import main; sys.exit(main(sys.argv[1:]))"  # fmt: skip
    words = f"train {tmp_path}/f.npz --head lstm --units 4 --depth 1 --epochs 1000000 --out {tmp_path}/run"
    run = subprocess.Popen(
        [sys.executable, "-c", program, *words.split()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    for line in run.stderr:  # carriage returns end lines, too
        if "epoch 2/" in line:
            break
    run.send_signal(number)
    _, err = run.communicate()
    assert run.returncode == status, err
    assert "stopped after step" in err and "run again with resume" in err and "Traceback" not in err
    assert load(tmp_path / "run" / "checkpoint.npz").steps >= 1
    assert not list(tmp_path.rglob("*.tmp"))
