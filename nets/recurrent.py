"""The recurrent networks (section 3.2, Figure 4): stacked layers read the frames in order.

The output of a layer is the next one's input, and one softmax layer, shared over time, predicts at every frame. The
paper chose five layers of 512 LSTM cells; the plain recurrent network of its Equations 1 and 2 is what it starts from.

In all of them `tower` is as in `nets.pooling`, and (N, T, ...) becomes scores of each frame (N, T, K).
"""

from layers.base import Sequential
from layers.linear import Linear
from layers.lstm import PeepholeLSTM
from layers.rnn import RNN


def deep_lstm(tower, D, classes, rng, units=512, depth=5):
    """depth LSTM layers of `units` cells on D numbers a frame."""
    lstms = {f"lstm{n + 1}": PeepholeLSTM(units if n else D, units, rng) for n in range(depth)}
    return Sequential(**tower, **lstms, scores=Linear(units, classes, rng))


def deep_rnn(tower, D, classes, rng, units=512, depth=5, activation="logistic"):
    """depth plain recurrent layers (Eq. 1) of `units` on D numbers a frame; `scores` is Eq. 2. activation: H."""
    rnns = {f"rnn{n + 1}": RNN(units if n else D, units, rng, activation) for n in range(depth)}
    return Sequential(**tower, **rnns, scores=Linear(units, classes, rng))
