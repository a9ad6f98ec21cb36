"""What a training step asks of a GPU, counted on the simulator, and what it would have to ask at least.

    CUDASIM_HOME=... python tests/kit/gpu_budget.py        the tables of docs/gpu.md

The model is the simulator's (`p.floor_ms(cached=True)`): a launch takes its compulsory bytes at full bandwidth, a
matrix product its operations or its operands, whichever is longer, and nothing takes less than a launch. It is no
measurement. Bytes and operations are linear in the frames, so a step of F frames follows from one and from two.
"""

import importlib
import os
import sys
from collections import Counter, defaultdict

import numpy as np

from snippets.layers.conv import Conv2D
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Linear
from snippets.layers.loss import softmax_loss  # noqa: F401  (a reader looks for it here)
from snippets.layers.lrn import LRN
from snippets.layers.pool import GlobalAvgPool, MaxPool2D
from snippets.layers.relu import ReLU
from snippets.layers.temporal import TemporalMaxPool
from snippets.nets.zoo import NetConfig, build, input_shape
from snippets.training.objective import loss_and_gradient
from snippets.training.parameters import move_to_device
from snippets.training.sgd import SGD, gradient_norm

BANDWIDTH, SGEMM, LAUNCH = 3.35e12, 60e12, 3e-6  # bytes and operations a second, seconds: the simulator's defaults
PARTS = {  # kernel: the part of the work that it is
    "im2col": "im2col", "im2col_image": "im2col", "col2im": "im2col", "add_bias": "bias and ReLU",
    "add_bias_backward": "bias and ReLU", "relu_backward": "bias and ReLU", "max_pool_forward": "pooling",
    "max_pool_backward": "pooling", "lrn_forward": "LRN", "lrn_backward": "LRN", "join": "inception's ends",
    "add": "inception's ends", "sgd": "update", "squares": "update",
}  # fmt: skip
GOOGLENET = dict(classes=101, tower="googlenet", head="conv")
DEEP_LSTM = dict(classes=101, tower="features", head="lstm", frames=30, features=1000)


def step_of(config, cp, N=1):
    """A function that runs one training step on clips that are on the GPU, as `training.gpu_loop` does."""
    net = move_to_device(build(config, chunk=64), "cuda")
    opt, xp = SGD(net.params, 0.01), np.random.default_rng(0)
    x, labels = cp.asarray(xp.normal(size=input_shape(config, N)), np.float32), cp.zeros(N, np.int64)

    def step(number=0):
        loss, _, _, grads = loss_and_gradient(net, x, labels, np.random.default_rng(number))
        grads = opt.trained(grads)
        opt.step(grads, gradient_norm(grads))
        return loss

    return step


def profile(config, cp, memory=False, warm=1):
    """The simulator's profile of one step."""
    step = step_of(config, cp)
    for _ in range(warm):
        step()
    with importlib.import_module("cudasim").profile(memory=memory) as p:
        step()
    return p


def fewest(p):
    """Launches at least, by part: every matrix product and one kernel of ours around it, every other layer's two."""
    products = sum(g.calls for g in p.gemms)
    rest = {"matrix products": products, "one kernel around each": products}
    for part, kernels in {
        "pooling": ("max_pool_forward", "max_pool_backward", "temporal_max_forward", "temporal_max_backward"),
        "LRN": ("lrn_forward", "lrn_backward"),
        "inception's ends": ("join", "add"),
        "dropout, loss, update": ("dropout", "softmax_loss", "sgd", "squares"),
    }.items():
        count = sum(p.kernels[k].launches for k in kernels if k in p.kernels)
        if count:
            rest[part] = count
    return rest


def extrapolate(one, two, frames):
    """(name, seconds of the model) of every launch and product of a step of that many frames."""
    found = []
    for name, kernel in one.kernels.items():
        pairs = [sorted(c for _, c, n in k.sizes for _ in range(n)) for k in (kernel, two.kernels[name])]
        for first, second in zip(*pairs, strict=True):
            found.append((name, max(LAUNCH, (first + (frames - 1) * (second - first)) / BANDWIDTH)))
    shapes = [sorted((g.m * g.n * g.k, (g.m, g.n, g.k)) for g in p.gemms for _ in range(g.calls)) for p in (one, two)]
    left = Counter(shape for _, shape in shapes[1])
    for _, shape in shapes[0]:  # the dimension that doubled, or none
        for grown in [tuple(d * (1 + (i == j)) for j, d in enumerate(shape)) for i in range(3)] + [shape]:
            if left[grown]:
                left[grown] -= 1
                break
        else:
            raise ValueError(f"a product {shape} of one frame has no like among those of two frames")
        m, n, k = (a + (frames - 1) * (b - a) for a, b in zip(shape, grown, strict=True))
        found.append(("product", max(LAUNCH, 2 * m * n * k / SGEMM, 4 * (m * n + m * k + n * k) / BANDWIDTH)))
    return found


def leaves(layer):
    """The layers of a net that hold no others, in order."""
    inner = getattr(layer, "layers", None)
    return [leaf for child in inner.values() for leaf in leaves(child)] if inner else [layer]


def own_floor(config, frames):
    """Seconds that the network itself allows, by part: each layer's operations, or what it must read and write.

    Forward a layer reads x and its parameters and writes y; backward a product reads dy and what it multiplies it with
    and writes the result; others read dy and what the slope depends on and write dx. No launch takes less than LAUNCH.
    """
    net, total = build(config), defaultdict(float)
    seen = []
    for layer in {id(leaf): leaf for leaf in leaves(net)}.values():
        layer.predict = record(layer, layer.predict, seen)
    net.predict(np.zeros(input_shape(config, T=1), np.float32))

    def takes(part, *sizes, madds=0):
        total[part] += max(LAUNCH, 4 * sum(sizes) / BANDWIDTH, 2 * madds / SGEMM)

    before_pool = True
    for layer, x, y in seen:
        scale = frames if before_pool else 1
        x, y = x * scale, y * scale
        if isinstance(layer, (Conv2D, Linear)):
            W = layer.params["W"]
            madds = y // W.shape[-1] * W.size
            for needed in (True, True, getattr(layer, "input_grad", True)):
                if needed:
                    takes("matrix products", x, y, W.size, madds=madds)
            for passes in ((y, y), (y, y, y)):  # y += b and ReLU; dy where y > 0, and its sum
                takes("bias and ReLU", *passes)
        elif isinstance(layer, MaxPool2D):
            takes("pooling", x, y, y // 4)
            takes("pooling", x, y, y // 4)
        elif isinstance(layer, LRN):
            takes("LRN", x, y)
            takes("LRN", x, x, y)
        elif isinstance(layer, (GlobalAvgPool, TemporalMaxPool, Dropout, ReLU)):
            takes("rest", x, y)
            takes("rest", x, y)
        before_pool = before_pool and not isinstance(layer, TemporalMaxPool)
    params = sum(a.size for a in net.params.values())
    takes("update", params, 5 * params)  # the norm, then w, v, g -> w, v
    return dict(total)


def record(layer, predict, seen):
    def run(x):
        y = predict(x)
        seen.append((layer, x.size, y.size))
        return y

    return run


def floors(cp, frames, size=220, width=1.0):
    """{part: (seconds that we ask in the model, seconds that the network allows)} of a GoogLeNet step; the profiles."""
    config = NetConfig(**GOOGLENET, frames=1, size=size, width=width)
    one, two = (profile(NetConfig(**GOOGLENET, frames=T, size=size, width=width), cp, True, warm=0) for T in (1, 2))
    ours = defaultdict(float)
    for name, seconds in extrapolate(one, two, frames):
        ours["matrix products" if name == "product" else PARTS.get(name, "rest")] += seconds
    own = own_floor(config, frames)
    return {part: (ours.get(part, 0.0), own.get(part, 0.0)) for part in sorted({*ours, *own})}, two


def main():
    sys.path.insert(0, os.environ["CUDASIM_HOME"])
    importlib.import_module("cudasim").activate()
    cp = importlib.import_module("cupy")
    cp.cuda.set_allocator(cp.cuda.MemoryPool().malloc)
    for title, config in {
        "GoogLeNet, conv pooling": NetConfig(**GOOGLENET, frames=4, size=32, width=0.25, fc=64),
        "LSTM 5 x 512, 30 frames": NetConfig(**DEEP_LSTM),
    }.items():
        p = profile(config, cp)
        least, ours = fewest(p), p.launches + sum(g.calls for g in p.gemms)
        print(title, least, f"fewest {sum(least.values())}, ours {ours}, ratio {ours / sum(least.values()):.2f}")
    frames = 64
    table, two = floors(cp, frames)
    for part, (ours, own) in [*table.items(), ("all", tuple(map(sum, zip(*table.values(), strict=True))))]:
        print(f"{part:20} {1e3 * ours:8.2f} ms {1e3 * own:8.2f} ms")
    for name, k in two.kernels.items():
        print(f"{name[:40]:40} {k.launches:4} launches, efficiency {k.efficiency:.2f}, rereads {k.rereads:.2f}")


if __name__ == "__main__":
    main()
