"""A dataclass as options of a command line (data/options.py): what is typed, what is refused, what is handed on."""

import argparse
import dataclasses

import numpy as np
import pytest

from snippets.data.decoder import Decoder
from snippets.data.flow.images import FlowDecoder
from snippets.data.flow.tvl1 import TVL1
from snippets.data.loader import Preprocessing
from snippets.data.open import DataSettings
from snippets.data.options import Options, add_options, check_option, chosen, float_or_none, option, plain, renamed


@dataclasses.dataclass(frozen=True)
class Some(Options):
    """One option of each kind, and a field that is none."""

    rate: float = option(0.5, "how fast it is", above=0, most=1)
    count: int | None = option(None, "how many there are", least=1)
    seconds: float | None = option(None, "how long it takes")
    kind: str = option("a", "which one it is", ("a", "b"))
    sizes: float | list = option(1.0, "how large they are", nargs="+", least=0)
    quick: bool = option(True, "whether it is quick")
    last_batch: int = option(4, "how many at a time", least=1, old="batch-size")
    hidden: str = "x"


DEFAULTS = dict(rate=0.5, count=None, seconds=None, kind="a", sizes=1.0, quick=True, last_batch=4)


def made(**how):
    parser = argparse.ArgumentParser(exit_on_error=False)
    return parser, add_options(parser, Some, "what some are", **how)


def test_what_is_typed_and_what_is_not():
    """Names with a dash or as they were, none for nothing; and which of them were typed."""
    parser, group = made()
    nothing = parser.parse_args([])
    assert chosen(nothing, Some) == DEFAULTS and not hasattr(nothing, "given") and group is not parser
    words = "--rate 1 --count 3 --seconds none --kind b --sizes 2 0 --no-quick --batch-size 7"
    found = parser.parse_args(words.split())
    told = dict(rate=1.0, count=3, seconds=None, kind="b", sizes=[2.0, 0.0], quick=False, last_batch=7)
    assert chosen(found, Some) == told and found.given == set(told) and Some(**told).sizes == [2.0, 0.0]
    assert parser.parse_args(["--quick", "--last-batch", "2"]).given == {"quick", "last_batch"}
    assert chosen(parser.parse_args(["--count", "none", "--seconds", "1.5"]), Some) == DEFAULTS | {"seconds": 1.5}
    assert [float_or_none(text) for text in ("none", "2")] == [None, 2.0]
    assert chosen(argparse.Namespace(rate=1, hidden="y", other=2), Some) == {"rate": 1}


@pytest.mark.parametrize(
    "words, told",
    [
        ("--rate 0", "--rate is 0.0, expected more than 0 and at most 1"),
        ("--sizes 1 -1", "--sizes is -1.0, expected at least 0"),
        ("--batch-size 0", "--batch-size is 0, expected at least 1"),
        ("--count 0", "--count is 0, expected at least 1"),
    ],
)
def test_what_is_typed_wrongly_is_named_as_it_was_typed(words, told):
    with pytest.raises(ValueError) as caught:
        made()[0].parse_args(words.split())
    assert str(caught.value) == told


def test_some_of_the_options_and_other_defaults():
    """An option that is there already stays as it is; without a title they join those that are there."""
    parser, _ = made(only=("rate", "quick", "count"), rate=0.25, quick=False)
    assert vars(parser.parse_args([])) == {"rate": 0.25, "quick": False, "count": None}
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", default="mine")
    assert add_options(parser, Some, None) is parser and vars(parser.parse_args([])) == DEFAULTS | {"rate": "mine"}


def test_help_says_what_each_means():
    text = made()[0].format_help()
    assert "what some are:" in text and "{a,b}" in text and "--quick, --no-quick" in text and "batch-size" not in text
    for word in ("fast", "many there", "long", "which one", "large", "whether it is quick", "many at a time"):
        assert word in text


@pytest.mark.parametrize(
    "values, told",
    [
        ({"rate": 2}, "rate is 2, expected more than 0 and at most 1"),
        ({"rate": None}, "rate is None, expected a number, more than 0 and at most 1"),
        ({"count": 1.5}, "count is 1.5, expected a whole number, at least 1"),
        ({"kind": "c"}, "kind is 'c', expected one of a, b"), ({"sizes": [1, -1]}, "sizes is -1, expected at least 0"),
    ],
)  # fmt: skip
def test_values_that_cannot_be(values, told):
    with pytest.raises(ValueError) as caught:
        Some(**values)
    assert str(caught.value) == told


def test_another_name_for_a_field():
    with pytest.raises(ValueError, match="^its rate is 3, expected more than 0 and at most 1$"):
        check_option(dataclasses.fields(Some)[0], 3, "its rate")
    check_option(dataclasses.fields(Some)[1], None, "its count")
    assert renamed(Some, {"batch-size": 3, "rate": 1, "other": 2}) == {"last_batch": 3, "rate": 1, "other": 2}


def test_values_are_pythons_own():
    some = Some(rate=np.float32(0.5), count=np.int64(2), sizes=np.array([1.0, 2.0]))
    assert [type(value) for value in (some.rate, some.count, some.sizes)] == [float, int, list]
    found = plain({np.int64(1): (np.float64(2), [np.array([3]), "x", None])})
    assert found == {1: (2.0, [[3], "x", None])} and isinstance(found[1], tuple) and type(next(iter(found))) is int


RANGES = {  # of the numbers that say how data are read: what is just inside, what is just outside
    DataSettings: {
        "fps": ((1e-9, 1e3), (0, 1001)), "picture_fps": ((1e-9, 1e3), (0, 1001)), "flow_fps": ((1e-9, 1e3), (0, 1001)),
        "bound": ((1e-9, 1e4), (0, 10001)), "seconds": ((1e-9, 1e6), (0, 1000001)), "count": ((1, 10**6), (0, 1000001)),
    },
    TVL1: {
        "tau": ((1e-9, 0.25), (0, 0.251)), "lam": ((1e-9, 1e6), (0, 1000001)), "theta": ((1e-9, 1e6), (0, 1000001)),
        "scales": ((1, 1000), (0, 1001)), "warps": ((1, 10**4), (0, 10001)), "epsilon": ((0, 1e4), (-1e-9, 10001)),
        "iterations": ((1, 10**6), (0, 1000001)), "step": ((1e-9, 0.95), (0, 0.951)),
    },
}  # fmt: skip


@pytest.mark.parametrize("kind, name", [(kind, name) for kind in RANGES for name in RANGES[kind]])
def test_numbers_of_data_and_of_flow_lie_in_their_ranges(kind, name):
    inside, outside = RANGES[kind][name]
    assert [getattr(kind(**{name: value}), name) for value in inside] == list(inside)
    for value in outside:
        with pytest.raises(ValueError, match=f"^{name} is {value}, expected "):
            kind(**{name: value})


@pytest.mark.parametrize("name", ["mean", "scale"])
def test_what_is_taken_from_a_channel_and_what_it_is_divided_by(name):
    """One number or three, finite; what divides is above zero, in each channel."""
    for value, found in ((3, 3), ([3], 3), ([1, 2, 3], [1, 2, 3]), (np.float32(0.5), 0.5), ((1, 2, 3), [1, 2, 3])):
        assert getattr(DataSettings(**{name: value}), name) == found
    what = {"mean": "finite", "scale": "positive"}[name]
    for value in ([1, 2], [1, 2, 3, 4], [], [1, np.nan, 2], [np.inf]):
        with pytest.raises(ValueError, match=rf"^{name} is \[.*\], expected one or three {what} numbers: of all"):
            DataSettings(**{name: value})
    for value in (0, [1, -1, 1], [2, 2, 0]):
        if name == "mean":
            assert DataSettings(mean=value).mean == value
        else:
            with pytest.raises(ValueError, match="expected one or three positive numbers"):
                DataSettings(scale=value)


def test_data_and_flow_by_default():
    assert dataclasses.asdict(TVL1()) == dict(
        tau=0.25, lam=0.15, theta=0.3, scales=13, warps=5, epsilon=0.01, iterations=300, step=0.8
    )
    assert dataclasses.asdict(DataSettings()) == dict(
        stream="rgb", fps=None, picture_fps=25.0, flow_fps=15.0, bound=40.0, tvl1="", seconds=None, mean=127.5,
        scale=127.5, features="unit", count=None, dtype="float32", stored_tap="auto", stored_as="",
    )  # fmt: skip
    source = FlowDecoder()
    assert (source.side, source.flow_fps, source.bound, source.settings) == (256, 15.0, 40.0, TVL1())
    assert (Decoder().side, Decoder().picture_fps, Preprocessing()) == (256, 25.0, Preprocessing(220, 127.5, 127.5))
