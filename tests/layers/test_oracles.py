"""Each operation against its plain-loop oracle, and the oracles against worked numbers."""

import importlib
import math

import numpy as np
import oracles
import oracles_time
import pytest
from oracle_table import CHECKS
from scipy import signal

from snippets.layers.conv import conv_plain
from snippets.layers.lrn import lrn_plain


@pytest.mark.parametrize(
    ("module", "check"),
    [pytest.param(m, c, id=f"{m.split('.')[1]}-{c.__name__}") for m, checks in CHECKS.items() for c in checks],
)
def test_oracle(module, check):
    check(importlib.import_module(module))


def test_the_convolution_oracle_is_scipys_correlation(rng):
    x, W = rng.normal(size=(1, 6, 7, 2)), rng.normal(size=(3, 5, 2, 1))
    wanted = sum(signal.correlate2d(x[0, :, :, c], W[:, :, c, 0], mode="same") for c in range(2))
    np.testing.assert_allclose(conv_plain(x, W, np.zeros(1))[0, :, :, 0], wanted, rtol=1e-12)


def test_padding_of_the_oracles_follows_the_papers_sizes():
    """220 pixels: GoogLeNet 110-55-28-14-7 and AlexNet 55-28-14-7, the odd pixel after the last."""
    assert [oracles.placed(n, 3, 2, "same")[0] for n in (220, 110, 55, 28, 14)] == [110, 55, 28, 14, 7]
    assert oracles.placed(220, 11, 4, "same") == (55, 3)
    assert oracles.placed(224, 7, 2, "same") == (112, 2)
    assert oracles.placed(4, 2, 2, "same") == (2, 0)
    assert oracles.placed(8, 3, 2, 1) == (4, 1)
    assert [oracles.placed(n, 3, 2, "ceil")[0] for n in (112, 56, 28, 14)] == [56, 28, 14, 7]  # Caffe at 224
    assert [oracles.placed(n, 3, 2, "ceil")[0] for n in (110, 55, 27, 13)] == [55, 27, 13, 6]  # and at 220


def test_one_step_of_the_lstm_oracle_on_paper():
    """One cell, one frame, all numbers different: Equations 3-7 typed out."""
    x, h, c = np.array([[[0.5]]]), np.array([[0.2]]), np.array([[-0.3]])
    W_x, W_h, W_c = np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([[0.5, 0.6, 0.7, 0.8]]), np.array([[0.9], [1.1], [1.3]])
    b = np.array([0.01, 0.02, 0.03, 0.04])
    got, last = oracles_time.lstm(x, h, c, W_x, W_h, W_c, b)
    i = 1 / (1 + math.exp(-(0.05 + 0.10 - 0.27 + 0.01)))
    f = 1 / (1 + math.exp(-(0.10 + 0.12 - 0.33 + 0.02)))
    cell = f * -0.3 + i * math.tanh(0.15 + 0.14 + 0.03)
    o = 1 / (1 + math.exp(-(0.20 + 0.16 + 1.3 * cell + 0.04)))
    assert last[0, 0] == pytest.approx(cell, rel=1e-14)
    assert got[0, 0, 0] == pytest.approx(o * math.tanh(cell), rel=1e-14)


def test_one_entry_of_the_lrn_oracle_on_paper():
    """Channel 1 of four with n = 3 sees channels 0, 1, 2 and not 3."""
    x = np.array([[1.0, 2.0, 3.0, 50.0]])
    assert lrn_plain(x, 3, 2.0, 0.5, 0.75)[0, 1] == pytest.approx(2 / (2 + 0.5 * (1 + 4 + 9)) ** 0.75, rel=1e-14)
    assert lrn_plain(x, 3, 1.0, 0.6, 0.5, True)[0, 0] == pytest.approx(1 / (1 + 0.2 * (1 + 4)) ** 0.5, rel=1e-14)


def test_the_loss_oracle_on_paper():
    """Two classes: -log p = log(1 + e^(s_other - s)), and its slope is p - 1."""
    loss, slopes = oracles.softmax_loss(np.array([[0.0, 1.5]]), np.array([[0.0, 1.0]]), [2.0])
    assert loss == pytest.approx(2 * math.log(1 + math.exp(-1.5)), rel=1e-14)
    assert slopes[0, 1] == pytest.approx(-2 / (1 + math.exp(1.5)), rel=1e-14)


def test_windows_of_the_oracle_on_paper():
    """13 frames in windows of 10 every 5: the second is clipped after frame 12."""
    assert oracles_time.temporal_windows(13, 10, 5) == [list(range(10)), list(range(5, 13))]
    assert oracles_time.temporal_windows(4, 10, 5) == [[0, 1, 2, 3]]
    assert len(oracles_time.temporal_windows(120, 10, 5)) == 23
