"""`snippets summary`: what a network consists of."""

from snippets.data.listing import shown
from snippets.data.options import add_options
from snippets.nets.inspect.draw import draw
from snippets.nets.inspect.memory import plan_memory
from snippets.nets.inspect.summary import summary
from snippets.nets.zoo import NetConfig, build, input_shape, network_config
from snippets.training.cli.files import Input, Picture
from snippets.training.cli.options import BATCH, COUNT, add_command
from snippets.training.model import load_model


def add_parsers(subparsers):
    """Adds the parser of `snippets summary`."""
    p = add_command(subparsers, "summary", run_summary)
    p.add_argument("model", type=Input, nargs="?", metavar="CHECKPOINT", help="default: the network of the options")
    p.add_argument("--classes", **COUNT, default=101, help="K")
    p.add_argument("--draw", type=Picture, metavar="FILE", help="also draw the network into this file")
    p.add_argument("--batch", **BATCH, help="predict the memory of a training step of N clips (default: do not)")
    add_options(p, NetConfig, "network", frames=1)


def run_summary(args):
    """Print a network: layer, output shape, parameters, multiply-adds, memory."""
    if args.model:
        model = load_model(args.model)
        config, net = model.config, model.net
    else:
        config = network_config(args, classes=args.classes)
        net = build(config, seed=None)
    print(summary(net, input_shape(config)))
    if args.draw:
        draw(net, input_shape(config), args.draw, f"{config.tower}, head {config.head}")
        print(shown(args.draw))
    if args.batch:
        found = plan_memory(net, input_shape(config, args.batch))
        print(f"\n{found.listing()}\n{found}")
