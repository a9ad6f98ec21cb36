"""Every number that can be chosen has a range, and what is outside of it is refused before any work, by name."""

import argparse
import dataclasses
import math
import re

import numpy as np
import pytest

from snippets.data.flow.tvl1 import TVL1
from snippets.data.open import DataSettings
from snippets.data.options import Options, Range, check, option, plain
from snippets.nets.zoo import NetConfig
from snippets.training.cli.main import main, parser
from snippets.training.distributed.downpour import Downpour
from snippets.training.distributed.machines import Cluster
from snippets.training.settings import Settings

DATACLASSES = (Settings, NetConfig, DataSettings, TVL1, Downpour, Cluster)
NEEDED = {NetConfig: {"classes": 5, "tower": "googlenet", "frames": 10}}
NUMBERS = [
    (cls, field)
    for cls in DATACLASSES
    for field in dataclasses.fields(cls)
    if field.metadata.get("within") or field.type in (int, float)
]
ELSEWHERE = {"fold", "weights", "mean", "scale"}  # a fold is of the data, a list has checks of its own
MINI = {"groups", "clips", "side"}  # `data.mini.make.make_mini` says their limits
RANGES = """
    Settings: epochs [0, 1e6], batch [1, 1e9], lr (0, 1e30], decay (0, 1], momentum [0, 1), weight_decay [0, 1e3],
        clip_norm (0, inf], seed [0, 9223372036854775808]
    NetConfig: frames [1, 1e6], size [1, 1e5], width (0, 1e3], vector [1, 1e6], fc [0, 1e6], dropout [0, 1),
        tower_dropout [0, 1), units [1, 1e6], depth [1, 1e3], forget_bias [-1e3, 1e3], auxiliary [0, 1e3]
    DataSettings: fps (0, 1e3], picture_fps (0, 1e3], flow_fps (0, 1e3], bound (0, 1e4], seconds (0, 1e6],
        count [1, 1e6]
    TVL1: tau (0, 0.25], lam (0, 1e6], theta (0, 1e6], scales [1, 1e3], warps [1, 1e4], epsilon [0, 1e4],
        iterations [1, 1e6], step (0, 0.95]
    Downpour: replicas [1, 1e4], shards [1, 1e9], fetch [1, 1e9], push [1, 1e9], staleness [0, 1e9],
        warm_start_steps [0, 1e9], checkpoint_every [1, 1e9]
    Cluster: compute (0, 1e9], std [0, 10], cores [0, 1e9], hosts [0, 1e9], latency [0, 1e9], bandwidth (0, 1e18],
        message [0, 1e9], touch [0, 1e9], wake [0, 1e9], apply [0, 1e9], grow (0, 1e9],
        mtbf [0, 1e12], restart [0, 1e9], cluster_seed [0, 9223372036854775808]
"""


@pytest.mark.parametrize("cls, field", NUMBERS, ids=lambda v: getattr(v, "name", getattr(v, "__name__", None)))
def test_a_number_outside_of_its_range_is_refused(cls, field):
    for value in (math.nan, -math.inf, -1e40, 1e40, np.float32(np.nan), "12", b"1", [1], 1j, 10**40, -(10**40)):
        if field.metadata.get("choices") or (field.name == "clip_norm" and str(value) in ("1e+40", str(10**40))):
            continue  # any bound on a gradient's norm will do
        with pytest.raises(ValueError, match=rf"^{field.name} is .*expected"):
            cls(**NEEDED.get(cls, {}) | {field.name: value})
    if field.type is int and not field.metadata.get("choices"):
        for value in (1.5, np.float32(2), True, None):
            with pytest.raises(ValueError, match=f"{field.name} is .*a whole number"):
                cls(**NEEDED.get(cls, {}) | {field.name: value})


def test_the_ranges_are_these():
    """A second time, so that changing one is a decision."""
    wanted = {}
    for cls, fields in re.findall(r"(\w+): (.*?)(?=\n    \w|\n$)", RANGES, re.S):
        for name, opening, low, high, closing in re.findall(r"(\w+) ([\[(])(\S+), (\S+?)([\])])", fields):
            limits = {"least" if opening == "[" else "above": low, "most" if closing == "]" else "below": high}
            wanted[cls, name] = Range(**{key: float(limit) for key, limit in limits.items()})
    found = {(cls.__name__, field.name): field.metadata.get("within") for cls, field in NUMBERS}
    assert {key: str(within) for key, within in found.items() if within} == {k: str(w) for k, w in wanted.items()}


def test_every_number_of_the_command_line_has_a_range():
    subparsers = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    without = {
        f"{name} --{action.dest}"
        for name, sub in subparsers.choices.items()
        for action in sub._actions
        if action.type in (int, float) and not action.choices and not getattr(action, "within", None)
        and action.dest not in ELSEWHERE | (MINI if name == "make-data" else set())
    }  # fmt: skip
    assert not without


@pytest.mark.parametrize("name", ["mean", "scale"])
@pytest.mark.parametrize(
    "value", [[127.5, 0, 127.5], [0, 1, 1], [1, 1, 0], [1, -1, 1], [1, np.nan, 1], [np.inf], [1, 2], [], [1, 2, 3, 4]]
)
def test_each_channel_has_a_mean_and_a_positive_scale(name, value):
    if name == "mean" and len(value) == 3 and np.isfinite(value).all():
        DataSettings(mean=value)
    else:
        with pytest.raises(ValueError, match=f"{name} is .*one or three"):
            DataSettings(**{name: value})


def test_ranges_in_words():
    for within, words in [
        (Range(least=1), "at least 1"), (Range(above=0, most=5), "more than 0 and at most 5"),
        (Range(least=0, below=1), "at least 0 and less than 1"),
    ]:  # fmt: skip
        assert str(within) == words
    for within, right, wrong in [
        (Range(least=1, most=3), (1, 3, 2.5), (0.999, 3.001)), (Range(above=0, below=1), (0.5, 1e-300), (0, 1, 2)),
    ]:  # fmt: skip
        for value in right:
            check("x", value, within)
        for value in (*wrong, math.nan, math.inf, -math.inf):
            with pytest.raises(ValueError, match="x is "):
                check("x", value, within)


def test_values_become_plain():
    @dataclasses.dataclass(frozen=True)
    class Two(Options):
        words: str = option("a", "", ("a", "b"))
        rate: float | None = option(None, "", least=0)

    assert plain({np.int64(1): (np.float32(0.5), np.array([[1, 2]]), [np.bool_(True)], np.str_("x"), None)}) == {
        1: (0.5, [[1, 2]], [True], "x", None)
    }
    assert type(Two(rate=np.float16(0.5)).rate) is float and Two().rate is None
    with pytest.raises(ValueError, match="words is 'c', expected one of a, b"):
        Two("c")


@pytest.mark.parametrize(
    "command, words",
    [
        ("train f.npz --lr nan", "lr is nan, expected more than 0"),
        ("train f.npz --dropout nan", "dropout is nan, expected at least 0 and less than 1"),
        ("train f.npz --decay inf", "decay is inf, expected more than 0 and at most 1"),
        ("train f.npz --memory nan", "--memory is nan, expected more than 0"),
        ("train f.npz --lr-group lstm1/=nan", "the factor of group 'lstm1/' is nan"),
        ("train f.npz --frames 1000000000", "--frames is 1000000000, expected at least 1 and at most 1000000"),
        ("train f.npz --downpour --replicas 1000000000", "replicas is 1000000000"),
        ("evaluate m.npz f.npz --views 1000000000", "--views is 1000000000"),
        ("features x --count 1000000000", "--count is 1000000000"),
        ("check-data x --fps 1e9", "fps is 1000000000.0, expected more than 0 and at most 1000"),
        ("check-data x --seconds nan", "seconds is nan"),
        ("make-data x --groups 1000000000", "groups is 1000000000, expected at least 3 and at most 99"),
        ("summary --units 1000000000", "units is 1000000000"),
        ("summary --depth 1000000000", "depth is 1000000000"),
        ("summary --fc 1000000000", "fc is 1000000000"),
        ("summary --classes 1000000000", "--classes is 1000000000"),
        ("summary --width nan", "--width is nan"),
        ("fuse a b --svm-c nan", "--svm-c is nan"),
        ("simulate f.npz --counts 1 0", "--counts is 0"),
        ("simulate f.npz --momenta 0.5 nan", "--momenta is nan"),
        ("bench --repeat -1", "--repeat is -1"),
        ("claims --seeds 0", "--seeds is 0"),
    ],
)
def test_a_command_says_it_before_it_looks_at_anything(command, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
