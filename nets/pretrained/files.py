"""Files of trained weights: named arrays from .npz, .safetensors and .onnx. Nothing is ever unpickled.

Each reader returns the arrays by name, and what the file says of the network: an ONNX graph says which of
GoogLeNet's variants it computes (`nets.googlenet`), the others say None.
"""

import math
import os
import zipfile
from pathlib import Path

import numpy as np

from snippets.data.files import LARGE, guarded, parse_json, read_npz

PICKLES = (".pth", ".pt", ".pkl", ".pickle", ".bin", ".ckpt")
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}


def read_tensors(path):
    """Arrays by name and the variant or None. FileNotFoundError, or ValueError that says what the file is instead."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    if is_pickle(path):
        raise ValueError(
            f"{path} is a pickle, which can run any code and is never loaded here; convert it where you trust it, with "
            "torch: safetensors.torch.save_file(torch.load('net.pth', weights_only=True), 'net.safetensors')"
        )
    readers = {".onnx": read_onnx, ".safetensors": read_safetensors, ".npz": read_arrays}
    if path.suffix not in readers:
        raise ValueError(f"{path}: expected a file of weights that ends in {', '.join(readers)}")
    return readers[path.suffix](path)


def is_pickle(path):
    """Whether a file is a pickle by its name, or a zip file that holds one, as torch.save makes it."""
    if path.suffix in PICKLES or not zipfile.is_zipfile(path):
        return path.suffix in PICKLES
    with guarded(f"{path}: damaged"), zipfile.ZipFile(path) as file:
        return any(name.endswith(".pkl") for name in file.namelist())


def read_arrays(path):
    """An .npz file of plain arrays."""
    return read_npz(path, optional=("*",)), None


def read_safetensors(path):
    """A .safetensors file: 8 bytes with the length of a JSON header, the header, the elements that it points into."""
    with open(path, "rb") as file:
        length = min(int.from_bytes(file.read(8), "little"), os.fstat(file.fileno()).st_size)
        header, data = file.read(length), file.read()
    tensors = {}
    with guarded(f"{path} is not a .safetensors file of numbers ({', '.join(DTYPES)}), or cut short; get it again"):
        for name, about in parse_json(header, "its header").items():
            if name != "__metadata__":
                begin, end = about["data_offsets"]
                tensors[name] = np.frombuffer(data[begin:end], DTYPES[about["dtype"]]).reshape(about["shape"])
    return tensors, None


def read_onnx(path):
    """The initial tensors of an ONNX graph with Caffe's GoogLeNet, and the variant that its nodes compute."""
    try:
        import onnx
    except ImportError as error:
        raise ValueError(f"{path}: to read ONNX, install one more package: pip install onnx") from error
    with guarded(f"{path} is not an ONNX file with its weights in it, or damaged; get it again"):
        graph = onnx.load(path).graph
        tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        nodes = [(n.op_type, {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}, n) for n in graph.node]
        for op, options, node in nodes:
            if op == "ConstantOfShape":  # a tensor whose elements are all equal
                value = onnx.numpy_helper.to_array(options["value"]) if "value" in options else np.float32(0)
                shape = tensors.pop(node.input[0]).tolist()
                if math.prod(shape) > LARGE:
                    raise ValueError(f"it holds one element in a shape of {shape}")
                tensors[node.output[0]] = np.full(shape, value)
        variant, found = onnx_variant([(op, options) for op, options, _ in nodes if op != "ConstantOfShape"])
    if variant is None:
        raise ValueError(
            f"{path} is not Caffe's GoogLeNet: expected a convolution padded by 3, two LRN of 5 channels and pools of "
            f"stride 2 with one kind of border; found {found}"
        )
    return tensors, variant


def onnx_variant(nodes):
    """The variant that nodes (operator, its options) compute, and what they are; None for all but Caffe's GoogLeNet."""
    operators = [op for op, _ in nodes]
    of = {op: [options for kind, options in nodes if kind == op] for op in ("Conv", "MaxPool", "LRN")}
    lrn = [tuple(round(o.get(name, 0), 9) for name in ("size", "alpha", "beta", "bias")) for o in of["LRN"]]
    pools = {(tuple(o.get("pads", ())), o.get("ceil_mode", 0)) for o in of["MaxPool"] if list(o["strides"]) == [2, 2]}
    variants = {((0, 0, 0, 0), 0): "onnx", ((0, 0, 1, 1), 0): "caffe", ((0, 0, 0, 0), 1): "caffe"}  # borders of pools
    if (
        operators[:10] == "Conv Relu MaxPool LRN Conv Relu Conv Relu LRN MaxPool".split()
        and list(of["Conv"][0].get("pads", ())) == [3, 3, 3, 3]
        and lrn == [(5, 0.0001, 0.75, 1.0)] * 2
        and len(pools) == 1
        and pools <= set(variants)
    ):
        return variants[pools.pop()], ""
    return None, f"{' '.join(operators[:10]) or 'no nodes'}, borders {sorted(pools)}"
