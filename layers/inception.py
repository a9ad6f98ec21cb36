r"""Inception module (Szegedy et al. 2014, Figure 2b): four ways to look at the same map, side by side.

    y = [ conv1(x) | conv3(reduce3(x)) | conv5(reduce5(x)) | proj(maxpool(x)) ]        joined on the channel axis

1x1 convolutions before the 3x3 and 5x5 reduce the channels that these see; the pool is 3x3 with stride 1. Every
convolution ends in a ReLU. Each branch saw x, so in the backward pass their gradients add
(`layers.core.branches`).
"""

from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.core.branches import Branches
from snippets.layers.pool import MaxPool2D


class Inception(Branches):
    """(N, H, W, C) -> (N, H, W, n1 + n3 + n5 + proj), the channels being joined in this order.

    filters: a row of the GoogLeNet table, (n1, r3, n3, r5, n5, proj); kernel5: the kernel of the 5x5 branch, which is 3
    in torchvision's weights.
    """

    def __init__(self, C, filters, kernel5=5, *, rng):
        n1, r3, n3, r5, n5, proj = filters
        super().__init__(
            conv1=Conv2D(C, n1, 1, relu=True, rng=rng),
            conv3=Sequential(reduce=Conv2D(C, r3, 1, relu=True, rng=rng), conv=Conv2D(r3, n3, 3, relu=True, rng=rng)),
            conv5=Sequential(
                reduce=Conv2D(C, r5, 1, relu=True, rng=rng), conv=Conv2D(r5, n5, kernel5, relu=True, rng=rng)
            ),
            pool=Sequential(max=MaxPool2D(3, 1), proj=Conv2D(C, proj, 1, relu=True, rng=rng)),
        )
