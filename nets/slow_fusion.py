"""Slow Fusion (Karpathy et al. 2014), the prior system of the paper's tables: convolutions that extend in time.

Every convolution of the tower reads several frames of the map below it, "valid" in time, so that higher layers see
more and more of them:

    conv1    4 frames, stride 2      10 frames -> 4
    conv2    2 frames, stride 2             4 -> 2
    conv3    2 frames, stride 2             2 -> 1      has seen all ten

Karpathy et al. extend the first three convolutions of a five-layer network of their own. Here they are those of this
paper's AlexNet, which has three, so that the comparison with its single frame is a comparison of connectivity alone. A
longer clip (the paper's Table 5 says 15 frames) leaves more than one place in time; Conv Pooling behind this tower
takes their maximum, so that any video of ten frames or more can be read. Each convolution has its last window at the
end of what it reads (`layers.time_conv`), so that every frame counts, whatever their number: 15 -> 7 -> 4 -> 2.
"""

from snippets.layers.core.base import Sequential
from snippets.layers.pool import MaxPool2D
from snippets.layers.time_conv import TimeConv
from snippets.nets.alexnet import NORMS, TABLE, scaled
from snippets.nets.frames import CHUNK, OverFrames

IN_TIME = ((4, 2), (2, 2), (2, 2))  # frames of each convolution's kernel, and from one to the next
LEAST = 10  # frames that a clip must have


def slow_fusion_tower(rng, width=1.0, norm="lrn", chunk=CHUNK, threads=None, recompute=False):
    """Clips (N, T, H, W, 3) in [-1, 1] -> maps (N, T', h, w, C), T' = 1 for ten frames. chunk ...: see OverFrames."""
    layers, C = {}, 3
    for n, ((kernel, stride, filters), (frames, step)) in enumerate(zip(TABLE, IN_TIME, strict=True), start=1):
        F = scaled(filters, width)
        layers[f"conv{n}"] = TimeConv(C, F, (frames, kernel, kernel), step, stride, rng=rng)
        pool_and_norm = Sequential(pool=MaxPool2D(3, 2), norm=NORMS[norm]())
        layers[f"maps{n}"] = OverFrames(pool_and_norm, chunk, threads, recompute)
        C = F
    layers["conv1"].input_grad = False  # the gradient of the pixels is not needed
    return Sequential(**layers)
