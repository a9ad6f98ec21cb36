"""What is predicted of a layer's memory, by its shapes alone, is what it allocates.

The predictions themselves are written down a second time: a measurement sees a tenth, not the byte. After a change that
is meant: `PYTHONPATH=tests/kit python tests/nets/test_layer_memory.py > tests/nets/layer_memory.txt`.
"""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from small_nets import SMALL
from traced import allocated
from written import assert_written

from snippets.layers.conv import Conv2D
from snippets.layers.conv_lstm import ConvLSTM
from snippets.layers.core.base import Container, Layer, Recurrent, Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.features.differences import Differences
from snippets.layers.features.standardise import Standardise
from snippets.layers.inception import Inception
from snippets.layers.lcn import LCN
from snippets.layers.linear import AsMap, Flatten, Linear
from snippets.layers.lrn import LRN
from snippets.layers.lstm import Cells, PeepholeLSTM
from snippets.layers.pool import AvgPool2D, GlobalAvgPool, MaxPool2D
from snippets.layers.relu import ReLU
from snippets.layers.rnn import RNN
from snippets.layers.temporal import FixedFrames, TemporalAvgPool, TemporalMaxPool
from snippets.layers.time_conv import TimeConv
from snippets.nets.auxiliary import AuxiliaryTower
from snippets.nets.frames import OverFrames
from snippets.nets.inspect.fake import FakeLayer, pass_memory
from snippets.nets.inspect.layer_memory import LAYER_MEMORY
from snippets.nets.inspect.memory import StepMemory, prediction_memory
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.bench.rows import of_images

RNG = np.random.default_rng(0)
MAPS, CLIPS, FEATURES = (4, 28, 30, 24), (2, 12, 14, 14, 8), (4, 30, 400)
CASES = {
    "conv7": (of_images(Conv2D(3, 16, 7, 2, relu=True, rng=RNG)), (4, 64, 64, 3)),
    "conv1": (Conv2D(24, 40, 1, relu=True, rng=RNG), MAPS),
    "conv3 by im2col": (Conv2D(24, 12, 3, rng=RNG), MAPS),
    "conv3 of wide maps": (Conv2D(24, 12, 3, rng=RNG), (4, 12, 300, 24)),
    "conv3 by interpolation": (Conv2D(24, 40, 3, relu=True, rng=RNG), MAPS),
    "conv5 by interpolation": (Conv2D(24, 16, 5, relu=True, rng=RNG), MAPS),
    "conv9 by transforms": (Conv2D(64, 64, 9, relu=True, rng=RNG), (2, 28, 28, 64)),
    "conv7 by transforms, to more channels": (Conv2D(64, 192, 7, rng=RNG), (1, 40, 52, 64)),
    "conv7 by transforms, to fewer channels": (Conv2D(192, 64, 7, rng=RNG), (2, 40, 52, 192)),
    "conv7 by transforms, of narrow maps": (Conv2D(192, 64, 7, rng=RNG), (4, 56, 28, 192)),
    "max": (MaxPool2D(), MAPS),
    "max of several blocks": (MaxPool2D(), (8, 56, 56, 64)),
    "mean": (AvgPool2D(5, 3), MAPS),
    "global mean": (GlobalAvgPool(), (8, 28, 30, 40)),
    "lrn": (LRN(), MAPS),
    "lcn": (LCN(), MAPS),
    "inception": (Inception(24, (16, 24, 32, 8, 16, 16), rng=RNG), MAPS),
    "pool and norm": (Sequential(norm=LRN(), pool=MaxPool2D()), MAPS),
    "dropout": (Sequential(drop=Dropout(0.5)), FEATURES),
    "fc": (Sequential(fc=Linear(400, 300, RNG), relu=ReLU(), out=Linear(300, 200, RNG)), FEATURES),
    "flat": (Sequential(flat=Flatten(2), fc=Linear(8 * 14 * 14, 30, RNG)), CLIPS),
    "as maps": (Sequential(map=AsMap(), conv=Conv2D(400, 20, 1, rng=RNG)), (60, 400)),
    "all frames": (Sequential(length=FixedFrames(12, "fc"), max=TemporalMaxPool()), CLIPS),
    "windows": (TemporalMaxPool(10, 5), (2, 30, 7, 7, 60)),
    "many windows": (TemporalMaxPool(10, 5), (2, 120, 7, 7, 60)),
    "mean over time": (TemporalAvgPool(), CLIPS),
    "differences": (Differences(), CLIPS),
    "standardised": (Standardise(400), FEATURES),
    "convolution over time": (TimeConv(8, 20, stride=2, rng=RNG), (2, 24, 14, 14, 8)),
    "windows apart, to fewer channels": (TimeConv(64, 4, (3, 3, 3), 5, rng=RNG), (2, 24, 14, 14, 64)),
    "slow fusion's first": (of_images(TimeConv(3, 24, (4, 11, 11), 2, 4, rng=RNG)), (2, 10, 64, 64, 3)),
    "rnn": (RNN(400, 200, RNG), FEATURES),
    "lstm": (PeepholeLSTM(400, 200, RNG), FEATURES),
    "convlstm": (ConvLSTM(8, 16, rng=RNG), (2, 12, 14, 14, 8)),
    "frames": (OverFrames(Sequential(norm=LRN(), pool=MaxPool2D()), 4, 1), (2, 6, 28, 30, 24)),
}
LARGE = {  # whose predictions alone are looked at
    "conv7 of images": (of_images(Conv2D(3, 64, 7, 2, relu=True, rng=RNG)), (33, 220, 220, 3)),
    "conv11 of images": (of_images(Conv2D(3, 96, 11, 4, relu=True, rng=RNG)), (9, 220, 200, 3)),
    "conv3 of large maps": (Conv2D(64, 192, 3, relu=True, rng=RNG), (16, 55, 57, 64)),
    "conv3 of one large map": (Conv2D(8, 4, 3, rng=RNG), (1, 400, 300, 8)),
    "conv5 of odd maps": (Conv2D(16, 32, 5, relu=True, rng=RNG), (7, 27, 29, 16)),
    "conv5 of few rows": (Conv2D(256, 8, 5, rng=RNG), (2, 3, 40, 256)),
    "conv9 of many": (Conv2D(32, 96, 9, rng=RNG), (32, 30, 44, 32)),
    "conv5 strided": (Conv2D(96, 256, 5, 2, rng=RNG), (16, 31, 30, 96)),
    "max of wide maps": (MaxPool2D(3, 2), (3, 110, 3000, 64)),
    "max of size 2": (MaxPool2D(2, 2), (16, 56, 54, 192)),
    "max one by one": (MaxPool2D(3, 1), (16, 14, 13, 512)),
    "mean of large maps": (AvgPool2D(5, 3), (16, 14, 15, 512)),
    "lrn of large maps": (LRN(), (16, 55, 56, 64)),
    "lrn of one pixel": (LRN(), (1, 1, 1, 7)),
    "lcn of large maps": (LCN(), (4, 55, 56, 96)),
    "dropout that drops nothing": (Sequential(drop=Dropout(0.0)), FEATURES),
    "windows of long clips": (TemporalMaxPool(10, 5), (3, 121, 1024)),
    "windows of short clips": (TemporalMaxPool(10, 5), (2, 7, 9)),
    "rnn of one frame": (RNN(40, 20, RNG), (3, 1, 40)),
    "lstm of long clips": (PeepholeLSTM(1024, 512, RNG), (8, 120, 1024)),
    "convlstm of wide maps": (ConvLSTM(64, 16, rng=RNG), (2, 5, 13, 14, 64)),
    "convlstm to more channels": (ConvLSTM(8, 64, rng=RNG), (3, 4, 28, 14, 8)),
    "fc of one row": (Linear(400, 300, RNG), (1, 400)),
    "convolution over time, strided": (TimeConv(64, 32, (4, 5, 5), 2, 2, rng=RNG), (3, 11, 27, 26, 64)),
}
NETS = {
    "alexnet, convlstm": dict(tower="alexnet", head="convlstm", frames=12),
    "googlenet, lstm, auxiliary": dict(tower="googlenet", head="lstm", frames=5, size=64, auxiliary=0.3),
    "features, late": dict(tower="features", features=40, head="late", frames=6),
}
WRITTEN = Path(__file__).with_name("layer_memory.txt")


def predictions():
    """Lines: bytes predicted of each layer, for training and for prediction alone."""
    for name, (layer, shape) in (CASES | LARGE).items():
        for kind, how in ("trains", {}), ("given", {"given": True}), ("predicts", {"train": False}):
            yield f"{name}, {kind}: " + ", ".join(map(str, pass_memory(layer, shape, **how)))


def plans():
    """Lines: bytes predicted of the parts of a training step, and of a prediction."""
    for name, own in NETS.items():
        config = NetConfig(**SMALL | own)
        net, shape = build(config, None, 4, 2), input_shape(config, 3)
        head = [key for key in net.params if not key.startswith("tower/")]
        for kind, how in ("alone", {}), ("in the loop", {"ahead": 2}), ("head alone", {"trained": head}):
            for threads, again in itertools.product((1, 3), (False, True)):
                parts = ", ".join(
                    f"{key} {n}" for key, n in StepMemory(net, shape, **how).parts(threads, again).items()
                )
                yield f"{name}, {kind}, {threads} threads{', recomputed' * again}: {parts}"
        yield f"{name}, predicts: {prediction_memory(net, shape):.0f}"


def test_predictions_are_what_is_written_down():
    assert_written([*predictions(), *plans()], WRITTEN)


@pytest.mark.parametrize("name", CASES)
def test_a_layer_allocates_what_is_predicted(name):
    layer, shape = CASES[name]
    found, wanted = pass_memory(layer, shape, given=True), allocated(layer, shape)
    assert found.shape == wanted.shape
    slack = 50_000  # of Python's own objects, and NumPy's buffer
    for field, a, b in list(zip(found._fields, found, wanted, strict=True))[1:]:
        assert abs(a - b) <= 0.1 * b + slack, f"{field}: predicted {a:,.0f} bytes, taken {b:,.0f}"


def test_every_layer_is_predicted():
    def kinds(cls):
        return {cls}.union(*map(kinds, cls.__subclasses__()))

    ours = {cls for cls in kinds(Layer) if cls.__module__.startswith(("snippets.layers.", "snippets.nets."))}
    leaves = {cls for cls in ours if not issubclass(cls, Container)}
    assert leaves - {Layer, Recurrent, Cells, FakeLayer} == set(LAYER_MEMORY)
    assert issubclass(AuxiliaryTower, Container)  # its own code runs

    class Other(Layer):
        pass

    with pytest.raises(TypeError, match="what a Other does with memory"):
        pass_memory(Other(), (1, 2))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print(*predictions(), *plans(), sep="\n")
