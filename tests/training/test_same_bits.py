"""One seed, one result, to the last bit: on any number of threads, in any memory, after a fork."""

import multiprocessing
import os
import threading
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
from contract import assert_same_bits
from threadpoolctl import threadpool_limits

from snippets.nets.frames import one_blas_thread
from snippets.nets.inspect.memory import StepMemory, plan_memory
from snippets.nets.streaming.stream import stream
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.checkpoint import load
from snippets.training.loop import train
from snippets.training.settings import Settings

TOWER = NetConfig(3, "alexnet", "lstm", 6, 36, width=0.1, fc=16, units=8, depth=2)
HEAD = NetConfig(3, "features", "conv", 4, features=1000, fc=512)  # products that BLAS cuts up for two threads


class Clips:
    """Random clips."""

    def __init__(self, config, V=7):
        self.shape, self.labels = input_shape(config)[1:], np.arange(V) % 3
        self.classes, self.names = list("abc"), [str(i) for i in range(V)]

    def __len__(self):
        return len(self.labels)

    def train_clip(self, i, rng):
        return rng.standard_normal(self.shape, np.float32)


def trained(config, cores=1, blas=1, way=0, **how):
    """Parameters and history after two epochs. way: of the plans of a step, from the fastest to the smallest."""
    net, shape = build(config, 0, threads=cores), input_shape(config, 4)
    step = StepMemory(net, shape)
    ways = [(cores, False), *((k, True) for k in range(cores, 0, -1))] if config is TOWER else [()]
    plan_memory(net, shape, sum(step.parts(*ways[min(way, len(ways) - 1)]).values())).apply(net)
    with threadpool_limits(blas, "blas"):
        history = train(net, Clips(config), Settings(2, 4, 0.05, clip_norm=1.0), progress=False, **how)
    return net.params, [record["loss"] for record in history]


@pytest.mark.parametrize(
    "config, options",
    [
        (TOWER, dict(cores=2)), (TOWER, dict(cores=4, blas=2)), (TOWER, dict(cores=4, way=1)),
        (TOWER, dict(cores=4, way=3, blas=4)), (TOWER, dict(cores=2, way=9)), (TOWER, dict(workers=3)),
        (HEAD, dict(blas=2)), (HEAD, dict(blas=4)),
    ],
    ids=lambda value: value.tower if isinstance(value, NetConfig) else " ".join(f"{k} {v}" for k, v in value.items()),
)  # fmt: skip
def test_threads_and_memory_change_no_bit_of_a_training(config, options):
    params, losses = trained(config)
    others, other_losses = trained(config, **options)
    assert losses == other_losses
    for key, value in params.items():
        assert_same_bits(others[key], value, key)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_change_no_bit_of_a_whole_video(threads):
    x = np.random.default_rng(0).standard_normal((90, 36, 36, 3), np.float32)
    config, answers = replace(TOWER, fc=1000, units=33, depth=1), []  # its products round by their number of rows
    for count, blas in ((1, 1), (threads, 2)):
        with threadpool_limits(blas, "blas"):
            answers.append(stream(build(config, 0, threads=count), [x]))
    assert_same_bits(answers[1], answers[0], "probabilities")


def predicted(seed):
    return build(TOWER, 0, threads=2).predict(np.random.default_rng(seed).random(input_shape(TOWER, 4), np.float32))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_after_a_forward_pass_can_make_one_too():
    wanted = predicted(0)  # which starts the tower's threads
    with warnings.catch_warnings(), one_blas_thread.lock:  # which another thread may hold in the moment of a fork
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks where there are threads
        pool = multiprocessing.get_context("fork").Pool(1)
    try:
        assert_same_bits(pool.apply_async(predicted, [0]).get(timeout=600), wanted, "scores in a child")
    finally:
        pool.terminate()
    assert_same_bits(predicted(0), wanted, "scores in the parent, after the fork")


def test_two_threads_of_a_program_may_predict_at_once():
    predict = one_blas_thread(predicted)
    wanted, found = predict(0), {}
    with threadpool_limits(2, "blas"):
        threads = [threading.Thread(target=lambda i=i: found.update({i: predict(0)})) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for i in range(3):
        assert_same_bits(found[i], wanted, f"scores of thread {i}")


def test_numpy_numbers_are_settings_like_others(tmp_path):
    plain = dict(epochs=1, batch=4, lr=0.25, momentum=0.5, clip_norm=1.5, decay_biases=True, seed=3)
    sorts = dict(epochs=np.int64, batch=np.int32, lr=np.float32, momentum=np.float64, clip_norm=np.float16)
    numpy = {name: sorts.get(name, type(value))(value) for name, value in plain.items()} | {
        "decay_biases": np.bool_(True), "seed": np.uint8(3), "groups": {np.str_("lstm1/"): np.float32(0.5)},
    }  # fmt: skip
    assert Settings(**numpy) == Settings(**plain, groups={"lstm1/": 0.5})
    config = NetConfig(np.int64(3), "features", "lstm", np.int16(4), features=np.int64(5), units=np.int8(6), depth=1)
    how = dict(config=asdict(config), fold=np.int64(2), data={"mean": np.ones(3, np.float32)}, progress=False)
    runs = []
    for folder, settings in (("numpy", Settings(**numpy)), ("plain", Settings(**plain, groups={"lstm1/": 0.5}))):
        net = build(config, 0)
        train(net, Clips(config), settings, folder=tmp_path / folder, **how)
        runs.append(load(tmp_path / folder / "checkpoint.npz"))
        more = Settings(**{**asdict(settings), "epochs": np.int64(2)})
        assert len(train(net, Clips(config), more, folder=tmp_path / folder, resume=True, **how)) == 2
    assert runs[0].settings == runs[1].settings and runs[0].fold == 2 and runs[0].data == {"mean": [1.0, 1.0, 1.0]}
    for key, value in runs[0].params.items():
        assert_same_bits(runs[1].params[key], value, key)
