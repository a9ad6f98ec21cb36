r"""The feature-pooling networks (section 3.1, Figure 2): where in the network, and how, T frames become one.

C is the tower, the same weights at every frame; FC fully connected layers, with ReLU and dropout; S the softmax layer:

    Conv Pooling             C | max over T | FC FC | S                  the map's spatial layout reaches the first FC
    Late Pooling             C | FC FC | max over T | S                  FC at every frame
    Slow Pooling             C | max over 10 frames, stride 5 | FC | max over windows | FC | S
    Local Pooling            C | max over 10 frames, stride 5 | FC FC | all windows side by side | S
    Time-Domain Convolution  C | 256 kernels 3 x 3 x 10 frames, stride 5 | max over windows | FC FC | S
    average pooling          C | mean over T | FC FC | S                 the authors tried these two and rejected them
    fully connected pooling  C | all frames side by side | FC FC | S

Max-pooling does not know how many frames there are, so that no parameter depends on T; Local and fully connected
pooling have weights for each window or frame, and refuse clips of another length. At T = 1 every one of them, Time-
Domain Convolution apart, is the single-frame network: C | FC FC | S. That is why a trained single-frame network can be
expanded to 30 frames and then to 120 (`nets.expand`).

Each of them is a head (`nets.zoo`): (tower, shape of its output per frame, NetConfig, rng) -> net, which makes scores
(N, K) of clips (N, T, ...). fc = 0 leaves the fully connected layers out.
"""

from math import prod

from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Flatten, Linear
from snippets.layers.relu import ReLU
from snippets.layers.temporal import FixedFrames, TemporalAvgPool, TemporalMaxPool, windows
from snippets.layers.time_conv import TimeConv
from snippets.nets.alexnet import fully_connected

WINDOW, STRIDE = 10, 5  # frames of a window, and from window to window


def classifier(D, config, rng):
    """The fully connected layers and the softmax layer on D features: named layers, (N, ...) -> (N, K)."""
    fc = fully_connected(D, config.fc, config.dropout, rng)
    return dict(**fc, scores=Linear(config.fc or D, config.classes, rng))


def conv_pooling(tower, shape, config, rng):
    """The maximum over all frames, then two fully connected layers; on GoogLeNet, of its output vector."""
    return Sequential(
        **tower,
        pool=TemporalMaxPool(),  # (N, ...)
        **classifier(prod(shape), config, rng),  # (N, K)
    )


def late_pooling(tower, shape, config, rng):
    """Two fully connected layers at every frame, then the maximum: what is combined is high-level information."""
    D, fc = prod(shape), config.fc
    return Sequential(
        **tower,
        **fully_connected(D, fc, config.dropout, rng, start=2, per_clip=config.mask_per_clip),  # (N, T, fc)
        pool=TemporalMaxPool(),  # (N, fc)
        scores=Linear(fc or D, config.classes, rng),
    )


def slow_pooling(tower, shape, config, rng):
    """Maxima over windows, a fully connected layer shared by all of them, then the maximum over windows."""
    fc = config.fc
    return Sequential(
        **tower,
        windows=TemporalMaxPool(WINDOW, STRIDE),  # (N, m, ...)
        flatten=Flatten(2),
        fc1=Linear(prod(shape), fc, rng, relu=True),  # (N, m, fc)
        relu1=ReLU(),
        drop1=Dropout(config.dropout, config.mask_per_clip),
        pool=TemporalMaxPool(),  # (N, fc)
        fc2=Linear(fc, fc, rng, relu=True),
        relu2=ReLU(),
        drop2=Dropout(config.dropout),
        scores=Linear(fc, config.classes, rng),
    )


def local_pooling(tower, shape, config, rng):
    """Maxima over windows, two fully connected layers shared by them, and a softmax layer that reads every window.

    The number of frames is fixed, for 30 frames are 5 windows and 120 are 23, each with its own rows in the softmax
    layer.
    """
    D, fc, m = prod(shape), config.fc, len(windows(config.frames, WINDOW, STRIDE))
    return Sequential(
        length=FixedFrames(config.frames, "scores"),
        **tower,
        windows=TemporalMaxPool(WINDOW, STRIDE),  # (N, m, ...)
        **fully_connected(D, fc, config.dropout, rng, start=2),  # (N, m, fc)
        join=Flatten(),  # (N, m fc)
        scores=Linear(m * (fc or D), config.classes, rng),
    )


def time_convolution(tower, shape, config, rng):
    """Convolution over 10 frames and 3 x 3 pixels, then the maximum over windows, the last of which ends the clip.

    Clips of fewer than 10 frames are an error: nothing is padded in time.
    """
    (H, W, C), F, k = shape, config.filters, config.kernel
    return Sequential(
        **tower,
        timeconv=TimeConv(C, F, (WINDOW, k, k), STRIDE, rng=rng),  # (N, m, H, W, F)
        pool=TemporalMaxPool(),  # (N, H, W, F)
        **classifier(H * W * F, config, rng),
    )


def average_pooling(tower, shape, config, rng):
    """The mean over all frames: every frame gets 1/T of the gradient, where a maximum picks one."""
    return Sequential(
        **tower,
        pool=TemporalAvgPool(),  # (N, ...)
        **classifier(prod(shape), config, rng),
    )


def fc_pooling(tower, shape, config, rng):
    """A fully connected layer as the pooling layer: it reads all T frames side by side, T fixed."""
    return Sequential(
        length=FixedFrames(config.frames, "fc1" if config.fc else "scores"),
        **tower,
        **classifier(config.frames * prod(shape), config, rng),
    )
