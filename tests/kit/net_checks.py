"""The networks held against the paper's tables and against chains of oracles; a check takes the module to test."""

import numpy as np
import oracles
import oracles_time
from agreement import normal
from contract import assert_close
from layer_cases import spaced

from snippets.layers.conv import Conv2D
from snippets.layers.dropout import Dropout
from snippets.layers.lrn import LRN, lrn_plain
from snippets.layers.pool import GlobalAvgPool, MaxPool2D, max_pool_plain
from snippets.nets.googlenet import googlenet as googlenet_of
from snippets.nets.zoo import NetConfig

GOOGLENET = {  # in, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def sides(net, kind, size=220):
    """Side of the map after every layer of this kind, for a frame of size x size pixels."""
    x, found = np.zeros((1, size, size, 3), np.float32), []
    for layer in net.layers.values():
        x = layer.predict(x)
        if isinstance(layer, kind):
            assert x.shape[1] == x.shape[2], f"a square frame became a map of {x.shape}"
            found.append(x.shape[1])
    return found


def of(net, kind):
    """The layers of this kind, in order."""
    return [layer for layer in net.layers.values() if isinstance(layer, kind)]


def expect(got, wanted, what):
    """An assertion that shows both values (pytest rewrites those of test files only)."""
    assert got == wanted, f"{what}: {got}, expected {wanted}"


def googlenet(module):
    """The 2014 table row by row, 110-55-28-14-7 at 220 pixels, LRN as Caffe's, 40 % dropped, 6,998,552 parameters."""
    net = module.googlenet(np.random.default_rng(0))
    p = net.params
    for name, shape in {
        "conv1": (7, 7, 3, 64),
        "reduce2": (1, 1, 64, 64),
        "conv2": (3, 3, 64, 192),
        "linear": (1024, 1000),
    }.items():
        expect(p[name + "/W"].shape, shape, name)
    for row, (C, n1, r3, n3, r5, n5, proj) in GOOGLENET.items():
        shapes = [(1, 1, C, n1), (1, 1, C, r3), (3, 3, r3, n3), (1, 1, C, r5), (5, 5, r5, n5), (1, 1, C, proj)]
        found = [v.shape for k, v in p.items() if k.startswith(f"inception{row}/") and k.endswith("W")]
        expect(found, shapes, f"inception {row}")
    expect([o.options for o in of(net, LRN)], [dict(n=5, k=1.0, alpha=1e-4, beta=0.75, divide_by_n=True)] * 2, "LRN")
    expect([layer.p for layer in of(net, Dropout)], [0.4], "dropout")
    expect(all(layer.relu for layer in of(net, Conv2D)), True, "ReLU after every convolution")
    order = ["conv1", "pool1", "norm1", "reduce2", "conv2", "norm2", "pool2"]
    expect([name for name in net.layers if not name.startswith("inception")][:7], order, "order of the stem")
    trunk = sum(v.size for k, v in p.items() if not k.startswith("linear/"))
    expect((trunk, sum(v.size for v in p.values())), (5_973_552, 6_998_552), "parameters of the trunk and of all")
    small = module.googlenet(np.random.default_rng(0), width=1 / 32, out=10)
    expect(sides(small, Conv2D)[0], 110, "first map")
    expect(sides(small, MaxPool2D), [55, 28, 14, 7], "pooled maps")
    expect(len(of(small, GlobalAvgPool)), 1, "global average pools")


def googlenet_variants(module):
    """Caffe pads its first convolution by 3 and rounds pools up; its ONNX file rounds down; torchvision has no LRN."""
    for variant, lrn, kernel5, at220, at224 in [
        ("paper", 2, 5, [110, 55, 28, 14, 7], [112, 56, 28, 14, 7]),
        ("caffe", 2, 5, [110, 55, 27, 13, 6], [112, 56, 28, 14, 7]),
        ("onnx", 2, 5, [110, 54, 26, 12, 5], [112, 55, 27, 13, 6]),
        ("torchvision", 0, 3, [110, 55, 27, 13, 7], [112, 56, 28, 14, 7]),
    ]:
        net = module.googlenet(np.random.default_rng(0), width=1 / 32, out=10, variant=variant)
        for size, wanted in ((220, at220), (224, at224)):
            found = sides(net, Conv2D, size)[:1] + sides(net, MaxPool2D, size)
            expect(found, wanted, f"maps of variant {variant} at {size}")
        expect(len(of(net, LRN)), lrn, f"LRN layers of variant {variant}")
        expect(net.params["inception3a/conv5/conv/W"].shape[0], kernel5, f"kernel of variant {variant}")
        expect(net.layers["conv1"].pad, "same" if variant == "paper" else 3, f"padding of variant {variant}")
        expect(net.layers["pool4"].size, 2 if variant == "torchvision" else 3, f"last pool of variant {variant}")


def alexnet(module):
    """11, 9, 5; strides 4, 1, 1; convolution, pool, LRN in this order with the constants of 2012; 60 % dropped."""
    net = module.alexnet(np.random.default_rng(0))
    shapes = [(11, 11, 3, 96), (9, 9, 96, 256), (5, 5, 256, 256)]
    expect([layer.params["W"].shape for layer in of(net, Conv2D)], shapes, "kernels")
    expect([(layer.stride, layer.relu) for layer in of(net, Conv2D)], [(4, True), (1, True), (1, True)], "stride, ReLU")
    expect([type(layer).__name__ for layer in net.layers.values()], ["Conv2D", "MaxPool2D", "LRN"] * 3, "order")
    expect([o.options for o in of(net, LRN)], [dict(n=5, k=2.0, alpha=1e-4, beta=0.75, divide_by_n=False)] * 3, "LRN")
    small = module.alexnet(np.random.default_rng(0), width=1 / 32)
    expect((sides(small, Conv2D), sides(small, MaxPool2D)), ([55, 28, 14], [28, 14, 7]), "maps")
    fc = module.fully_connected(6, 4, 0.6, np.random.default_rng(0))
    expect([layer.p for layer in fc.values() if isinstance(layer, Dropout)], [0.6, 0.6], "dropout")


def auxiliary(module):
    """After 4a and 4d: 5 x 5/3 average, 128 1 x 1 filters, 1024 units, 70 % dropped; nothing of it at inference."""
    for place, C in [("inception4a", 512), ("inception4d", 528)]:
        side = module.auxiliary_head(14, C, 101, np.random.default_rng(0))
        shapes = [(1, 1, C, 128), (4 * 4 * 128, 1024), (1024, 101)]
        expect([a.shape for key, a in side.params.items() if key.endswith("W")], shapes, f"weights after {place}")
        expect((side.layers["pool"].size, side.layers["pool"].stride), (5, 3), "average pool")
        expect([layer.p for layer in of(side, Dropout)], [0.7], "dropout")
        expect([layer.relu for layer in of(side, Conv2D)], [True], "ReLU after the convolution")
        kinds = ["AvgPool2D", "Conv2D", "Flatten", "Linear", "ReLU", "Dropout", "Linear"]
        expect([type(layer).__name__ for layer in side.layers.values()], kinds, "order")
    rng = np.random.default_rng(0)
    net = in_float64(module.with_auxiliary_heads(googlenet_of(rng, 1 / 16, 9), 70, 4, rng, 1 / 16))
    names = list(net.layers)
    expect([names[names.index(side) - 1] for side in ("aux1", "aux2")], ["inception4a", "inception4d"], "places")
    x = spaced((2, 70, 70, 3), 1)
    y, cache = net.forward(x, np.random.default_rng(1))
    expect((y.shape, net.predict(x).shape), ((2, 9 + 2 * 4), (2, 9)), "outputs while training and at inference")
    without = in_float64(googlenet_of(np.random.default_rng(0), 1 / 16, 9))
    for key, a in without.params.items():
        a[...] = net.params[key]
    assert_close(net.predict(x), without.predict(x), "y", rtol=0)
    dy = normal(*y.shape)
    grads = net.backward(dy, cache)[1]
    dy[:, :9] = 0  # from the sides alone: what stands above them hears nothing
    from_sides = net.backward(dy, cache)[1]
    heard = {key.split("/")[0] for key, g in from_sides.items() if g.any()}
    expect(
        heard, {*names[: names.index("aux2") + 1]} & {key.split("/")[0] for key in grads}, "layers that hear the sides"
    )
    dy[:, 9 : 9 + 4] = 0  # from the second alone
    heard = {key.split("/")[0] for key, g in net.backward(dy, cache)[1].items() if g.any()}
    expect(
        "aux2" in heard and "inception4d" in heard and "aux1" not in heard, True, "the second side's scores come last"
    )


def head_net(head, shape, **config):
    """The net that a head makes of what a tower of this shape gives for each frame."""
    return head({}, shape, NetConfig(**{"classes": 5, **config}), np.random.default_rng(0))


def in_float64(net):
    """The net with every parameter of order one."""
    net.convert(lambda a: a.astype(np.float64))
    for k, value in enumerate(net.params.values()):
        value[...] = normal(*value.shape, seed=40 + k)
    return net


def fc(p, name, y):
    """A fully connected layer of the net with parameters p: an oracle and its ReLU."""
    return np.maximum(oracles.linear(y, p[name + "/W"], p[name + "/b"]), 0)


def highest(x, *window):
    """The maximum over frames, whole (N, ...) or in windows (N, m, ...), by the oracle."""
    y = oracles.take(x, oracles_time.temporal_max_winners(x, *window))
    return y if window else y[:, 0]


def rows(y, axes=1):
    return y.reshape(*y.shape[:axes], -1)


def chains(T):
    """{builder's name: what stands between the tower and the scores}, of x (N, T, 2, 2, 3) and parameters p."""
    return {
        "conv_pooling": lambda p, x: fc(p, "fc2", fc(p, "fc1", rows(highest(x)))),
        "late_pooling": lambda p, x: highest(fc(p, "fc2", fc(p, "fc1", rows(x, 2)))),
        "slow_pooling": lambda p, x: fc(p, "fc2", highest(fc(p, "fc1", rows(highest(x, 10, 5), 2)))),
        "local_pooling": lambda p, x: rows(fc(p, "fc2", fc(p, "fc1", rows(highest(x, 10, 5), 2)))),
        "average_pooling": lambda p, x: fc(p, "fc2", fc(p, "fc1", rows(sum(x[:, t] for t in range(T)) / T))),
        "fc_pooling": lambda p, x: fc(p, "fc2", fc(p, "fc1", rows(x))),
    }


def pooling(module):
    """Every pooling network is the chain of oracles that Figure 2 draws, 60 % dropped in both layers."""
    for T in (4, 13):
        x = spaced((3, T, 2, 2, 3), 1)
        for name, chain in chains(T).items():
            net = in_float64(head_net(getattr(module, name), (2, 2, 3), frames=T, fc=6, dropout=0.6))
            wanted = oracles.linear(chain(net.params, x), net.params["scores/W"], net.params["scores/b"])
            assert_close(net.predict(x), wanted, f"scores of {name}", rtol=1e-11)
            expect([layer.p for layer in of(net, Dropout)], [0.6, 0.6], f"{name}: dropout")


def time_convolution(module):
    """256 kernels of 3 x 3 over 10 frames, stride 5, "same" in space; then the maximum over the windows."""
    x = spaced((2, 16, 3, 2, 2), 1)
    net = in_float64(head_net(module.time_convolution, (3, 2, 2), width=3 / 256, fc=6))
    p = net.params
    expect(p["timeconv/W"].shape, (10, 3, 3, 2, 3), "kernels")
    y = highest(oracles_time.time_conv(x, p["timeconv/W"], p["timeconv/b"], stride=5))
    wanted = oracles.linear(fc(p, "fc2", fc(p, "fc1", rows(y))), p["scores/W"], p["scores/b"])
    assert_close(net.predict(x), wanted, "scores", rtol=1e-11)
    paper = head_net(module.time_convolution, (7, 7, 256), fc=1).params
    expect(paper["timeconv/W"].shape, (10, 3, 3, 256, 256), "the paper's kernels")


def slow_fusion(module):
    """4, 2 and 2 frames, strides 2, 2 and 2, AlexNet's kernels: 10 frames become one, 15 two, by a chain of oracles."""
    net = in_float64(module.slow_fusion_tower(np.random.default_rng(0), width=1 / 96))
    shapes = [(4, 11, 11, 3, 1), (2, 9, 9, 1, 3), (2, 5, 5, 3, 3)]
    expect([net.params[f"conv{n}/W"].shape for n in (1, 2, 3)], shapes, "kernels")
    for T, places in ((10, (4, 2, 1)), (15, (7, 4, 2))):
        y = x = spaced((1, T, 9, 8, 3), 1)
        for n, stride, (kernel, step) in zip((1, 2, 3), (4, 1, 1), ((4, 2), (2, 2), (2, 2)), strict=True):
            y = oracles_time.time_conv(y, net.params[f"conv{n}/W"], net.params[f"conv{n}/b"], step, True, stride)
            expect(y.shape[1], places[n - 1], f"places in time after {kernel} frames")
            frames = y.reshape(-1, *y.shape[2:])
            frames = lrn_plain(max_pool_plain(frames)[0])
            y = frames.reshape(*y.shape[:2], *frames.shape[1:])
        assert_close(net.predict(x), y, "maps", rtol=1e-10)


def deep_lstm(module):
    """The output of a layer is the next one's input; the same scores layer at every frame: a chain of oracles."""
    net = in_float64(head_net(module.deep_lstm, (3,), units=4, depth=3))
    x, p, zero = spaced((2, 4, 3), 1), net.params, np.zeros((2, 4))
    h, names = x, ("lstm1", "lstm2", "lstm3")
    expect({key.split("/")[0] for key in p}, {*names, "scores"}, "layers")
    for layer in names:
        h, _ = oracles_time.lstm(h, zero, zero, *(p[f"{layer}/{name}"] for name in ("W_x", "W_h", "W_c", "b")))
    assert_close(net.predict(x), oracles.linear(h, p["scores/W"], p["scores/b"]), "scores", rtol=1e-10)
    paper = head_net(module.deep_lstm, (1000,)).params
    expect(sum(v.size for k, v in paper.items() if k.startswith("lstm")), 11_503_104, "parameters of five LSTM layers")


def deep_rnn(module):
    """Equation 1 in layers, Equation 2 at every frame: a chain of oracles."""
    for activation in ("logistic", "tanh"):
        net = in_float64(head_net(module.deep_rnn, (3,), units=4, depth=3, activation=activation))
        h, p = spaced((2, 4, 3), 1), net.params
        x = h
        for layer in ("rnn1", "rnn2", "rnn3"):
            W_x, W_h, b = (p[f"{layer}/{name}"] for name in ("W_x", "W_h", "b"))
            h = oracles_time.rnn(h, np.zeros((2, 4)), W_x, W_h, b, activation)
        assert_close(net.predict(x), oracles.linear(h, p["scores/W"], p["scores/b"]), "scores", rtol=1e-10)


def deep_conv_lstm(module):
    """Layers of convolutional LSTM, then one softmax layer on all pixels of each frame: a chain of oracles."""
    net = in_float64(head_net(module.deep_conv_lstm, (3, 2, 2), width=3 / 256, depth=2))
    x, p, zero = spaced((2, 3, 3, 2, 2), 1), net.params, np.zeros((2, 3, 2, 3))
    h = x
    for layer in ("convlstm1", "convlstm2"):
        h, _ = oracles_time.conv_lstm(h, zero, zero, *(p[f"{layer}/{name}"] for name in ("W_x", "W_h", "W_c", "b")))
    assert_close(net.predict(x), oracles.linear(rows(h, 2), p["scores/W"], p["scores/b"]), "scores", rtol=1e-10)
    expect(p["convlstm1/W_x"].shape, (3, 3, 2, 12), "filters of the four gates")


CHECKS = {
    "snippets.nets.alexnet": [alexnet],
    "snippets.nets.googlenet": [googlenet, googlenet_variants],
    "snippets.nets.pooling": [pooling, time_convolution],
    "snippets.nets.auxiliary": [auxiliary],
    "snippets.nets.slow_fusion": [slow_fusion],
    "snippets.nets.recurrent": [deep_lstm, deep_rnn, deep_conv_lstm],
}
