"""The deep LSTM (section 3.2, Figure 4): five stacked layers of 512 cells read the frames in order.

The output of a layer is the next one's input, and one softmax layer, shared over time, predicts at every frame.
"""

from layers.base import Sequential
from layers.linear import Linear
from layers.lstm import PeepholeLSTM


def deep_lstm(tower, D, classes, rng, units=512, depth=5):
    """tower: as in `nets.pooling`, giving D numbers a frame; depth LSTM layers of `units` cells.

    (N, T, ...) -> scores of each frame (N, T, K).
    """
    lstms = {f"lstm{n + 1}": PeepholeLSTM(units if n else D, units, rng) for n in range(depth)}
    return Sequential(**tower, **lstms, scores=Linear(units, classes, rng))
