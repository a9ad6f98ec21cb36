"""Features at mean 0 and variance 1 before the first layer with weights, by numbers that are measured once and kept."""

from dataclasses import asdict

import numpy as np
import pytest

from snippets.data.features import FeatureSet, StoredFeatures
from snippets.nets.streaming.stream import stream, streams
from snippets.nets.zoo import HEADS, NetConfig, build
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.loop import train
from snippets.training.model import load_model
from snippets.training.settings import Settings
from snippets.training.sgd import SGD
from snippets.training.small.standardise import standardise_inputs

T, D = 12, 5


def videos(V=12, offset=3.0):
    """Features far from zero, of very different size: as they come from a tower."""
    rng, labels = np.random.default_rng(0), np.arange(V) % 3
    feat = offset + 10.0 ** np.arange(-2, 3) * rng.standard_normal((V, T, D))
    names = [f"v{i}" for i in range(V)]
    return FeatureSet(StoredFeatures(feat.astype(np.float32), np.ones(1)), np.arange(V), labels, list("abc"), names)


def config(head, **other):
    frames = 1 if head == "single" else T
    return NetConfig(3, "features", head, frames, features=D, fc=6, units=4, depth=1, width=0.02, **other)


ON_FEATURES = [head for head in HEADS if HEADS[head].reads != "clips"]


@pytest.mark.parametrize("head", ON_FEATURES)
@pytest.mark.parametrize("differences", [False, True])
def test_the_first_layer_with_weights_reads_standardised_features(head, differences):
    if head == "single" and differences:
        with pytest.raises(ValueError, match="differences.*one frame"):
            config(head, differences=True)
        return
    net, data = build(config(head, standardise=True, differences=differences)), videos()
    data.frames = 1 if head == "single" else T
    standardise_inputs(net, data)
    x = np.concatenate([np.stack(list(data.test_clips(i))) for i in range(len(data))])
    names = list(net.layers)
    at = names.index("standardise")
    assert not any(layer.params for name, layer in list(net.layers.items())[:at])
    assert any(layer.params for layer in list(net.layers.values())[at + 1 : at + 4])
    for name in names[: at + 1]:
        x = net.layers[name].predict(x)
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    varies = rows.std(axis=0) > 0
    assert varies.sum() >= 5 * (2 if differences and head != "single" else 1)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(rows.std(axis=0)[varies], 1, rtol=1e-3)


def test_a_feature_that_never_varies_is_not_divided_by_its_rounding():
    net, data = build(config("conv", standardise=True)), videos()
    data.stored.feat[..., 2] = 0.1
    standardise_inputs(net, data)
    assert net.params["standardise/std"][2] == 1 and abs(net.params["standardise/mean"][2] - 0.1) < 1e-6
    kept = net.params["standardise/std"].copy()
    standardise_inputs(net, videos(offset=-7.0))  # the others have been measured
    np.testing.assert_array_equal(net.params["standardise/std"], kept)


@pytest.mark.parametrize(
    "mean, variance, varies",
    [
        (1.0, 1.5e-9, True), (1.0, 0.5e-9, False), (1e3, 1.5e-3, True), (1e3, 0.5e-3, False),
        (0.0, 1.5e-18, True), (0.0, 0.5e-18, False),
    ],
)  # fmt: skip
def test_what_counts_as_rounding(mean, variance, varies):
    """A variance of less than a billionth of the mean square, or of a billionth of a billionth."""
    net, data = build(config("conv", standardise=True)), videos()
    step = np.float32(mean + np.sqrt(variance)) - np.float32(mean)
    data.stored.feat[..., 1] = (mean + step * np.where(np.arange(len(data)) % 2, 1, -1))[:, None]
    standardise_inputs(net, data)
    found = net.params["standardise/std"][1]
    assert found == pytest.approx(step, rel=1e-3) if varies else found == 1


def test_it_is_measured_once_and_never_learned():
    net, data = build(config("conv", standardise=True)), videos()
    standardise_inputs(net, data)
    kept = {key: a.copy() for key, a in net.params.items()}
    standardise_inputs(net, videos(offset=-7.0))  # of other videos, as for a network that starts from this one
    history = train(net, data, Settings(epochs=2, batch=4), progress=False)
    for key, a in net.params.items():
        assert (a == kept[key]).all() == key.startswith("standardise/"), key
    assert len(history) == 2 and not any(key.startswith("standardise/") for key in SGD(net.params, 0.1).params)


def test_a_checkpoint_keeps_it(tmp_path):
    c, data = config("average", standardise=True, differences=True), videos()
    net = build(c)
    standardise_inputs(net, data)
    save(tmp_path / "c.npz", Checkpoint(net.params, config=asdict(c), classes=list("abc")))
    x = next(data.test_clips(0))[None]
    np.testing.assert_array_equal(load_model(tmp_path / "c.npz").net.predict(x), net.predict(x))


@pytest.mark.parametrize("head", ["conv", "average", "late", "lstm", "rnn"])
def test_a_video_streams_through_it_in_blocks(head):
    net, data = build(config(head, standardise=True, differences=True)), videos()
    standardise_inputs(net, data)
    x = data.whole_video(1)
    assert streams(net)
    whole, parts = (stream(net, blocks) for blocks in ([x], [x[:5], x[5:6], x[6:]]))
    np.testing.assert_allclose(whole, parts, rtol=1e-5)
    still = stream(net, [x[:1].repeat(3, axis=0)])  # without motion, of any length: as one frame
    if head in ("conv", "late"):
        np.testing.assert_allclose(still, stream(net, [x[:1]]), rtol=1e-4)


def test_differences_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match="differences.*slowfusion.*pixels"):
        NetConfig(3, "alexnet", "slowfusion", 10, differences=True)
