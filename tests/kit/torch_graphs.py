"""What imported networks are held against, in torch: an ONNX graph node by node, and torchvision's GoogLeNet."""

import torch
import torch.nn.functional as F
from caffe_graph import narrow
from net_checks import GOOGLENET
from torch import nn


def run_graph(path, x):
    """The last output of an ONNX graph for x (N, 3, H, W): each node by one function of torch."""
    import onnx

    graph = onnx.load(path).graph
    values = {t.name: torch.tensor(onnx.numpy_helper.to_array(t)) for t in graph.initializer} | {"data_0": x}
    for node in graph.node:
        o = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        i = [values[name] for name in node.input]
        values[node.output[0]] = {
            "ConstantOfShape": lambda i, o: torch.full(i[0].tolist(), onnx.numpy_helper.to_array(o["value"]).item()),
            "Conv": lambda i, o: F.conv2d(*i, stride=o["strides"], padding=o["pads"][:2]),
            "Relu": lambda i, o: F.relu(i[0]),
            "MaxPool": lambda i, o: max_pool(i[0], o),
            "LRN": lambda i, o: F.local_response_norm(i[0], o["size"], o["alpha"], o["beta"], o["bias"]),
            "Concat": lambda i, o: torch.cat(i, o["axis"]),
            "GlobalAveragePool": lambda i, o: i[0].mean((2, 3), keepdim=True),
            "AveragePool": lambda i, o: i[0].mean((2, 3), keepdim=True),  # 7x7 over all of a 6x6 map
            "Dropout": lambda i, o: i[0],
            "Flatten": lambda i, o: i[0].flatten(1),
            "Reshape": lambda i, o: i[0].reshape(i[1].tolist()),
            "Gemm": lambda i, o: i[0] @ i[1].T + i[2],
            "Softmax": lambda i, o: i[0].softmax(-1),
        }[node.op_type](i, o)
    return values[graph.node[-1].output[0]]


def max_pool(x, options):
    """ONNX's MaxPool: pads are top, left, bottom, right, and never win."""
    top, left, bottom, right = options["pads"]
    x = F.pad(x, (left, right, top, bottom), value=-torch.inf)
    return F.max_pool2d(x, options["kernel_shape"], options["strides"], ceil_mode=bool(options.get("ceil_mode", 0)))


class BasicConv2d(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, C, n, kernel, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(C, n, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(n, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class TorchInception(nn.Module):
    """torchvision's module: its "5x5" branch is 3x3."""

    def __init__(self, C, n1, r3, n3, r5, n5, proj):
        super().__init__()
        self.branch1 = BasicConv2d(C, n1, 1)
        self.branch2 = nn.Sequential(BasicConv2d(C, r3, 1), BasicConv2d(r3, n3, 3))
        self.branch3 = nn.Sequential(BasicConv2d(C, r5, 1), BasicConv2d(r5, n5, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv2d(C, proj, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class TorchGoogLeNet(nn.Module):
    """torchvision's GoogLeNet in evaluation mode, with one of the auxiliary heads that it has for training."""

    def __init__(self, seed=0, width=1.0, classes=10):
        super().__init__()
        torch.manual_seed(seed)
        c64, c192 = narrow(64, width), narrow(192, width)
        self.conv1 = BasicConv2d(3, c64, 7, 2)
        self.conv2 = BasicConv2d(c64, c64, 1)
        self.conv3 = BasicConv2d(c64, c192, 3)
        C = c192
        for row, (_, *numbers) in GOOGLENET.items():
            numbers = [narrow(n, width) for n in numbers]
            setattr(self, f"inception{row}", TorchInception(C, *numbers))
            C = numbers[0] + numbers[2] + numbers[4] + numbers[5]
        self.aux1 = nn.Linear(3, 4)
        self.fc = nn.Linear(C, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                for a, low, high in ((module.weight, 0.7, 1.3), (module.bias, -0.2, 0.2)):
                    nn.init.uniform_(a, low, high)
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 1.5)
        self.eval()

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        for row in GOOGLENET:
            x = getattr(self, f"inception{row}")(x)
            if row == "3b":
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            if row == "4e":
                x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        return self.fc(x.mean((2, 3)))
