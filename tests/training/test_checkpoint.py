"""Checkpoints: what goes in comes out, and whatever goes wrong is named and costs nothing."""

import dataclasses
import errno
import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from snippets.training.checkpoint import Checkpoint, CheckpointError, check_fits, load, load_into, save


@pytest.fixture
def state(rng):
    params = {
        "tower/conv1/W": rng.standard_normal((3, 4)).astype(np.float32),
        "fc/b": np.array([np.nan, -0.0, np.inf]),
        "lstm1/W_c": np.zeros((3, 0), np.float64),
    }
    return Checkpoint(
        params, {"tower/conv1/W": rng.standard_normal((3, 4)).astype(np.float32)},
        config={"tower": "alexnet", "width": 0.25}, settings={"lr": 0.1, "groups": {"tower/": 0.1}},
        data={"mean": 127.5}, classes=["Archery", "Čelo"], fold=2, seed=7, videos=9, epoch=3, step=4, steps=31,
        partial={"loss": 0.1 + 0.2}, history=[{"epoch": 1, "test": {"hit1": 1 / 3}}],
    )  # fmt: skip


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_everything_comes_back_bit_for_bit(state, tmp_path):
    path = tmp_path / "runs" / "a.npz"
    save(path, state)
    back = load(path)
    for part in ("params", "velocity"):
        ours, theirs = getattr(state, part), getattr(back, part)
        assert list(ours) == list(theirs)
        for key in ours:
            assert (ours[key].dtype, ours[key].shape, ours[key].tobytes()) == (
                theirs[key].dtype, theirs[key].shape, theirs[key].tobytes(),
            )  # fmt: skip
    rest = [f.name for f in dataclasses.fields(Checkpoint)][2:]
    assert {name: getattr(state, name) for name in rest} == {name: getattr(back, name) for name in rest}
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]  # no temporary file is left


def test_a_full_disk_leaves_the_old_checkpoint(state, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    save(path, state)
    before = contents(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    state.epoch = 4
    with pytest.raises(OSError, match=r"disk full while writing \(.* unharmed;.*a\.npz") as caught:
        save(path, state)
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="nothing was written"):
        save(tmp_path / "new.npz", state)
    monkeypatch.undo()
    assert contents(tmp_path) == before
    assert load(path).epoch == 3


def test_a_real_limit_on_file_size_leaves_the_old_checkpoint(tmp_path):
    pytest.importorskip("resource", reason="limits of processes are a POSIX matter")
    program = """
import resource, signal, sys
import numpy as np
from snippets.training.checkpoint import Checkpoint, load, save
path = sys.argv[1]
save(path, Checkpoint({"W": np.zeros(10)}, epoch=3))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    save(path, Checkpoint({"W": np.zeros(1_000_000)}, epoch=4))
except OSError as error:
    print(error)
print(load(path).epoch)
"""
    run = [sys.executable, "-c", program, tmp_path / "a.npz"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "unharmed" in done.stdout and done.stdout.endswith("3\n")
    assert done.stderr == ""
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_an_interrupted_write_leaves_the_old_checkpoint(state, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    save(path, state)
    before = contents(tmp_path)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(path, state)
    assert contents(tmp_path) == before


def test_objects_are_never_pickled(state, tmp_path):
    state.params["fc/b"] = np.array([{}], dtype=object)
    with pytest.raises(ValueError, match="fc/b' is of object, expected numbers or text"):
        save(tmp_path / "a.npz", state)
    assert contents(tmp_path) == {}
    np.savez(tmp_path / "evil.npz", about=np.array([print], dtype=object))
    with pytest.raises(CheckpointError, match="more than plain arrays"):
        load(tmp_path / "evil.npz")


def test_files_that_are_no_checkpoint_are_named(state, tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*a\.npz: it is not there"):
        load(path)
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        load(tmp_path)
    for junk in (b"", b"not a zip at all"):
        path.write_bytes(junk)
        with pytest.raises(CheckpointError, match="not an .npz file"):
            load(path)
    np.savez(path, feat=np.zeros(3))
    with pytest.raises(CheckpointError, match="no array 'about', found"):
        load(path)
    np.savez(path, about=np.array('{"format": "snippets checkpoint 99"}'))
    with pytest.raises(CheckpointError, match="format is 'snippets checkpoint 99', expected 'snippets checkpoint 1'"):
        load(path)


def test_every_truncation_and_a_flipped_bit_are_noticed(state, tmp_path):
    path = tmp_path / "a.npz"
    save(path, state)
    whole = path.read_bytes()
    for length in range(2, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="cut short"):
            load(path)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        start = archive.getinfo("params/tower/conv1/W.npy").header_offset
    at = whole.index(state.params["tower/conv1/W"].tobytes(), start)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(CheckpointError, match="damaged"):
        load(path)


def test_a_checkpoint_without_parameters_or_fields_is_incomplete(state, tmp_path):
    path = tmp_path / "a.npz"
    save(path, dataclasses.replace(state, params={}))
    with pytest.raises(CheckpointError, match="lacks parameters"):
        load(path)
    np.savez(path, about=np.array('{"format": "snippets checkpoint 1", "epoch": 1}'), **{"params/W": np.zeros(1)})
    with pytest.raises(CheckpointError, match="lacks classes, config, data, fold"):
        load(path)


def test_load_into_copies_in_place_and_refuses_another_architecture(state):
    params = {key: np.zeros_like(a) for key, a in state.params.items()}
    arrays = dict(params)
    load_into(params, state.params)
    for key, a in params.items():
        assert a is arrays[key] and a.tobytes() == state.params[key].tobytes()
    other = {"tower/conv1/W": np.zeros((3, 5)), "fc/b": np.zeros(3), "lstm2/W_c": np.zeros(2)}
    with pytest.raises(CheckpointError, match="another architecture") as caught:
        load_into(other, state.params)
    for words in (
        "tower/conv1/W: (3, 4) there, (3, 5) here",
        "W_c: absent there, (2,) here",
        "W_c: (3, 0) there, absent",
    ):
        assert words in str(caught.value)
    assert all((a == 0).all() for a in other.values())  # refused as a whole
    with pytest.raises(CheckpointError, match="and 15 more"):
        load_into({str(i): np.zeros(1) for i in range(20)}, {})


def test_another_fold_class_list_or_pixel_scale_is_refused(state):
    check_fits(state, fold=2, classes=("Archery", "Čelo"), data={"mean": 127.5})
    with pytest.raises(CheckpointError, match="a.npz was trained with fold 2, this run has 1; it has seen test videos"):
        check_fits(state, "a.npz", fold=1)
    with pytest.raises(CheckpointError, match=r"classes \['Archery', 'Čelo'\], this run has \['Archery'\]"):
        check_fits(state, classes=["Archery"])
    with pytest.raises(CheckpointError, match=r"settings \{'lr': 0.1\}, this run has \{'lr': 0.2\}"):
        check_fits(state, settings={"lr": 0.2, "groups": {"tower/": 0.1}})
