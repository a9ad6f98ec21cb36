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

In all of them `tower` is a layer dict {"tower": OverFrames(...)}, or {} for precomputed features, its output a frame
flattens to D numbers, and (N, T, ...) becomes scores (N, K). fc = 0 leaves the fully connected layers out.
"""

from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Flatten, Linear
from snippets.layers.relu import ReLU
from snippets.layers.temporal import FixedFrames, TemporalAvgPool, TemporalMaxPool, windows
from snippets.layers.time_conv import TimeConv
from snippets.nets.alexnet import fully_connected

WINDOW, STRIDE = 10, 5  # frames of a window, and from window to window


def hidden(D, fc, dropout, rng, start=1):
    """The two fully connected layers, or without units only what they do to the shape: named layers."""
    return fully_connected(D, fc, dropout, rng, start) if fc else dict(flatten=Flatten(start), drop=Dropout(dropout))


def conv_pooling(tower, D, classes, rng, fc=4096, dropout=0.6):
    """The maximum over all frames, then two fully connected layers; on GoogLeNet, of its output vector."""
    return Sequential(
        **tower,
        pool=TemporalMaxPool(),  # (N, ...)
        **hidden(D, fc, dropout, rng),  # (N, fc)
        scores=Linear(fc or D, classes, rng),  # (N, K)
    )


def late_pooling(tower, D, classes, rng, fc=4096, dropout=0.6):
    """Two fully connected layers at every frame, then the maximum: what is combined is high-level information."""
    return Sequential(
        **tower,
        **hidden(D, fc, dropout, rng, start=2),  # (N, T, fc)
        pool=TemporalMaxPool(),  # (N, fc)
        scores=Linear(fc or D, classes, rng),
    )


def slow_pooling(tower, D, classes, rng, fc=4096, dropout=0.6):
    """Maxima over windows, a fully connected layer shared by all of them, then the maximum over windows."""
    return Sequential(
        **tower,
        windows=TemporalMaxPool(WINDOW, STRIDE),  # (N, m, ...)
        flatten=Flatten(2),
        fc1=Linear(D, fc, rng, relu=True),  # (N, m, fc)
        relu1=ReLU(),
        drop1=Dropout(dropout),
        pool=TemporalMaxPool(),  # (N, fc)
        fc2=Linear(fc, fc, rng, relu=True),
        relu2=ReLU(),
        drop2=Dropout(dropout),
        scores=Linear(fc, classes, rng),
    )


def local_pooling(tower, D, classes, rng, frames, fc=4096, dropout=0.6):
    """Maxima over windows, two fully connected layers shared by them, and a softmax layer that reads every window.

    frames: T, fixed, for 30 frames are 5 windows and 120 are 23, each with its own rows in the softmax layer.
    """
    m = len(windows(frames, WINDOW, STRIDE))
    return Sequential(
        length=FixedFrames(frames, "scores"),
        **tower,
        windows=TemporalMaxPool(WINDOW, STRIDE),  # (N, m, ...)
        **hidden(D, fc, dropout, rng, start=2),  # (N, m, fc)
        join=Flatten(),  # (N, m fc)
        scores=Linear(m * (fc or D), classes, rng),
    )


def time_convolution(tower, C, D, classes, rng, filters=256, kernel=3, fc=4096, dropout=0.6):
    """Convolution over 10 frames and 3 x 3 pixels, then the maximum over windows. C: channels of the map.

    D: numbers of a map of `filters` channels. Clips of fewer than 10 frames are an error: nothing is padded in time.
    """
    return Sequential(
        **tower,
        timeconv=TimeConv(C, filters, (WINDOW, kernel, kernel), STRIDE, rng=rng),  # (N, m, H, W, filters)
        pool=TemporalMaxPool(),  # (N, H, W, filters)
        **hidden(D, fc, dropout, rng),
        scores=Linear(fc or D, classes, rng),
    )


def average_pooling(tower, D, classes, rng, fc=4096, dropout=0.6):
    """The mean over all frames: every frame gets 1/T of the gradient, where a maximum picks one."""
    return Sequential(
        **tower,
        pool=TemporalAvgPool(),  # (N, ...)
        **hidden(D, fc, dropout, rng),
        scores=Linear(fc or D, classes, rng),
    )


def fc_pooling(tower, D, classes, rng, frames, fc=4096, dropout=0.6):
    """A fully connected layer as the pooling layer: it reads all T = frames frames side by side, T fixed."""
    return Sequential(
        length=FixedFrames(frames, "fc1" if fc else "scores"),
        **tower,
        **hidden(frames * D, fc, dropout, rng),  # (N, fc) from (N, T D)
        scores=Linear(fc or frames * D, classes, rng),
    )
