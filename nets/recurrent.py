"""The recurrent networks (section 3.2, Figure 4): stacked layers read the frames in order.

The output of a layer is the next one's input, and one softmax layer, shared over time, predicts at every frame. The
paper chose five layers of 512 LSTM cells; the plain recurrent network of its Equations 1 and 2 is what it starts from.

Each of them is a head (`nets.zoo`): (tower, shape of its output per frame, NetConfig, rng) -> net, which makes scores
of each frame (N, T, K) of clips (N, T, ...).
"""

from snippets.layers.conv_lstm import ConvLSTM
from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Flatten, Linear
from snippets.layers.lstm import PeepholeLSTM
from snippets.layers.rnn import RNN


def deep_lstm(tower, shape, config, rng):
    """Layers of LSTM cells (Eq. 3 to 7) on vectors of shape (D,)."""
    (D,), M = shape, config.units
    lstms = {f"lstm{n + 1}": PeepholeLSTM(M if n else D, M, rng, config.forget_bias) for n in range(config.depth)}
    return Sequential(**tower, **lstms, scores=Linear(M, config.classes, rng))


def deep_conv_lstm(tower, shape, config, rng):
    """Convolutional LSTM layers on maps of shape (H, W, C): the recurrent CNN of the paper's future work.

    The softmax layer reads all pixels of the last layer's maps, whose layout is kept.
    """
    (H, W, C), F, k = shape, config.filters, config.kernel
    layers = {
        f"convlstm{n + 1}": ConvLSTM(F if n else C, F, k, rng=rng, forget_bias=config.forget_bias)
        for n in range(config.depth)
    }
    return Sequential(
        **tower,
        **layers,  # (N, T, H, W, F)
        flatten=Flatten(2),
        drop=Dropout(config.dropout),
        scores=Linear(H * W * F, config.classes, rng),  # (N, T, K)
    )


def deep_rnn(tower, shape, config, rng):
    """Plain recurrent layers (Eq. 1) on vectors of shape (D,); `scores` is Eq. 2."""
    (D,), M = shape, config.units
    rnns = {f"rnn{n + 1}": RNN(M if n else D, M, rng, config.activation) for n in range(config.depth)}
    return Sequential(**tower, **rnns, scores=Linear(M, config.classes, rng))
