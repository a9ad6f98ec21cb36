"""The inputs of A3's questions, and how each function is called; it has no answers.

CASES: the sizes of each case: N images of H x W pixels and C channels, and what is special about it. CALLS: for each
question a function that draws inputs and one that calls the student's function on them. OWN: the same, for whether a
backward pass is the derivative of the forward pass beside it.
"""

from functools import partial

import numpy as np

from snippets.layers.core.base import Sequential
from snippets.layers.dropout import Dropout
from snippets.layers.linear import Linear
from snippets.layers.relu import ReLU
from snippets.training.assignments.calls import hunt, slopes, with_directions

CASES = {
    "public": {"small": {}, "views": dict(N=3, variant="torchvision")},
    "hidden": {
        "caffe": dict(k=1, divide_by_n=1, variant="caffe", tap="average"),
        "few channels": dict(C=3, n=7, variant="onnx", tap="maps"),
        "one channel": dict(C=1, n=3),
        "no neighbours": dict(n=1, beta=0.5),
        "square root": dict(beta=0.5, n=3, variant="onnx"),
        "one pixel": dict(N=1, H=1, W=1, size=40),
        "views": dict(C=6, variant="caffe"),
        "float32": {},
    },
    "own": {"slope": {}},
}


def draw_lrn(lrn, rng, N=2, H=3, W=2, C=8, n=5, k=2, beta=0.75, divide_by_n=0, **unused):
    """alpha is of order one, so that every term counts."""
    x, dy = rng.standard_normal((2, N, H, W, C))
    return dict(x=x, n=n, k=k, alpha=0.7, beta=beta, divide_by_n=divide_by_n, dy=dy)


def lrn_forward(lrn, x, n, k, alpha, beta, divide_by_n, dy):
    y, _ = lrn.lrn_forward(x, int(n), float(k), float(alpha), float(beta), bool(divide_by_n))
    return dict(y=y)


def lrn_backward(lrn, x, n, k, alpha, beta, divide_by_n, dy):
    y, cache = lrn.lrn_forward(x, int(n), float(k), float(alpha), float(beta), bool(divide_by_n))
    return dict(y=y, dx=lrn.lrn_backward(dy, cache))


def draw_lrn_slope(lrn, rng, **sizes):
    return with_directions(draw_lrn(lrn, rng, **sizes), rng, ["x"])


def draw_any_lrn(lrn, rng):
    """A window of any kind."""
    kind = dict(k=int(rng.integers(1, 3)), divide_by_n=int(rng.integers(2)), beta=[0.75, 0.5][rng.integers(2)])
    return draw_lrn(lrn, rng, C=int(rng.integers(4, 9)), n=int(rng.choice([3, 5])), **kind)


def draw_branches(branches, rng, N=2, H=3, W=2, C=8, **unused):
    """Weights of two branches; a third one hands on what it gets."""
    y = rng.standard_normal((N, H, W, C + 3 + 2))
    x, other = rng.standard_normal((2, N, H, W, C))
    return dict(x=x, other=other, W_a=rng.standard_normal((C, 3)), W_b=rng.standard_normal((C, 2)), dy=y)


def branches(module, x, other, W_a, W_b, dy):
    """Two runs, then the backward pass of the first. Dropout draws from rng while training."""
    rng = np.random.default_rng(0)
    a, b = Linear(*W_a.shape, rng), Sequential(fc=Linear(*W_b.shape, rng), relu=ReLU())
    net = module.Branches(same=Dropout(0.5), a=a, b=b).convert(lambda p: p.astype(x.dtype))
    net.params["a/W"][:], net.params["b/fc/W"][:] = W_a, W_b
    y, cache = net.forward(x)
    y_training, _ = net.forward(other, np.random.default_rng(3))
    dx, grads = net.backward(dy, cache)
    grads = {f"gradient of {name.replace('/', '.')}": a for name, a in grads.items()}
    return dict(y=y, y_predict=net.predict(x), y_training=y_training, dx=dx) | grads


def draw_branches_slope(module, rng, **sizes):
    return with_directions(draw_branches(module, rng, **sizes), rng, ["x"])


def fill(net, dtype, seed):
    """Random parameters of known values, whatever the order in which they were made."""
    net.convert(lambda a: np.array(a, dtype))
    for n, name in enumerate(sorted(net.params)):
        a = net.params[name]
        scale = np.sqrt(2 / np.prod(a.shape[:-1])) if a.ndim > 1 else 0.1
        a[...] = scale * np.random.default_rng([seed, n]).standard_normal(a.shape)
    return net


def expect_names(net, wanted):
    """ValueError for a net whose parameters have other names."""
    for name in sorted({*net.params} ^ {*wanted}):
        raise ValueError(f"{'no parameter' if name in wanted else 'there should be no parameter'} {name}")


MODULE = ("conv1", "conv3/reduce", "conv3/conv", "conv5/reduce", "conv5/conv", "pool/proj")  # layers with weights
MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


def draw_inception(inception, rng, N=2, C=6, n=5, variant="paper", **unused):
    kernel5 = 3 if variant == "torchvision" else 5
    x, filters = rng.standard_normal((N, n + 1, n + 2, C)), rng.permutation(np.arange(2, 8))
    return dict(
        x=x, filters=filters, kernel5=kernel5, dy=rng.standard_normal((*x.shape[:3], filters[[0, 2, 4, 5]].sum()))
    )


def inception(module, x, filters, kernel5, dy):
    net = module.Inception(x.shape[-1], filters.tolist(), int(kernel5), rng=np.random.default_rng(0))
    expect_names(net, [f"{layer}/{part}" for layer in MODULE for part in "Wb"])
    shapes = {f"shape of {name.replace('/', '.')}": np.array(a.shape) for name, a in net.params.items() if a.ndim > 1}
    y, cache = fill(net, x.dtype, seed=1).forward(x)
    return shapes | dict(y=y, dx=net.backward(dy, cache)[0])


def draw_googlenet(googlenet, rng, variant="paper", tap="vector", size=70, **unused):
    """Pixels of few digits, so that the files stay small."""
    return dict(x=np.rint(4 * rng.standard_normal((1, size, size - 3, 3))) / 4, variant=variant, tap=tap)


def googlenet(module, x, variant, tap):
    """A narrow network. no_dx: the gradient of the pixels is not computed; parameters: numbers of each layer."""
    net = module.googlenet(np.random.default_rng(0), 0.1, 7, str(tap), str(variant))
    layers = ["conv1", "reduce2", "conv2", *(f"inception{m}/{layer}" for m in MODULES for layer in MODULE)]
    layers += ["linear"] if tap == "vector" else []
    expect_names(net, [f"{layer}/{part}" for layer in layers for part in "Wb"])
    y, cache = fill(net, x.dtype, seed=2).forward(x)
    dx, grads = net.backward(np.ones_like(y), cache)
    parameters = np.array([net.params[f"{layer}/W"].size for layer in layers])
    return dict(y=y, no_dx=dx is None, parameters=parameters, gradient_of_conv1=grads["conv1/W"])


def draw_twist(twist, rng, N=2, H=3, W=4, C=5, n=3, k=2, beta=0.75, **unused):
    x, dy = rng.standard_normal((2, N, H, W, C))
    return dict(x=x, n=n, k=k, a=0.7, beta=beta, dy=dy)


def twist(module, x, n, k, a, beta, dy):
    y, cache = module.twist_forward(x, int(n), float(k), float(a), float(beta))
    return dict(y=y, dx=module.twist_backward(dy, cache))


def draw_twist_slope(module, rng, **sizes):
    return with_directions(draw_twist(module, rng, **sizes), rng, ["x"])


CALLS = {
    "lrn_forward": (draw_lrn, lrn_forward),
    "lrn_backward": (draw_lrn, lrn_backward),
    "branches": (draw_branches, branches),
    "inception": (draw_inception, inception),
    "googlenet": (draw_googlenet, googlenet),
    "twist": (draw_twist, twist),
    "hunt": (None, hunt),
}
HUNT = "lrn_backward", draw_any_lrn  # the question whose function is run by others in the bug hunt, and its inputs
OWN = {
    "lrn_backward": (draw_lrn_slope, partial(slopes, lrn_backward)),
    "branches": (draw_branches_slope, partial(slopes, branches)),
    "twist": (draw_twist_slope, partial(slopes, twist)),
}
