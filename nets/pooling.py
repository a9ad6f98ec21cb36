"""Networks that pool over time (section 3.1, Figure 2): what any one frame shows, wherever in the clip it stands.

Conv Pooling takes the maximum over all T frames of the last convolutional map, its spatial layout kept, then two fully
connected layers and the softmax layer. On GoogLeNet the maximum is taken over the 1000-dimensional output. The number
of frames appears in no parameter, and at T = 1 the maximum is the frame itself: the single-frame network is Conv
Pooling with one frame, which is why a trained one can be expanded to 30 frames and then to 120.
"""

from layers.base import Sequential
from layers.dropout import Dropout
from layers.linear import Flatten, Linear
from layers.temporal import TemporalMaxPool
from nets.alexnet import fully_connected


def conv_pooling(tower, D, classes, rng, fc=4096, dropout=0.6):
    """tower: a layer dict {"tower": OverFrames(...)}, or {} for precomputed features; its output flattens to D numbers.

    (N, T, ...) -> scores (N, K). fc = 0 leaves the fully connected layers out: the softmax layer reads the pool.
    """
    hidden = fully_connected(D, fc, dropout, rng) if fc else {"flatten": Flatten(), "drop": Dropout(dropout)}
    return Sequential(
        **tower,
        pool=TemporalMaxPool(),  # (N, ...)
        **hidden,  # (N, fc)
        scores=Linear(fc or D, classes, rng),  # (N, K)
    )
