r"""GoogLeNet's auxiliary heads (Szegedy et al. 2014): two classifiers half-way up, to train it from scratch.

They send the label's gradient into layers that are far from the loss. After inception 4a and 4d each reads the map that
passes there:

    average pool 5 x 5, stride 3 | 1 x 1 convolution, 128, ReLU | FC 1024, ReLU | dropout 0.7 | K scores

    L = L_main + weight (L_1 + L_2)        weight 0.3 in that paper; the label at every frame

The map goes on unchanged, so that at inference, where they are left out, the network is the same with and without them.

Two containers. `SideHeads` is the tower: while training (rng given) it returns [its vector | scores of side 1 | scores
of side 2] on the last axis, and in the backward pass adds what each side sends back to the gradient of the map that it
read. `Auxiliary` is the net on clips: while training it returns a pair, the main scores and those of the sides
(N, T, sides, K), and takes the pair of their gradients; `training.objective` adds their losses.
"""

from snippets.layers.conv import Conv2D
from snippets.layers.core.base import Sequential
from snippets.layers.device.xp import xp_of
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Flatten, Linear
from snippets.layers.pool import AvgPool2D
from snippets.layers.relu import ReLU

PLACES = {"aux1": "inception4a", "aux2": "inception4d"}  # each side, and the layer whose output it reads


def side_head(side, C, classes, rng, width=1.0):
    """A classifier on maps (B, side, side, C) -> (B, K). Maps smaller than 5 x 5 are averaged whole."""
    kernel, F, units = min(5, side), max(1, round(128 * width)), max(1, round(1024 * width))
    pooled = (side - kernel) // 3 + 1
    return Sequential(
        pool=AvgPool2D(kernel, 3),  # 4 x 4 from 14 x 14
        conv=Conv2D(C, F, 1, relu=True, rng=rng),
        flatten=Flatten(),
        fc=Linear(pooled * pooled * F, units, rng, relu=True),
        relu=ReLU(),
        drop=Dropout(0.7),
        scores=Linear(units, classes, rng),
    )


def with_sides(trunk, side, classes, rng, width=1.0):
    """The frame network `trunk`, a GoogLeNet whose inception 4 has maps of side x side, with its two side heads."""
    layers, reads = {}, {place: name for name, place in PLACES.items()}
    for name, layer in trunk.layers.items():
        layers[name] = layer
        if name in reads:
            C = sum(layer.params[key].shape[3] for key in ("conv1/W", "conv3/conv/W", "conv5/conv/W", "pool/proj/W"))
            layers[reads[name]] = side_head(side, C, classes, rng, width)
    return SideHeads(**layers)


class SideHeads(Sequential):
    """A chain with side heads, the layers named in PLACES: x passes them by, their scores come out beside y."""

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
        dx, dsides, grads = dy[..., :D], dy[..., D:], {}
        for name, layer in reversed(self.layers.items()):
            if name not in caches:  # a side at inference: it had no part in y
                grads.update({f"{name}/{k}": xp_of(dy).zeros_like(a) for k, a in layer.params.items()})
                continue
            if name in PLACES:
                K = widths.pop()
                dside, layer_grads = layer.backward(dsides[..., -K:], caches[name])
                dsides, dx = dsides[..., :-K], dx + dside  # the map went two ways: gradients add
            else:
                dx, layer_grads = layer.backward(dx, caches[name])
            grads.update({f"{name}/{k}": g for k, g in layer_grads.items()})
        return dx, grads

    def predict(self, x):
        return self.trunk.predict(x)


class Auxiliary(Sequential):
    """A net whose first layer, `tower`, is OverFrames of a `SideHeads`; see the module's docstring.

    weight: of the sides' losses. Without rng it is the net without side heads.
    """

    def __init__(self, weight, classes, **layers):
        super().__init__(**layers)
        self.weight, self.classes, self.side_scores = weight, classes, len(PLACES) * classes
        self.rest = Sequential(**{name: layer for name, layer in layers.items() if name != "tower"})

    def forward(self, x, rng=None):
        y, tower_cache = self.layers["tower"].forward(x, rng)  # (N, T, D + sides K)
        if rng is None:
            scores, cache = self.rest.forward(y)
            return scores, (tower_cache, cache)
        D = y.shape[2] - self.side_scores
        scores, cache = self.rest.forward(y[..., :D], rng)
        return (scores, y[..., D:].reshape(*y.shape[:2], -1, self.classes)), (tower_cache, cache)

    def backward(self, dy, cache):
        tower_cache, rest_cache = cache
        dscores, dsides = dy if isinstance(dy, tuple) else (dy, None)
        dy, grads = self.rest.backward(dscores, rest_cache)
        if dsides is not None:
            dy = xp_of(dy).concatenate([dy, dsides.reshape(*dy.shape[:2], -1)], axis=-1)
        dx, tower_grads = self.layers["tower"].backward(dy, tower_cache)
        return dx, grads | {f"tower/{key}": g for key, g in tower_grads.items()}
