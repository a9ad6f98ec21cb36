"""One vector and its views: the same memory, the same numbers, the same training."""

import numpy as np
import pytest

from snippets.nets.zoo import NetConfig, build
from snippets.training.objective import loss_and_gradient
from snippets.training.parameters import empty_like, flatten, move_to_device, pack_parameters, slices, views
from snippets.training.sgd import SGD

CONFIG = NetConfig(4, frames=3, size=36, width=1 / 12, fc=6, dropout=0.0)


def test_slices_follow_the_keys_and_views_share_memory(rng):
    arrays = {"a": rng.random((2, 3)), "b": rng.random(()), "c": rng.random((0, 5)), "d": rng.random(4)}
    where, vector = slices(arrays), flatten(arrays)
    assert where == {"a": slice(0, 6), "b": slice(6, 7), "c": slice(7, 7), "d": slice(7, 11)} and vector.size == 11
    np.testing.assert_array_equal(vector[where["d"]], arrays["d"])
    parts = views(vector, arrays)
    assert {key: a.shape for key, a in parts.items()} == {key: a.shape for key, a in arrays.items()}
    parts["a"] += 1
    np.testing.assert_array_equal(vector[:6].reshape(2, 3), arrays["a"] + 1)  # the vector changed, its source did not
    assert (empty_like(arrays, 0.5) == 0.5).all() and flatten(arrays, out=vector) is vector


def test_a_net_in_one_vector_trains_to_the_same_bits(rng):
    x, labels = rng.standard_normal((2, 3, 36, 36, 3), dtype=np.float32), np.array([1, 3])
    plain, flat = build(CONFIG, seed=1), build(CONFIG, seed=1)
    vector = pack_parameters(flat)
    assert list(flat.params) == list(plain.params)
    for net in (plain, flat):
        opt = SGD(net.params, 0.1)
        for _ in range(2):
            opt.step(loss_and_gradient(net, x, labels)[3])
    assert vector.tobytes() == flatten(plain.params).tobytes()
    assert all(np.shares_memory(a, vector) for a in flat.params.values())
    vector[:] = 0  # what is written into the vector is what the layers compute with
    assert not flat.predict(x).any()


def test_mixed_dtypes_are_refused():
    with pytest.raises(TypeError, match="found float32, float64; convert"):
        flatten({"a": np.ones(2), "b": np.ones(2, np.float32)})
    with pytest.raises(TypeError, match="found no array at all; convert"):
        flatten({})


def test_some_parameters_are_packed_and_the_others_stay():
    net = build(CONFIG, seed=1)
    before = dict(net.params)
    vector = pack_parameters(net, {"scores/W", "scores/b"})
    assert vector.size == before["scores/W"].size + before["scores/b"].size
    for key, a in net.params.items():
        np.testing.assert_array_equal(a, before[key])
        assert (a is before[key]) != np.shares_memory(a, vector) == key.startswith("scores/")


def test_a_net_on_the_cpu_is_left_as_it_is():
    """Neither packed into one vector, nor given the GPU's number of frames at a time."""
    net = build(CONFIG, seed=1, chunk=2)
    before = dict(net.params)
    assert move_to_device(net, "cpu") is net and net.layers["tower"].chunk == 2
    assert all(net.params[key] is a for key, a in before.items())
