"""The recurrent networks (section 3.2, Figure 4): stacked layers read the frames in order.

The output of a layer is the next one's input, and one softmax layer, shared over time, predicts at every frame. The
paper chose five layers of 512 LSTM cells; the plain recurrent network of its Equations 1 and 2 is what it starts from.

In all of them `tower` is as in `nets.pooling`, and (N, T, ...) becomes scores of each frame (N, T, K).
"""

from snippets.layers.conv_lstm import ConvLSTM
from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Flatten, Linear
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.rnn import RNN


def deep_lstm(tower, D, classes, rng, units=512, depth=5):
    """depth LSTM layers of `units` cells on D numbers a frame."""
    lstms = {f"lstm{n + 1}": PeepholeLSTM(units if n else D, units, rng) for n in range(depth)}
    return Sequential(**tower, **lstms, scores=Linear(units, classes, rng))


def deep_conv_lstm(tower, shape, classes, rng, filters=256, kernel=3, depth=1, dropout=0.6):
    """depth convolutional LSTM layers on maps of shape (H, W, C): the recurrent CNN of the paper's future work.

    The softmax layer reads all pixels of the last layer's maps, whose layout is kept.
    """
    H, W, C = shape
    layers = {f"convlstm{n + 1}": ConvLSTM(filters if n else C, filters, kernel, rng=rng) for n in range(depth)}
    return Sequential(
        **tower,
        **layers,  # (N, T, H, W, filters)
        flatten=Flatten(2),
        drop=Dropout(dropout),
        scores=Linear(H * W * filters, classes, rng),  # (N, T, K)
    )


def deep_rnn(tower, D, classes, rng, units=512, depth=5, activation="logistic"):
    """depth plain recurrent layers (Eq. 1) of `units` on D numbers a frame; `scores` is Eq. 2. activation: H."""
    rnns = {f"rnn{n + 1}": RNN(units if n else D, units, rng, activation) for n in range(depth)}
    return Sequential(**tower, **rnns, scores=Linear(units, classes, rng))
