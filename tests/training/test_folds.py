"""Folds that a data folder says, and how videos of several classes and films are dealt where it says none."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from film_features import videos

from snippets.data.layouts.splits import Split, Video
from snippets.training.small import folds
from snippets.training.small.folds import by_group, folds_in, held_out, single_labels

SIDES = {  # names of what trains and of what tests, by fold; those in capital letters are of another class
    1: ("CabD", "e"), 2: ("aC", "Df"), 3: ("abC", "z"), 4: ("aeb", "C"), None: ("aB", "c"),
}  # fmt: skip


@pytest.fixture
def said(monkeypatch):
    """What `folds_in` says of a folder with folds of these numbers, and of which sides groups were checked."""
    checked = []

    def listed(number):
        sides = [[Video(Path(v), int(v.isupper()), v.lower(), v) for v in side] for side in SIDES[number]]
        return Split(["x", "y"], *sides)

    def ask(*numbers, fold=None, official=True, names="abcdef"):
        checked.clear()
        layout = SimpleNamespace(official=official, folds=numbers)
        monkeypatch.setattr(folds, "VideoFolder", lambda path: SimpleNamespace(layout=layout, listed=listed, path=path))
        return folds_in("DATA", SimpleNamespace(names=list(names)), fold), list(checked)

    def check_groups(split):
        checked.append(tuple("".join(v.name for v in side) for side in split[1:]))

    monkeypatch.setattr(folds, "check_groups", check_groups)
    return ask


def test_folds_are_rows_of_the_data_set(said):
    first, second = ([2, 0, 1, 3], [4]), ([0, 2], [3, 5])
    assert said(1, 2) == ((1, (first, second)), [("cabd", "e"), ("ac", "df")])
    assert said(1, 2, fold=2) == ((2, (second,)), [("ac", "df")])
    assert said(1, 2, names="fedca") == ((1, (([3, 4, 2], [1]), ([4, 3], [2, 0]))), [("cad", "e"), ("ac", "df")])
    assert said(None, official=False) == ((None, (([0, 1], [2]),)), [("ab", "c")])
    assert said(1, 2, official=False) == ((None, ()), [])  # of which groups are all that is known


def test_folds_in_which_there_is_nothing_to_learn_or_to_test(said):
    words = "DATA{}: {} training videos of {} classes and {} test videos, expected two classes and a test video or more"
    for fold, names, told in (
        (3, "abcdef", (", fold 3", 3, 2, 0)), (4, "abcdef", (", fold 4", 3, 1, 1)), (None, "bc", ("", 1, 1, 1)),
        (None, "ab", ("", 2, 2, 0)),
    ):  # fmt: skip
        with pytest.raises(ValueError) as info:
            said(fold, names=names)
        assert str(info.value) == words.format(*told)


def test_the_first_of_several_classes_is_that_of_a_video():
    several = np.array([[False, True, True], [True, False, True]])
    assert single_labels(SimpleNamespace(labels=several)) == [1, 0]
    assert single_labels(SimpleNamespace(labels=np.array([2, 0]))) == [2, 0]


def test_classes_without_videos_do_not_count():
    """Of five classes those of the videos are dealt; what is said names them."""
    data = videos(4)
    data.labels, data.classes = 1 + 3 * data.labels, list("abcde")
    parts = by_group(data, 4)
    assert sorted(i for _, test in parts for i in test.rows) == [*range(16)]
    assert [sorted(set(test.labels.tolist())) for _, test in parts] == [[1, 4]] * 4
    data.groups = [group if label == 1 else "film0" for group, label in zip(data.groups, data.labels, strict=True)]
    with pytest.raises(ValueError, match="class e has 1 group of clips"):
        by_group(data, 4)
    for learn, test in held_out(data, 3):  # all of class e and of film0 trains
        rows = np.flatnonzero([group == "film0" for group in data.groups])
        assert set(rows) <= set(learn.rows) and set(test.labels.tolist()) == {1} and learn.rows == sorted(learn.rows)


def test_a_video_without_a_group_is_not_lost():
    data = videos(4)
    data.groups = data.groups[:-1]
    with pytest.raises(ValueError, match="zip"):
        by_group(data, 2)
