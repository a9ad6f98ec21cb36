"""The paper's AlexNet (section 3): 220 x 220 frames, convolutions of 11, 9 and 5, two fully connected layers of 4096.

Each convolution is followed by ReLU, 3x3 max-pooling with stride 2, and local response normalisation (norm="lcn" takes
local contrast normalisation instead, the words that the paper uses). "Same" padding gives maps of 55-28-14-7 at 220
pixels.
"""

from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.lcn import LCN
from snippets.layers.linear import Flatten, Linear
from snippets.layers.lrn import LRN
from snippets.layers.pool import MaxPool2D
from snippets.layers.relu import ReLU

TABLE = (  # kernel, stride, filters
    (11, 4, 96),
    (9, 1, 256),
    (5, 1, 256),
)
NORMS = {"lrn": LRN, "lcn": LCN}


def scaled(channels, width):
    """Channels of a net made thinner or wider by the multiplier `width`."""
    return max(1, round(channels * width))


def alexnet(rng, width=1.0, norm="lrn"):
    """The convolutional part: frames (B, H, W, 3) in [-1, 1] -> maps (B, h, w, C), 7 x 7 x 256 at 220 pixels."""
    layers, C = {}, 3
    for n, (kernel, stride, filters) in enumerate(TABLE, start=1):
        F = scaled(filters, width)
        layers[f"conv{n}"] = Conv2D(C, F, kernel, stride, relu=True, rng=rng)
        layers[f"pool{n}"] = MaxPool2D(3, 2)
        layers[f"norm{n}"] = NORMS[norm]()
        C = F
    layers["conv1"].input_grad = False  # the gradient of the pixels is not needed
    return Sequential(**layers)


def fully_connected(D, units, dropout, rng, start=1, per_clip=False):
    """The two fully connected layers of the paper, each with ReLU and dropout, on D features: named layers.

    start: the first axis that is flattened; units: 0 for dropout alone; per_clip: see `layers.dropout.Dropout`.
    """
    if not units:
        return dict(flatten=Flatten(start), drop=Dropout(dropout, per_clip))
    return dict(
        flatten=Flatten(start),
        fc1=Linear(D, units, rng, relu=True),
        relu1=ReLU(),
        drop1=Dropout(dropout, per_clip),
        fc2=Linear(units, units, rng, relu=True),
        relu2=ReLU(),
        drop2=Dropout(dropout, per_clip),
    )
