"""Means and standard deviations for the layer `layers.features.standardise`, measured over the training videos."""

import numpy as np

from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import to_numpy, xp_of
from snippets.nets.frames import one_blas_thread
from snippets.training.objective import on_device
from snippets.training.sgd import MEASURED

LAYER = MEASURED.rstrip("/")  # its name in a network, see `nets.zoo`


@one_blas_thread
def standardise_inputs(net, dataset):
    """Set the layer's mean and std to those of what it reads, over the middle clip of every video of `dataset`.

    A net without the layer, and one whose layer has other numbers than new ones (from another network), stay as they
    are. A feature that never varies keeps a standard deviation of 1.
    """
    if LAYER not in net.layers or not bool((net.layers[LAYER].params["std"] == 1).all()):
        return
    names = list(net.layers)
    front = Sequential(**{name: net.layers[name] for name in names[: names.index(LAYER)]})
    count, total, square = 0, 0.0, 0.0  # of rows, of which a clip has several if time is still there
    for i in range(len(dataset)):
        for x in dataset.test_clips(i):
            y = to_numpy(front.predict(on_device(net, x[None]))).astype(np.float64)
            y = y.reshape(-1, y.shape[-1])  # (rows, D)
            count, total, square = count + len(y), total + y.sum(axis=0), square + np.square(y).sum(axis=0)
    mean = total / count
    variance = square / count - mean**2
    std = np.sqrt(np.where(variance > 1e-9 * (1e-9 + square / count), variance, 1.0))  # else it is rounding alone
    for name, value in (("mean", mean), ("std", std)):
        a = net.layers[LAYER].params[name]
        a[...] = xp_of(a).asarray(value, dtype=a.dtype)
