"""Limits and defaults of training, by their numbers: what is just inside is taken, what is just outside is refused."""

import math
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from toy_clips import Clips, pooled

from snippets.layers.linear import Linear
from snippets.nets.frames import OverFrames
from snippets.training import parameters
from snippets.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    check_fits,
    checkpoint_of,
    difference,
    load,
    load_into,
    save,
    videos_of,
)  # fmt: skip
from snippets.training.log import Log, read_log
from snippets.training.settings import Conduct, Settings
from snippets.training.sgd import SGD, exponential, pieces, tables, vector_of

TINY = 1e-12


@pytest.mark.parametrize(
    "name, inside, outside",
    [("momentum", (0, 0.999), (-TINY, 1)), ("weight_decay", (0, 0.5, 9), (-TINY,)),
     ("clip_norm", (TINY, math.inf, None), (0,)),
     ("groups", ({"A": 0}, {"A": TINY}, {"A": 9}, {}, None), ({"A": -TINY},))],
)  # fmt: skip
def test_options_of_the_optimiser(name, inside, outside):
    for value in inside:
        SGD({"A": np.ones(1), "B": np.ones(1)}, 0.1, **{name: value})
    for value in outside:
        with pytest.raises(
            ValueError, match=r"(momentum|weight_decay|clip_norm|the factor of group 'A') is .*, expected"
        ):
            SGD({"A": np.ones(1), "B": np.ones(1)}, 0.1, **{name: value})


def test_what_the_optimiser_does_unless_it_is_told():
    """Momentum 0.9, decay 0.0005 but of no bias, no limit of the norm."""
    params = [{"W": np.full(2, 2.0), "b": np.full(2, 3.0)} for _ in range(2)]
    usual, told = SGD(params[0], 0.5), SGD(params[1], 0.5, 0.9, 0.0005, None, {}, False)
    for opt in (usual, told):
        for _ in range(2):
            opt.step({"W": np.full(2, 1e3), "b": np.full(2, -1e3)})
    assert all((params[0][key] == params[1][key]).all() for key in "Wb")
    assert usual.clip_norm is None and usual.momentum == 0.9 and usual.decays == {"W": 0.0005, "b": 0}


def test_an_update_goes_piece_by_piece_and_needs_no_new_memory():
    """Pieces of 131072 elements, of all arrays alike; arrays that are not contiguous stay whole."""
    a = np.arange(300_000.0).reshape(2, 150_000)
    cut = [[part.copy() for part in some] for some in pieces(a, a + 1)]
    assert [[len(part) for part in some] for some in cut] == [[131072] * 2, [131072] * 2, [37856] * 2]
    np.testing.assert_array_equal(np.concatenate([some[1] for some in cut]), a.ravel() + 1)
    assert [len(part) for (part,) in pieces(np.zeros(5), size=2)] == [2, 2, 1] and not list(pieces(np.zeros((0, 3))))
    for some in ((a, a.T), (a.T, a), (a[:, ::2], a[:, ::2])):
        ((one, other),) = pieces(*some)
        assert one is some[0] and other is some[1]
    params, grads = ({"W": np.full(500_000, value, np.float32)} for value in (1, 2))
    opt = SGD(params, 0.1)
    opt.step(grads)  # after the first of a thread, which leaves its scratch memory
    tracemalloc.start()
    opt.step(grads)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_a_group_of_nothing_is_told_with_what_there_is():
    with pytest.raises(ValueError) as caught:
        SGD({"tower/a/W": np.ones(1), "tower/b/W": np.ones(1), "head": np.ones(1)}, 0.1, groups={"a/": 1})
    assert str(caught.value) == "group 'a/' fits no parameter; the keys begin with tower/, head"
    SGD({"tower/a/W": np.ones(1), "head": np.ones(1)}, 0.1, groups={"tower/a": 1})  # of one of several


def test_rates_that_fall():
    for good in ((TINY, 0.5, 1), (0.5, 1, 1), (0.5, TINY, 0.5)):
        assert exponential(*good)(0) == good[0]
    for bad in ((0, 0.5, 1), (1, 0, 1), (1, 1 + 1e-9, 1), (1, 0.5, 0), (-1, 0.5, 1)):
        with pytest.raises(ValueError, match="needs lr > 0, 0 < decay <= 1 and every > 0, got"):
            exponential(*bad)


def test_parameters_of_the_update_on_a_gpu():
    """Views of one vector, and at most 16 different rates."""
    whole = np.zeros(5)
    assert vector_of({"a": whole[:2], "b": whole[2:].reshape(3, 1)}) is whole
    for params in ({"a": np.zeros(2), "b": np.zeros(3)}, {"a": np.zeros((2, 2))}, {"a": whole[:2], "b": np.zeros(3)}):
        with pytest.raises(ValueError, match="separate arrays, expected views of one vector on a GPU: call"):
            vector_of(params)
    for count in (16, 17):
        grads = {str(n): np.ones(1) for n in range(count)}
        at = {key: slice(n, n + 1) for n, key in enumerate(grads)}
        rates = {key: (float(n), 0.0) for n, key in enumerate(grads)}
        if count == 16:
            ((table, n),) = tables(grads, at, rates)
            assert n == table["count"] == 16 and sorted(table["rate"]) == list(range(16))
        else:
            with pytest.raises(ValueError, match="17 different learning rates and decays, expected at most 16"):
                list(tables(grads, at, rates))


def test_settings_of_groups_and_steps():
    for factor in (0, 0.5, 1e6):
        assert Settings(groups={"a/": factor}).groups == {"a/": factor}
    for factor in (-TINY, 1.001e6):
        with pytest.raises(ValueError, match=r"the factor of group 'a/' is .*, expected"):
            Settings(groups={"a/": factor})
    assert [Settings(batch=4).steps_per_epoch(videos) for videos in (0, 1, 4, 5, 8)] == [0, 1, 1, 2, 2]
    usual = Conduct()
    assert (usual.resume, usual.evaluate_every, usual.workers, usual.progress) == (False, 1, 0, True)
    assert (usual.ranks.rank, usual.ranks.size, usual.ranks.stop, usual.ranks.host) == (0, 1, False, usual.ranks)


# Checkpoints and logs


def test_five_of_the_keys_that_differ_are_named():
    for count, more in ((5, ""), (6, " and 1 more"), (7, " and 2 more")):
        with pytest.raises(CheckpointError) as caught:
            load_into({str(n): np.zeros(n) for n in range(count)}, {}, "velocity")
        keys = "; ".join(f"{n}: absent there, ({n},) here" for n in range(5))
        assert str(caught.value) == f"the velocity is of another architecture; {keys}{more}"


def test_a_checkpoint_at_the_start_of_a_run(tmp_path):
    data = Clips(V=3)
    found = checkpoint_of({"W": np.zeros(1)}, {"W": np.ones(1)}, data, Settings(seed=5), Conduct(fold=2))
    assert (found.config, found.data, found.fold, found.seed, found.videos) == ({}, {}, 2, 5, 3)
    assert (found.epoch, found.step, found.steps, found.classes) == (0, 0, 0, data.classes) and found.velocity["W"] == 1
    assert (Checkpoint({}).seed, Checkpoint({}).videos, Checkpoint({}).epoch, Checkpoint({}).steps) == (0, 0, 0, 0)
    given = checkpoint_of({}, {}, data, Settings(), Conduct(config={"a": 1}, data={"b": 2}))
    assert (given.config, given.data) == ({"a": 1}, {"b": 2})
    assert videos_of(data) == [["video0", 0, 0], ["video1", 1, 0], ["video2", 2, 0]]  # which have no checksums
    found.partial, found.content = {"loss": math.nan}, videos_of(data)
    save(tmp_path / "c.npz", found)
    assert math.isnan(load(tmp_path / "c.npz").partial["loss"]) and load(tmp_path / "c.npz").content == found.content


def test_how_two_lists_of_videos_differ():
    old = [["a", 0, 1], ["b", 0, 1], ["c", 0, 1], ["d", 0, 1]]
    for new, told in (
        ([["a", 0, 2], ["b", 1, 1], ["d", 0, 1], ["e", 0, 1], ["f", 0, 1]],
         "2 new (the first: e), 1 missing (the first: c), 1 of another class (the first: b), 1 changed (the first: a) "
         "of 4"),
        (old[::-1], "another order of 4"),
    ):  # fmt: skip
        assert difference(old, new) == told


def test_a_fold_that_was_none_has_seen_no_other_tests():
    for have, told in ((2, "; it has seen test videos of other folds"), (None, "")):
        with pytest.raises(CheckpointError) as caught:
            check_fits(Checkpoint({}, fold=have), fold=1)
        assert str(caught.value) == f"the checkpoint was trained with fold {have}, this run has 1{told}"
    with pytest.raises(CheckpointError, match=r"with data \{'a': 1\}, this run has None$"):
        check_fits(Checkpoint({}, data={"a": 1}), data=None)


def test_a_log_is_cut_where_the_checkpoint_ends(tmp_path):
    path = tmp_path / "new" / "folders" / "log.jsonl"
    records = [
        {"event": "start"},
        {"steps": 1},
        {"steps": 2},
        {"event": "epoch", "steps": 2},
        {"steps": 3},
        {"steps": 1},
    ]
    with Log(path) as log:
        for record in records:
            log.write(record)
            assert read_log(path)[-1] == record  # it is on the disk at once
    for keep, kept in ((9, records), (2, records[:4]), (1, records[:2]), (1, records[:2]), (0, [])):
        with Log(path, keep):
            pass
        assert read_log(path) == kept
    with Log(path) as log:
        log.write(records[0])
    with Log(path):  # as a run that starts does
        pass
    assert read_log(path) == []
    with Log(None) as log:
        log.write({"steps": 1})
    (tmp_path / "new" / "folders" / "other.jsonl").write_text('{"steps": 1}\n{"steps"')
    with Log(tmp_path / "new" / "folders" / "other.jsonl", 5) as log:
        log.write({"steps": 2})
    assert read_log(tmp_path / "new" / "folders" / "other.jsonl") == [{"steps": 1}, {"steps": 2}]


# Devices


def test_a_gpu_is_chosen_by_its_number(monkeypatch):
    used = []
    runtime = SimpleNamespace(getDeviceCount=lambda: 2, CUDARuntimeError=OSError)
    device = lambda number: SimpleNamespace(use=lambda: used.append(number))  # noqa: E731
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, Device=device))
    monkeypatch.setattr(parameters.importlib.util, "find_spec", lambda name: name == "cupy" or None)
    monkeypatch.setattr(parameters.importlib, "import_module", lambda name: cupy if name == "cupy" else None)
    assert parameters.use_device("cpu") is np and used == []
    assert [parameters.use_device(name) is cupy for name in ("cuda", "cuda:0", "cuda:1")] == [True] * 3
    assert used == [0, 0, 1]
    with pytest.raises(ValueError, match="device cuda:2: there are 2 GPUs, the first is cuda:0"):
        parameters.use_device("cuda:2")


def test_a_net_on_a_gpu_has_its_parameters_in_one_vector_and_larger_chunks(monkeypatch, rng):
    """A tower takes 64 frames at a time, be it the whole net or a part of it; a layer without parameters stays one."""
    monkeypatch.setattr(parameters, "use_device", lambda device: SimpleNamespace(asarray=np.copy))
    net = pooled()
    net.layers["tower"] = OverFrames(Linear(3, 5, rng), chunk=2)
    before = {key: a.copy() for key, a in net.params.items()}
    assert parameters.move_to_device(net, "cuda:1") is net and net.layers["tower"].chunk == 64
    assert vector_of(net.params).size == sum(a.size for a in before.values())
    for key, a in net.params.items():
        np.testing.assert_array_equal(a, before[key])
    tower = OverFrames(Linear(3, 5, rng), chunk=2)
    assert parameters.move_to_device(tower, "cuda").chunk == 64
    assert parameters.move_to_device(OverFrames(pooled().layers["pool"]), "cuda").chunk == 64
