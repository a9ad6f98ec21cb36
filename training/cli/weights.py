"""`snippets import`: trained weights from elsewhere become a checkpoint, see docs/weights.md."""

import re
from dataclasses import asdict

import numpy as np

from snippets.data.layouts.splits import distinct, lines_of
from snippets.data.open import DataSettings
from snippets.data.options import add_options, chosen
from snippets.nets.googlenet import VARIANTS
from snippets.nets.pretrained.names import PIXELS, map_tensors, read_weights, vector_length
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, load_into, save
from snippets.training.cli.files import Archive, Input
from snippets.training.cli.options import COUNT, add_command

WORDNET = re.compile(r"n\d{8}\s+(?=\S)")  # as ImageNet's lists have it: n02123045 tabby, tabby cat


def add_parsers(subparsers):
    """Adds the parser of `snippets import`."""
    p = add_command(subparsers, "import", run_import)
    p.add_argument("weights", type=Input, help="file that ends in .onnx, .safetensors or .npz; see docs/weights.md")
    p.add_argument("--out", type=Archive, default="googlenet.npz", help="checkpoint to write")
    last = p.add_mutually_exclusive_group()
    last.add_argument("--classes", **COUNT, default=101, help="K of a new, untrained last layer")
    last.add_argument("--keep-classifier", action="store_true", help="keep the classes that the network was trained on")
    p.add_argument("--labels", type=Input, metavar="FILE", help="their names, one per line (default: their numbers)")
    p.add_argument("--variant", choices=VARIANTS, help="how the network pads and pools (default: as the file says)")
    p.add_argument("--mean", type=float, nargs="+", help="see train --mean (default: as it was trained)")
    p.add_argument("--scale", type=float, nargs="+", help="see train --scale (default: as it was trained)")
    p.add_argument("--size", **COUNT, default=224, help="input side in pixels")
    p.add_argument("--quiet", action="store_true", help="one line, without what became of each tensor")
    add_options(p, DataSettings, "pixels", only=("stream", "flow_fps", "bound", "tvl1"))


def run_import(args):
    """Turn GoogLeNet's weights from Caffe or torchvision into a checkpoint."""
    source = read_weights(args.weights)
    config = imported_config(source, args)
    net = build(config)
    found = map_tensors(source, net.layers["tower"].params)
    load_into(net.layers["tower"].params, found.params)
    classes = [str(k) for k in range(config.classes)]
    if args.keep_classifier:  # the tower's output are the scores of these classes already
        net.params["scores/W"][...] = np.eye(config.classes)
        classes = read_labels(args.labels, config.classes) if args.labels else classes
    pixels = PIXELS[source.program]
    if args.stream == "flow":
        pixels = pixels | {"mean": DataSettings.mean}  # of no motion, for its channels are no colours
    given = {name: getattr(args, name) or value for name, value in pixels.items()}
    data = DataSettings(**chosen(args, DataSettings) | given)
    save(args.out, Checkpoint(net.params, config=asdict(config), data=asdict(data), classes=classes))
    if args.quiet:
        print(f"{args.out}: GoogLeNet, variant {config.variant}, {found.total}")
        return
    print(found)
    seen = "RGB pixels" if args.stream == "rgb" else "flow images"
    print(f"variant {config.variant}: the network sees {seen} less {data.mean}, divided by {data.scale}")
    if config.variant == "onnx":
        print("the pools in this file round down; those that Caffe trained with round up: --variant caffe")
    print(f"{args.out}" + ("" if args.keep_classifier else f": the last layer, {config.classes} classes, is untrained"))


def imported_config(source, args):
    """The NetConfig of a single-frame network around imported weights."""
    variants = {"caffe": ("caffe", "onnx"), "torchvision": ("torchvision",)}[source.program]
    if args.variant is not None and args.variant not in variants:
        raise ValueError(
            f"--variant is {args.variant}, expected {' or '.join(variants)} for weights of {source.program}"
        )
    vector, variant = vector_length(source), args.variant or source.variant
    classes = vector if args.keep_classifier else args.classes
    return NetConfig(classes, "googlenet", "single", 1, args.size, vector=vector, fc=0, dropout=0.0, variant=variant)


def read_labels(path, count):
    """`count` names from a text file, one per line, without WordNet's numbers, made different: see `distinct`."""
    names = lines_of(path)
    if all(WORDNET.match(name) for name in names):
        names = [WORDNET.sub("", name) for name in names]
    if len(names) != count:
        raise ValueError(f"{path}: {len(names)} names, expected {count}, one per line and class")
    return distinct(names)
