"""Caffe's GoogLeNet as an ONNX graph, for the tests of the importer.

Written from Caffe's own definition and not from nets/: each layer's name, kernel, stride and border stands here again.
Random weights of a scale that keeps every unit alive; a width makes the channels fewer.
"""

import numpy as np
from net_checks import GOOGLENET


def narrow(n, width):
    """Channels at a width, as nets/ rounds them."""
    return max(1, round(n * width))


def caffe_graph(rng, path, pads=(0, 0, 0, 0), ceil_mode=0, width=1.0, size=224):
    """Write Caffe's GoogLeNet with random weights to an ONNX file; pads, ceil_mode: of the pools of stride 2."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes, tensors = [], []

    def add(op, inputs, output, **options):
        nodes.append(helper.make_node(op, inputs, [output], **options))
        return output

    def tensor(name, *shape, scale):
        tensors.append(numpy_helper.from_array((scale * rng.standard_normal(shape)).astype(np.float32), name))
        return name

    def conv(x, name, C, n, kernel, stride=1):
        W = tensor(f"{name}_w_0", n, C, kernel, kernel, scale=(2 / (C * kernel**2)) ** 0.5)
        options = dict(kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4)
        y = add("Conv", [x, W, tensor(f"{name}_b_0", n, scale=0.1)], name, **options)
        return add("Relu", [y], f"{name}_relu")

    def pool(x, name):
        extra = {"ceil_mode": 1} if ceil_mode else {}
        return add("MaxPool", [x], name, kernel_shape=[3, 3], strides=[2, 2], pads=pads, **extra)

    def lrn(x, name):
        return add("LRN", [x], name, size=5, alpha=1e-4, beta=0.75, bias=1.0)

    c64, c192 = narrow(64, width), narrow(192, width)
    x = lrn(pool(conv("data_0", "conv1/7x7_s2", 3, c64, 7, 2), "pool1"), "norm1")
    x = lrn(conv(conv(x, "conv2/3x3_reduce", c64, c64, 1), "conv2/3x3", c64, c192, 3), "norm2")
    x, C = pool(x, "pool2"), c192
    for row, (_, *numbers) in GOOGLENET.items():
        name = f"inception_{row}"
        n1, r3, n3, r5, n5, proj = (narrow(n, width) for n in numbers)
        pooled = add("MaxPool", [x], f"{name}/pool", kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
        branches = [
            conv(x, f"{name}/1x1", C, n1, 1),
            conv(conv(x, f"{name}/3x3_reduce", C, r3, 1), f"{name}/3x3", r3, n3, 3),
            conv(conv(x, f"{name}/5x5_reduce", C, r5, 1), f"{name}/5x5", r5, n5, 5),
            conv(pooled, f"{name}/pool_proj", C, proj, 1),
        ]
        x, C = add("Concat", branches, name, axis=1), n1 + n3 + n5 + proj
        x = pool(x, f"{name}/down") if row in ("3b", "4e") else x
    x = add("Flatten", [add("GlobalAveragePool", [x], "average")], "flat")
    W = tensor("loss3/classifier_w_0", 10, C, scale=C**-0.5)
    add("Gemm", [x, W, tensor("loss3/classifier_b_0", 10, scale=0.1)], "scores", transB=1)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("data_0", [1, 3, size, size]), ("scores", [1, 10]))
    ]
    save(helper.make_model(helper.make_graph(nodes, "googlenet", values[:1], values[1:], tensors)), path)
    return path
