r"""GoogLeNet's auxiliary heads (Szegedy et al. 2014): two classifiers half-way up, to train it from scratch.

They send the label's gradient into layers that are far from the loss. After inception 4a and 4d each reads the map that
passes there:

    average pool 5 x 5, stride 3 | 1 x 1 convolution, 128, ReLU | FC 1024, ReLU | dropout 0.7 | K scores

    L = L_main + weight (L_1 + L_2)        weight 0.3 in that paper; the label at every frame

The map goes on unchanged, so that at inference, where they are left out, the network is the same with and without them.

Two containers. `AuxiliaryTower` is the tower: while training (rng given) it returns [its vector | scores of head 1 |
scores of head 2] on the last axis, and in the backward pass adds what each head sends back to the gradient of the map
that it read. `AuxiliaryNet` is the net on clips: while training it returns a pair, the main scores and those of the
auxiliary heads (N, T, 2, K), and takes the pair of their gradients; `training.objective` adds their losses.
"""

from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import xp_of
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Flatten, Linear
from snippets.layers.pool import AvgPool2D
from snippets.layers.relu import ReLU
from snippets.nets.alexnet import scaled
from snippets.nets.frames import behind_tower
from snippets.nets.inspect.fake import output_shape

PLACES = {"aux1": "inception4a", "aux2": "inception4d"}  # each head, and the layer whose output it reads


def auxiliary_head(size, C, classes, rng, width=1.0):
    """A classifier on maps (B, size, size, C) -> (B, K). Maps smaller than 5 x 5 are averaged whole."""
    kernel, F, units = min(5, size), scaled(128, width), scaled(1024, width)
    pooled = (size - kernel) // 3 + 1
    return Sequential(
        pool=AvgPool2D(kernel, 3),  # 4 x 4 from 14 x 14
        conv=Conv2D(C, F, 1, relu=True, rng=rng),
        flatten=Flatten(),
        fc=Linear(pooled * pooled * F, units, rng, relu=True),
        relu=ReLU(),
        drop=Dropout(0.7),
        scores=Linear(units, classes, rng),
    )


def with_auxiliary_heads(trunk, size, classes, rng, width=1.0):
    """The frame network `trunk`, a GoogLeNet, with its auxiliary heads, for frames of size x size pixels."""
    layers, heads, shape = {}, {place: name for name, place in PLACES.items()}, (1, size, size, 3)
    for name, layer in trunk.layers.items():
        layers[name], shape = layer, output_shape(layer, shape)
        if name in heads:
            layers[heads[name]] = auxiliary_head(shape[1], shape[3], classes, rng, width)
    tower = AuxiliaryTower(**layers)
    tower.cut = trunk.cut  # all heads are behind it
    return tower


class AuxiliaryTower(Sequential):
    """A chain with the heads named in PLACES: x goes past them, and their scores are joined to y."""

    @property
    def trunk(self):
        """The chain without them: what runs at inference."""
        return Sequential(**{name: layer for name, layer in self.layers.items() if name not in PLACES})

    def forward(self, x, rng=None):
        scores, caches = [], {}
        for name, layer in self.layers.items():
            if name not in PLACES:
                x, caches[name] = layer.forward(x, rng)
            elif rng is not None:
                y, caches[name] = layer.forward(x, rng)
                scores.append(y)
        return xp_of(x).concatenate([x, *scores], axis=-1), (caches, [y.shape[-1] for y in scores])

    def backward(self, dy, cache):
        caches, widths = cache[0], list(cache[1])
        D = dy.shape[-1] - sum(widths)
        dx, dheads, grads = dy[..., :D], dy[..., D:], {}
        for name, layer in reversed(self.layers.items()):
            if name not in caches:  # a head at inference: it had no part in y
                grads.update({f"{name}/{k}": xp_of(dy).zeros_like(a) for k, a in layer.params.items()})
                continue
            if name in PLACES:
                K = widths.pop()
                dhead, layer_grads = layer.backward(dheads[..., -K:], caches[name])
                dheads, dx = dheads[..., :-K], dx + dhead  # the map went two ways: gradients add
            else:
                dx, layer_grads = layer.backward(dx, caches[name])
            grads.update({f"{name}/{k}": g for k, g in layer_grads.items()})
        return dx, grads

    def predict(self, x):
        return self.trunk.predict(x)


class AuxiliaryNet(Sequential):
    """A net whose first layer, `tower`, is OverFrames of an `AuxiliaryTower`; see the module's docstring.

    weight: of the auxiliary heads' losses. Without rng it is the net without them.
    """

    def __init__(self, weight, classes, **layers):
        super().__init__(**layers)
        self.weight, self.classes, self.auxiliary_scores = weight, classes, len(PLACES) * classes

    def forward(self, x, rng=None):
        y, tower_cache = self.layers["tower"].forward(x, rng)  # (N, T, D + 2 K)
        if rng is None:
            scores, cache = behind_tower(self).forward(y)
            return scores, (tower_cache, cache)
        D = y.shape[2] - self.auxiliary_scores
        scores, cache = behind_tower(self).forward(y[..., :D], rng)
        return (scores, y[..., D:].reshape(*y.shape[:2], -1, self.classes)), (tower_cache, cache)

    def backward(self, dy, cache):
        tower_cache, rest_cache = cache
        dscores, dheads = dy if isinstance(dy, tuple) else (dy, None)
        dy, grads = behind_tower(self).backward(dscores, rest_cache)
        if dheads is not None:
            dy = xp_of(dy).concatenate([dy, dheads.reshape(*dy.shape[:2], -1)], axis=-1)
        dx, tower_grads = self.layers["tower"].backward(dy, tower_cache)
        return dx, grads | {f"tower/{key}": g for key, g in tower_grads.items()}
