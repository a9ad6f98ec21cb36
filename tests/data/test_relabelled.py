"""A data set for a network that knows more classes, or in another order (data/loader.py)."""

import numpy as np
import pytest

from snippets.data.decoder import Decoder
from snippets.data.layouts.splits import Video
from snippets.data.loader import ClipSet, Preprocessing, relabelled


def clips(labels):
    videos = [Video(None, label, str(n), str(n)) for n, label in enumerate(labels)]
    return ClipSet(["run", "jump"], videos, Decoder(8), 1, Preprocessing(8))


def test_a_class_has_the_number_that_the_network_gives_it():
    """The videos and their order stay, and the data set itself as it was."""
    classes = ["dive", "jump", "ride", "run"]
    one, several = clips([0, 1, 1]), clips([(0,), (0, 1), (1,)])
    for data, labels in ((one, [3, 1, 1]), (several, [[0, 0, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0]])):
        known = relabelled(data, classes)
        assert known.classes == classes and known.labels.tolist() == labels and known.labels.dtype == data.labels.dtype
        assert known.names == data.names == list("012") and known.videos is data.videos
    assert one.classes == ["run", "jump"] and one.labels.tolist() == [0, 1, 1]
    assert several.labels.dtype == bool and several.labels.shape == (3, 2)
    np.testing.assert_array_equal(relabelled(one, ["run", "jump"]).labels, one.labels)


def test_a_class_that_a_network_does_not_know():
    with pytest.raises(ValueError) as caught:
        relabelled(clips([0, 1]), ["a", "jump", "b", "c"])
    assert str(caught.value) == (
        "1 classes are not among the network's 4, the first run: expected names like a, jump, b; rename their folders"
    )
