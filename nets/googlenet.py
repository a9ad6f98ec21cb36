"""GoogLeNet (Szegedy et al. 2014), 22 layers: frames in, a 1000-dimensional vector out, average-pooled as in the paper.

The 2014 network: no batch normalisation, a true 5x5 branch, Caffe's LRN. "Same" padding gives maps of 110-55-28-14-7
at 220 pixels, and average pooling is global, so other sizes work too. Without the last linear layer it has 5,973,552
parameters. Frames can be joined in time at three places: at the maps, at their average, at the output vector.

Trained weights come from programs that differ in details that no shape shows (docs/weights.md); a network that uses
them has to do as they do, so these details have names, the VARIANTS.
"""

from typing import NamedTuple

from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.inception import Inception
from snippets.layers.linear import Linear
from snippets.layers.lrn import LRN
from snippets.layers.pool import GlobalAvgPool, MaxPool2D
from snippets.nets.alexnet import scaled

TABLE = {  # 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection; None is a 3x3 max-pool of stride 2
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "pool3": None,
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "pool4": None,
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
TAPS = ("maps", "average", "vector")  # 7 x 7 x 1024; 1024; 1000


class Variant(NamedTuple):
    """What no name or shape of a parameter shows."""

    conv1: str | int = "same"  # padding of the first convolution
    pool: str = "same"  # padding of the pools of stride 2
    lrn: bool = True
    kernel5: int = 5  # of the 5x5 branch
    pool4: int = 3  # size of the last pool


VARIANTS = {
    "paper": Variant(),  # 110-55-28-14-7 at 220 pixels, 112-56-28-14-7 at 224
    "caffe": Variant(conv1=3, pool="ceil"),  # 110-55-27-13-6 at 220, 112-56-28-14-7 at 224
    "onnx": Variant(conv1=3, pool="valid"),  # 110-54-26-12-5 at 220, 112-55-27-13-6 at 224
    "torchvision": Variant(conv1=3, pool="ceil", lrn=False, kernel5=3, pool4=2),  # 110-55-27-13-7 at 220
}


def googlenet(rng, width=1.0, out=1000, tap="vector", variant="paper", per_clip=False, dropout=0.4):
    """Frames (B, H, W, 3) in [-1, 1] -> (B, out), or what stands at another of TAPS; variant: one of VARIANTS.

    dropout: in front of the vector; per_clip: it has one mask for all frames of a clip.
    """
    v = VARIANTS[variant]
    c64, c192 = scaled(64, width), scaled(192, width)
    layers = dict(
        conv1=Conv2D(3, c64, 7, 2, v.conv1, relu=True, rng=rng),  # 110
        pool1=MaxPool2D(3, 2, v.pool),  # 55
        norm1=LRN(k=1.0, divide_by_n=True),
        reduce2=Conv2D(c64, c64, 1, relu=True, rng=rng),
        conv2=Conv2D(c64, c192, 3, relu=True, rng=rng),
        norm2=LRN(k=1.0, divide_by_n=True),
        pool2=MaxPool2D(3, 2, v.pool),  # 28
    )
    layers["conv1"].input_grad = False  # the gradient of the pixels is not needed
    if not v.lrn:
        del layers["norm1"], layers["norm2"]
    C = c192
    for name, row in TABLE.items():
        if row is None:
            layers[name] = MaxPool2D(v.pool4 if name == "pool4" else 3, 2, v.pool)  # 14, 7
            continue
        n1, _, n3, _, n5, proj = filters = [scaled(n, width) for n in row]
        layers[name] = Inception(C, filters, v.kernel5, rng=rng)
        C = n1 + n3 + n5 + proj
    if tap != "maps":
        layers.update(average=GlobalAvgPool())
    if tap == "vector":
        layers.update(drop=Dropout(dropout, per_clip), linear=Linear(C, out, rng))
    tower = Sequential(**layers)
    tower.cut = "pool2"  # with about as many bytes of caches before it as behind it
    return tower
